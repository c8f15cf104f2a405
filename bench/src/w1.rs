//! W1: what does one hop cost?
//!
//! The numbers 0..n go from one producer to one consumer, which adds them up, through a queue of 16 or 1024 items. *ct*: two tasks on
//! tokio's current-thread runtime; *mt2*: on two workers; *thr*: two threads without a runtime. `join!` and `run()` have both ends in a single future. On ct wall is CPU.

use std::collections::VecDeque;
use std::sync::Arc;

use standpipe::pipeline::Ready;
use standpipe::stage::{fold, iter};
use standpipe::{Pipeline, Tank};

use crate::measure::{Case, Target, Weight};
use crate::node::{self, Flow};
use crate::queues::{
    AsyncChannel, Batches, Crossfire, Flume, Futures, Hop, Kanal, Number, Tanks, Thingbuf, Tokio,
    TokioMany, TokioReserved, TokioVecs,
};
use crate::setting::{Claim, Setting};
use crate::threads;

const MOST: u64 = 10_000_000;

/// All cases, standpipe's beside the peers they are compared with.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for setting in Setting::all() {
        peers(&setting, &mut cases);
        tanks(&setting, &mut cases);
        if setting.is_ct() {
            alone(&setting, &mut cases);
        }
    }
    cases.extend(threads::cases());
    cases
}

/// The hop as a pipeline: source, tank, sink.
fn pipeline(mark: usize, n: u64) -> Ready<u64> {
    Pipeline::from("numbers", iter(0..n))
        .tank(Tank::items(mark))
        .to("sum", fold(0, |sum, item: u64| sum + item))
}

fn peers(setting: &Setting, cases: &mut Vec<Case>) {
    cases.extend([
        hop::<Tokio>(setting, vec![]),
        hop::<TokioMany>(setting, vec![]),
        hop::<TokioReserved>(setting, vec![]),
        hop::<TokioVecs>(setting, vec![]),
        hop::<AsyncChannel>(setting, vec![]),
        hop::<Futures>(setting, vec![]),
        hop::<Flume>(setting, vec![]),
        hop::<Kanal>(setting, vec![]),
        hop::<Crossfire>(setting, vec![]),
        hop::<Thingbuf>(setting, vec![]),
    ]);
}

/// The same hop through a tank.
fn tanks(setting: &Setting, cases: &mut Vec<Case>) {
    let weight = setting.weight();
    let at_1024 = if setting.is_ct() { 0.35 } else { 0.30 };
    let single = Claim { peer: Tokio::NAME, at_16: 0.45, at_1024, weight };
    cases.push(hop::<Tanks>(setting, vec![setting.target(single)]));
    let batches = Claim { peer: TokioMany::NAME, at_16: 0.30, at_1024: 0.15, weight };
    cases.push(hop::<Batches>(setting, vec![setting.target(batches)]));
    let segments = [("tokio recv", 0.22, 0.10), ("kanal", 0.75, 0.40)];
    let targets = segments
        .map(|(peer, at_16, at_1024)| setting.target(Claim { peer, at_16, at_1024, weight }))
        .to_vec();
    let here = setting.clone();
    cases.push(case(setting, "standpipe spawn()", targets, move |n| {
        here.runtime.block_on(async {
            let ready = pipeline(here.mark, n);
            ready
                .spawn_with(|segment| drop(tokio::spawn(segment)))
                .await
                .expect("no stage fails")
                .done
        })
    }));
}

/// Cases that need no second task.
fn alone(setting: &Setting, cases: &mut Vec<Case>) {
    let mark = setting.mark;
    cases.push(case(setting, "limit: VecDeque", vec![], move |n| {
        let (mut queue, mut sum, mut next) = (VecDeque::with_capacity(mark), 0, 0);
        while next < n {
            let end = n.min(next + mark as u64);
            for item in next..end {
                queue.push_back(std::hint::black_box(item));
            }
            next = end;
            while let Some(item) = queue.pop_front() {
                sum += std::hint::black_box(item);
            }
        }
        sum
    }));
    cases.push(node::case(Flow::Hop, setting.name(), mark, |n| n * (n - 1) / 2));
    cases.push(joined::<Tokio>(setting, "tokio join!"));
    let runtime = Arc::clone(&setting.runtime);
    let claim = Claim { peer: "tokio join!", at_16: 0.12, at_1024: 0.09, weight: Weight::Gate };
    let target = setting.target(claim);
    cases.push(case(setting, "standpipe run()", vec![target], move |n| {
        runtime.block_on(pipeline(mark, n).run()).expect("no stage fails").done
    }));
    cases.push(joined::<Tanks>(setting, "standpipe join!"));
}

/// A hop between two tasks.
fn hop<Q: Hop>(setting: &Setting, targets: Vec<Target>) -> Case {
    let here = setting.clone();
    case(setting, Q::NAME, targets, move |n| {
        let (tx, rx) = Q::pair(here.mark);
        here.two_tasks(Q::produce(tx, Number::<1>::below(n)), Q::sum(rx, Number::get))
    })
}

/// A hop within one task.
fn joined<Q: Hop>(setting: &Setting, name: &'static str) -> Case {
    let here = setting.clone();
    case(setting, name, vec![], move |n| {
        let (tx, rx) = Q::pair(here.mark);
        let (producer, consumer) =
            (Q::produce(tx, Number::<11>::below(n)), Q::sum(rx, Number::get));
        here.runtime.block_on(async { tokio::join!(producer, consumer).1 })
    })
}

fn case(
    setting: &Setting,
    name: &'static str,
    targets: Vec<Target>,
    work: impl Fn(u64) -> u64 + 'static,
) -> Case {
    setting.case(name, MOST, targets, work, |n| n * (n - 1) / 2)
}
