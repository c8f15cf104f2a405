//! What was typed?
//!
//! # Knows / never knows
//! Knows flags and the shape of the command line. Never knows what they mean together: `plan`
//! does. Words stay `OsString`, byte for byte.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    time::Duration,
};

use crate::size::{self, Amount, Rate, Refusal, Zero};

mod answer;
mod commands;
mod completions;
mod doctor;
mod environment;
mod flag;
mod help;
mod manual;
mod outward;
mod saved;
mod split;
mod word;

use answer::{Answer, answer_to};
use commands::Task;
#[cfg(test)]
pub(crate) use doctor::FINDINGS;
pub(crate) use doctor::{Doctor, Target};
pub(crate) use environment::Environment;
use flag::{Flag, Id};
pub(crate) use help::short_help;
pub(crate) use outward::{Full, Outward};
pub(crate) use saved::{SavedStage, Stderr, Work};
pub(crate) use split::redirected;
pub(crate) use word::{nearest, shown};

/// Which display is wanted on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ViewChoice {
    /// What suits stderr and the form of the run.
    #[default]
    Auto,
    /// One line, redrawn in place.
    Line,
    /// Three rows, redrawn in place.
    Tanks,
    /// The whole screen, and keys.
    Full,
    /// A line each 10 s, for logs.
    Plain,
    /// Nothing but errors.
    None,
}

/// When to do what needs no asking otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum When {
    /// When it seems useful; each option says how that is judged.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// Whether the kernel may move the bytes itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fast {
    /// Wherever it can.
    #[default]
    Auto,
    /// Nowhere: every tank is in user memory.
    Never,
}

/// How a run wants to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Display {
    /// `--view`.
    pub(crate) view: ViewChoice,
    /// `--summary`; `Auto` prints it at a terminal and after a failure.
    pub(crate) summary: When,
    /// `--color`.
    pub(crate) color: When,
    /// `--ascii`.
    pub(crate) ascii: bool,
    /// `-q`: errors only.
    pub(crate) quiet: bool,
    /// How often `-v` was given.
    pub(crate) verbose: u8,
    /// `--json` without a destination: stderr is for events, and nothing is drawn.
    pub(crate) events_on_stderr: bool,
}

/// Where `--json` writes its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EventsTo {
    /// To stderr, where they take the place of the display.
    Stderr,
    /// To a descriptor that is open at start.
    Fd(i32),
    /// To a file, after what is in it.
    File(PathBuf),
}

/// A command line that cannot be run. Its exit code is 125.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsageError {
    /// What is wrong, with the refused value; no `error:` in front, no full stop.
    pub(crate) what: String,
    /// Lines that add numbers, each shown indented.
    pub(crate) details: Vec<String>,
    /// The cure, no `hint:` in front.
    pub(crate) hint: Option<String>,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for UsageError {}

/// What was typed for a run; each word on its own, nothing weighed against another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Typed {
    /// The stages between the ends.
    pub(crate) form: Form,
    /// `--from`.
    pub(crate) from: Option<OsString>,
    /// Each `--to`.
    pub(crate) to: Vec<Outward>,
    /// `--overwrite`.
    pub(crate) overwrite: bool,
    /// `--append`.
    pub(crate) append: bool,
    /// `--total`.
    pub(crate) total: Option<Amount>,
    /// `--memory`.
    pub(crate) memory: Option<Amount>,
    /// `--tank`; it beats those of a file.
    pub(crate) tank: Option<Mark>,
    /// `--low`.
    pub(crate) low: Option<Amount>,
    /// `--rate`.
    pub(crate) rate: Option<Limit>,
    /// `--fast`.
    pub(crate) fast: Fast,
    /// `--strict`.
    pub(crate) strict: bool,
    /// `--timeout`.
    pub(crate) timeout: Option<Duration>,
    /// `--stall`.
    pub(crate) stall: Option<Duration>,
    /// `--drain`.
    pub(crate) drain: Option<Duration>,
    /// `--json`.
    pub(crate) events: Option<EventsTo>,
    /// `--name`.
    pub(crate) name: Option<OsString>,
    /// How it is shown.
    pub(crate) display: Display,
}

