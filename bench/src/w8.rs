//! W8: what does a queue cost in which nothing is?
//!
//! 10,000 and 100,000 of them for `u64`: heap and both ends, and the time to make one. Then what stays when a burst has filled each to its
//! mark once and was read. Bytes are counted by the allocator, as asked for.

use std::hint::black_box;
use std::mem::size_of;

use standpipe::{Batch, Tank};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};

use crate::heap;
use crate::measure::{Case, Metric, Target, Weight, in_process};
use crate::queues::{
    AsyncChannel, Crossfire, Flume, Futures, Hop, Kanal, Queue, Tanks, Thingbuf, Tokio,
};

/// Bytes an idle tank may take, gauges included, whatever its mark.
const BYTES: f64 = 256.0;
/// Queues that a burst goes through.
const FILLED: u64 = 1_000;

/// All cases, standpipe's beside the peers they are compared with.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (many, mark) in [(10_000, 16), (10_000, 1024), (100_000, 1024)] {
        cases.extend([
            idle::<Tokio>(many, mark),
            idle::<AsyncChannel>(many, mark),
            idle::<Futures>(many, mark),
            idle::<Flume>(many, mark),
            idle::<Kanal>(many, mark),
            idle::<Crossfire>(many, mark),
            idle::<Thingbuf>(many, mark),
        ]);
        let setting = format!("{many} idle, mark {mark}");
        cases.push(case("tokio duplex, bytes", &setting, many, move || duplex(mark)));
        let mut own = idle::<Tanks>(many, mark);
        own.targets = vec![
            Target::limit(Metric::Count, BYTES, Weight::Gate),
            Target::cpu(Tokio::NAME, 0.25, Weight::Gate),
        ];
        cases.push(own);
    }
    cases.extend([
        after_burst::<Tokio>(),
        after_burst::<AsyncChannel>(),
        after_burst::<Futures>(),
        after_burst::<Flume>(),
        after_burst::<Kanal>(),
        after_burst::<Crossfire>(),
        after_burst::<Thingbuf>(),
        after_burst::<Tanks>(),
    ]);
    cases.push(case("tokio duplex, bytes", "after a burst", FILLED, || {
        let (mut near, mut far) = duplex(1024);
        runtime().block_on(async {
            near.write_all(&[7; 1024]).await.expect("the other end is there");
            far.read_exact(&mut [0; 1024]).await.expect("the other end is there");
        });
        (near, far)
    }));
    cases.push(case("standpipe batches", "after a burst", FILLED, || {
        let (writable, mut readable) = Tank::items(1024).build::<u64>();
        let (mut batch, mut to) = ((0..1024).collect::<Batch<u64>>(), Batch::new());
        runtime().block_on(async {
            writable.send_batch(&mut batch).await.expect("the reader is there");
            readable.next_batch(&mut to).await.expect("the writer is there");
        });
        drop((batch, to));
        (writable, readable)
    }));
    cases
}

fn idle<Q: Queue>(many: u64, mark: usize) -> Case {
    case(Q::NAME, &format!("{many} idle, mark {mark}"), many, move || Q::pair::<u64>(mark))
}

/// Each is filled to its mark and read to its end, once.
fn after_burst<Q: Queue>() -> Case {
    let runtime = runtime();
    case(Q::NAME, "after a burst", FILLED, move || {
        let (mut tx, mut rx) = Q::pair::<u64>(1024);
        runtime.block_on(async {
            // one less than the mark: nobody has to wait
            Q::fill(&mut tx, 0..1023).await;
            Q::take(&mut rx, 1023).await;
        });
        (tx, rx)
    })
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("there is memory")
}

fn case<T: 'static>(
    name: &'static str,
    setting: &str,
    many: u64,
    make: impl Fn() -> T + 'static,
) -> Case {
    let run = in_process(
        move |n| {
            drop(make()); // the first one may set up what all share
            let mut all: Vec<T> = Vec::with_capacity(n as usize);
            let before = heap::bytes();
            all.extend((0..n).map(|_| make()));
            (heap::bytes() - before, all)
        },
        |n, (grown, all)| {
            assert_eq!(black_box(all).len() as u64, n, "all are there");
            grown as f64 / n as f64 + size_of::<T>() as f64
        },
    );
    Case { name, setting: setting.to_owned(), run: Some(run), most: many, targets: vec![] }
}
