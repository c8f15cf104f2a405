//! Is the picture in the README what the program shows today?
//!
//! `docs/screen.svg` is drawn from `tests/snapshots/picture.txt`, a screen of a real run with its colours. The run is
//! made again, and the screen has to say the same; so the picture cannot become an old one.
//!
//! Both are written anew by `STANDPIPE_SNAPSHOTS=write cargo test -p standpipe-cli --test run picture`; look at them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::captures::{lines, writes};
use crate::tmux::Tmux;

/// What the README says was typed.
const RUN: &str = "--view full -o usr.tar.xz -- tar c /usr :: xz :: @hash sha256";
const SIZE: [u16; 2] = [80, 25];

/// Pixels of a cell, and round the screen.
const CELL: [f64; 2] = [9.0, 19.0];
const MARGIN: f64 = 14.0;

const SCREEN: &str = "#12161d";
const FRAME: &str = "#3d4653";
const PLAIN: &str = "#d5dbe3";
const FAINT: &str = "#7d8794";
const STRONG: &str = "#ffffff";
const SLOW: &str = "#ff7ad9";
const WATER: &str = "#4cc2e0";
const BAD: &str = "#ff6b6b";
/// The part of a tank that is empty.
const EMPTY: &str = "#2a323d";

/// How cells are painted until the next sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Paint {
    strong: bool,
    faint: bool,
    color: Option<u8>,
}

impl Paint {
    /// What it becomes by a sequence `ESC [ … m`.
    fn then(self, codes: &str) -> Self {
        let codes: Vec<u8> = codes.split(';').map(|code| code.parse().unwrap_or(0)).collect();
        let mut paint = self;
        let mut at = 0;
        while at < codes.len() {
            match codes[at..] {
                [38, 5, color, ..] => {
                    paint.color = Some(color);
                    at += 2;
                }
                [0, ..] => paint = Self::default(),
                [1, ..] => paint.strong = true,
                [2, ..] => paint.faint = true,
                [22, ..] => (paint.strong, paint.faint) = (false, false),
                [code @ 30..=37, ..] => paint.color = Some(code - 30),
                [39, ..] => paint.color = None,
                _ => {}
            }
            at += 1;
        }
        paint
    }

    fn fill(self) -> &'static str {
        match self.color {
            Some(1) => BAD,
            Some(5) => SLOW,
            Some(6) => WATER,
            _ if self.faint => FAINT,
            _ if self.strong => STRONG,
            _ => PLAIN,
        }
    }
}

/// The cells of a line that `tmux` gave with its colours. They are one column wide, each of them.
fn cells(line: &str, paint: &mut Paint) -> Vec<(char, Paint)> {
    let mut cells = Vec::new();
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        if let Some((codes, after)) =
            rest.strip_prefix("\x1b[").and_then(|rest| rest.split_once('m'))
        {
            *paint = paint.then(codes);
            rest = after;
        } else {
            cells.push((letter, *paint));
            rest = &rest[letter.len_utf8()..];
        }
    }
    cells
}

/// Parts of a cell that a letter fills: from the left, from the bottom.
fn block(letter: char) -> Option<[f64; 2]> {
    let eighths = |letters: &str| letters.chars().position(|known| known == letter);
    let share = |at: usize| f64::from(u8::try_from(at + 1).expect("there are eight")) / 8.0;
    match letter {
        '░' => Some([1.0, 0.8]),
        '█' => Some([1.0, 0.8]),
        _ => eighths("▏▎▍▌▋▊▉")
            .map(|at| [share(at), 0.8])
            .or_else(|| eighths("▁▂▃▄▅▆▇").map(|at| [1.0, share(at) * 0.8])),
    }
}