/// How the stages were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// Not at all: one tank joins the ends.
    #[default]
    Filter,
    /// By `-c`, cut at its pipes; never empty.
    Shell(Vec<OsString>),
    /// After `--`; never empty, and no stage is.
    Argv(Vec<Vec<OsString>>),
    /// By `-f`: the path, or `-`; [`Typed::load`] reads it.
    File(OsString),
    /// In a file that has been read; never empty.
    Saved(Vec<SavedStage>),
}

/// The high-water mark asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// What suits the memory.
    Auto,
    /// So much.
    Amount(Amount),
}

/// The speed limit asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// None.
    Max,
    /// So fast.
    Rate(Rate),
}

/// What is asked of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Run a pipeline.
    Run(Box<Typed>),
    /// Plan a pipeline, look its programs up, and print the plan to stdout.
    Check(Box<Typed>),
    /// Look at a pipeline that runs.
    Doctor(Doctor),
    /// Let a shell run a text, and watch.
    Observe(Box<Observed>),
    /// Print this to stdout: a help, the manual page, a completion.
    Print(String),
    /// Print the version to stdout.
    Version(Detail),
    /// Nothing, alone at a terminal: print the short help to stderr and exit with 125.
    Nothing,
}

/// A text that is run by a shell and watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// For `sh -c`.
    pub(crate) text: OsString,
    /// `--timeout`.
    pub(crate) timeout: Option<Duration>,
    /// `--name`.
    pub(crate) name: Option<OsString>,
    /// How it is shown.
    pub(crate) display: Display,
}

/// How much of the version is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The number.
    Number,
    /// What the kernel supports, too.
    Kernel,
}

/// Reads the command line, without the program's own name.
///
/// # Errors
/// If it cannot be understood; with the cure.
pub(crate) fn parse(
    argv: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<Request, UsageError> {
    let mut reader = Reader::default();
    let mut argv = argv.into_iter();
    while let Some(word) = argv.next() {
        let bytes = word.as_bytes();
        let bare = reader.bare.take();
        match bytes {
            b"--" => {
                reader.stages(argv.by_ref().collect())?;
                break;
            }
            [b'-', b'-', long @ ..] => reader.long(long, &mut argv)?,
            [b'-', letters @ ..] if !letters.is_empty() => reader.cluster(letters, &mut argv)?,
            _ => reader.word(&word).map_err(|error| meant_as_value(error, bare, &word))?,
        }
        if let Some(answer) = reader.answer {
            return answer_to(answer, reader.typed.display.verbose, argv);
        }
    }
    reader.finish(environment)
}

impl UsageError {
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), details: Vec::new(), hint: Some(hint.into()) }
    }
}

#[derive(Default)]
struct Reader {
    typed: Typed,
    /// The command that was named.
    task: Option<Task>,
    answer: Option<Answer>,
    observe: bool,
    /// The option read last, if it can have a value and has none.
    bare: Option<String>,
}

impl Reader {
    /// Says what is asked for when all words are read.
    fn finish(mut self, environment: &Environment) -> Result<Request, UsageError> {
        if self.observe {
            return self.observed().map(|observed| Request::Observe(Box::new(observed)));
        }
        if let Form::Shell(pieces) = &mut self.typed.form
            && let Some(text) = pieces.pop()
        {
            *pieces = split::split(&text)?;
        }
        let typed = Box::new(self.typed);
        let given = typed.form != Form::Filter || typed.from.is_some() || !typed.to.is_empty();
        match self.task {
            Some(Task::Check) if given => Ok(Request::Check(typed)),
            Some(Task::Check) => Err(UsageError::new(
                "`check` needs a pipeline",
                match typed.events {
                    Some(EventsTo::File(_)) => {
                        "`--json=FILE` is where events go; write `standpipe check PIPELINE.toml`"
                    }
                    _ => "write `standpipe check PIPELINE.toml`",
                },
            )),
            Some(_) => Ok(Request::Run(typed)),
            None if given || !environment.stdin_is_terminal => Ok(Request::Run(typed)),
            None => Ok(Request::Nothing),
        }
    }

