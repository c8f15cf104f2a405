//! What the tank costs in memory: nothing per item, and never more than its mark and one item.
#![expect(unsafe_code, reason = "an allocator that counts has to be one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use futures::executor::LocalPool;
use futures::future::{FutureExt as _, join};
use standpipe::stage::{fold, iter};
use standpipe::{
    Batch, Budget, Flow, KIB, MIB, Overflow, Pipeline, Readable, Tank, Writable, WriteError,
};

/// Counts for each thread alone: tests run side by side.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(grown: usize, freed: usize) {
    let grown = isize::try_from(grown).expect("a layout fits");
    let freed = isize::try_from(freed).expect("a layout fits");
    let live = LIVE_BYTES.get() + grown - freed;
    LIVE_BYTES.set(live);
    PEAK_BYTES.set(PEAK_BYTES.get().max(live));
    ALLOCATIONS.set(ALLOCATIONS.get() + usize::from(grown > 0));
}

// SAFETY: every call goes to the system's allocator unchanged; counting
// touches constant-initialised thread locals only, which do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs it often enough to warm up, then counts its allocations.
#[track_caller]
fn allocates_nothing(mut run: impl FnMut()) {
    (0..8).for_each(|_| run());
    let before = ALLOCATIONS.get();
    (0..200).for_each(|_| run());
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations in 200 runs");
}

/// The most it had on the heap at once, beyond what was there.
fn peak(run: impl FnOnce()) -> usize {
    let before = LIVE_BYTES.get();
    PEAK_BYTES.set(before);
    run();
    usize::try_from(PEAK_BYTES.get() - before).expect("a peak is above its start")
}

fn now<F: Future>(future: F) -> F::Output {
    futures::FutureExt::now_or_never(future).expect("ready at once")
}

#[test]
fn the_allocator_counts() {
    let before = ALLOCATIONS.get();
    assert_eq!(peak(|| drop(std::hint::black_box(vec![0_u8; 1_000]))), 1_000);
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

/// What it left on the heap.
fn left_by<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let before = LIVE_BYTES.get();
    let made = run();
    let left = LIVE_BYTES.get() - before;
    (usize::try_from(left).expect("it frees nothing of others"), made)
}

/// Both doors of a tank of these numbers.
type Doors = (Writable<u64>, Readable<u64>);

#[test]
fn an_idle_tank_is_one_allocation_and_its_doors_whatever_its_mark() {
    for mark in [1, 16, 1_024, usize::MAX] {
        let before = ALLOCATIONS.get();
        let (heap, doors) = left_by(|| Tank::items(mark).build::<u64>());
        assert_eq!(ALLOCATIONS.get() - before, 1, "mark {mark}");
        let bytes = heap + size_of_val(&doors);
        assert!(bytes <= 256, "{bytes} bytes at mark {mark}");
    }
}

#[test]
fn a_reader_that_waits_at_an_idle_tank_takes_nothing_more() {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let (bytes, doors) = left_by(|| {
        let mut doors = Tank::bytes(64 * KIB).build::<Vec<u8>>();
        assert!(std::pin::pin!(doors.1.next()).poll(&mut cx).is_pending());
        assert!(doors.1.try_next().is_none());
        doors
    });
    assert!(bytes + size_of_val(&doors) <= 256, "{bytes} bytes on the heap");
}

#[test]
fn a_tank_that_shares_a_budget_takes_300_bytes_more_and_gives_them_back() {
    const TANKS: usize = 1_000;
    let budget = Budget::items(64);
    let (alone, _doors) = left_by(|| Tank::items(16).build::<u64>());
    let tank = || Tank::items(16).budget(&budget).build::<u64>();
    let (heap, doors) = left_by(|| (0..TANKS).map(|_| tank()).collect::<Vec<Doors>>());
    let each = (heap - size_of_val(&*doors)) / TANKS;
    assert!(each <= alone + 350, "{each} bytes for {alone}");
    drop(doors);
    let (again, _doors) = left_by(|| (0..TANKS).map(|_| tank()).collect::<Vec<Doors>>());
    assert!(again < heap, "their places are taken again: {again} bytes for {heap}");
}