/// Draws a screen as a picture.
fn svg(screen: &str, title: &str) -> String {
    let [columns, rows] = SIZE.map(f64::from);
    let (width, height) = (columns * CELL[0] + 2.0 * MARGIN, rows * CELL[1] + 2.0 * MARGIN);
    let plain = screen.lines().map(|line| {
        let cells = cells(line, &mut Paint::default());
        cells.iter().map(|(letter, _)| *letter).collect::<String>().trim_end().to_owned()
    });
    let plain = escaped(&plain.collect::<Vec<_>>().join("\n"));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\">\n<title>{}</title>\n<desc>\n{plain}\n</desc>\n\
         <rect x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"{SCREEN}\" stroke=\"{FRAME}\"/>\n\
         <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace\" \
         font-size=\"15\" xml:space=\"preserve\">\n",
        escaped(title),
        width - 1.0,
        height - 1.0,
    );
    let mut paint = Paint::default();
    for (row, line) in screen.lines().enumerate() {
        let top = MARGIN + CELL[1] * f64::from(u16::try_from(row).expect("it is a screen"));
        draw_row(&mut svg, &cells(line, &mut paint), top);
    }
    svg + "</g>\n</svg>\n"
}

/// A run of cells that are drawn alike: of text, a rule, or a bar, by what they have in common.
fn kind(letter: char, paint: Paint) -> (u8, &'static str) {
    match letter {
        ' ' => (0, ""),
        '─' => (1, FRAME),
        '░' => (2, EMPTY),
        '█' => (2, paint.fill()),
        _ if block(letter).is_some() => (3, paint.fill()),
        '┊' => (4, paint.fill()),
        '│' => (6, FAINT),
        _ => (5, paint.fill()),
    }
}