    /// Says what is to be watched, and refuses what cannot be done by watching.
    fn observed(self) -> Result<Observed, UsageError> {
        let Typed { form, timeout, name, display, .. } = self.typed.clone();
        let text = match (form, self.task) {
            (Form::Shell(mut pieces), None | Some(Task::Run)) => pieces.pop().unwrap_or_default(),
            (_, Some(Task::Check)) => {
                return Err(UsageError::new(
                    "`--observe` has no plan to check",
                    "leave out one of `check` and `--observe`",
                ));
            }
            _ => {
                return Err(UsageError::new("`--observe` needs `-c`", "write `--observe -c TEXT`"));
            }
        };
        let only = Typed {
            form: self.typed.form.clone(),
            timeout,
            name: name.clone(),
            display,
            ..Typed::default()
        };
        if self.typed != only {
            return Err(UsageError::new(
                "`--observe` only watches: it has no ends, no tanks, no limits and no events",
                "beside it stand `--timeout`, `--name` and options of the display",
            ));
        }
        Ok(Observed { text, timeout, name, display })
    }

    fn long(
        &mut self,
        word: &[u8],
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), UsageError> {
        let (name, glued) = match word.iter().position(|byte| *byte == b'=') {
            Some(at) => (&word[..at], Some(OsStr::from_bytes(&word[at + 1..]).to_owned())),
            None => (word, None),
        };
        let name = shown(OsStr::from_bytes(name));
        let Some(flag) = flag::by_long(&name) else { return Err(unknown_flag(&name)) };
        match (flag.value, glued) {
            (None, None) => self.set_switch(flag.id, Spelling::Long),
            (None, Some(_)) => {
                let what = format!("`--{name}` takes no value");
                return Err(UsageError::new(what, format!("write `--{name}`")));
            }
            (Some(_), Some(value)) => self.set_value(flag, value)?,
            (Some(_), None) if flag.values == flag::Values::Glued => {
                self.set_switch(flag.id, Spelling::Long);
                self.bare = Some(name);
            }
            (Some(_), None) => self.set_value(flag, next_value(flag, rest)?)?,
        }
        Ok(())
    }

    /// Reads `-qv`, `-m64M` and `-m 64M`.
    fn cluster(
        &mut self,
        letters: &[u8],
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), UsageError> {
        for (at, letter) in letters.iter().enumerate() {
            let Some(flag) = flag::by_short(char::from(*letter)) else {
                let word = OsStr::from_bytes(&letters[at..]);
                let letter: String = shown(word).chars().take(1).collect();
                let what = format!("unknown option `-{letter}`");
                return Err(UsageError::new(what, "`standpipe -h` lists the options"));
            };
            if flag.value.is_none() {
                self.set_switch(flag.id, Spelling::Short);
                continue;
            }
            let glued = &letters[at + 1..];
            let value = if glued.is_empty() {
                next_value(flag, rest)?
            } else {
                OsStr::from_bytes(glued).to_owned()
            };
            return self.set_value(flag, value);
        }
        Ok(())
    }

    fn word(&mut self, word: &OsStr) -> Result<(), UsageError> {
        let text = shown(word);
        if let Form::Shell(_) = self.typed.form {
            let what = format!("unexpected word `{text}` after `-c`");
            return Err(UsageError::new(what, "quote the whole pipeline: `-c 'CMD | CMD'`"));
        }
        match (self.task, commands::by_name(&text)) {
            (None, Some(command)) => {
                self.task = Some(command.task);
                match command.task {
                    Task::Run | Task::Check => {}
                    Task::Completions => self.answer = Some(Answer::Completions),
                    Task::Doctor => self.answer = Some(Answer::Doctor),
                    Task::Help => self.answer = Some(Answer::Help),
                }
                return Ok(());
            }
            // `check FILE` is `check -f FILE`
            (Some(Task::Check), _) => return self.form(Form::File(word.to_owned())),
            _ => {}
        }
        if let Form::File(_) = self.typed.form {
            let what = format!("unexpected word `{text}` after `-f`");
            return Err(UsageError::new(what, "a run has one pipeline file, and options"));
        }
        let what = format!("unknown command `{text}`");
        let hint = match nearest(&text, commands::names()) {
            Some(known) => format!("did you mean `{known}`?"),
            None if text.contains('|')
                || (text.contains(' ') && !text.contains(['/', '.', ':'])) =>
            {
                "a whole pipeline goes after `-c`: `standpipe -c 'A | B'`".to_owned()
            }
            None if text == "-" || text.contains(['/', '.', ':']) => {
                format!("to read it write `standpipe --from {text}`; a program goes after `--`")
            }
            None => format!("to run a program put `--` before it: `standpipe -- {text}`"),
        };
        Err(UsageError::new(what, hint))
    }

