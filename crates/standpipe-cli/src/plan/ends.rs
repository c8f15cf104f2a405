//! Which end does a word name?
//!
//! ```text
//! path  ./x  file:///x  file:///x?offset=SIZE&length=SIZE      -  fd:3      tcp://host:port  tcp-listen://addr:port  unix:///x
//! http://host/path  https://host/path  null:  zero:SIZE  random:SIZE?seed=1
//! ```
//!
//! A word with a scheme is a URI, any other is a path, so `./foo://x` is a file and `foo://x` an
//! error, even before `foo` is a scheme one day.

use std::{
    ffi::{OsStr, OsString},
    net::SocketAddr,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use crate::{
    args::{UsageError, nearest, shown},
    size::{self, Amount, Zero, read_amount},
};

use super::EndPlan;

/// The schemes, as they are typed.
const SCHEMES: &[&str] = &[
    "file://",
    "fd:",
    "tcp://",
    "tcp-listen://",
    "unix://",
    #[cfg(feature = "http")]
    "http://",
    #[cfg(feature = "http")]
    "https://",
    "null:",
    "zero:",
    "random:",
];

/// Lists the schemes, as they are typed.
pub(crate) fn schemes() -> &'static [&'static str] {
    SCHEMES
}

/// The side of the pipeline an end is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    From,
    To,
}

/// Tells whether a word is a URI: one of our schemes, or `x://`.
pub(super) fn has_scheme(word: &OsStr) -> bool {
    scheme(word).is_some()
}

/// Cuts `tcp://` or `zero:` off the front.
fn scheme(word: &OsStr) -> Option<(&str, &OsStr)> {
    let bytes = word.as_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let name = &bytes[..colon];
    let is_name = name.first().is_some_and(u8::is_ascii_alphabetic)
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(byte));
    let slashes = bytes[colon + 1..].starts_with(b"//");
    let end = colon + if slashes { 3 } else { 1 };
    let scheme = std::str::from_utf8(&bytes[..end]).ok().filter(|_| is_name)?;
    let known = SCHEMES.contains(&scheme);
    (slashes || known).then(|| (scheme, OsStr::from_bytes(&bytes[end..])))
}

/// Reads the end a word names.
///
/// # Errors
/// With the word as it is shown, and what to write instead.
pub(super) fn read(word: &OsStr, side: Side) -> Result<EndPlan, UsageError> {
    let (end, bad) = match scheme(word) {
        None if word == "-" => return Ok(EndPlan::Stdio),
        None if word.is_empty() => {
            return Err(UsageError::new("the name of an end is empty", "write a path or `-`"));
        }
        None => return Ok(EndPlan::File(PathBuf::from(word))),
        Some(("file://", rest)) => match rest.as_bytes().iter().position(|byte| *byte == b'?') {
            Some(at) => return part(word, rest, at, side),
            None => (path(rest).map(EndPlan::File), "write `file:///PATH`, or just the path"),
        },
        Some(("unix://", rest)) => (path(rest).map(EndPlan::Unix), "write `unix:///PATH`"),
        Some(("fd:", rest)) => (descriptor(rest), "write the number of an open descriptor: `fd:3`"),
        Some(("tcp://", rest)) => {
            (tcp(rest), "write `tcp://HOST:PORT`, an IPv6 address in `[` and `]`")
        }
        Some(("tcp-listen://", rest)) => (
            utf8(rest).and_then(|text| text.parse::<SocketAddr>().ok()).map(EndPlan::TcpListen),
            "write the address and port to listen on, e.g. `tcp-listen://127.0.0.1:9000`",
        ),
        #[cfg(feature = "http")]
        Some((scheme @ ("http://" | "https://"), rest)) => (
            http(scheme, rest),
            "write `https://HOST[:PORT]/PATH`, with `%20` for a space and so on",
        ),
        Some(("null:", rest)) => (rest.is_empty().then_some(EndPlan::Null), "write `null:`"),
        Some((scheme @ ("zero:" | "random:"), _)) if side == Side::To => {
            let what = format!("`{}` can only be read", shown_uri(word));
            let hint = format!("to throw bytes away write `null:`, a file is `./{scheme}`");
            return Err(UsageError::new(what, hint));
        }
        Some(("zero:", rest)) => return zero(word, rest),
        Some(("random:", rest)) => return random(word, rest),
        Some((scheme, _)) => return Err(unknown(word, scheme)),
    };
    end.ok_or_else(|| UsageError::new(format!("`{}` is no end", shown_uri(word)), bad))
}

