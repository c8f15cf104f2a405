//! What can be seen and done from outside while a pipeline runs?

use std::fmt;
use std::time::Duration;

use crate::error::{Cause, CauseKind};
use crate::meter::StageMeter;
use crate::pipeline::relay::{Book, Relay};
use crate::pipeline::segment::Clock;
use crate::snapshot::{Join, OwnTank, Report, Side, StageSnapshot, TankSnapshot};
use crate::stage::line::Line;
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, lock};
use crate::tank::{Events, Gauge};

/// A segment as the monitor knows it.
pub(crate) struct Row {
    pub(crate) first_stage: usize,
    pub(crate) name: Arc<str>,
    pub(crate) meter: Arc<StageMeter>,
}

/// What all handles of a pipeline share.
pub(crate) struct Board {
    pub(crate) line: Arc<Line>,
    pub(crate) clock: Clock,
    pub(crate) rows: Mutex<Vec<Row>>,
    pub(crate) tanks: Mutex<Vec<Gauge>>,
    /// Those of somebody's own that its ends read and write, and which segment
    /// does.
    pub(crate) own: Mutex<Vec<(usize, Side, Gauge)>>,
    pub(crate) begun_ns: Mutex<Option<u64>>,
    pub(crate) ended_ns: Mutex<Option<u64>>,
    /// Which segments each tank joins.
    pub(crate) joins: Mutex<Vec<Join>>,
    /// How many segments may run at once, if that is known.
    pub(crate) cores: Mutex<Option<usize>>,
    /// Each segment has a thread of its own.
    pub(crate) on_threads: AtomicBool,
    pub(crate) book: Arc<Book>,
    /// Where the sink's path is now, if segments run each by itself.
    pub(crate) relay: Mutex<Option<Arc<Relay>>>,
}

impl Board {
    /// The segment that is being built reads or writes these tanks.
    pub(crate) fn own_tanks(&self, side: Side, tanks: Vec<Gauge>) {
        let segment = lock(&self.rows).len();
        lock(&self.own).extend(tanks.into_iter().map(|tank| (segment, side, tank)));
    }

    pub(crate) fn report(&self) -> Report {
        let now_ns = lock(&self.ended_ns).unwrap_or_else(|| (self.clock)());
        let stages: Vec<StageSnapshot> = lock(&self.rows)
            .iter()
            .map(|row| {
                let id = self.line.stage_id(row.first_stage);
                row.meter.snapshot(id, row.name.clone(), now_ns)
            })
            .collect();
        let tanks: Vec<TankSnapshot> =
            lock(&self.tanks).iter().map(|tank| tank.snapshot_at(now_ns)).collect();
        let begun_ns = lock(&self.begun_ns).unwrap_or(now_ns);
        let mut report = Report {
            elapsed: Duration::from_nanos(now_ns.saturating_sub(begun_ns)),
            stages,
            tanks,
            slowest: None,
            joins: lock(&self.joins).clone(),
            own_tanks: lock(&self.own)
                .iter()
                .map(|(stage, side, tank)| OwnTank {
                    stage: *stage,
                    side: *side,
                    id: tank.id(),
                    tank: tank.snapshot(),
                })
                .collect(),
            cores: *lock(&self.cores),
            shares_threads: !self.on_threads.load(Ordering::Relaxed),
            path: match &*lock(&self.relay) {
                Some(relay) => relay.waypoints(now_ns),
                None => self.book.waypoints(),
            },
        };
        report.slowest = report.verdict().slowest;
        report
    }
}

/// Watches and steers a running pipeline. Clones freely, works from any
/// thread, keeps nothing going.
#[derive(Clone)]
pub struct Monitor {
    board: Arc<Board>,
}

impl Monitor {
    pub(crate) const fn new(board: Arc<Board>) -> Self {
        Self { board }
    }

    /// The numbers of this moment, open waits included. Slows nobody: a lock
    /// per tank for the time of a copy, none per stage.
    #[must_use]
    pub fn report(&self) -> Report {
        self.board.report()
    }

    /// The tanks, upstream first: levels, and marks that can be changed live.
    #[must_use]
    pub fn tanks(&self) -> Vec<Gauge> {
        lock(&self.board.tanks).clone()
    }

    /// Observes all tanks, upstream first: when they shut, open, lose items,
    /// end. At most `capacity` events wait to be read; the oldest make room and
    /// are counted. See [`Events`].
    ///
    /// # Memory
    /// As said at [`Events`].
    pub fn events(&self, capacity: usize) -> Events {
        Events::of(&self.tanks(), capacity)
    }

    /// Ends the pipeline now: nothing is polled any more, every stage is
    /// destroyed, the result is [`Cancelled`](CauseKind::Cancelled). Twice, or
    /// after the end, it does nothing.
    pub fn cancel(&self) {
        self.cancel_with(Cause::new(CauseKind::Cancelled));
    }

    /// The same with a cause of your own.
    pub fn cancel_with(&self, cause: Cause) {
        self.board.line.halt(cause, None);
    }

    /// Begins a graceful stop: sources stop, what was read goes on to the
    /// sink, which finishes; that is success. [`cancel_with`] puts an end to
    /// it, and then what was not written is counted in the report.
    ///
    /// [`cancel_with`]: Self::cancel_with
    pub fn drain(&self) {
        self.board.line.drain();
    }

    /// A graceful stop with a limit: [`drain`](Self::drain), and after
    /// `grace` [`Expired`](CauseKind::Expired). Returns when the pipeline is
    /// over or the grace has passed; the result is where `run` or `spawn`
    /// gives it.
    ///
    /// # Cancel safety
    /// Dropped, the drain goes on, without a limit.
    ///
    /// # Panics
    /// Outside a tokio runtime with timers, once it is awaited.
    #[cfg(feature = "tokio")]
    pub async fn shutdown(&self, grace: Duration) {
        self.drain();
        let over = Arc::new(tokio::sync::Notify::new());
        let alarm = over.clone();
        let _listening = self.board.line.listen(Arc::new(move || alarm.notify_one()));
        let wait = async {
            while !self.board.line.is_over() {
                over.notified().await;
            }
        };
        if tokio::time::timeout(grace, wait).await.is_err() {
            self.cancel_with(Cause::new(CauseKind::Expired));
        }
    }

    /// Whether the pipeline is over, or about to be taken down.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.board.line.is_over()
    }

    /// Calls `notify` when the pipeline ends or begins to drain, on the thread
    /// that causes it; at once if it has. For stages that block in foreign
    /// calls and need to be interrupted.
    ///
    /// # Memory
    /// The function is kept until the pipeline and all that watch it are gone.
    pub fn on_change(&self, notify: impl Fn() + Send + Sync + 'static) {
        self.board.line.on_alarm(Arc::new(notify));
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("line", &self.board.line).finish_non_exhaustive()
    }
}
