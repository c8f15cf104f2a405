//! Golden screens, with known numbers and without.

use super::*;
use crate::args::ViewChoice;

const STYLE: Style = Style { color: false, ascii: false };
const LINE: Terminal =
    Terminal { is_terminal: true, columns: 100, rows: 24, shape: Shape::Line, style: STYLE };

fn progress() -> Progress {
    let mib = f64::from(1 << 20);
    Progress {
        bytes_in: 1_299_227_607,
        bytes_out: 1_298_227_607,
        elapsed: Duration::from_secs(14),
        rate_in: Some(88.1 * mib),
        rate_out: Some(88.1 * mib),
        total_bytes: None,
        tanks: vec![tank("1>2", 92, 100)],
        slowest: Some(slowest(Who::Output, Some(0.71))),
        ..Progress::default()
    }
}

fn tank(id: &str, level_bytes: u64, high_bytes: u64) -> TankLevel {
    TankLevel { id: id.to_owned(), level_bytes, high_bytes, ..TankLevel::default() }
}

fn slowest(who: Who, confidence: Option<f64>) -> Slowest {
    Slowest { who, busy: None, confidence, why: None, advice: None }
}

#[track_caller]
fn check_line(progress: &Progress, columns: usize, expected: &str) {
    assert_eq!(line::render(progress, columns, STYLE), expected);
}

#[test]
fn a_line_gives_up_the_least_important_first() {
    let all = progress();
    for (columns, expected) in [
        (100, "1.21 GiB 0:00:14 in 88.1 out 88.1 MiB/s tank [#######-] 92% output is slower (71%)"),
        (80, "1.21 GiB 0:00:14 in 88.1 out 88.1 MiB/s tank [#######-] 92% output is slower"),
        (70, "1.21 GiB 0:00:14 in 88.1 out 88.1 MiB/s tank 92% output is slower"),
        (60, "1.21 GiB 0:00:14 in 88.1 out 88.1 MiB/s tank 92%"),
        (45, "1.21 GiB 0:00:14 in 88.1 out 88.1 MiB/s"),
        (20, "1.21 GiB 0:00:14"),
        (10, "1.21 GiB "),
        (1, ""),
        (0, ""),
    ] {
        check_line(&all, columns, expected);
    }
}

#[test]
fn a_known_total_gives_percent_and_eta() {
    let known = Progress { total_bytes: Some(2_598_455_214), ..progress() };
    check_line(
        &known,
        120,
        "1.21 GiB of 2.42 GiB 50% 0:00:14 ETA 0:00:14 in 88.1 out 88.1 MiB/s \
         tank [#######-] 92% output is slower (71%)",
    );
    let still = Progress { rate_in: Some(0.0), slowest: None, ..known };
    check_line(
        &still,
        120,
        "1.21 GiB of 2.42 GiB 50% 0:00:14 ETA - in 0.0 out 88.1 MiB/s tank [#######-] 92%",
    );
    let more = Progress { bytes_in: 200, total_bytes: Some(100), ..Progress::default() };
    check_line(&more, 120, "200 B of 100 B 200% 0:00:00 ETA - in - out - B/s");
}

#[test]
fn what_is_unknown_is_a_dash() {
    check_line(&Progress::default(), 80, "0 B 0:00:00 in - out - B/s");
    let odd = Progress {
        rate_in: Some(f64::NAN),
        rate_out: Some(f64::INFINITY),
        tanks: vec![tank("1>2", 5, 0)],
        slowest: Some(slowest(Who::Nobody, Some(f64::NAN))),
        ..Progress::default()
    };
    check_line(&odd, 100, "0 B 0:00:00 in - out - B/s tank [--------] - no single slowest stage");
    let idle = Progress { rate_in: Some(0.0), rate_out: Some(0.4), ..Progress::default() };
    check_line(&idle, 80, "0 B 0:00:00 in 0 out 0 B/s");
}

#[test]
fn the_fullest_of_several_tanks_is_named() {
    let stage = Who::Stage("2 gzip\x1b[31m 日本".to_owned());
    let several = Progress {
        tanks: vec![tank("1>2", 9, 10), tank("2>3", 1, 10), tank("3>4", 104, 100)],
        slowest: Some(slowest(stage, Some(1.0))),
        ..Progress::default()
    };
    check_line(
        &several,
        100,
        "0 B 0:00:00 in - out - B/s tank 3>4 [########] 104% slowest: 2 gzip\\u{1b}[31m 日本 (100%)",
    );
    let ascii = line::render(&several, 120, Style { ascii: true, ..STYLE });
    assert!(ascii.is_ascii(), "{ascii}");
}

