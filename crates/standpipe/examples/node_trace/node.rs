//! What does one stream do? Sinks, sources and transforms around the library's
//! tanks.
//!
//! A writable half is a tank in Node mode with a reader that works on it, a
//! readable half one whose low-water mark lies just below the high one, with a
//! writer that waits for the drain. So levels, answers, owed drains, requests
//! and held inputs are the tank's; here are only the ends: how long an
//! operation takes and when it fails.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use standpipe::pipeline::Member;
use standpipe::{Batch, Cause, CauseKind, Flow, Gauge, Readable, Tank, Writable};

use super::data::{Arrived, Chunk, Data, Maker, len, list};
use super::scenario::{Hook, NodeSpec, Type, nth};
use super::world::{Signal, Slot, World, work_until};

/// Chunks of one source in a merge are numbered from its index times this.
const PER_SOURCE: u64 = 100_000;

/// What became of one write of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    /// Queued.
    Pending,
    /// Its operation runs.
    InFlight,
    /// Its operation was done.
    Ok,
    /// Its operation was cut off: nobody knows.
    Unknown,
    /// It failed.
    Error(String),
}

/// One stream.
pub(crate) struct Node {
    pub(crate) k: usize,
    pub(crate) spec: NodeSpec,
    pub(crate) world: Rc<World>,
    /// Its place among those it stands and falls with.
    pub(crate) member: Member,
    /// Writable half: the door in, and behind it what the work reads.
    pub(crate) input: RefCell<Option<Writable<Chunk>>>,
    inlet: RefCell<Option<Readable<Chunk>>>,
    pub(crate) write_gauge: Option<Gauge>,
    /// Readable half: what the work writes, and the door out.
    pub(crate) outlet: RefCell<Option<Writable<Chunk>>>,
    pub(crate) output: RefCell<Option<Readable<Chunk>>>,
    pub(crate) read_gauge: Option<Gauge>,
    /// `end` was called on the writable half.
    pub(crate) ended: Cell<bool>,
    pub(crate) finished: Cell<bool>,
    /// The end of the readable half was delivered.
    pub(crate) read_ended: Cell<bool>,
    /// In a chain: nothing more comes out (`e`).
    pub(crate) spent: Cell<bool>,
    /// Everything had been consumed when it was destroyed.
    pub(crate) consumed: Cell<bool>,
    pub(crate) closed: Cell<bool>,
    pub(crate) error: RefCell<Option<String>>,
    /// Somebody wants to read.
    pub(crate) wanted: Cell<bool>,
    /// The script reads it, op by op.
    pub(crate) by_hand: Cell<bool>,
    /// Somebody read by hand in this step.
    pub(crate) read_now: Cell<bool>,
    /// Corks after the end, when there is no writer left to cork with.
    pub(crate) late_corks: Cell<u64>,
    pub(crate) acks: RefCell<Vec<Ack>>,
    pub(crate) stored: RefCell<Arrived>,
    pub(crate) per_source: RefCell<BTreeMap<u64, Arrived>>,
    pub(crate) signal: Signal,
    /// Drains of the writable half told so far.
    drains: Cell<u64>,
    is_chain: bool,
    /// Who is piped into it and where it is piped to, as wired at the start.
    pub(crate) sources: RefCell<Vec<Weak<Self>>>,
    pub(crate) destinations: RefCell<Vec<Weak<Self>>>,
    pub(crate) feeders: Cell<usize>,
}

/// The name that traces have for a cause.
pub(crate) fn name_of(cause: &Cause) -> String {
    match (cause.kind(), cause.error()) {
        (CauseKind::Cancelled, _) => String::from("ABORTED"),
        (CauseKind::Failed, Some(error)) => error.to_string(),
        _ => String::from("PREMATURE_CLOSE"),
    }
}

