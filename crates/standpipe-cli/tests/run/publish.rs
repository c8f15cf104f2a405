//! What is under the final name if standpipe, or the whole machine, stops between two system calls?
//!
//! `strace` kills the command at each of its steps in turn. For the power, the steps of a run are recorded, and each
//! state that a disk may be in after any of them is held to the same rule: nothing, the old file, or all of the new
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::rig::{BIN, Scratch, run, standpipe};

/// The calls by which a file comes to its name, and those around them.
const CALLS: &str =
    "openat,copy_file_range,splice,read,write,fchmod,fsync,renameat2,rename,linkat,unlink,close";

const NEW: usize = 300_000;

/// How a run writes.
struct Way {
    args: &'static [&'static str],
    /// What was there before.
    old: Option<&'static [u8]>,
    /// A call that the file system does not know.
    refused: Option<&'static str>,
}

const WAYS: [Way; 4] = [
    Way { args: &[], old: None, refused: None },
    Way { args: &["--overwrite"], old: Some(b"old"), refused: None },
    Way { args: &["--fast", "never"], old: None, refused: None },
    // Without a rename that never replaces, a link and an unlink have to do.
    Way { args: &[], old: None, refused: Some("inject=renameat2:error=EINVAL") },
];

fn prepared(way: &Way) -> Scratch {
    let scratch = Scratch::new();
    scratch.file("in", &[b'n'; NEW]);
    if let Some(old) = way.old {
        scratch.file("out", old);
    }
    scratch
}

/// Runs the command under `strace`; the signal that ended it, and its finished calls in order: thread, name, line.
fn trace(scratch: &Scratch, way: &Way, kill: Option<&str>) -> (Option<i32>, Vec<[String; 3]>) {
    let log = scratch.arg("log");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-o", &log, "-e", &format!("trace={CALLS}")]);
    for inject in way.refused.iter().copied().chain(kill) {
        command.args(["-e", inject]);
    }
    command.arg(BIN).args(way.args).arg("-q");
    command.args(["--from", &scratch.arg("in"), "--to", &scratch.arg("out")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().expect("strace is there: `.ci/run` installs it");
    let text = String::from_utf8_lossy(&scratch.read("log")).into_owned();
    std::fs::remove_file(log).expect("it was written");
    let mut begun: BTreeMap<String, String> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (thread, rest) = line.split_once(' ').expect("a thread and what it does");
        let mut line = rest.trim_start().to_owned();
        if let Some(start) = line.strip_suffix("<unfinished ...>") {
            begun.insert(thread.to_owned(), start.to_owned());
            continue;
        }
        if let Some((_, end)) = line.split_once("resumed>") {
            line = begun.remove(thread).unwrap_or_default() + end;
        }
        if let Some((name, _)) = line.split_once('(')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            calls.push([thread.to_owned(), name.to_owned(), line]);
        }
    }
    (status.signal(), calls)
}

fn hidden(scratch: &Scratch) -> Vec<String> {
    scratch.names().into_iter().filter(|name| name.starts_with('.')).collect()
}

#[test]
fn a_kill_at_any_step_leaves_nothing_the_old_file_or_all_of_the_new_one() {
    for way in &WAYS {
        let (_, calls) = trace(&prepared(way), way, None);
        // Each call by its name and its number within its thread, as `strace` counts.
        let mut numbers: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        let mut steps = BTreeSet::new();
        let mut began = false;
        for [thread, name, line] in &calls {
            let number = numbers.entry((thread, name)).or_default();
            *number += 1;
            // What comes before the output is touched has no say in what is there.
            began |= line.contains(".out.standpipe-");
            if began {
                steps.insert((name, *number));
            }
        }
        let (mut outcomes, mut kills) = (BTreeSet::new(), 0);
        for (name, number) in steps {
            let scratch = prepared(way);
            let kill = format!("inject={name}:signal=KILL:when={number}");
            let (signal, _) = trace(&scratch, way, Some(&kill));
            // How often a thread reads may differ by one from run to run; one that is not killed is whole.
            assert!(matches!(signal, None | Some(9)), "{kill}: {signal:?}");
            kills += u32::from(signal.is_some());
            let out = std::fs::read(scratch.path("out")).ok();
            let is_new = out.as_deref() == Some(&[b'n'; NEW]);
            assert!(
                is_new || (signal.is_some() && out.as_deref() == way.old),
                "{kill}: {:?} bytes",
                out.map(|out| out.len())
            );
            outcomes.insert(is_new);
            // A hidden file may be left; it hinders nobody, is never taken up again, and says what it is.
            let left = hidden(&scratch);
            assert!(left.len() <= 1 && left.iter().all(|name| name.starts_with(".out.standpipe-")));
            let again =
                ["-q", "--overwrite", "--from", &scratch.arg("in"), "--to", &scratch.arg("out")];
            assert_eq!(run(standpipe(&again)).code(), 0);
            assert_eq!((scratch.read("out").len(), hidden(&scratch)), (NEW, left));
        }
        assert!(kills >= 8, "{kills} kills");
        assert_eq!(outcomes, BTreeSet::from([false, true]), "both sides of the rename were seen");
    }
}

/// A step of a run, as far as a disk is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A hidden file is made.
    Create,
    /// Bytes are written to it.
    Data,
    SyncFile,
    /// It gets the final name, and keeps the other if it is a link.
    Name,
    Unlink,
    SyncDirectory,
}

