//! What is counted?
//!
//! Each case is written out with the calls that its user would make, and has a type of its own for what flows: what the compiler builds
//! for it is used by no other, so that a case more moves no count. All in one thread, with queues of 1024 items.
//!
//! # Knows / never knows
//! Knows calls of the library and of tokio. Never knows what they cost.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Instant;

use bytes::Bytes;
use standpipe::gate::{Flow, Gate, Marks};
use standpipe::pipeline::Ready;
use standpipe::stage::{fold, iter};
use standpipe::{Batch, Budget, Pipeline, Readable, Tank, Writable};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

const MARK: usize = 1024;

/// What is counted, and at most how much of a peer's count it may be.
pub(crate) struct Counted {
    pub(crate) name: &'static str,
    /// Moves so many items and checks them.
    pub(crate) run: fn(u64),
    pub(crate) against: Option<(&'static str, f64)>,
}

const TOKIO: &str = "one hop, tokio recv";
const MANY: &str = "one hop, tokio recv_many";
const HOPS: &str = "four hops, tokio recv";

/// Cases in which no end ever waits for the other.
pub(crate) const NOBODY_WAITS: [&str; 3] =
    ["half full, numbers", "half full, chunks of 64 KiB", "half full, within a budget"];
/// A case that reads the clock and copies, once an item.
pub(crate) const LOOKS: Counted = alone("a copy and a look at the clock", looks);

/// All. A limit of a ratio is what is reached and some room, not a wish: it has to hold for any compiler.
pub(crate) const CASES: &[Counted] = &[
    alone(TOKIO, tokio_recv),
    alone(MANY, tokio_recv_many),
    against("one hop, write + next", write_next, TOKIO, 0.70),
    against("one hop, send_batch + next_batch", batches, MANY, 0.35),
    against("one hop, spawn()", |n| spawned(one_hop(n), sum_below(n)), TOKIO, 0.10),
    against("one hop, run()", |n| driven(one_hop(n), sum_below(n)), TOKIO, 0.10),
    alone(HOPS, tokio_hops),
    against("four hops, spawn()", |n| spawned(four_hops(n), changed_below(n)), HOPS, 0.25),
    against("four hops, run()", |n| driven(four_hops(n), changed_below(n)), HOPS, 0.25),
    against("one hop, spawn(), within a budget", |n| spawned(shared(n), sum_below(n)), TOKIO, 0.10),
    alone("one by one", |n| one_by_one(n, Alone, &Tank::items(MARK))),
    alone("one by one, within a budget", |n| {
        one_by_one(n, Within, &Tank::items(MARK).budget(&Budget::items(2 * MARK)))
    }),
    alone("one by one, beside 1000 that wait for the budget", beside_many),
    alone("three maps, fused", |n| driven(fused(n), changed_below(n))),
    alone(NOBODY_WAITS[0], |n| half_full(n, 7_u64, &Tank::items(MARK))),
    alone(NOBODY_WAITS[1], |n| half_full(n, Bytes::from(vec![7; 64 << 10]), &Tank::items(MARK))),
    alone(NOBODY_WAITS[2], |n| {
        half_full(n, 7_u32, &Tank::items(MARK).budget(&Budget::items(4 * MARK)))
    }),
    alone("the gate, admit + release", gate),
];

const fn alone(name: &'static str, run: fn(u64)) -> Counted {
    Counted { name, run, against: None }
}

const fn against(name: &'static str, run: fn(u64), peer: &'static str, at_most: f64) -> Counted {
    Counted { name, run, against: Some((peer, at_most)) }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("there is memory")
}

fn sum_below(n: u64) -> u64 {
    n * (n - 1) / 2
}

fn f(item: u64) -> u64 {
    item * 3
}

fn g(item: u64) -> u64 {
    item ^ 0x55
}

fn h(item: u64) -> u64 {
    item + 7
}

/// What the items below `n` come to, changed three times. Without their own loop over all of them, which would be counted: over 128 in
/// a row `g` adds nothing, since `f` then ends in each of 128 ways.
fn changed_below(n: u64) -> u64 {
    let rest = (0..n % 128).map(f);
    f(sum_below(n)) + rest.clone().map(g).sum::<u64>() + 7 * n - rest.sum::<u64>()
}

/// A task that produces and one that consumes.
fn two_tasks<P, C>(producer: P, consumer: C) -> u64
where
    P: Future<Output = ()> + Send + 'static,
    C: Future<Output = u64> + Send + 'static,
{
    runtime().block_on(async {
        let consumer = tokio::spawn(consumer);
        tokio::spawn(producer).await.expect("the producer does not panic");
        consumer.await.expect("the consumer does not panic")
    })
}

fn tokio_recv(n: u64) {
    let (tx, mut rx) = mpsc::channel(MARK);
    let producer = async move {
        for item in 0..n {
            tx.send(item).await.expect("the consumer is there");
        }
    };
    let sum = two_tasks(producer, async move {
        let mut sum = 0;
        while let Some(item) = rx.recv().await {
            sum += item;
        }
        sum
    });
    assert_eq!(sum, sum_below(n));
}

fn tokio_recv_many(n: u64) {
    struct Number(u64);
    let (tx, mut rx) = mpsc::channel(MARK);
    let producer = async move {
        for item in 0..n {
            assert!(tx.send(Number(item)).await.is_ok(), "the consumer is there");
        }
    };
    let sum = two_tasks(producer, async move {
        let (mut sum, mut batch) = (0, Vec::with_capacity(MARK));
        while rx.recv_many(&mut batch, MARK).await > 0 {
            sum += batch.drain(..).map(|Number(item)| item).sum::<u64>();
        }
        sum
    });
    assert_eq!(sum, sum_below(n));
}

fn write_next(n: u64) {
    struct Number(u64);
    let (writable, mut readable) = Tank::items(MARK).build();
    let producer = async move {
        for item in 0..n {
            match writable.write(Number(item)) {
                Ok(Flow::Ready) => {}
                Ok(Flow::Wait) => writable.drained().await.expect("the consumer is there"),
                Err(_) => unreachable!("the consumer is there, and the tank is not shut"),
            }
        }
        writable.end();
    };
    let sum = two_tasks(producer, async move {
        let mut sum = 0;
        while let Some(item) = readable.next().await {
            sum += item.expect("the producer ends well").0;
        }
        sum
    });
    assert_eq!(sum, sum_below(n));
}

fn batches(n: u64) {
    struct Number(u64);
    let (writable, mut readable) = Tank::items(MARK).build();
    let producer = async move {
        let (mut batch, mut held) = (Batch::new(), 0);
        for item in 0..n {
            batch.push(Number(item));
            held += 1;
            if held == MARK / 2 {
                writable.send_batch(&mut batch).await.expect("the consumer is there");
                held = 0;
            }
        }
        writable.send_batch(&mut batch).await.expect("the consumer is there");
        writable.end();
    };
    let sum = two_tasks(producer, async move {
        let (mut sum, mut batch) = (0, Batch::new());
        while readable.next_batch(&mut batch).await.expect("the producer ends well") {
            sum += batch.drain().map(|Number(item)| item).sum::<u64>();
        }
        sum
    });
    assert_eq!(sum, sum_below(n));
}

/// Reads the machine's clock, and says that 3 us have passed since the last
/// reading: how much is handed on at once goes by time, which under callgrind
/// is no two times the same.
#[expect(clippy::disallowed_methods, reason = "this is the edge at which `now` enters")]
fn clock() -> impl Fn() -> u64 + Send + Sync {
    let (origin, readings) = (Instant::now(), AtomicU64::new(0));
    move || {
        black_box(origin.elapsed());
        readings.fetch_add(3_000, Ordering::Relaxed)
    }
}

fn one_hop(n: u64) -> Ready<u64> {
    Pipeline::from_with_clock("numbers", iter(0..n), clock())
        .tank(Tank::items(MARK))
        .to("sum", fold(0, |sum, item: u64| sum + item))
}

/// With a limit that a second tank would share.
fn shared(n: u64) -> Ready<u64> {
    #[derive(Clone, Copy)]
    struct Number(u64);
    Pipeline::from_with_clock("numbers", iter((0..n).map(Number)), clock())
        .tank(Tank::items(MARK).budget(&Budget::items(2 * MARK)))
        .to("sum", fold(0, |sum, item: Number| sum + item.0))
}

fn four_hops(n: u64) -> Ready<u64> {
    Pipeline::from_with_clock("numbers", iter(0..n), clock())
        .tank(Tank::items(MARK))
        .map("f", f)
        .tank(Tank::items(MARK))
        .map("g", g)
        .tank(Tank::items(MARK))
        .map("h", h)
        .tank(Tank::items(MARK))
        .to("sum", fold(0, |sum, item: u64| sum + item))
}

fn fused(n: u64) -> Ready<u64> {
    Pipeline::from_with_clock("numbers", iter(0..n), clock())
        .map("f", f)
        .map("g", g)
        .map("h", h)
        .to("sum", fold(0, |sum, item: u64| sum + item))
}

fn spawned(ready: Ready<u64>, expected: u64) {
    let sum = runtime().block_on(async {
        ready.spawn_with(|segment| drop(tokio::spawn(segment))).await.expect("no stage fails").done
    });
    assert_eq!(sum, expected);
}

fn driven(ready: Ready<u64>, expected: u64) {
    assert_eq!(runtime().block_on(ready.run()).expect("no stage fails").done, expected);
}

fn tokio_hops(n: u64) {
    struct Number(u64);
    let relay = |mut rx: mpsc::Receiver<Number>, change: fn(u64) -> u64| {
        let (tx, next) = mpsc::channel(MARK);
        tokio::spawn(async move {
            while let Some(Number(item)) = rx.recv().await {
                assert!(tx.send(Number(change(item))).await.is_ok(), "the consumer is there");
            }
        });
        next
    };
    let sum = runtime().block_on(async {
        let (tx, rx) = mpsc::channel(MARK);
        tokio::spawn(async move {
            for item in 0..n {
                assert!(tx.send(Number(item)).await.is_ok(), "the consumer is there");
            }
        });
        let mut last = relay(relay(relay(rx, f), g), h);
        let sum = tokio::spawn(async move {
            let mut sum = 0;
            while let Some(Number(item)) = last.recv().await {
                sum += item;
            }
            sum
        });
        sum.await.expect("the consumer does not panic")
    });
    assert_eq!(sum, changed_below(n));
}

/// Writes one and reads one, a quarter of the mark apart. What the reader has in hand stays charged, so half the mark is reached.
fn half_full<T: Clone>(n: u64, item: T, tank: &Tank) {
    let (writable, mut readable): (Writable<T>, Readable<T>) = tank.clone().build();
    let write = |item| assert_eq!(writable.write(item).ok(), Some(Flow::Ready), "there is room");
    for _ in 0..MARK / 4 {
        write(item.clone());
    }
    runtime().block_on(async {
        for _ in 0..n {
            write(black_box(&item).clone());
            black_box(readable.next().await.expect("it has not ended").expect("nor failed"));
        }
    });
}

#[derive(Clone, Copy)]
struct Alone;

#[derive(Clone, Copy)]
struct Within;

/// Writes one into the empty tank and reads it: where a budget has the most to do.
fn one_by_one<T: Copy>(n: u64, item: T, tank: &Tank) {
    let (writable, mut readable) = tank.clone().build();
    runtime().block_on(async {
        for _ in 0..n {
            assert_eq!(writable.write(black_box(item)).ok(), Some(Flow::Ready), "there is room");
            black_box(readable.next().await.expect("it has not ended").expect("nor failed"));
        }
    });
}

/// The same beside many that wait: what they want changes the share, and what comes back is theirs, at the cost of few.
fn beside_many(n: u64) {
    #[derive(Clone, Copy)]
    struct Many;
    let budget = Budget::items(16);
    let tanks: Vec<(Writable<Many>, Readable<Many>)> =
        (0..1000).map(|_| Tank::items(MARK).budget(&budget).build()).collect();
    let mut waiting: Vec<_> = tanks
        .iter()
        .map(|(writable, _)| {
            while writable.write(Many).is_ok_and(|flow| flow == Flow::Ready) {}
            Box::pin(writable.drained())
        })
        .collect();
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(waiting.iter_mut().all(|waits| waits.as_mut().poll(cx).is_pending()));
    let (writable, mut readable) = Tank::items(MARK).budget(&budget).build();
    runtime().block_on(async {
        for _ in 0..n {
            assert!(writable.write(black_box(Many)).is_ok(), "one is its own");
            black_box(readable.next().await.expect("it has not ended").expect("nor failed"));
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "this case is to read the clock")]
fn looks(n: u64) {
    let from = vec![7_u8; 4096];
    let mut to = vec![0_u8; 4096];
    for _ in 0..n {
        black_box(std::time::Instant::now());
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
    }
}

fn gate(n: u64) {
    let mut gate = Gate::new(Marks::half(MARK).expect("1024 is a mark"));
    let mut waits = 0_u64;
    for _ in 0..n {
        if gate.admit(black_box(1)) == Flow::Wait {
            waits += 1;
            for _ in 0..MARK / 2 {
                let _ = black_box(gate.release(black_box(1)));
            }
        }
    }
    assert!(waits > 0, "the gate shuts");
}
