//! What does a person see at a real terminal, whole screens of it, in every state and size?
//!
//! A file each, as it was captured once: it can be looked at as it is. Compared are words, marks and their order;
//! numbers, bars and gaps are masked, and the log is left out, since what happens first is a matter of chance.
//!
//! A changed screen is captured anew by `STANDPIPE_SNAPSHOTS=write cargo test -p standpipe-cli --test run captures`;
//! look at what it wrote.

use std::fs;
use std::path::Path;

use crate::rig::Scratch;
use crate::tmux::Tmux;

const SIZES: [[u16; 2]; 3] = [[40, 10], [80, 24], [120, 40]];

/// Says whether captures are to be written.
pub(crate) fn writes() -> bool {
    std::env::var_os("STANDPIPE_SNAPSHOTS").is_some_and(|how| how == "write")
}

/// A word with its number masked; bars and rules are no words.
fn masked(word: &str) -> String {
    if word.chars().all(|letter| "█▉▊▋▌▍▎▏▕░┊▁▂▃▄▅▆▇─".contains(letter))
    {
        return String::new();
    }
    let is_number = |word: &str| {
        let digits = |letter: char| letter.is_ascii_digit() || ".:".contains(letter);
        let rest = word.trim_start_matches(digits);
        rest.len() < word.len() && (rest.chars().all(|letter| "%hms0123456789.".contains(letter)))
    };
    match word {
        "B" | "KiB" | "MiB" | "GiB" => "B".to_owned(),
        "B/s" | "KiB/s" | "MiB/s" | "GiB/s" => "B/s".to_owned(),
        word if is_number(word) => "#".to_owned(),
        word => match word.split_once('(').zip(word.strip_suffix(')')) {
            Some(((before, _), inside)) if is_number(&inside[before.len() + 1..]) => {
                format!("{before}(#)")
            }
            _ => word.to_owned(),
        },
    }
}

/// A clock at the begin of a line: something that happened.
fn is_told(line: &str) -> bool {
    let clock = line.split("  ").next().unwrap_or_default();
    clock.matches(':').count() == 2 && clock.chars().all(|l| l.is_ascii_digit() || l == ':')
}

/// The lines of a screen that say what is, and those that say what happened; each masked.
pub(crate) fn lines(screen: &str) -> [Vec<String>; 2] {
    let mask = |line: &str| {
        // said only when the run is as old as that, or as young as this
        let line =
            line.replace(" (last 10 s)", "").replace(", unsure", "").replace([',', ';'], " , ");
        let words = line.split_whitespace().map(masked).filter(|word| !word.is_empty());
        // `1.06 of 64 MiB`, and a little later `944 KiB of 64 MiB`
        words.collect::<Vec<_>>().join(" ").replace("# of #", "# B of #")
    };
    let (told, is): (Vec<&str>, Vec<&str>) = screen.lines().partition(|line| is_told(line));
    let masked = |lines: Vec<&str>| {
        let lines = lines.into_iter().map(mask).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>()
    };
    [masked(is), masked(told)]
}

/// Holds what is on the screen, now or soon, to its file.
#[track_caller]
fn check(tmux: &Tmux, name: &str, is_there: impl Fn(&str) -> bool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/captures");
    let path = path.join(format!("{name}.txt"));
    if writes() {
        let screen = tmux.until(name, is_there);
        fs::write(&path, screen.trim_end().to_owned() + "\n").expect("the capture is written");
        return;
    }
    let captured = fs::read_to_string(&path).expect("the capture is there");
    let expected = own(&captured);
    tmux.until(&format!("{name}: {expected:#?}"), |screen| {
        is_there(screen) && own(screen) == expected
    });
}

/// What is ours of a screen; the rest is what was typed, and what a shell says.
fn own(screen: &str) -> Vec<String> {
    let [mut lines, _] = lines(screen);
    if lines.iter().any(|line| line.contains("draining") || line.contains("tanks held")) {
        // who was the slowest of a run that was paused and stopped is a matter of chance
        let verdict = ["SLOWEST:", "▶ SLOWEST:", "why:", "try:"];
        lines.retain(|line| !verdict.iter().any(|word| line.starts_with(word)));
        for line in &mut lines {
            let known = line.split("slowest:").next().unwrap_or_default();
            *line = known.trim_start_matches("▶ ").trim().to_owned();
        }
    }
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    if screen.starts_with("standpipe") {
        return lines;
    }
    if has("Stopped") {
        return vec!["Stopped".to_owned()];
    }
    if has("tanks held") {
        let begins =
            |line: &String| ["note: ", "error: "].iter().any(|word| line.starts_with(word));
        let is_told = |line: &&String| line.as_str() != "Terminated" && line.as_str() != "#";
        let begin = lines.iter().position(begins).unwrap_or(0);
        let lines = lines[begin..].iter().filter(is_told);
        // where a line is cut depends on the numbers in it
        let words =
            if screen.lines().any(|line| line.chars().count() > 60) { usize::MAX } else { 3 };
        let first = |line: &String| line.split(' ').take(words).collect::<Vec<_>>().join(" ");
        return lines.map(first).collect();
    }
    lines[lines.len().saturating_sub(3)..].to_vec()
}

