//! What will be built?
//!
//! A plan is the command line made sense of: validated, complete and inert. Nothing is opened,
//! started or resolved by making one, so everything that can be refused without touching the
//! outside is refused here.
//!
//! ```text
//! stages[0] -> tanks[0] -> stages[1] -> tanks[1] -> stages[2]
//!                                    -> tanks[2] -> stages[3]
//! ```
//!
//! # Knows / never knows
//! Knows the names of the schemes and what belongs together. Never knows the code behind a
//! scheme: `end` does.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use crate::{
    args::{Display, Fast, Full, Stderr},
    size::Rate,
};

mod build;
mod builtin;
mod ends;
mod graph;
mod memory;

pub(crate) use ends::schemes;

/// One run, ready to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// `--name`, escaped for showing.
    pub(crate) name: Option<String>,
    /// At least one, upstream first. A source can only be the first, a sink only the last. A
    /// command that is first inherits stdin, a command that is last inherits stdout. A built-in
    /// stands between two tanks.
    pub(crate) stages: Vec<StagePlan>,
    /// `tanks[i]` stands before `stages[i + 1]`, and behind the stage it names: several may stand behind one.
    pub(crate) tanks: Vec<TankPlan>,
    /// Limit for all tanks together.
    pub(crate) memory_bytes: u64,
    /// Limit of the source.
    pub(crate) rate: Option<Rate>,
    /// Expected input, for percent and ETA.
    pub(crate) total_bytes: Option<u64>,
    /// Whether a stage that stops reading early is a failure.
    pub(crate) strict: bool,
    /// Whether kernel tanks are allowed.
    pub(crate) fast: Fast,
    /// Fail after this long.
    pub(crate) timeout: Option<Duration>,
    /// Fail when nothing moves for this long.
    pub(crate) stall: Option<Duration>,
    /// How long SIGTERM lets the tanks empty.
    pub(crate) drain: Duration,
    /// How it is shown.
    pub(crate) display: Display,
    /// Whether this is a filter: no stage but the two ends.
    pub(crate) filter: bool,
}

impl Plan {
    /// The tanks behind a stage, by their index: all are in the order of the stages they stand behind.
    pub(crate) fn behind(&self, stage: usize) -> impl Iterator<Item = usize> {
        let first = self.tanks.partition_point(|tank| tank.from < stage);
        let of_stage = self.tanks[first..].iter().take_while(move |tank| tank.from == stage);
        of_stage.enumerate().map(move |(at, _)| first + at)
    }

    /// The tanks before the ends that bytes go to, by their index: several if the run fans out.
    pub(crate) fn branches(&self) -> impl Iterator<Item = usize> {
        let from = self.tanks.last().map(|tank| tank.from);
        from.into_iter().flat_map(|from| self.behind(from))
    }

    /// The stage that each stage reads from.
    pub(crate) fn above(&self) -> Vec<Option<usize>> {
        let from = self.tanks.iter().map(|tank| Some(tank.from));
        std::iter::once(None).chain(from).collect()
    }
}

/// One stage of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StagePlan {
    /// `1`, `2` …, upstream first, or what the pipeline file calls it.
    pub(crate) id: String,
    /// What a reader recognizes it by: control and bidi characters are escaped.
    pub(crate) label: String,
    /// What it is.
    pub(crate) kind: StageKind,
    /// What becomes of what it says, if it is a command.
    pub(crate) stderr: Stderr,
}

/// What a stage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StageKind {
    /// An external program.
    Command(CommandLine),
    /// Something done to the bytes in this process.
    Builtin(Builtin),
    /// A copy of what passes, `@tee FILE`.
    Tee {
        /// Where to.
        end: EndPlan,
        /// What becomes of an existing file there.
        publish: Publish,
    },
    /// The end bytes come from.
    Source(EndPlan),
    /// The end bytes go to.
    Sink {
        /// Where to.
        end: EndPlan,
        /// What becomes of an existing file there.
        publish: Publish,
    },
}

