//! What comes and goes over HTTP, and what a server does to it?

use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;

use rustix::process::Signal;

use crate::rig::{Done, Live, Scratch, feed, noise, run, standpipe};
use crate::server::{Answer, Exchange, Identity, Server, answer, says};

pub(crate) const ETAG: &str = "ETag: \"one\"\r\n";

/// Sends a head with this in it, and so much of a body as is given.
fn body(exchange: &mut Exchange, status: &str, headers: &str, bytes: &[u8]) {
    exchange.say(&format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n"));
    exchange.send(bytes);
}

/// All of it, with its length.
fn whole(bytes: Vec<u8>) -> Answer {
    answer(move |exchange| {
        body(exchange, "200 OK", &format!("Content-Length: {}\r\n", bytes.len()), &bytes);
    })
}

/// What is missing of `bytes`, up to `until`, if it is asked for on the condition that it is still the same.
pub(crate) fn part(bytes: Vec<u8>, until: usize) -> Answer {
    answer(move |exchange| {
        assert_eq!(exchange.header("if-range"), Some("\"one\""), "{}", exchange.head);
        let range = exchange.header("range").and_then(|range| range.strip_prefix("bytes="));
        let from: usize = range
            .and_then(|range| range.strip_suffix('-'))
            .and_then(|from| from.parse().ok())
            .expect("it asks for a range to the end");
        let (last, total) = (bytes.len() - 1, bytes.len());
        let headers = format!(
            "{ETAG}Content-Length: {}\r\nContent-Range: bytes {from}-{last}/{total}\r\n",
            total - from
        );
        body(exchange, "206 Partial Content", &headers, &bytes[from..until]);
    })
}

/// The first bytes of a body that says to be longer.
pub(crate) fn begun(bytes: Vec<u8>, until: usize, headers: &'static str) -> Answer {
    answer(move |exchange| {
        let headers = format!("{headers}Content-Length: {}\r\n", bytes.len());
        body(exchange, "200 OK", &headers, &bytes[..until]);
    })
}

#[test]
fn a_resource_is_read_as_it_is_in_every_form() {
    let data = noise(3_000_001);
    for form in [&[][..], &["--fast", "never"], &["--low", "50%"], &["-c", "cat | cat"]] {
        let server = Server::start(vec![whole(data.clone())]);
        let mut args = form.to_vec();
        let uri = server.uri("/x?y=z");
        args.splice(0..0, ["--from", &uri]);
        let done = run(standpipe(&args));
        assert_eq!(done.code(), 0, "{form:?}: {}", done.err);
        assert!(done.out == data, "{form:?}");
        let heads = server.heads();
        assert!(heads[0].starts_with("GET /x?y=z HTTP/1.1\r\n"), "{}", heads[0]);
        assert!(
            heads[0].to_ascii_lowercase().contains("accept-encoding: identity\r\n"),
            "{}",
            heads[0]
        );
    }
}

#[test]
fn a_chunked_resource_is_read_to_its_last_chunk() {
    let server = Server::start(vec![says(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n4\r\n two\r\n0\r\n\r\n",
    )]);
    let done = run(standpipe(&["--from", &server.uri("/")]));
    assert_eq!((done.code(), done.text().as_str(), done.err.as_str()), (0, "one two", ""));
}

#[test]
fn a_resource_that_is_not_there_starts_nothing() {
    for (status, said) in [("404 Not Found", "the server said 404 Not Found"), ("503 X", "503")] {
        let scratch = Scratch::new();
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\noops!");
        let server = Server::start(vec![says(&text), says(&text)]);
        let (uri, mark, out) = (server.uri("/x"), scratch.arg("mark"), scratch.arg("out"));
        let why = format!("error: cannot read `{uri}`");
        let done = run(standpipe(&["--from", &uri, "--to", &out, "--", "tee", &mark]));
        done.failed(125, &[&why, said]);
        let done = run(standpipe(&["--from", &uri]));
        done.failed(125, &[&why, said]);
        assert_eq!((done.text().as_str(), scratch.names()), ("", Vec::new()));
        server.heads();
    }
}

#[test]
fn a_download_that_is_cut_twice_goes_on_where_it_was() {
    let scratch = Scratch::new();
    let data = noise(2_000_000);
    let server = Server::start(vec![
        begun(data.clone(), 700_000, ETAG),
        part(data.clone(), 1_500_000),
        // A server that starts again is asked once more.
        says("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        part(data.clone(), data.len()),
    ]);
    let done = run(standpipe(&["--from", &server.uri("/x"), "--to", &scratch.arg("out")]));
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    assert!(scratch.read("out") == data);
    let heads = server.heads();
    assert!(heads[1].to_ascii_lowercase().contains("\r\nrange: bytes=700000-\r\n"), "{}", heads[1]);
}

#[test]
fn a_download_that_cannot_go_on_says_where_it_was_cut_and_publishes_nothing() {
    let data = noise(50_000);
    let weak = "ETag: W/\"one\"\r\n";
    let changed = || says("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew");
    let other = |range: &str| {
        says(&format!(
            "HTTP/1.1 206 X\r\nContent-Range: bytes {range}\r\nContent-Length: 1\r\n\r\nx"
        ))
    };
    for (headers, next, why) in [
        ("", None, "neither a strong ETag nor a Last-Modified"),
        (weak, None, "neither a strong ETag nor a Last-Modified"),
        (ETAG, Some(changed()), "the server sent it from the beginning"),
        (ETAG, Some(other("0-0/50000")), "the server sent another part"),
        (ETAG, Some(other("20000-20000/20001")), "its length has changed"),
        (ETAG, Some(says("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")), "404 Not Found"),
    ] {
        let scratch = Scratch::new();
        let mut answers = vec![begun(data.clone(), 20_000, headers)];
        answers.extend(next);
        let server = Server::start(answers);
        let (uri, out) = (server.uri("/x"), scratch.arg("out"));
        let done = run(standpipe(&["--from", &uri, "--to", &out]));
        let cut = format!("error: cannot read `{uri}`: cut at byte 20,000 of 50,000: ");
        done.failed(125, &[&cut, why, "was not written"]);
        assert_eq!(scratch.names(), [""; 0]);
        server.heads();
    }
}

#[test]
fn a_chunked_body_without_its_last_chunk_is_cut() {
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
    let server = Server::start(vec![says(text)]);
    let done = run(standpipe(&["--from", &server.uri("/x"), "-c", "cat"]));
    done.failed(125, &["cut at byte 3: the connection was closed"]);
}

#[test]
fn a_server_that_went_away_is_asked_five_times() {
    let server = Server::start(vec![begun(noise(1000), 1000 - 1, ETAG)]);
    let uri = server.uri("/x");
    let live = Live::start(standpipe(&["--from", &uri]));
    server.heads();
    live.end().failed(125, &["cut at byte 999 of 1,000", "connection refused; asked 5 times"]);
}

#[test]
fn a_body_that_is_not_as_expected_is_passed_on_with_a_word() {
    let server = Server::start(vec![
        says("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nzzzz"),
        says("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nrest"),
    ]);
    let done = run(standpipe(&["--from", &server.uri("/x")]));
    assert_eq!((done.code(), done.text().as_str()), (0, "zzzz"));
    assert!(
        done.err.contains("warning: `http://") && done.err.contains("encoded as `gzip`"),
        "{}",
        done.err
    );
    let done = run(standpipe(&["--from", &server.uri("/x")]));
    assert_eq!((done.code(), done.text().as_str()), (0, "rest"));
    assert!(done.err.contains("has no length: if it is cut"), "{}", done.err);
}

#[test]
fn redirects_are_followed_but_not_for_ever_and_never_out_of_https() {
    let to = |status: &str, uri: &str| {
        says(&format!("HTTP/1.1 {status} X\r\nLocation: {uri}\r\nContent-Length: 0\r\n\r\n"))
    };
    let goal = Server::start(vec![whole(b"here".to_vec())]);
    let server = Server::start(vec![to("302", "/elsewhere"), to("308", &goal.uri("/goal"))]);
    let uri = server.uri("/x").replacen("://", "://me:secret@", 1);
    let done = run(standpipe(&["-q", "--from", &uri]));
    assert_eq!((done.code(), done.text().as_str()), (0, "here"), "{}", done.err);
    assert!(
        server.heads()[0]
            .to_ascii_lowercase()
            .contains("\r\nauthorization: basic bwu6c2vjcmv0\r\n")
    );
    let head = goal.heads().remove(0).to_ascii_lowercase();
    assert!(!head.contains("authorization"), "the password is for the first host alone: {head}");

    let circle = Server::start((0..11).map(|_| to("301", "/x")).collect());
    run(standpipe(&["--from", &circle.uri("/x")]))
        .failed(125, &["it redirects more than 10 times"]);
    circle.heads();

    let identity = Identity::new();
    let secure = Server::secure(vec![to("302", "http://localhost:1/")], &identity);
    let scratch = Scratch::new();
    let roots = scratch.file("roots.pem", identity.pem.as_bytes());
    let mut command = standpipe(&["--from", &secure.uri("/x")]);
    command.env("SSL_CERT_FILE", roots);
    run(command).failed(125, &["it redirects from https to http, which is refused"]);
}

#[test]
fn a_password_is_sent_and_never_shown() {
    for args in [&["-v", "--summary", "always"][..], &["--summary", "always", "-c", "cat"]] {
        let server = Server::start(vec![
            answer(|exchange| {
                assert_eq!(exchange.header("authorization"), Some("Basic bWU6czNjcjN0IQ=="));
                body(exchange, "200 OK", "Content-Length: 2\r\n", b"ok");
            }),
            says("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        ]);
        let uri = server.uri("/x").replacen("://", "://me:s3cr3t%21@", 1);
        let mut words = vec!["--from", &uri];
        words.extend(args);
        let done = run(standpipe(&words));
        assert_eq!((done.code(), done.text().as_str()), (0, "ok"), "{}", done.err);
        assert!(done.err.contains("warning: `http://***@localhost"), "{}", done.err);
        assert!(!done.err.contains("s3cr3t"), "{}", done.err);
        let done = run(standpipe(&words));
        done.failed(125, &["cannot read `http://***@localhost", "403 Forbidden"]);
        assert!(!done.err.contains("s3cr3t"), "{}", done.err);
    }
}

#[test]
fn an_upload_is_chunked_and_asks_first() {
    let data = noise(2_000_003);
    let expected = data.clone();
    let server = Server::start(vec![answer(move |exchange| {
        assert!(exchange.head.starts_with("PUT /x HTTP/1.1\r\n"), "{}", exchange.head);
        assert_eq!(exchange.header("if-none-match"), Some("*"), "what is there is not replaced");
        assert!(exchange.invite() == Ok(expected));
        exchange.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    })]);
    let done = feed(standpipe(&["-c", "cat | cat", "--to", &server.uri("/x")]), data);
    assert_eq!(done.code(), 0, "{}", done.err);
    server.heads();
}

#[test]
fn an_upload_of_a_file_has_its_length() {
    let scratch = Scratch::new();
    let data = noise(300_000);
    let (file, expected) = (scratch.file("x", &data), data.clone());
    let server = Server::start(vec![answer(move |exchange| {
        assert_eq!(exchange.header("content-length"), Some("300000"), "{}", exchange.head);
        assert_eq!(exchange.header("if-none-match"), None);
        assert!(exchange.invite() == Ok(expected));
        exchange.say("HTTP/1.1 204 No Content\r\n\r\n");
    })]);
    let done = run(standpipe(&["--from", &file, "--overwrite", "--to", &server.uri("/x")]));
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    server.heads();
}

#[test]
fn an_upload_that_is_refused_starts_nothing() {
    let scratch = Scratch::new();
    let mark = scratch.arg("mark");
    for (status, said) in
        [("403 Forbidden", "the server said 403 Forbidden"), ("412 X", "`--overwrite` replaces it")]
    {
        let server =
            Server::start(vec![says(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"))]);
        let uri = server.uri("/x");
        let done = run(standpipe(&["--to", &uri, "--", "touch", &mark]));
        done.failed(125, &[&format!("error: cannot write `{uri}`"), said]);
        assert_eq!(scratch.names(), [""; 0]);
    }
}

#[test]
fn an_upload_that_the_server_does_not_confirm_has_failed() {
    for (status, code) in [("507 Insufficient Storage", 507), ("302 Found", 302)] {
        let server = Server::start(vec![answer(move |exchange| {
            assert_eq!(exchange.invite(), Ok(b"1\n2\n".to_vec()));
            exchange
                .say(&format!("HTTP/1.1 {status}\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n"));
        })]);
        let done = run(standpipe(&["-c", "seq 2", "--to", &server.uri("/x")]));
        done.failed(125, &["error: cannot write `http://", &format!("the server said {code}")]);
    }
    let server = Server::start(vec![answer(|exchange| {
        assert_eq!(exchange.invite(), Ok(b"1\n2\n".to_vec()));
    })]);
    run(standpipe(&["-c", "seq 2", "--to", &server.uri("/x")]))
        .failed(125, &["error: cannot write `http://"]);
}

/// Sends what `start` runs to a server, which must not find an end of the body.
#[track_caller]
fn broken(start: impl FnOnce(&str) -> Done) {
    let server = Server::start(vec![answer(|exchange| has_no_end(exchange.invite()))]);
    let done = start(&server.uri("/x"));
    assert!(!done.status.success(), "{}", done.err);
    server.heads();
}

fn has_no_end(body: Result<Vec<u8>, Vec<u8>>) {
    assert!(body.is_err(), "the server takes {} bytes for the whole", body.map_or(0, |b| b.len()));
}

#[test]
fn an_upload_of_a_run_that_failed_has_no_end() {
    for fast in ["auto", "never"] {
        broken(|uri| {
            let args = ["--fast", fast, "-c", "sh -c 'seq 1000; exit 3' | cat", "--to", uri];
            let done = run(standpipe(&args));
            done.failed(3, &["exited with code 3", &format!("`{uri}` was not written")]);
            done
        });
        broken(|uri| {
            // The last stage delivers all it has, and fails then.
            let done =
                run(standpipe(&["--fast", fast, "-c", "seq 9 | sh -c 'cat; exit 7'", "--to", uri]));
            done.failed(7, &["exited with code 7"]);
            done
        });
        broken(|uri| {
            let done = run(standpipe(&["--strict", "-c", "yes | head -n 1", "--to", uri]));
            done.failed(125, &["stopped reading"]);
            done
        });
    }
}

#[test]
fn an_upload_that_is_interrupted_has_no_end() {
    for signal in [Signal::INT, Signal::TERM] {
        broken(|uri| {
            let script = "echo x; echo ready >&2; exec sleep 60";
            let mut live = Live::start(standpipe(&["--to", uri, "--", "sh", "-c", script]));
            live.hear("ready");
            live.signal(signal);
            live.end()
        });
    }
}

#[test]
fn an_upload_with_a_length_keeps_its_last_byte_until_all_is_well() {
    let scratch = Scratch::new();
    let file = scratch.file("x", &noise(100_000));
    let grown = scratch.path("x");
    let server = Server::start(vec![answer(move |exchange| {
        assert_eq!(exchange.header("content-length"), Some("100000"), "{}", exchange.head);
        let mut grown = OpenOptions::new().append(true).open(grown).expect("it is there");
        grown.write_all(b"more").expect("there is room");
        has_no_end(exchange.invite());
    })]);
    let done = run(standpipe(&["--from", &file, "--to", &server.uri("/x")]));
    done.failed(125, &["there was more data than its length said"]);
    server.heads();
}

#[test]
fn an_upload_follows_a_redirect_before_the_first_byte_and_goes_without_asking_where_that_is_unknown()
 {
    let goal = Server::start(vec![answer(|exchange| {
        assert!(exchange.head.starts_with("PUT /goal "), "{}", exchange.head);
        assert_eq!(exchange.header("authorization"), None, "it is another host");
        assert_eq!(exchange.invite(), Ok(b"1\n".to_vec()));
        exchange.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    })]);
    let to = format!(
        "HTTP/1.1 307 X\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        goal.uri("/goal")
    );
    let server = Server::start(vec![
        says("HTTP/1.1 417 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        answer(move |exchange| {
            assert_eq!(exchange.header("expect"), None, "{}", exchange.head);
            assert_eq!(exchange.body(), Ok(b"1\n".to_vec()));
            exchange.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }),
        says(&to),
    ]);
    let uri = server.uri("/x").replacen("://", "://me@", 1);
    for _ in 0..2 {
        let done = run(standpipe(&["-q", "-c", "seq 1", "--to", &uri]));
        assert_eq!((done.code(), done.err.as_str()), (0, ""));
    }
    server.heads();
    goal.heads();
}

#[test]
fn a_server_that_breaks_off_an_upload_is_named() {
    let server = Server::start(vec![answer(|exchange| {
        exchange.say("HTTP/1.1 100 Continue\r\n\r\n");
    })]);
    let uri = server.uri("/x");
    let done = run(standpipe(&["-c", "exec head -c 64M /dev/zero", "--to", &uri]));
    done.failed(125, &[&format!("error: cannot write `{uri}`"), "stage 2 of 2"]);
}

#[test]
fn a_server_that_does_not_answer_is_waited_for_as_long_as_stall_says() {
    let silent = || answer(|exchange| drop(exchange.body()));
    let server = Server::start(vec![silent(), silent()]);
    let uri = server.uri("/x");
    for side in ["--from", "--to"] {
        let mut command = standpipe(&["--stall", "300ms", side, &uri]);
        if side == "--to" {
            command.args(["--from", "zero:0"]);
        }
        run(command).failed(124, &["the limit of `--stall`"]);
    }
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_longer_than_timeout_says() {
    let silent = || answer(|exchange| drop(exchange.body()));
    let server = Server::start(vec![silent(), silent()]);
    let uri = server.uri("/x");
    for args in [&["--from", &uri][..], &["--from", "zero:0", "--to", &uri]] {
        let args = [&["--timeout", "300ms", "--stall", "1h"], args].concat();
        let done = run(standpipe(&args));
        done.failed(124, &["error: not done after 300ms, the limit of `--timeout`"]);
        assert_eq!(done.end()["status"], "timeout");
    }
}

#[test]
fn https_trusts_whom_the_machine_trusts() {
    let scratch = Scratch::new();
    let identity = Identity::new();
    let data = noise(1_000_000);
    let expected = data.clone();
    let roots = scratch.file("roots.pem", identity.pem.as_bytes());
    let server = Server::secure(
        vec![
            whole(data.clone()),
            answer(move |exchange| {
                assert!(exchange.invite() == Ok(expected));
                exchange.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
            }),
            answer(|_| {}),
        ],
        &identity,
    );
    let uri = server.uri("/x");
    let trusting = |mut command: Command| {
        command.env("SSL_CERT_FILE", &roots);
        command
    };
    let done = run(trusting(standpipe(&["--from", &uri])));
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    assert!(done.out == data);
    let done = feed(trusting(standpipe(&["--to", &uri])), data);
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    let mut command = standpipe(&["--from", &uri]);
    command.env("SSL_CERT_FILE", scratch.file("other.pem", Identity::new().pem.as_bytes()));
    run(command).failed(125, &["invalid peer certificate", "SSL_CERT_FILE"]);
    let mut command = standpipe(&["--from", &uri]);
    command.env("SSL_CERT_FILE", scratch.file("none.pem", b"")).env_remove("SSL_CERT_DIR");
    run(command).failed(125, &["no root certificates", "ca-certificates"]);
}

/// TCP ends had a hint there, HTTP ends had none.
#[test]
fn where_nobody_listens_it_is_said_what_to_see_to() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let uri = format!("http://127.0.0.1:{port}/x");
    let hint = "hint: nobody listens there; see if the server runs, and on that port";
    for (way, verb) in [("--from", "read"), ("--to", "write")] {
        let failed = format!("error: cannot {verb} `{uri}`: connection refused");
        run(standpipe(&[way, &uri, "--", "cat"])).failed(125, &[&failed, hint]);
    }
}
