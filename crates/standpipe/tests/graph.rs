//! Many-to-one and one-to-many: fairness, pace, policies, ends, failures and
//! cancelled waits of each operator. Random graphs of them are in
//! `random_graphs.rs`.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::executor::block_on;
use futures::{join, poll};
use proptest::prelude::*;
use standpipe::adapt::tank::{from_readable, into_writable};
use standpipe::error::{Cause, CauseKind};
use standpipe::stage::{
    Emit, More, Sink, Source, balance, collect, concat, iter, merge, partition, tee, zip,
};
use standpipe::tank::Readable;
use standpipe::{Batch, Overflow, Pipeline, Tank, Writable, WriteError};

/// A tank that holds `items` and has ended.
fn full<T>(items: impl IntoIterator<Item = T>) -> Readable<T> {
    let (writable, readable) = Tank::items(1_000_000).build();
    for item in items {
        let _flow = writable.write(item).expect("room for all");
    }
    writable.end();
    readable
}

/// All that a source brings.
async fn all<S: Source<Item: Clone>>(source: S) -> Result<Vec<S::Item>, standpipe::PipelineError> {
    let done = Pipeline::from("source", source).tank(Tank::items(2)).to("all", collect(1_000_000));
    done.run().await.map(|completed| completed.done)
}

/// Takes what is there, without waiting.
fn take<T>(readable: &mut Readable<T>) -> Vec<T> {
    std::iter::from_fn(|| readable.try_next()).collect()
}

/// A future on the heap, to be polled step by step.
fn boxed<F: Future>(future: F) -> Pin<Box<F>> {
    Box::pin(future)
}

fn share(share: usize) -> NonZeroUsize {
    NonZeroUsize::new(share).expect("at least 1")
}

/// What lies behind a source under test.
struct Out<T>(Vec<T>);

impl<T: Send> Emit<T> for Out<T> {
    async fn send(&mut self, item: T) {
        self.0.push(item);
    }

    async fn feed(&mut self, item: T) {
        self.0.push(item);
    }

    async fn flush(&mut self) {}
}

// ---- merge -----------------------------------------------------------------

#[test]
fn busy_inputs_of_items_alternate() {
    let done = block_on(all(merge([full([1, 2, 3]), full([10, 20]), full([100])]))).unwrap();
    assert_eq!(done, [1, 10, 100, 2, 20, 3]);
}

#[test]
fn a_share_is_items_per_turn() {
    let source = merge([full([1, 2])]).and(full([10, 20, 30, 40, 50]), share(3));
    assert_eq!(block_on(all(source)).unwrap(), [1, 10, 20, 30, 2, 40, 50]);
}

#[test]
fn an_input_that_idles_saves_nothing_up() {
    block_on(async {
        let (busy, busy_out) = Tank::items(8).build();
        let (late, late_out) = Tank::items(8).build();
        let (writable, mut readable) = Tank::items(64).build();
        let source = merge([busy_out, late_out]);
        let mut run =
            boxed(Pipeline::from("merge", source).to("out", into_writable(writable)).run());
        for round in 0..4 {
            busy.send(round).await.unwrap();
            assert!(poll!(&mut run).is_pending());
        }
        assert_eq!(take(&mut readable), [0, 1, 2, 3]);
        for n in 0..3 {
            late.send(100 + n).await.unwrap();
            busy.send(n).await.unwrap();
        }
        assert!(poll!(&mut run).is_pending());
        let mixed = take(&mut readable);
        assert!(mixed.windows(2).all(|pair| (pair[0] < 100) != (pair[1] < 100)), "{mixed:?}");
    });
}

#[test]
fn an_idle_input_holds_nobody_up_and_wakes_the_merge() {
    block_on(async {
        let (idle, idle_out) = Tank::items(1).build();
        let source = merge([idle_out, full([1, 2, 3])]);
        let mut run = boxed(Pipeline::from("merge", source).to("all", collect(8)).run());
        assert!(poll!(&mut run).is_pending());
        idle.send(9).await.unwrap();
        idle.end();
        assert_eq!(run.await.unwrap().done, [1, 2, 3, 9]);
    });
}

#[test]
fn a_merge_of_nothing_is_empty() {
    assert_eq!(block_on(all(merge::<u8>([]))).unwrap(), []);
    assert_eq!(block_on(all(concat::<u8>([]))).unwrap(), []);
}

