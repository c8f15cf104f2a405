//! An archive is fetched over a bad line and unpacked as it comes.

use crate::http::{ETAG, begun, part};
use crate::jobs::{contents, tree};
use crate::rig::{Scratch, run, standpipe};
use crate::server::Server;

#[test]
fn an_archive_that_is_cut_twice_is_unpacked_whole() {
    let scratch = Scratch::new();
    let (here, there) = (tree(&scratch, "here"), scratch.arg("there"));
    std::fs::create_dir(&there).expect("there is room");
    let archive = scratch.arg("archive");
    let done = run(standpipe(&[
        "--to", &archive, "--", "tar", "-C", &here, "-cf", "-", ".", "::", "zstd", "-qc",
    ]));
    assert_eq!(done.code(), 0, "{}", done.err);
    let bytes = scratch.read("archive");
    let third = bytes.len() / 3;
    let server = Server::start(vec![
        begun(bytes.clone(), third, ETAG),
        part(bytes.clone(), 2 * third),
        part(bytes.clone(), bytes.len()),
    ]);
    let uri = server.uri("/archive.tar.zst");
    let words = ["--from", &uri, "--", "zstd", "-dc", "::", "tar", "-C", &there, "-xf", "-"];
    let done = run(standpipe(&words));
    assert_eq!(done.code(), 0, "{}", done.err);
    assert_eq!(server.heads().len(), 3);
    assert_eq!(contents(&there), contents(&here));
}