/// So many are written, then all are read.
fn burst((writable, readable): &mut Doors, items: u64) {
    for item in 0..items {
        assert!(writable.write(item).is_ok());
    }
    for item in 0..items {
        assert_eq!(readable.try_next(), Some(item));
    }
}

#[test]
fn a_tank_that_idles_again_gives_back_what_a_burst_took() {
    let (bytes, mut doors) = left_by(|| {
        let mut doors = Tank::items(1_024).build();
        burst(&mut doors, 1_023);
        doors
    });
    assert!(bytes <= 512, "{bytes} bytes after a burst");
    // a flow that goes on keeps its room: nothing is allocated for it
    allocates_nothing(|| burst(&mut doors, 1_023));
    let (more, ()) = left_by(|| allocates_nothing(|| burst(&mut doors, 1_023)));
    assert_eq!(more, 0);
    // and when little comes it is given back
    let before = LIVE_BYTES.get();
    (0..8).for_each(|_| burst(&mut doors, 1));
    let freed = usize::try_from(before - LIVE_BYTES.get()).expect("less than before");
    assert!(freed >= 2 * 8 * KIB - KIB, "{freed} bytes");
}

#[test]
fn write_and_next_allocate_nothing() {
    let (writable, mut readable) = Tank::items(64).build::<u64>();
    allocates_nothing(|| {
        for item in 0..64 {
            assert!(writable.write(item).is_ok());
        }
        assert!(writable.write(0).is_err());
        for _ in 0..64 {
            assert!(now(readable.next()).is_some());
        }
    });
}

#[test]
fn waits_allocate_nothing() {
    let (writable, mut readable) = Tank::items(8).low(0).build::<u64>();
    // three that wait, without an executor: a waker that does nothing
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    allocates_nothing(|| {
        for item in 0..8 {
            assert!(writable.write(item).is_ok());
        }
        let mut first = std::pin::pin!(writable.drained());
        let mut second = std::pin::pin!(writable.send(8));
        let mut given_up = std::pin::pin!(writable.reserve(1));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert!(given_up.as_mut().poll(&mut cx).is_pending());
        while readable.try_next().is_some() {}
        assert!(first.poll(&mut cx).is_ready());
        assert!(second.poll(&mut cx).is_ready());
        assert!(readable.try_next().is_some());
        let mut next = std::pin::pin!(readable.next());
        assert!(next.as_mut().poll(&mut cx).is_pending());
    });
}

#[test]
fn an_observer_costs_nothing_per_item_and_nothing_per_event() {
    let (writable, mut readable) = Tank::items(8).low(0).build::<u64>();
    let mut events = writable.gauge().events(4);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    allocates_nothing(|| {
        for item in 0..8 {
            assert!(writable.write(item).is_ok());
        }
        while readable.try_next().is_some() {}
        while events.try_next().is_some() {}
        assert!(std::pin::pin!(events.next()).poll(&mut cx).is_pending());
    });
    // nobody reads them: the ring is full, and stays as large as it is
    allocates_nothing(|| {
        for item in 0..8 {
            assert!(writable.write(item).is_ok());
        }
        while readable.try_next().is_some() {}
    });
    assert!(events.missed() > 0);
}

/// Whoever looks at an idle tank now and then through an observer of its own
/// left that with the tank, which forgets those that are gone when it next has
/// something to tell.
#[test]
fn an_idle_tank_keeps_no_observer_that_is_gone() {
    let (writable, _readable) = Tank::items(4).build::<u64>();
    let gauge = writable.gauge();
    let look = || drop(gauge.events(1));
    look();
    let (left, ()) = left_by(|| (0..1_000).for_each(|_| look()));
    assert!(left < KIB, "{left} bytes after a thousand looks");
}

