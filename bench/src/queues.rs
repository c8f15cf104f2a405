//! How is an item handed on by each of the queues that are compared?
//!
//! Every loop over a queue is written out for it, with its own calls in one async block, as its user would write it: a call through a
//! trait for each item costs as much as the fastest of these queues. `queue!` writes the loops of those that move single items; what
//! moves batches is below, by hand.
//!
//! # Knows / never knows
//! Knows the names and the calls of the peers. Never knows what is done with them.

use futures::{SinkExt, StreamExt};
use standpipe::{Batch, Flow, Readable, Tank, Writable};
use tokio::sync::mpsc;
use tokio::task::yield_now;

/// What every queue here can hold.
pub(crate) trait Item: Clone + Default + Send + Sync + Unpin + 'static {}

impl<T: Clone + Default + Send + Sync + Unpin + 'static> Item for T {}

/// The number that flows in one workload. Each has a type of its own: what the compiler builds for it is used nowhere else, and is
/// inlined as in a program that has this one queue, however many workloads there are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Number<const WORKLOAD: usize>(pub(crate) u64);

impl<const WORKLOAD: usize> Number<WORKLOAD> {
    /// The numbers below `n`.
    pub(crate) fn below(n: u64) -> impl Iterator<Item = Self> + Send + 'static {
        (0..n).map(Number)
    }

    pub(crate) fn get(self) -> u64 {
        self.0
    }
}

