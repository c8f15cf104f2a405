//! W9: how often is a producer polled?
//!
//! 500,000 items, a producer that is always ready, and a consumer that lets others run after each item. A queue that tells of each free
//! place polls its producer for each item; a tank tells when it has drained to the low-water mark. Exact, and the same on any runtime.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::task::yield_now;

use crate::measure::{Case, Metric, Target, Weight, in_process};
use crate::queues::{
    AsyncChannel, Crossfire, Flume, Futures, Hop, Kanal, Number, Queue, Tanks, Thingbuf, Tokio,
};
use crate::setting::{Place, Setting};

const ITEMS: u64 = 500_000;
/// What the batched peer takes at most.
const BATCH: usize = 256;

/// All cases, standpipe's beside the peers they are compared with.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for place in [Place::Ct, Place::Mt2] {
        for mark in [16, 128, 1024] {
            let setting = Setting::new(place, mark);
            cases.extend([
                polls::<Tokio>(&setting),
                many(&setting),
                polls::<AsyncChannel>(&setting),
                polls::<Futures>(&setting),
                polls::<Flume>(&setting),
                polls::<Kanal>(&setting),
                polls::<Crossfire>(&setting),
                polls::<Thingbuf>(&setting),
            ]);
            let mut own = polls::<Tanks>(&setting);
            let most = ITEMS / (mark as u64 / 2) + 2;
            own.targets = vec![Target::limit(Metric::Count, most as f64, Weight::Gate)];
            cases.push(own);
        }
    }
    cases
}

fn polls<Q: Queue>(setting: &Setting) -> Case {
    case(setting, Q::NAME, |here, n, polls| {
        let (tx, rx) = Q::pair(here.mark);
        let future = Box::pin(Q::produce(tx, Number::<9>::below(n)));
        here.two_tasks(Counted { future, polls }, Q::sum_by_turns(rx, Number::get))
    })
}

/// tokio's batches. Its bound grows by what the reader has in hand.
fn many(setting: &Setting) -> Case {
    case(setting, "tokio recv_many", |here, n, polls| {
        let (tx, mut rx) = mpsc::channel(here.mark);
        let producer =
            Counted { future: Box::pin(Tokio::produce(tx, Number::<99>::below(n))), polls };
        here.two_tasks(producer, async move {
            let (mut sum, mut batch) = (0, Vec::with_capacity(BATCH));
            while rx.recv_many(&mut batch, BATCH).await > 0 {
                for Number(item) in batch.drain(..) {
                    sum += item;
                    yield_now().await;
                }
            }
            sum
        })
    })
}

fn case(
    setting: &Setting,
    name: &'static str,
    work: impl Fn(&Setting, u64, Arc<AtomicU64>) -> u64 + 'static,
) -> Case {
    let here = setting.clone();
    let run = in_process(
        move |n| {
            let polls = Arc::new(AtomicU64::new(0));
            (work(&here, n, Arc::clone(&polls)), polls)
        },
        move |n, (sum, polls)| {
            assert_eq!(sum, n * (n - 1) / 2, "{name} loses or invents items");
            polls.load(Ordering::Relaxed) as f64
        },
    );
    Case { name, setting: setting.name(), run: Some(run), most: ITEMS, targets: vec![] }
}

/// Counts how often a future is polled.
struct Counted<F> {
    future: Pin<Box<F>>,
    polls: Arc<AtomicU64>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        pin!(&mut self.future).poll(cx)
    }
}
