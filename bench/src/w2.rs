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
use crate::node::{self, Flow};
use crate::queues::{
    AsyncChannel, Batches, Crossfire, Flume, Futures, Hop, Kanal, Number, Tanks, Thingbuf, Tokio,
    TokioMany, TokioReserved, TokioVecs,
};
use crate::setting::{Claim, Place, Setting};

const MOST: u64 = 5_000_000;

fn f(item: u64) -> u64 {
    item * 3
}

fn g(item: u64) -> u64 {
    item ^ 0x55
}

fn h(item: u64) -> u64 {
    item + 7
}

/// All cases, standpipe's beside the peers they are compared with.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = fused();
    for setting in Setting::all() {
        cases.extend([
            hops::<Tokio>(&setting, vec![]),
            hops::<TokioMany>(&setting, vec![]),
            hops::<TokioReserved>(&setting, vec![]),
            hops::<TokioVecs>(&setting, vec![]),
            hops::<AsyncChannel>(&setting, vec![]),
            hops::<Futures>(&setting, vec![]),
            hops::<Flume>(&setting, vec![]),
            hops::<Kanal>(&setting, vec![]),
            hops::<Crossfire>(&setting, vec![]),
            hops::<Thingbuf>(&setting, vec![]),
            hops::<Tanks>(&setting, vec![]),
            hops::<Batches>(&setting, vec![]),
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
            cases.push(node::case(Flow::Transforms, setting.name(), setting.mark, expected));
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
        .map("f", f)
        .tank(Tank::items(mark))
        .map("g", g)
        .tank(Tank::items(mark))
        .map("h", h)
        .tank(Tank::items(mark))
        .to("sum", fold(0, |sum, item: u64| sum + item))
}

fn hops<Q: Hop>(setting: &Setting, targets: Vec<Target>) -> Case {
    let here = setting.clone();
    case(setting, Q::NAME, targets, move |n| {
        let (tx, first) = Q::pair(here.mark);
        let (to_second, second) = Q::pair(here.mark);
        let (to_third, third) = Q::pair(here.mark);
        let (to_last, last) = Q::pair(here.mark);
        here.runtime.block_on(async {
            let total = tokio::spawn(Q::sum(last, Number::<2>::get));
            tokio::spawn(Q::relay(third, to_last, |Number(item)| Number(h(item))));
            tokio::spawn(Q::relay(second, to_third, |Number(item)| Number(g(item))));
            tokio::spawn(Q::relay(first, to_second, |Number(item)| Number(f(item))));
            tokio::spawn(Q::produce(tx, Number::below(n)));
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
    let runtime = || Arc::clone(&here.runtime);
    let (maps, thens, boxes, ours) = (runtime(), runtime(), runtime(), runtime());
    vec![
        fused("iterator", vec![], Box::new(|n| (0..n).map(f).map(g).map(h).sum())),
        fused(
            "futures map",
            vec![],
            Box::new(move |n| {
                let stream = futures::stream::iter(0..n);
                let stream = stream.map(f).map(g).map(h);
                maps.block_on(stream.fold(0, async |sum, item| sum + item))
            }),
        ),
        fused(
            "futures then",
            vec![],
            Box::new(move |n| {
                let stream = futures::stream::iter(0..n).then(async |i| f(i));
                let stream = stream.then(async |i| g(i)).then(async |i| h(i));
                thens.block_on(stream.fold(0, async |sum, item| sum + item))
            }),
        ),
        fused(
            "futures map, boxed",
            vec![],
            Box::new(move |n| {
                let stream = futures::stream::iter(0..n).boxed();
                let stream: BoxStream<'_, u64> = stream.map(f).boxed();
                let stream: BoxStream<'_, u64> = stream.map(g).boxed();
                let stream: BoxStream<'_, u64> = stream.map(h).boxed();
                boxes.block_on(stream.fold(0, async |sum, item| sum + item))
            }),
        ),
        fused(
            "standpipe map",
            vec![Target::cpu("futures map", 1.5, Weight::Gate)],
            Box::new(move |n| {
                let ready = Pipeline::from("numbers", iter(0..n))
                    .map("f", f)
                    .map("g", g)
                    .map("h", h)
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
    let rest = (0..n % 128).map(f);
    let changed: u64 = rest.clone().map(g).sum();
    f(n * (n - 1) / 2) + changed + 7 * n - rest.sum::<u64>()
}
