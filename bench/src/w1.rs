//! W1: what does one hop cost?
//!
//! The numbers 0..n go from one producer to one consumer, which adds them up, through a queue of 16 or 1024 items. *ct*: two tasks on
//! tokio's current-thread runtime; *mt2*: on two workers. `join!` and `run()` have both ends in a single future. On ct wall is CPU.

use std::collections::VecDeque;
use std::sync::Arc;

use standpipe::pipeline::Ready;
use standpipe::stage::{fold, iter};
use standpipe::{Batch, Flow, Pipeline, Tank, Writable};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::measure::{Case, Target, Weight, in_process};

const MOST: u64 = 10_000_000;

/// Where the two ends run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Ct,
    Mt2,
}

/// CPU against a peer: at most so much at mark 16 and at mark 1024.
struct Claim {
    peer: &'static str,
    at_16: f64,
    at_1024: f64,
    weight: Weight,
}

/// One setting: where, and how large the queue is.
struct Setting {
    place: Place,
    mark: usize,
    runtime: Arc<Runtime>,
}

impl Setting {
    fn name(&self) -> String {
        let place = match self.place {
            Place::Ct => "ct",
            Place::Mt2 => "mt2",
        };
        format!("{place} {}", self.mark)
    }

    fn target(&self, claim: Claim) -> Target {
        let at_most = if self.mark == 16 { claim.at_16 } else { claim.at_1024 };
        Target::cpu(claim.peer, at_most, claim.weight)
    }

    /// A case whose two ends are tasks.
    fn two_tasks<P, C>(
        &self,
        name: &'static str,
        targets: Vec<Target>,
        ends: impl Fn(usize, u64) -> (P, C) + 'static,
    ) -> Case
    where
        P: Future<Output = ()> + Send + 'static,
        C: Future<Output = u64> + Send + 'static,
    {
        let (runtime, mark) = (Arc::clone(&self.runtime), self.mark);
        self.case(name, targets, move |n| {
            let (producer, consumer) = ends(mark, n);
            runtime.block_on(async {
                let consumer = tokio::spawn(consumer);
                let producer = tokio::spawn(producer);
                producer.await.expect("the producer does not panic");
                consumer.await.expect("the consumer does not panic")
            })
        })
    }

    /// A case that runs `work` with a number of items and expects their sum.
    fn case(
        &self,
        name: &'static str,
        targets: Vec<Target>,
        work: impl Fn(u64) -> u64 + 'static,
    ) -> Case {
        let run = in_process(move |n| {
            assert_eq!(work(n), n * (n - 1) / 2, "{name} loses or invents items");
        });
        Case { name, setting: self.name(), run: Some(run), most: MOST, targets }
    }
}

/// All cases, standpipe's beside the peers they are compared with.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (place, mark) in [(Place::Ct, 16), (Place::Ct, 1024), (Place::Mt2, 16), (Place::Mt2, 1024)]
    {
        let setting = Setting { place, mark, runtime: Arc::new(runtime(place)) };
        peers(&setting, &mut cases);
        tanks(&setting, &mut cases);
        if place == Place::Ct {
            alone(&setting, &mut cases);
        }
    }
    cases
}

fn runtime(place: Place) -> Runtime {
    let built = match place {
        Place::Ct => Builder::new_current_thread().build(),
        Place::Mt2 => Builder::new_multi_thread().worker_threads(2).build(),
    };
    built.expect("threads can be started")
}

fn peers(setting: &Setting, cases: &mut Vec<Case>) {
    cases.push(setting.two_tasks("tokio recv", vec![], |mark, n| {
        let (tx, mut rx) = mpsc::channel(mark);
        (tokio_send(tx, n), async move {
            let mut sum = 0;
            while let Some(item) = rx.recv().await {
                sum += item;
            }
            sum
        })
    }));
    cases.push(setting.two_tasks("tokio recv_many", vec![], |mark, n| {
        let (tx, mut rx) = mpsc::channel(mark);
        (tokio_send(tx, n), async move {
            let (mut sum, mut batch) = (0, Vec::with_capacity(mark));
            while rx.recv_many(&mut batch, mark).await > 0 {
                sum += batch.drain(..).sum::<u64>();
            }
            sum
        })
    }));
    cases.push(setting.two_tasks("async-channel", vec![], |mark, n| {
        let (tx, rx) = async_channel::bounded(mark);
        let producer = async move {
            for item in 0..n {
                tx.send(item).await.expect("the consumer is there");
            }
        };
        let consumer = async move {
            let mut sum = 0;
            while let Ok(item) = rx.recv().await {
                sum += item;
            }
            sum
        };
        (producer, consumer)
    }));
    cases.push(setting.two_tasks("flume", vec![], |mark, n| {
        let (tx, rx) = flume::bounded(mark);
        let producer = async move {
            for item in 0..n {
                tx.send_async(item).await.expect("the consumer is there");
            }
        };
        let consumer = async move {
            let mut sum = 0;
            while let Ok(item) = rx.recv_async().await {
                sum += item;
            }
            sum
        };
        (producer, consumer)
    }));
    cases.push(setting.two_tasks("kanal", vec![], |mark, n| {
        let (tx, rx) = kanal::bounded_async(mark);
        let producer = async move {
            for item in 0..n {
                tx.send(item).await.expect("the consumer is there");
            }
        };
        let consumer = async move {
            let mut sum = 0;
            while let Ok(item) = rx.recv().await {
                sum += item;
            }
            sum
        };
        (producer, consumer)
    }));
}

