//! Which flags are there?
//!
//! One row a flag: the parser, the long help, the manual page, the completions and the "did you
//! mean" read the same table, so a flag cannot be known to one and not to the others.

/// A flag, by what it sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    Command,
    File,
    From,
    To,
    Full,
    Overwrite,
    Append,
    Total,
    Memory,
    Tank,
    Low,
    Rate,
    Fast,
    Strict,
    Timeout,
    Stall,
    Drain,
    View,
    Summary,
    Json,
    Color,
    Ascii,
    Observe,
    Name,
    Quiet,
    Verbose,
    Help,
    Version,
}

/// A heading of the long help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// Told by the usage lines.
    Usage,
    Ends,
    Tanks,
    Stopping,
    Display,
    Last,
}

impl Group {
    /// All of them, in the order of the help.
    pub(super) const ALL: [Self; 6] =
        [Self::Usage, Self::Ends, Self::Tanks, Self::Stopping, Self::Display, Self::Last];

    pub(super) fn title(self) -> Option<&'static str> {
        match self {
            Self::Usage | Self::Last => None,
            Self::Ends => {
                Some("Ends (default: the first stage reads stdin, the last writes stdout):")
            }
            Self::Tanks => Some("Tanks:"),
            Self::Stopping => Some("Stopping:"),
            Self::Display => Some("Display (always on stderr; stdout carries data only):"),
        }
    }
}

/// What a value can be, as far as a shell can complete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// Nobody knows.
    Any,
    /// The name of a file.
    Files,
    /// The name of a file, or nothing: it may be left out, and is glued on by `=` if it is not.
    Glued,
    /// One of these.
    Words(&'static [&'static str]),
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Flag {
    pub(super) id: Id,
    pub(super) group: Group,
    pub(super) short: Option<char>,
    /// Without its dashes.
    pub(super) long: Option<&'static str>,
    /// The name of its value.
    pub(super) value: Option<&'static str>,
    pub(super) values: Values,
    pub(super) text: &'static str,
    /// Shown at the right margin.
    pub(super) default: Option<&'static str>,
}

impl Flag {
    /// Gives the name an error uses: the long one if it has one.
    pub(super) fn name(&self) -> String {
        match (self.long, self.short) {
            (Some(long), _) => format!("--{long}"),
            (None, short) => format!("-{}", short.unwrap_or_default()),
        }
    }

    /// Lists its names with their dashes, the short one first.
    pub(super) fn names(&self) -> Vec<String> {
        let short = self.short.map(|short| format!("-{short}"));
        let long = self.long.map(|long| format!("--{long}"));
        short.into_iter().chain(long).collect()
    }

    /// Tells whether giving it twice says more than giving it once.
    pub(super) fn repeats(&self) -> bool {
        self.id == Id::Verbose
    }

    const fn new(
        id: Id,
        group: Group,
        names: (Option<char>, &'static str),
        text: &'static str,
    ) -> Self {
        Self {
            id,
            group,
            short: names.0,
            long: Some(names.1),
            value: None,
            values: Values::Any,
            text,
            default: None,
        }
    }

    const fn value(self, value: &'static str) -> Self {
        Self { value: Some(value), ..self }
    }

    const fn files(self) -> Self {
        Self { values: Values::Files, ..self }
    }

    const fn words(self, words: &'static [&'static str]) -> Self {
        Self { values: Values::Words(words), ..self }
    }

    const fn optional(self, value: &'static str) -> Self {
        Self { value: Some(value), values: Values::Glued, ..self }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }
}

