//! How do bytes come and go over HTTP?
//!
//! GET to read, PUT to write, by `http://` and `https://`. The library speaks HTTP/1.1 on blocking sockets; `exec`
//! gives each end a thread and a pipe. Whatever can be refused is refused before anything is started: a GET has its
//! status before its first byte is passed on, a PUT asks by `Expect: 100-continue` before it sends the first.
//!
//! Bytes are passed as they are: nothing is decoded. Proxies are not used. The machine's root certificates decide
//! whom https trusts; SSL_CERT_FILE and SSL_CERT_DIR name others.
//!
//! # Knows / never knows
//! Knows URIs and the library. Never knows who reads or writes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::request::Builder;
use ureq::http::{Request, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Error, Timeout};

use crate::end::{EndError, reason};
use crate::plan::Secret;

mod get;
mod put;

pub(crate) use get::open;
pub(crate) use put::{Upload, create};

/// A connection that takes longer is no connection.
const CONNECT: Duration = Duration::from_secs(30);
/// A server that does not know `Expect` is waited for this long; it is what curl waits.
const CONTINUE: Duration = Duration::from_secs(1);
/// More redirects than these are a circle.
const REDIRECTS: u32 = 10;

/// Whom is asked, and how.
#[derive(Clone)]
struct Peer {
    agent: Agent,
    uri: String,
    /// The value of the `Authorization` header.
    login: Option<Secret>,
    /// How it is named in messages.
    name: String,
}

impl Peer {
    fn new(uri: &str, login: Option<&Secret>, redirects: u32) -> Result<Self, EndError> {
        let name = match login {
            Some(_) => format!("`{}`", uri.replacen("://", "://***@", 1)),
            None => format!("`{uri}`"),
        };
        let secure = uri.starts_with("https://");
        let roots = rustls_native_certs::load_native_certs();
        if secure && roots.certs.is_empty() {
            let why = roots.errors.first().map_or_else(String::new, |error| format!(": {error}"));
            let what = format!("cannot open {name}: no root certificates{why}");
            let hint = "install `ca-certificates`, or name a PEM file in SSL_CERT_FILE";
            return Err(EndError::new(what).hint(hint));
        }
        let roots = roots.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .https_only(secure)
            .http_status_as_error(false)
            .max_redirects(redirects)
            .redirect_auth_headers(RedirectAuthHeaders::Never)
            .max_idle_connections(0)
            .timeout_connect(Some(CONNECT))
            .timeout_await_100(Some(CONTINUE))
            .user_agent(concat!("standpipe/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .build();
        let login =
            login.map(|Secret(login)| Secret(format!("Basic {}", base64(login.as_bytes()))));
        Ok(Self { agent: config.new_agent(), uri: uri.to_owned(), login, name })
    }

    fn request(&self, method: &str) -> Builder {
        let request = Request::builder().method(method).uri(&self.uri);
        match &self.login {
            Some(Secret(login)) => request.header(header::AUTHORIZATION, login),
            None => request,
        }
    }

    /// An end that could not be opened, or finished, because the library said so.
    fn failed(&self, verb: &str, error: Error) -> EndError {
        let why = said(error);
        let failed = EndError::new(format!("cannot {verb} {}: {why}", self.name));
        if why.contains("certificate") {
            return failed.hint("a PEM file with the roots to trust can be named in SSL_CERT_FILE");
        }
        match why.contains("connection refused") {
            true => failed.hint("nobody listens there; see if the server runs, and on that port"),
            false => failed,
        }
    }

    /// An end that the server has refused.
    fn refused(&self, verb: &str, status: StatusCode) -> EndError {
        let refused = EndError::new(format!(
            "cannot {verb} {}: the server said {}",
            self.name,
            words(status)
        ));
        match status {
            StatusCode::UNAUTHORIZED => {
                refused.hint("name a user in the URI: `https://USER:PASSWORD@HOST/PATH`")
            }
            StatusCode::PRECONDITION_FAILED => {
                refused.hint("it exists already; `--overwrite` replaces it")
            }
            _ => refused,
        }
    }
}

/// A status with its name.
fn words(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_str()),
        None => status.as_str().to_owned(),
    }
}

/// What the library said, in our words where they are better.
fn said(error: Error) -> String {
    match error {
        Error::Io(error) => said_by_socket(&error),
        Error::HostNotFound => "no such host".to_owned(),
        Error::Timeout(Timeout::Connect) => {
            format!("no connection within {} s", CONNECT.as_secs())
        }
        Error::RequireHttpsOnly(_) => {
            "it redirects from https to http, which is refused".to_owned()
        }
        Error::TooManyRedirects => format!("it redirects more than {REDIRECTS} times"),
        error => error.to_string(),
    }
}

fn said_by_socket(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
        _ => reason(error),
    }
}

/// Writes bytes as the `Authorization` header wants them.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| three.get(at).map_or(0, |byte| usize::from(*byte));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[bits >> (18 - 6 * at) & 63];
            text.push(if at <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn a_login_is_written_as_the_header_wants_it() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("\u{ff}~?>", "w79+Pz4="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
