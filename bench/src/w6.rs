//! W6: how much memory does it take when the consumer is slow?
//!
//! 1,024 fresh chunks of 64 KiB (64 MiB), one taken per 1.2 ms; a process of its own per case, so that its peak is its own.

use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;
use standpipe::{Flow, KIB, Tank, Writable, WriteError};
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use crate::measure::{Case, Metric, Target, Weight, command};
use crate::w4::quote;

const CHUNK: usize = 64 * KIB;
const CHUNKS: usize = 1024;
const PACE: Duration = Duration::from_micros(1200);

/// Name, setting, and the words for the child.
const KINDS: [(&str, &str, &str); 6] = [
    ("tokio mpsc", "256 KiB", "channel 4"),
    ("tokio mpsc", "1 MiB", "channel 16"),
    ("tokio mpsc unbounded", "256 KiB", "channel 1024"),
    ("standpipe", "256 KiB", "tank 4"),
    ("standpipe", "1 MiB", "tank 16"),
    ("standpipe, Flow ignored", "256 KiB", "careless 4"),
];

/// All cases.
pub(crate) fn cases() -> Vec<Case> {
    let me = std::env::current_exe().expect("Linux knows");
    let me = quote(me.to_str().expect("the target directory is UTF-8"));
    let case = |(name, setting, words): (&'static str, &str, &str)| {
        let peer = "tokio mpsc";
        let peak = Target {
            peers: vec![peer],
            metric: Metric::PeakOverMib,
            at_most: 0.5,
            weight: Weight::Gate,
        };
        let wall =
            Target { peers: vec![peer], metric: Metric::Wall, at_most: 1.05, weight: Weight::Gate };
        let targets = if name.starts_with("standpipe") { vec![peak, wall] } else { vec![] };
        let run = command(format!("exec {me} slow {words}"), || (), || ());
        let most = (CHUNK * CHUNKS) as u64;
        Case { name, setting: setting.to_owned(), run: Some(run), most, targets }
    };
    KINDS.map(case).into()
}

/// The child's part.
pub(crate) fn slow(words: &[String]) -> Option<()> {
    let [kind, chunks] = words else { return None };
    let chunks: usize = chunks.parse().ok()?;
    let runtime = Builder::new_multi_thread().worker_threads(2).build().ok()?;
    let taken = runtime.block_on(async {
        if kind == "channel" {
            let (tx, mut rx) = mpsc::channel(chunks);
            tokio::spawn(async move {
                for at in 0..CHUNKS {
                    tx.send(fresh(at)).await.expect("the consumer is there");
                }
            });
            // here, not in a task: it blocks its thread, and a producer must not have to share that
            let mut taken = 0;
            while let Some(chunk) = rx.recv().await {
                taken += consume(&chunk);
            }
            return taken;
        }
        let (writable, mut readable) = Tank::bytes(chunks * CHUNK).build::<Bytes>();
        let careless = kind == "careless";
        tokio::spawn(async move {
            for at in 0..CHUNKS {
                write(&writable, fresh(at), careless).await;
            }
            writable.end();
        });
        let mut taken = 0;
        while let Some(chunk) = readable.next().await {
            taken += consume(&chunk.expect("the producer ends well"));
        }
        taken
    });
    assert_eq!(taken, CHUNK * CHUNKS, "all chunks came");
    Some(())
}

/// Writes as asked to, or goes on writing until it is let.
async fn write(writable: &Writable<Bytes>, mut chunk: Bytes, careless: bool) {
    loop {
        match writable.write(chunk) {
            Ok(Flow::Wait) if !careless => {
                return writable.drained().await.expect("the consumer is there");
            }
            Ok(_) => return,
            Err(WriteError::Full(back)) => {
                chunk = back;
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("the consumer is there: {:?}", error.cause()),
        }
    }
}

fn fresh(at: usize) -> Bytes {
    Bytes::from(vec![at as u8 | 1; CHUNK])
}

fn consume(chunk: &Bytes) -> usize {
    sleep(PACE);
    chunk.len()
}