impl Node {
    pub(crate) fn new(
        k: usize,
        spec: NodeSpec,
        world: Rc<World>,
        member: Member,
        is_chain: bool,
    ) -> Rc<Self> {
        let weigh = |items: bool| move |chunk: &Chunk| if items { 1 } else { len(chunk.v()) };
        let half = (spec.typ != Type::Source).then(|| {
            let tank = Tank::weighed(spec.write_mark, weigh(spec.write_items));
            tank.node().build::<Chunk>()
        });
        let (input, inlet) = half.unzip();
        let half = (spec.typ != Type::Sink).then(|| {
            let tank = Tank::weighed(spec.read_mark, weigh(spec.read_items));
            tank.node().low(spec.read_mark.saturating_sub(1)).build::<Chunk>()
        });
        let (outlet, output) = half.unzip();
        Rc::new(Self {
            k,
            world,
            member,
            write_gauge: input.as_ref().map(Writable::gauge),
            input: RefCell::new(input),
            inlet: RefCell::new(inlet),
            read_gauge: output.as_ref().map(Readable::gauge),
            outlet: RefCell::new(outlet),
            output: RefCell::new(output),
            ended: Cell::new(false),
            finished: Cell::new(false),
            read_ended: Cell::new(false),
            spent: Cell::new(false),
            consumed: Cell::new(false),
            closed: Cell::new(false),
            error: RefCell::new(None),
            wanted: Cell::new(is_chain),
            by_hand: Cell::new(false),
            read_now: Cell::new(false),
            late_corks: Cell::new(0),
            acks: RefCell::default(),
            stored: RefCell::default(),
            per_source: RefCell::default(),
            signal: Signal::default(),
            drains: Cell::new(0),
            is_chain,
            sources: RefCell::default(),
            destinations: RefCell::default(),
            feeders: Cell::new(0),
            spec,
        })
    }

    /// Begins its life.
    pub(crate) fn start(self: &Rc<Self>) {
        let node = self.clone();
        self.world.spawn(async move {
            let why = node.member.over().await;
            node.leave(why.as_ref());
        });
        let node = self.clone();
        self.world.spawn(async move { node.live().await });
    }

    // ---- what is seen -----------------------------------------------------

    /// Notes an event; a stage that is spent tells nothing more.
    pub(crate) fn emit(&self, channel: &str, text: impl Into<String>) {
        if !self.spent.get() {
            self.world.emit(format!("{}{channel}", self.k), text.into());
        }
    }

    fn io(&self, text: impl Into<String>) {
        self.emit("io", text);
    }

    /// Destroyed or closed.
    pub(crate) fn is_over(&self) -> bool {
        self.member.is_over()
    }

    /// Whether a drain is owed.
    pub(crate) fn owes_drain(&self) -> bool {
        let shut = self.write_gauge.as_ref().is_some_and(|gauge| gauge.gate().is_shut());
        shut && !self.ended.get() && !self.is_over()
    }

    /// Whether the readable half is at its mark, and not empty.
    pub(crate) fn owes_room(&self) -> bool {
        self.read_gauge.as_ref().is_some_and(|gauge| {
            let gate = gauge.gate();
            gate.level() > 0 && gate.level() >= gate.marks().high()
        })
    }

    /// Whether its drains are of no account: all that feeds it is spent.
    pub(crate) fn is_muted(&self) -> bool {
        let sources = self.sources.borrow();
        let is_spent = |source: &Weak<Self>| source.upgrade().is_none_or(|node| node.spent.get());
        !sources.is_empty() && sources.iter().all(is_spent)
    }

    /// Tells the drains since the last time.
    pub(crate) fn tell_drains(&self) {
        let Some(gauge) = &self.write_gauge else { return };
        let tank = gauge.snapshot();
        let drains = tank.pauses.saturating_sub(u64::from(tank.shut));
        let before = self.drains.replace(drains);
        if !self.ended.get() && !self.is_over() && !self.is_muted() {
            for _ in before..drains {
                self.emit("w", "drain");
            }
        }
    }

    /// Everything that will ever come out has.
    fn is_exhausted(&self) -> bool {
        self.output.borrow().as_ref().is_some_and(|r| r.has_ended() && r.level() == 0)
    }

    /// In a chain: sees whether it is spent, and so done.
    pub(crate) fn see_spent(&self) {
        let finished = self.spec.typ == Type::Source || self.finished.get();
        if self.is_chain && !self.is_over() && finished && self.is_exhausted() {
            for node in self.destinations.borrow().iter().filter_map(Weak::upgrade) {
                node.tell_drains();
            }
            self.spent.set(true);
            self.member.done();
        }
    }

    fn see_done(&self) {
        let written = self.spec.typ == Type::Source || self.finished.get();
        let read = self.spec.typ == Type::Sink || self.read_ended.get();
        if written && read {
            self.member.done();
        }
    }

    /// After a chunk was taken out by the script's consumer: the end, if that
    /// was the last.
    pub(crate) fn see_read_end(&self) {
        if !self.is_over() && !self.read_ended.get() && self.is_exhausted() {
            self.tell_read_end();
        }
    }

    pub(crate) fn tell_read_end(&self) {
        if !self.read_ended.replace(true) {
            self.emit("r", "end");
            self.see_done();
        }
    }