/// A service that gave up its graceful stop, and tried again until it was let,
/// left with the pipeline what each attempt had listened with.
#[test]
fn a_graceful_stop_that_is_given_up_leaves_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("one");
    let _inside = runtime.enter();
    let monitor =
        Pipeline::from("numbers", iter(0..9_u64)).to("sum", fold(0, u64::wrapping_add)).monitor();
    let attempt = || assert!(monitor.shutdown(Duration::from_secs(9)).now_or_never().is_none());
    attempt();
    let (left, ()) = left_by(|| (0..100).for_each(|_| attempt()));
    assert!(left < KIB, "{left} bytes after a hundred attempts");
}

#[test]
fn batches_allocate_nothing() {
    let (writable, mut readable) = Tank::items(64).build::<u64>();
    let (mut to, mut from) = (Batch::new(), Batch::new());
    allocates_nothing(|| {
        to.extend(0..64);
        assert!(now(writable.send_batch(&mut to)).is_ok());
        assert!(now(readable.next_batch(&mut from)).is_ok_and(|more| more));
        assert_eq!(from.drain().count(), 64);
    });
}

#[test]
fn batches_between_two_tanks_allocate_nothing() {
    let (first, mut from) = Tank::bytes(64).build::<&str>();
    let (to, mut last) = Tank::bytes(64).build::<&str>();
    let mut batch = Batch::new();
    allocates_nothing(|| {
        for _ in 0..16 {
            assert!(first.write("four").is_ok());
        }
        assert!(now(from.next_batch(&mut batch)).is_ok_and(|more| more));
        assert!(now(to.send_batch(&mut batch)).is_ok());
        while last.try_next().is_some() {}
    });
}

#[test]
fn permits_allocate_nothing() {
    let (writable, mut readable) = Tank::items(8).build::<u64>();
    allocates_nothing(|| {
        for item in 0..8 {
            let permit = now(writable.reserve(1)).expect("open");
            assert!(permit.send(item).is_ok());
        }
        while readable.try_next().is_some() {}
        drop(now(writable.reserve(1)));
    });
}

/// Items go round: the consumer sends each back, so that both tasks of a run
/// stay the same two.
async fn ping(to: &Writable<u64>, from: &mut Readable<u64>, rounds: u64) {
    for round in 0..rounds {
        for item in 0..20 {
            assert!(to.send(item).await.is_ok());
        }
        assert_eq!(from.next().await.map(Result::ok), Some(Some(round)));
    }
}

async fn pong(from: &mut Readable<u64>, to: &Writable<u64>, rounds: u64) {
    for round in 0..rounds {
        for _ in 0..20 {
            assert!(from.next().await.is_some());
        }
        assert!(to.send(round).await.is_ok());
    }
}

#[test]
fn sending_between_tasks_of_one_thread_allocates_nothing_per_item() {
    let run = |rounds: u64| {
        let (a, mut b) = Tank::items(8).build::<u64>();
        let (c, mut d) = Tank::items(1).build::<u64>();
        let runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime of one thread");
        let before = ALLOCATIONS.get();
        runtime.block_on(async {
            let writer = tokio::spawn(async move { ping(&a, &mut d, rounds).await });
            pong(&mut b, &c, rounds).await;
            writer.await.expect("no panic");
        });
        ALLOCATIONS.get() - before
    };
    run(20); // whatever the executor keeps for its thread
    assert_eq!(run(2_000), run(20), "20 items a round");

    let run = |rounds: u64| {
        let (a, mut b) = Tank::items(8).build::<u64>();
        let (c, mut d) = Tank::items(1).build::<u64>();
        let mut pool = LocalPool::new();
        let before = ALLOCATIONS.get();
        pool.run_until(join(ping(&a, &mut d, rounds), pong(&mut b, &c, rounds)));
        ALLOCATIONS.get() - before
    };
    run(20); // whatever the executor keeps for its thread
    assert_eq!(run(2_000), run(20), "20 items a round");
}

