//! When is the time up?
//!
//! The one timer of the operators that have deadlines: tokio's. It remembers
//! the runtime in which the pipeline was built, so that it also runs on
//! threads of the pipeline's own.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

/// Where timers live.
#[derive(Clone, Debug)]
pub(crate) struct Hours(Option<Handle>);

impl Hours {
    /// The runtime of this thread, if there is one yet.
    pub(crate) fn here() -> Self {
        Self(Handle::try_current().ok())
    }

    /// The time, on the runtime's clock.
    pub(crate) fn now(&self) -> Instant {
        let _inside = self.0.as_ref().map(Handle::enter);
        Instant::now()
    }
}

/// A deadline that may be set again. The timer is made once.
pub(crate) struct Alarm {
    hours: Hours,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    pub(crate) const fn new(hours: Hours) -> Self {
        Self { hours, sleep: None }
    }

    /// Sets it to this time from now.
    ///
    /// # Panics
    /// If there is no runtime.
    pub(crate) fn set(&mut self, span: Duration) {
        let now = self.hours.now();
        // a span beyond what the clock can tell is as good as never
        let at = now.checked_add(span).unwrap_or_else(|| far(now));
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(at);
        } else {
            let _inside = self.hours.0.as_ref().map(Handle::enter);
            self.sleep = Some(Box::pin(sleep_until(at)));
        }
    }

    /// Whether the time is up; never if it was not set.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// Thirty years from `now`, as far as tokio itself goes.
fn far(now: Instant) -> Instant {
    const YEARS: Duration = Duration::from_secs(86_400 * 365 * 30);
    now.checked_add(YEARS).unwrap_or(now)
}