    /// Takes the stages, which come from one place.
    fn form(&mut self, form: Form) -> Result<(), UsageError> {
        let place = |form: &Form| match form {
            Form::Filter | Form::Saved(_) => None,
            Form::Shell(_) => Some("by `-c`"),
            Form::Argv(_) => Some("after `--`"),
            Form::File(_) => Some("by `-f`"),
        };
        if let (Some(first), Some(second)) = (place(&self.typed.form), place(&form)) {
            let what = format!("stages are given twice, {first} and {second}");
            return Err(UsageError::new(what, "leave out one of them"));
        }
        self.typed.form = form;
        Ok(())
    }

    fn stages(&mut self, words: Vec<OsString>) -> Result<(), UsageError> {
        let mut stages = vec![Vec::new()];
        for word in words {
            match word.as_bytes() {
                b"::" => stages.push(Vec::new()),
                b"|" => {
                    return Err(UsageError::new(
                        "a word after `--` is `|`, which no shell reads here",
                        "`::` separates stages here, or use `-c '…'`; where a program is to get a `|`, \
                         write it into `sh -c '…'`",
                    ));
                }
                bytes => {
                    // `\::` is a lone `::`, `\\::` is `\::`.
                    let escaped = bytes.strip_suffix(b"::").filter(|slashes| {
                        !slashes.is_empty() && slashes.iter().all(|byte| *byte == b'\\')
                    });
                    let word = escaped.map_or(bytes, |_| &bytes[1..]);
                    if let Some(stage) = stages.last_mut() {
                        stage.push(OsStr::from_bytes(word).to_owned());
                    }
                }
            }
        }
        if stages.len() == 1 && stages[0].is_empty() {
            return Err(UsageError::new("no stage follows `--`", "write `-- STAGE [:: STAGE]...`"));
        }
        if let Some(empty) = stages.iter().position(Vec::is_empty) {
            let what = format!("stage {} after `--` is empty", empty + 1);
            return Err(UsageError::new(
                what,
                "a lone `::` separates stages; a literal one is `\\::`",
            ));
        }
        self.form(Form::Argv(stages))
    }

    fn set_switch(&mut self, id: Id, spelling: Spelling) {
        let typed = &mut self.typed;
        match id {
            Id::Overwrite => typed.overwrite = true,
            Id::Append => typed.append = true,
            Id::Strict => typed.strict = true,
            Id::Ascii => typed.display.ascii = true,
            Id::Observe => self.observe = true,
            Id::Quiet => typed.display.quiet = true,
            Id::Json => self.set_events(EventsTo::Stderr),
            Id::Verbose => typed.display.verbose = typed.display.verbose.saturating_add(1),
            // The first of several wins: `-hV` is asked for help.
            Id::Help if self.answer.is_none() => {
                self.answer = Some(match (self.task, spelling) {
                    (Some(task), _) => Answer::Of(task),
                    (None, Spelling::Short) => Answer::ShortHelp,
                    (None, Spelling::Long) => Answer::LongHelp,
                });
            }
            Id::Version if self.answer.is_none() => self.answer = Some(Answer::Version),
            _ => {}
        }
    }