#[test]
fn a_log_line_is_never_cut() {
    assert_eq!(
        plain::render(&progress(), "nightly", STYLE),
        "nightly: 1.21 GiB 0:00:14 in 88.1 out 88.1 MiB/s tank 92% output is slower (71%)"
    );
    assert_eq!(
        plain::render(&Progress::default(), "x\ny", STYLE),
        "x\\ny: 0 B 0:00:00 in - out - B/s"
    );
}

fn summary() -> Summary {
    let stage = |label: &str, busy, paused, starved| StageShares {
        label: label.to_owned(),
        busy: Some(busy),
        paused: Some(paused),
        starved: Some(starved),
    };
    Summary {
        about: false,
        ceiling: None,
        bytes_in: 365_953_024,
        bytes_out: 98_146_304,
        into: None,
        elapsed: Duration::from_secs(89),
        peak_bytes: Some(9_646_899),
        memory_bytes: 64 << 20,
        is_filter: false,
        stages: vec![
            stage("1 pg_dump shop", 0.07, 0.91, 0.02),
            stage("2 zstd -19", 0.99, 0.0, 0.01),
            StageShares { label: "3 ssh backup 'cat > shop.zst'".to_owned(), ..Default::default() },
        ],
        slowest: Some(Slowest {
            who: Who::Stage("2 zstd -19".to_owned()),
            busy: Some(0.99),
            confidence: Some(0.97),
            why: Some("1 pg_dump shop is paused 91% (tank 1>2 98% full)".to_owned()),
            advice: Some("fewer levels (zstd -9) or more threads (zstd -19 -T0)".to_owned()),
        }),
    }
}

#[test]
fn a_summary_says_the_answer_first() {
    assert_eq!(
        summary().render(100, STYLE),
        "\
SLOWEST: 2 zstd -19, busy 99%
  why: 1 pg_dump shop is paused 91% (tank 1>2 98% full)
  try: fewer levels (zstd -9) or more threads (zstd -19 -T0)
349 MiB in, 93.6 MiB out, 0:01:29, in 3.9 MiB/s, out 1.1 MiB/s
tanks held at most 9.20 MiB of 64 MiB
    stage                          busy  paused  starved
    1 pg_dump shop                   7%     91%       2%
  ▶ 2 zstd -19                      99%      0%       1%
    3 ssh backup 'cat > shop.zst'     -       -        -
"
    );
    let narrow = summary().render(50, Style { color: true, ascii: true });
    assert!(narrow.starts_with("\x1b[1mSLOWEST: 2 zstd -19, busy 99%\x1b[0m\n"), "{narrow}");
    assert!(narrow.contains("\n  > 2 zstd -19 "), "{narrow}");
    assert!(narrow.lines().skip(1).all(|line| terminal::columns(line) <= 50), "{narrow}");
}

/// `124 MiB out` was what went into `gzip > FILE`.
#[test]
fn what_a_last_command_takes_is_not_called_out() {
    let into = Summary { into: Some("3 ssh backup 'cat > shop.zst'".to_owned()), ..summary() };
    let text = into.render(120, STYLE);
    let narrow = into.render(80, STYLE);
    let numbers = "349 MiB in, 93.6 MiB into stage 3, 0:01:29, in 3.9 MiB/s, into it 1.1 MiB/s\n";
    assert!(narrow.contains(numbers), "{narrow}");
    let numbers = "349 MiB in, 93.6 MiB into 3 ssh backup 'cat > shop.zst', 0:01:29, in 3.9 MiB/s, into it 1.1 MiB/s";
    assert!(text.contains(numbers), "{text}");
    assert!(!text.contains("out"), "{text}");
    let alone = Summary { into: Some("1 gzip".to_owned()), ..Summary::default() };
    assert_eq!(
        alone.render(80, STYLE),
        "0:00:00; what 1 gzip moved was not counted: it is alone\n"
    );
}

/// The rows were padded to the longest label, whatever that was.
#[test]
fn a_long_label_is_cut_in_a_log_too() {
    let long = format!("2 python3 -c {}", "x".repeat(3000));
    let mut summary = summary();
    summary.stages[1].label.clone_from(&long);
    summary.into = Some(long.clone());
    summary.slowest = Some(Slowest { busy: Some(0.99), ..slowest(Who::Stage(long), None) });
    let text = summary.render(LOG_COLUMNS, STYLE);
    assert!(text.lines().all(|line| terminal::columns(line) <= 120), "{text}");
    let cut = format!("2 python3 -c {}...", "x".repeat(24));
    assert!(text.starts_with(&format!("SLOWEST: {cut}, busy 99%\n")), "{text}");
    assert!(text.contains(&format!("▶ {cut}   99%      0%       1%\n")), "{text}");
}

