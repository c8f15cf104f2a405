//! How is a resource read to its last byte?
//!
//! A body that has a length, or is chunked, says itself whether it is whole. One that was cut is asked for again
//! from the byte that is missing, on the condition that it is still the same (`If-Range`, which needs a strong ETag
//! or a Last-Modified); otherwise, or if the server sends anything but that byte and those after it, reading fails
//! and says how far it came.
//!
//! # Knows / never knows
//! Knows lengths, ranges, validators. Never knows what the bytes mean.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::{Body, BodyReader};

use crate::end::http::{Peer, REDIRECTS, said, said_by_socket, words};
use crate::end::{EndError, Source};
use crate::exec::errand;
use crate::exec::stop::wait;
use crate::plan::Secret;
use crate::size;

/// So often in a row a cut body is asked for again without a byte of it,
const TRIES: u32 = 5;
/// with this pause in between, in which a server can start again.
const PAUSE: Duration = Duration::from_secs(1);

/// Opens a resource; the server has said that it is there.
pub(crate) fn open(uri: &str, login: Option<&Secret>) -> Result<Source, EndError> {
    let peer = Peer::new(uri, login, REDIRECTS)?;
    let request = peer.request("GET").body(());
    let response = request.map_err(Into::into).and_then(|request| peer.agent.run(request));
    let response = response.map_err(|error| peer.failed("read", error))?;
    let status = response.status();
    if !status.is_success() || status == StatusCode::PARTIAL_CONTENT {
        return Err(peer.refused("read", status));
    }
    let total = length(response.headers());
    let chunked = response.headers().contains_key(header::TRANSFER_ENCODING);
    let bodiless = status == StatusCode::NO_CONTENT;
    let mut notes = Vec::new();
    if total.is_none() && !chunked && !bodiless {
        notes.push(format!("{} has no length: if it is cut, that cannot be seen", peer.name));
    }
    if let Some(coding) = text(response.headers(), header::CONTENT_ENCODING)
        && !coding.eq_ignore_ascii_case("identity")
    {
        notes.push(format!("{} comes encoded as `{coding}` and is passed on so", peer.name));
    }
    let (name, validator) = (peer.name.clone(), validator(response.headers()));
    let body = response.into_body().into_reader();
    let download = Download { peer, body: Box::new(body), at: 0, end: total, validator, barren: 0 };
    let feed = errand::bring(Box::new(download))
        .map_err(|error| EndError::of(format!("cannot read {name}"), &error))?;
    Ok(Source { feed, limit: None, total, notes })
}

/// A body on its way.
struct Download {
    peer: Peer,
    body: Box<BodyReader<'static>>,
    /// The next byte.
    at: u64,
    /// The byte behind the last, once that is known.
    end: Option<u64>,
    validator: Option<String>,
    /// How often it was asked for since a byte came.
    barren: u32,
}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let why = match self.body.read(into) {
                Ok(0) if self.end.is_none_or(|end| self.at == end) => return Ok(0),
                Ok(0) => "the connection was closed".to_owned(),
                Ok(bytes) => {
                    self.at += bytes as u64;
                    self.barren = 0;
                    return Ok(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => said_by_socket(&error),
            };
            self.resume(why)?;
        }
    }
}

/// Why the rest is not to be had.
enum Refusal {
    /// Now.
    Now(String),
    /// Ever.
    Ever(String),
}

impl Download {
    fn resume(&mut self, mut why: String) -> io::Result<()> {
        let Some(validator) = self.validator.clone() else {
            why += "; it cannot be resumed, for it has neither a strong ETag nor a Last-Modified";
            return Err(self.cut(&why));
        };
        while self.barren < TRIES {
            if self.barren > 0 {
                wait(&mut [], Some(PAUSE))?;
            }
            self.barren += 1;
            match self.ask(&validator) {
                Ok(()) => return Ok(()),
                Err(Refusal::Now(refusal)) => why = refusal,
                Err(Refusal::Ever(refusal)) => {
                    return Err(self.cut(&format!("{why}; it cannot be resumed: {refusal}")));
                }
            }
        }
        Err(self.cut(&format!("{why}; asked {TRIES} times for the rest")))
    }