    // ---- what is done to it ------------------------------------------------

    /// Destroys it with an error.
    pub(crate) fn fail(&self, name: &str) {
        self.tell_drains();
        self.member.fail(name);
    }

    /// Ends the writable half, for the script.
    pub(crate) fn end(&self) {
        self.tell_drains();
        self.ended.set(true);
        if let Some(writable) = self.input.take() {
            writable.end();
        }
        self.signal.ring();
    }

    pub(crate) fn want(&self) {
        if !self.wanted.replace(true) {
            self.signal.ring();
        }
    }

    /// It is over: what is queued is lost.
    fn leave(&self, why: Option<&Cause>) {
        if self.is_exhausted() {
            self.consumed.set(true);
        }
        let error = why.map_or_else(|| String::from("DESTROYED"), name_of);
        for ack in self.acks.borrow_mut().iter_mut() {
            match ack {
                Ack::Pending => *ack = Ack::Error(error.clone()),
                Ack::InFlight => *ack = Ack::Unknown,
                Ack::Ok | Ack::Unknown | Ack::Error(_) => {}
            }
        }
        drop((self.input.take(), self.inlet.take(), self.outlet.take(), self.output.take()));
        self.signal.ring();
    }

    // ---- its life ----------------------------------------------------------

    /// Opening, work, cleanup, in this order.
    async fn live(&self) {
        let mut unopened = None;
        if let Some(construct) = &self.spec.construct {
            self.io("construct");
            self.world.sleep(self.k, Slot::Construct, construct.delay).await;
            if construct.fail {
                self.io("construct-fail");
                unopened = Some(self.fault('C'));
            } else {
                self.io("construct-done");
            }
        }
        work_until(self.member.over(), self.work()).await;
        let why = self.member.over().await;
        self.leave(why.as_ref());
        if self.spec.destroy_delay > 0 {
            self.io("destroy");
            self.world.sleep(self.k, Slot::Destroy, self.spec.destroy_delay).await;
            self.io("destroyed");
        }
        let error = why.as_ref().map(name_of).or_else(|| unopened.clone());
        if let Some(name) = &error {
            self.emit("", format!("error:{name}"));
        }
        *self.error.borrow_mut() = error;
        self.emit("", "close");
        self.closed.set(true);
        match unopened {
            Some(name) => self.member.closed_with(name),
            None => self.member.closed(),
        }
        self.signal.ring();
    }

    /// Never returns unless it failed; it ends when the node is over.
    async fn work(&self) {
        let worked = match self.spec.typ {
            Type::Source => self.bring().await,
            Type::Transform => self.transform().await,
            Type::Sink => self.store().await,
        };
        if worked.is_ok() {
            std::future::pending::<()>().await;
        }
    }

    /// Fails while what it works on is still charged; the error's name.
    fn fault(&self, letter: char) -> String {
        let name = format!("{letter}{}", self.k);
        self.fail(&name);
        name
    }

    /// One operation: it takes its time, and may fail.
    async fn operate(&self, index: u64) -> Result<(), String> {
        self.world.sleep(self.k, Slot::Io, self.spec.delay(index)).await;
        if self.spec.fail_at == Some(index) {
            self.io("fail");
            return Err(self.fault('E'));
        }
        Ok(())
    }

    /// `final` or `flush`.
    async fn last(&self, hook: &Hook, failed: &str) -> Result<(), String> {
        self.world.sleep(self.k, Slot::Final, hook.delay).await;
        if hook.fail {
            self.io(failed);
            return Err(self.fault('F'));
        }
        Ok(())
    }

    fn finish(&self) {
        self.tell_drains();
        self.finished.set(true);
        self.emit("w", "finish");
    }

    /// The work of a source: a chunk per request.
    async fn bring(&self) -> Result<(), String> {
        if self.spec.push_mode {
            return Ok(());
        }
        self.signal.until(|| self.wanted.get()).await;
        let Some(out) = self.outlet.take() else { return Ok(()) };
        let mut maker = Maker::default();
        let mut index: u64 = 0;
        while out.drained().await.is_ok() {
            if self.spec.read_mark == 0 && self.by_hand.get() {
                // no reading ahead: asked for by a read that finds nothing
                self.signal.until(|| self.wanted.take()).await;
            }
            self.io("req");
            let chunk = self.spec.chunks.get(len(index));
            if chunk.is_none() && !self.spec.ends && self.spec.fail_at != Some(index) {
                std::future::pending::<()>().await; // asked, and never answered
            }
            self.operate(index).await?;
            index = index.saturating_add(1);
            let Some(v) = chunk else { break };
            self.io(format!("chunk:{v}"));
            put(&out, maker.make(self.spec.read_items, *v));
        }
        self.io("eof");
        out.end();
        self.see_spent();
        Ok(())
    }