    fn set_value(&mut self, flag: &Flag, value: OsString) -> Result<(), UsageError> {
        let typed = &mut self.typed;
        match flag.id {
            Id::Command => {
                if let Form::Shell(_) = typed.form {
                    return Err(UsageError::new(
                        "`-c` is given twice",
                        "write one pipeline: `-c 'A | B'`",
                    ));
                }
                // it is cut when it is known that it is to be
                self.form(Form::Shell(vec![value]))?;
            }
            Id::File => {
                if let Form::File(first) = &typed.form {
                    let (first, second) = (shown(first), shown(&value));
                    let what = format!("`-f` is given twice, `{first}` and `{second}`");
                    return Err(UsageError::new(what, "a run has one pipeline file"));
                }
                self.form(Form::File(value))?;
            }
            Id::From => once(flag, &mut typed.from, value)?,
            Id::To => typed.to.push(Outward { word: value, full: None }),
            Id::Full => outward::read_full(flag, &mut typed.to, &value)?,
            Id::Total => typed.total = Some(amount(flag, &value, Zero::Refused)?),
            Id::Memory => typed.memory = Some(amount(flag, &value, Zero::Refused)?),
            Id::Tank if value == "auto" => typed.tank = Some(Mark::Auto),
            Id::Tank => {
                typed.tank = Some(Mark::Amount(amount(flag, &value, Zero::Refused)?));
            }
            Id::Low => typed.low = Some(amount(flag, &value, Zero::Allowed)?),
            Id::Rate => {
                let rate = read(flag, "rate", &value, size::read_rate)?;
                typed.rate = Some(rate.map_or(Limit::Max, Limit::Rate));
            }
            Id::Timeout => typed.timeout = Some(time(flag, &value, Zero::Refused)?),
            Id::Stall => typed.stall = Some(time(flag, &value, Zero::Refused)?),
            Id::Drain => typed.drain = Some(time(flag, &value, Zero::Allowed)?),
            Id::Fast => {
                typed.fast = choice(flag, &value, &[("auto", Fast::Auto), ("never", Fast::Never)])?;
            }
            Id::View => typed.display.view = choice(flag, &value, &VIEWS)?,
            Id::Summary => typed.display.summary = choice(flag, &value, &WHENS)?,
            Id::Color => typed.display.color = choice(flag, &value, &WHENS)?,
            Id::Name => typed.name = Some(value),
            Id::Json => self.set_events(events_to(flag, value)?),
            _ => {}
        }
        Ok(())
    }

    /// The last of several wins, as with other choices.
    fn set_events(&mut self, to: EventsTo) {
        self.typed.display.events_on_stderr = to == EventsTo::Stderr;
        self.typed.events = Some(to);
    }
}

/// How a flag was written: `-h` and `--help` differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Short,
    Long,
}

fn events_to(flag: &Flag, value: OsString) -> Result<EventsTo, UsageError> {
    let refuse = |hint| Err(invalid(flag, "value", &value, hint));
    let Some(number) = value.as_bytes().strip_prefix(b"fd:") else {
        return match value.as_bytes() {
            b"" | b"-" => refuse("write a FILE, or `fd:1` if no data goes to stdout"),
            bytes if bytes.windows(3).any(|part| part == b"://") => {
                refuse("events go to a FILE or `fd:N`; a file of that name is `./NAME`")
            }
            _ => Ok(EventsTo::File(value.into())),
        };
    };
    let number =
        str::from_utf8(number).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    match number.and_then(|text| text.parse().ok()) {
        None | Some(0) => refuse("write the number of an open descriptor: `fd:3`"),
        Some(2) => Ok(EventsTo::Stderr),
        Some(number) => Ok(EventsTo::Fd(number)),
    }
}

/// Gives the cure of a word that was refused behind an option whose value is glued on.
fn meant_as_value(error: UsageError, bare: Option<String>, word: &OsStr) -> UsageError {
    // a command with a slip in it is one all the same
    let is_command = nearest(&shown(word), commands::names()).is_some();
    match bare.filter(|_| !is_command) {
        Some(name) => {
            let hint = format!("did you mean `--{name}={}`?", shown(word));
            UsageError { hint: Some(hint), ..error }
        }
        None => error,
    }
}

