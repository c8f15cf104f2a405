//! The tank against a model of queues and integers: any operations, in any order, given up at any point.
//!
//! More cases: `PROPTEST_CASES=20000 cargo test --package standpipe --test model`.

mod hand;
#[path = "model/expected.rs"]
mod expected;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use expected::{Answer, Expected, Item, Wait};
use futures::Stream as _;
use hand::{Hand, Wakes, now};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use standpipe::error::CauseKind;
use standpipe::snapshot::TankSnapshot;
use standpipe::tank::{Batch, Gauge, Readable, Writable};
use standpipe::{Cause, Marks, Overflow, Tank, WriteError};

/// What may be done next. Numbers choose among what is there.
#[derive(Clone, Copy, Debug)]
enum Op {
    Write(u8, usize),
    Start(u8, Kind, usize),
    Poll(u8),
    Cancel(u8),
    Redeem(u8, usize),
    Next,
    TryNext,
    NextBatch,
    Push(usize),
    Pop,
    DropBatch,
    Unshift(usize),
    Pause,
    Resume,
    Marks(usize, usize),
    Clone(u8),
    End(u8),
    Fail(u8),
    DropWriter(u8),
    Stop,
    DropReader,
}

/// What a writer may wait for.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Drained,
    Send,
    Reserve,
    SendBatch,
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    high: usize,
    low: usize,
    overflow: Overflow,
    counted: bool,
}

/// What a future of the tank answered.
#[derive(Debug, PartialEq, Eq)]
enum Output {
    Open,
    Written(Answer),
    Taken,
    Closed(CauseKind),
}

struct Task {
    kind: Wait,
    writer: Option<usize>,
    hand: Hand<Pin<Box<dyn Future<Output = Output>>>>,
    /// The item to redeem a permit with.
    item: Rc<Cell<Option<Item>>>,
    /// Wakes at its last poll, if that poll left it waiting for the tank.
    waits: Option<usize>,
}

/// A batch that goes back where it came from, also when a wait is given up.
struct Lent {
    batch: Batch<Item>,
    back: Rc<RefCell<Option<Batch<Item>>>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.back.borrow_mut() = Some(std::mem::take(&mut self.batch));
    }
}

struct Real {
    writers: Vec<Option<Rc<Writable<Item>>>>,
    readable: Option<Readable<Item>>,
    batch: Rc<RefCell<Option<Batch<Item>>>>,
    gauge: Gauge,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    next_id: u32,
    reader: std::sync::Arc<Wakes>,
    /// Wakes at its last poll, if that poll left the reader waiting.
    reader_waits: Option<usize>,
    /// The tank's count of wakes when the reader last sat down: until it grows
    /// the tank takes the reader for parked, though the wait was given up.
    reader_sat: Option<u64>,
    /// Wakes of tasks that are gone.
    old_wakes: usize,
    counted: bool,
}

const fn kind(cause: &Cause) -> CauseKind {
    cause.kind()
}

fn answer<T>(result: Result<T, WriteError<Item>>, flow: impl Fn(T) -> Answer) -> Answer {
    match result {
        Ok(value) => flow(value),
        Err(WriteError::Full(item)) => Answer::Full(item),
        Err(WriteError::Heavier(item)) => Answer::Heavier(item),
        Err(WriteError::Closed(item, cause)) => Answer::Closed(item, kind(&cause)),
        Err(other) => unreachable!("{other}"),
    }
}

impl Real {
    fn new(setup: Setup) -> Self {
        let Setup { high, low, overflow, counted } = setup;
        let (writable, readable) = if counted {
            Tank::items(high).low(low).overflow(overflow).build::<Item>()
        } else {
            let tank = Tank::weighed(high, |item: &Item| item.weight);
            tank.low(low).overflow(overflow).build()
        };
        Self {
            gauge: writable.gauge(),
            writers: vec![Some(Rc::new(writable))],
            readable: Some(readable),
            batch: Rc::new(RefCell::new(Some(Batch::new()))),
            tasks: BTreeMap::new(),
            next_task: 0,
            next_id: 0,
            reader: std::sync::Arc::default(),
            reader_waits: None,
            reader_sat: None,
            old_wakes: 0,
            counted,
        }
    }

