//! Where can a shell pipeline be cut so that no shell would see the difference?
//!
//! The text of `-c` is cut at its top-level `|`, and each piece is run by `sh -c`. This is a
//! scanner for where things end, not a shell: it knows quotes, expansions and brackets just well
//! enough to step over them. What it is not sure of it refuses, and `sh` may be any shell, so
//! what shells read differently (`&>`, `((`, `$'\''`) is refused too. To refuse costs a hint; to
//! cut wrongly runs a program nobody typed.
//!
//! # Knows / never knows
//! Knows where shell constructs end. Never knows what they do.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use super::{UsageError, word::shown};

/// Deeper brackets are refused: each level is a call.
const MAX_DEPTH: usize = 32;

/// Words that begin what may hold a top-level `|` of its own, or that are told about the whole
/// pipeline.
const REFUSED_FIRST: [&str; 19] = [
    "case", "if", "for", "while", "until", "[[", "function", "select", "!", "time", "coproc",
    "then", "do", "else", "elif", "fi", "done", "esac", "}",
];

/// Words after which a command begins just as it does after `;`.
const KEEPS_START: [&str; 8] = ["if", "then", "else", "elif", "while", "until", "do", "!"];

/// Cuts a pipeline at its top-level `|`. The pieces are trimmed, and never empty.
///
/// # Errors
/// If it contains what cannot be cut for sure, with what to write instead.
pub(crate) fn split(text: &OsStr) -> Result<Vec<OsString>, UsageError> {
    let mut scanner = Scanner::new(text);
    match scanner.list(Close::End) {
        Ok(()) => Ok(scanner.pieces),
        Err(doubt) => Err(UsageError {
            what: format!("cannot cut this at its pipes: {}", doubt.what),
            details: Vec::new(),
            hint: Some(doubt.hint.unwrap_or_else(|| {
                "put each command between `::` after `--`, or add `--observe` to run it as it is"
                    .to_owned()
            })),
        }),
    }
}

/// Lists the files that a piece opens to write its output to, as `> FILE` and `>> FILE` stand in it: only those that
/// are certain, outside of brackets and by a name that no shell changes. Devices are none.
pub(crate) fn redirected(piece: &OsStr) -> Vec<Redirected> {
    let mut scanner = Scanner::new(piece);
    match scanner.list(Close::End) {
        Ok(()) => scanner.redirected,
        Err(_) => Vec::new(),
    }
}

/// A file that a shell writes the output of a command to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirected {
    /// Its name, plain letters all of it.
    pub(crate) file: String,
    /// Whether it is added to: `>>`.
    pub(crate) appends: bool,
}

/// Why a text is not cut.
struct Doubt {
    what: String,
    hint: Option<String>,
}

impl Doubt {
    fn contains(what: &str) -> Self {
        Self { what: format!("it contains {what}"), hint: None }
    }

    fn unclosed(what: &str) -> Self {
        Self { what: format!("it has an unclosed `{what}`"), hint: None }
    }

    fn hint(self, hint: &str) -> Self {
        Self { hint: Some(hint.to_owned()), ..self }
    }
}

/// What a list of commands is closed by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Close {
    End,
    Paren,
    Brace,
}

/// Where in a command the scanner is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A command may begin.
    Start,
    /// The same, and `}` may close a group.
    Separated,
    /// Among words, where `{` and `if` are words as others.
    Words,
    /// After a group, where only redirections may follow.
    Group,
}

impl State {
    fn is_start(self) -> bool {
        matches!(self, Self::Start | Self::Separated)
    }
}

struct Scanner<'text> {
    text: &'text [u8],
    at: usize,
    depth: usize,
    pieces: Vec<OsString>,
    redirected: Vec<Redirected>,
}

impl<'text> Scanner<'text> {
    fn new(text: &'text OsStr) -> Self {
        let (pieces, redirected) = (Vec::new(), Vec::new());
        Self { text: text.as_bytes(), at: 0, depth: 0, pieces, redirected }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        &self.text[self.at..]
    }