/// The same hop through a tank.
fn tanks(setting: &Setting, cases: &mut Vec<Case>) {
    let ct = setting.place == Place::Ct;
    let single = match ct {
        true => Claim { peer: "tokio recv", at_16: 0.45, at_1024: 0.35, weight: Weight::Gate },
        false => Claim { peer: "tokio recv", at_16: 0.45, at_1024: 0.30, weight: Weight::Goal },
    };
    let target = setting.target(single);
    cases.push(setting.two_tasks("standpipe write + next", vec![target], |mark, n| {
        let (writable, mut readable) = Tank::items(mark).build::<u64>();
        (tank_write(writable, n), async move {
            let mut sum = 0;
            while let Some(item) = readable.next().await {
                sum += item.expect("the producer ends well");
            }
            sum
        })
    }));
    let weight = if ct { Weight::Gate } else { Weight::Goal };
    let batches = Claim { peer: "tokio recv_many", at_16: 0.30, at_1024: 0.15, weight };
    let target = setting.target(batches);
    cases.push(setting.two_tasks("standpipe send_batch + next_batch", vec![target], |mark, n| {
        let (writable, mut readable) = Tank::items(mark).build::<u64>();
        let producer = async move {
            let (mut batch, step) = (Batch::new(), mark as u64 / 2);
            for item in 0..n {
                batch.push(item);
                if item % step == step - 1 {
                    writable.send_batch(&mut batch).await.expect("the consumer is there");
                }
            }
            writable.send_batch(&mut batch).await.expect("the consumer is there");
            writable.end();
        };
        let consumer = async move {
            let (mut sum, mut batch) = (0, Batch::new());
            while readable.next_batch(&mut batch).await.expect("the producer ends well") {
                sum += batch.drain().sum::<u64>();
            }
            sum
        };
        (producer, consumer)
    }));
    let segments = [("tokio recv", 0.22, 0.10), ("kanal", 0.75, 0.40)];
    let targets = segments
        .map(|(peer, at_16, at_1024)| setting.target(Claim { peer, at_16, at_1024, weight }))
        .to_vec();
    let (runtime, mark) = (Arc::clone(&setting.runtime), setting.mark);
    cases.push(setting.case("standpipe spawn()", targets, move |n| {
        runtime.block_on(async {
            let running = pipeline(mark, n).spawn_with(|segment| drop(tokio::spawn(segment)));
            running.await.expect("no stage fails").done
        })
    }));
}

/// The hop as a pipeline: source, tank, sink.
fn pipeline(mark: usize, n: u64) -> Ready<u64> {
    Pipeline::from("numbers", iter(0..n))
        .tank(Tank::items(mark))
        .to("sum", fold(0, |sum, item: u64| sum + item))
}

/// Cases that need no second task.
fn alone(setting: &Setting, cases: &mut Vec<Case>) {
    let mark = setting.mark;
    cases.push(setting.case("limit: VecDeque", vec![], move |n| {
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
    let runtime = Arc::clone(&setting.runtime);
    cases.push(setting.case("tokio join!", vec![], move |n| {
        let (tx, mut rx) = mpsc::channel(mark);
        let consumer = async move {
            let mut sum = 0;
            while let Some(item) = rx.recv().await {
                sum += item;
            }
            sum
        };
        runtime.block_on(async { tokio::join!(tokio_send(tx, n), consumer).1 })
    }));
    let runtime = Arc::clone(&setting.runtime);
    let claim = Claim { peer: "tokio join!", at_16: 0.12, at_1024: 0.09, weight: Weight::Gate };
    let target = setting.target(claim);
    cases.push(setting.case("standpipe run()", vec![target], move |n| {
        runtime.block_on(pipeline(mark, n).run()).expect("no stage fails").done
    }));
    let runtime = Arc::clone(&setting.runtime);
    cases.push(setting.case("standpipe join!", vec![], move |n| {
        let (writable, mut readable) = Tank::items(mark).build::<u64>();
        let consumer = async move {
            let mut sum = 0;
            while let Some(item) = readable.next().await {
                sum += item.expect("the producer ends well");
            }
            sum
        };
        runtime.block_on(async { tokio::join!(tank_write(writable, n), consumer).1 })
    }));
}

async fn tank_write(writable: Writable<u64>, n: u64) {
    for item in 0..n {
        if writable.write(item).expect("the consumer is there") == Flow::Wait {
            writable.drained().await.expect("the consumer is there");
        }
    }
    writable.end();
}

async fn tokio_send(tx: mpsc::Sender<u64>, n: u64) {
    for item in 0..n {
        tx.send(item).await.expect("the consumer is there");
    }
}
