//! A segment: what runs between two tanks, from its head to its tail.
//!
//! The head brings items, the tail takes them, the fused stages lie between
//! as one chain of outlets. Head and tail are where a segment waits, so it is
//! they who read the clock and say what the segment does, here.

use std::future::Future;
use std::sync::OnceLock;

use crate::meter::StageMeter;
use crate::pipeline::relay::Relay;
use crate::snapshot::StageState;
use crate::stage::chain::Outlet;
use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering};
use crate::tank::Gauge;

/// Nanoseconds from a fixed origin.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a segment reports to: its meter, and the clock that only drivers read.
#[derive(Clone)]
pub struct Watch {
    pub(crate) meter: Arc<StageMeter>,
    pub(crate) clock: Clock,
    /// It is pending only to let others run.
    pub(crate) yielded: Arc<AtomicBool>,
    /// All segments run in one task.
    pub(crate) alone: Arc<AtomicBool>,
    /// When the poll that goes on began, if the segment was pending before.
    pub(super) turn_ns: Arc<AtomicU64>,
    /// Where its path is, if it runs by itself, and which segment it is.
    pub(super) relay: Arc<OnceLock<(Arc<Relay>, usize)>>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("meter", &self.meter).finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) fn new(clock: Clock) -> Self {
        let meter = Arc::new(StageMeter::new());
        let flag = || Arc::new(AtomicBool::new(false));
        Self {
            meter,
            clock,
            yielded: flag(),
            alone: flag(),
            turn_ns: Arc::new(AtomicU64::new(0)),
            relay: Arc::default(),
        }
    }

    /// The segment runs by itself, and this is where its path is.
    pub(crate) fn set_relay(&self, relay: Arc<Relay>, index: usize) {
        self.relay.get_or_init(|| (relay, index));
    }

    pub(crate) fn now_ns(&self) -> u64 {
        (self.clock)()
    }

    /// A wait begins, unless it has begun. `now_ns` is a reading after which
    /// nothing was worked on; else the clock is read.
    pub(super) fn wait(&self, state: StageState, now_ns: Option<u64>) {
        if !self.meter.is_waiting() {
            let now_ns = now_ns.unwrap_or_else(|| self.now_ns());
            self.meter.enter(state, now_ns);
            if let Some((relay, index)) = self.relay.get() {
                relay.waits(*index, now_ns);
            }
        }
    }

    /// A wait, if one is open, is over. It was over when this poll began:
    /// nothing but polling down to here has happened since.
    pub(crate) fn resume(&self) {
        if self.meter.is_waiting() {
            let (state, now_ns) = (self.meter.state(), self.turn_ns.load(Ordering::Relaxed));
            self.meter.enter(StageState::Busy, now_ns);
            if let Some((relay, index)) = self.relay.get() {
                relay.goes_on(*index, state, now_ns);
            }
        }
    }
}

/// Where a segment's items come from.
pub trait Head: Send + 'static {
    /// What the segment does before its first poll: a source works, whoever
    /// reads a tank waits for it.
    #[doc(hidden)]
    const AT_FIRST: StageState;

    /// What it brings.
    type Item: Send + 'static;

    /// The tank it reads, if it reads one.
    #[doc(hidden)]
    fn gauge(&self) -> Option<Gauge> {
        None
    }

    /// Moves everything into `out`, to the end.
    fn drive<O: Outlet<Self::Item>>(self, out: O, watch: Watch) -> impl Future<Output = ()> + Send;
}
