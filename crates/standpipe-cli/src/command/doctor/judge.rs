//! What is wrong with a pipeline that was watched?
//!
//! The verdict is the library's rule for lines without exact numbers. Beside it stands what was seen of the
//! processes, and how far that can be trusted.

use std::time::Duration;

use standpipe::diagnose::Times;

use super::{Known, is_silent};
use crate::command::figures::{Held, Limit, advice_for};
use crate::command::peer::held_up;
use crate::exec::times::{self, BUSY, UNSURE, share};
use crate::size::{percent, size, time};
use crate::view::{Diagnosis, Finding, Slowest, Who, brief};
use crate::watch::{Doing, LinkSeen, Seen};

/// Fewer looks tell nothing.
const LEAST_LOOKS: u32 = 10;
/// Starting a program takes a part of this.
const LEAST: Duration = Duration::from_millis(100);
/// A stage that did not tell for longer than this share makes the verdict unsure.
const SILENT: f64 = 0.5;
/// CPU below this share of one core is none.
const IDLE: f64 = 0.01;
/// Who waits for longer than this share to write into a pipe that is emptier than that share, waits for something
/// else.
const PAUSED: f64 = 0.5;
const EMPTY: f64 = 0.25;

/// Warnings of a run that are findings in its record.
pub(super) const RECORDED: [&str; 3] = ["stopped-early", "pipe-held", "pipe-budget"];

/// Judges what was seen, beside what is known already.
pub(super) fn judge(known: Known, allowed: &[String]) -> Diagnosis {
    let Known { seen, mut findings, ceiling, held } = known;
    let seen = &seen;
    // what is held back on purpose does not move, and that is no fault
    let stalled = stalled(seen).filter(|_| !held.is_some_and(|(held, _)| held.is_limit(0, 0)));
    findings.extend([stalled, stopped_early(seen), connection(seen)].into_iter().flatten());
    for finding in &mut findings {
        finding.allowed = allowed.iter().any(|name| name == finding.name);
    }
    let mut diagnosis = Diagnosis {
        slowest: None,
        ceiling: None,
        cannot_tell: None,
        notes: Vec::new(),
        watched: seen.watched,
        exact: seen.told,
        findings,
    };
    let is_stalled = diagnosis.findings.iter().any(|finding| finding.name == "stalled");
    if seen.links.len() < 2 {
        diagnosis.cannot_tell = Some("one stage alone is no pipeline".to_owned());
    } else if let Some(looks) = seen.looks.filter(|looks| *looks < LEAST_LOOKS) {
        diagnosis.cannot_tell =
            Some(format!("there were only {looks} looks in {}", time(seen.watched)));
    } else if seen.watched < LEAST {
        diagnosis.cannot_tell = Some("it was over at once".to_owned());
    } else if is_stalled {
        diagnosis.cannot_tell = Some("nothing moves, so nothing is slow".to_owned());
    } else {
        verdict(seen, held, &mut diagnosis);
    }
    diagnosis.ceiling = ceiling.filter(|_| diagnosis.slowest.is_some());
    diagnosis
}

fn verdict(seen: &Seen, held: Option<(Held, Limit)>, diagnosis: &mut Diagnosis) {
    let line: Vec<Times> = seen.links.iter().map(|link| link.times).collect();
    let Some(found) = times::slowest(&line) else {
        diagnosis.slowest = Some(nobody());
        return;
    };
    let link = &seen.links[found.stage];
    if let Some((_, by)) = held.filter(|(held, _)| held.is_limit(found.stage, link.times.busy_ns)) {
        diagnosis.slowest = Some(Slowest {
            who: Who::Stage(by.name().to_owned()),
            why: Some(format!("it holds {} back", label(seen, 0))),
            advice: by.advice().map(str::to_owned),
            ..nobody()
        });
        return;
    }
    if is_idle(link, seen) && found.stage == 0 && is_silent(link.doing) && moved(seen, 0) == Some(0)
    {
        diagnosis.cannot_tell =
            Some(format!("{} brings nothing: the pipeline waits for it", label(seen, 0)));
        return;
    }
    let busy = found.busy;
    let contradiction = contradiction(seen, found.stage);
    if let Some(says) = contradiction.as_ref().filter(|_| busy < BUSY) {
        diagnosis.cannot_tell = Some(says.clone());
        return;
    }
    let silent: Vec<String> = neighbours(found.stage, seen.links.len())
        .filter(|at| seen.links[*at].by_level > SILENT)
        .map(|at| label(seen, at))
        .collect();
    let is_unsure = !silent.is_empty() || contradiction.is_some();
    diagnosis.slowest = Some(Slowest {
        who: Who::Stage(named(seen, found.stage)),
        busy: Some(busy),
        confidence: Some(if is_unsure { UNSURE } else { found.confidence() }),
        why: Some(why(seen, found.stage)),
        advice: advice_for(&link.label).or_else(|| own_wait(seen, found.stage)),
    });
    if !silent.is_empty() {
        diagnosis.notes.push(format!(
            "{} did not tell what it waits for; the levels of the pipes decided",
            silent.join(" and ")
        ));
    }
}

