//! How does a foreign stream get in and out?
//!
//! | foreign | in | out |
//! | --- | --- | --- |
//! | `futures_core::Stream` | [`stream::from_stream`], [`stream::from_try_stream`] | a [`Readable`](crate::tank::Readable) is one |
//! | a tank of your own | [`tank::from_readable`] | [`tank::into_writable`] |
//! | `tokio::io::AsyncRead`, `AsyncWrite` | [`io::reader`] | [`io::writer`] |
//! | code that wants an `AsyncRead`, `AsyncWrite` | [`io::WriteDoor`] | [`io::ReadDoor`] |
//! | code that wants both in one | [`io::DuplexDoor`] | [`io::DuplexDoor`] |
//! | files | [`fs::read`] | [`fs::create`] |
//! | TCP | [`io::tcp`] | [`io::tcp`] |
//! | a child process | [`process::command`] | the same, both ways |
//!
//! # Knows / never knows
//! Knows foreign traits and the doors of a tank. Never knows pipelines. So no
//! other room depends on a foreign crate's idea of a stream.

pub mod stream;
pub mod tank;

#[cfg(feature = "tokio")]
pub mod fs;
#[cfg(feature = "tokio")]
pub mod io;
#[cfg(feature = "tokio")]
pub mod process;