#[test]
fn bytes_that_were_only_watched_are_about() {
    let watched = Summary { about: true, ..summary() };
    let text = watched.render(80, STYLE);
    let counted = summary().render(80, STYLE).replace("\n349 ", "\nabout 349 ");
    let without_tanks: Vec<&str> =
        counted.lines().filter(|line| !line.starts_with("tanks ")).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), without_tanks);
    check_line(
        &Progress { about: true, ..Progress::default() },
        80,
        "about 0 B 0:00:00 in - out - B/s",
    );
}

#[test]
fn a_summary_without_numbers_has_dashes() {
    assert_eq!(
        Summary::default().render(80, STYLE),
        "0 B in, 0 B out, 0:00:00, in -, out -\ntanks held at most - of 0 B\n"
    );
    let unsure = Summary {
        slowest: Some(Slowest { confidence: Some(0.3), ..slowest(Who::Nobody, None) }),
        ..Summary::default()
    };
    assert!(unsure.render(80, STYLE).starts_with("SLOWEST: no single stage, unsure\n"));
    for columns in 0..30 {
        summary().render(columns, STYLE);
    }
}

#[test]
fn a_report_names_the_cure_last() {
    let report = Report::new(Severity::Note, "stage 2 `head` stopped reading");
    assert_eq!(report.render(STYLE), "note: stage 2 `head` stopped reading\n");
    let report = Report {
        hint: Some("did you mean `zstd`? nothing was started".to_owned()),
        ..Report::new(Severity::Error, "`zstdd` not found on PATH (stage 2)")
    };
    assert_eq!(
        report.render(STYLE),
        "error: `zstdd` not found on PATH (stage 2)\nhint: did you mean `zstd`? nothing was started\n"
    );
    let report = Report {
        details: vec!["stage 3 of 3 (file)".to_owned(), "nothing\twas published".to_owned()],
        hint: Some("use another disk".to_owned()),
        ..Report::new(Severity::Warning, "cannot write `a\nb`")
    };
    assert_eq!(
        report.render(Style { color: true, ascii: false }),
        "\x1b[1;33mwarning:\x1b[0m cannot write `a\\nb`\n  stage 3 of 3 (file)\n  \
         nothing\\twas published\n\n\x1b[1;36mhint:\x1b[0m use another disk\n"
    );
}