fn unknown(word: &OsStr, scheme: &str) -> UsageError {
    let names = SCHEMES.iter().map(|known| known.trim_end_matches('/').trim_end_matches(':'));
    let name = scheme.trim_end_matches('/').trim_end_matches(':');
    let meant = nearest(&name.to_ascii_lowercase(), names)
        .and_then(|name| {
            SCHEMES.iter().find(|known| known.trim_end_matches('/').trim_end_matches(':') == name)
        })
        .map(|known| format!("did you mean `{known}`? "))
        .unwrap_or_default();
    let word = shown_uri(word);
    UsageError::new(
        format!("unknown scheme `{name}` in `{word}`"),
        format!("{meant}ends are a path, `-`, `{}`; a file is `./{word}`", SCHEMES.join("`, `")),
    )
}

fn utf8(rest: &OsStr) -> Option<&str> {
    rest.to_str()
}

/// Reads an absolute path, `%41` being `A`; the host may be `localhost`.
fn path(rest: &OsStr) -> Option<PathBuf> {
    let bytes = rest.as_bytes();
    let bytes = bytes.strip_prefix(b"localhost").unwrap_or(bytes);
    let mut path = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'%' {
            let digits = std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok()?;
            let digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(digits)?;
            path.push(u8::from_str_radix(digits, 16).ok().filter(|byte| *byte != 0)?);
            at += 3;
        } else {
            path.push(*byte);
            at += 1;
        }
    }
    (path.first() == Some(&b'/') && path.len() > 1).then(|| OsString::from_vec(path).into())
}

/// Reads `file:///PATH?offset=SIZE&length=SIZE`, the `?` being there.
fn part(word: &OsStr, rest: &OsStr, at: usize, side: Side) -> Result<EndPlan, UsageError> {
    const HINT: &str =
        "write `file:///PATH?offset=SIZE&length=SIZE`, or one of the two; a `?` in a name is `%3F`";
    let no_end = || UsageError::new(format!("`{}` is no end", shown_uri(word)), HINT);
    if side == Side::To {
        let what = format!("`{}` can only be read", shown_uri(word));
        return Err(UsageError::new(what, "a part of a file cannot be written; write the whole"));
    }
    let (name, query) = rest.as_bytes().split_at(at);
    let path = path(OsStr::from_bytes(name)).ok_or_else(no_end)?;
    let (mut offset, mut length) = (None, None);
    let query = std::str::from_utf8(&query[1..]).map_err(|_| no_end())?;
    for pair in query.split('&') {
        let (value, size) = match pair.split_once('=') {
            Some(("offset", size)) => (&mut offset, size),
            Some(("length", size)) => (&mut length, size),
            _ => return Err(no_end()),
        };
        let bytes = self::length(word, size)?.ok_or_else(no_end)?;
        if value.replace(bytes).is_some() {
            return Err(no_end());
        }
    }
    Ok(EndPlan::Part { path, offset_bytes: offset.unwrap_or(0), length_bytes: length })
}

fn descriptor(rest: &OsStr) -> Option<EndPlan> {
    let text = utf8(rest)?;
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().map(EndPlan::Fd)
}

fn tcp(rest: &OsStr) -> Option<EndPlan> {
    let text = utf8(rest)?;
    let (host, port) = text.strip_suffix('/').unwrap_or(text).rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_name = |host: &str| {
        !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/@:[]?#".contains(&byte))
    };
    let host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().ok().map(|_| address)?,
        None => Some(host).filter(|host| is_name(host))?,
    };
    Some(EndPlan::Tcp { host: host.to_owned(), port })
}

/// Cuts user and password out of a URI, and the fragment off, which is nobody's business but the reader's.
#[cfg(feature = "http")]
fn http(scheme: &str, rest: &OsStr) -> Option<EndPlan> {
    let text = utf8(rest)?.split('#').next()?;
    let (authority, path) = text.split_at(text.find(['/', '?']).unwrap_or(text.len()));
    let (login, host) = match authority.rsplit_once('@') {
        Some((login, host)) => (Some(super::Secret(decoded(login)?)), host),
        None => (None, authority),
    };
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let (name, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, port)) => {
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, port.strip_prefix(':').or_else(|| port.is_empty().then_some("80"))?)
        }
        None => host.split_once(':').unwrap_or((host, "80")),
    };
    let fits = !name.is_empty()
        && plain(host)
        && plain(path)
        && port.parse::<u16>().is_ok_and(|port| port != 0);
    let slash = if path.starts_with('/') { "" } else { "/" };
    fits.then(|| EndPlan::Http { uri: format!("{scheme}{host}{slash}{path}"), login })
}

