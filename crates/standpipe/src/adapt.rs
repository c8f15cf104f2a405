//! How does a foreign stream get in and out?
//!
//! | foreign | in | out |
//! | --- | --- | --- |
//! | `futures_core::Stream` | [`stream::from_stream`], [`stream::from_try_stream`] | a [`Readable`](crate::tank::Readable) is one |
//! | `futures_sink::Sink` | | [`sink::into_sink`]; for code that wants one [`sink::SinkDoor`] |
//! | `http_body::Body` | [`http::from_body`] | [`http::BodyDoor`] |
//! | a tank of your own | [`tank::from_readable`] | [`tank::into_writable`] |
//! | `tokio::io::AsyncRead`, `AsyncWrite` | [`io::reader`] | [`io::writer`] |
//! | `futures_io::AsyncRead`, `AsyncWrite` | [`io::reader`] of [`io::Futures`] | [`io::writer`] of [`io::Futures`] |
//! | code that wants an `AsyncRead`, `AsyncWrite` | [`io::WriteDoor`] | [`io::ReadDoor`] |
//! | code that wants both in one | [`io::DuplexDoor`] | [`io::DuplexDoor`] |
//! | files | [`fs::read`] | [`fs::create`] |
//! | TCP | [`io::tcp`] | [`io::tcp`] |
//! | a child process | [`process::command`] | the same, both ways |
//!
//! # Knows / never knows
//! Knows foreign traits and the doors of a tank. Never knows pipelines. So no
//! other room depends on a foreign crate's idea of a stream.

#[cfg(any(feature = "tokio", feature = "futures-io", feature = "futures-sink"))]
mod entry;
#[cfg(feature = "tokio")]
pub mod fs;
#[cfg(feature = "http-body")]
pub mod http;
#[cfg(any(feature = "tokio", feature = "futures-io"))]
pub mod io;
#[cfg(feature = "tokio")]
pub mod process;
#[cfg(feature = "futures-sink")]
pub mod sink;
pub mod stream;
pub mod tank;