impl StageKind {
    /// What it is, in the word of an event.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Command(_) => "exec",
            Self::Builtin(_) | Self::Tee { .. } => "builtin",
            Self::Source(end) | Self::Sink { end, .. } => end.kind(),
        }
    }
}

/// What is done to bytes in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    /// `@gzip LEVEL`, 0 to 9.
    Gzip(u32),
    /// `@gunzip`.
    Gunzip,
    /// `@zstd LEVEL`.
    Zstd {
        /// -7 to 22.
        level: i32,
        /// Threads besides its own; 0: none.
        threads: u32,
    },
    /// `@unzstd`.
    Unzstd,
    /// `@lz4`.
    Lz4,
    /// `@unlz4`.
    Unlz4,
    /// `@xz LEVEL`, 0 to 9.
    Xz(u32),
    /// `@unxz`.
    Unxz,
    /// `@lines`: only whole lines pass, and are counted.
    Lines,
    /// `@rate RATE`.
    Rate(Pace),
    /// `@count`: bytes and lines.
    Count,
    /// `@hash ALGORITHM`.
    Hash(Algorithm),
}

/// How fast a stage lets bytes pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// So many bytes in each period.
    Bytes(Rate),
    /// So many lines in each period, which `bytes` counts.
    Lines(Rate),
}

/// How a digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// BLAKE3, 256 bits.
    Blake3,
    /// MD5, for those who have to compare with one.
    Md5,
    /// CRC-32 as of gzip and zip.
    Crc32,
}

/// How a program is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommandLine {
    /// `sh -c TEXT`.
    Shell(OsString),
    /// A program and its arguments, never empty.
    Argv(Vec<OsString>),
}

/// What becomes of a file that is already there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Publish {
    /// It stays, and the run is refused.
    #[default]
    Refuse,
    /// It is replaced when the run has succeeded.
    Overwrite,
    /// The bytes are added to it in place.
    Append,
}

/// Where bytes come from or go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndPlan {
    /// Our own stdin or stdout.
    Stdio,
    /// A descriptor that is open at start.
    Fd(i32),
    /// A file, device or FIFO; any bytes.
    File(PathBuf),
    /// A part of a file or block device, to read.
    Part {
        /// Its path.
        path: PathBuf,
        /// Where the part begins.
        offset_bytes: u64,
        /// How long it is; `None`: up to the end.
        length_bytes: Option<u64>,
    },
    /// A connection we make.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// A connection we wait for.
    TcpListen(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
    /// A resource on a server: GET to read, PUT to write.
    #[cfg(feature = "http")]
    Http {
        /// What is asked for, without user, password and fragment.
        uri: String,
        /// `USER:PASSWORD` as it is sent; never shown.
        login: Option<Secret>,
    },
    /// No bytes; takes all.
    Null,
    /// So many zero bytes; as a sink it takes all.
    Zero {
        /// `None`: without end.
        bytes: Option<u64>,
    },
    /// So many bytes that do not compress.
    Random {
        /// `None`: without end.
        bytes: Option<u64>,
        /// Equal seeds give equal bytes.
        seed: u64,
    },
}

/// Text that is never shown.
#[cfg(feature = "http")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

#[cfg(feature = "http")]
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// One tank of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TankPlan {
    /// `1>2`.
    pub(crate) id: String,
    /// The stage it stands behind, by its index.
    pub(crate) from: usize,
    /// High-water mark, kernel pipes included.
    pub(crate) high_bytes: u64,
    /// Low-water mark; `None` when none was asked for.
    pub(crate) low_bytes: Option<u64>,
    /// What becomes of bytes that come while it is full.
    pub(crate) full: Full,
}

/// What is wanted of a tank, before it is known whether it fits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    id: String,
    from: usize,
    full: Full,
    size: TankSize,
    low: Option<LowMark>,
}

/// The size asked for a tank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TankSize {
    /// 1 MiB, or less if `--memory` has no room for that.
    #[default]
    Auto,
    /// As much as this.
    Bytes(u64),
}

/// The low-water mark asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LowMark {
    /// A level.
    Bytes(u64),
    /// Percent of the high-water mark.
    Percent(u8),
}