/// A bounded queue with one writer and one reader, and the loops at its two ends.
pub(crate) trait Hop: 'static {
    const NAME: &'static str;
    type Tx<T: Item>: Send + 'static;
    type Rx<T: Item>: Send + 'static;
    /// A queue for `mark` items.
    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>);
    /// Writes all and ends.
    fn produce<T: Item>(
        tx: Self::Tx<T>,
        items: impl Iterator<Item = T> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static;
    /// Adds up `of` what comes.
    fn sum<T: Item>(
        rx: Self::Rx<T>,
        of: impl Fn(T) -> u64 + Send + 'static,
    ) -> impl Future<Output = u64> + Send + 'static;
    /// Hands on what comes, changed.
    fn relay<T: Item>(
        rx: Self::Rx<T>,
        tx: Self::Tx<T>,
        change: impl Fn(T) -> T + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// A queue of single items.
pub(crate) trait Queue: Hop {
    /// Adds up `of` what comes, and lets others run after each.
    fn sum_by_turns<T: Item>(
        rx: Self::Rx<T>,
        of: impl Fn(T) -> u64 + Send + 'static,
    ) -> impl Future<Output = u64> + Send + 'static;
    /// Writes all.
    fn fill<T: Item>(
        tx: &mut Self::Tx<T>,
        items: impl Iterator<Item = T> + Send,
    ) -> impl Future<Output = ()> + Send;
    /// Reads `count` items.
    fn take<T: Item>(rx: &mut Self::Rx<T>, count: usize) -> impl Future<Output = ()> + Send;
}

/// Writes a queue's loops. `send` waits until there is room, and `recv` until there is an item or None.
macro_rules! queue {
    (
        $(#[$doc:meta])*
        $queue:ident, $name:literal, $sender:ty, $receiver:ty;
        pair: |$mark:ident| $pair:expr;
        send: |$tx:ident, $item:ident| $send:expr;
        recv: |$rx:ident| $recv:expr;
        end: |$last:ident| $end:expr;
    ) => {
        $(#[$doc])*
        pub(crate) struct $queue;

        #[allow(unused_mut, reason = "the ends of some queues are used by `&mut`")]
        impl Hop for $queue {
            const NAME: &'static str = $name;
            type Tx<T: Item> = $sender;
            type Rx<T: Item> = $receiver;

            fn pair<T: Item>($mark: usize) -> (Self::Tx<T>, Self::Rx<T>) {
                $pair
            }

            async fn produce<T: Item>(
                mut $tx: Self::Tx<T>,
                items: impl Iterator<Item = T> + Send + 'static,
            ) {
                for $item in items {
                    $send;
                }
                let $last = $tx;
                $end;
            }

            async fn sum<T: Item>(
                mut $rx: Self::Rx<T>,
                of: impl Fn(T) -> u64 + Send + 'static,
            ) -> u64 {
                let mut sum = 0;
                while let Some(item) = $recv {
                    sum += of(item);
                }
                sum
            }

            async fn relay<T: Item>(
                mut $rx: Self::Rx<T>,
                mut $tx: Self::Tx<T>,
                change: impl Fn(T) -> T + Send + 'static,
            ) {
                while let Some(item) = $recv {
                    let $item = change(item);
                    $send;
                }
                let $last = $tx;
                $end;
            }
        }

        impl Queue for $queue {
            async fn sum_by_turns<T: Item>(
                #[allow(unused_mut, reason = "as above")] mut $rx: Self::Rx<T>,
                of: impl Fn(T) -> u64 + Send + 'static,
            ) -> u64 {
                let mut sum = 0;
                while let Some(item) = $recv {
                    sum += of(item);
                    yield_now().await;
                }
                sum
            }

            async fn fill<T: Item>(
                $tx: &mut Self::Tx<T>,
                items: impl Iterator<Item = T> + Send,
            ) {
                for $item in items {
                    $send;
                }
            }

            async fn take<T: Item>($rx: &mut Self::Rx<T>, count: usize) {
                for _ in 0..count {
                    $recv;
                }
            }
        }
    };
}

queue! {
    Tokio, "tokio recv", mpsc::Sender<T>, mpsc::Receiver<T>;
    pair: |mark| mpsc::channel(mark);
    send: |tx, item| assert!(tx.send(item).await.is_ok(), "the reader is there");
    recv: |rx| rx.recv().await;
    end: |tx| drop(tx);
}

queue! {
    AsyncChannel, "async-channel", async_channel::Sender<T>, async_channel::Receiver<T>;
    pair: |mark| async_channel::bounded(mark);
    send: |tx, item| assert!(tx.send(item).await.is_ok(), "the reader is there");
    recv: |rx| rx.recv().await.ok();
    end: |tx| drop(tx);
}

queue! {
    Futures, "futures mpsc", futures::channel::mpsc::Sender<T>, futures::channel::mpsc::Receiver<T>;
    pair: |mark| futures::channel::mpsc::channel(mark - 1); // each sender has a place more
    send: |tx, item| assert!(tx.send(item).await.is_ok(), "the reader is there");
    recv: |rx| rx.next().await;
    end: |tx| drop(tx);
}

queue! {
    Flume, "flume", flume::Sender<T>, flume::Receiver<T>;
    pair: |mark| flume::bounded(mark);
    send: |tx, item| assert!(tx.send_async(item).await.is_ok(), "the reader is there");
    recv: |rx| rx.recv_async().await.ok();
    end: |tx| drop(tx);
}

queue! {
    Kanal, "kanal", kanal::AsyncSender<T>, kanal::AsyncReceiver<T>;
    pair: |mark| kanal::bounded_async(mark);
    send: |tx, item| assert!(tx.send(item).await.is_ok(), "the reader is there");
    recv: |rx| rx.recv().await.ok();
    end: |tx| drop(tx);
}

queue! {
    Crossfire, "crossfire spsc",
    crossfire::AsyncTx<crossfire::spsc::Array<T>>, crossfire::AsyncRx<crossfire::spsc::Array<T>>;
    pair: |mark| crossfire::spsc::bounded_async(mark);
    send: |tx, item| assert!(tx.send(item).await.is_ok(), "the reader is there");
    recv: |rx| rx.recv().await.ok();
    end: |tx| drop(tx);
}

queue! {
    Thingbuf, "thingbuf", thingbuf::mpsc::Sender<T>, thingbuf::mpsc::Receiver<T>;
    pair: |mark| thingbuf::mpsc::channel(mark);
    send: |tx, item| assert!(tx.send(item).await.is_ok(), "the reader is there");
    recv: |rx| rx.recv().await;
    end: |tx| drop(tx);
}

queue! {
    /// A tank with the low-water mark at half, item by item.
    Tanks, "standpipe write + next", Writable<T>, Readable<T>;
    pair: |mark| Tank::items(mark).build();
    send: |tx, item| match tx.write(item) {
        Ok(Flow::Ready) => {}
        Ok(Flow::Wait) => tx.drained().await.expect("the reader is there"),
        Err(_) => unreachable!("the reader is there, and nobody writes at a shut tank"),
    };
    recv: |rx| rx.next().await.map(|item| item.expect("the writer ends well"));
    end: |tx| tx.end();
}

/// tokio's, read in batches.
pub(crate) struct TokioMany;

impl Hop for TokioMany {
    const NAME: &'static str = "tokio recv_many";
    type Tx<T: Item> = mpsc::Sender<T>;
    type Rx<T: Item> = (mpsc::Receiver<T>, usize);

    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        let (tx, rx) = mpsc::channel(mark);
        (tx, (rx, mark))
    }

    async fn produce<T: Item>(tx: Self::Tx<T>, items: impl Iterator<Item = T> + Send + 'static) {
        for item in items {
            assert!(tx.send(item).await.is_ok(), "the reader is there");
        }
    }

    async fn sum<T: Item>(
        (mut rx, mark): Self::Rx<T>,
        of: impl Fn(T) -> u64 + Send + 'static,
    ) -> u64 {
        let (mut sum, mut batch) = (0, Vec::with_capacity(mark));
        while rx.recv_many(&mut batch, mark).await > 0 {
            sum += batch.drain(..).map(&of).sum::<u64>();
        }
        sum
    }

    async fn relay<T: Item>(
        (mut rx, mark): Self::Rx<T>,
        tx: Self::Tx<T>,
        change: impl Fn(T) -> T + Send + 'static,
    ) {
        let mut batch = Vec::with_capacity(mark);
        while rx.recv_many(&mut batch, mark).await > 0 {
            for item in batch.drain(..) {
                assert!(tx.send(change(item)).await.is_ok(), "the reader is there");
            }
        }
    }
}

/// tokio's, in batches on both sides.
pub(crate) struct TokioReserved;

impl Hop for TokioReserved {
    const NAME: &'static str = "tokio reserve_many + recv_many";
    type Tx<T: Item> = (mpsc::Sender<T>, usize);
    type Rx<T: Item> = (mpsc::Receiver<T>, usize);

    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        let (tx, rx) = mpsc::channel(mark);
        ((tx, mark / 2), (rx, mark))
    }

    async fn produce<T: Item>(
        (tx, half): Self::Tx<T>,
        items: impl Iterator<Item = T> + Send + 'static,
    ) {
        let mut items = items.peekable();
        while items.peek().is_some() {
            let permits = tx.reserve_many(half).await.expect("the reader is there");
            permits.zip(&mut items).for_each(|(permit, item)| permit.send(item));
        }
    }

    async fn sum<T: Item>(rx: Self::Rx<T>, of: impl Fn(T) -> u64 + Send + 'static) -> u64 {
        TokioMany::sum(rx, of).await
    }

    async fn relay<T: Item>(
        (mut rx, mark): Self::Rx<T>,
        (tx, half): Self::Tx<T>,
        change: impl Fn(T) -> T + Send + 'static,
    ) {
        let mut batch = Vec::with_capacity(mark);
        while rx.recv_many(&mut batch, mark).await > 0 {
            let mut items = batch.drain(..);
            while items.len() > 0 {
                let some = half.min(items.len());
                let permits = tx.reserve_many(some).await.expect("the reader is there");
                permits.zip(&mut items).for_each(|(permit, item)| permit.send(change(item)));
            }
        }
    }
}

/// Four vectors of a quarter of the mark, filled and emptied by hand.
pub(crate) struct TokioVecs;

impl Hop for TokioVecs {
    const NAME: &'static str = "tokio mpsc<Vec>";
    type Tx<T: Item> = (mpsc::Sender<Vec<T>>, usize);
    type Rx<T: Item> = mpsc::Receiver<Vec<T>>;

    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        let (tx, rx) = mpsc::channel(4);
        ((tx, mark / 4), rx)
    }

    async fn produce<T: Item>(
        (tx, quarter): Self::Tx<T>,
        items: impl Iterator<Item = T> + Send + 'static,
    ) {
        let mut batch = Vec::with_capacity(quarter);
        for item in items {
            batch.push(item);
            if batch.len() == quarter {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(quarter));
                assert!(tx.send(full).await.is_ok(), "the reader is there");
            }
        }
        assert!(tx.send(batch).await.is_ok(), "the reader is there");
    }

    async fn sum<T: Item>(mut rx: Self::Rx<T>, of: impl Fn(T) -> u64 + Send + 'static) -> u64 {
        let mut sum = 0;
        while let Some(batch) = rx.recv().await {
            sum += batch.into_iter().map(&of).sum::<u64>();
        }
        sum
    }

    async fn relay<T: Item>(
        mut rx: Self::Rx<T>,
        (tx, _): Self::Tx<T>,
        change: impl Fn(T) -> T + Send + 'static,
    ) {
        while let Some(batch) = rx.recv().await {
            let batch = batch.into_iter().map(&change).collect();
            assert!(tx.send(batch).await.is_ok(), "the reader is there");
        }
    }
}

