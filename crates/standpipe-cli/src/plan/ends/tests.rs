//! The table of ends, and what is refused.

use super::*;

#[track_caller]
fn check(word: &str, expected: EndPlan) {
    assert_eq!(read(OsStr::new(word), Side::From), Ok(expected), "{word}");
}

#[track_caller]
fn refused(word: &str, what: &str, hint: &str) {
    match read(OsStr::new(word), Side::From) {
        Ok(end) => panic!("{word}: {end:?}"),
        Err(error) => {
            assert_eq!(error.what, what, "{word}");
            let given = error.hint.unwrap_or_default();
            assert!(given.contains(hint), "{word}: {given:?}, expected {hint:?}");
        }
    }
}

fn file(path: &str) -> EndPlan {
    EndPlan::File(path.into())
}

fn tcp_to(host: &str, port: u16) -> EndPlan {
    EndPlan::Tcp { host: host.to_owned(), port }
}

#[test]
fn a_part_of_a_file_is_read() {
    let part = |offset_bytes, length_bytes| {
        Ok(EndPlan::Part { path: "/a b".into(), offset_bytes, length_bytes })
    };
    let read = |word: &str| read(OsStr::new(word), Side::From);
    assert_eq!(read("file:///a%20b?offset=1K&length=2M"), part(1024, Some(2 << 20)));
    assert_eq!(read("file:///a b?length=0"), part(0, Some(0)));
    assert_eq!(read("file:///a b?offset=7"), part(7, None));
    assert_eq!(read("file:///a%3Fb"), Ok(file("/a?b")));
    for wrong in ["?", "?offset=", "?offset=1&offset=2", "?of=1", "?offset=1&"] {
        let word = format!("file:///a{wrong}");
        refused(&word, &format!("`{word}` is no end"), "offset=SIZE");
    }
    refused("file:///a?offset=9kb", "invalid size in `file:///a?offset=9kb`", "9kB");
    let to = super::read(OsStr::new("file:///a?offset=1"), Side::To).expect_err("it is refused");
    assert!(to.what.contains("can only be read"), "{to:?}");
}

#[test]
fn paths_are_files() {
    check("x", file("x"));
    check("./foo://x", file("./foo://x"));
    check("a/tcp://x", file("a/tcp://x"));
    check("C:x", file("C:x"));
    check("http:x", file("http:x"));
    check("10:30", file("10:30"));
    check("://x", file("://x"));
    check("file:///a/b", file("/a/b"));
    check("file:///a%20b%25", file("/a b%"));
    check("file://localhost/a", file("/a"));
    let name = OsStr::from_bytes(b"caf\xe9:\xff");
    assert_eq!(read(name, Side::To), Ok(EndPlan::File(name.into())));
    let uri = read(OsStr::from_bytes(b"file:///\xe9%ff"), Side::To);
    assert_eq!(uri, Ok(EndPlan::File(OsStr::from_bytes(b"/\xe9\xff").into())));
}

#[test]
fn schemes_are_known() {
    check("-", EndPlan::Stdio);
    check("fd:3", EndPlan::Fd(3));
    check("tcp://host:80", tcp_to("host", 80));
    check("tcp://10.0.0.2:9000/", tcp_to("10.0.0.2", 9000));
    check("tcp://[::1]:80", tcp_to("::1", 80));
    check("tcp-listen://127.0.0.1:0", EndPlan::TcpListen(([127, 0, 0, 1], 0).into()));
    check("tcp-listen://[::1]:9", EndPlan::TcpListen("[::1]:9".parse().expect("an address")));
    check("unix:///run/x", EndPlan::Unix("/run/x".into()));
    check("null:", EndPlan::Null);
    check("zero:", EndPlan::Zero { bytes: None });
    check("zero:0", EndPlan::Zero { bytes: Some(0) });
    check("zero:1.5K", EndPlan::Zero { bytes: Some(1536) });
    check("random:1M", EndPlan::Random { bytes: Some(1 << 20), seed: 1 });
    check("random:64K?seed=7", EndPlan::Random { bytes: Some(65_536), seed: 7 });
}