    fn item(&mut self, weight: usize) -> Item {
        self.next_id += 1;
        Item { id: self.next_id, weight: if self.counted { 1 } else { weight } }
    }

    /// One of the writers that are left.
    fn writer(&self, choice: u8) -> Option<(usize, Rc<Writable<Item>>)> {
        let left: Vec<_> = self.writers.iter().enumerate().filter(|(_, w)| w.is_some()).collect();
        let (index, writer) = left.get(usize::from(choice).checked_rem(left.len())?)?;
        Some((*index, Rc::clone((*writer).as_ref()?)))
    }

    fn task(&self, choice: u8) -> Option<u64> {
        let at = usize::from(choice).checked_rem(self.tasks.len())?;
        self.tasks.keys().nth(at).copied()
    }

    fn add(
        &mut self,
        kind: Wait,
        writer: Option<usize>,
        item: Rc<Cell<Option<Item>>>,
        future: impl Future<Output = Output> + 'static,
    ) {
        let future: Pin<Box<dyn Future<Output = Output>>> = Box::pin(future);
        let task = Task { kind, writer, hand: Hand::new(future), item, waits: None };
        self.tasks.insert(self.next_task, task);
        self.next_task += 1;
    }

    fn start(&mut self, choice: u8, what: Kind, weight: usize, model: &mut Expected) {
        let Some((index, writer)) = self.writer(choice) else { return };
        if self.tasks.len() >= 7 {
            return;
        }
        let (item, none) = (self.item(weight), Rc::new(Cell::new(None)));
        match what {
            Kind::Drained => self.add(Wait::Drained, Some(index), none, async move {
                writer.drained().await.map_or_else(|c| Output::Closed(kind(&c)), |()| Output::Open)
            }),
            Kind::Send => self.add(Wait::Send(item), Some(index), none, async move {
                Output::Written(answer(writer.send(item).await, |()| Answer::Sent))
            }),
            Kind::Reserve => {
                let to_redeem = none.clone();
                let weight = item.weight;
                self.add(Wait::Reserve(weight), Some(index), none, async move {
                    let permit = match writer.reserve(weight).await {
                        Ok(permit) => permit,
                        Err(cause) => return Output::Closed(kind(&cause)),
                    };
                    let item = poll_fn(|_| to_redeem.take().map_or(Poll::Pending, Poll::Ready));
                    Output::Written(answer(permit.send(item.await), Answer::from))
                });
            }
            Kind::SendBatch => {
                let Some(mut batch) = self.batch.borrow_mut().take() else { return };
                batch.push(item); // one at least, or it would not wait
                model.push(item);
                let mut lent = Lent { batch, back: self.batch.clone() };
                self.add(Wait::SendBatch, Some(index), none, async move {
                    let sent = writer.send_batch(&mut lent.batch).await;
                    sent.map_or_else(|cause| Output::Closed(kind(&cause)), |()| Output::Taken)
                });
            }
        }
    }

