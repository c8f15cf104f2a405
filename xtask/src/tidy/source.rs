//! What is code in a source file, what is documentation, and what is test code?
//!
//! A scanner, not a parser: it cuts the text into words, marks and literals, so that a law never trips over a comment or a
//! string, and it knows which tokens belong to an item under `#[cfg(test)]`. That is all the laws need.
//!
//! # Knows / never knows
//! Knows the lexical rules of Rust. Never knows rooms or laws.

use std::collections::BTreeSet;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier, a keyword or a number.
    Word,
    /// One character of punctuation.
    Mark,
    /// A string or character literal; its content is not looked at.
    Literal,
    /// An outer doc comment, with its text.
    Doc,
}

/// One token and the lines it covers (from 1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) line: usize,
    last_line: usize,
}

impl Token<'_> {
    /// Says whether this is the word or the mark `text`.
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Mark) && self.text == text
    }
}

/// A `mod name;` line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child<'a> {
    pub(super) name: &'a str,
    pub(super) line: usize,
    /// Stands under `#[cfg(test)]`.
    pub(super) test: bool,
}

/// A scanned file.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// Every token outside test items, docs included.
    pub(super) documented: Vec<Token<'a>>,
    /// Every token outside test items, docs left out.
    pub(super) code: Vec<Token<'a>>,
    /// The `mod name;` lines, test modules included.
    pub(super) children: Vec<Child<'a>>,
    /// Opens with `#![cfg(test)]`.
    pub(super) all_test: bool,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let all = Scanner { text, at: 0, line: 1, tokens: Vec::new() }.run();
        let (test, all_test) = test_tokens(&all);
        let mut children = Vec::new();
        for (at, token) in all.iter().enumerate() {
            let name = all.get(at + 1);
            if let (true, Some(name)) = (token.is("mod"), name)
                && all.get(at + 2).is_some_and(|t| t.is(";"))
            {
                children.push(Child {
                    name: name.text,
                    line: token.line,
                    test: test.contains(&at),
                });
            }
        }
        let kept = all.iter().enumerate().filter(|(at, _)| !test.contains(at));
        let documented: Vec<Token<'a>> = kept.map(|(_, token)| *token).collect();
        let code = documented.iter().filter(|t| t.kind != Kind::Doc).copied().collect();
        Self { documented, code, children, all_test }
    }

    /// Counts the lines that hold code: no blank lines, comments, docs or test items.
    pub(super) fn code_lines(&self) -> usize {
        let lines: BTreeSet<usize> = self.code.iter().flat_map(|t| t.line..=t.last_line).collect();
        lines.len()
    }

    /// Lists what stands directly after `prefix::`, brace lists opened: `std::{io, fmt}` gives `io` and `fmt`.
    pub(super) fn after(&self, prefix: &str) -> Vec<Token<'a>> {
        let starts = self.code.iter().enumerate().filter(|(_, token)| token.is(prefix));
        starts
            .filter_map(|(at, _)| past_colons(&self.code, at + 1))
            .flat_map(|at| heads(&self.code, at))
            .collect()
    }
}

