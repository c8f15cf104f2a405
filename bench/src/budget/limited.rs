//! How is a piece handed on within a common limit?
//!
//! The loops are written out for each kind of queue, as its user would write them.
//!
//! # Knows / never knows
//! Knows the calls of tokio and of the library. Never knows how many queues there are.

use std::ops::Range;
use std::sync::Arc;

use standpipe::{Budget, Readable, Tank, Writable};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::yield_now;

use super::{Held, PIECE_BYTES, Pace, Piece};

/// A queue of bytes that shares a limit with others.
pub(super) trait Limited: 'static {
    const NAME: &'static str;
    type Limit: Send;
    type Tx: Send + 'static;
    type Rx: Send + 'static;
    fn limit(bytes: usize) -> Self::Limit;
    fn pair(limit: &Self::Limit, bytes: usize) -> (Self::Tx, Self::Rx);
    /// Writes pieces of these numbers.
    fn write(
        tx: &mut Self::Tx,
        numbers: Range<u64>,
        held: Option<&Held>,
    ) -> impl Future<Output = ()> + Send;
    /// Says that there are no more.
    fn end(tx: Self::Tx);
    /// Adds up the numbers of what comes.
    fn read(
        rx: Self::Rx,
        pace: Pace,
        held: Option<Arc<Held>>,
    ) -> impl Future<Output = u64> + Send + 'static;
}

/// Channels of tokio beside one semaphore.
pub(super) struct Permits;

impl Limited for Permits {
    const NAME: &'static str = "tokio mpsc + Semaphore";
    type Limit = Arc<Semaphore>;
    type Tx = (mpsc::Sender<(Piece, OwnedSemaphorePermit)>, Arc<Semaphore>);
    type Rx = mpsc::Receiver<(Piece, OwnedSemaphorePermit)>;

    fn limit(bytes: usize) -> Self::Limit {
        Arc::new(Semaphore::new(bytes))
    }

    fn pair(limit: &Self::Limit, bytes: usize) -> (Self::Tx, Self::Rx) {
        let (tx, rx) = mpsc::channel(bytes / PIECE_BYTES);
        ((tx, Arc::clone(limit)), rx)
    }

    async fn write((tx, limit): &mut Self::Tx, numbers: Range<u64>, held: Option<&Held>) {
        for piece in numbers.map(Piece::new) {
            let permit = Arc::clone(limit).acquire_many_owned(piece.bytes).await;
            let permit = permit.expect("the semaphore is not closed");
            assert!(tx.send((piece, permit)).await.is_ok(), "the reader is there");
            if let Some(held) = held {
                held.wrote(piece);
            }
        }
    }

    fn end(tx: Self::Tx) {
        drop(tx);
    }

    async fn read(mut rx: Self::Rx, pace: Pace, held: Option<Arc<Held>>) -> u64 {
        let mut sum = 0;
        while let Some((piece, permit)) = rx.recv().await {
            sum += piece.number;
            if let Some(held) = &held {
                held.handled(piece);
            }
            drop(permit);
            if pace == Pace::ByTurns {
                yield_now().await;
            }
        }
        sum
    }
}

/// Tanks with no limit but their own.
pub(super) struct Alone;

/// Tanks of one budget.
pub(super) struct Shared;

macro_rules! tanks {
    ($tanks:ident, $name:literal, $limit:ty, |$bytes:ident| $new:expr, |$at:ident, $tank:ident| $built:expr) => {
        impl Limited for $tanks {
            const NAME: &'static str = $name;
            type Limit = $limit;
            type Tx = Writable<Piece>;
            type Rx = Readable<Piece>;

            fn limit($bytes: usize) -> Self::Limit {
                $new
            }

            fn pair($at: &Self::Limit, bytes: usize) -> (Self::Tx, Self::Rx) {
                let $tank = Tank::bytes(bytes);
                $built.build()
            }

            async fn write(tx: &mut Self::Tx, numbers: Range<u64>, held: Option<&Held>) {
                write(tx, numbers, held).await;
            }

            fn end(tx: Self::Tx) {
                tx.end();
            }

            fn read(
                rx: Self::Rx,
                pace: Pace,
                held: Option<Arc<Held>>,
            ) -> impl Future<Output = u64> + Send + 'static {
                read(rx, pace, held)
            }
        }
    };
}

tanks!(Alone, "standpipe, no budget", (), |_bytes| (), |_limit, tank| tank);
tanks!(Shared, "standpipe, Budget", Budget, |bytes| Budget::bytes(bytes), |limit, tank| tank
    .budget(limit));

async fn write(tx: &Writable<Piece>, numbers: Range<u64>, held: Option<&Held>) {
    for piece in numbers.map(Piece::new) {
        tx.send(piece).await.expect("the reader is there");
        if let Some(held) = held {
            held.wrote(piece);
        }
    }
}

async fn read(mut rx: Readable<Piece>, pace: Pace, held: Option<Arc<Held>>) -> u64 {
    let mut sum = 0;
    while let Some(piece) = rx.next().await {
        let piece = piece.expect("the writer ends well");
        sum += piece.number;
        if let Some(held) = &held {
            held.handled(piece);
        }
        if pace == Pace::ByTurns {
            yield_now().await;
        }
    }
    sum
}