    fn poll(&mut self, id: u64, model: &mut Expected) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        if matches!(task.kind, Wait::Permit(_)) {
            return task.hand.waits(); // until there is an item to redeem it with
        }
        let before = task.hand.wakes();
        let polled = task.hand.poll();
        let expected = match task.kind {
            Wait::Drained => model.drained().map(|end| end.map_or(Output::Open, Output::Closed)),
            Wait::Send(item) => model.send(item).map(Output::Written),
            Wait::Reserve(weight) => match model.reserve(weight) {
                Poll::Ready(None) => {
                    task.kind = Wait::Permit(weight);
                    Poll::Pending
                }
                Poll::Ready(Some(end)) => Poll::Ready(Output::Closed(end)),
                Poll::Pending => Poll::Pending,
            },
            Wait::Permit(_) => unreachable!("answered above"),
            Wait::SendBatch => {
                model.send_batch().map(|end| end.map_or(Output::Taken, Output::Closed))
            }
            Wait::Finished => model.finished().map(|end| end.map_or(Output::Taken, Output::Closed)),
        };
        assert_eq!(polled, expected, "{:?}", task.kind);
        task.waits = match task.kind {
            Wait::Permit(_) => None,
            _ => polled.is_pending().then_some(before),
        };
        if polled.is_ready() {
            self.remove(id);
        }
    }

    /// Forgets a task; its future is dropped.
    fn remove(&mut self, id: u64) {
        let task = self.tasks.remove(&id).filter(|task| !matches!(task.kind, Wait::Finished));
        self.old_wakes += task.map_or(0, |task| task.hand.wakes());
    }

    fn cancel(&mut self, id: u64, model: &mut Expected) {
        if let Some(Task { kind: Wait::Permit(weight), .. }) = self.tasks.get(&id) {
            model.unreserve(*weight);
        }
        self.remove(id);
    }

    fn redeem(&mut self, choice: u8, weight: usize, model: &mut Expected) {
        let item = self.item(weight);
        let permits: Vec<_> = (self.tasks.iter())
            .filter_map(|(id, task)| match task.kind {
                Wait::Permit(reserved) => Some((*id, reserved)),
                _ => None,
            })
            .collect();
        let Some(at) = usize::from(choice).checked_rem(permits.len()) else { return };
        let (id, reserved) = permits[at];
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.item.set(Some(item));
        let expected = Output::Written(model.redeem(item, reserved));
        assert_eq!(task.hand.ready(), expected);
        self.remove(id);
    }

    /// Takes a writer away from its tasks and hands it over.
    fn take_writer(&mut self, choice: u8, model: &mut Expected) -> Option<Writable<Item>> {
        let (index, writer) = self.writer(choice)?;
        let of_it: Vec<_> =
            self.tasks.iter().filter(|(_, t)| t.writer == Some(index)).map(|(id, _)| *id).collect();
        for id in of_it {
            self.cancel(id, model);
        }
        self.writers[index] = None;
        Rc::into_inner(writer)
    }

    fn poll_reader<T>(
        &mut self,
        poll: impl FnOnce(&mut Readable<Item>, &mut Context<'_>) -> Poll<T>,
    ) -> Option<Poll<T>> {
        let readable = self.readable.as_mut()?;
        let waker = Waker::from(self.reader.clone());
        let before = self.reader.count();
        let polled = poll(readable, &mut Context::from_waker(&waker));
        self.reader_waits = polled.is_pending().then_some(before);
        if polled.is_pending() {
            self.reader_sat = Some(self.gauge.snapshot().wakes_reader);
        }
        Some(polled)
    }

    fn next_batch(&mut self, model: &mut Expected) {
        if !model.batch_may_be_filled() {
            return;
        }
        let Some(mut batch) = self.batch.borrow_mut().take() else { return };
        let polled = self.poll_reader(|readable, cx| {
            std::pin::pin!(readable.next_batch(&mut batch)).poll(cx).map_err(|c| kind(&c))
        });
        if let Some(polled) = polled {
            assert_eq!(polled, model.next_batch());
        }
        *self.batch.borrow_mut() = Some(batch);
    }

    fn step(&mut self, op: Op, model: &mut Expected) {
        match op {
            Op::Write(choice, weight) => {
                let item = self.item(weight);
                if let Some((_, writer)) = self.writer(choice) {
                    assert_eq!(answer(writer.write(item), Answer::from), model.write(item));
                }
            }
            Op::Start(choice, kind, weight) => self.start(choice, kind, weight, model),
            Op::Poll(choice) => {
                if let Some(id) = self.task(choice) {
                    self.poll(id, model);
                }
            }
            Op::Cancel(choice) => {
                if let Some(id) = self.task(choice) {
                    self.cancel(id, model);
                }
            }
            Op::Redeem(choice, weight) => self.redeem(choice, weight, model),
            Op::Push(weight) => {
                let item = self.item(weight);
                if let Some(batch) = self.batch.borrow_mut().as_mut() {
                    batch.push(item);
                    model.push(item);
                }
            }
            Op::Pop => {
                if let Some(batch) = self.batch.borrow_mut().as_mut() {
                    assert_eq!(batch.pop(), model.pop());
                }
            }
            Op::DropBatch => {
                if let Some(batch) = self.batch.borrow_mut().as_mut() {
                    *batch = Batch::new();
                    model.drop_batch();
                }
            }
            Op::Clone(choice) => {
                if let Some((_, writer)) = self.writer(choice).filter(|_| self.writers.len() < 6) {
                    self.writers.push(Some(Rc::new((*writer).clone())));
                    model.writers += 1;
                }
            }
            Op::End(choice) => {
                if let Some(writer) = self.take_writer(choice, model) {
                    let finished = writer.end();
                    model.leave(true);
                    self.add(Wait::Finished, None, Rc::default(), async {
                        let end = finished.await;
                        end.map_or_else(|cause| Output::Closed(kind(&cause)), |()| Output::Taken)
                    });
                }
            }
            Op::Fail(choice) => {
                if let Some(writer) = self.take_writer(choice, model) {
                    writer.fail("on purpose");
                    model.fail(CauseKind::Failed);
                    model.leave(true);
                }
            }
            Op::DropWriter(choice) => {
                if let Some(writer) = self.take_writer(choice, model) {
                    drop(writer);
                    model.leave(false);
                }
            }
            _ => self.step_reader(op, model),
        }
    }

    fn step_reader(&mut self, op: Op, model: &mut Expected) {
        let item = self.item(match op {
            Op::Unshift(weight) => weight,
            _ => 0,
        });
        match op {
            Op::Next => {
                let polled = self.poll_reader(|readable, cx| Pin::new(readable).poll_next(cx));
                if let Some(polled) = polled {
                    let polled = polled.map(|next| next.map(|item| item.map_err(|c| kind(&c))));
                    assert_eq!(polled, model.next());
                }
            }
            Op::NextBatch => self.next_batch(model),
            Op::Stop | Op::DropReader => {
                if let Some(readable) = self.readable.take() {
                    if matches!(op, Op::Stop) {
                        readable.stop(Cause::new(CauseKind::Cancelled));
                        model.stop(CauseKind::Cancelled);
                    } else {
                        drop(readable);
                        model.stop(CauseKind::Stopped);
                    }
                    self.reader_waits = None;
                }
            }
            _ => {
                let Some(readable) = &mut self.readable else { return };
                match op {
                    Op::TryNext => assert_eq!(readable.try_next(), model.try_next()),
                    Op::Unshift(_) => {
                        readable.unshift(item);
                        model.unshift(item);
                        self.reader_waits = None; // whoever puts it there is awake
                    }
                    Op::Pause => {
                        readable.pause();
                        model.held = true;
                    }
                    Op::Resume => {
                        readable.resume();
                        model.held = false;
                    }
                    Op::Marks(high, low) => {
                        let low = low % high;
                        readable.set_marks(Marks::new(high, low).expect("low is below high"));
                        model.set_marks(high, low);
                    }
                    other => unreachable!("{other:?} is not the reader's"),
                }
            }
        }
    }

    /// Numbers, and nobody asleep who should not be.
    fn check(&self, model: &mut Expected) {
        let seen = self.gauge.snapshot();
        assert_eq!((seen.level, seen.shut), (model.level, model.shut));
        assert_eq!(self.gauge.level(), model.level);
        if let Some(readable) = &self.readable {
            assert_eq!(readable.level(), model.level - model.hand.earned());
        }
        assert_eq!(seen.written, model.written);
        assert_eq!(seen.read, model.read);
        let drops =
            [seen.dropped.newest, seen.dropped.oldest, seen.dropped.replaced, seen.dropped.unread];
        assert_eq!(drops, model.dropped);
        let left = seen.read.plus(seen.dropped.total());
        assert_eq!(seen.written.items, left.items + model.inside());
        let counts = (seen.peak, seen.pauses, seen.refused, seen.oversize);
        assert_eq!(counts, (model.peak, model.pauses, model.refused, model.oversize));
        let past: u64 = seen.past_mark.iter().map(|line| line.written.items).sum();
        assert_eq!(past, model.past_mark);
        self.check_wakes(model, &seen);
    }

    fn check_wakes(&self, model: &mut Expected, seen: &TankSnapshot) {
        let reader_woken = self.reader_waits.is_none_or(|before| self.reader.count() > before);
        assert!(reader_woken || !model.reader_may_go_on(), "the reader sleeps beside its item");
        let reader_parked = !reader_woken && !model.held;

        let (mut waiting, mut woken) = (0, 0);
        for task in self.tasks.values() {
            let Some(before) = task.waits else { continue };
            let is_woken = task.hand.wakes() > before;
            if matches!(task.kind, Wait::Finished) {
                assert!(is_woken || model.finished().is_pending(), "sleeps after the end");
                continue;
            }
            assert!(is_woken || !model.is_closed(), "a writer sleeps at a closed tank");
            waiting += 1;
            woken += usize::from(is_woken);
        }
        if waiting > 0 && !model.shut {
            assert!(woken > 0, "all writers sleep beside an open tank");
            if reader_parked {
                assert_eq!(woken, waiting, "a writer sleeps beside an idle reader");
            }
        }
        // one at a time, unless the reader found nothing or the tank is closed
        let sits = self.reader_sat.is_some_and(|wakes| wakes == seen.wakes_reader);
        model.everybody_may_come(sits, woken);
        assert!(woken <= 1 || model.herd, "{woken} were notified for one drain");
        let wakes: usize = (self.tasks.values())
            .filter(|task| !matches!(task.kind, Wait::Finished))
            .map(|task| task.hand.wakes())
            .sum();
        assert_eq!(seen.wakes_writer, (wakes + self.old_wakes) as u64);
    }
}