    /// The next chunks of the writable half; they stay charged.
    async fn take(&self, inlet: &mut Readable<Chunk>, batch: &mut Batch<Chunk>) -> bool {
        let level = || self.write_gauge.as_ref().map_or(0, Gauge::level);
        self.signal.until(|| self.late_corks.get() == 0 || level() == 0).await;
        let most = if self.spec.writev { usize::MAX } else { 1 };
        inlet.next_batch_of(most, batch).await.unwrap_or(false)
    }

    fn acknowledge(&self, batch: &Batch<Chunk>, result: &Ack) {
        let mut acks = self.acks.borrow_mut();
        for write in batch.iter().filter_map(|chunk| chunk.write) {
            if let Some(ack) = acks.get_mut(write) {
                *ack = result.clone();
            }
        }
    }

    /// The work of a sink.
    async fn store(&self) -> Result<(), String> {
        let Some(mut inlet) = self.inlet.take() else { return Ok(()) };
        let mut batch = Batch::new();
        let mut index: u64 = 0;
        while self.take(&mut inlet, &mut batch).await {
            let name = if batch.len() > 1 { "writev" } else { "write" };
            self.io(format!("{name}:{}", list(batch.iter())));
            self.acknowledge(&batch, &Ack::InFlight);
            if self.spec.hang_at == Some(index) {
                std::future::pending::<()>().await;
            }
            if let Err(error) = self.operate(index).await {
                self.acknowledge(&batch, &Ack::Error(error.clone()));
                return Err(error);
            }
            index = index.saturating_add(1);
            self.io("done");
            self.acknowledge(&batch, &Ack::Ok);
            while let Some(chunk) = batch.pop() {
                self.stored.borrow_mut().add([&chunk.data]);
                let source = chunk.v().checked_div(PER_SOURCE).unwrap_or(0);
                self.per_source.borrow_mut().entry(source).or_default().add([&chunk.data]);
            }
        }
        if let Some(hook) = &self.spec.last {
            self.io("final");
            self.last(hook, "final-fail").await?;
            self.io("final-done");
        }
        self.finish();
        self.see_done();
        Ok(())
    }

    /// The work of a transform: an input is let go when what it made has found
    /// room.
    async fn transform(&self) -> Result<(), String> {
        let (Some(mut inlet), Some(out)) = (self.inlet.take(), self.outlet.take()) else {
            return Ok(());
        };
        let mut batch = Batch::new();
        let mut index: u64 = 0;
        while self.take(&mut inlet, &mut batch).await {
            let Some(chunk) = batch.peek() else { continue };
            self.io(format!("in:{}", chunk.v()));
            self.operate(index).await?;
            let made = nth(&self.spec.out, index).map_or(&[][..], Vec::as_slice);
            let made: Vec<Chunk> = made.iter().map(|v| self.output_of(chunk, *v)).collect();
            index = index.saturating_add(1);
            self.io(format!("out:{}", list(&made)));
            let is_any = !made.is_empty();
            for chunk in made {
                put(&out, chunk);
            }
            if is_any && out.drained().await.is_err() {
                return Ok(());
            }
            batch.pop();
        }
        if let Some(hook) = &self.spec.last {
            self.io("flush");
            self.last(hook, "flush-fail").await?;
            let made: Vec<Chunk> =
                hook.out.iter().map(|v| Chunk::made_up(self.spec.read_items, *v)).collect();
            self.io(format!("flushed:{}", list(&made)));
            for chunk in made {
                put(&out, chunk);
            }
        }
        self.finish();
        out.end();
        self.see_spent();
        self.see_done();
        Ok(())
    }

    fn output_of(&self, input: &Chunk, v: u64) -> Chunk {
        let items = self.spec.read_items;
        match (&input.data, v) {
            (Data::Bytes(_), 0) if !items => Chunk::new(input.data.clone()),
            (_, 0) => Chunk::made_up(items, input.v()),
            _ => Chunk::made_up(items, v),
        }
    }
}

/// Pushes an output: never refused. How it is answered is for the wait that
/// follows.
fn put(out: &Writable<Chunk>, chunk: Chunk) {
    if chunk.is_nothing() {
        return;
    }
    match out.write(chunk) {
        Ok(Flow::Ready | Flow::Wait) | Err(_) => {}
    }
}