/// All flags, in the order of the long help.
pub(super) const FLAGS: [Flag; 28] = [
    Flag {
        id: Id::Command,
        group: Group::Usage,
        short: Some('c'),
        long: None,
        value: Some("CMD | CMD"),
        values: Values::Any,
        text: "Run a shell pipeline, metered",
        default: None,
    },
    Flag {
        id: Id::File,
        group: Group::Usage,
        short: Some('f'),
        long: None,
        value: Some("PIPELINE.toml"),
        values: Values::Files,
        text: "Run a saved pipeline",
        default: None,
    },
    Flag::new(Id::From, Group::Ends, (Some('i'), "from"), "File, - or URI to read")
        .value("END")
        .files()
        .default("[see: standpipe help uris]"),
    Flag::new(Id::To, Group::Ends, (Some('o'), "to"), "File, - or URI to write; repeat to fan out")
        .value("END")
        .files(),
    Flag::new(
        Id::Full,
        Group::Ends,
        (None, "full"),
        "If the --to before it is slow: wait, fail, drop-*",
    )
    .value("WHAT")
    .words(&["wait", "fail", "drop-newest", "drop-oldest"]),
    Flag::new(Id::Overwrite, Group::Ends, (None, "overwrite"), "Let --to replace an existing file"),
    Flag::new(Id::Append, Group::Ends, (None, "append"), "Let --to add to an existing file"),
    Flag::new(
        Id::Total,
        Group::Ends,
        (None, "total"),
        "Expected input, for percent and ETA when not known",
    )
    .value("SIZE"),
    Flag::new(Id::Memory, Group::Tanks, (Some('m'), "memory"), "Limit for all tanks together")
        .value("SIZE")
        .default("[default: 64M]"),
    Flag::new(Id::Tank, Group::Tanks, (Some('t'), "tank"), "High-water mark of each tank")
        .value("SIZE")
        .default("[default: auto]"),
    Flag::new(Id::Low, Group::Tanks, (None, "low"), "Low-water mark: a paused stage resumes here")
        .value("SIZE|PCT"),
    Flag::new(
        Id::Rate,
        Group::Tanks,
        (Some('r'), "rate"),
        "Limit the source, e.g. 10MB/s, 80Mbit/s",
    )
    .value("RATE"),
    Flag::new(Id::Fast, Group::Tanks, (None, "fast"), "Kernel fast path: auto, never")
        .value("WHEN")
        .words(&["auto", "never"])
        .default("[default: auto]"),
    Flag::new(
        Id::Strict,
        Group::Stopping,
        (None, "strict"),
        "Fail when a stage stops reading before the end",
    ),
    Flag::new(Id::Timeout, Group::Stopping, (None, "timeout"), "Fail after this long (exit 124)")
        .value("TIME"),
    Flag::new(
        Id::Stall,
        Group::Stopping,
        (None, "stall"),
        "Fail when nothing moves for this long (exit 124)",
    )
    .value("TIME"),
    Flag::new(Id::Drain, Group::Stopping, (None, "drain"), "How long SIGTERM lets the tanks empty")
        .value("TIME")
        .default("[default: 10s]"),
    Flag::new(Id::View, Group::Display, (None, "view"), "auto, line, tanks, full, plain, none")
        .value("VIEW")
        .words(&["auto", "line", "tanks", "full", "plain", "none"])
        .default("[default: auto]"),
    Flag::new(Id::Summary, Group::Display, (None, "summary"), "auto, always, never")
        .value("WHEN")
        .words(&["auto", "always", "never"])
        .default("[default: auto]"),
    Flag::new(
        Id::Json,
        Group::Display,
        (None, "json"),
        "Events as JSON lines; default: stderr, no display",
    )
    .optional("FILE|fd:N"),
    Flag::new(
        Id::Color,
        Group::Display,
        (None, "color"),
        "auto, always, never; NO_COLOR is respected",
    )
    .value("WHEN")
    .words(&["auto", "always", "never"]),
    Flag::new(Id::Ascii, Group::Display, (None, "ascii"), "Draw with ASCII only"),
    Flag::new(
        Id::Observe,
        Group::Display,
        (None, "observe"),
        "With -c: sh runs it whole, we only watch",
    ),
    Flag::new(
        Id::Name,
        Group::Display,
        (Some('n'), "name"),
        "Name shown in the display and errors",
    )
    .value("NAME"),
    Flag::new(Id::Quiet, Group::Display, (Some('q'), "quiet"), "Errors only"),
    Flag::new(Id::Verbose, Group::Display, (Some('v'), "verbose"), "More"),
    Flag::new(Id::Help, Group::Last, (Some('h'), "help"), "Short help; --help shows everything"),
    Flag::new(
        Id::Version,
        Group::Last,
        (Some('V'), "version"),
        "Version; with -v also what the kernel supports",
    ),
];

/// Finds a flag by its short letter.
pub(super) fn by_short(letter: char) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.short == Some(letter))
}

/// Finds a flag by its long name, without dashes.
pub(super) fn by_long(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.long == Some(name))
}
