//! Do real shells see the same pipeline?
//!
//! In the generated texts every program is `w`, a function that prints its arguments and, if its
//! stdin is a pipe, the line it reads there. So the output spells the structure: `w a | w b` prints
//! `<(b):<(a):>>`. A shell runs the text whole, and again cut, each piece by its own `eval` with
//! pipes between; the outputs must be equal. Refusing is always right, so only texts that are cut
//! go to the shells. Nothing joins stderr: the complaints of two shells come in any order. `STANDPIPE_SPLIT_CASES` and `STANDPIPE_SPLIT_SEED` ask for more and others.

use std::process::{Command, Stdio};

use super::*;

/// The working directory is `/proc`, where `>w` creates no file, not even for root.
const PROGRAM: &str = r#"PATH=/nowhere
w() {
  x=
  if [ -p /dev/stdin ]; then IFS= read -r x; fi
  printf '<'
  for a in "$@"; do printf '(%s)' "$a"; done
  printf ':%s>\n' "$x"
}
alone() (
  p=$1
  set --
  eval "$p"
)
run() {
  if [ $# -eq 1 ]; then alone "$1"; else p=$1; shift; alone "$p" | run "$@"; fi
}
is_error() {
  for p in "$@"; do (eval "never() { $p
}") </dev/null >/dev/null 2>&1 || return 0; done
  return 1
}
t() {
  text=$1
  shift
  whole=$(alone "$text" </dev/null 2>/dev/null)
  cut=$(run "$@" </dev/null 2>/dev/null)
  if [ "$whole" = "$cut" ]; then :
  elif is_error "$text" && is_error "$@"; then :
  else printf 'text %s\nwhole %s\ncut %s\n' "$text" "$whole" "$cut"; fi
}
"#;

#[test]
fn shells_agree_with_every_cut() {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    };
    let cases = number("STANDPIPE_SPLIT_CASES", 2000);
    let seed = number("STANDPIPE_SPLIT_SEED", 1);
    let mut random = Random(seed.max(1));
    let mut script = PROGRAM.to_owned();
    let mut accepted = 0;
    for _ in 0..cases {
        let text = random.text();
        // A command in the background may print before or after the others.
        let spoken = [" && ", "'&&'", "3>&1", "<&0"];
        let spoken = spoken.iter().fold(text.clone(), |text, known| text.replace(known, ""));
        if spoken.contains('&') || text.contains(">(") {
            continue;
        }
        let Ok(pieces) = split(OsStr::new(&text)) else { continue };
        accepted += 1;
        script += &format!("t {}", quoted(&text));
        for piece in pieces {
            script += &format!(" {}", quoted(piece.to_str().expect("made of UTF-8")));
        }
        script += "\n";
    }
    assert!(accepted * 4 > cases, "only {accepted} of {cases} texts are cut");
    let path = std::env::temp_dir().join(format!("standpipe-split-{}", std::process::id()));
    std::fs::write(&path, format!("{script}echo done\n")).expect("a script is written");
    let shells = ["dash", "bash"].map(|shell| {
        let child = Command::new(shell)
            .arg(&path)
            .current_dir("/proc")
            .env_remove("BASH_ENV")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the test needs dash and bash");
        (shell, child)
    });
    let said = shells.map(|(shell, child)| {
        let output = child.wait_with_output().expect("the shell ends");
        (shell, String::from_utf8_lossy(&output.stdout).into_owned())
    });
    std::fs::remove_file(&path).expect("the script is removed");
    for (shell, said) in said {
        assert_eq!(said, "done\n", "{shell}, seed {seed}, {accepted} of {cases} texts are cut");
    }
}

