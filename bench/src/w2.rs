//! W2: what do three transforms cost, fused and with a queue between each?
//!
//! The numbers 0..n become `n * 3`, `^ 0x55`, `+ 7` and are added up. *Fused*: no queue at all, in one task. *Four hops*: five tasks with
//! a queue of 16 or 1024 items between each; `run()` has all five in a single future.

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt};
use standpipe::pipeline::Ready;
use standpipe::stage::{fold, iter};
use standpipe::{Pipeline, Tank};

use crate::measure::{Case, Target, Weight};
use crate::queues::{
    AsyncChannel, Crossfire, Flume, Kanal, Queue, Tanks, Thingbuf, Tokio, produce, relay, sum,
};
use crate::setting::{Claim, Place, Setting};

const MOST: u64 = 5_000_000;

const F: fn(u64) -> u64 = |item| item * 3;
const G: fn(u64) -> u64 = |item| item ^ 0x55;
const H: fn(u64) -> u64 = |item| item + 7;

/// All cases, standpipe's beside the peers they are compared with.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = fused();
    for setting in Setting::all() {
        cases.extend([
            hops::<Tokio>(&setting, vec![]),
            hops::<AsyncChannel>(&setting, vec![]),
            hops::<Flume>(&setting, vec![]),
            hops::<Kanal>(&setting, vec![]),
            hops::<Crossfire>(&setting, vec![]),
            hops::<Thingbuf>(&setting, vec![]),
            hops::<Tanks>(&setting, vec![]),
        ]);
        let weight = setting.weight();
        let (at_16, at_1024) = if setting.is_ct() { (0.25, 0.08) } else { (0.30, 0.12) };
        let tokio = Claim { peer: "tokio recv", at_16, at_1024, weight };
        let mut targets = vec![setting.target(tokio)];
        if setting.is_ct() {
            let kanal = Claim { peer: "kanal", at_16: 0.90, at_1024: 0.35, weight };
            targets.push(setting.target(kanal));
        }
        let here = setting.clone();
        cases.push(case(&setting, "standpipe spawn()", targets, move |n| {
            here.runtime.block_on(async {
                let ready = pipeline(here.mark, n);
                let running = ready.spawn_with(|segment| drop(tokio::spawn(segment)));
                running.await.expect("no stage fails").done
            })
        }));
        if setting.is_ct() {
            let one = Claim { peer: "tokio recv", at_16: 0.10, at_1024: 0.07, weight };
            let (target, here) = (setting.target(one), setting.clone());
            cases.push(case(&setting, "standpipe run()", vec![target], move |n| {
                here.runtime.block_on(pipeline(here.mark, n).run()).expect("no stage fails").done
            }));
        }
    }
    cases
}

/// Source, three transforms and sink, with four tanks.
fn pipeline(mark: usize, n: u64) -> Ready<u64> {
    Pipeline::from("numbers", iter(0..n))
        .tank(Tank::items(mark))
        .map("f", F)
        .tank(Tank::items(mark))
        .map("g", G)
        .tank(Tank::items(mark))
        .map("h", H)
        .tank(Tank::items(mark))
        .to("sum", fold(0, |sum, item: u64| sum + item))
}

fn hops<Q: Queue>(setting: &Setting, targets: Vec<Target>) -> Case {
    let here = setting.clone();
    case(setting, Q::NAME, targets, move |n| {
        let (tx, first) = Q::pair(here.mark);
        let (to_second, second) = Q::pair(here.mark);
        let (to_third, third) = Q::pair(here.mark);
        let (to_last, last) = Q::pair(here.mark);
        here.runtime.block_on(async {
            let total = tokio::spawn(sum::<Q>(last));
            tokio::spawn(relay::<Q>(third, to_last, H));
            tokio::spawn(relay::<Q>(second, to_third, G));
            tokio::spawn(relay::<Q>(first, to_second, F));
            tokio::spawn(produce::<Q>(tx, n));
            total.await.expect("the sink does not panic")
        })
    })
}

fn fused() -> Vec<Case> {
    let here = Setting::new(Place::Ct, 0);
    let fused = |name, targets, work: Box<dyn Fn(u64) -> u64>| Case {
        setting: "fused".to_owned(),
        ..case(&here, name, targets, work)
    };
    // closures, not the function pointers of the hops: here the compiler is to see through all of it
    let runtime = || Arc::clone(&here.runtime);
    let (maps, thens, boxes, ours) = (runtime(), runtime(), runtime(), runtime());
    vec![
        fused(
            "iterator",
            vec![],
            Box::new(|n| (0..n).map(|i| i * 3).map(|i| i ^ 0x55).map(|i| i + 7).sum()),
        ),
        fused(
            "futures map",
            vec![],
            Box::new(move |n| {
                let stream = futures::stream::iter(0..n);
                let stream = stream.map(|i| i * 3).map(|i| i ^ 0x55).map(|i| i + 7);
                maps.block_on(stream.fold(0, async |sum, item| sum + item))
            }),
        ),
        fused(
            "futures then",
            vec![],
            Box::new(move |n| {
                let stream = futures::stream::iter(0..n).then(async |i| i * 3);
                let stream = stream.then(async |i| i ^ 0x55).then(async |i| i + 7);
                thens.block_on(stream.fold(0, async |sum, item| sum + item))
            }),
        ),
        fused(
            "futures map, boxed",
            vec![],
            Box::new(move |n| {
                let stream = futures::stream::iter(0..n).boxed();
                let stream: BoxStream<'_, u64> = stream.map(|i| i * 3).boxed();
                let stream: BoxStream<'_, u64> = stream.map(|i| i ^ 0x55).boxed();
                let stream: BoxStream<'_, u64> = stream.map(|i| i + 7).boxed();
                boxes.block_on(stream.fold(0, async |sum, item| sum + item))
            }),
        ),
        fused(
            "standpipe map",
            vec![Target::cpu("futures map", 1.5, Weight::Gate)],
            Box::new(move |n| {
                let ready = Pipeline::from("numbers", iter(0..n))
                    .map("f", |i| i * 3)
                    .map("g", |i| i ^ 0x55)
                    .map("h", |i| i + 7)
                    .to("sum", fold(0, |sum, item: u64| sum + item));
                ours.block_on(ready.run()).expect("no stage fails").done
            }),
        ),
    ]
}

fn case(
    setting: &Setting,
    name: &'static str,
    targets: Vec<Target>,
    work: impl Fn(u64) -> u64 + 'static,
) -> Case {
    setting.case(name, MOST, targets, work, expected)
}

/// The sum without going through all: over 128 items in a row `^ 0x55` adds nothing, since `item * 3` then ends in each of 128 ways.
fn expected(n: u64) -> u64 {
    let rest = (0..n % 128).map(F);
    let changed: u64 = rest.clone().map(G).sum();
    F(n * (n - 1) / 2) + changed + 7 * n - rest.sum::<u64>()
}
