//! Tables of ends and what they mean together.

use super::*;

/// Reads `"3=5 2!13>3 1=0~64"`: stage 3 exits 5, then 2 dies of signal 13 after 3 was gone, then 1
/// exits 0 and leaves 64 bytes unread. `2=F` and `2=D` are ends that failed and were done.
fn ends(script: &str) -> Vec<StageEnd> {
    script.split_whitespace().map(end).collect()
}

fn end(word: &str) -> StageEnd {
    let (word, unread) = word.split_once('~').map_or((word, None), |(w, n)| (w, Some(n)));
    let (word, below) = word.split_once('>').map_or((word, None), |(w, n)| (w, Some(n)));
    let number = |text: &str| text.parse::<usize>().expect("the script holds numbers");
    let (stage, status) = match word.split_once('=') {
        Some((stage, "F")) => (stage, Status::EndFailed),
        Some((stage, "D")) => (stage, Status::EndDone),
        Some((stage, code)) => (stage, Status::Code(u8::try_from(number(code)).expect("a code"))),
        None => {
            let (stage, signal) = word.split_once('!').expect("`STAGE=CODE` or `STAGE!SIGNAL`");
            (stage, Status::Signal(i32::try_from(number(signal)).expect("a signal")))
        }
    };
    StageEnd {
        stage: number(stage),
        status,
        downstream_gone_before: below.map(number),
        unread_bytes: unread.map(|n| n.parse().expect("bytes")),
    }
}

/// A line: each stage reads from the one before it.
fn line() -> Vec<Option<usize>> {
    (0..8_usize).map(|stage| stage.checked_sub(1)).collect()
}

/// Writes a judgement as `"code [cause] causes.. ; notes.."`.
fn told(judgement: &Judgement) -> String {
    let mut text = judgement.exit.code().to_string();
    if let Some(stage) = judgement.failed {
        text += &format!(" by {stage}");
    }
    text += ":";
    for cause in &judgement.causes {
        text += &match cause {
            Cause::Own => " own".to_owned(),
            Cause::Downstream(stage) => format!(" downstream:{stage}"),
            Cause::Upstream(stage) => format!(" upstream:{stage}"),
        };
    }
    for stop in &judgement.stopped_early {
        let unread = stop.unread_bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
        text += &format!(" early:{}~{unread}", stop.stage);
    }
    text
}

#[track_caller]
fn check(script: &str, expected: &str) {
    assert_eq!(told(&judge(&ends(script), &line(), EarlyStop::Noted)), expected, "{script}");
}

#[track_caller]
fn check_strict(script: &str, expected: &str) {
    assert_eq!(told(&judge(&ends(script), &line(), EarlyStop::Fails)), expected, "{script}");
}

#[test]
fn success_is_every_stage_ending_well() {
    check("", "0:");
    check("1=0", "0: own");
    check("1=0 2=0 3=D", "0: own own own");
    check_strict("1=0 2=0 3=D", "0: own own own");
}

#[test]
fn an_early_reader_that_ends_well_is_a_note() {
    // `yes | head`
    check("2=0~65536 1!13>2", "0: own downstream:2 early:2~65536");
    check_strict("2=0~65536 1!13>2", "125: own downstream:2 early:2~65536");
    // The shell around `yes` says 141; a program that handles EPIPE says what it likes.
    check("2=0 1=141>2", "0: own downstream:2 early:2~-");
    check("2=0 1=1>2", "0: own downstream:2 early:2~-");
    // `seq 3 | head -n1`: the producer was done before, only the bytes left over tell.
    check("1=0 2=0~4", "0: own own early:2~4");
    check_strict("1=0 2=0~4", "125: own own early:2~4");
    // `yes | cat | head`
    check("3=0 2!13>3 1!13>2", "0: own downstream:3 downstream:3 early:3~-");
    check_strict("3=0 2!13>3 1!13>2", "125: own downstream:3 downstream:3 early:3~-");
    // A sink that is a socket: the peer has what it wanted.
    check("2=D~1 1!13>2", "0: own downstream:2 early:2~1");
}

#[test]
fn the_first_failure_by_cause_gives_the_code() {
    // 2 of 3 exits 5, then 1 dies of SIGPIPE.
    check("2=5 1!13>2 3=0", "5 by 2: own downstream:2 own");
    // 1 exits 3, then 2 exits 5.
    check("1=3 2=5", "3 by 1: own upstream:1");
    check("1=3 2=5 3=1", "3 by 1: own upstream:1 upstream:1");
    // The last of three fails, and the line breaks upward.
    check("3=255 2!13>3 1!13>2", "255 by 3: own downstream:3 downstream:3");
    // A failure above the cause that nothing explains is its own, yet not the first.
    check("3=5 1=4", "5 by 3: own own");
    // A failure below an early stop stays a failure.
    check("2=0~9 1!13>2 3=7", "7 by 3: own downstream:2 own early:2~9");
    check_strict("2=0~9 1!13>2 3=7", "7 by 3: own downstream:2 own early:2~9");
}

