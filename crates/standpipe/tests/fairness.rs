//! Who gets in, and how many wakes it costs.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use standpipe::snapshot::TankSnapshot;
use standpipe::{Batch, Flow, Tank, Writable};
use tokio::task::yield_now;

const WRITERS: usize = 64;
const ITEMS: usize = 64_000;

/// Awaits the drain when told to, and only then.
async fn write_all(writable: &Writable<usize>, items: impl Iterator<Item = usize>) {
    let mut flow = Flow::Ready;
    for mut item in items {
        loop {
            if flow == Flow::Wait && writable.drained().await.is_err() {
                return;
            }
            match writable.write(item) {
                Ok(answer) => {
                    flow = answer;
                    break;
                }
                Err(error) if error.is_full() => {
                    (item, flow) = (error.into_inner(), Flow::Wait);
                }
                Err(_) => return,
            }
        }
    }
}

async fn send_all(writable: &Writable<usize>, items: impl Iterator<Item = usize>) {
    for item in items {
        if writable.send(item).await.is_err() {
            return;
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Send,
    Write,
}

/// Lets many writers write without end until the reader has had enough; their
/// shares and what the tank counted.
async fn crowd(way: Way, take_batches: bool) -> (Vec<usize>, TankSnapshot) {
    let (writable, mut readable) = Tank::items(32).build::<usize>();
    for id in 0..WRITERS {
        let writable = writable.clone();
        tokio::spawn(async move {
            match way {
                Way::Send => send_all(&writable, std::iter::repeat(id)).await,
                Way::Write => write_all(&writable, std::iter::repeat(id)).await,
            }
        });
    }
    let mut shares = vec![0; WRITERS];
    let (mut taken, mut batch) = (0, Batch::new());
    while taken < ITEMS {
        if take_batches {
            assert!(readable.next_batch(&mut batch).await.expect("they go on"));
        } else {
            batch.push(readable.next().await.expect("they go on").expect("they go on"));
        }
        for id in batch.drain() {
            shares[id] += 1;
            taken += 1;
        }
    }
    (shares, readable.gauge().snapshot())
}

#[tokio::test]
async fn sixty_four_writers_get_equal_shares_for_few_wakes() {
    for way in [Way::Send, Way::Write] {
        for take_batches in [false, true] {
            let (shares, seen) = crowd(way, take_batches).await;
            let most = *shares.iter().max().expect("64 of them");
            let least = *shares.iter().min().expect("64 of them");
            let what = format!("{way:?}, batches {take_batches}: {least} to {most} items");
            assert!(most - least <= ITEMS / WRITERS / 5, "{what}");
            let wakes = seen.wakes_writer * 1_000 / seen.written.items;
            assert!(wakes < 500, "{what}: {wakes} wakes per 1,000 items");
            let wakes = seen.wakes_reader * 1_000 / seen.written.items;
            assert!(wakes < 500, "{what}: {wakes} wakes of the reader per 1,000 items");
        }
    }
}

/// Polls a producer that always has an item against a consumer that gives way
/// after each, and counts the polls.
async fn polls_of_producer(way: Way, high: usize, low: usize) -> u64 {
    let (writable, mut readable) = Tank::items(high).low(low).build::<usize>();
    let polls = Arc::new(AtomicU64::new(0));
    let counted = polls.clone();
    let producer = tokio::spawn(async move {
        let mut producer = pin!(async {
            match way {
                Way::Send => send_all(&writable, 0..ITEMS).await,
                Way::Write => write_all(&writable, 0..ITEMS).await,
            }
            drop(writable.end());
        });
        poll_fn(|cx| {
            counted.fetch_add(1, Ordering::Relaxed);
            producer.as_mut().poll(cx)
        })
        .await;
    });
    let mut expected = 0..ITEMS;
    while let Some(item) = readable.next().await {
        assert_eq!(item.ok(), expected.next());
        yield_now().await;
    }
    producer.await.expect("no panic");
    polls.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_slow_consumer_wakes_its_producer_once_per_span_not_per_item() {
    for way in [Way::Send, Way::Write] {
        for (high, low) in [(1_024, 512), (64, 32), (64, 0), (16, 8), (10, 9)] {
            let polls = polls_of_producer(way, high, low).await;
            let most = (ITEMS / (high - low) + 2) as u64;
            assert!(polls <= most, "{way:?} at {low}/{high}: {polls} polls, at most {most}");
        }
    }
}

#[tokio::test]
async fn a_fast_consumer_is_woken_once_per_batch() {
    let (writable, mut readable) = Tank::items(64).build::<usize>();
    let producer = tokio::spawn(async move {
        let mut batch = Batch::new();
        for round in 0..100 {
            batch.extend(round * 32..(round + 1) * 32);
            assert!(writable.send_batch(&mut batch).await.is_ok());
            yield_now().await; // the consumer has time to run dry
        }
        drop(writable.end());
    });
    let mut expected = 0..3_200;
    while let Some(item) = readable.next().await {
        assert_eq!(item.ok(), expected.next());
    }
    producer.await.expect("no panic");
    assert!(readable.gauge().snapshot().wakes_reader <= 101);
}