/// Steps over `::`; nothing if none stands here.
pub(super) fn past_colons(code: &[Token<'_>], at: usize) -> Option<usize> {
    let colon = |at: usize| code.get(at).is_some_and(|t| t.is(":"));
    (colon(at) && colon(at + 1)).then_some(at + 2)
}

/// Lists the names that begin at `at`: one, or the first of each entry of a brace list.
pub(super) fn heads<'a>(code: &[Token<'a>], at: usize) -> Vec<Token<'a>> {
    let Some(first) = code.get(at) else { return Vec::new() };
    if !first.is("{") {
        return vec![*first];
    }
    let (mut depth, mut fresh, mut found) = (1_usize, true, Vec::new());
    for token in &code[at + 1..] {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => fresh = true,
            _ if fresh => {
                found.push(*token);
                fresh = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// Finds the tokens of items under `#[cfg(test)]`, and whether the file opens with `#![cfg(test)]`.
///
/// Only the item itself is left out, not the rest of the file: a test helper near the top must not hide what follows it.
fn test_tokens(all: &[Token<'_>]) -> (BTreeSet<usize>, bool) {
    let (mut found, mut all_test, mut at) = (BTreeSet::new(), false, 0);
    while at < all.len() {
        let inner = all[at].is("#") && all.get(at + 1).is_some_and(|t| t.is("!"));
        let open = at + 1 + usize::from(inner);
        if !(all[at].is("#") && all.get(open).is_some_and(|t| t.is("["))) {
            at += 1;
            continue;
        }
        let close = closing(all, open);
        if !is_test_cfg(&all[open + 1..close]) {
            at = close + 1;
        } else if inner {
            all_test = true;
            at = close + 1;
        } else {
            let end = item_end(all, close + 1);
            found.extend(at..=end.min(all.len() - 1));
            at = end + 1;
        }
    }
    (found, all_test)
}

fn is_test_cfg(attribute: &[Token<'_>]) -> bool {
    let says = |word: &str| attribute.iter().any(|t| t.is(word));
    attribute.first().is_some_and(|t| t.is("cfg")) && says("test") && !says("any") && !says("not")
}

/// Finds the mark that closes the bracket at `open`.
pub(super) fn closing(all: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in all.iter().enumerate().skip(open).filter(|(_, t)| t.kind == Kind::Mark) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    all.len() - 1
}

/// Finds the last token of the item, field or arm that begins at `at`.
fn item_end(all: &[Token<'_>], mut at: usize) -> usize {
    while let Some(token) = all.get(at) {
        if token.kind == Kind::Doc {
            at += 1;
        } else if token.is("#") {
            at = closing(all, at + 1) + 1;
        } else {
            break;
        }
    }
    let comma_ends = !begins_item(all, at);
    while let Some(token) = all.get(at) {
        match token.text {
            _ if token.kind != Kind::Mark => {}
            ";" => return at,
            "{" => return closing(all, at),
            "(" | "[" => at = closing(all, at),
            "," if comma_ends => return at,
            ")" | "]" | "}" => return at - 1,
            _ => {}
        }
        at += 1;
    }
    at
}

fn begins_item(all: &[Token<'_>], mut at: usize) -> bool {
    if all.get(at).is_some_and(|t| t.is("pub")) {
        at += 1;
        if all.get(at).is_some_and(|t| t.is("(")) {
            at = closing(all, at) + 1;
        }
    }
    let keywords = [
        "async",
        "const",
        "enum",
        "extern",
        "fn",
        "impl",
        "let",
        "macro_rules",
        "mod",
        "static",
        "struct",
        "trait",
    ];
    let more = ["type", "union", "unsafe", "use"];
    all.get(at).is_some_and(|t| keywords.contains(&t.text) || more.contains(&t.text))
}

/// Cuts a text into tokens.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    tokens: Vec<Token<'a>>,
}

impl<'a> Scanner<'a> {
    fn run(mut self) -> Vec<Token<'a>> {
        while let Some(c) = self.rest().chars().next() {
            let rest = self.rest();
            if rest.starts_with("//") {
                self.line_comment();
            } else if rest.starts_with("/*") {
                self.block_comment();
            } else if c.is_whitespace() {
                self.skip(c.len_utf8());
            } else if let Some(length) = literal(rest) {
                self.take(Kind::Literal, length);
            } else if c.is_alphanumeric() || c == '_' || c == '\'' {
                let tick = usize::from(c == '\''); // a lifetime is a word of its own
                let raw = if rest.starts_with("r#") { 2 } else { 0 };
                self.skip(raw);
                self.take(Kind::Word, tick + word(&self.rest()[tick..]));
            } else {
                self.take(Kind::Mark, c.len_utf8());
            }
        }
        self.tokens
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self, length: usize) -> &'a str {
        let taken = &self.rest()[..length];
        self.at += length;
        self.line += taken.matches('\n').count();
        taken
    }

    fn take(&mut self, kind: Kind, length: usize) {
        let line = self.line;
        let text = self.skip(length);
        self.tokens.push(Token { kind, text, line, last_line: self.line });
    }

    fn line_comment(&mut self) {
        let rest = self.rest();
        let length = rest.find('\n').unwrap_or(rest.len());
        if rest.starts_with("///") && !rest.starts_with("////") {
            self.take(Kind::Doc, length);
        } else {
            self.skip(length);
        }
    }

    fn block_comment(&mut self) {
        let rest = self.rest();
        let (mut depth, mut at) = (1_usize, 2);
        while depth > 0 && at < rest.len() {
            let here = &rest.as_bytes()[at..];
            let step = if here.starts_with(b"/*") {
                depth += 1;
                2
            } else if here.starts_with(b"*/") {
                depth -= 1;
                2
            } else {
                1
            };
            at += step;
        }
        if rest.starts_with("/**") && !rest.starts_with("/***") && at > 4 {
            self.take(Kind::Doc, at);
        } else {
            self.skip(at);
        }
    }
}

/// Measures the word that begins the text, in bytes.
fn word(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// Measures the string or character literal that begins the text, if one does.
fn literal(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|p| {
        let rest = &text.as_bytes()[p.len().min(text.len())..];
        text.starts_with(p) && matches!(rest.first(), Some(b'"' | b'\'' | b'#'))
    });
    let start = prefix.map_or(0, str::len);
    let body = &text[start..];
    if prefix.is_some_and(|p| p.ends_with('r')) {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let close = format!("\"{}", "#".repeat(hashes));
        let inside = body[hashes..].strip_prefix('"')?;
        let end = inside.find(&close).map_or(inside.len(), |at| at + close.len());
        return Some(start + hashes + 1 + end);
    }
    match body.chars().next()? {
        '"' => Some(start + quoted(body, '"')),
        '\'' => {
            let mut inside = body.chars().skip(1);
            let first = inside.next()?;
            let is_char = first == '\\' || inside.next() == Some('\'');
            is_char.then(|| start + quoted(body, '\''))
        }
        _ => None,
    }
}

/// Measures a text in quotes, the quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return at + quote.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}