    /// Asks for what is missing.
    fn ask(&mut self, validator: &str) -> Result<(), Refusal> {
        let request = self.peer.request("GET");
        let request = request.header(header::RANGE, format!("bytes={}-", self.at));
        let request = request.header(header::IF_RANGE, validator).body(());
        let response = request.map_err(Into::into).and_then(|request| self.peer.agent.run(request));
        let response = response.map_err(|error| Refusal::Now(said(error)))?;
        let status = response.status();
        if status.is_server_error() {
            return Err(Refusal::Now(format!("the server said {}", words(status))));
        }
        if status == StatusCode::OK {
            let what = "the server sent it from the beginning, as it does when it has changed";
            return Err(Refusal::Ever(what.to_owned()));
        }
        if status != StatusCode::PARTIAL_CONTENT {
            return Err(Refusal::Ever(format!("the server said {}", words(status))));
        }
        self.take(response)
    }

    /// Goes on with an answer, if it is the missing part.
    fn take(&mut self, response: Response<Body>) -> Result<(), Refusal> {
        let part = text(response.headers(), header::CONTENT_RANGE).and_then(part);
        let Some(Part { first, last, total }) = part.filter(|part| part.first == self.at) else {
            return Err(Refusal::Ever("the server sent another part than asked for".to_owned()));
        };
        let end = total.unwrap_or_else(|| last.saturating_add(1));
        if last < first || self.end.is_some_and(|known| known != end) {
            return Err(Refusal::Ever("its length has changed".to_owned()));
        }
        self.end = Some(end);
        *self.body = response.into_body().into_reader();
        Ok(())
    }

    fn cut(&self, why: &str) -> io::Error {
        let at = size::count(self.at);
        let of = self.end.map_or_else(String::new, |end| format!(" of {}", size::count(end)));
        io::Error::other(format!("cut at byte {at}{of}: {why}"))
    }
}

/// A header as text.
fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The length of a body, unless it is chunked, which beats it.
fn length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    text(headers, header::CONTENT_LENGTH)?.parse().ok()
}

/// What tells one version of a resource from the next, byte for byte.
fn validator(headers: &HeaderMap) -> Option<String> {
    let strong = text(headers, header::ETAG).filter(|tag| tag.starts_with('"'));
    strong.or_else(|| text(headers, header::LAST_MODIFIED)).map(str::to_owned)
}

/// What `Content-Range` says.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    first: u64,
    last: u64,
    total: Option<u64>,
}

/// Reads `bytes 5-9/10`.
fn part(text: &str) -> Option<Part> {
    let (range, total) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some(Part { first: first.parse().ok()?, last: last.parse().ok()?, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_or_refused() {
        let read = |first, last, total| Some(Part { first, last, total });
        assert_eq!(part("bytes 5-9/10"), read(5, 9, Some(10)));
        assert_eq!(part("bytes 0-0/*"), read(0, 0, None));
        for bad in
            ["", "bytes */10", "bytes 5-9", "5-9/10", "bytes -9/10", "items 0-1/2", "bytes 1-2/x"]
        {
            assert_eq!(part(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_a_strong_tag_or_a_date_tells_versions_apart() {
        let of = |tag: Option<&'static str>, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            let mut put = |name, value: Option<&'static str>| {
                value.map(|value| headers.insert(name, header::HeaderValue::from_static(value)))
            };
            put(header::ETAG, tag);
            put(header::LAST_MODIFIED, date);
            validator(&headers)
        };
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(of(Some("\"a\""), Some(date)).as_deref(), Some("\"a\""));
        assert_eq!(of(Some("W/\"a\""), Some(date)).as_deref(), Some(date));
        assert_eq!(of(Some("W/\"a\""), None), None);
        assert_eq!(of(None, None), None);
    }
}