fn steps(calls: &[[String; 3]], scratch: &Scratch) -> Vec<Step> {
    let directory = scratch.path("");
    let directory = format!("<{}>", directory.to_str().expect("it is UTF-8").trim_end_matches('/'));
    let step = |[_, name, line]: &[String; 3]| {
        let (ours, failed) = (line.contains(".out.standpipe-"), line.contains("= -1 "));
        Some(match name.as_str() {
            _ if failed => return None,
            "openat" if ours => Step::Create,
            "copy_file_range" | "splice" | "write" if ours && !line.ends_with("= 0") => Step::Data,
            "fsync" if ours => Step::SyncFile,
            "fsync" if line.contains(&directory) => Step::SyncDirectory,
            "renameat2" | "rename" | "linkat" if ours => Step::Name,
            "unlink" if ours => Step::Unlink,
            _ => return None,
        })
    };
    calls.iter().filter_map(step).collect()
}

/// What may be under the final name after the power has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Before,
    Part,
    Whole,
}

/// All that may be found if the power goes after these steps. The names are those of some moment since the
/// directory was last synced, in the order in which they were given; the bytes are all there only if they were
/// synced after the last one was written. Nothing else is promised by a disk.
fn after_power_cut(steps: &[Step]) -> BTreeSet<Found> {
    let last = |step| steps.iter().rposition(|other| *other == step);
    let is_safe = last(Step::SyncFile) > last(Step::Data);
    let synced = last(Step::SyncDirectory).map_or(0, |at| at + 1);
    (synced..=steps.len())
        .flat_map(|names| match steps[..names].contains(&Step::Name) {
            false => vec![Found::Before],
            true if is_safe => vec![Found::Whole],
            true => vec![Found::Part, Found::Whole],
        })
        .collect()
}

#[test]
fn a_power_cut_at_any_step_leaves_nothing_the_old_file_or_all_of_the_new_one() {
    for way in &WAYS {
        let scratch = prepared(way);
        let (signal, calls) = trace(&scratch, way, None);
        let steps = steps(&calls, &scratch);
        assert!(
            signal.is_none() && steps.contains(&Step::Data) && steps.contains(&Step::Name),
            "{steps:?}"
        );
        for at in 0..=steps.len() {
            let found = after_power_cut(&steps[..at]);
            assert!(!found.contains(&Found::Part), "after {:?}", &steps[..at]);
        }
        // Whoever has seen a success finds the new file for good.
        assert_eq!(after_power_cut(&steps), BTreeSet::from([Found::Whole]), "{steps:?}");
    }
}

#[test]
fn the_model_of_a_power_cut_knows_a_wrong_order() {
    use Step::{Create, Data, Name, SyncDirectory, SyncFile};
    let found = |steps: &[Step]| after_power_cut(steps).into_iter().collect::<Vec<_>>();
    assert_eq!(found(&[Create, Data, SyncFile, Name, SyncDirectory]), [Found::Whole]);
    assert_eq!(found(&[Create, Data, SyncFile, Name]), [Found::Before, Found::Whole]);
    assert_eq!(found(&[Create, Data, Name, SyncDirectory]), [Found::Part, Found::Whole]);
    assert_eq!(
        found(&[Create, Data, SyncFile, Data, Name]),
        [Found::Before, Found::Part, Found::Whole]
    );
    assert_eq!(found(&[Create, Data, SyncFile]), [Found::Before]);
}

/// Half an archive stayed behind, and nobody said a word of it: `>` is the shell's.
#[test]
fn a_file_that_the_shell_writes_is_told_of_when_the_run_fails() {
    let scratch = Scratch::new();
    let within = |args: &[&str]| {
        let mut command = standpipe(args);
        command.current_dir(scratch.arg(""));
        run(command)
    };
    let note = "note: `> y.gz` is written by the shell and may be incomplete";
    let cure = "; `-o y.gz` writes it only on success";
    let done = within(&["-c", "sh -c 'echo x; exit 3' | gzip -9 > y.gz 2> log"]);
    done.failed(3, &[&format!("{note}{cure}\n")]);
    assert_eq!(done.err.matches("written by the shell").count(), 1, "{}", done.err);
    let told = done.events("warning");
    assert!(told.iter().any(|told| told["code"] == "note" && told["stage"] == "2"), "{told:?}");
    assert!(done.err.contains(" into 2 gzip -9 > y.gz 2> log, "), "{}", done.err);
    // what a stage in the middle writes is not what `-o` would write
    let done = within(&["-c", "tee z > y.gz | sh -c 'cat; exit 3'"]);
    done.failed(3, &[&format!("{note}\n")]);
    let done = within(&["--timeout", "300ms", "-c", "yes | cat >> y.gz"]);
    done.failed(124, &["note: `>> y.gz` is written by the shell and may be incomplete\n"]);
    for (code, args) in [
        (0, &["-c", "echo x | gzip > y.gz"][..]),
        (3, &["-q", "-c", "sh -c 'exit 3' | gzip > y.gz"]),
        (3, &["-c", "sh -c 'exit 3' | gzip > /dev/null"]),
        (3, &["-c", "sh -c 'exit 3' | gzip > never/y"]),
    ] {
        let done = within(args);
        assert!(done.code() == code || args[1].contains("never"), "{args:?}: {}", done.err);
        assert!(!done.err.contains("written by the shell"), "{args:?}: {}", done.err);
    }
}
