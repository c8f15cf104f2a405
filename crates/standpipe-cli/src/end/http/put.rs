//! How does a server get either all of an upload or nothing?
//!
//! The body is chunked, and its last chunk is sent only after the whole run has succeeded. Where the length is known
//! it is announced instead, because many servers want that, and the last byte is kept back as long. A run that fails
//! ends the connection in the middle of the body, which no server can take for its end.
//!
//! # Knows / never knows
//! Knows requests and their answers. Never knows why a run failed.

use std::io::{self, Read};

use ureq::SendBody;
use ureq::http::{Response, StatusCode, Uri, header};

use crate::end::http::{Peer, REDIRECTS};
use crate::end::{EndError, Finish, Sink};
use crate::exec::errand::{self, Begun, Errand, Parcel};
use crate::plan::{Publish, Secret};

/// A resource that is being written.
#[derive(Debug)]
pub(crate) struct Upload {
    errand: Errand<EndError>,
    name: String,
}

impl Upload {
    /// How it is named, safe to show.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Why the server took no more, if it did so before the end.
    pub(crate) fn failure(&self) -> Option<EndError> {
        self.errand.failure()
    }

    /// Sends the end of the body and waits until the server has confirmed it.
    ///
    /// # Errors
    /// What the server said instead.
    pub(crate) fn conclude(self) -> Result<(), EndError> {
        self.errand.seal();
        let broken = |error| EndError::of(format!("cannot write `{}`", self.name), &error);
        self.errand.outcome().map_err(broken)?
    }
}

/// Begins to write a resource of `length` bytes, if that is known; the server has not refused it.
pub(crate) fn create(
    uri: &str,
    login: Option<&Secret>,
    publish: Publish,
    length: Option<u64>,
) -> Result<Sink, EndError> {
    let peer = Peer::new(uri, login, 0)?;
    let name = peer.name.clone();
    let fail = |error: io::Error| EndError::of(format!("cannot write {name}"), &error);
    let length = length.filter(|bytes| *bytes > 0);
    let put = move |parcel: &mut Parcel| Put { peer, publish, length }.run(parcel);
    let (port, begun) = errand::send(put).map_err(fail)?;
    match begun {
        Begun::Wants(errand) => Ok(Sink {
            port,
            finish: Finish::Upload(Upload { errand, name: name.trim_matches('`').to_owned() }),
        }),
        Begun::Over(Err(error)) => Err(error),
        Begun::Over(Ok(())) => Err(fail(io::Error::other("the server asked for no data"))),
    }
}

struct Put {
    peer: Peer,
    publish: Publish,
    length: Option<u64>,
}

impl Put {
    fn run(mut self, parcel: &mut Parcel) -> Result<(), EndError> {
        let mut expect = true;
        for _ in 0..=REDIRECTS {
            let response =
                self.send(parcel, expect).map_err(|error| self.peer.failed("write", error))?;
            let untouched = !parcel.was_touched();
            match response.status() {
                status if status.is_success() && !untouched => return Ok(()),
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT if untouched => {
                    self.redirect(&response)?;
                }
                StatusCode::EXPECTATION_FAILED if untouched && expect => expect = false,
                status => return Err(self.peer.refused("write", status)),
            }
        }
        Err(self.peer.failed("write", ureq::Error::TooManyRedirects))
    }

    fn send(&self, parcel: &mut Parcel, expect: bool) -> Result<Response<ureq::Body>, ureq::Error> {
        let mut request = self.peer.request("PUT");
        if expect {
            request = request.header(header::EXPECT, "100-continue");
        }
        if self.publish == Publish::Refuse {
            request = request.header(header::IF_NONE_MATCH, "*");
        }
        if let Some(length) = self.length {
            request = request.header(header::CONTENT_LENGTH, length);
        }
        let mut body = Held { parcel, left: self.length };
        self.peer.agent.run(request.body(SendBody::from_reader(&mut body))?)
    }

    fn redirect(&mut self, response: &Response<ureq::Body>) -> Result<(), EndError> {
        let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
        let next = location.and_then(|to| target(&self.peer.uri, to));
        let Some(next) = next else {
            return Err(self.peer.refused("write", response.status()));
        };
        // The password is for the host it was given for.
        self.peer.login = self.peer.login.take().filter(|_| next.same_host);
        self.peer.uri = next.uri;
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Target {
    uri: String,
    same_host: bool,
}

/// Where a redirect leads; it names a host or a path from the root.
fn target(from: &str, to: &str) -> Option<Target> {
    let old: Uri = from.parse().ok()?;
    let uri = match (to.starts_with("//"), to.starts_with('/')) {
        (true, _) => format!("{}:{to}", old.scheme_str()?),
        (_, true) => format!("{}://{}{to}", old.scheme_str()?, old.authority()?),
        _ => to.to_owned(),
    };
    let new: Uri = uri.parse().ok()?;
    let known = matches!(new.scheme_str(), Some("http" | "https"));
    let same_host = known && old.scheme() == new.scheme() && old.authority() == new.authority();
    known.then_some(Target { uri, same_host })
}

/// A body whose last byte is kept back until the run has succeeded.
struct Held<'send> {
    parcel: &'send mut Parcel,
    /// Bytes that are still to come, if that was announced.
    left: Option<u64>,
}

impl Read for Held<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left else { return self.parcel.read(into) };
        let ahead = usize::try_from(left.saturating_sub(1)).unwrap_or(usize::MAX);
        let most = if left == 1 { 1 } else { ahead.min(into.len()) };
        if most == 0 || into.is_empty() {
            return Ok(0);
        }
        let bytes = self.parcel.read(&mut into[..most])?;
        if bytes == 0 {
            return Err(io::Error::other("there was less data than its length said"));
        }
        self.left = Some(left - bytes as u64);
        if left == 1 && self.parcel.read(&mut [0])? > 0 {
            return Err(io::Error::other("there was more data than its length said"));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_a_host_or_a_path() {
        #[track_caller]
        fn check(to: &str, uri: &str, same_host: bool) {
            let target = target("https://a.example:8443/x/y?z", to);
            assert_eq!(target, Some(Target { uri: uri.to_owned(), same_host }));
        }
        check("/p?q", "https://a.example:8443/p?q", true);
        check("https://a.example:8443/p", "https://a.example:8443/p", true);
        check("https://b.example/p", "https://b.example/p", false);
        check("//b.example/p", "https://b.example/p", false);
        check("http://a.example:8443/p", "http://a.example:8443/p", false);
        for bad in ["", "y", "ftp://a.example/", "https://"] {
            assert_eq!(target("https://a.example/x", bad), None, "{bad}");
        }
    }
}