/// Writes as if there were no pressure, while the reader takes a tank full now
/// and then.
fn careless(attempts: usize) -> usize {
    let (writable, mut readable) = Tank::bytes(64 * KIB).build::<Vec<u8>>();
    peak(|| {
        let mut refused = 0;
        for attempt in 0..attempts {
            match writable.write(vec![0; KIB]) {
                Ok(Flow::Ready | Flow::Wait) => {}
                Err(WriteError::Full(_)) => refused += 1,
                Err(other) => unreachable!("{other}"),
            }
            if attempt % 500 == 499 {
                while readable.try_next().is_some() {}
            }
        }
        assert!(refused > attempts / 2, "{refused}");
        assert_eq!(readable.gauge().snapshot().refused, refused as u64);
    })
}

#[test]
fn a_careless_writer_cannot_grow_memory() {
    // a slot per item in the queue and as many in the reader's hands
    let overhead = 2 * 128 * size_of::<Vec<u8>>() + 2 * KIB;
    let few = careless(1_000);
    assert!(few <= 64 * KIB + KIB + overhead, "{few} bytes");
    assert_eq!(careless(1_000_000), few, "a thousand times as many items");
}

#[test]
fn growing_grows_and_names_the_line_that_did_it() {
    let grow = |items: usize| {
        let mut at = 0;
        peak(|| {
            let tank = Tank::bytes(64 * KIB).overflow(Overflow::Grow).named("soft");
            let (writable, readable) = tank.build::<Vec<u8>>();
            for _ in 0..items {
                // one line, so that `line!` is that of the call
                #[rustfmt::skip]
                let (line, taken) = (line!(), writable.write(vec![0; KIB]));
                assert!(taken.is_ok());
                at = line;
            }
            let past = readable.gauge().snapshot().past_mark;
            assert_eq!(past.len(), 1, "{past:?}");
            let here = format!("{}:{at}", file!());
            assert_eq!((&*past[0].line, past[0].written.items), (&*here, items as u64 - 64));
        })
    };
    assert!(grow(1_024) >= MIB);
    assert!(grow(4_096) >= 4 * MIB);
}

/// A source, a fused stage, two tanks and a sink that keeps nothing.
fn pipeline(items: u64) {
    use standpipe::Pipeline;
    use standpipe::stage::{fold, iter};

    let run = Pipeline::from("numbers", iter(0..items))
        .map("same", |n| n)
        .tank(Tank::items(64))
        .map("double", |n| n * 2)
        .tank(Tank::items(16))
        .to("count", fold(0_u64, |count, _| count + 1))
        .run();
    assert_eq!(futures::executor::block_on(run).expect("nothing fails").done, items);
}

#[test]
fn a_pipeline_allocates_nothing_per_item_and_its_peak_is_the_same_whatever_its_length() {
    let cost = |items| {
        let before = ALLOCATIONS.get();
        let peak = peak(|| pipeline(items));
        (ALLOCATIONS.get() - before, peak)
    };
    cost(10_000); // whatever the executor sets up once
    let (short, long) = (cost(10_000), cost(1_000_000));
    // the words of the verdict at the end are as long as the numbers in them
    let close = short.0.abs_diff(long.0) < 32 && short.1.abs_diff(long.1) < KIB;
    assert!(close, "allocations and peak bytes {short:?}, of a hundred times the items {long:?}");
}

/// Both ends of a TCP connection.
async fn connection() -> (tokio::net::TcpStream, tokio::net::TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("there are ports");
    let address = listener.local_addr().expect("it is bound");
    let client = tokio::net::TcpStream::connect(address).await.expect("somebody listens");
    (client, listener.accept().await.expect("somebody connects").0)
}

/// What it takes of this thread's heap, and nothing else does.
fn on_one_thread<F: Future>(run: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    runtime.expect("there are descriptors").block_on(run)
}

