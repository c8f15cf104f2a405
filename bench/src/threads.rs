//! What does one hop cost between two threads of the system?
//!
//! The hop of W1 without a runtime: each end blocks its thread, or spins. Shown and not judged: at mark 16 this measures how the system
//! wakes a thread more than the queue, and who spins is fast only while nobody else needs the processor.

use std::hint::spin_loop;
use std::sync::mpsc::sync_channel;
use std::thread::{self, yield_now};

use futures::executor::block_on;

use crate::measure::{Case, in_process};
use crate::queues::{Batches, Hop, Tanks};

/// How often an end that spins looks again before it lets others run.
const SPINS: u32 = 100;
const MOST: u64 = 2_000_000;

/// All cases; between threads there is no target.
pub(crate) fn cases() -> Vec<Case> {
    [16, 1024].into_iter().flat_map(with_mark).collect()
}

fn with_mark(mark: usize) -> Vec<Case> {
    let case = |name, work: fn(usize, u64) -> u64| {
        let run = in_process(
            move |n| work(mark, n),
            move |n, sum| {
                assert_eq!(sum, n * (n - 1) / 2, "{name} loses or invents items");
                0.0
            },
        );
        Case { name, setting: format!("thr {mark}"), run: Some(run), most: MOST, targets: vec![] }
    };
    vec![
        case("std sync_channel", |mark, n| {
            let (tx, rx) = sync_channel(mark);
            let write = move || (0..n).for_each(|item| tx.send(item).expect("the reader is there"));
            both(write, move || rx.iter().sum())
        }),
        case("crossbeam-channel", |mark, n| {
            let (tx, rx) = crossbeam_channel::bounded(mark);
            let write = move || (0..n).for_each(|item| tx.send(item).expect("the reader is there"));
            both(write, move || rx.iter().sum())
        }),
        case("flume", |mark, n| {
            let (tx, rx) = flume::bounded(mark);
            let write = move || (0..n).for_each(|item| tx.send(item).expect("the reader is there"));
            both(write, move || rx.iter().sum())
        }),
        case("kanal", |mark, n| {
            let (tx, rx) = kanal::bounded(mark);
            let write = move || (0..n).for_each(|item| tx.send(item).expect("the reader is there"));
            both(write, move || rx.sum())
        }),
        case("rtrb, spinning", single_slots),
        case("rtrb, spinning, in chunks", chunks),
        case(Tanks::NAME, tank::<Tanks>),
        case(Batches::NAME, tank::<Batches>),
    ]
}

/// The writer in a thread of its own.
fn both(write: impl FnOnce() + Send, read: impl FnOnce() -> u64) -> u64 {
    thread::scope(|scope| {
        scope.spawn(write);
        read()
    })
}

fn tank<Q: Hop>(mark: usize, n: u64) -> u64 {
    let (tx, rx) = Q::pair::<u64>(mark);
    both(move || block_on(Q::produce(tx, 0..n)), move || block_on(Q::sum(rx, |item| item)))
}

/// Asks again until there is an answer.
fn spin<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    loop {
        for _ in 0..SPINS {
            if let Some(answer) = ask() {
                return answer;
            }
            spin_loop();
        }
        yield_now();
    }
}

fn single_slots(mark: usize, n: u64) -> u64 {
    let (mut tx, mut rx) = rtrb::RingBuffer::new(mark);
    let write = move || (0..n).for_each(|item| spin(|| tx.push(item).ok()));
    both(write, move || (0..n).map(|_| spin(|| rx.pop().ok())).sum())
}

fn chunks(mark: usize, n: u64) -> u64 {
    let (mut tx, mut rx) = rtrb::RingBuffer::new(mark);
    let write = move || {
        let mut items = 0..n;
        while !items.is_empty() {
            let free = spin(|| Some(tx.slots()).filter(|slots| *slots > 0));
            let chunk = tx.write_chunk_uninit(free).expect("they are free");
            chunk.fill_from_iter(&mut items);
        }
    };
    both(write, move || {
        let (mut sum, mut left) = (0, n);
        while left > 0 {
            let full = spin(|| Some(rx.slots()).filter(|slots| *slots > 0));
            sum += rx.read_chunk(full).expect("they are full").into_iter().sum::<u64>();
            left -= full as u64;
        }
        sum
    })
}
