//! No more than so much per second: a token bucket that can be changed live.
//!
//! The bucket holds at most the burst and fills at the rate. An item is let
//! through when there are tokens for it, and takes them. An eighth of the
//! burst is drawn at once, so that the clock is read per draw and not per
//! item; it counts as part of the burst, so the bound is exact: in any span of
//! time no more than the burst and what the rate gives in that span, plus one
//! item if it is heavier than the burst.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::stage::Emit;
use crate::stage::alarm::{Alarm, Hours};
use crate::stage::chain::{Link, Outlet, hands_on, waits_for_each};
use crate::stage::line::Post;
use crate::sync::{Mutex, lock};

/// Tokens are kept in parts of this, so that rate times nanoseconds is whole.
const NANO: i128 = 1_000_000_000;
/// The part of the burst that a stage draws ahead of need.
const DRAWS_PER_BURST: u64 = 8;

/// How much per second, and how much at once. Clones share one bucket: change
/// the limit through any of them while it is in use; several stages that were
/// given clones keep it together, but for the eighth of the burst that each may
/// have drawn ahead. See
/// [`rate_limit`](crate::Pipeline::rate_limit).
///
/// # Memory
/// A few numbers.
#[derive(Clone, Debug)]
pub struct RateLimit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bucket: Mutex<Bucket>,
    changed: Notify,
}

#[derive(Debug)]
struct Bucket {
    per_second: u64,
    burst: u64,
    /// In parts of a token. Below 0 after an item heavier than the burst.
    tokens: i128,
    filled: Option<Instant>,
    /// Whose clock that is: a change ends the time of the old rate.
    hours: Option<Hours>,
}

/// What a draw came to.
#[derive(Debug, PartialEq, Eq)]
enum Drawn {
    /// The item may go, and this much was drawn ahead.
    Go(u64),
    /// Not before this time has passed.
    After(Duration),
    /// Not until the limit is changed.
    Never,
}

impl RateLimit {
    /// At most `per_second` per second in the long run, and `burst` at once:
    /// items, or what they weigh. The bucket begins full. A rate of 0 holds
    /// everything until it is changed; a burst of 0 counts as 1.
    #[must_use]
    pub fn new(per_second: u64, burst: u64) -> Self {
        let burst = burst.max(1);
        let tokens = i128::from(burst).saturating_mul(NANO);
        let bucket = Bucket { per_second, burst, tokens, filled: None, hours: None };
        Self { shared: Arc::new(Shared { bucket: Mutex::new(bucket), changed: Notify::new() }) }
    }

    /// The rate.
    #[must_use]
    pub fn per_second(&self) -> u64 {
        lock(&self.shared.bucket).per_second
    }

    /// The burst.
    #[must_use]
    pub fn burst(&self) -> u64 {
        lock(&self.shared.bucket).burst
    }

    /// Changes both, live: who waits goes by the new limit at once. What the
    /// bucket holds stays, up to the new burst; a stage may still let go what
    /// it drew ahead, at most an eighth of the old one.
    pub fn set(&self, per_second: u64, burst: u64) {
        {
            let mut bucket = lock(&self.shared.bucket);
            if let Some(now) = bucket.hours.as_ref().map(Hours::now) {
                bucket.fill(now);
            }
            bucket.per_second = per_second;
            bucket.burst = burst.max(1);
            bucket.tokens = bucket.tokens.min(bucket.capacity());
        }
        self.shared.changed.notify_waiters();
    }
}

impl Bucket {
    /// What stages may draw ahead is not in the bucket.
    const fn ahead(&self) -> u64 {
        self.burst / DRAWS_PER_BURST
    }

    fn capacity(&self) -> i128 {
        i128::from(self.burst.saturating_sub(self.ahead())).saturating_mul(NANO)
    }

    /// Adds what the rate gave since the last time.
    fn fill(&mut self, now: Instant) {
        let span = now.saturating_duration_since(*self.filled.get_or_insert(now)).as_nanos();
        self.filled = Some(now);
        let gain =
            i128::try_from(span).unwrap_or(i128::MAX).saturating_mul(i128::from(self.per_second));
        // at the start there may be more in it: nothing is drawn ahead yet
        let most = self.capacity().max(self.tokens);
        self.tokens = self.tokens.saturating_add(gain).min(most);
    }

    fn draw(&mut self, weight: u64, now: Instant) -> Drawn {
        self.fill(now);
        let cost = i128::from(weight).saturating_mul(NANO);
        // a heavier one passes a full bucket, and leaves it in debt
        let needed = cost.min(self.capacity());
        if self.tokens < needed {
            let missing = needed.saturating_sub(self.tokens);
            let rate = i128::from(self.per_second);
            let Some(wait) = missing.saturating_add(rate.saturating_sub(1)).checked_div(rate)
            else {
                return Drawn::Never;
            };
            return Drawn::After(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)));
        }
        self.tokens = self.tokens.saturating_sub(cost);
        let whole = u64::try_from(self.tokens.max(0).checked_div(NANO).unwrap_or(0)).unwrap_or(0);
        let ahead = whole.min(self.ahead());
        self.tokens = self.tokens.saturating_sub(i128::from(ahead).saturating_mul(NANO));
        Drawn::Go(ahead)
    }
}

/// A rate limit, as a link.
pub struct Limited<W, T> {
    limit: RateLimit,
    weigh: W,
    post: Post,
    types: std::marker::PhantomData<fn(T) -> T>,
}

