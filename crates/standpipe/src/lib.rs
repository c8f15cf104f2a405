//! Bounded, weighed, observable tanks, and the pipelines built from them.
//!
//! A fast writer and a slow reader need a queue between them, and the queue
//! needs a limit. A [`Tank`] is that queue: it weighs what it holds, tells the
//! writer when to stop ([`Flow`]) and when to go on, and counts what happened.
//! A [`Pipeline`] is stages with tanks between them: it carries pressure and
//! errors, cleans up after itself, and says which stage is slow.
//!
//! ```text
//!              <──────────── backpressure ────────────
//!
//!   Source -> map -> [ tank ] -> Transform -> [ tank ] -> Sink
//!   └── segment ──┘              └ segment ┘              └ segment ┘
//! ```
//!
//! # A tank alone
//!
//! In place of a bounded channel. It works on any executor, and outside one as
//! long as nobody has to wait.
//!
//! ```
//! use standpipe::{Flow, KIB, Tank, WriteError};
//!
//! let (writable, mut readable) = Tank::bytes(4 * KIB).build::<Vec<u8>>();
//!
//! assert_eq!(writable.write(vec![0; 1000])?, Flow::Ready);
//! assert_eq!(writable.write(vec![0; 4000])?, Flow::Wait); // taken, and shut now
//! let refused = writable.write(vec![0; 10]).unwrap_err(); // here it is back
//! assert!(matches!(refused, WriteError::Full(item) if item.len() == 10));
//!
//! assert_eq!(readable.try_next().map(|item| item.len()), Some(1000));
//! assert_eq!(readable.try_next().map(|item| item.len()), Some(4000));
//! assert!(!writable.is_shut()); // the level fell to the low-water mark
//! # Ok::<(), WriteError<Vec<u8>>>(())
//! ```
//!
//! In async code [`send`](Writable::send) and [`next`](Readable::next) wait as
//! needed. The data has ended when the writer says [`end`](Writable::end); one
//! that is dropped without leaves an error behind, not an end.
//!
//! # A pipeline
//!
//! Stages are fused; only a tank makes a queue and cuts. The same pipeline runs
//! in one task, in a task per segment or in a thread per segment.
//!
//! ```
//! use standpipe::stage::{collect, iter};
//! use standpipe::{Pipeline, Tank};
//!
//! let finished = Pipeline::from("numbers", iter(1..=5_u64))
//!     .map("square", |n| n * n)
//!     .tank(Tank::items(2).named("squares"))
//!     .filter("odd", |n| n % 2 == 1)
//!     .to("list", collect(10))
//!     .threads()? // or `.run().await`, or `.spawn().await`
//!     .wait()?;
//!
//! assert_eq!(finished.done, [1, 9, 25]);
//! assert_eq!(finished.report.tanks[0].written.items, 5);
//! assert!(finished.report.tanks[0].peak <= 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! If it fails, [`PipelineError`] has the first cause, the stage it came from
//! and the numbers up to then. [`Monitor`](pipeline::Monitor) has them while it
//! runs, changes marks, cancels and drains.
//! [`Report::verdict`] says what limits the flow and what a faster stage would
//! gain, [`diagnose::findings`] what is amiss.
//!
//! # The rooms, and an order of reading
//!
//! ```text
//!   adapt      foreign streams, files, sockets, processes
//!   pipeline   who is connected to whom, who cleans up
//!   stage      who works on the items
//!   tank       where an item waits
//!   ─────────  below: no runtime, no clock, no I/O
//!   sim        what would happen (a feature)
//!   export     how the numbers reach what watches already (a feature)
//!   diagnose   what the numbers mean
//!   critical   whose time the result waits for (private)
//!   meter      what happened, how long (private)
//!   budget     how much all tanks may hold together (private)
//!   gate       may I write?
//!   overflow   what becomes of an item at a shut tank
//!   weigh      what an item weighs
//!   snapshot   the numbers
//!   error      how it failed, at which stage
//! ```
//!
//! A room names only rooms below it. To use the crate read [`tank`], then
//! [`pipeline`], then [`stage`] for stages of your own and [`adapt`] for those
//! that are there. To change it begin with [`gate`], the rule of pressure that
//! everything else calls.
//!
//! # Where the words went
//!
//! Searching these pages for a word of the left three columns finds the right
//! one.
//!
//! | tokio | Node | Reactive Streams | here |
//! | --- | --- | --- | --- |
//! | `mpsc::channel` | the buffer of a stream | | [`Tank`] |
//! | `Sender` | `Writable` | `Subscriber` | [`Writable`] |
//! | `Receiver` | `Readable` | `Publisher` | [`Readable`] |
//! | `try_send` | `write`, `push` | `onNext` | [`Writable::write`] |
//! | `TrySendError` | `false` | | [`Flow::Wait`], then [`WriteError`] |
//! | `reserve` | `'drain'` | `request(n)` | [`Writable::drained`], [`Writable::reserve`] |
//! | capacity | `highWaterMark` | | [`Marks`], high and low |
//! | dropping the `Sender` | `end` | `onComplete` | [`Writable::end`] |
//! | | `destroy(error)` | `onError` | [`Writable::fail`] |
//! | dropping the `Receiver` | `destroy` | `cancel` | [`Readable::stop`] |
//! | `recv_many` | `writev`, `cork` | | [`Readable::next_batch`], [`Writable::cork`] |
//! | | `pipeline`, `pipe` | `Processor` | [`Pipeline`], [`Readable::pipe`] |
//!
//! # Features
//!
//! Each only adds, and all but `tokio` are off unless asked for.
//!
//! | feature | adds |
//! | --- | --- |
//! | `tokio` (default) | files, sockets, processes, [`Ready::spawn`], [`Monitor::shutdown`]; without it the core needs no runtime |
//! | `futures-io` | [`adapt::io`] for the `AsyncRead` and `AsyncWrite` of `futures_io` |
//! | `futures-sink` | [`adapt::sink`]: a tank as a `Sink`, any `Sink` as the end of a pipeline |
//! | `http-body` | [`adapt::http`]: a tank as a body, a body as a source |
//! | `metrics` | [`export::record`]: a report into the `metrics` facade |
//! | `serde` | `Serialize` for [`Report`] and all that is in it |
//! | `tracing` | spans of a pipeline and its stages in the log of a service: see [`pipeline`] |
//! | `sim` | [`sim`]: pipelines in virtual time, to ask what would happen |
//!
//! [`Ready::spawn`]: pipeline::Ready::spawn
//! [`Monitor::shutdown`]: pipeline::Monitor::shutdown
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