fn draw_row(svg: &mut String, cells: &[(char, Paint)], top: f64) {
    let mut at = 0;
    while at < cells.len() {
        let (letter, paint) = cells[at];
        let (what, fill) = kind(letter, paint);
        // words of one colour are one text, with single blanks between them; what has gaps is placed anew
        let mut end = at + 1;
        let same = |end: usize| {
            let (letter, next) = cells[end];
            let blank =
                what == 5 && letter == ' ' && cells.get(end + 1).is_some_and(|c| c.0 != ' ');
            blank || (kind(letter, next) == (what, fill) && next.strong == paint.strong)
        };
        while !matches!(what, 3 | 4 | 6) && end < cells.len() && same(end) {
            end += 1;
        }
        let column = |at: usize| f64::from(u16::try_from(at).expect("it is a screen")) * CELL[0];
        let (left, wide) = (MARGIN + column(at), column(end) - column(at));
        let box_of = |[share, high]: [f64; 2], fill: &str| {
            let (height, wide) = (CELL[1] * high, wide * share);
            let y = top + CELL[1] * 0.9 - height;
            format!(
                "<rect x=\"{left:.2}\" y=\"{y:.2}\" width=\"{wide:.2}\" height=\"{height:.2}\" fill=\"{fill}\"/>\n"
            )
        };
        match what {
            1 => {
                let y = top + CELL[1] / 2.0;
                let x = left + wide;
                writeln!(svg, "<path d=\"M{left:.2} {y:.2}H{x:.2}\" stroke=\"{fill}\"/>")
                    .expect("it is a string");
            }
            2 => *svg += &box_of([1.0, 0.8], fill),
            3 => {
                let share = block(letter).expect("it is one");
                if share[0] < 1.0 {
                    *svg += &box_of([1.0, 0.8], EMPTY);
                }
                *svg += &box_of(share, fill);
            }
            4 => {
                *svg += &box_of([1.0, 0.8], EMPTY);
                *svg += &box_of([0.2, 0.8], fill);
            }
            6 => *svg += &box_of([0.15, 1.0], fill),
            5 => {
                let y = top + CELL[1] * 0.75;
                let weight = if paint.strong { " font-weight=\"bold\"" } else { "" };
                let text: String = cells[at..end].iter().map(|cell| cell.0).collect();
                writeln!(
                    svg,
                    "<text x=\"{left:.2}\" y=\"{y:.2}\" textLength=\"{wide:.2}\" lengthAdjust=\"spacingAndGlyphs\" \
                     fill=\"{fill}\"{weight}>{}</text>",
                    escaped(&text)
                )
                .expect("it is a string");
            }
            _ => {}
        }
        at = end;
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The lines of a screen without its colours, masked.
fn said(screen: &str) -> [Vec<String>; 2] {
    let mut paint = Paint::default();
    let plain = screen
        .lines()
        .map(|line| cells(line, &mut paint).into_iter().map(|cell| cell.0).collect::<String>());
    lines(&plain.collect::<Vec<_>>().join("\n"))
}

/// Which tones a line has, in their order.
fn tones(screen: &str) -> Vec<Vec<&'static str>> {
    let mut paint = Paint::default();
    let tones = screen.lines().map(|line| {
        let cells = cells(line, &mut paint);
        let letters = cells.iter().filter(|cell| cell.0 != ' ');
        let mut tones: Vec<&str> = letters.map(|cell| cell.1.fill()).collect();
        tones.dedup();
        tones
    });
    tones.take(7).collect()
}

#[test]
fn the_picture_is_what_is_shown_today() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (capture, picture) = (
        root.join("crates/standpipe-cli/tests/snapshots/picture.txt"),
        root.join("docs/screen.svg"),
    );
    let scratch = crate::rig::Scratch::new();
    let tmux = Tmux::open_with(SIZE, &[("HERE", scratch.path("").to_str().expect("it is text"))]);
    tmux.enter(&format!("cd $HERE; clear; $S {RUN}"));
    if writes() {
        let seen = |screen: &str| {
            let row = screen.lines().find(|line| line.starts_with("   1 tar c /usr"));
            let clock = screen.lines().next().and_then(|line| line.split("0:00:").nth(1));
            let is_old = clock.is_some_and(|seconds| seconds.trim_end() >= "12");
            is_old && row.is_some_and(|row| row.contains("MiB/s"))
        };
        tmux.until("the verdict of ten seconds", seen);
        fs::write(&capture, tmux.painted().trim_end().to_owned() + "\n").expect("it is written");
    }
    let captured = fs::read_to_string(&capture).expect("the capture is there");
    let drawn = svg(&captured, &format!("standpipe {RUN}"));
    if writes() {
        fs::write(&picture, &drawn).expect("it is written");
    }
    assert!(fs::read_to_string(&picture).expect("it is there") == drawn, "not of its capture");
    let [is, told] = said(&captured);
    let readme = fs::read_to_string(root.join("README.md")).expect("it is there");
    assert!(readme.contains(&format!("standpipe {RUN}")) && readme.contains("(docs/screen.svg)"));
    tmux.until(&format!("the picture: {is:#?}"), |screen| {
        let [now, has_told] = lines(screen);
        // a tank may be full for the first time at any time
        let mut told = told.iter().filter(|line| !line.contains("is full"));
        now == is && told.all(|line| has_told.contains(line))
    });
    assert_eq!(tones(&tmux.painted()), tones(&captured));
    tmux.press(&["q"]);
    tmux.until("the end", |screen| screen.contains("note: stopped after"));
}

#[test]
fn colours_are_read_as_tmux_writes_them() {
    let paint = |codes: &str| Paint::default().then(codes);
    assert_eq!(paint("0;1").fill(), STRONG);
    assert_eq!(paint("1").then("38;5;5").fill(), SLOW);
    assert_eq!(paint("36").then("39").then("49"), Paint::default());
    assert_eq!(paint("2").fill(), FAINT);
    let mut paint = Paint::default();
    let cells = cells("a\x1b[31mb\x1b[0m", &mut paint);
    let letters: Vec<_> = cells.iter().map(|(letter, paint)| (*letter, paint.fill())).collect();
    assert_eq!(letters, [('a', PLAIN), ('b', BAD)]);
}