#[test]
fn the_first_failure_fails_a_merge_behind_what_came_before_and_stops_the_others() {
    for spoil in [false, true] {
        block_on(async {
            let (good, good_out) = Tank::items(8).build();
            let (bad, bad_out) = Tank::items(8).build();
            good.send(1).await.unwrap();
            bad.send(2).await.unwrap();
            if spoil {
                bad.fail("line noise");
            } else {
                drop(bad);
            }
            let seen = Arc::new(AtomicUsize::new(0));
            let count = seen.clone();
            let run = Pipeline::from("merge", merge([good_out, bad_out]))
                .map("count", move |n: i32| {
                    count.fetch_add(1, Ordering::SeqCst);
                    n
                })
                .to("all", collect(8));
            let error = run.run().await.unwrap_err();
            let text = if spoil { "line noise" } else { "dropped without end" };
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(error.stage().unwrap().index, 0);
            assert_eq!(seen.load(Ordering::SeqCst), 2);
            let refused = good.write(3).unwrap_err();
            let cause = refused.cause().expect("closed");
            assert_eq!(cause.kind(), CauseKind::Stopped);
            assert!(cause.to_string().contains(text), "upstream is told why: {cause}");
        });
    }
}

#[test]
fn a_merge_reads_no_further_than_the_tank_behind_it_holds() {
    block_on(async {
        let (a, a_out) = Tank::items(8).build();
        let (b, b_out) = Tank::items(8).build();
        for n in 0..8 {
            a.send(n).await.unwrap();
            b.send(n).await.unwrap();
        }
        let (out, mut out_readable) = Tank::items(1).build();
        let run = Pipeline::from("merge", merge([a_out, b_out]))
            .tank(Tank::items(3))
            .to("out", into_writable(out));
        let mut run = boxed(run.run());
        assert!(poll!(&mut run).is_pending());
        // 1 in the last tank, 3 in the one between, and nothing in hand
        let (a_read, b_read) = (a.gauge().snapshot(), b.gauge().snapshot());
        let left = a.level() + b.level();
        assert!(left >= 12, "{left}: {a_read:?} {b_read:?}");
        assert!(out_readable.try_next().is_some());
    });
}