fn nobody() -> Slowest {
    Slowest { who: Who::Nobody, busy: None, confidence: None, why: None, advice: None }
}

/// What was seen that cannot be beside a slow stage: somebody waits to write, and yet there is next to nothing to read.
fn contradiction(seen: &Seen, stage: usize) -> Option<String> {
    let waits = |above: usize| {
        let times = &seen.links[above].times;
        let (paused, level) = (share(times.paused_ns, times), seen.links.get(above + 1)?.level?);
        (paused > PAUSED && level < EMPTY).then(|| {
            let (who, reader) = (label(seen, above), label(seen, above + 1));
            let (paused, level) = (percent(paused), percent(level));
            format!(
                "{who} is paused {paused}, though what {reader} reads is {level} full: a limit of \
                 rate between them looks so"
            )
        })
    };
    (stage.saturating_sub(1)..=stage).find_map(waits)
}

/// The stage itself and those beside it: on these a verdict rests.
fn neighbours(stage: usize, count: usize) -> impl Iterator<Item = usize> {
    (stage.saturating_sub(1)..=stage + 1).filter(move |at| *at < count)
}

fn why(seen: &Seen, stage: usize) -> String {
    let mut words = Vec::new();
    if let Some(above) = stage.checked_sub(1) {
        let times = &seen.links[above].times;
        let tank = seen.links[stage].level.map(|level| format!(" (pipe {} full)", percent(level)));
        words.push(format!(
            "{} is paused {}{}",
            label(seen, above),
            percent(share(times.paused_ns, times)),
            tank.unwrap_or_default()
        ));
    }
    if let Some(below) = seen.links.get(stage + 1) {
        let starved = percent(share(below.times.starved_ns, &below.times));
        words.push(format!("{} is starved {starved}", label(seen, stage + 1)));
    }
    let link = &seen.links[stage];
    words.extend(cores(link, seen).map(|cores| format!("it uses {} of a core", percent(cores))));
    if let Some(bytes) = moved(seen, stage).filter(|bytes| *bytes > 0) {
        let about = if seen.told { "" } else { "about " };
        words.push(format!("{about}{} went through", size(bytes)));
    }
    words.join(", ")
}

fn own_wait(seen: &Seen, stage: usize) -> Option<String> {
    let link = &seen.links[stage];
    if link.is_ours && is_limited(&link.label) {
        return Limit::Rate.advice().map(str::to_owned);
    }
    let cores = cores(link, seen)?;
    (cores < 0.2).then(|| {
        "it waits for something of its own: a disk, a network, a timer, another process".to_owned()
    })
}

/// Whether a run of ours that was called so was asked for a limit; what follows these words is of others.
fn is_limited(label: &str) -> bool {
    let mut own = label.split_whitespace().take_while(|word| !["--", "-c"].contains(word));
    own.any(|word| word.starts_with("--rate") || word.starts_with("-r"))
}