/// Whether a screen is drawn for so many columns and rows.
fn suits(screen: &str, [columns, rows]: [u16; 2]) -> bool {
    if columns < 80 || rows < 24 {
        return !screen.starts_with("standpipe");
    }
    let rule = "─".repeat(columns.into());
    screen.lines().count() == usize::from(rows) && screen.lines().nth(2) == Some(&rule)
}

/// A run whose third stage is slow, and whose last one ends when it is told to.
const RUN: &str = "--name nightly --from zero: -- cat :: gzip -9 :: \
    sh -c 'echo $PPID >$GO.pid; cat >/dev/null; until [ -e $GO ]; do sleep 0.02; done'";

fn is_slow(screen: &str) -> bool {
    let word = |found: &str| screen.contains(&format!("{found}: 3 gzip -9"));
    word("SLOWEST") || word("slowest")
}

/// From its begin to its end, with all that a person may do to it meanwhile.
fn walk(view: &str, size: [u16; 2]) {
    let scratch = Scratch::new();
    let go = scratch.path("go");
    let tmux = Tmux::open_with(size, &[("GO", go.to_str().expect("it is text"))]);
    let [columns, rows] = size;
    let name = |state: &str| format!("{view}-{columns}x{rows}-{state}");
    tmux.enter(&format!("clear; $S --view {view} {RUN}"));
    // those that can be seen to have ended
    let stages = if columns < 80 { 1 } else { 3 };
    // a number that is not known yet is a dash
    let is_known = |line: &str| !line.trim_end().ends_with(" -");
    let settled = |screen: &str| is_slow(screen) && screen.lines().all(is_known);
    check(&tmux, &name("running"), settled);
    if view == "full" {
        // keys are read on the whole screen, and what they did is seen on a small one as well
        tmux.resize([80, 24]);
        tmux.until("the whole screen", |screen| suits(screen, SIZES[1]));
        tmux.press(&["p"]);
        tmux.until("it is paused", |screen| screen.contains("PAUSED by you"));
        tmux.resize(size);
        check(&tmux, &name("paused"), |screen| {
            let is_seen = screen.contains("mem 0 B") || screen.contains("paused by you");
            screen.contains("paused ") && is_seen && suits(screen, size)
        });
        tmux.resize([80, 24]);
        tmux.until("the whole screen", |screen| suits(screen, SIZES[1]));
        tmux.press(&["p"]);
        tmux.until("it goes on", |screen| screen.contains("p pause"));
        tmux.resize(size);
        check(&tmux, &name("resized"), |screen| settled(screen) && suits(screen, size));
    }
    tmux.press(&["C-z"]);
    check(&tmux, &name("suspended"), |screen| screen.contains("Stopped"));
    tmux.enter("clear");
    tmux.until("nothing is left", |screen| !screen.contains("Stopped"));
    tmux.enter("fg");
    check(&tmux, &name("resumed"), settled);
    let pid = fs::read_to_string(scratch.path("go.pid")).expect("it was written");
    let kill = std::process::Command::new("kill").args(["-s", "TERM", pid.trim()]).status();
    assert!(kill.expect("there is a kill").success());
    check(&tmux, &name("drained"), |screen| {
        let done = screen.split_whitespace().filter(|word| *word == "done").count();
        screen.contains("draining") && done >= stages
    });
    fs::write(&go, "").expect("it can be written");
    check(&tmux, &name("ended"), |screen| screen.contains("tanks held"));
    fs::remove_file(&go).expect("it is there");
    let wait = "until [ -e $GO ]; do sleep 0.02; done";
    let fails = format!("sh -c '{wait}; echo no space is left >&2; exit 3'");
    tmux.enter(&format!("clear; $S --view {view} --from zero: -- {fails} :: null:"));
    tmux.until("it is slow", |screen| screen.to_lowercase().contains("slowest: 2 sh -c"));
    fs::write(&go, "").expect("it can be written");
    check(&tmux, &name("failed"), |screen| screen.contains("tanks held"));
    assert!(tmux.is_plain());
}

#[test]
fn the_whole_screen_of_80_by_24_is_as_it_was_captured() {
    walk("full", SIZES[1]);
}

#[test]
fn the_whole_screen_of_120_by_40_is_as_it_was_captured() {
    walk("full", SIZES[2]);
}

#[test]
fn a_screen_of_40_by_10_is_as_it_was_captured() {
    walk("full", SIZES[0]);
}

#[test]
fn three_rows_are_as_they_were_captured() {
    walk("tanks", SIZES[1]);
    walk("tanks", SIZES[2]);
}

#[test]
fn a_mask_hides_numbers_and_keeps_words() {
    for (line, expected) in [
        ("1 zero:          24.7 MiB/s      9%     -", "# zero: # B/s # -"),
        ("│ ███▋░░┊░░  11%  117 KiB of 1 MiB", "│ # # B of # B"),
        ("read 2.20 GiB (15%)  ETA 8m8s", "read # B (#) ETA #"),
        ("tank 1>2   last 49 s  ▁▁██  98%", "tank 1>2 last # s #"),
        ("busy 95%, 3 x", "busy # , # x"),
    ] {
        assert_eq!(lines(line)[0], [expected]);
    }
    assert_eq!(lines("0:00:02  tank 1>2 is full"), [vec![], vec!["# tank 1>2 is full".to_owned()]]);
}
