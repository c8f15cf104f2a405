//! Whole screens, drawn cell by cell and kept as files.
//!
//! A changed screen is written anew by `STANDPIPE_SNAPSHOTS=write cargo test`; look at what it wrote.

use ratatui::{
    backend::TestBackend,
    buffer::{Buffer, Cell},
};

use super::{story::Story, *};

/// The run of the mock-ups.
fn running() -> Progress {
    let mib = |mib: f64| Some(mib * f64::from(1 << 20));
    let stage = |label: &str, [busy, paused, starved]: [f64; 3]| StageNow {
        shares: StageShares {
            label: label.to_owned(),
            busy: Some(busy),
            paused: Some(paused),
            starved: Some(starved),
        },
        ended: None,
    };
    Progress {
        bytes_in: 365_953_024,
        bytes_out: 97_517_568,
        into: None,
        elapsed: Duration::from_secs(89),
        rate_in: mib(3.9),
        rate_out: mib(1.0),
        total_bytes: Some(2_362_232_013),
        tanks: vec![
            TankLevel { rate_in: mib(3.9), rate_out: mib(3.9), ..tank("1>2", 8_283_750, 8 << 20) },
            TankLevel {
                low_bytes: Some(512 << 10),
                rate_in: mib(1.0),
                rate_out: mib(1.0),
                ..tank("2>3", 117 << 10, 1 << 20)
            },
        ],
        slowest: Some(Slowest {
            who: Who::Stage("2 zstd -19".to_owned()),
            busy: Some(0.99),
            confidence: Some(0.8),
            why: Some("1 pg_dump shop is paused 91%, 3 ssh backup is starved 88%".to_owned()),
            advice: Some("more threads (zstd -T0) or a lower level".to_owned()),
        }),
        about: false,
        stages: vec![
            stage("1 pg_dump shop", [0.07, 0.91, 0.02]),
            stage("2 zstd -19", [0.99, 0.0, 0.01]),
            stage("3 ssh backup 'cat > shop.zst'", [0.09, 0.03, 0.88]),
        ],
        memory_bytes: Some(64 << 20),
        phase: Phase::Running,
        limit: None,
    }
}

/// The same with a stage that failed.
fn failed() -> Progress {
    let mut failed = running();
    failed.stages[2].ended = Some(Outcome::Failed);
    failed.phase = Phase::Stopping;
    failed
}

/// The same at its end: the source has given all it had.
fn drained() -> Progress {
    let mut drained = running();
    drained.stages[0].ended = Some(Outcome::Succeeded);
    drained.tanks[0].level_bytes = 0;
    drained.phase = Phase::Draining;
    drained
}

/// The same, held by a key and limited by another.
fn paused() -> Progress {
    Progress { phase: Phase::Paused, limit: Some(5.0 * 1_048_576.0), ..running() }
}

/// One transform with two outputs.
fn fanned() -> Progress {
    let mut fanned = running();
    let mut mirror = fanned.stages[2].clone();
    mirror.shares.label = "3b tcp://10.0.0.2:9000".to_owned();
    fanned.stages.push(mirror);
    fanned.tanks.push(tank("2>3b", 90, 100));
    fanned
}

/// A minute and a half in which the first tank fills and the second does not.
fn story(progress: &Progress) -> Story {
    let mut story = Story::default();
    for second in 0..=progress.elapsed.as_secs() {
        let mut then = progress.clone();
        then.elapsed = Duration::from_secs(second);
        for (tank, most) in then.tanks.iter_mut().zip([98, 11]) {
            tank.level_bytes = tank.high_bytes * (second * 3).min(most - second % 3) / 100;
        }
        then.slowest = then.slowest.filter(|_| second > 2);
        then.phase = if second < 60 { Phase::Running } else { then.phase };
        story.note(&then);
        if second == 31 {
            story.tell("pg_dump| warning: there are circular foreign-key constraints".to_owned());
        }
    }
    story
}