#[test]
fn a_dropped_wait_of_a_source_takes_nothing() {
    block_on(async {
        let (a, a_out) = Tank::items(8).build();
        let (b, b_out) = Tank::items(8).build();
        let mut source = zip(a_out, b_out);
        let mut out = Out(Vec::new());
        for n in 0..3 {
            a.send(n).await.unwrap();
            // half a pair is in hand when this is dropped
            assert!(poll!(pin!(source.read(&mut out))).is_pending());
            b.send(n).await.unwrap();
            assert_eq!(source.read(&mut out).await.unwrap(), More::Yes);
        }
        assert_eq!(out.0, [(0, 0), (1, 1), (2, 2)]);

        let (c, c_out) = Tank::items(8).build();
        let (d, d_out) = Tank::items(8).build();
        let mut source = merge([c_out, d_out]);
        let mut out = Out(Vec::new());
        for n in 0..3 {
            assert!(poll!(pin!(source.read(&mut out))).is_pending());
            c.send(n).await.unwrap();
            d.send(n).await.unwrap();
            while out.0.len() < 2 * (n + 1) {
                assert_eq!(source.read(&mut out).await.unwrap(), More::Yes);
            }
        }
        assert_eq!(out.0, [0, 0, 1, 1, 2, 2]);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Between two items of a ready input, and over any stretch, nobody else
    /// brings more than its turns are worth.
    #[test]
    fn no_ready_input_waits_for_more_than_a_turn_of_each_other(
        inputs in prop::collection::vec(
            (1_usize..4, prop::collection::vec(0_usize..40, 1..60)), 2..6),
    ) {
        let weigh = |item: &(usize, usize)| item.1;
        let mut source = merge([]);
        for (index, (parts, weights)) in inputs.iter().enumerate() {
            let (writable, readable) = Tank::weighed(1_000_000, weigh).build();
            for weight in weights {
                let _flow = writable.write((index, *weight)).expect("room");
            }
            writable.end();
            source = source.and(readable, share(*parts));
        }
        let done = block_on(all(source)).unwrap();
        let quantum = inputs.iter().flat_map(|(_, weights)| weights).max().unwrap().max(&1);
        for (index, (_, weights)) in inputs.iter().enumerate() {
            let mine: Vec<usize> = done.iter().filter(|i| i.0 == index).map(|i| i.1).collect();
            prop_assert_eq!(&mine, weights, "in order, nothing lost");
            // while this one waits for its turn
            for wait in done.split(|item| item.0 == index).rev().skip(1) {
                for (other, (parts, _)) in inputs.iter().enumerate() {
                    let brought: usize =
                        wait.iter().filter(|i| i.0 == other).map(|i| i.1.max(1)).sum();
                    // a turn, and what the last item of it overdraws
                    prop_assert!(
                        brought < quantum * parts + quantum,
                        "{} of {} while {} waited", brought, other, index
                    );
                }
            }
        }
    }
}

// ---- concat and zip --------------------------------------------------------

#[test]
fn a_concat_reads_one_to_its_end_and_then_the_next() {
    assert_eq!(block_on(all(concat([full([1, 2]), full([]), full([3])]))).unwrap(), [1, 2, 3]);
    block_on(async {
        let (first, first_out) = Tank::items(1).build();
        let (second, second_out) = Tank::items(1).build();
        let source = concat([first_out, second_out]);
        let mut run = boxed(Pipeline::from("concat", source).to("all", collect(8)).run());
        second.send(2).await.unwrap();
        assert!(poll!(&mut run).is_pending());
        assert!(second.is_shut(), "not read before its turn");
        first.send(1).await.unwrap();
        first.end();
        second.end();
        assert_eq!(run.await.unwrap().done, [1, 2]);
    });
}

#[test]
fn a_failure_fails_a_concat_and_stops_those_behind() {
    block_on(async {
        let (bad, bad_out) = Tank::items(4).build();
        let (next, next_out) = Tank::items(4).build();
        bad.send(1).await.unwrap();
        bad.fail("torn");
        let error = all(concat([bad_out, next_out])).await.unwrap_err();
        assert!(error.to_string().contains("torn"), "{error}");
        assert!(matches!(next.write(2), Err(WriteError::Closed(2, _))));
    });
}

#[test]
fn a_zip_ends_with_the_shorter_and_stops_the_other() {
    for left_is_shorter in [false, true] {
        block_on(async {
            let (long, long_out) = Tank::items(8).build();
            for n in 0..5 {
                long.send(n).await.unwrap();
            }
            let done = if left_is_shorter {
                all(zip(full([7, 8]), long_out)).await.unwrap()
            } else {
                let done = all(zip(long_out, full([7, 8]))).await.unwrap();
                done.into_iter().map(|(a, b)| (b, a)).collect()
            };
            assert_eq!(done, [(7, 0), (8, 1)]);
            let cause = long.write(9).unwrap_err();
            assert_eq!(cause.cause().unwrap().kind(), CauseKind::Stopped);
            assert_eq!(long.gauge().snapshot().dropped.unread.items, 3);
            assert_eq!(long.level(), 0);
        });
    }
}

#[test]
fn a_zip_sees_the_end_of_either_side_while_it_waits_for_the_other() {
    block_on(async {
        let (left, left_out) = Tank::<_>::items(8).build::<u8>();
        let (right, right_out) = Tank::<_>::items(8).build::<u8>();
        let mut run = boxed(all(zip(left_out, right_out)));
        assert!(poll!(&mut run).is_pending());
        right.end();
        assert_eq!(run.await.unwrap(), []);
        assert!(left.write(1).is_err());
    });
}

#[test]
fn a_failure_of_either_side_fails_a_zip() {
    for bad_is_left in [false, true] {
        block_on(async {
            let (bad, bad_out) = Tank::items(8).build();
            bad.send(1).await.unwrap();
            bad.fail("torn");
            let (good, good_out) = Tank::items(8).build();
            good.send(1).await.unwrap();
            good.send(2).await.unwrap();
            let error = match bad_is_left {
                true => all(zip(bad_out, good_out)).await.unwrap_err(),
                false => all(zip(good_out, bad_out)).await.unwrap_err(),
            };
            assert!(error.to_string().contains("torn"), "{error}");
            let cause = good.write(3).unwrap_err();
            assert!(cause.to_string().contains("torn"), "{cause}");
        });
    }
}

// ---- tee -------------------------------------------------------------------

/// Numbers without end, and how many were asked for.
fn numbers() -> (impl Source<Item = usize>, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let next = move |_: &usize| {
        count.fetch_add(1, Ordering::SeqCst);
    };
    (iter((0..).inspect(next)), asked)
}

#[test]
fn the_slowest_branch_paces_all_and_its_lag_is_its_tank() {
    for (slow_mark, fast_mark) in [(1, 1), (2, 8), (5, 3)] {
        block_on(async {
            let (slow, mut slow_out) = Tank::items(slow_mark).low(slow_mark - 1).build();
            let (fast, mut fast_out) = Tank::items(fast_mark).build();
            let (source, asked) = numbers();
            let trunk = Pipeline::from("numbers", source).to("tee", tee([slow, fast]));
            let mut trunk = boxed(trunk.run());
            let mut fast_got = Vec::new();
            for step in 0..20 {
                for _ in 0..8 {
                    assert!(poll!(&mut trunk).is_pending());
                    fast_got.extend(take(&mut fast_out));
                }
                // what the slow branch took, what its tank holds, one in hand;
                // fewer while its reader has not returned all credit
                let asked = asked.load(Ordering::SeqCst);
                assert!((step + 1..=step + slow_mark + 1).contains(&asked), "{asked} at {step}");
                assert!(step > 0 || asked == slow_mark + 1);
                assert_eq!(fast_got.len(), asked);
                assert_eq!(slow_out.try_next(), Some(step));
            }
            assert_eq!(fast_got, (0..fast_got.len()).collect::<Vec<_>>());
        });
    }
}

#[test]
fn a_full_branch_does_what_its_tank_says() {
    use Overflow::{DropNewest, DropOldest, Fail, Grow, KeepLatest, Refuse};
    for overflow in [DropNewest, DropOldest, KeepLatest, Fail, Grow, Refuse] {
        block_on(async {
            let (lossy, mut lossy_out) = Tank::items(2).overflow(overflow).build();
            let (whole, whole_out) = Tank::items(2).build();
            let line = line!() + 1;
            let trunk = Pipeline::from("n", iter(0..6)).to("tee", tee([lossy, whole]));
            let kept = Pipeline::from("whole", from_readable(whole_out)).to("all", collect(9));
            let (trunk, kept) = join!(trunk.run(), kept.run());
            let snapshot = lossy_out.gauge().snapshot();
            let mut got = Vec::new();
            let end = loop {
                match lossy_out.next().await {
                    Some(Ok(item)) => got.push(item),
                    Some(Err(cause)) => break Some(cause.kind()),
                    None => break None,
                }
            };
            if overflow == Refuse {
                let error = trunk.unwrap_err();
                assert!(error.to_string().contains("branch 0 is full"), "{error}");
                assert!(kept.is_err(), "a trunk that failed fails its branches");
                assert_eq!((got, end), (vec![0, 1], Some(CauseKind::Overflowed)));
                return;
            }
            assert_eq!(trunk.unwrap().done, 6);
            assert_eq!(kept.unwrap().done, [0, 1, 2, 3, 4, 5], "{overflow:?} is its own affair");
            let expected = match overflow {
                DropNewest => (vec![0, 1], None),
                DropOldest => (vec![4, 5], None),
                KeepLatest => (vec![4, 5], None),
                Fail => (vec![0, 1], Some(CauseKind::Overflowed)),
                _ => (vec![0, 1, 2, 3, 4, 5], None),
            };
            assert_eq!((got, end), expected, "{overflow:?}");
            let dropped = snapshot.dropped;
            match overflow {
                DropNewest => assert_eq!(dropped.newest.items, 4),
                DropOldest => assert_eq!(dropped.oldest.items, 4),
                KeepLatest => assert_eq!(dropped.replaced.items, 4),
                Grow => {
                    let here = format!("tests/graph.rs:{line}");
                    assert!(snapshot.past_mark[0].line.ends_with(&here), "{snapshot:?}");
                }
                _ => assert_eq!(dropped.total().items, 0),
            }
        });
    }
}

#[test]
fn a_dropped_branch_frees_the_others_and_none_left_is_enough() {
    block_on(async {
        let (slow, slow_out) = Tank::items(1).build();
        let (fast, mut fast_out) = Tank::items(4).build();
        let (source, asked) = numbers();
        let run =
            Pipeline::from("numbers", source).tank(Tank::items(1)).to("tee", tee([slow, fast]));
        let mut trunk = boxed(run.run());
        assert!(poll!(&mut trunk).is_pending());
        assert_eq!(take(&mut fast_out), [0, 1]);
        drop(slow_out);
        assert!(poll!(&mut trunk).is_pending());
        assert_eq!(take(&mut fast_out), [2, 3, 4, 5]);
        drop(fast_out);
        let done = trunk.await.unwrap().done;
        assert!((6..=8).contains(&done), "{done}");
        assert!(asked.load(Ordering::SeqCst) < 12, "upstream was stopped");
    });
}

#[test]
fn branches_that_all_failed_fail_the_sink_and_one_that_had_enough_does_not() {
    for failing in [1, 2] {
        block_on(async {
            let (a, a_out) = Tank::items(4).build();
            let (b, b_out) = Tank::items(4).build();
            a_out.stop(Cause::failed("disk full"));
            let trunk = Pipeline::from("n", iter(0..9)).to("tee", tee([a, b])).run();
            if failing == 2 {
                b_out.stop(Cause::failed("disk full"));
                assert!(trunk.await.unwrap_err().to_string().contains("disk full"));
            } else {
                let kept = Pipeline::from("b", from_readable(b_out)).to("all", collect(9)).run();
                let (trunk, kept) = join!(trunk, kept);
                assert_eq!(trunk.unwrap().done, 9);
                assert_eq!(kept.unwrap().done.len(), 9);
            }
        });
    }
}

#[test]
fn ends_and_failures_of_the_trunk_reach_every_branch() {
    type Build = fn(Writable<usize>, Writable<usize>) -> Box<dyn Run>;
    trait Run {
        fn run(self: Box<Self>, fails: bool);
    }
    struct Case<K>(K);
    impl<K: Sink<In = usize, Done = u64>> Run for Case<K> {
        fn run(self: Box<Self>, fails: bool) {
            let items = (0..4).map(move |n| if fails && n == 3 { Err("torn") } else { Ok(n) });
            let source = standpipe::adapt::stream::from_try_stream(futures::stream::iter(items));
            let result = block_on(Pipeline::from("n", source).to("sink", self.0).run());
            assert_eq!(result.is_err(), fails);
            assert!(result.is_err() || result.unwrap().done == 4);
        }
    }
    let builds: [Build; 3] = [
        |a, b| Box::new(Case(tee([a, b]))),
        |a, b| Box::new(Case(balance([a, b]))),
        |a, b| Box::new(Case(partition([a, b], |n| n % 2))),
    ];
    for (index, build) in builds.into_iter().enumerate() {
        for fails in [false, true] {
            let (a, a_out) = Tank::items(8).build();
            let (b, b_out) = Tank::items(8).build();
            build(a, b).run(fails);
            for mut branch in [a_out, b_out] {
                let mut items = 0;
                let end = loop {
                    match block_on(branch.next()) {
                        Some(Ok(_)) => items += 1,
                        Some(Err(cause)) => break cause.to_string(),
                        None => break String::new(),
                    }
                };
                assert!(items >= if index == 0 { 3 } else { 1 });
                assert!(if fails { end.contains("torn") } else { end.is_empty() }, "{end}");
            }
        }
    }
}

// ---- balance and partition -------------------------------------------------

#[test]
fn a_balance_goes_round_and_passes_over_who_is_full() {
    block_on(async {
        let (a, mut a_out) = Tank::items(2).build();
        let (b, mut b_out) = Tank::items(2).build();
        let (c, mut c_out) = Tank::items(4).build();
        let run = Pipeline::from("n", iter(0..20)).to("balance", balance([a, b, c]));
        let mut run = boxed(run.run());
        assert!(poll!(&mut run).is_pending());
        assert_eq!(take(&mut a_out), [0, 3]);
        assert!(poll!(&mut run).is_pending());
        // 8 filled all; 8 was in hand, and `a` alone has room
        assert_eq!(take(&mut a_out), [8, 9]);
        assert_eq!(take(&mut b_out), [1, 4]);
        assert_eq!(take(&mut c_out), [2, 5, 6, 7]);
        assert!(poll!(&mut run).is_pending());
        assert_eq!(take(&mut b_out), [10, 13], "the one after the last served");
        drop((a_out, b_out));
        let rest = Pipeline::from("c", from_readable(c_out)).to("all", collect(20)).run();
        let (run, rest) = join!(run, rest);
        assert_eq!(run.unwrap().done, 20);
        let rest = rest.unwrap().done;
        assert!(rest.is_sorted() && rest.ends_with(&[17, 18, 19]), "{rest:?}");
    });
}

#[test]
fn a_balance_waits_for_room_whatever_the_strategy() {
    for overflow in [Overflow::DropNewest, Overflow::Refuse, Overflow::Fail, Overflow::Grow] {
        block_on(async {
            let (a, a_out) = Tank::items(1).overflow(overflow).build();
            let (b, b_out) = Tank::items(2).overflow(overflow).build();
            let run = Pipeline::from("n", iter(0..50)).to("balance", balance([a, b])).run();
            let (run, got) = join!(run, all(merge([a_out, b_out])));
            assert_eq!(run.unwrap().done, 50);
            let mut got = got.unwrap();
            got.sort_unstable();
            assert_eq!(got, (0..50).collect::<Vec<_>>(), "{overflow:?}");
        });
    }
}

#[test]
fn a_balance_without_anyone_left_has_enough_and_counts_what_it_held() {
    block_on(async {
        let (a, a_out) = Tank::items(1).build();
        let (b, b_out) = Tank::items(1).build();
        let (a_gauge, b_gauge) = (a.gauge(), b.gauge());
        let mut run = boxed(Pipeline::from("n", iter(0..9)).to("balance", balance([a, b])).run());
        assert!(poll!(&mut run).is_pending());
        drop((a_out, b_out));
        assert_eq!(run.await.unwrap().done, 3);
        let unread = |gauge: &standpipe::tank::Gauge| gauge.snapshot().dropped.unread.items;
        assert_eq!(unread(&a_gauge) + unread(&b_gauge), 3, "one in each, one in hand");
    });
}

#[test]
fn a_partition_waits_for_the_named_branch_alone() {
    block_on(async {
        let (even, mut even_out) = Tank::items(1).build();
        let (odd, mut odd_out) = Tank::items(8).build();
        let run = Pipeline::from("n", iter([1, 3, 2, 5, 4, 7]))
            .to("by parity", partition([even, odd], |n: &usize| n % 2));
        let mut run = boxed(run.run());
        assert!(poll!(&mut run).is_pending());
        assert_eq!(take(&mut odd_out), [1, 3, 5], "4 has no room, and 7 is behind it");
        assert_eq!(take(&mut even_out), [2]);
        assert_eq!(run.await.unwrap().done, 6);
        assert_eq!((take(&mut even_out), take(&mut odd_out)), (vec![4], vec![7]));
    });
}

#[test]
fn a_place_that_does_not_exist_is_misuse() {
    block_on(async {
        let (only, _only_out) = Tank::items(4).build();
        let run = Pipeline::from("n", iter(0..3)).to("by", partition([only], |n: &usize| *n));
        let error = run.run().await.unwrap_err();
        assert!(error.to_string().contains("branch 1 of 1"), "{error}");
        let none: [Writable<usize>; 0] = [];
        let run = Pipeline::from("n", iter(0..3)).to("by", partition(none, |n: &usize| *n));
        assert!(run.run().await.is_err());
    });
}

#[test]
fn an_item_for_a_gone_branch_fails_a_partition_or_is_discarded_and_counted() {
    for discard in [false, true] {
        block_on(async {
            let (even, even_out) = Tank::items(4).build();
            let (odd, odd_out) = Tank::items(4).build();
            let gone = even.gauge();
            drop(even_out);
            let sink = partition([even, odd], |n: &usize| n % 2);
            let sink = if discard { sink.discard_for_gone() } else { sink };
            let run = Pipeline::from("n", iter([1, 2, 3, 4, 5])).to("by parity", sink).run();
            let (run, odds) = join!(run, all(from_readable(odd_out)));
            assert_eq!(run.is_ok(), discard);
            assert_eq!(odds.is_ok(), discard, "never a clean end of what is not whole");
            if discard {
                assert_eq!(odds.unwrap(), [1, 3, 5]);
                assert_eq!(gone.snapshot().dropped.unread.items, 2);
            }
        });
    }
}

#[test]
fn a_sink_without_branches_has_enough() {
    block_on(async {
        let none: [Writable<usize>; 0] = [];
        let (source, _) = numbers();
        assert_eq!(Pipeline::from("n", source).to("tee", tee(none)).run().await.unwrap().done, 0);
        let none: [Writable<usize>; 0] = [];
        let (source, _) = numbers();
        let run = Pipeline::from("n", source).to("balance", balance(none)).run();
        assert_eq!(run.await.unwrap().done, 0);
    });
}

// ---- waits that are given up -----------------------------------------------

/// A sink whose wait is dropped at every item loses and doubles nothing, and
/// leaves no seat taken in front of other writers.
fn gives_up_waits<K: Sink<In = usize>>(build: fn([Writable<usize>; 2]) -> K, copies: usize) {
    block_on(async {
        let (a, a_out) = Tank::items(1).build();
        let (b, b_out) = Tank::items(1).build();
        let other = a.clone();
        let mut outs = [a_out, b_out];
        let mut got: Vec<usize> = Vec::new();
        let mut sink = build([a, b]);
        let mut batch: Batch<usize> = (0..40).collect();
        for round in 0..1_000 {
            let more = poll!(pin!(sink.write(&mut batch))); // and dropped
            if more.is_ready() {
                break;
            }
            if round % 3 == 0 && other.is_shut() {
                // a writer behind it is not held up by a seat it left
                let mut waiting = pin!(other.drained());
                assert!(poll!(&mut waiting).is_pending());
                got.extend(take(&mut outs[0]));
                assert!(poll!(&mut waiting).is_ready());
            }
            got.extend(outs[round % 2].try_next());
        }
        assert!(batch.is_empty());
        outs.iter_mut().for_each(|out| got.extend(take(out)));
        got.sort_unstable();
        let expected: Vec<usize> = (0..40).flat_map(|n| vec![n; copies]).collect();
        assert_eq!(got, expected);
    });
}

#[test]
fn a_dropped_wait_of_a_sink_loses_and_doubles_nothing() {
    gives_up_waits(|branches| tee(branches), 2);
    gives_up_waits(|branches| balance(branches), 1);
    gives_up_waits(|branches| partition(branches, |n| n % 2), 1);
}

#[test]
fn a_cancelled_sink_counts_what_it_held_where_it_was_for() {
    block_on(async {
        let (a, a_out) = Tank::items(1).build();
        let (b, b_out) = Tank::items(1).build();
        let ready = Pipeline::from("n", iter(0..9_usize)).to("tee", tee([a, b]));
        let monitor = ready.monitor();
        let mut run = boxed(ready.run());
        assert!(poll!(&mut run).is_pending());
        monitor.cancel();
        assert_eq!(run.await.unwrap_err().kind(), CauseKind::Cancelled);
        for mut out in [a_out, b_out] {
            assert_eq!(out.next().await.unwrap().unwrap(), 0);
            assert_eq!(out.next().await.unwrap().unwrap_err().kind(), CauseKind::Cancelled);
            let snapshot = out.gauge().snapshot();
            assert_eq!((snapshot.written.items, snapshot.dropped.unread.items), (2, 1));
        }
    });
}

// ---- diamonds --------------------------------------------------------------

#[test]
fn a_diamond_of_even_paths_does_not_stand_still() {
    for marks in 1..5 {
        block_on(async {
            let (a, a_out) = Tank::items(marks).build();
            let (b, b_out) = Tank::items(1).build();
            let (c, c_out) = Tank::items(1).build();
            let trunk = Pipeline::from("n", iter(0..100)).tank(Tank::items(1));
            let trunk = trunk.to("tee", tee([a, b])).run();
            let long = Pipeline::from("b", from_readable(b_out))
                .tank(Tank::items(3))
                .map("negate", |n: i32| -n)
                .to("c", into_writable(c))
                .run();
            let pairs = all(zip(a_out, c_out));
            let (trunk, long, pairs) = join!(trunk, long, pairs);
            assert_eq!((trunk.unwrap().done, long.unwrap().done), (100, 100));
            assert_eq!(pairs.unwrap(), (0..100).map(|n| (n, -n)).collect::<Vec<_>>());
        });
    }
}

/// By construction this diamond stands still: the filtered path gets ahead of
/// the other by more than that one's tanks hold. It is bounded, it shows, and
/// it can be cancelled.
#[test]
fn a_diamond_with_a_path_that_filters_stands_still_at_its_marks_and_shows_it() {
    block_on(async {
        let (a, a_out) = Tank::items(4).build();
        let (b, b_out) = Tank::items(4).build();
        let (c, c_out) = Tank::items(4).build();
        let (whole, filtered) = (a.gauge(), c.gauge());
        let (source, asked) = numbers();
        let trunk = Pipeline::from("n", source).tank(Tank::items(4)).to("tee", tee([a, b]));
        let monitor = trunk.monitor();
        let trunk = trunk.run();
        let sieve = Pipeline::from("b", from_readable(b_out))
            .filter("hundredth", |n| n % 100 == 99)
            .to("c", into_writable(c))
            .run();
        let pairs = all(zip(a_out, c_out));
        let mut all = boxed(async { join!(trunk, sieve, pairs) });
        for _ in 0..100 {
            assert!(poll!(&mut all).is_pending());
        }
        // 4 + the half pair + the one in hand + 4: nothing grows
        assert!(asked.load(Ordering::SeqCst) <= 10, "{asked:?}");
        assert!(whole.gate().is_shut(), "the path that is ahead is full");
        assert_eq!(filtered.snapshot().written.items, 0, "and the other is empty");
        assert!(monitor.report().tanks[0].shut, "which the trunk feels");
        monitor.cancel();
        let (trunk, sieve, pairs) = all.await;
        assert_eq!(trunk.unwrap_err().kind(), CauseKind::Cancelled);
        assert!(sieve.is_err() && pairs.is_err());
    });
}

#[test]
fn a_diamond_into_a_merge_never_stands_still_whatever_its_paths_do() {
    block_on(async {
        let (a, a_out) = Tank::items(1).build();
        let (b, b_out) = Tank::items(1).build();
        let (c, c_out) = Tank::items(1).build();
        let trunk = Pipeline::from("n", iter(0..500)).to("tee", tee([a, b])).run();
        let sieve = Pipeline::from("b", from_readable(b_out))
            .filter("hundredth", |n| n % 100 == 99)
            .to("c", into_writable(c))
            .run();
        let (trunk, sieve, merged) = join!(trunk, sieve, all(merge([a_out, c_out])));
        assert_eq!((trunk.unwrap().done, sieve.unwrap().done), (500, 5));
        assert_eq!(merged.unwrap().len(), 505);
    });
}

// ---- a task or a thread per segment ----------------------------------------

#[test]
fn a_graph_of_threads_loses_no_wake_up() {
    for marks in [1, 2, 7] {
        let tank = || Tank::items(marks).build::<u64>();
        let ((a, a_out), (b, b_out), (c, c_out), (d, d_out)) = (tank(), tank(), tank(), tank());
        let ((e, e_out), (f, f_out)) = (tank(), tank());
        let running = [
            Pipeline::from("n", iter(0..3_000)).to("tee", tee([a, b])).threads().unwrap(),
            Pipeline::from("a", from_readable(a_out))
                .to("balance", balance([c, d]))
                .threads()
                .unwrap(),
            Pipeline::from("b", from_readable(b_out))
                .to("by", partition([e, f], |n| usize::from(n % 3 == 0)))
                .threads()
                .unwrap(),
        ];
        let sum = |name: &str, source| {
            let sink = standpipe::stage::fold(0, |sum, n: u64| sum + n);
            Pipeline::from(name, source).tank(Tank::items(marks)).to("sum", sink).threads().unwrap()
        };
        let sums = [sum("left", merge([c_out, d_out])), sum("right", merge([e_out, f_out]))];
        for running in running {
            assert_eq!(running.wait().unwrap().done, 3_000);
        }
        for sum in sums {
            assert_eq!(sum.wait().unwrap().done, 2_999 * 3_000 / 2);
        }
    }
}
