//! A database is saved and brought back.

use std::process::Command;

use crate::rig::{Scratch, run, standpipe};

#[track_caller]
fn sqlite(database: &str, what: &str) -> String {
    let output = Command::new("sqlite3").args([database, what]).output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn a_database_goes_through_zstd_to_a_file_and_back() {
    let scratch = Scratch::new();
    let (shop, again, dump) = (scratch.arg("shop"), scratch.arg("again"), scratch.arg("shop.zst"));
    sqlite(
        &shop,
        "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL, image BLOB);
         CREATE INDEX by_name ON item (name);
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
         INSERT INTO item SELECT i, 'item ''' || i || '''' || char(10), i / 3.0, zeroblob(i % 50) FROM n;
         INSERT INTO item VALUES (30001, 'random', NULL, randomblob(100000));",
    );
    let done =
        run(standpipe(&["--to", &dump, "--", "sqlite3", &shop, ".dump", "::", "zstd", "-qc"]));
    assert_eq!(done.code(), 0, "{}", done.err);
    let done = run(standpipe(&["--from", &dump, "--", "zstd", "-dc", "::", "sqlite3", &again]));
    assert_eq!(done.code(), 0, "{}", done.err);
    assert_eq!(sqlite(&again, "PRAGMA integrity_check"), "ok\n");
    assert_eq!(sqlite(&again, "SELECT count(*) FROM item"), "30001\n");
    let (before, after) = (sqlite(&shop, ".dump"), sqlite(&again, ".dump"));
    assert!(before == after, "{} and {} bytes of dump", before.len(), after.len());
}

#[test]
fn a_dump_that_fails_leaves_the_last_good_one() {
    let scratch = Scratch::new();
    let broken = scratch.file("broken", b"this is no database, whatever its name says");
    let dump = scratch.file("shop.zst", b"the good one of yesterday");
    let words = ["--overwrite", "--to", &dump, "--", "sqlite3", "-bail", &broken];
    let done = run(standpipe(&[&words[..], &["SELECT * FROM item", "::", "zstd", "-qc"]].concat()));
    assert!(!matches!(done.code(), 0 | 125), "it is the code of sqlite3: {}", done.err);
    assert!(
        done.err.contains("its last words: ") && done.err.contains("is untouched"),
        "{}",
        done.err
    );
    assert_eq!(scratch.read("shop.zst"), b"the good one of yesterday");
}