/// Nothing moved and nobody worked, though somebody waits for somebody: whom the waits lead to.
fn stalled(seen: &Seen) -> Option<Finding> {
    if seen.looks.is_some_and(|looks| looks < LEAST_LOOKS) || seen.links.len() < 2 {
        return None;
    }
    let still = |(at, link): (usize, &LinkSeen)| moved(seen, at) == Some(0) && is_idle(link, seen);
    let idle = seen.links.iter().enumerate().all(still);
    if !idle || seen.links.iter().all(|link| link.doing == Doing::Gone) {
        return None;
    }
    // from the last stage: who starves waits for the one above, who is paused for the one below
    let mut at = seen.links.len() - 1;
    for _ in 0..seen.links.len() * 2 {
        let times = &seen.links[at].times;
        if times.starved_ns > times.busy_ns.max(times.paused_ns) && at > 0 {
            at -= 1;
        } else if times.paused_ns > times.busy_ns.max(times.starved_ns) && at + 1 < seen.links.len()
        {
            at += 1;
        } else {
            break;
        }
    }
    let link = &seen.links[at];
    let who = label(seen, at);
    let (says, advice) = match link.doing {
        Doing::Stopped => {
            let pid = link.pids.first().copied().unwrap_or_default();
            (format!("{who} is stopped by a signal"), format!("`kill -CONT {pid}` lets it go on"))
        }
        // a source that has nothing to bring is idle, and that is no fault
        _ if at == 0 => return None,
        Doing::Disk => {
            (format!("{who} waits for a disk"), "look for a full or failing disk".to_owned())
        }
        _ => (
            format!("{who} does not read, and waits for something of its own"),
            "see what it waits for: its peer, a lock, a terminal".to_owned(),
        ),
    };
    Some(Finding {
        name: "stalled",
        says: format!("nothing moved for {}: {says}", time(seen.watched)),
        advice: Some(advice),
        allowed: false,
    })
}

/// A stage has ended and the one above it lives on: it learns that when it writes next.
fn stopped_early(seen: &Seen) -> Option<Finding> {
    let gone = |pair: &[LinkSeen]| pair[1].doing == Doing::Gone && pair[0].doing != Doing::Gone;
    let says = match seen.links.windows(2).position(gone) {
        Some(at) => {
            format!("{} has ended, {} has not noticed", label(seen, at + 1), label(seen, at))
        }
        None if seen.unread => {
            let last = seen.links.len().checked_sub(1)?;
            format!("nobody reads what {} writes: its reader has ended", label(seen, last))
        }
        None => return None,
    };
    Some(Finding {
        name: "stopped-early",
        says,
        advice: Some("if it was to read everything, see why it stopped".to_owned()),
        allowed: false,
    })
}

/// The slow stage writes to a peer, and the connection tells who of the two is slow.
fn connection(seen: &Seen) -> Option<Finding> {
    let line: Vec<Times> = seen.links.iter().map(|link| link.times).collect();
    let stage = times::slowest(&line)?.stage;
    let wire = seen.links[stage].wire?;
    let held = held_up(&label(seen, stage), &wire, seen.watched)?;
    Some(Finding {
        name: held.name,
        says: held.says,
        advice: Some(held.advice.to_owned()),
        allowed: false,
    })
}

/// What went through a stage, about: a program also reads its own files. Of one that was not counted those beside it
/// tell, as far as they were.
fn moved(seen: &Seen, stage: usize) -> Option<u64> {
    let counted = |at: usize| seen.links.get(at)?.moved_bytes;
    if let Some((read, written)) = counted(stage) {
        return Some(read.max(written));
    }
    let above = stage.checked_sub(1).and_then(counted).map(|(_, written)| written);
    let below = counted(stage + 1).map(|(read, _)| read);
    above.into_iter().chain(below).min()
}

/// How many cores a stage used, where that is known.
fn cores(link: &LinkSeen, seen: &Seen) -> Option<f64> {
    let seconds = seen.watched.as_secs_f64();
    link.cpu_seconds.map(|used| if seconds > 0.0 { used / seconds } else { 0.0 })
}

fn is_idle(link: &LinkSeen, seen: &Seen) -> bool {
    cores(link, seen).is_some_and(|cores| cores < IDLE)
}

/// A stage in a sentence.
fn label(seen: &Seen, at: usize) -> String {
    brief(&named(seen, at)).into_owned()
}

