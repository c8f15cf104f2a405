//! The same with tokio's channels: a bound in bytes, batches, and an error that says which task it was.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinError;

const BYTES: usize = 4 * 1024;
const ITEMS: usize = 16;

/// The first task that panicked, by name.
#[derive(Debug)]
#[expect(dead_code, reason = "it is printed")]
pub(crate) struct Failed(&'static str, JoinError);

pub(crate) async fn digits(n: u64) -> Result<usize, Failed> {
    // a channel counts items: bytes are permits, taken by the writer and given back by the reader
    let room = Arc::new(Semaphore::new(BYTES));
    let (lines_tx, mut lines) = mpsc::channel::<String>(BYTES);
    let (lengths_tx, mut lengths) = mpsc::channel::<usize>(ITEMS);
    let free = Arc::clone(&room);
    let read = tokio::spawn(async move {
        for n in 1..=n {
            let line = n.to_string();
            let weight = line.len().min(BYTES) as u32;
            let Ok(permits) = free.acquire_many(weight).await else { return };
            permits.forget();
            if lines_tx.send(line).await.is_err() {
                return;
            }
        }
    });
    let measure = tokio::spawn(async move {
        let mut batch = Vec::with_capacity(ITEMS);
        while lines.recv_many(&mut batch, ITEMS).await > 0 {
            let mut freed = 0;
            for line in batch.drain(..) {
                freed += line.len().min(BYTES);
                if lengths_tx.send(line.len()).await.is_err() {
                    return;
                }
            }
            room.add_permits(freed);
        }
    });
    let sum = tokio::spawn(async move {
        let (mut sum, mut batch) = (0, Vec::with_capacity(ITEMS));
        while lengths.recv_many(&mut batch, ITEMS).await > 0 {
            sum += batch.drain(..).sum::<usize>();
        }
        sum
    });
    read.await.map_err(|error| Failed("read", error))?;
    measure.await.map_err(|error| Failed("measure", error))?;
    sum.await.map_err(|error| Failed("sum", error))
}