/// A tank, in batches of half its mark on both sides.
pub(crate) struct Batches;

impl Hop for Batches {
    const NAME: &'static str = "standpipe send_batch + next_batch";
    type Tx<T: Item> = (Writable<T>, usize);
    type Rx<T: Item> = Readable<T>;

    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        let (writable, readable) = Tank::items(mark).build();
        ((writable, mark / 2), readable)
    }

    async fn produce<T: Item>(
        (writable, half): Self::Tx<T>,
        items: impl Iterator<Item = T> + Send + 'static,
    ) {
        let (mut batch, mut held) = (Batch::new(), 0);
        for item in items {
            batch.push(item);
            held += 1;
            if held == half {
                writable.send_batch(&mut batch).await.expect("the consumer is there");
                held = 0;
            }
        }
        writable.send_batch(&mut batch).await.expect("the consumer is there");
        writable.end();
    }

    async fn sum<T: Item>(
        mut readable: Self::Rx<T>,
        of: impl Fn(T) -> u64 + Send + 'static,
    ) -> u64 {
        let (mut sum, mut batch) = (0, Batch::new());
        while readable.next_batch(&mut batch).await.expect("the producer ends well") {
            sum += batch.drain().map(&of).sum::<u64>();
        }
        sum
    }

    async fn relay<T: Item>(
        mut readable: Self::Rx<T>,
        (writable, _): Self::Tx<T>,
        change: impl Fn(T) -> T + Send + 'static,
    ) {
        let (mut batch, mut changed) = (Batch::new(), Batch::new());
        while readable.next_batch(&mut batch).await.expect("the producer ends well") {
            changed.extend(batch.drain().map(&change));
            writable.send_batch(&mut changed).await.expect("the consumer is there");
        }
        writable.end();
    }
}
