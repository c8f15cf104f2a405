//! A child process as a stage: its stdin is a sink, its stdout a source.
//!
//! Feeding a child and reading it from one place deadlocks as soon as both
//! pipes are full, so the two are separate segments by construction: see
//! [`Pipeline::through`](crate::pipeline::Pipeline::through).

use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::adapt::io::{Reader, reader};
use crate::stage::{Emit, More, Sink, Source};
use crate::tank::Batch;

/// Why a child counts as failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChildError {
    /// Its pipes.
    Io(io::Error),
    /// It ended with something other than success.
    Exit(ExitStatus),
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Exit(status) => write!(f, "the command ended with {status}"),
        }
    }
}

impl std::error::Error for ChildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Exit(_) => None,
        }
    }
}

impl From<io::Error> for ChildError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Starts a command whose stdin is the sink and whose stdout is the source.
/// The source ends when the child has closed its stdout and exited with
/// success; the child is killed if the pipeline ends before.
///
/// # Errors
/// If it cannot be started.
///
/// # Panics
/// Outside a tokio runtime.
pub fn command(mut command: Command) -> io::Result<(Stdin, Stdout)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let missing = || io::Error::other("the child has no pipes");
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    Ok((Stdin { to: Some(stdin) }, Stdout { from: reader(stdout), child }))
}

/// The stdin of a child: a sink. Its `finish` closes the pipe.
#[derive(Debug)]
pub struct Stdin {
    to: Option<ChildStdin>,
}

impl Sink for Stdin {
    type In = Bytes;
    type Done = ();
    type Error = ChildError;

    async fn write(&mut self, batch: &mut Batch<Bytes>) -> Result<More, ChildError> {
        let Some(to) = &mut self.to else { return Ok(More::No) };
        while let Some(bytes) = batch.pop() {
            match to.write_all(&bytes).await {
                Ok(()) => {}
                // it has enough; whether that is well its exit status says
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(More::No),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> Result<(), ChildError> {
        self.to = None;
        Ok(())
    }
}

/// The stdout of a child: a source.
#[derive(Debug)]
pub struct Stdout {
    from: Reader<ChildStdout>,
    child: Child,
}

impl Source for Stdout {
    type Item = Bytes;
    type Error = ChildError;

    async fn read(&mut self, out: &mut impl Emit<Bytes>) -> Result<More, ChildError> {
        if self.from.read(out).await? == More::Yes {
            return Ok(More::Yes);
        }
        let status = self.child.wait().await?;
        if status.success() { Ok(More::No) } else { Err(ChildError::Exit(status)) }
    }
}
