//! How is an item handed on by each of the queues that are compared?
//!
//! One trait, so that every workload asks all of them the same. `send` waits until there is room, `recv` until there is an item; both
//! move one item.
//!
//! # Knows / never knows
//! Knows the names and the calls of the peers. Never knows what is done with them.

use standpipe::{Flow, Readable, Tank, Writable};
use tokio::sync::mpsc;

/// What every queue here can hold.
pub(crate) trait Item: Clone + Default + Send + Sync + Unpin + 'static {}

impl<T: Clone + Default + Send + Sync + Unpin + 'static> Item for T {}

/// A bounded queue with one writer and one reader.
pub(crate) trait Queue: 'static {
    const NAME: &'static str;
    type Tx<T: Item>: Send + 'static;
    type Rx<T: Item>: Send + 'static;
    /// A queue for `mark` items.
    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>);
    fn send<T: Item>(tx: &mut Self::Tx<T>, item: T) -> impl Future<Output = ()> + Send;
    /// None at the end.
    fn recv<T: Item>(rx: &mut Self::Rx<T>) -> impl Future<Output = Option<T>> + Send;
    /// Says that there is no more.
    fn end<T: Item>(tx: Self::Tx<T>) {
        drop(tx);
    }
}

/// Writes 0..n.
pub(crate) async fn produce<Q: Queue>(mut tx: Q::Tx<u64>, n: u64) {
    for item in 0..n {
        Q::send(&mut tx, item).await;
    }
    Q::end(tx);
}

/// Adds up what comes.
pub(crate) async fn sum<Q: Queue>(mut rx: Q::Rx<u64>) -> u64 {
    let mut sum = 0;
    while let Some(item) = Q::recv(&mut rx).await {
        sum += item;
    }
    sum
}

/// Hands on what comes, changed.
pub(crate) async fn relay<Q: Queue>(mut rx: Q::Rx<u64>, mut tx: Q::Tx<u64>, f: fn(u64) -> u64) {
    while let Some(item) = Q::recv(&mut rx).await {
        Q::send(&mut tx, f(item)).await;
    }
    Q::end(tx);
}

pub(crate) struct Tokio;

impl Queue for Tokio {
    const NAME: &'static str = "tokio recv";
    type Tx<T: Item> = mpsc::Sender<T>;
    type Rx<T: Item> = mpsc::Receiver<T>;
    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        mpsc::channel(mark)
    }
    async fn send<T: Item>(tx: &mut Self::Tx<T>, item: T) {
        assert!(tx.send(item).await.is_ok(), "the reader is there");
    }
    async fn recv<T: Item>(rx: &mut Self::Rx<T>) -> Option<T> {
        rx.recv().await
    }
}

pub(crate) struct AsyncChannel;

impl Queue for AsyncChannel {
    const NAME: &'static str = "async-channel";
    type Tx<T: Item> = async_channel::Sender<T>;
    type Rx<T: Item> = async_channel::Receiver<T>;
    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        async_channel::bounded(mark)
    }
    async fn send<T: Item>(tx: &mut Self::Tx<T>, item: T) {
        assert!(tx.send(item).await.is_ok(), "the reader is there");
    }
    async fn recv<T: Item>(rx: &mut Self::Rx<T>) -> Option<T> {
        rx.recv().await.ok()
    }
}

pub(crate) struct Flume;

impl Queue for Flume {
    const NAME: &'static str = "flume";
    type Tx<T: Item> = flume::Sender<T>;
    type Rx<T: Item> = flume::Receiver<T>;
    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        flume::bounded(mark)
    }
    async fn send<T: Item>(tx: &mut Self::Tx<T>, item: T) {
        assert!(tx.send_async(item).await.is_ok(), "the reader is there");
    }
    async fn recv<T: Item>(rx: &mut Self::Rx<T>) -> Option<T> {
        rx.recv_async().await.ok()
    }
}

pub(crate) struct Kanal;

impl Queue for Kanal {
    const NAME: &'static str = "kanal";
    type Tx<T: Item> = kanal::AsyncSender<T>;
    type Rx<T: Item> = kanal::AsyncReceiver<T>;
    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        kanal::bounded_async(mark)
    }
    async fn send<T: Item>(tx: &mut Self::Tx<T>, item: T) {
        assert!(tx.send(item).await.is_ok(), "the reader is there");
    }
    async fn recv<T: Item>(rx: &mut Self::Rx<T>) -> Option<T> {
        rx.recv().await.ok()
    }
}

pub(crate) struct Crossfire;

impl Queue for Crossfire {
    const NAME: &'static str = "crossfire spsc";
    type Tx<T: Item> = crossfire::AsyncTx<crossfire::spsc::Array<T>>;
    type Rx<T: Item> = crossfire::AsyncRx<crossfire::spsc::Array<T>>;
    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        crossfire::spsc::bounded_async(mark)
    }
    async fn send<T: Item>(tx: &mut Self::Tx<T>, item: T) {
        assert!(tx.send(item).await.is_ok(), "the reader is there");
    }
    async fn recv<T: Item>(rx: &mut Self::Rx<T>) -> Option<T> {
        rx.recv().await.ok()
    }
}

pub(crate) struct Thingbuf;

impl Queue for Thingbuf {
    const NAME: &'static str = "thingbuf";
    type Tx<T: Item> = thingbuf::mpsc::Sender<T>;
    type Rx<T: Item> = thingbuf::mpsc::Receiver<T>;
    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        thingbuf::mpsc::channel(mark)
    }
    async fn send<T: Item>(tx: &mut Self::Tx<T>, item: T) {
        assert!(tx.send(item).await.is_ok(), "the reader is there");
    }
    async fn recv<T: Item>(rx: &mut Self::Rx<T>) -> Option<T> {
        rx.recv().await
    }
}

/// A tank with the low-water mark at half, item by item.
pub(crate) struct Tanks;

impl Queue for Tanks {
    const NAME: &'static str = "standpipe write + next";
    type Tx<T: Item> = Writable<T>;
    type Rx<T: Item> = Readable<T>;
    fn pair<T: Item>(mark: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        Tank::items(mark).build()
    }
    async fn send<T: Item>(tx: &mut Self::Tx<T>, item: T) {
        match tx.write(item) {
            Ok(Flow::Ready) => {}
            Ok(Flow::Wait) => tx.drained().await.expect("the reader is there"),
            Err(_) => unreachable!("the reader is there, and nobody writes at a shut tank"),
        }
    }
    async fn recv<T: Item>(rx: &mut Self::Rx<T>) -> Option<T> {
        rx.next().await.map(|item| item.expect("the writer ends well"))
    }
    fn end<T: Item>(tx: Self::Tx<T>) {
        tx.end();
    }
}