/// All of its name.
fn named(seen: &Seen, at: usize) -> String {
    let link = &seen.links[at];
    let id = link.id.clone().unwrap_or_else(|| (at + 1).to_string());
    format!("{id} {}", link.label)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::watch::Wire;

    fn judge(seen: &Seen, findings: Vec<Finding>, allowed: &[String]) -> Diagnosis {
        super::judge(Known { findings, ..Known::watched(seen.clone()) }, allowed)
    }

    fn link(label: &str, times: (u64, u64, u64)) -> LinkSeen {
        let (busy, paused, starved) = times;
        LinkSeen {
            id: None,
            label: label.to_owned(),
            pids: vec![1],
            times: Times { busy_ns: busy, paused_ns: paused, starved_ns: starved },
            by_level: 0.0,
            doing: Doing::Runs,
            cpu_seconds: Some(1.0),
            moved_bytes: Some((1 << 20, 1 << 20)),
            level: Some(0.98),
            wire: None,
            is_ours: false,
        }
    }

    fn seen(links: Vec<LinkSeen>) -> Seen {
        Seen {
            links,
            unread: false,
            watched: Duration::from_secs(10),
            looks: Some(1000),
            told: false,
        }
    }

    fn still(mut link: LinkSeen, doing: Doing) -> LinkSeen {
        link.doing = doing;
        link.cpu_seconds = Some(0.0);
        link.moved_bytes = Some((0, 0));
        link
    }

    fn named(diagnosis: &Diagnosis) -> Option<&Who> {
        diagnosis.slowest.as_ref().map(|slowest| &slowest.who)
    }

    /// A script as an argument made a line of thousands of letters, with the number at its end.
    #[test]
    fn a_long_label_is_cut_in_every_sentence() {
        let long = format!("python3 -c {}", "x".repeat(3000));
        let line = [(0, 9, 1), (10, 0, 0), (1, 0, 9)]
            .map(|times| link(&long, times))
            .into_iter()
            .collect();
        let diagnosis = judge(&seen(line), Vec::new(), &[]);
        let why = diagnosis.slowest.as_ref().and_then(|slowest| slowest.why.clone());
        let why = why.expect("there is a verdict");
        assert!(why.contains("... is paused 90%") && why.contains("... is starved 90%"), "{why}");
        let text = crate::view::diagnosis(&diagnosis);
        assert!(text.lines().all(|line| line.len() < 200), "{text}");
        // a program is told all of it
        assert!(diagnosis.json().contains(&long));
    }

    #[test]
    fn every_name_can_be_allowed() {
        use crate::args::FINDINGS;
        let yes = still(link("yes", (0, 9, 0)), Doing::Paused);
        let stopped = vec![yes, still(link("cat", (9, 0, 0)), Doing::Stopped)];
        let mut gone = vec![link("sleep", (9, 0, 0)), link("head", (1, 0, 0))];
        gone[1].doing = Doing::Gone;
        let found = [stopped, gone].map(|line| judge(&seen(line), Vec::new(), &[]).findings);
        let names: Vec<&str> = found.iter().flatten().map(|finding| finding.name).collect();
        assert_eq!(names, ["stalled", "stopped-early"]);
        let of_peers = ["remote-slow", "send-buffer-small", "network-slow"];
        let all = names.into_iter().chain(RECORDED).chain(of_peers).chain(["failed"]);
        let mut all: Vec<&str> = all.collect();
        all.sort_unstable();
        all.dedup();
        let mut known = FINDINGS.to_vec();
        known.sort_unstable();
        assert_eq!(all, known);
    }

    #[test]
    fn the_slow_stage_is_named_with_its_evidence() {
        let line = [link("cat", (4, 96, 0)), link("gzip -6", (98, 1, 1)), link("cat", (2, 0, 98))];
        let diagnosis = judge(&seen(line.to_vec()), Vec::new(), &[]);
        let slowest = diagnosis.slowest.expect("a verdict");
        assert_eq!(slowest.who, Who::Stage("2 gzip -6".to_owned()));
        let why = slowest.why.expect("evidence");
        assert!(why.contains("1 cat is paused 96% (pipe 98% full), 3 cat is starved 98%"), "{why}");
        assert!(diagnosis.findings.is_empty());
    }

    #[test]
    fn a_silent_stage_makes_it_unsure_and_that_is_said() {
        let mut line = vec![link("cat", (4, 96, 0)), link("node x.js", (98, 1, 1))];
        line[1].by_level = 0.9;
        let diagnosis = judge(&seen(line), Vec::new(), &[]);
        assert!(diagnosis.notes[0].contains("2 node x.js did not tell"), "{diagnosis:?}");
        assert_eq!(diagnosis.slowest.and_then(|slowest| slowest.confidence), Some(0.5));
    }

    /// A compressor that was starved for most of the time was named, for sure: the limit was that of the rate.
    #[test]
    fn a_source_that_is_held_back_on_purpose_makes_no_stage_slow_and_no_stall() {
        let line = vec![link("tar", (10, 90, 0)), link("gzip", (16, 0, 84))];
        let judged = |line: &[LinkSeen], held_ns, full_ns| {
            let held = Some((Held { held_ns, full_ns }, Limit::Rate));
            super::judge(Known { held, ..Known::watched(seen(line.to_vec())) }, &[])
        };
        let who = Who::Stage(Limit::Rate.name().to_owned());
        assert_eq!(named(&judged(&line, 90, 0)), Some(&who));
        let said = judged(&line, 90, 0).json();
        assert!(said.contains(r#""stage":null"#), "it is none: {said}");
        assert!(said.contains("the limit of `--rate`: it holds 1 tar back"), "{said}");
        assert_ne!(named(&judged(&line, 40, 50)), Some(&who), "the tank was full");
        assert_ne!(named(&judged(&line, 15, 0)), Some(&who), "it was busy for longer");
        let paused = [
            still(link("tar", (0, 100, 0)), Doing::Paused),
            still(link("gzip", (50, 0, 50)), Doing::Waits),
        ];
        assert_eq!(judged(&paused, 0, 0).findings[0].name, "stalled");
        let held = judged(&paused, 100, 0);
        assert_eq!((held.findings.len(), named(&held)), (0, Some(&who)), "{held:?}");
    }

    /// It was taken for a program that waits for a disk or a network.
    #[test]
    fn a_filter_that_is_held_back_by_its_own_limit_is_advised_what_its_summary_says() {
        let advice = |label: &str, is_ours| {
            let filter = LinkSeen { is_ours, cpu_seconds: Some(0.01), ..link(label, (100, 0, 0)) };
            let line = vec![link("tar", (2, 98, 0)), filter, link("cat", (1, 0, 99))];
            let found = judge(&seen(line), Vec::new(), &[]).slowest.expect("there is one");
            found.advice.expect("there is some")
        };
        let own = Limit::Rate.advice().expect("there is some");
        assert_eq!(advice("standpipe -q --rate 2MB/s", true), own);
        assert_eq!(advice("/usr/bin/standpipe -r2M", true), own);
        for (label, is_ours) in [
            ("standpipe -q", true),
            ("standpipe -- sleep --rate 3", true),
            ("standpipe -c cat | pv --rate", true),
            ("pv --rate 2M", false),
        ] {
            assert!(advice(label, is_ours).starts_with("it waits for something"), "{label}");
        }
    }

    #[test]
    fn a_stage_that_is_seldom_busy_is_not_named_for_sure() {
        let unsure = |line: &[LinkSeen]| {
            let slowest = judge(&seen(line.to_vec()), Vec::new(), &[]).slowest;
            slowest.expect("a verdict").confidence == Some(0.5)
        };
        let line = [link("tar", (10, 90, 0)), link("gzip", (16, 0, 84))];
        assert!(unsure(&line));
        assert!(!unsure(&[line[0].clone(), link("gzip", (84, 0, 16))]));
        let mut line = vec![line[0].clone(), link("gzip", (84, 0, 16))];
        line[1].level = Some(0.01);
        assert!(unsure(&line), "nobody waits to write into an empty pipe");
        line[1].times = Times { busy_ns: 16, paused_ns: 0, starved_ns: 84 };
        let why = judge(&seen(line), Vec::new(), &[]).cannot_tell.expect("it cannot");
        assert!(
            why.starts_with("1 tar is paused 90%, though what 2 gzip reads is 1% full"),
            "{why}"
        );
    }

    #[test]
    fn of_a_stage_that_was_not_counted_those_beside_it_tell() {
        let moved_at = |all: &[Option<(u64, u64)>], at| {
            let link = |moved_bytes: &Option<(u64, u64)>| LinkSeen {
                moved_bytes: *moved_bytes,
                ..link("x", (1, 0, 0))
            };
            moved(&seen(all.iter().map(link).collect()), at)
        };
        let (tar, gzip) = (Some((9, 20)), Some((19, 3)));
        for (line, at, bytes) in [
            (&[tar, None, gzip][..], 1, Some(19)),
            (&[tar, gzip], 0, Some(20)),
            (&[None, gzip], 0, Some(19)),
            (&[tar, None], 1, Some(20)),
            (&[None, None], 0, None),
        ] {
            assert_eq!(moved_at(line, at), bytes, "{line:?} {at}");
        }
    }

    #[test]
    fn a_stall_leads_to_who_does_not_go_on() {
        let line = vec![
            still(link("yes", (0, 100, 0)), Doing::Paused),
            still(link("sh", (100, 0, 0)), Doing::Waits),
            still(link("cat", (0, 0, 100)), Doing::Starved),
        ];
        let diagnosis = judge(&seen(line.clone()), Vec::new(), &[]);
        assert!(diagnosis.findings[0].says.contains("2 sh does not read"), "{diagnosis:?}");
        assert!(named(&diagnosis).is_none() && diagnosis.cannot_tell.is_some());
        assert!(judge(&seen(line), Vec::new(), &["stalled".to_owned()]).findings[0].allowed);
    }

    #[test]
    fn a_stopped_stage_is_told_how_to_go_on() {
        let line = vec![
            still(link("yes", (0, 100, 0)), Doing::Paused),
            still(link("cat", (100, 0, 0)), Doing::Stopped),
        ];
        let diagnosis = judge(&seen(line), Vec::new(), &[]);
        assert!(diagnosis.findings[0].says.contains("2 cat is stopped by a signal"));
        assert_eq!(diagnosis.findings[0].advice.as_deref(), Some("`kill -CONT 1` lets it go on"));
    }

    #[test]
    fn an_idle_source_is_no_stall() {
        let line = vec![
            still(link("tail -f log", (100, 0, 0)), Doing::Waits),
            still(link("grep x", (0, 0, 100)), Doing::Starved),
        ];
        let diagnosis = judge(&seen(line), Vec::new(), &[]);
        assert!(diagnosis.findings.is_empty(), "{diagnosis:?}");
        assert!(
            diagnosis.cannot_tell.is_some_and(|why| why.contains("1 tail -f log brings nothing"))
        );
    }

    #[test]
    fn a_reader_that_ended_early_is_found() {
        let mut line = vec![link("sleep", (100, 0, 0)), link("head", (1, 0, 0))];
        line[1].doing = Doing::Gone;
        let diagnosis = judge(&seen(line), Vec::new(), &[]);
        assert_eq!(diagnosis.findings[0].name, "stopped-early");
        let mut alone = seen(vec![link("sh", (100, 0, 0))]);
        alone.unread = true;
        assert!(
            judge(&alone, Vec::new(), &[]).findings[0]
                .says
                .starts_with("nobody reads what 1 sh writes")
        );
    }

    #[test]
    fn of_a_slow_stage_with_a_peer_the_connection_says_who_is_slow() {
        let seconds = Duration::from_secs;
        let wire = Wire { busy: seconds(10), unsent_bytes: 1, ..Wire::default() };
        for (wire, name, says) in [
            (
                Wire { window: seconds(9), ..wire },
                "remote-slow",
                "2 nc h 1 kept its window shut 90%",
            ),
            (
                Wire { buffer: seconds(8), ..wire },
                "send-buffer-small",
                "2 nc h 1 was too small 80%",
            ),
            (Wire { resent: 7, ..wire }, "network-slow", "7 segments sent again"),
        ] {
            let mut line = vec![link("cat", (4, 96, 0)), link("nc h 1", (98, 1, 1))];
            line[1].wire = Some(wire);
            let findings = judge(&seen(line.clone()), Vec::new(), &[]).findings;
            assert_eq!(findings[0].name, name);
            assert!(findings[0].says.contains(says), "{findings:?}");
            // a stage that is not the slow one may have a slow peer
            line[1].times = Times { busy_ns: 1, paused_ns: 0, starved_ns: 99 };
            line[0].times = Times { busy_ns: 99, paused_ns: 1, starved_ns: 0 };
            assert!(judge(&seen(line), Vec::new(), &[]).findings.is_empty());
        }
    }

    #[test]
    fn too_short_a_look_is_admitted() {
        let mut short = seen(vec![link("a", (1, 1, 0)), link("b", (1, 0, 1))]);
        (short.looks, short.watched) = (Some(3), Duration::from_millis(30));
        let why = judge(&short, Vec::new(), &[]).cannot_tell;
        assert_eq!(why.as_deref(), Some("there were only 3 looks in 30ms"));
    }
}
