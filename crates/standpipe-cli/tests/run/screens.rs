//! What does a person see at a real terminal, and is it theirs again afterwards?

use crate::tmux::Tmux;

/// A run whose third stage is slow, and that ends only when it is told to.
const RUN: &str = "--name nightly --from zero: -- cat :: gzip -9 :: null:";

fn is_full(screen: &str) -> bool {
    screen.starts_with("standpipe") && screen.contains("STAGE / TANK")
}

fn has_verdict(screen: &str) -> bool {
    is_full(screen) && screen.contains("SLOWEST: 3 gzip -9, busy ")
}

/// The screen with its numbers masked, its bars left out and its gaps made one blank.
fn masked(screen: &str) -> Vec<String> {
    let mask = |word: &str| {
        if word.chars().all(|letter| "█▉▊▋▌▍▎▏░▁▂▃▄▅▆▇".contains(letter))
        {
            return String::new();
        }
        let digit = |letter: char| letter.is_ascii_digit() || letter == '.';
        if word.starts_with(digit) && !word.ends_with(':') {
            return "#".to_owned() + word.trim_start_matches(digit);
        }
        word.to_owned()
    };
    let line = |line: &str| {
        let words = line.split_whitespace().map(mask).filter(|word| !word.is_empty());
        words.collect::<Vec<String>>().join(" ")
    };
    screen.lines().map(line).collect()
}

#[test]
fn the_whole_screen_names_the_slow_stage_and_keys_steer_the_run() {
    let tmux = Tmux::open([80, 24]);
    let before = tmux.modes("before ");
    tmux.enter(&format!("$S --view full {RUN}"));
    let screen = tmux.until("the verdict", has_verdict);
    let lines = masked(&screen);
    assert!(lines[0].starts_with("standpipe · nightly running "), "{screen}");
    for line in ["STAGE / TANK RATE BUSY PAUSED STARVED", "# zero: # MiB/s #% #% #%"] {
        assert!(lines.iter().any(|seen| seen == line), "{line:?} is not in\n{screen}");
    }
    assert!(lines.iter().any(|line| line.starts_with("▶ # gzip -9 # ")), "{screen}");
    let keys = "q quit (abort)  d drain and stop  p pause  -/+ rate limit  ? help";
    assert_eq!(screen.lines().last(), Some(keys));
    tmux.press(&["p"]);
    tmux.until("it is paused", |screen| screen.contains("PAUSED by you"));
    tmux.until("nothing moves", |screen| {
        masked(screen).contains(&"# zero: # B/s #% #% #%".to_owned())
    });
    tmux.press(&["p"]);
    tmux.until("it goes on", |screen| {
        !screen.contains("PAUSED by you")
            && masked(screen).contains(&"# zero: # MiB/s #% #% #%".to_owned())
    });
    tmux.press(&["-"]);
    tmux.until("there is a limit", |screen| {
        screen.contains("limit ") && screen.contains("r no limit")
    });
    tmux.press(&["r"]);
    tmux.until("there is none", |screen| !screen.contains("r no limit"));
    tmux.press(&["?"]);
    tmux.until("the help", |screen| screen.contains("KEYS") && screen.contains("? back"));
    tmux.press(&["?", "q"]);
    let screen = tmux.until("the end", |screen| screen.contains("note: stopped after"));
    assert!(screen.contains("before ") && screen.contains("SLOWEST: "), "{screen}");
    assert!(tmux.is_plain());
    assert_eq!(tmux.modes("after "), before);
}

