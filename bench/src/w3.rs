//! W3: what does a chunk of bytes cost on its way through two tanks?
//!
//! One `Bytes` of 64, 16 or 1 KiB is cloned per chunk: source, tank, a stage that passes it on, tank, and a sink that adds up lengths.
//! High-water mark 256 KiB, low 128 KiB; queues that count items get 256 KiB divided by the size. Nothing may be copied, so a large
//! chunk has to cost no more than a small one.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use standpipe::pipeline::Ready;
use standpipe::stage::{fold, iter};
use standpipe::{KIB, Pipeline, Tank};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::measure::{Case, Target, Weight};
use crate::node::{self, Flow};
use crate::queues::{Hop, Tanks, Tokio};
use crate::setting::{Place, Setting};

const HIGH: usize = 256 * KIB;
const MOST: u64 = 2_000_000;
/// What is really copied takes longer.
const MOST_COPIED: u64 = 60_000;

/// The size of a chunk, and how much CPU it may cost compared with `mpsc<Bytes>`.
const SIZES: [(usize, &str, f64); 3] =
    [(64 * KIB, "64 KiB", 0.55), (16 * KIB, "16 KiB", 0.30), (KIB, "1 KiB", 0.20)];

/// All cases, standpipe's beside the peers they are compared with.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for place in [Place::Ct, Place::Mt2] {
        for (size, name, ratio) in SIZES {
            let setting = Setting::new(place, HIGH / size);
            if setting.is_ct() {
                alone(&Chunks { setting: setting.clone(), size, name }, &mut cases);
            }
            let chunks = Chunks { setting, size, name };
            queues(&chunks, ratio, &mut cases);
        }
    }
    cases
}

/// What flows, and where.
#[derive(Clone)]
struct Chunks {
    setting: Setting,
    size: usize,
    name: &'static str,
}

impl Chunks {
    fn case(
        &self,
        name: &'static str,
        targets: Vec<Target>,
        work: impl Fn(&Self, u64) -> u64 + 'static,
    ) -> Case {
        let (size, here) = (self.size as u64, self.clone());
        let setting = format!("{} {}", self.setting.place_name(), self.name);
        let case =
            self.setting.case(name, MOST, targets, move |n| work(&here, n), move |n| n * size);
        Case { setting, ..case }
    }

    fn iter(&self, n: u64) -> impl Iterator<Item = Bytes> + Send + use<> {
        let chunk = Bytes::from(vec![7; self.size]);
        (0..n).map(move |_| chunk.clone())
    }

    fn pipeline(&self, n: u64) -> Ready<u64> {
        Pipeline::from("chunks", iter(self.iter(n)))
            .tank(Tank::bytes(HIGH))
            .map("pass", |chunk| chunk)
            .tank(Tank::bytes(HIGH))
            .to("length", fold(0, |sum, chunk: Bytes| sum + chunk.len() as u64))
    }
}

fn queues(chunks: &Chunks, ratio: f64, cases: &mut Vec<Case>) {
    cases.push(through::<Tokio>(chunks, "tokio mpsc<Bytes>"));
    cases.push(through::<Tanks>(chunks, "standpipe write + next, items"));
    let copied = chunks.case("tokio duplex + copy", vec![], |chunks, n| {
        let (size, all) = (chunks.size, chunks.iter(n));
        chunks.setting.runtime.block_on(async {
            let (mut first, mut second) = duplex(HIGH);
            let (mut third, mut last) = duplex(HIGH);
            tokio::spawn(async move {
                for chunk in all {
                    first.write_all(&chunk).await.expect("the copy is there");
                }
            });
            tokio::spawn(async move {
                tokio::io::copy(&mut second, &mut third).await.expect("both ends are there");
            });
            let mut buffer = vec![0; size];
            let mut sum = 0;
            loop {
                match last.read(&mut buffer).await.expect("the copy is there") {
                    0 => return sum,
                    count => sum += count as u64,
                }
            }
        })
    });
    cases.push(Case { most: MOST_COPIED, ..copied });
    let peer = "tokio mpsc<Bytes>";
    let target = Target::cpu(peer, ratio, chunks.setting.weight());
    cases.push(chunks.case("standpipe spawn()", vec![target], |chunks, n| {
        chunks.setting.runtime.block_on(async {
            let ready = chunks.pipeline(n);
            let running = ready.spawn_with(|segment| drop(tokio::spawn(segment)));
            running.await.expect("no stage fails").done
        })
    }));
    if chunks.setting.is_ct() {
        let target = Target::cpu(peer, 0.25, Weight::Gate);
        cases.push(chunks.case("standpipe run()", vec![target], |chunks, n| {
            let running = chunks.pipeline(n).run();
            chunks.setting.runtime.block_on(running).expect("no stage fails").done
        }));
    }
}

/// Two queues and the stage between them, each a task.
fn through<Q: Hop>(chunks: &Chunks, name: &'static str) -> Case {
    chunks.case(name, vec![], |chunks, n| {
        let (tx, pass_rx) = Q::pair(chunks.setting.mark);
        let (pass_tx, rx) = Q::pair(chunks.setting.mark);
        let all = chunks.iter(n);
        chunks.setting.runtime.block_on(async {
            tokio::spawn(Q::produce(tx, all));
            tokio::spawn(Q::relay(pass_rx, pass_tx, |chunk| chunk));
            let total = tokio::spawn(Q::sum(rx, |chunk: Bytes| chunk.len() as u64));
            total.await.expect("the sink does not panic")
        })
    })
}

/// What needs no queue.
fn alone(chunks: &Chunks, cases: &mut Vec<Case>) {
    cases.push(chunks.case("limit: clone + drop", vec![], |chunks, n| {
        chunks.iter(n).map(|chunk| black_box(chunk).len() as u64).sum()
    }));
    let copied = chunks.case("limit: one copy", vec![], |chunks, n| {
        let mut to = vec![0; chunks.size];
        chunks
            .iter(n)
            .map(|chunk| {
                to.copy_from_slice(&chunk);
                black_box(&mut to).len() as u64
            })
            .sum()
    });
    cases.push(Case { most: 10 * MOST_COPIED, ..copied });
    let (setting, size) = (format!("ct {}", chunks.name), chunks.size);
    cases.push(node::case(Flow::Chunks(size), setting, HIGH, move |n| n * size as u64));
    let runtime = Arc::clone(&chunks.setting.runtime);
    cases.push(chunks.case("futures stream, boxed twice", vec![], move |chunks, n| {
        let stream: BoxStream<'_, Bytes> = futures::stream::iter(chunks.iter(n)).boxed();
        let stream: BoxStream<'_, Bytes> = stream.map(|chunk| chunk).boxed();
        runtime.block_on(stream.fold(0, async |sum, chunk| sum + chunk.len() as u64))
    }));
}
