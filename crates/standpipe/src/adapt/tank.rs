//! A tank of your own at either end of a pipeline.

use std::fmt;

use crate::error::{Cause, CauseKind};
use crate::stage::{Emit, More, Sink, Source};
use crate::tank::{Batch, Gauge, Readable, Writable};

/// The source of [`from_readable`].
#[derive(Debug)]
pub struct FromReadable<T>(Option<Readable<T>>);

/// A source that reads a tank that someone else writes. A pipeline that fails
/// stops the tank's writers with its cause.
///
/// # Memory
/// None of its own.
#[must_use]
pub const fn from_readable<T>(readable: Readable<T>) -> FromReadable<T> {
    FromReadable(Some(readable))
}

impl<T: Send + 'static> Source for FromReadable<T> {
    type Item = T;
    type Error = Cause;

    async fn read(&mut self, out: &mut impl Emit<T>) -> Result<More, Cause> {
        let Some(readable) = &mut self.0 else { return Ok(More::No) };
        match readable.next().await {
            Some(item) => {
                out.send(item?).await;
                Ok(More::Yes)
            }
            None => Ok(More::No),
        }
    }

    fn reads(&self) -> Vec<Gauge> {
        self.0.iter().map(Readable::gauge).collect()
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        if let (Some(readable), Some(why)) = (self.0.take(), why) {
            readable.stop(why.clone());
        }
    }
}

/// The sink of [`into_writable`].
pub struct IntoWritable<T> {
    writable: Option<Writable<T>>,
    items: u64,
}

/// A sink that writes into a tank that someone else reads, and ends it when
/// the pipeline has; its `Done` is the number of items. A pipeline that fails
/// fails the tank with its cause; a reader that had enough ends the pipeline
/// well.
///
/// # Memory
/// None of its own.
#[must_use]
pub const fn into_writable<T>(writable: Writable<T>) -> IntoWritable<T> {
    IntoWritable { writable: Some(writable), items: 0 }
}

impl<T: Send + 'static> Sink for IntoWritable<T> {
    type In = T;
    type Done = u64;
    type Error = Cause;

    async fn write(&mut self, batch: &mut Batch<T>) -> Result<More, Cause> {
        let Some(writable) = &self.writable else { return Ok(More::No) };
        let before = batch.len();
        let sent = writable.send_batch(batch).await;
        let items = before.saturating_sub(batch.len());
        self.items = self.items.saturating_add(items as u64);
        match sent {
            Ok(()) => Ok(More::Yes),
            Err(cause) if cause.kind() == CauseKind::Stopped && cause.error().is_none() => {
                Ok(More::No)
            }
            Err(cause) => Err(cause),
        }
    }

    async fn finish(&mut self) -> Result<u64, Cause> {
        if let Some(writable) = self.writable.take() {
            writable.end();
        }
        Ok(self.items)
    }

    fn writes(&self) -> Vec<Gauge> {
        self.writable.iter().map(Writable::gauge).collect()
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        if let (Some(writable), Some(why)) = (self.writable.take(), why) {
            writable.fail_with(why.clone());
        }
    }
}

impl<T> fmt::Debug for IntoWritable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoWritable").field("writable", &self.writable).finish_non_exhaustive()
    }
}