/// Three tanks: of what is made up here, in memory; of two pipes, as large as pipes can be when doubled; of one pipe.
#[test]
fn keys_give_the_tanks_another_size_while_bytes_pass() {
    let tanks = |screen: &str, size: &str| screen.matches(&format!(" of {size}\n")).count();
    for (way, doubled) in [("", 2), ("--fast never ", 3)] {
        let tmux = Tmux::open([80, 24]);
        tmux.enter(&format!("$S --view full --memory 8M {way}{RUN}"));
        tmux.until("tanks of a MiB", |screen| tanks(screen, "1 MiB") == 3);
        tmux.press(&["T"]);
        tmux.until("larger ones", |screen| tanks(screen, "2 MiB") == doubled);
        tmux.press(&["T", "?"]); // there is no memory for that
        tmux.until("the help", |screen| screen.contains("t T"));
        tmux.press(&["?"]);
        tmux.until("the same size", |screen| tanks(screen, "2 MiB") == doubled);
        tmux.press(&["t", "t", "t"]);
        // what is made up here goes into a pipe of a MiB, which is part of the first tank
        tmux.until("smaller ones", |screen| tanks(screen, "256 KiB") >= 2);
        tmux.press(&["q"]);
        tmux.until("the end", |screen| screen.contains("note: stopped after"));
    }
}

#[test]
fn what_was_said_on_the_whole_screen_is_there_when_it_is_gone() {
    let tmux = Tmux::open([80, 24]);
    let before = tmux.modes("before ");
    let fails = "sh -c 'head -c 9M >/dev/null; read line </dev/tty; echo last words >&2; exit 3'";
    tmux.enter(&format!("$S --view full --from zero: -- {fails}; echo exit $?"));
    tmux.until("the whole screen", is_full);
    tmux.press(&["Enter"]);
    let screen = tmux.until("the end", |screen| screen.lines().any(|line| line == "exit 3"));
    assert!(
        screen.contains(
            " last words
error: stage 2"
        ),
        "{screen}"
    );
    assert!(tmux.is_plain());
    assert_eq!(tmux.modes("after "), before);
}

#[test]
fn a_screen_follows_its_size_and_has_three_rows_where_it_is_small() {
    let tmux = Tmux::open([120, 40]);
    tmux.enter(&format!("$S --view full {RUN}"));
    let screen = tmux.until("the verdict", has_verdict);
    assert!(masked(&screen).contains(&"STAGE / TANK IN OUT BUSY PAUSED STARVED".to_owned()));
    tmux.resize([60, 10]);
    tmux.until("three rows", |screen| screen.contains("slowest: 3 gzip -9") && !is_full(screen));
    assert!(tmux.is_plain());
    tmux.resize([20, 5]);
    tmux.until("a line", |screen| screen.contains("0:00:"));
    tmux.resize([80, 24]);
    tmux.until("the whole screen", has_verdict);
    tmux.press(&["C-c"]);
    tmux.until("the end", |screen| screen.contains("note: stopped after"));
    assert!(tmux.is_plain());
}

/// A `q` in a window too small for the whole screen ended the run as soon as the window was large enough.
#[test]
fn what_was_typed_while_the_screen_was_small_is_no_command_later() {
    let tmux = Tmux::open([80, 24]);
    tmux.enter(&format!("$S --view full {RUN}"));
    tmux.until("the verdict", has_verdict);
    for _ in 0..2 {
        tmux.resize([60, 10]);
        tmux.until("three rows", |screen| screen.contains("slowest: ") && !is_full(screen));
        tmux.press(&["q"]);
        tmux.until("it is echoed", |screen| screen.lines().any(|line| line.starts_with('q')));
        tmux.resize([80, 24]);
        tmux.until("the whole screen", has_verdict);
        tmux.press(&["p"]);
        tmux.until("keys are read", |screen| screen.contains("PAUSED by you"));
        tmux.press(&["p"]);
        tmux.until("it goes on", has_verdict);
    }
    tmux.press(&["q"]);
    tmux.until("the end", |screen| screen.contains("note: stopped after"));
}