/// Many stages, with words of others in their names.
fn many() -> Progress {
    let mut many = running();
    let names =
        ["tar c /home", "näh\u{1b}[31m", "日本語の長い名前のコマンド", "x", "gpg -e", "ssh b"];
    for (at, name) in names.iter().enumerate() {
        let mut stage = many.stages[2].clone();
        stage.shares.label = format!("{} {name}", at + 4);
        many.stages.push(stage);
        many.tanks.push(tank(&format!("{}>{}", at + 3, at + 4), 1, 100));
    }
    many
}

/// Holds a screen to its file.
#[track_caller]
fn check(name: &str, screen: &Buffer) {
    let mut text = String::new();
    for row in 0..screen.area.height {
        let mut column = 0;
        let mut line = String::new();
        while column < screen.area.width {
            let symbol = screen[(column, row)].symbol();
            line.push_str(symbol);
            column += u16::try_from(terminal::columns(symbol)).expect("it is short").max(1);
        }
        text += line.trim_end();
        text.push('\n');
    }
    let path = std::path::Path::new("tests/snapshots/screens").join(format!("{name}.txt"));
    if std::env::var_os("STANDPIPE_SNAPSHOTS").is_some_and(|how| how == "write") {
        std::fs::write(&path, &text).expect("the snapshot is written");
    }
    let snapshot = std::fs::read_to_string(&path).expect("the snapshot is there");
    assert_eq!(text, snapshot, "{name}");
}

#[test]
fn three_rows_give_up_the_least_important_first() {
    let runs =
        [("running", running()), ("failed", failed()), ("drained", drained()), ("many", many())];
    for (name, progress) in runs {
        for columns in [40, 80, 120] {
            let rows = tanks::render(&progress, Some("nightly-dump"), columns, STYLE);
            check(&format!("tanks-{name}-{columns}"), &rows);
        }
    }
    check("tanks-nothing-80", &tanks::render(&Progress::default(), None, 80, STYLE));
}

fn whole(progress: &Progress, [keys, help]: [bool; 2], size: [u16; 2], style: Style) -> Buffer {
    let (story, name) = (story(progress), Some("nightly-dump"));
    full::render(&full::Scene { progress, name, story: &story, keys, help }, size, style)
}

#[test]
fn a_whole_screen_has_the_answer_first() {
    let runs = [
        ("running", running()),
        ("failed", failed()),
        ("drained", drained()),
        ("paused", paused()),
        ("many", many()),
        ("fanned", fanned()),
    ];
    for size in [[80, 24], [120, 40]] {
        for (name, progress) in &runs {
            let name = format!("full-{name}-{}x{}", size[0], size[1]);
            check(&name, &whole(progress, [true, false], size, STYLE));
        }
        let help = whole(&running(), [true, true], size, STYLE);
        check(&format!("full-help-{}x{}", size[0], size[1]), &help);
    }
    check("full-nothing-80x24", &whole(&Progress::default(), [false, false], [80, 24], STYLE));
}