/// A relay held a buffer for each of its two directions, though most of many connections wait.
#[test]
fn a_connection_that_waits_for_bytes_holds_no_buffer() {
    use standpipe::Pipeline;
    use standpipe::adapt::io::tcp;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    on_one_thread(async {
        let ((mut near, from), (to, mut far)) = (connection().await, connection().await);
        let before = LIVE_BYTES.get();
        let ((read, _write), (_read, write)) = (tcp(from), tcp(to));
        let relay = Pipeline::from("near", read).tank(Tank::bytes(64 * KIB)).to("far", write).run();
        let peers = async {
            let mut most = 0;
            for bytes in [1_usize, 100, 10_000, 64 * KIB] {
                near.write_all(&vec![7; bytes]).await.expect("it is connected");
                far.read_exact(&mut vec![0; bytes]).await.expect("it comes");
                tokio::task::yield_now().await; // the relay has to see that there is no more
                most = most.max(LIVE_BYTES.get() - before);
            }
            drop(near);
            most
        };
        let (done, most) = tokio::join!(relay, peers);
        assert_eq!(done.expect("both ends are there").done, 10_101 + 64 * KIB as u64);
        assert!(most < 10_000, "it holds {most} bytes while it waits");
    });
}

/// Where a test's source puts its items.
#[derive(Default)]
struct Kept(Vec<bytes::Bytes>);

impl standpipe::stage::Emit<bytes::Bytes> for Kept {
    async fn send(&mut self, item: bytes::Bytes) {
        self.0.push(item);
    }

    async fn feed(&mut self, item: bytes::Bytes) {
        self.0.push(item);
    }

    async fn flush(&mut self) {}
}

#[test]
fn what_came_in_a_trickle_takes_what_it_weighs() {
    use standpipe::adapt::io::tcp;
    use standpipe::stage::Source;
    use tokio::io::AsyncWriteExt;

    on_one_thread(async {
        let (mut client, server) = connection().await;
        let (mut source, _sink) = tcp(server);
        let mut kept = Kept(Vec::with_capacity(200));
        let before = LIVE_BYTES.get();
        for _ in 0..200 {
            client.write_all(&[7; 100]).await.expect("it is connected");
            source.read(&mut kept).await.expect("it is connected");
        }
        let weigh: usize = kept.0.iter().map(bytes::Bytes::len).sum();
        let takes = LIVE_BYTES.get() - before;
        assert_eq!((kept.0.len(), weigh), (200, 20_000));
        assert!((19_000..25_000).contains(&takes), "20,000 bytes take {takes}");
    });
}

#[test]
fn a_connection_whose_far_side_stands_still_takes_a_tank_and_a_chunk() {
    use standpipe::Pipeline;
    use standpipe::adapt::io::tcp;
    use tokio::io::AsyncReadExt;

    on_one_thread(async {
        let ((near, from), (to, mut far)) = (connection().await, connection().await);
        let before = LIVE_BYTES.get();
        let ((read, _write), (_read, write)) = (tcp(from), tcp(to));
        let run = Pipeline::from("near", read.chunk(16 * KIB))
            .tank(Tank::bytes(64 * KIB))
            .to("far", write)
            .run();
        let peers = async {
            // until the sockets and the relay between them hold all they can
            let (mut sent, mut idle) = (0_u64, 0);
            while idle < 1_000 {
                match near.try_write(&[7; 8 * KIB]) {
                    Ok(count) => (sent, idle) = (sent + count as u64, 0),
                    Err(_) => idle += 1,
                }
                tokio::task::yield_now().await;
            }
            let holds = LIVE_BYTES.get() - before;
            drop(near);
            let mut came = 0;
            let mut some = vec![0; 64 * KIB];
            loop {
                match far.read(&mut some).await.expect("it is connected") {
                    0 => return (sent, came, holds),
                    count => came += count as u64,
                }
            }
        };
        let (done, (sent, came, holds)) = tokio::join!(run, peers);
        assert_eq!((done.expect("both ends are there").done, came), (sent, sent));
        let bound = isize::try_from((64 + 2 * 16) * KIB).expect("it is small");
        assert!((40_000..bound).contains(&holds), "it holds {holds} of at most {bound} bytes");
    });
}