/// Mostly small, sometimes nothing, sometimes more than the whole tank.
fn weight() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(0_usize), 12 => 1_usize..5, 2 => 5_usize..40]
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![
        3 => Just(Kind::Drained), 4 => Just(Kind::Send), 2 => Just(Kind::Reserve), 2 => Just(Kind::SendBatch),
    ];
    let n = any::<u8>;
    prop_oneof![
        16 => (n(), weight()).prop_map(|(n, w)| Op::Write(n, w)),
        10 => (n(), kind, weight()).prop_map(|(n, kind, w)| Op::Start(n, kind, w)),
        20 => n().prop_map(Op::Poll),
        4 => n().prop_map(Op::Cancel),
        3 => (n(), weight()).prop_map(|(n, w)| Op::Redeem(n, w)),
        10 => Just(Op::Next),
        8 => Just(Op::TryNext),
        6 => Just(Op::NextBatch),
        4 => weight().prop_map(Op::Push),
        10 => Just(Op::Pop),
        1 => Just(Op::DropBatch),
        2 => weight().prop_map(Op::Unshift),
        1 => Just(Op::Pause),
        2 => Just(Op::Resume),
        2 => (1_usize..16, 0_usize..16).prop_map(|(high, low)| Op::Marks(high, low)),
        1 => n().prop_map(Op::Clone),
        1 => n().prop_map(Op::End),
        1 => n().prop_map(|n| if n < 64 { Op::Fail(n) } else { Op::DropWriter(n) }),
        1 => n().prop_map(|n| match n {
            0..=20 => Op::Stop,
            21..=40 => Op::DropReader,
            _ => Op::Clone(n),
        }),
    ]
}