/// After twelve seconds the screen told of the last 49.
#[test]
fn a_past_is_no_longer_than_the_run_nor_than_its_room() {
    for (elapsed, told) in [(0, "last  1 s"), (12, "last 13 s"), (300, "last 49 s")] {
        let progress = Progress { elapsed: Duration::from_secs(elapsed), ..running() };
        let screen = whole(&progress, [true, false], [80, 24], STYLE);
        let text: String = screen.content().iter().map(Cell::symbol).collect();
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[test]
fn a_whole_screen_can_be_drawn_at_any_size_and_in_ascii() {
    let style = Style { ascii: true, color: true };
    for columns in (20..=200).step_by(7) {
        for rows in 5..=60 {
            for progress in [many(), fanned(), Progress::default()] {
                let screen = whole(&progress, [true, rows % 2 == 0], [columns, rows], style);
                let text: String = screen.content().iter().map(Cell::symbol).collect();
                assert!(text.is_ascii(), "{columns}x{rows}: {text}");
                assert!(rows % 2 == 0 || rows < 24 || text.contains("SLOWEST"), "{columns}x{rows}");
            }
        }
    }
}

#[test]
fn a_screen_is_drawn_by_a_terminal_as_it_was_meant() {
    let screen = whole(&running(), [true, false], [80, 24], STYLE);
    let mut terminal = ratatui::Terminal::new(TestBackend::new(80, 24)).expect("it is in memory");
    terminal.draw(|frame| frame.buffer_mut().merge(&screen)).expect("it is in memory");
    terminal.backend().assert_buffer(&screen);
}

#[test]
fn three_rows_name_the_slowest_stage_in_any_terminal_and_in_ascii() {
    for columns in 20..200 {
        for progress in [running(), many(), failed(), Progress::default()] {
            let style = Style { ascii: true, color: true };
            let rows = tanks::render(&progress, Some("näme"), columns, style);
            let text: String = rows.content().iter().map(Cell::symbol).collect();
            assert!(text.is_ascii(), "{columns}: {text}");
            assert!(text.contains("slowest: "), "{columns}: {text}");
        }
    }
}

/// `slowest: the limit of` stood there, of a label that was cut.
#[test]
fn a_limit_is_named_in_any_terminal() {
    for (who, said) in [(Who::Rate, "slowest: --rate"), (Who::Key, "slowest: a key")] {
        let held = Slowest { who, ..running().slowest.expect("it has one") };
        for columns in 40..200 {
            for run in [running(), many()] {
                let progress = Progress { slowest: Some(held.clone()), ..run };
                let rows = tanks::render(&progress, Some("nightly-dump"), columns, STYLE);
                let text: String = rows.content().iter().map(Cell::symbol).collect();
                assert!(text.contains(said), "{columns}: {text}");
                let line = line::render(&progress, columns.into(), STYLE);
                assert!(!line.contains("slowest") || line.contains(said), "{columns}: {line}");
            }
        }
    }
}

/// What went into `gzip > FILE` was called what came out of it.
#[test]
fn bytes_that_nobody_saw_leave_are_not_called_written() {
    let into = Progress { into: Some("3 ssh backup 'cat > shop.zst'".to_owned()), ..running() };
    let text = |progress| -> String {
        let screen = whole(progress, [true, false], [80, 24], STYLE);
        screen.content().iter().map(Cell::symbol).collect()
    };
    let shown = text(&into);
    assert!(shown.contains("93.0 MiB into stage 3") && !shown.contains("written"), "{shown}");
    assert!(text(&running()).contains("written 93.0 MiB"));
    assert_eq!(line::rates(&running()), "in 3.9 out 1.0 MiB/s");
    assert_eq!(line::rates(&into), "in 3.9 taken 1.0 MiB/s");
}

#[test]
fn what_others_say_goes_above_the_rows_and_a_summary_takes_their_place() {
    let terminal = Terminal { shape: Shape::Tanks, columns: 80, ..LINE };
    let mut view = View::new(Vec::new(), terminal, None);
    view.progress(&running());
    view.child_line("zstd", b"50 %");
    let text = String::from_utf8_lossy(&view.out).into_owned();
    let (first, rest) = text.split_once("\x1b[3A\x1b[J").expect("it goes up");
    let rows =
        first.strip_prefix("\x1b[?2026h").expect("a frame").replace("\x1b[?2026l\x1b[?2026h\r", "");
    assert_eq!(rest, format!("zstd| 50 %\n{rows}\x1b[?2026l"));
    let shown = view.out.len();
    view.summary(&summary(), &Display::default(), Outcome::Succeeded);
    let text = String::from_utf8_lossy(&view.out[shown..]).into_owned();
    assert!(text.starts_with("\r\x1b[3A\x1b[JSLOWEST: "), "{text:?}");
}