#[test]
fn what_names_no_end_is_refused() {
    refused("", "the name of an end is empty", "`-`");
    refused("file://x/y", "`file://x/y` is no end", "`file:///PATH`");
    refused("file:///a%2", "`file:///a%2` is no end", "just the path");
    refused("file:///a%+1", "`file:///a%+1` is no end", "just the path");
    refused("file:///a%00", "`file:///a%00` is no end", "just the path");
    refused("unix://x", "`unix://x` is no end", "`unix:///PATH`");
    refused("fd:", "`fd:` is no end", "`fd:3`");
    refused("fd:-1", "`fd:-1` is no end", "`fd:3`");
    refused("tcp://host", "`tcp://host` is no end", "`tcp://HOST:PORT`");
    refused("tcp://:80", "`tcp://:80` is no end", "`tcp://HOST:PORT`");
    refused("tcp://host:0", "`tcp://host:0` is no end", "`tcp://HOST:PORT`");
    refused("tcp://::1:80", "`tcp://::1:80` is no end", "IPv6 address in `[`");
    refused("tcp://me:secret@host:80", "`tcp://***@host:80` is no end", "`tcp://HOST:PORT`");
    refused("tcp-listen://host:80", "`tcp-listen://host:80` is no end", "127.0.0.1:9000");
    refused("null:x", "`null:x` is no end", "`null:`");
    refused("zero:64kb", "invalid size in `zero:64kb`", "write `64KiB`");
    refused("zero:2%", "invalid size in `zero:2%`", "write bytes");
    refused("random:1M?sed=1", "`random:1M?sed=1` is no end", "`random:SIZE?seed=N`");
    let error = read(OsStr::new("zero:1M"), Side::To).expect_err("zeros are not written");
    assert_eq!(error.what, "`zero:1M` can only be read");
}

#[cfg(feature = "http")]
#[test]
fn a_resource_is_on_a_host_and_its_password_apart() {
    let http = |uri: &str, login: Option<&str>| EndPlan::Http {
        uri: uri.to_owned(),
        login: login.map(|login| super::super::Secret(login.to_owned())),
    };
    check("http://host", http("http://host/", None));
    check("https://host:8443/a?b=c#d", http("https://host:8443/a?b=c", None));
    check("http://[::1]:80?q", http("http://[::1]:80/?q", None));
    check("http://me:p%40ss@host/x", http("http://host/x", Some("me:p@ss")));
    check("http://a@b@host/x@y", http("http://host/x@y", Some("a@b")));
    for word in
        ["http://", "https:///x", "http://h:0/", "http://h:/", "http://[x]/", "http://h/a b"]
    {
        refused(word, &format!("`{word}` is no end"), "`https://HOST[:PORT]/PATH`");
    }
    refused("http://me:pw@/x", "`http://***@/x` is no end", "");
    let secret = read(OsStr::new("http://me:pw@h/x"), Side::To).expect("it is an end");
    assert!(secret.warnings().len() == 1 && secret.label() == "http://***@h/x");
    assert!(!format!("{secret:?}").contains("pw"), "{secret:?}");
}

#[test]
fn an_unknown_scheme_lists_the_known() {
    refused("tpc://x:1", "unknown scheme `tpc` in `tpc://x:1`", "did you mean `tcp://`? ends are");
    refused("foo://x", "unknown scheme `foo` in `foo://x`", "`fd:`, `tcp://`, `tcp-listen://`");
    refused("foo://x", "unknown scheme `foo` in `foo://x`", "a file is `./foo://x`");
    refused("TCP://x:1", "unknown scheme `TCP` in `TCP://x:1`", "did you mean `tcp://`?");
    refused("fd://3", "unknown scheme `fd` in `fd://3`", "did you mean `fd:`?");
    refused("s4://a:b@c/d@e", "unknown scheme `s4` in `s4://***@c/d@e`", "");
}

#[test]
fn secrets_are_masked_wherever_they_are() {
    for (word, expected) in [
        ("curl https://me:pw@host/x", "curl https://***@host/x"),
        ("a://b@c d://e@f", "a://***@c d://***@f"),
        ("scp me@host:x", "scp me@host:x"),
        ("http://h/@x", "http://h/@x"),
        ("a://p@q@h", "a://***@h"),
    ] {
        assert_eq!(shown_uri(OsStr::new(word)), expected);
    }
}

#[test]
fn labels_can_be_typed_again() {
    for word in [
        "-",
        "fd:3",
        "x/y",
        "tcp://[::1]:80",
        "tcp://h:1",
        "tcp-listen://127.0.0.1:1",
        "unix:///x",
        "file:///a%3Fb?offset=1K&length=2M",
        "file:///a?offset=0",
        #[cfg(feature = "http")]
        "https://h:1/x?y",
        "null:",
        "zero:",
        "zero:5",
        "random:5?seed=2",
    ] {
        assert_eq!(read(OsStr::new(word), Side::From).map(|end| end.label()), Ok(word.to_owned()));
    }
}
