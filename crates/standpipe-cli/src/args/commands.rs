//! Which commands are there, and which topics of help?
//!
//! One row a command: the dispatch, `help`, the completions and the "did you mean" read the same
//! table.

/// A command, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Run,
    Check,
    Doctor,
    Completions,
    Help,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) task: Task,
    pub(super) name: &'static str,
    /// How it is called, a form a line.
    pub(super) usage: &'static [&'static str],
    pub(super) text: &'static str,
    /// What `help NAME` adds.
    pub(super) details: &'static str,
}

/// All commands, in the order of the long help.
pub(super) const COMMANDS: [Command; 5] = [
    Command {
        task: Task::Run,
        name: "run",
        usage: &[
            "standpipe [run] [OPTIONS] -c 'CMD | CMD | CMD'",
            "standpipe [run] [OPTIONS] -- STAGE [:: STAGE]...",
            "standpipe [run] [OPTIONS] -f PIPELINE.toml",
            "producer | standpipe [run] [OPTIONS] | consumer",
        ],
        text: "Run a pipeline (what standpipe does when no command is named)",
        details: "\
With -c a shell pipeline is cut at its top-level pipes, and each piece is run by
sh. What is no single pipeline (&&, ||, ;, a loop) is refused. After -- no shell
is involved: words are arguments, a lone :: separates stages, \\:: is a literal
one. Without stages one tank joins the ends.

With --observe sh runs the text of -c whole, whatever it is, and standpipe only
watches: it has no tanks and no ends, and numbers of bytes are about.

Options stand before the first stage. `standpipe --help` lists them.
",
    },
    Command {
        task: Task::Check,
        name: "check",
        usage: &[
            "standpipe check [OPTIONS] PIPELINE.toml",
            "standpipe check [OPTIONS] -c | -- ...",
        ],
        text: "Read a pipeline, start nothing, print the plan",
        details: "\
Reads a pipeline file (- is stdin) or the stages after -c or --, looks up its
programs and files, and prints the stages, the tanks, and the most memory they
can hold. It connects to nothing and writes nothing. What a run would refuse is
refused with the same code: 125, or 126 and 127 for programs. Options are those
of a run and beat the file.
",
    },
    Command {
        task: Task::Doctor,
        name: "doctor",
        usage: &[
            "standpipe doctor [--for TIME] [--json] [--allow FINDING] PID | NAME",
            "standpipe doctor [--for TIME] [--json] [--allow FINDING] -c 'A | B'",
            "standpipe doctor [--json] [--allow FINDING] RECORD.jsonl",
        ],
        text: "Say which stage of any pipeline is slow and why: by PID or NAME",
        details: "\
Watches a pipeline for 10 s, or as long as --for says, and names its slow stage.
PID is any of its stages, or the shell that runs it; NAME is a program's. With
-c the pipeline is started, by sh, and watched until it ends; what it writes to
stdout goes to stderr, for stdout is for what the doctor says. RECORD.jsonl is
what a run has written with --json=RECORD.jsonl: its times are exact.

A run of standpipe of yours tells its own, exact numbers if both have the same
XDG_RUNTIME_DIR: it listens there, in standpipe/PID.sock, for you and root only.

It needs no preparation and no privilege, and changes nothing: /proc says what
each process waits for and how full the pipes are. Other users' processes are
refused. A program that waits for several things at once does not say for what;
then the levels of its pipes decide, and the answer says so.

Exit codes: 0 nothing is wrong (a slow stage is no fault), 1 there are findings
that --allow does not name, 125 it could not look. Findings:
  stalled        nothing moves, and the input is not just idle
  stopped-early  a stage has ended before the one above it
  failed         the run on record failed, or has no end
  pipe-held      a stage has ended and something it started keeps its pipe open
  pipe-budget    the user has no pipes to spare, so tanks are small
and of the TCP connection of a slow stage (the kernel counts what held it up):
  remote-slow        the peer does not read as fast
  send-buffer-small  the send buffer holds less than is on the way
  network-slow       neither: the way itself
",
    },
    Command {
        task: Task::Completions,
        name: "completions",
        usage: &["standpipe completions bash | zsh | fish"],
        text: "Print what a shell needs to complete words",
        details: "\
Where each shell looks for them:
  bash:  ~/.local/share/bash-completion/completions/standpipe
  zsh:   _standpipe, in a directory of $fpath
  fish:  ~/.config/fish/completions/standpipe.fish
",
    },
    Command {
        task: Task::Help,
        name: "help",
        usage: &["standpipe help [COMMAND | TOPIC]", "standpipe help --man"],
        text: "Commands, uris, sizes, exit-codes, files, json, built-ins, views",
        details: "\
With --man it prints the manual page: `standpipe help --man | man -l -`.
`standpipe help json --schema` prints the JSON Schema of the events.
",
    },
];

/// Finds a command by its name.
pub(super) fn by_name(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// Lists the names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.name)
}