    /// Steps over commands up to what closes them, itself included.
    fn list(&mut self, close: Close) -> Result<(), Doubt> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Doubt::contains("brackets in brackets, too deep to follow"));
        }
        let mut state = State::Start;
        let mut piece = self.at..self.at;
        loop {
            while matches!(self.peek(), Some(b' ' | b'\t')) {
                self.at += 1;
            }
            if piece.is_empty() {
                piece = self.at..self.at;
            }
            match (self.peek(), close) {
                (None, Close::End) => return self.cut(&piece, "ends with"),
                (None, Close::Paren) => return Err(Doubt::unclosed("(")),
                (None, Close::Brace) => return Err(Doubt::unclosed("{")),
                (Some(b'\n'), _) => return Err(Doubt::contains("a newline")),
                (Some(b'#'), _) => return Err(Doubt::contains("a comment, `#`")),
                (Some(b')'), Close::Paren) => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(());
                }
                (Some(b')'), _) => return Err(Doubt::contains("a `)` that nothing opens")),
                (Some(b'|'), Close::End)
                    if !matches!(self.text.get(self.at + 1), Some(b'|' | b'&')) =>
                {
                    self.cut(&piece, "begins with")?;
                    self.at += 1;
                    piece = self.at..self.at;
                    state = State::Start;
                    continue;
                }
                (Some(b'|' | b'&' | b';'), Close::End) => return Err(self.separator_doubt()),
                (Some(b'|' | b'&' | b';'), _) => state = self.separator()?,
                (Some(b'('), _) => state = self.subshell(state)?,
                (Some(b'<' | b'>'), _) => state = self.redirection(state)?,
                (Some(_), _) => match self.command_word(state, close)? {
                    Some(next) => state = next,
                    None => {
                        self.depth -= 1;
                        return Ok(());
                    }
                },
            }
            piece.end = self.at;
        }
    }

    /// Ends a top-level piece.
    fn cut(&mut self, piece: &std::ops::Range<usize>, empty: &str) -> Result<(), Doubt> {
        if piece.is_empty() {
            let what = match self.pieces.len() {
                0 if self.peek().is_none() => "it is empty".to_owned(),
                0 => format!("it {empty} `|`"),
                _ if self.peek().is_none() => format!("it {empty} `|`"),
                stage => format!("stage {} is empty", stage + 1),
            };
            return Err(Doubt { what, hint: Some("write `CMD | CMD`".to_owned()) });
        }
        self.pieces.push(OsString::from_vec(self.text[piece.clone()].to_vec()));
        Ok(())
    }

    /// Says what separator stands where only `|` may.
    fn separator_doubt(&self) -> Doubt {
        match self.rest() {
            [b'|', b'|', ..] => Doubt::contains("`||`"),
            [b'|', b'&', ..] => Doubt::contains("`|&`").hint("write `2>&1 |`"),
            [b'&', b'&', ..] => Doubt::contains("`&&`"),
            [b'&', b'>', ..] => {
                Doubt::contains("`&>`, which not every `sh` knows").hint("write `>FILE 2>&1`")
            }
            [b'&', ..] => Doubt::contains("a background `&`"),
            _ => Doubt::contains("`;`"),
        }
    }

    /// Steps over a separator in brackets, where all are left as they are.
    fn separator(&mut self) -> Result<State, Doubt> {
        let (length, state) = match self.rest() {
            [b';', b';', ..] => return Err(Doubt::contains("`;;`")),
            [b'|', b'|', ..] | [b'&', b'&', ..] | [b'|', b'&', ..] => (2, State::Start),
            [b'|', ..] => (1, State::Start),
            _ => (1, State::Separated),
        };
        self.at += length;
        Ok(state)
    }

    fn subshell(&mut self, state: State) -> Result<State, Doubt> {
        if !state.is_start() {
            return Err(Doubt::contains("a `(` inside a command"));
        }
        if self.rest().starts_with(b"((") {
            return Err(Doubt::contains("`((`, which shells read differently"));
        }
        self.at += 1;
        self.list(Close::Paren)?;
        Ok(State::Group)
    }

    /// Steps over a redirection and its target, or over `<(..)`.
    fn redirection(&mut self, state: State) -> Result<State, Doubt> {
        let after = if state == State::Group { State::Group } else { State::Words };
        let length = match self.rest() {
            [b'<' | b'>', b'(', ..] => {
                self.at += 2;
                self.list(Close::Paren)?;
                return Ok(State::Words);
            }
            [b'<', b'<', b'<', ..] => 3,
            [b'<', b'<', ..] => return Err(Doubt::contains("a here-document, `<<`")),
            [b'<', b'>' | b'&', ..] | [b'>', b'>' | b'&' | b'|', ..] => 2,
            _ => 1,
        };
        let operator = shown(OsStr::from_bytes(&self.rest()[..length]));
        let is_output = matches!(operator.as_str(), ">" | ">>" | ">|") && self.is_of_stdout();
        self.at += length;
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        match self.rest() {
            [b'<' | b'>', b'(', ..] => {
                self.at += 2;
                self.list(Close::Paren)?;
            }
            [] | [b'\n' | b'#' | b'|' | b'&' | b';' | b'(' | b')' | b'<' | b'>', ..] => {
                return Err(Doubt {
                    what: format!("nothing follows its `{operator}`"),
                    hint: None,
                });
            }
            _ => {
                let start = self.at;
                self.word()?;
                let word = &self.text[start..self.at];
                // in brackets it may be of a command that is never run, or of another directory
                if is_output && self.depth == 1 && is_plain(word) && !word.starts_with(b"/dev/") {
                    let file = shown(OsStr::from_bytes(word));
                    self.redirected.push(Redirected { file, appends: operator == ">>" });
                }
            }
        }
        Ok(after)
    }

    /// Says whether the operator here is about stdout: no number stands before it, or 1.
    fn is_of_stdout(&self) -> bool {
        let before = &self.text[..self.at];
        let blank = before.iter().rposition(|byte| !byte.is_ascii_digit());
        let number = &before[blank.map_or(0, |at| at + 1)..];
        // behind other letters digits are a part of their word
        let is_number = blank.is_none_or(|at| b" \t()|".contains(&before[at]));
        !is_number || matches!(number, b"" | b"1")
    }

    /// Steps over a word, and over the group it opens; `None` if it closes ours.
    fn command_word(&mut self, state: State, close: Close) -> Result<Option<State>, Doubt> {
        let start = self.at;
        self.word()?;
        let word = &self.text[start..self.at];
        let nested = close != Close::End;
        let is = |known: &str| word == known.as_bytes();
        if state == State::Group {
            let redirects = matches!(self.peek(), Some(b'<' | b'>'));
            if redirects && word.iter().all(u8::is_ascii_digit) {
                return Ok(Some(State::Group));
            }
            return Err(Doubt::contains("a word after a closing bracket"));
        }
        if is("{") && state.is_start() {
            self.list(Close::Brace)?;
            return Ok(Some(State::Group));
        }
        if is("}") && state == State::Separated && close == Close::Brace {
            return Ok(None);
        }
        if nested && ["{", "}", "case", "[["].iter().any(|known| is(known)) {
            return Err(Doubt::contains(&format!(
                "`{}` inside brackets",
                shown(OsStr::from_bytes(word))
            )));
        }
        if !nested && state.is_start() && REFUSED_FIRST.iter().any(|known| is(known)) {
            let word = shown(OsStr::from_bytes(word));
            return Err(Doubt { what: format!("a piece begins with `{word}`"), hint: None });
        }
        if nested && state.is_start() && KEEPS_START.iter().any(|known| is(known)) {
            return Ok(Some(State::Start));
        }
        Ok(Some(State::Words))
    }

    /// Steps over one word, quotes and expansions included.
    fn word(&mut self) -> Result<(), Doubt> {
        let start = self.at;
        // `name[` is read by some shells up to its `]`, pipes and all.
        let mut open_subscript = false;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'|' | b'&' | b';' | b'<' | b'>' | b'(' | b')' => break,
                b'\\' => self.escape()?,
                b'\'' => self.single()?,
                b'"' => self.double()?,
                b'`' => self.backticks()?,
                b'$' => self.dollar(Quoted::No)?,
                b'[' if is_name(&self.text[start..self.at]) => {
                    open_subscript = true;
                    self.at += 1;
                }
                b']' => {
                    open_subscript = false;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
        if open_subscript {
            return Err(Doubt::contains("a word with an open `[`"));
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Doubt> {
        match self.text.get(self.at + 1) {
            None => Err(Doubt { what: "it ends with `\\`".to_owned(), hint: None }),
            Some(b'\n') => Err(Doubt::contains("a newline")),
            Some(_) => {
                self.at += 2;
                Ok(())
            }
        }
    }

    fn single(&mut self) -> Result<(), Doubt> {
        let inside = &self.text[self.at + 1..];
        let length = inside.iter().position(|byte| *byte == b'\'');
        self.at += length.ok_or_else(|| Doubt::unclosed("'"))? + 2;
        Ok(())
    }

    fn double(&mut self) -> Result<(), Doubt> {
        self.at += 1;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                b'`' => self.backticks()?,
                b'$' => self.dollar(Quoted::Double)?,
                _ => self.at += 1,
            }
        }
        Err(Doubt::unclosed("\""))
    }

    fn backticks(&mut self) -> Result<(), Doubt> {
        self.at += 1;
        while let Some(byte) = self.peek() {
            match byte {
                b'`' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\n' => return Err(Doubt::contains("a newline")),
                b'#' => return Err(Doubt::contains("`#` inside backticks")),
                b'\\' => self.escape()?,
                _ => self.at += 1,
            }
        }
        Err(Doubt::unclosed("`"))
    }

    fn dollar(&mut self, quoted: Quoted) -> Result<(), Doubt> {
        match self.rest() {
            [_, b'(', b'(', ..] => self.arithmetic(),
            [_, b'(', ..] => {
                self.at += 2;
                self.list(Close::Paren)
            }
            [_, b'{', ..] => self.parameter(),
            [_, b'[', ..] => Err(Doubt::contains("`$[`, which shells read differently")),
            [_, b'\'', ..] if quoted == Quoted::No => {
                let start = self.at;
                self.at += 1;
                self.single()?;
                let inside = &self.text[start + 2..self.at - 1];
                let backslashes = inside.iter().rev().take_while(|byte| **byte == b'\\').count();
                if backslashes % 2 == 1 {
                    return Err(Doubt::contains("`\\'` in `$'..'`, which shells read differently"));
                }
                Ok(())
            }
            // The number of the process, whatever follows: `$$(` opens nothing.
            [_, b'$', ..] => {
                self.at += 2;
                Ok(())
            }
            _ => {
                self.at += 1;
                Ok(())
            }
        }
    }

    /// Steps over `${..}`. Quotes in it mean different things in different shells.
    fn parameter(&mut self) -> Result<(), Doubt> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Doubt::contains("brackets in brackets, too deep to follow"));
        }
        self.at += 2;
        self.parameter_name()?;
        while let Some(byte) = self.peek() {
            match (byte, self.text.get(self.at + 1)) {
                (b'}', _) => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(());
                }
                (b'$', Some(b'{')) => self.parameter()?,
                (b'\\' | b'\'' | b'"' | b'`' | b'(' | b')' | b'{' | b'\n', _)
                | (b'$', Some(b'[' | b'$')) => {
                    return Err(Doubt::contains("quotes or brackets inside `${..}`"));
                }
                _ => self.at += 1,
            }
        }
        Err(Doubt::unclosed("${"))
    }

    /// Steps over the name in `${..}` and the operator behind it. Only those of every shell: behind
    /// others some take the `}` for a letter.
    fn parameter_name(&mut self) -> Result<(), Doubt> {
        let measures = matches!(self.rest(), [b'#', byte, ..] if *byte != b'}');
        let name = &self.rest()[usize::from(measures)..];
        let letters = name.iter().take_while(|byte| is_name(&[**byte])).count();
        let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (length, is_special) = match name.first() {
            _ if letters > 0 => {
                (name.iter().take_while(|byte| is_name(&[b'_', **byte])).count(), false)
            }
            _ if digits > 0 => (digits, false),
            Some(b'@' | b'*' | b'#' | b'?' | b'$' | b'!' | b'-') => (1, true),
            _ => return Err(Doubt::contains("a `${` without a name")),
        };
        self.at += usize::from(measures) + length;
        let operator = match self.rest() {
            [b'}', ..] => return Ok(()),
            [b':', b'-' | b'=' | b'?' | b'+', ..] => 2,
            [b'-' | b'=' | b'?' | b'+' | b'%' | b'#', ..] => 1,
            [] => return Err(Doubt::unclosed("${")),
            _ => 0,
        };
        if operator == 0 || is_special || measures {
            return Err(Doubt::contains("a `${..}` that not every `sh` knows"));
        }
        self.at += operator;
        Ok(())
    }

    /// Steps over `$((..))`, which may also be a command in two pairs of brackets: without quotes
    /// and comments both end at the same place.
    fn arithmetic(&mut self) -> Result<(), Doubt> {
        self.at += 3;
        let mut open = 2;
        while let Some(byte) = self.peek() {
            match byte {
                b'(' => open += 1,
                b')' => open -= 1,
                b'$' if !matches!(
                    self.text.get(self.at + 1),
                    Some(b'(' | b'{' | b'[' | b'\'' | b'$')
                ) => {}
                b' ' | b'\t' | b'_' | b'+' | b'-' | b'*' | b'/' | b'%' => {}
                b'<' | b'>' | b'=' | b'!' | b'&' | b'|' | b'^' | b'~' | b'?' | b':' | b',' => {}
                _ if byte.is_ascii_alphanumeric() => {}
                _ => return Err(Doubt::contains("quotes or expansions inside `$((..))`")),
            }
            self.at += 1;
            if open == 0 {
                return Ok(());
            }
        }
        Err(Doubt::unclosed("$(("))
    }
}

/// Whether an expansion stands in double quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoted {
    No,
    Double,
}

/// Whether every shell takes the word for what it is.
fn is_plain(word: &[u8]) -> bool {
    word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,:@%".contains(byte))
}

fn is_name(word: &[u8]) -> bool {
    word.first().is_some_and(|byte| !byte.is_ascii_digit())
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

#[cfg(test)]
mod tests;