impl<W, T> Limited<W, T> {
    pub(crate) const fn new(limit: RateLimit, weigh: W, post: Post) -> Self {
        Self { limit, weigh, post, types: std::marker::PhantomData }
    }
}

impl<W, T> Link for Limited<W, T>
where
    W: FnMut(&T) -> u64 + Send + 'static,
    T: Send + 'static,
{
    type In = T;
    type Out = T;
    type On<D: Outlet<T>> = LimitedOn<W, D>;

    fn on<D: Outlet<T>>(self, down: D) -> LimitedOn<W, D> {
        let hours = Hours::here();
        LimitedOn {
            limit: self.limit,
            weigh: self.weigh,
            ahead: 0,
            alarm: Alarm::new(hours.clone()),
            hours,
            post: self.post,
            down,
        }
    }
}

/// A rate limit in front of what is downstream of it.
pub struct LimitedOn<W, D> {
    limit: RateLimit,
    weigh: W,
    /// Drawn ahead of need.
    ahead: u64,
    alarm: Alarm,
    hours: Hours,
    post: Post,
    down: D,
}

/// What the wait for tokens ended with.
enum Step {
    Try,
    Due,
}

impl<W, D> LimitedOn<W, D> {
    /// Waits for tokens of this weight.
    async fn wait<T: Send>(&mut self, weight: u64)
    where
        W: Send,
        D: Outlet<T>,
    {
        if let Some(left) = self.ahead.checked_sub(weight) {
            self.ahead = left;
            return;
        }
        self.post.shift().set_handing(true);
        let mut seen = false;
        loop {
            let shared = self.limit.shared.clone();
            let mut changed = pin!(shared.changed.notified());
            changed.as_mut().enable(); // before the look: no change is missed
            // what was drawn ahead pays a part
            let guard = self.post.guard();
            let now = self.hours.now();
            let drawn = {
                let mut bucket = lock(&shared.bucket);
                bucket.hours.get_or_insert_with(|| self.hours.clone());
                bucket.draw(weight.saturating_sub(self.ahead), now)
            };
            match drawn {
                Drawn::Go(ahead) => {
                    guard.disarm();
                    self.ahead = ahead;
                    break;
                }
                Drawn::After(span) => self.alarm.set(span),
                Drawn::Never => self.alarm.set(Duration::MAX),
            }
            guard.disarm();
            if !seen {
                seen = true;
                self.down.flush().await;
                self.post.shift().set_handing(true);
                continue; // the flush may have taken its time
            }
            let step = poll_fn(|cx| {
                if D::ACTIVE && self.down.poll_due(cx).is_ready() {
                    return Poll::Ready(Step::Due);
                }
                let ready = self.alarm.poll(cx).is_ready() || changed.as_mut().poll(cx).is_ready();
                if ready { Poll::Ready(Step::Try) } else { Poll::Pending }
            })
            .await;
            if let Step::Due = step {
                self.down.work().await;
                self.post.shift().set_handing(true);
                seen = false;
            }
        }
        self.post.shift().set_handing(false);
    }

    fn weight<T>(&mut self, item: &T) -> u64
    where
        W: FnMut(&T) -> u64,
    {
        let guard = self.post.guard();
        let weight = (self.weigh)(item);
        guard.disarm();
        weight
    }
}

impl<W, T, D> Emit<T> for LimitedOn<W, D>
where
    W: FnMut(&T) -> u64 + Send + 'static,
    T: Send + 'static,
    D: Outlet<T>,
{
    async fn send(&mut self, item: T) {
        let weight = self.weight(&item);
        self.wait(weight).await;
        self.down.send(item).await;
    }

    async fn feed(&mut self, item: T) {
        let weight = self.weight(&item);
        self.wait(weight).await;
        self.down.feed(item).await;
    }

    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        self.down.flush()
    }
}

impl<W, T, D> Outlet<T> for LimitedOn<W, D>
where
    W: FnMut(&T) -> u64 + Send + 'static,
    T: Send + 'static,
    D: Outlet<T>,
{
    hands_on!(open, ACTIVE, poll_due, work, in_hand, holds_back, idle, finish);

    // what the next item weighs is not known
    waits_for_each!(T);
}

impl<W, T> std::fmt::Debug for Limited<W, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limited").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<W, D> std::fmt::Debug for LimitedOn<W, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimitedOn").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_never_gives_more_than_burst_and_rate() {
        let limit = RateLimit::new(1_000, 16);
        let mut bucket = lock(&limit.shared.bucket);
        let begun = Instant::now();
        // idle for long, then everything at once, items drawn ahead included
        for after in [Duration::ZERO, Duration::from_secs(9)] {
            let now = begun + after;
            let mut passed = 0;
            while let Drawn::Go(ahead) = bucket.draw(1, now) {
                passed += 1 + ahead;
            }
            // later 16 with what a stage had drawn ahead before
            assert_eq!(passed, if after.is_zero() { 16 } else { 14 });
        }
        assert_eq!(
            bucket.draw(1, begun + Duration::from_secs(9)),
            Drawn::After(Duration::from_millis(1))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_heavy_item_passes_a_full_bucket_and_leaves_it_in_debt() {
        let limit = RateLimit::new(10, 5);
        let mut bucket = lock(&limit.shared.bucket);
        let now = Instant::now();
        assert_eq!(bucket.draw(25, now), Drawn::Go(0));
        assert_eq!(bucket.draw(1, now), Drawn::After(Duration::from_millis(2_100)));
        bucket.per_second = 0;
        assert_eq!(bucket.draw(1, now), Drawn::Never);
    }
}