#[test]
fn a_killed_stage_gives_128_and_the_signal() {
    check("1!9 2=0", "137 by 1: own own");
    check("2!9 1!13>2", "137 by 2: own downstream:2");
    // A stage that gets SIGTERM from a stranger; we do not raise that again.
    check("1!15", "143 by 1: own");
    assert_eq!(judge(&ends("1!15"), &line(), EarlyStop::Noted).exit.raise(), None);
    // SIGPIPE without a reader gone is nobody's consequence: `sh -c 'kill -PIPE $$'`.
    check("1!13 2=0", "141 by 1: own own");
}

#[test]
fn a_failed_end_is_125_and_a_cause() {
    check("3=F 2!13>3 1!13>2", "125 by 3: own downstream:3 downstream:3");
    check("1=F 2=0 3=D", "125 by 1: own own own");
    check("1=F 2=1 3=F", "125 by 1: own upstream:1 upstream:1");
}

#[test]
fn a_reader_that_shuts_its_input_may_end_later() {
    check("1!13>2 2=0", "0: downstream:2 own early:2~-");
    check("1!13>2 2=5", "5 by 2: downstream:2 own");
    check("1!13>2 2!13>3 3=0", "0: downstream:3 downstream:3 own early:3~-");
}

#[test]
fn branches_are_not_to_blame_for_each_other() {
    // 2, 3 and 4 read from 1.
    let above = [None, Some(0), Some(1), Some(1), Some(1)];
    #[track_caller]
    fn check(above: &[Option<usize>], script: &str, expected: &str) {
        assert_eq!(told(&judge(&ends(script), above, EarlyStop::Noted)), expected, "{script}");
    }
    check(&above, "3=F 2=D 4=D 1!13>3", "125 by 3: own own own downstream:3");
    check(&above, "2=F 3=F 4=D 1!13>2", "125 by 2: own own own downstream:2");
    check(&above, "1=5 2=F 4=F", "5 by 1: own upstream:1 upstream:1");
    check(&above, "0=3 1=4 3=F", "3 by 0: own upstream:0 upstream:0");
    // An early stop of one excuses the stage above, and no sibling.
    check(&above, "3=D~9 1!13>3 4=F", "125 by 4: own downstream:3 own early:3~9");
}

#[test]
fn an_unknown_reader_excuses_nobody() {
    check("1!13>2", "141 by 1: own");
    check("2=0 1=3>1", "3 by 1: own own");
}

#[test]
fn codes_are_those_of_the_table() {
    for (exit, code, raise) in [
        (Exit::Success, 0, None),
        (Exit::Stage(1), 1, None),
        (Exit::Stage(255), 255, None),
        (Exit::Timeout, 124, None),
        (Exit::Standpipe, 125, None),
        (Exit::NotExecutable, 126, None),
        (Exit::NotFound, 127, None),
        (Exit::Signal(1), 129, Some(1)),
        (Exit::Signal(2), 130, Some(2)),
        (Exit::Signal(13), 141, Some(13)),
        (Exit::Signal(15), 143, Some(15)),
        (Exit::Signal(9), 137, None),
        (Exit::Signal(300), 255, None),
        (Exit::Signal(-1), 255, None),
    ] {
        assert_eq!((exit.code(), exit.raise()), (code, raise), "{exit:?}");
    }
}

#[test]
fn what_an_end_means_is_certain_once_the_ends_it_follows_are_known() {
    let end = |stage, code, gone: Option<usize>| StageEnd {
        stage,
        status: Status::Code(code),
        downstream_gone_before: gone,
        unread_bytes: None,
    };
    let (first, second, third) = (end(0, 141, Some(1)), end(1, 141, Some(2)), end(2, 0, None));
    assert!(!settled(&[first], &first));
    assert!(!settled(&[first, second], &first), "the second may be a consequence itself");
    assert!(settled(&[first, second, third], &first));
    assert!(settled(&[second, third], &second));
    assert!(settled(&[third], &third));
    let well = end(0, 0, Some(1));
    assert!(settled(&[well], &well), "a success is nobody's consequence");
}