const VIEWS: [(&str, ViewChoice); 6] = [
    ("auto", ViewChoice::Auto),
    ("line", ViewChoice::Line),
    ("tanks", ViewChoice::Tanks),
    ("full", ViewChoice::Full),
    ("plain", ViewChoice::Plain),
    ("none", ViewChoice::None),
];

const WHENS: [(&str, When); 3] =
    [("auto", When::Auto), ("always", When::Always), ("never", When::Never)];

fn unknown_flag(name: &str) -> UsageError {
    let known = flag::FLAGS.iter().filter_map(|flag| flag.long);
    let hint = match nearest(name, known) {
        Some(known) => format!("did you mean `--{known}`?"),
        None => "`standpipe --help` lists the options".to_owned(),
    };
    UsageError::new(format!("unknown option `--{name}`"), hint)
}

fn next_value(
    flag: &Flag,
    rest: &mut impl Iterator<Item = OsString>,
) -> Result<OsString, UsageError> {
    let name = flag.name();
    let value = flag.value.unwrap_or_default();
    match rest.next() {
        None if flag.id == Id::Command => {
            Err(UsageError::new("`-c` needs a pipeline", "write `-c 'CMD | CMD'`"))
        }
        None if flag.id == Id::File => {
            Err(UsageError::new("`-f` needs a pipeline file", "write `-f PIPELINE.toml`"))
        }
        None => Err(UsageError::new(
            format!("`{name}` needs a value"),
            format!("write `{name} {value}`"),
        )),
        Some(word) if word.as_bytes().starts_with(b"--") && flag.long.is_some() => {
            let word = shown(&word);
            let what = format!("`{name}` needs a value, not `{word}`");
            Err(UsageError::new(what, format!("if it is meant as the value write `{name}={word}`")))
        }
        Some(word) => Ok(word),
    }
}

fn once(flag: &Flag, field: &mut Option<OsString>, value: OsString) -> Result<(), UsageError> {
    if let Some(first) = field {
        let what =
            format!("`{}` is given twice, `{}` and `{}`", flag.name(), shown(first), shown(&value));
        return Err(UsageError::new(what, "a pipeline reads from one end"));
    }
    *field = Some(value);
    Ok(())
}

fn amount(flag: &Flag, value: &OsStr, zero: Zero) -> Result<Amount, UsageError> {
    match read(flag, "size", value, |text| size::read_amount(text, zero))? {
        Amount::Items(_) => Err(invalid(flag, "size", value, "write bytes, e.g. `64KiB`")),
        Amount::Percent(_) if flag.id == Id::Total => {
            Err(invalid(flag, "size", value, "write bytes, e.g. `2GiB`"))
        }
        amount => Ok(amount),
    }
}

fn time(flag: &Flag, value: &OsStr, zero: Zero) -> Result<Duration, UsageError> {
    read(flag, "time", value, |text| size::read_time(text, zero))
}

fn read<T>(
    flag: &Flag,
    kind: &str,
    value: &OsStr,
    read: impl Fn(&str) -> Result<T, Refusal>,
) -> Result<T, UsageError> {
    let text = value.to_str().unwrap_or_default();
    read(text).map_err(|refusal| invalid(flag, kind, value, &refusal.hint))
}

fn choice<T: Copy>(flag: &Flag, value: &OsStr, known: &[(&str, T)]) -> Result<T, UsageError> {
    let text = value.to_str().unwrap_or_default();
    if let Some((_, choice)) = known.iter().find(|(name, _)| *name == text) {
        return Ok(*choice);
    }
    let names = || known.iter().map(|(name, _)| *name);
    let hint = match nearest(text, names()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("write one of `{}`", names().collect::<Vec<_>>().join("`, `")),
    };
    Err(invalid(flag, "value", value, &hint))
}

fn invalid(flag: &Flag, kind: &str, value: &OsStr, hint: &str) -> UsageError {
    UsageError::new(format!("invalid {kind} `{}` for `{}`", shown(value), flag.name()), hint)
}

#[cfg(test)]
mod tests;
