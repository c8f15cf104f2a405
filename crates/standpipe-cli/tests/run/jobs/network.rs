//! A directory goes from one machine to another.

use std::net::TcpListener;

use crate::jobs::{contents, tree};
use crate::rig::{Live, Scratch, run, standpipe};

#[test]
fn a_directory_goes_through_tar_zstd_and_tcp() {
    let scratch = Scratch::new();
    let here = tree(&scratch, "here");
    let there = scratch.arg("there");
    std::fs::create_dir(&there).expect("there is room");
    let free = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let (from, to) = (format!("tcp-listen://{address}"), format!("tcp://{address}"));
    let words = ["--from", &from, "--", "zstd", "-dc", "::", "tar", "-C", &there, "-xf", "-"];
    let receiver = Live::start(standpipe(&words));
    let words = ["--", "tar", "-C", &here, "-cf", "-", ".", "::", "zstd", "-qc", "::", &to];
    let sent = loop {
        let sent = run(standpipe(&words));
        // The receiver may not listen yet.
        if !sent.err.contains("nobody listens there") {
            break sent;
        }
    };
    assert_eq!(sent.code(), 0, "{}", sent.err);
    let received = receiver.end();
    assert_eq!(received.code(), 0, "{}", received.err);
    assert_eq!(contents(&there), contents(&here));
}