fn setup() -> impl Strategy<Value = Setup> {
    let overflow = prop_oneof![
        3 => Just(Overflow::Wait),
        7 => prop::sample::select(Overflow::ALL),
    ];
    (1_usize..12, 0_usize..12, overflow, any::<bool>()).prop_map(
        |(high, low, overflow, counted)| Setup { high, low: low % high, overflow, counted },
    )
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(1_000),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/model/regressions.txt",
        ))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_tank_does_what_the_model_does(setup in setup(), ops in vec(op(), 1..120)) {
        let mut real = Real::new(setup);
        let gauge = real.gauge.clone();
        let mut model = Expected::new(gauge, setup.high, setup.low, setup.overflow);
        for op in ops {
            real.step(op, &mut model);
            real.check(&mut model);
        }
        // whatever happened, all of it comes to an end that adds up
        while let Some(id) = real.task(0) {
            real.cancel(id, &mut model);
        }
        while let Some(writer) = real.take_writer(0, &mut model) {
            drop(writer.end());
            model.leave(true);
        }
        real.step(Op::Resume, &mut model);
        while real.readable.is_some() && model.next_is_item() {
            real.step(Op::Next, &mut model);
        }
        if let Some(readable) = &mut real.readable {
            let end = now(readable.next()).map(|item| item.expect_err("all are read").kind());
            prop_assert_eq!(Poll::Ready(end.map(Err)), model.next());
            prop_assert!(now(readable.next()).is_none());
        }
        real.step(Op::DropBatch, &mut model);
        real.check(&mut model);
        prop_assert_eq!((model.inside(), real.gauge.level()), (0, 0));
    }
}