#[cfg(not(loom))]
pub mod adapt;
#[cfg(not(loom))]
pub mod pipeline;
#[cfg(not(loom))]
pub mod stage;
pub mod tank;
#[cfg(all(feature = "sim", not(loom)))]
pub mod sim;
#[cfg(feature = "metrics")]
pub mod export;
pub mod diagnose;
#[cfg_attr(loom, expect(dead_code, reason = "pipelines hand paths over, and loom sees none"))]
mod critical;
mod meter;
mod budget;
pub mod gate;
pub mod overflow;
pub mod weigh;
pub mod snapshot;
pub mod error;
mod sync;

pub use error::{BoxError, Cause, CauseKind, WriteError};
pub use gate::{Flow, Marks};
pub use overflow::Overflow;
#[cfg(not(loom))]
pub use pipeline::{Pipeline, PipelineError};
pub use snapshot::Report;
pub use tank::{Batch, Budget, Gauge, Readable, Tank, Writable};
pub use weigh::{KIB, MIB, Weigh};

/// The examples in the documents, run as tests.
#[cfg(all(doctest, feature = "tokio"))]
mod documents {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/metrics.md")]
    struct Metrics;
    #[doc = include_str!("../../../docs/compare.md")]
    struct Compare;
    #[doc = include_str!("../../../docs/design.md")]
    struct Design;
    #[doc = include_str!("../../../docs/node.md")]
    struct Node;
    #[doc = include_str!("../../../docs/cookbook.md")]
    struct Cookbook;
    #[doc = include_str!("../../../docs/from-tokio-mpsc.md")]
    struct FromTokioMpsc;
    #[doc = include_str!("../../../docs/from-node-streams.md")]
    struct FromNodeStreams;
}