#[test]
fn the_terminal_decides_last() {
    let look = |display: Display, is_terminal, variables: &[(&str, &str)]| {
        Terminal::new(&display, is_terminal, [0, 0], &|name| {
            let xterm = ("TERM", "xterm");
            let found = variables.iter().chain([&xterm]).find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    };
    let utf8 = ("LANG", "de_DE.UTF-8");
    let auto = Display::default();
    let terminal = look(auto, true, &[utf8]);
    assert_eq!(terminal.columns, 80);
    assert_eq!(terminal.style, Style { color: true, ascii: false });
    let color = |display, is_terminal, variables| look(display, is_terminal, variables).style.color;
    let always = Display { color: When::Always, ..auto };
    let never = Display { color: When::Never, ..auto };
    assert!(!color(auto, false, &[]));
    assert!(!color(auto, true, &[("NO_COLOR", "1"), ("FORCE_COLOR", "1")]));
    assert!(color(auto, true, &[("NO_COLOR", "")]));
    assert!(color(auto, false, &[("FORCE_COLOR", "1")]));
    assert!(color(auto, false, &[("CLICOLOR_FORCE", "1")]));
    assert!(!color(auto, false, &[("CLICOLOR_FORCE", "0")]));
    assert!(color(always, false, &[("NO_COLOR", "1")]));
    assert!(!color(never, true, &[("FORCE_COLOR", "1")]));
    assert!(!color(auto, true, &[("TERM", "dumb")]));
    assert!(!color(auto, true, &[("TERM", "")]));
    let ascii = |display, variables| look(display, true, variables).style.ascii;
    assert!(ascii(auto, &[]));
    assert!(ascii(auto, &[("LC_ALL", "C"), ("LANG", "C.UTF-8")]));
    assert!(!ascii(auto, &[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]));
    assert!(ascii(Display { ascii: true, ..auto }, &[utf8]));
}

#[test]
fn a_stage_with_a_long_name_says_more_than_its_name() {
    let mut view = View::new(Vec::new(), Terminal { is_terminal: false, ..LINE }, None);
    for (name, shown) in
        [("x".repeat(60), "x".repeat(60)), ("é".repeat(5000), "é".repeat(57) + "...")]
    {
        view.out.clear();
        view.child_line(&name, b"word");
        assert_eq!(String::from_utf8_lossy(&view.out), format!("{shown}| word\n"));
    }
}

#[test]
fn the_view_suits_stderr() {
    let shape = |view, quiet, is_terminal, term: &str| {
        let display = Display { view, quiet, ..Display::default() };
        Terminal::new(&display, is_terminal, [80, 24], &|name| {
            (name == "TERM").then(|| term.into())
        })
        .shape
    };
    for view in [ViewChoice::Auto, ViewChoice::Line] {
        assert_eq!(shape(view, false, true, "xterm"), Shape::Line);
        assert_eq!(shape(view, false, true, "dumb"), Shape::Plain);
        assert_eq!(shape(view, false, true, ""), Shape::Plain, "it does not tell");
        assert_eq!(shape(view, false, false, "xterm"), Shape::Nothing);
        assert_eq!(shape(view, true, true, "xterm"), Shape::Nothing);
    }
    assert_eq!(shape(ViewChoice::Tanks, false, true, "xterm"), Shape::Tanks);
    assert_eq!(shape(ViewChoice::Tanks, false, true, "dumb"), Shape::Plain);
    assert_eq!(shape(ViewChoice::Tanks, false, false, "xterm"), Shape::Nothing);
    assert_eq!(shape(ViewChoice::Plain, false, false, ""), Shape::Plain);
    assert_eq!(shape(ViewChoice::Plain, true, false, ""), Shape::Nothing);
    assert_eq!(shape(ViewChoice::None, false, true, ""), Shape::Nothing);
}

#[test]
fn a_line_is_redrawn_and_gives_way() {
    let mut view = View::new(Vec::new(), LINE, None);
    view.progress(&Progress::default());
    view.child_line("zstd", b"50 %\x07\xff");
    view.progress(&Progress::default());
    view.report(&Report::new(Severity::Note, "x"));
    view.progress(&Progress::default());
    view.status(&Progress::default());
    view.close_line();
    let line = "\r0 B 0:00:00 in - out - B/s\x1b[K";
    let expected = format!(
        "{line}\r\x1b[Kzstd| 50 %\\u{{7}}\\xff\n{line}\r\x1b[Knote: x\n{line}\n\
         standpipe: 0 B 0:00:00 in - out - B/s\n"
    );
    assert_eq!(String::from_utf8_lossy(&view.out), expected);
}

#[test]
fn a_log_gets_a_line_each_ten_seconds() {
    let terminal = Terminal { shape: Shape::Plain, is_terminal: false, ..LINE };
    let mut view = View::new(Vec::new(), terminal, Some("n"));
    for seconds in [0, 5, 9, 10, 11, 19, 35, 36, 40] {
        view.progress(&Progress { elapsed: Duration::from_secs(seconds), ..Progress::default() });
    }
    let text = String::from_utf8_lossy(&view.out);
    let times: Vec<&str> = text.lines().map(|line| &line[7..14]).collect();
    assert_eq!(times, ["0:00:10", "0:00:35", "0:00:40"], "{text}");
}

#[test]
fn a_summary_is_shown_when_it_is_wanted() {
    let shown_of = |is_filter, when, quiet, is_terminal, outcome| {
        let display = Display { summary: when, quiet, ..Display::default() };
        let terminal = Terminal { is_terminal, shape: Shape::Nothing, ..LINE };
        let mut view = View::new(Vec::new(), terminal, None);
        let verdict = Some(slowest(Who::Nobody, None));
        let summary = Summary { is_filter, slowest: verdict, ..Summary::default() };
        view.summary(&summary, &display, outcome);
        !view.out.is_empty()
    };
    // a filter in a script keeps quiet, a run of its own says how it went
    assert!(shown_of(false, When::Auto, false, false, Outcome::Succeeded));
    let shown =
        |when, quiet, is_terminal, outcome| shown_of(true, when, quiet, is_terminal, outcome);
    assert!(shown(When::Auto, false, true, Outcome::Succeeded));
    assert!(!shown(When::Auto, false, false, Outcome::Succeeded));
    assert!(shown(When::Auto, false, false, Outcome::Failed));
    assert!(!shown(When::Auto, true, true, Outcome::Failed));
    assert!(shown(When::Always, true, false, Outcome::Succeeded));
    assert!(!shown(When::Never, false, true, Outcome::Failed));
}

#[test]
fn a_broken_display_breaks_nothing() {
    let mut small = [0_u8; 4];
    let mut view = View::new(small.as_mut_slice(), LINE, None);
    view.progress(&Progress::default());
    view.report(&Report::new(Severity::Error, "longer than four bytes"));
}

mod screens;
