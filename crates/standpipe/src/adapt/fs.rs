//! Files as source and sink, 256 KiB at a time.

use std::fmt;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::adapt::io::{Reader, reader};
use crate::stage::{Emit, More, Sink, Source};
use crate::tank::Batch;
use crate::weigh::KIB;

/// Bytes per read or write of a file: a larger chunk gains nothing, an 8 KiB
/// one costs several times the CPU.
pub const FILE_CHUNK: usize = 256 * KIB;

/// The source of [`read`].
pub struct Read {
    path: PathBuf,
    reader: Option<Reader<File>>,
}

/// A source that reads a file; opened at its first turn.
///
/// # Memory
/// One chunk of 256 KiB, and one in tokio's file.
pub fn read(path: impl Into<PathBuf>) -> Read {
    Read { path: path.into(), reader: None }
}

impl Source for Read {
    type Item = Bytes;
    type Error = io::Error;

    async fn read(&mut self, out: &mut impl Emit<Bytes>) -> Result<More, io::Error> {
        if let Some(reader) = &mut self.reader {
            return reader.read(out).await;
        }
        let mut file = File::open(&self.path).await.map_err(|error| named(&self.path, &error))?;
        file.set_max_buf_size(FILE_CHUNK);
        self.reader = Some(reader(file).chunk(FILE_CHUNK));
        Ok(More::Yes)
    }
}

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The sink of [`create`].
pub struct Create<B> {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    items: std::marker::PhantomData<fn(B)>,
}

/// A sink that writes a new file, truncating one that exists; `finish` syncs
/// it to the disk. Its `Done` is the number of bytes. What was written before
/// a failure stays: write to a temporary name and rename if that matters.
///
/// # Memory
/// One chunk of 256 KiB in tokio's file.
pub fn create<B>(path: impl Into<PathBuf>) -> Create<B> {
    Create { path: path.into(), file: None, bytes: 0, items: std::marker::PhantomData }
}

impl<B> Create<B> {
    async fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let mut file =
                File::create(&self.path).await.map_err(|error| named(&self.path, &error))?;
            file.set_max_buf_size(FILE_CHUNK);
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl<B: AsRef<[u8]> + Send + Sync + 'static> Sink for Create<B> {
    type In = B;
    type Done = u64;
    type Error = io::Error;

    async fn write(&mut self, batch: &mut Batch<B>) -> Result<More, io::Error> {
        while let Some(item) = batch.pop() {
            let bytes = item.as_ref();
            self.open().await?.write_all(bytes).await?;
            self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        }
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> Result<u64, io::Error> {
        let bytes = self.bytes;
        let file = self.open().await?;
        file.flush().await?;
        file.sync_all().await?;
        Ok(bytes)
    }
}

impl<B> fmt::Debug for Create<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Create").field("path", &self.path).finish_non_exhaustive()
    }
}

/// An error that says which file.
fn named(path: &std::path::Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
