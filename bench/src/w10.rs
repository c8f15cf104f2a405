//! W10: how many instructions does an item cost?
//!
//! Cases of W1, W2, W3 and W9 under callgrind, in one thread: exact, so a gate here holds on a busy machine as on a quiet one.

use crate::measure::{Case, Metric, Target, Weight};
use crate::named::Named;

const TOKIO: &str = "tokio recv";
const MANY: &str = "tokio recv_many";

/// All cases, standpipe's beside the peers they are compared with.
pub(crate) fn cases() -> Vec<Case> {
    let gate = |peer, at_most| Target::count(peer, at_most, Weight::Gate);
    let goal = |peer, at_most| Target::count(peer, at_most, Weight::Goal);
    let mut cases = Vec::new();
    let mut add = |workload, setting, case, shown: &str, targets| {
        let run = Named { workload, setting, case }.run();
        cases.push(Case { name: case, setting: shown.to_owned(), run, most: 1, targets });
    };
    for peer in [
        TOKIO,
        MANY,
        "tokio reserve_many + recv_many",
        "tokio mpsc<Vec>",
        "async-channel",
        "futures mpsc",
        "flume",
        "kanal",
        "crossfire spsc",
        "thingbuf",
        "tokio join!",
    ] {
        add("w1", "ct 1024", peer, "one hop, mark 1024", vec![]);
    }
    let single = vec![gate(TOKIO, 0.45), goal("thingbuf", 1.0)];
    add("w1", "ct 1024", "standpipe write + next", "one hop, mark 1024", single);
    let batches = vec![gate(MANY, 0.30)];
    add("w1", "ct 1024", "standpipe send_batch + next_batch", "one hop, mark 1024", batches);
    add("w1", "ct 1024", "standpipe spawn()", "one hop, mark 1024", vec![]);
    add("w1", "ct 1024", "standpipe run()", "one hop, mark 1024", vec![]);
    add("w2", "fused", "futures map", "three maps, fused", vec![]);
    let maps = vec![Target::limit(Metric::Count, 12.0, Weight::Gate)];
    add("w2", "fused", "standpipe map", "three maps, fused", maps);
    for case in [TOKIO, "kanal", "standpipe spawn()", "standpipe run()"] {
        add("w2", "ct 1024", case, "four hops, mark 1024", vec![]);
    }
    for setting in ["ct 64 KiB", "ct 16 KiB", "ct 1 KiB"] {
        for case in ["tokio mpsc<Bytes>", "standpipe spawn()", "standpipe run()"] {
            add("w3", setting, case, &format!("chunks, {setting}"), vec![]);
        }
    }
    for case in [TOKIO, MANY, "async-channel", "crossfire spsc"] {
        add("w9", "ct 16", case, "awaits between, mark 16", vec![]);
    }
    let between = vec![gate(TOKIO, 0.65)];
    add("w9", "ct 16", "standpipe write + next", "awaits between, mark 16", between);
    cases
}