/// The rows of a wider terminal were left above when it became narrower.
#[test]
fn three_rows_leave_nothing_behind_when_the_size_changes() {
    let tmux = Tmux::open([120, 24]);
    let says = "sh -c 'echo some words >&2; exec cat'";
    tmux.enter(&format!(
        "clear; seq 12; $S --name nightly --from zero: -- {says} :: gzip -9 :: null:"
    ));
    tmux.until("the verdict", |screen| screen.contains("slowest: 3 gzip -9"));
    for columns in [70, 100, 50, 120] {
        tmux.resize([columns, 24]);
        tmux.until("it is drawn anew, once", |screen| {
            let known = if columns > 100 { "4 null:" } else { "slowest: 3 gzip -9" };
            screen.contains(known) && screen.matches("slowest: 3").count() == 1
        });
        let all = tmux.scrolled();
        assert!(all.contains("| some words"), "{all}");
    }
    assert!(tmux.is_plain());
    tmux.press(&["C-c"]);
    let screen = tmux.until("the end", |screen| screen.contains("SLOWEST: "));
    assert!(!screen.contains("slowest: "), "the summary took their place:\n{screen}");
}

#[test]
fn a_stop_gives_the_terminal_back_and_going_on_takes_it_again() {
    for view in ["full", "tanks"] {
        let tmux = Tmux::open([80, 24]);
        let seen = |screen: &str| {
            if view == "full" { has_verdict(screen) } else { screen.contains("slowest: 3 gzip -9") }
        };
        let before = tmux.modes("before ");
        tmux.enter(&format!("$S --view {view} {RUN}"));
        tmux.until("the verdict", seen);
        tmux.press(&["C-z"]);
        tmux.until("it is stopped", |screen| screen.contains("Stopped"));
        assert!(tmux.is_plain());
        assert_eq!(tmux.modes("stopped "), before);
        tmux.enter("clear");
        tmux.until("nothing is left", |screen| !screen.contains("Stopped"));
        tmux.enter("fg");
        tmux.until("it goes on", seen);
        tmux.press(&["C-c"]);
        tmux.until("the end", |screen| screen.contains("note: stopped after"));
        assert!(tmux.is_plain());
        assert_eq!(tmux.modes("after "), before);
    }
}

#[test]
fn whatever_ends_a_run_the_terminal_is_as_it_was() {
    let tmux = Tmux::open([80, 24]);
    let before = tmux.modes("before ");
    let signals =
        [("HUP", 129), ("QUIT", 131), ("ABRT", 134), ("ALRM", 142), ("USR2", 140), ("TERM", 143)];
    for (signal, code) in signals {
        tmux.enter("clear");
        let script = format!(
            "ulimit -c 0; echo $$ >/tmp/{}-pid; exec $S --view full {RUN}",
            std::process::id()
        );
        tmux.enter(&format!("sh -c '{script}'; echo exit $?"));
        tmux.until("the whole screen", is_full);
        let pid = std::fs::read_to_string(format!("/tmp/{}-pid", std::process::id()))
            .expect("it was written");
        let kill = std::process::Command::new("kill").args(["-s", signal, pid.trim()]).status();
        assert!(kill.expect("there is a kill").success());
        tmux.until("the end", |screen| screen.contains(&format!("exit {code}")));
        assert!(tmux.is_plain(), "{signal}");
        assert_eq!(tmux.modes(&format!("{signal} ")), before, "{signal}");
    }
    std::fs::remove_file(format!("/tmp/{}-pid", std::process::id())).expect("it is ours");
}

/// Whoever asks takes the modes away that we have set, by which we know that the answer is not for us.
#[test]
fn a_stage_that_asks_for_a_password_is_given_it() {
    let go = std::env::temp_dir().join(format!("standpipe-go-{}", std::process::id()));
    let asks = "sh -c 'until [ -e $GO ]; do sleep 0.02; done; old=$(stty -g </dev/tty); stty -echo -echonl </dev/tty; \
        printf Password: >/dev/tty; read word </dev/tty; stty $old </dev/tty; \
        echo got $word >&2; cat'";
    for view in ["full", "tanks"] {
        let tmux = Tmux::open_with([100, 30], &[("GO", go.to_str().expect("it is text"))]);
        tmux.enter(&format!("$S --view {view} --from zero:1K -- {asks} :: null:; echo exit $?"));
        tmux.until("the run", |screen| is_full(screen) || screen.contains("slowest: "));
        std::fs::write(&go, "").expect("it can be written");
        tmux.until("the question", |screen| {
            screen.contains(
                "
Password:",
            )
        });
        tmux.press(&["q", "d", "p", "Enter"]);
        let screen = tmux.until("the end", |screen| screen.contains("exit 0"));
        assert!(screen.replace('\n', "").contains("got qdp"), "{view}\n{screen}");
        std::fs::remove_file(&go).expect("it is ours");
        assert!(tmux.is_plain());
    }
}