#[test]
fn pieces_are_parts_of_the_text_in_order() {
    let mut random = Random(3);
    for _ in 0..20_000 {
        let text = if random.below(2) == 0 { random.text() } else { random.soup() };
        let Ok(pieces) = split(OsStr::new(&text)) else { continue };
        let mut rest = text.as_str();
        for piece in pieces {
            let piece = piece.to_str().expect("made of UTF-8");
            let at = rest.find(piece).expect("a part of the text");
            assert!(rest[..at].bytes().all(|byte| b" \t|".contains(&byte)), "{text:?}");
            rest = &rest[at + piece.len()..];
        }
        assert!(rest.bytes().all(|byte| b" \t".contains(&byte)), "{text:?}");
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A xorshift generator: equal seeds give equal texts.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).expect("small")).expect("small")
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn text(&mut self) -> String {
        match self.below(10) {
            0..5 => self.pipeline(2),
            5..8 => {
                let text = self.pipeline(2);
                self.mutated(&text)
            }
            _ => self.soup(),
        }
    }

    fn pipeline(&mut self, depth: usize) -> String {
        let mut text = self.command(depth);
        for _ in 0..self.below(3) {
            text += self.pick(&[" | ", "|", " |", "|  "]);
            text += &self.command(depth);
        }
        text
    }

    fn command(&mut self, depth: usize) -> String {
        if self.below(20) == 0 {
            return self.pick(&TRAPS).to_owned();
        }
        if depth > 0 && self.below(5) == 0 {
            let (open, close) =
                [("(", ")"), ("{ ", "; }"), ("( ", " ) 3>&1"), ("{ ", ";} <&0")][self.below(4)];
            return format!("{open}{}{close}", self.list(depth - 1));
        }
        let mut text = self.pick(&["w", "w", "w", "x=1 w", "3>&1 w", "\\w", "'w'"]).to_owned();
        for _ in 0..self.below(3) {
            text += " ";
            text += &self.argument(depth);
        }
        text
    }

    fn list(&mut self, depth: usize) -> String {
        match self.below(6) {
            0 => format!("if {}; then {}; fi", self.pipeline(depth), self.pipeline(depth)),
            1 => format!("for i in a b; do {}; done", self.pipeline(depth)),
            2 => format!("{} && {}", self.pipeline(depth), self.pipeline(depth)),
            3 => format!("{}; {}", self.pipeline(depth), self.pipeline(depth)),
            _ => self.pipeline(depth),
        }
    }

    fn argument(&mut self, depth: usize) -> String {
        if self.below(20) == 0 {
            return self.pick(&TRAPS).to_owned();
        }
        if depth > 0 && self.below(4) == 0 {
            let list = self.list(depth - 1);
            return match self.below(4) {
                0 => format!("$({list})"),
                1 => format!("\"$({list})\""),
                2 if !list.contains('`') => format!("`{list}`"),
                _ => format!("\"a\"$({list})'b'"),
            };
        }
        self.pick(&[
            "a",
            "b",
            "'|'",
            "\"|\"",
            "\\|",
            "\\\\",
            "'a\"|'",
            "\"'|\"",
            "\"\\\"|\"",
            "a#b",
            "$#",
            "${x:-a|b}",
            "\"${x:-a|b}\"",
            "${#x}",
            "$((1|4))",
            "$x",
            "\"$x\"",
            "{",
            "}",
            "a[1]",
            "'\\'",
            "\"\\\\\"",
            "3>&1",
            ">/dev/null",
            "</dev/null",
            ">|/dev/null",
            "$'a|b'",
            "!",
            "if",
            "$'",
            "a\\ ",
            "'&&'",
            "\";\"",
            "a=b",
            "\"`w '|'`\"",
            "<<<x",
            "''",
        ])
        .to_owned()
    }

    fn mutated(&mut self, text: &str) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        for _ in 0..=self.below(2) {
            let at = self.below(letters.len());
            match self.below(3) {
                0 if letters.len() > 1 => {
                    letters.remove(at);
                }
                1 => letters.insert(at, letters[at]),
                _ => {
                    let token = self.pick(&TOKENS);
                    letters.splice(at..at, token.chars());
                }
            }
        }
        letters.into_iter().collect()
    }

    fn soup(&mut self) -> String {
        let length = 2 + self.below(12);
        let mut text = "w ".to_owned();
        for _ in 0..length {
            text += self.pick(&TOKENS);
        }
        text
    }
}

/// Letters with a meaning.
const TOKENS: [&str; 46] = [
    "w",
    "w ",
    " w a",
    " ",
    " ",
    "|",
    " | w ",
    " | ",
    "\"",
    "'",
    "\\",
    "$",
    "$(",
    ")",
    "`",
    "{ ",
    "; }",
    "{",
    "}",
    "#",
    " #",
    "&&",
    "||",
    ";",
    "<",
    ">",
    "/dev/null",
    "3>&1",
    "${x",
    "${x:-",
    "}",
    "(",
    "((",
    "))",
    "$((",
    "[",
    "]",
    "a[",
    "!",
    " case x in x) ",
    " esac",
    " [[ ",
    "$'",
    "\n",
    "<(",
    "a",
];

/// Whole texts that one careless scanner or another would cut wrongly.
const TRAPS: [&str; 8] = [
    r#""$$("|w ")"'"'"#,
    "a[w|w ]=b",
    r"$'\'|w '\''",
    "${x:}-a|b}",
    "$[1|w ]",
    "$(w \")\" ')' `w ')'` | w)",
    "{ w {; w }; }|w",
    "( w '('; w \\( )|w",
];