/// Reads `%41` as `A`.
#[cfg(feature = "http")]
fn decoded(text: &str) -> Option<String> {
    let rooted = OsString::from(format!("/{text}"));
    let bytes = path(&rooted)?.into_os_string().into_encoded_bytes();
    String::from_utf8(bytes).ok().map(|text| text[1..].to_owned())
}

/// Reads the size of `zero:SIZE`; without one there is no end of data.
fn length(word: &OsStr, rest: &str) -> Result<Option<u64>, UsageError> {
    if rest.is_empty() {
        return Ok(None);
    }
    match read_amount(rest, Zero::Allowed) {
        Ok(Amount::Bytes(bytes)) => Ok(Some(bytes)),
        Ok(_) => Err("write bytes, e.g. `64KiB`".to_owned()),
        Err(refusal) => Err(refusal.hint),
    }
    .map_err(|hint| UsageError::new(format!("invalid size in `{}`", shown_uri(word)), hint))
}

fn zero(word: &OsStr, rest: &OsStr) -> Result<EndPlan, UsageError> {
    let bytes = length(word, utf8(rest).unwrap_or("?"))?;
    Ok(EndPlan::Zero { bytes })
}

fn random(word: &OsStr, rest: &OsStr) -> Result<EndPlan, UsageError> {
    let rest = utf8(rest).unwrap_or("?");
    let (size, seed) = match rest.split_once('?') {
        None => (rest, Some(1)),
        Some((size, query)) => {
            (size, query.strip_prefix("seed=").and_then(|seed| seed.parse().ok()))
        }
    };
    let seed = seed.ok_or_else(|| {
        UsageError::new(
            format!("`{}` is no end", shown_uri(word)),
            "write `random:SIZE?seed=N`, N a number",
        )
    })?;
    Ok(EndPlan::Random { bytes: length(word, size)?, seed })
}

/// Writes a word as [`shown`] does, the user and password of every URI in it as `***`.
pub(super) fn shown_uri(word: &OsStr) -> String {
    let text = shown(word);
    let mut masked = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let authority = after.find(['/', '?', '#', ' ', '\'', '"']).unwrap_or(after.len());
        masked += before;
        rest = match after[..authority].rfind('@') {
            Some(at) => {
                masked += "***";
                &after[at..]
            }
            None => after,
        };
    }
    masked + rest
}

impl EndPlan {
    /// What it is, in the word of an event.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Fd(_) => "fd",
            Self::File(_) | Self::Part { .. } => "file",
            Self::Tcp { .. } => "tcp",
            Self::TcpListen(_) => "tcp-listen",
            Self::Unix(_) => "unix",
            #[cfg(feature = "http")]
            Self::Http { .. } => "http",
            Self::Null => "null",
            Self::Zero { .. } => "zero",
            Self::Random { .. } => "random",
        }
    }

    /// What should be known about it before it is opened.
    pub(crate) fn warnings(&self) -> Vec<String> {
        match self {
            #[cfg(feature = "http")]
            Self::Http { login: Some(_), .. } => vec![format!(
                "`{}` holds a password that other users can see in the process list",
                self.label()
            )],
            _ => Vec::new(),
        }
    }

    /// Writes the end as it is typed, safe to show.
    pub(crate) fn label(&self) -> String {
        let length = |bytes: &Option<u64>| bytes.map(size::typed).unwrap_or_default();
        match self {
            Self::Stdio => "-".to_owned(),
            Self::Fd(number) => format!("fd:{number}"),
            Self::File(path) => shown(path),
            Self::Part { path, offset_bytes, length_bytes } => {
                let name = shown(path).replace('%', "%25").replace('?', "%3F");
                let length = length_bytes.map(|bytes| format!("&length={}", size::typed(bytes)));
                let offset = size::typed(*offset_bytes);
                format!("file://{name}?offset={offset}{}", length.unwrap_or_default())
            }
            Self::Tcp { host, port } if host.contains(':') => format!("tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => format!("tcp://{host}:{port}"),
            Self::TcpListen(address) => format!("tcp-listen://{address}"),
            Self::Unix(path) => format!("unix://{}", shown(path)),
            #[cfg(feature = "http")]
            Self::Http { uri, login: None } => uri.clone(),
            #[cfg(feature = "http")]
            Self::Http { uri, login: Some(_) } => uri.replacen("://", "://***@", 1),
            Self::Null => "null:".to_owned(),
            Self::Zero { bytes } => format!("zero:{}", length(bytes)),
            Self::Random { bytes, seed } => format!("random:{}?seed={seed}", length(bytes)),
        }
    }
}

#[cfg(test)]
mod tests;