/// What is typed behind an answer was taken for keys once the question was over.
#[test]
fn what_whoever_asked_has_left_is_no_command() {
    let go = std::env::temp_dir().join(format!("standpipe-left-{}", std::process::id()));
    let asks = "sh -c 'until [ -e $GO ]; do sleep 0.02; done; old=$(stty -g </dev/tty); stty -echo -echonl </dev/tty; \
        printf Password: >/dev/tty; read word </dev/tty; printf thanks >/dev/tty; \
        while [ -e $GO ]; do sleep 0.02; done; stty $old </dev/tty; exec cat'";
    let tmux = Tmux::open_with([100, 30], &[("GO", go.to_str().expect("it is text"))]);
    tmux.enter(&format!("$S --view full --from zero: -- cat :: {asks} :: null:"));
    tmux.until("the run", is_full);
    std::fs::write(&go, "").expect("it can be written");
    tmux.until("the question", |screen| screen.contains("Password:"));
    tmux.press(&["x", "Enter"]);
    tmux.until("it has its answer", |screen| screen.contains("thanks"));
    tmux.press(&["q"]);
    std::fs::remove_file(&go).expect("it is ours");
    // when keys are ours again is not told
    let ended = |screen: &str| screen.contains("note: stopped after");
    let screen = tmux.until("keys are read", |screen| {
        tmux.press(&["-"]);
        screen.contains("r no limit") || ended(screen)
    });
    assert!(!ended(&screen), "{screen}");
    tmux.press(&["q"]);
    tmux.until("the end", ended);
}

#[test]
fn colour_and_letters_are_those_the_terminal_has() {
    for (variables, ascii, colour) in [
        (&[][..], false, true),
        (&[("NO_COLOR", "1")], false, false),
        (&[("LC_ALL", "C")], true, true),
    ] {
        let tmux = Tmux::open_with([80, 24], variables);
        tmux.enter(&format!("clear; $S --view full {RUN}"));
        let mark = if ascii { "> SLOWEST" } else { "▶ SLOWEST" };
        tmux.until("the verdict", |screen| has_verdict(screen) && screen.contains(mark));
        let painted = tmux.painted();
        assert_eq!(painted.contains("\x1b["), colour, "{painted}");
        assert_eq!(tmux.screen().is_ascii(), ascii);
        tmux.press(&["q"]);
        tmux.until("the end", |screen| screen.contains("note: stopped after"));
    }
}

/// What a panic says went to the screen that is gone, and the terminal stayed without echo.
#[test]
fn a_panic_is_readable_and_gives_the_terminal_back() {
    let tmux = Tmux::open([80, 24]);
    let before = tmux.modes("before ");
    // a bell that cannot be rung is a bug, and `q` rings
    let fault = "strace -f -o /dev/null -P 'anon_inode:[eventfd]' -e inject=write:error=EBADF";
    tmux.enter(&format!("{fault} $S --view full {RUN}; echo exit $?"));
    tmux.until("the whole screen", is_full);
    tmux.press(&["C-c"]);
    tmux.until("the end", |screen| screen.contains("exit 1"));
    let screen = tmux.scrolled();
    assert!(screen.contains("an eventfd takes a counter"), "{screen}");
    assert!(tmux.is_plain());
    assert_eq!(tmux.modes("after "), before);
}
