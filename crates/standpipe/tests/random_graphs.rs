//! Random graphs of pipelines joined by tanks, on one thread with a schedule
//! that a seed decides: nothing is lost or doubled, order holds along every
//! path, everything ends, and memory stays within the marks, also when a
//! pipeline fails, is cancelled or dropped anywhere.
//!
//! A graph is built from a list of steps over the open ends it has so far.
//! `zip` and `concat` hold one input back for another, so they join only parts
//! that have no other connection, or the two branches of a `tee` whose paths
//! give one item per item: every other graph must not stand still.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;
use standpipe::adapt::tank::{FromReadable, from_readable};
use standpipe::error::Cause;
use standpipe::pipeline::{Monitor, Ready, Spawned};
use standpipe::stage::{
    Balance, Concat, Emit, Merge, More, Partition, Sink, Source, Tee, Transform, Zip, balance,
    concat, merge, partition, tee, zip,
};
use standpipe::tank::{Gauge, Readable};
use standpipe::{Batch, BoxError, Flow, Pipeline, Tank, Writable};

// ---- items -----------------------------------------------------------------

/// How many items live, and lived at most.
#[derive(Debug, Default)]
struct Census {
    live: AtomicUsize,
    peak: AtomicUsize,
    /// Two halves met that were not of one item.
    mismatch: AtomicBool,
}

/// One of the living.
#[derive(Debug)]
struct Life(Arc<Census>);

impl Life {
    fn new(census: &Arc<Census>) -> Self {
        let live = census.live.fetch_add(1, Ordering::Relaxed) + 1;
        census.peak.fetch_max(live, Ordering::Relaxed);
        Self(census.clone())
    }
}

impl Clone for Life {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An item: for each source item in it the path it came by, and its number.
#[derive(Clone, Debug)]
struct Item {
    parts: Vec<(u64, u64)>,
    life: Life,
}

impl Item {
    fn number(&self) -> u64 {
        self.parts.iter().map(|part| part.1).sum()
    }

    /// The same item, a step further on its path.
    fn by(mut self, step: u64) -> Self {
        for (path, _) in &mut self.parts {
            *path = path.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(step) ^ (*path >> 29);
        }
        self
    }
}

// ---- stages ----------------------------------------------------------------

/// Whatever a node reads from.
enum AnySource {
    Numbers { next: u64, count: u64, path: u64, census: Arc<Census> },
    One(FromReadable<Item>),
    Merge(Merge<Item>),
    Concat(Concat<Item>),
    Zip { zip: Zip<Item, Item>, node: u64, even: bool },
}

/// Makes an item of each pair.
struct Joined<'a, O> {
    out: &'a mut O,
    node: u64,
    even: bool,
}

impl<O> Joined<'_, O> {
    fn join(&self, (left, right): (Item, Item)) -> Item {
        let numbers = |item: &Item| item.parts.iter().map(|part| part.1).collect::<Vec<_>>();
        if self.even && numbers(&left) != numbers(&right) {
            left.life.0.mismatch.store(true, Ordering::Relaxed);
        }
        let mut joined = left.by(self.node * 2);
        joined.parts.append(&mut right.by(self.node * 2 + 1).parts);
        joined
    }
}

impl<O: Emit<Item>> Emit<(Item, Item)> for Joined<'_, O> {
    async fn send(&mut self, pair: (Item, Item)) {
        let item = self.join(pair);
        self.out.send(item).await;
    }

    async fn feed(&mut self, pair: (Item, Item)) {
        let item = self.join(pair);
        self.out.feed(item).await;
    }

    async fn flush(&mut self) {
        self.out.flush().await;
    }
}

impl Source for AnySource {
    type Item = Item;
    type Error = Cause;

    async fn read(&mut self, out: &mut impl Emit<Item>) -> Result<More, Cause> {
        match self {
            Self::Numbers { next, count, path, census } => {
                while *next < *count {
                    let item = Item { parts: vec![(*path, *next)], life: Life::new(census) };
                    *next += 1;
                    match out.push(item) {
                        Ok(Flow::Ready) => {}
                        Ok(Flow::Wait) => return Ok(More::Yes),
                        Err(item) => out.feed(item).await,
                    }
                }
                Ok(More::No)
            }
            Self::One(source) => source.read(out).await,
            Self::Merge(source) => source.read(out).await,
            Self::Concat(source) => source.read(out).await,
            Self::Zip { zip, node, even } => {
                zip.read(&mut Joined { out, node: *node, even: *even }).await
            }
        }
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        match self {
            Self::Numbers { .. } => {}
            Self::One(source) => source.destroy(why),
            Self::Merge(source) => source.destroy(why),
            Self::Concat(source) => source.destroy(why),
            Self::Zip { zip, .. } => zip.destroy(why),
        }
    }
}

/// Names the branch of an item.
type By = Box<dyn FnMut(&Item) -> usize + Send>;

/// The parts of each item that came to an end of the graph.
#[derive(Default)]
struct Notes(Mutex<Vec<Vec<(u64, u64)>>>);

/// Whatever a node writes to.
enum AnySink {
    Tee(Tee<Item>),
    Balance(Balance<Item>),
    Partition(Partition<Item, By>),
    /// The end: notes what came.
    Notes(Arc<Notes>, u64),
}

impl Sink for AnySink {
    type In = Item;
    type Done = u64;
    type Error = Cause;

    async fn write(&mut self, batch: &mut Batch<Item>) -> Result<More, Cause> {
        match self {
            Self::Tee(sink) => sink.write(batch).await,
            Self::Balance(sink) => sink.write(batch).await,
            Self::Partition(sink) => sink.write(batch).await,
            Self::Notes(notes, count) => {
                while let Some(item) = batch.pop() {
                    *count += 1;
                    notes.0.lock().expect("lock").push(item.parts);
                }
                Ok(More::Yes)
            }
        }
    }

    async fn finish(&mut self) -> Result<u64, Cause> {
        match self {
            Self::Tee(sink) => sink.finish().await,
            Self::Balance(sink) => sink.finish().await,
            Self::Partition(sink) => sink.finish().await,
            Self::Notes(_, count) => Ok(*count),
        }
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        match self {
            Self::Tee(sink) => sink.destroy(why),
            Self::Balance(sink) => sink.destroy(why),
            Self::Partition(sink) => sink.destroy(why),
            Self::Notes(..) => {}
        }
    }
}

/// Fails at an item.
struct FailAt(usize);

impl Transform for FailAt {
    type In = Item;
    type Out = Item;
    type Error = BoxError;

    async fn transform(&mut self, item: Item, out: &mut impl Emit<Item>) -> Result<(), BoxError> {
        self.0 = self.0.checked_sub(1).ok_or("the planned failure")?;
        out.send(item).await;
        Ok(())
    }
}

// ---- graphs ----------------------------------------------------------------

#[derive(Clone, Copy, Debug)]
enum In {
    Numbers(u64),
    One,
    Merge,
    Concat,
    Zip,
    /// A tee, a path of this many nodes beside it, and a zip.
    Diamond(usize),
}

#[derive(Clone, Copy, Debug)]
enum To {
    Tee,
    Balance,
    Partition,
}

/// A node to be added.
#[derive(Clone, Debug)]
struct Step {
    from: In,
    to: To,
    /// Which open ends it reads.
    picks: [usize; 3],
    branches: usize,
    /// Marks of its branches; 1 to 8.
    marks: [usize; 3],
    /// Mark of the tank inside it.
    inner: Option<usize>,
    /// Items whose number this divides are left out.
    sieve: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// A node fails at an item.
    Fail {
        node: usize,
        item: usize,
    },
    /// A node is cancelled at a step of the schedule.
    Cancel {
        node: usize,
        step: usize,
    },
    /// The handle of a node is dropped at a step of the schedule.
    Drop {
        node: usize,
        step: usize,
    },
}

#[derive(Clone, Debug)]
struct Plan {
    steps: Vec<Step>,
    /// Branches that came from one item stream are told apart, so that order
    /// can be checked along every path.
    told_apart: bool,
    fault: Fault,
    seed: u64,
}

fn a_step() -> impl Strategy<Value = Step> {
    let from = prop_oneof![
        3 => (0_u64..40).prop_map(In::Numbers),
        1 => Just(In::One),
        3 => Just(In::Merge),
        1 => Just(In::Concat),
        2 => Just(In::Zip),
        2 => (0_usize..3).prop_map(In::Diamond),
    ];
    let to = prop_oneof![3 => Just(To::Tee), 1 => Just(To::Balance), 1 => Just(To::Partition)];
    let mark = || 1_usize..=8;
    (
        from,
        to,
        [0_usize..64, 0_usize..64, 0_usize..64],
        1_usize..=3,
        [mark(), mark(), mark()],
        prop::option::of(mark()),
        prop::option::weighted(0.2, 2_u64..5),
    )
        .prop_map(|(from, to, picks, branches, marks, inner, sieve)| Step {
            from,
            to,
            picks,
            branches,
            marks,
            inner,
            sieve,
        })
}

fn a_plan(with_fault: bool) -> impl Strategy<Value = Plan> {
    let fault = if with_fault {
        prop_oneof![
            (0_usize..64, 0_usize..40).prop_map(|(node, item)| Fault::Fail { node, item }),
            (0_usize..64, 0_usize..1_500).prop_map(|(node, step)| Fault::Cancel { node, step }),
            (0_usize..64, 0_usize..1_500).prop_map(|(node, step)| Fault::Drop { node, step }),
        ]
        .boxed()
    } else {
        Just(Fault::None).boxed()
    };
    (prop::collection::vec(a_step(), 1..12), any::<bool>(), fault, any::<u64>()).prop_map(
        |(steps, told_apart, fault, seed)| Plan { steps, told_apart, fault, seed: seed | 1 },
    )
}

/// A tank that joins two nodes.
struct Join {
    gauge: Gauge,
    /// Its reader may want no more before its end.
    may_stop: bool,
}

/// An end that nobody reads yet.
struct End {
    readable: Readable<Item>,
    join: usize,
    /// Ends with the same number are connected.
    part: usize,
}

enum Reads {
    Nothing(u64),
    Each,
    Pairs,
}

/// What a node reads.
struct Inlet {
    source: AnySource,
    reads: Reads,
    joins: Vec<usize>,
}

struct Node {
    ready: Option<Ready<u64>>,
    reads: Reads,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    to: Option<To>,
    /// Left out by its sieve.
    left_out: Arc<AtomicUsize>,
    /// What came, at an end of the graph.
    notes: Option<Arc<Notes>>,
}

struct Graph {
    census: Arc<Census>,
    joins: Vec<Join>,
    nodes: Vec<Node>,
    ends: Vec<End>,
    parts: usize,
    /// Where the planned failure is.
    fail: Option<(usize, usize)>,
    told_apart: bool,
    /// What may live at once.
    bound: usize,
}

impl Graph {
    fn new(plan: &Plan) -> Self {
        let mut graph = Self {
            census: Arc::default(),
            joins: Vec::new(),
            nodes: Vec::new(),
            ends: Vec::new(),
            parts: 0,
            fail: None,
            told_apart: plan.told_apart,
            bound: 0,
        };
        if let Fault::Fail { node, item } = plan.fault {
            graph.fail = Some((node % (plan.steps.len() + 2), item));
        }
        for step in &plan.steps {
            graph.add(step);
        }
        while let Some(end) = graph.ends.pop() {
            let notes = Arc::default();
            let sink = AnySink::Notes(Arc::clone(&notes), 0);
            let source = AnySource::One(from_readable(end.readable));
            let inlet = Inlet { source, reads: Reads::Each, joins: vec![end.join] };
            graph.node(inlet, sink, &Step::plain());
            let node = graph.nodes.last_mut().expect("just added");
            node.notes = Some(notes);
        }
        graph.mark_what_may_stop();
        graph
    }

    /// Takes an open end; `apart` are parts it must not be connected to.
    fn take(&mut self, pick: usize, apart: &[usize]) -> Option<End> {
        let fits = |end: &End| !apart.contains(&end.part);
        let count = self.ends.iter().filter(|end| fits(end)).count();
        let nth = pick.checked_rem(count)?;
        let index = self.ends.iter().enumerate().filter(|(_, end)| fits(end)).nth(nth)?.0;
        Some(self.ends.remove(index))
    }

    fn add(&mut self, step: &Step) {
        let from = if self.ends.is_empty() { In::Numbers(step.picks[0] as u64) } else { step.from };
        let [first, second, third] = step.picks;
        match from {
            In::Numbers(count) => self.add_numbers(count, step),
            In::One => {
                let end = self.take(first, &[]).expect("one is open");
                self.join([end], step, |ends| {
                    AnySource::One(from_readable(ends.pop().expect("one")))
                });
            }
            In::Merge => {
                let picks = [first, second, third].map(|pick| self.take(pick, &[]));
                self.join(picks.into_iter().flatten(), step, |ends| {
                    AnySource::Merge(merge(ends.drain(..)))
                });
            }
            In::Concat => {
                let one = self.take(first, &[]).expect("one is open");
                let two = self.take(second, &[one.part]);
                self.join([one].into_iter().chain(two), step, |ends| {
                    AnySource::Concat(concat(ends.drain(..)))
                });
            }
            In::Zip => {
                let left = self.take(first, &[]).expect("one is open");
                if let Some(right) = self.take(second, &[left.part]) {
                    self.add_zip(left, right, false, step);
                } else {
                    self.ends.push(left);
                }
            }
            In::Diamond(length) => self.add_diamond(first, length, step),
        }
    }

    fn add_numbers(&mut self, count: u64, step: &Step) {
        let path = self.nodes.len() as u64;
        let source = AnySource::Numbers { next: 0, count, path, census: self.census.clone() };
        self.parts += 1;
        let inlet = Inlet { source, reads: Reads::Nothing(count), joins: Vec::new() };
        self.branch(inlet, self.parts, step);
    }

    /// Adds a node that reads these ends.
    fn join(
        &mut self,
        ends: impl IntoIterator<Item = End>,
        step: &Step,
        source: impl FnOnce(&mut Vec<Readable<Item>>) -> AnySource,
    ) {
        let (mut readables, mut inputs) = (Vec::new(), Vec::new());
        self.parts += 1;
        let part = self.parts;
        for end in ends {
            self.connect(end.part, part);
            readables.push(end.readable);
            inputs.push(end.join);
        }
        let source = source(&mut readables);
        self.branch(Inlet { source, reads: Reads::Each, joins: inputs }, part, step);
    }

    fn connect(&mut self, old: usize, new: usize) {
        self.ends.iter_mut().filter(|end| end.part == old).for_each(|end| end.part = new);
    }

    fn add_zip(&mut self, left: End, right: End, even: bool, step: &Step) {
        self.parts += 1;
        let part = self.parts;
        self.connect(left.part, part);
        self.connect(right.part, part);
        let inputs = vec![left.join, right.join];
        if !even {
            inputs.iter().for_each(|&join| self.joins[join].may_stop = true);
        }
        let node = self.nodes.len() as u64;
        let zip = zip(left.readable, right.readable);
        let source = AnySource::Zip { zip, node, even };
        self.branch(Inlet { source, reads: Reads::Pairs, joins: inputs }, part, step);
    }

    fn add_diamond(&mut self, pick: usize, length: usize, step: &Step) {
        let trunk = self.take(pick, &[]).expect("one is open");
        let two = Step { to: To::Tee, branches: 2, sieve: None, ..step.clone() };
        // told apart by the zip, and its paths have to be even
        let told_apart = std::mem::replace(&mut self.told_apart, false);
        let source = |ends: &mut Vec<Readable<Item>>| {
            AnySource::One(from_readable(ends.pop().expect("one")))
        };
        self.join([trunk], &two, source);
        let mut long = self.ends.pop().expect("two branches");
        let short = self.ends.pop().expect("two branches");
        for _ in 0..length {
            self.join([long], &Step { branches: 1, ..two.clone() }, source);
            long = self.ends.pop().expect("one branch");
        }
        self.told_apart = told_apart;
        self.add_zip(short, long, true, step);
    }

    /// A tank of a random kind.
    fn tank(&mut self, mark: usize) -> (Writable<Item>, Readable<Item>) {
        self.bound += mark + 1;
        if mark.is_multiple_of(3) {
            let weigh = |item: &Item| if item.number().is_multiple_of(4) { 2 } else { 1 };
            return Tank::weighed(mark, weigh).build();
        }
        Tank::items(mark).build()
    }

    /// Adds a node with branches, whose readers are open ends.
    fn branch(&mut self, inlet: Inlet, part: usize, step: &Step) {
        let (mut writables, mut ends) = (Vec::new(), Vec::new());
        for &mark in &step.marks[..step.branches] {
            let (writable, readable) = self.tank(mark);
            let join = self.joins.len();
            self.joins.push(Join { gauge: writable.gauge(), may_stop: false });
            writables.push(writable);
            ends.push(End { readable, join, part });
        }
        let outputs: Vec<usize> = ends.iter().map(|end| end.join).collect();
        let count = step.branches as u64;
        let sink = match step.to {
            To::Tee => AnySink::Tee(tee(writables)),
            To::Balance => AnySink::Balance(balance(writables)),
            To::Partition => {
                let by = move |item: &Item| usize::try_from(item.number() % count).expect("small");
                AnySink::Partition(partition(writables, Box::new(by) as By).discard_for_gone())
            }
        };
        self.node(inlet, sink, step);
        let node = self.nodes.last_mut().expect("just added");
        (node.outputs, node.to) = (outputs, Some(step.to));
        if self.told_apart && step.branches > 1 {
            ends = ends.into_iter().map(|end| self.told_apart(end)).collect();
        }
        self.ends.extend(ends);
    }

    /// A relay that gives the items of one branch a path of their own.
    fn told_apart(&mut self, end: End) -> End {
        let (writable, readable) = self.tank(1 + end.join % 4);
        let join = self.joins.len();
        self.joins.push(Join { gauge: writable.gauge(), may_stop: false });
        let source = AnySource::One(from_readable(end.readable));
        let inlet = Inlet { source, reads: Reads::Each, joins: vec![end.join] };
        self.node(inlet, AnySink::Tee(tee([writable])), &Step::plain());
        let node = self.nodes.last_mut().expect("just added");
        (node.outputs, node.to) = (vec![join], Some(To::Tee));
        End { readable, join, part: end.part }
    }

    /// Adds a node: `source`, a sieve, perhaps a tank, perhaps a failure, and
    /// `sink`.
    fn node(&mut self, inlet: Inlet, sink: AnySink, step: &Step) {
        let Inlet { source, reads, joins: inputs } = inlet;
        let index = self.nodes.len();
        let left_out = Arc::new(AtomicUsize::new(0));
        let (count, sieve, path) = (left_out.clone(), step.sieve, index as u64);
        let pipeline = Pipeline::from("in", source).filter_map("sieve", move |item: Item| {
            if sieve.is_some_and(|sieve| item.number().is_multiple_of(sieve)) {
                count.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            Some(item.by(path))
        });
        let fault = self.fail.filter(|(node, _)| *node == index).map(|(_, item)| FailAt(item));
        self.bound += 3 + usize::from(fault.is_some());
        let ready = match (step.inner, fault) {
            (None, None) => pipeline.to("out", sink),
            (None, Some(fault)) => pipeline.transform("fault", fault).to("out", sink),
            (Some(mark), None) => {
                self.bound += mark + 1;
                pipeline.tank(Tank::items(mark)).to("out", sink)
            }
            (Some(mark), Some(fault)) => {
                self.bound += mark + 1;
                pipeline.tank(Tank::items(mark)).transform("fault", fault).to("out", sink)
            }
        };
        let (outputs, to, notes) = (Vec::new(), None, None);
        let ready = Some(ready);
        self.nodes.push(Node { ready, reads, inputs, outputs, to, left_out, notes });
    }

    /// A node none of whose branches is read to the end stops its inputs.
    fn mark_what_may_stop(&mut self) {
        for node in self.nodes.iter().rev() {
            let stops = |&join: &usize| self.joins[join].may_stop;
            if !node.outputs.is_empty() && node.outputs.iter().all(stops) {
                node.inputs.iter().for_each(|&join| self.joins[join].may_stop = true);
            }
        }
    }
}

impl Step {
    /// Nothing but a way from one tank to another.
    fn plain() -> Self {
        Self {
            from: In::One,
            to: To::Tee,
            picks: [0; 3],
            branches: 1,
            marks: [1; 3],
            inner: None,
            sieve: None,
        }
    }
}

// ---- schedule --------------------------------------------------------------

/// "Poll me."
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    flag: Arc<Flag>,
    /// Passed over this often of 8.
    slow: u64,
}

/// What became of a node: how many items its sink took, or why it failed.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Running,
    Done(u64),
    Failed(String),
    Dropped,
}

struct Schedule {
    tasks: Vec<Task>,
    random: u64,
}

impl Schedule {
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }

    fn spawn(&mut self, work: Pin<Box<dyn Future<Output = ()> + Send>>) -> usize {
        let slow = if self.random().is_multiple_of(4) { 7 } else { self.random() % 4 };
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        self.tasks.push(Task { work: Some(work), flag, slow });
        self.tasks.len() - 1
    }

    /// Polls one task that asked for it. False if none did.
    fn step(&mut self) -> bool {
        let asks = |task: &Task| task.work.is_some() && task.flag.0.load(Ordering::Relaxed);
        let mut waiting: Vec<usize> =
            (0..self.tasks.len()).filter(|&index| asks(&self.tasks[index])).collect();
        while !waiting.is_empty() {
            let pick = usize::try_from(self.random() % waiting.len() as u64).expect("small");
            let slow = self.tasks[waiting[pick]].slow;
            if waiting.len() > 1 && self.random() % 8 < slow {
                waiting.swap_remove(pick);
                continue;
            }
            let task = &mut self.tasks[waiting[pick]];
            task.flag.0.store(false, Ordering::Relaxed);
            let waker = Waker::from(task.flag.clone());
            let work = task.work.as_mut().expect("has work");
            if work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                task.work = None;
            }
            return true;
        }
        false
    }
}

/// A node that runs: its result goes to its fate.
struct Supervisor {
    running: Spawned<u64>,
    index: usize,
    fates: Arc<Mutex<Vec<Fate>>>,
}

impl Future for Supervisor {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let result = std::task::ready!(Pin::new(&mut self.running).poll(cx));
        let fate = match result {
            Ok(completed) => Fate::Done(completed.done),
            Err(error) => Fate::Failed(error.to_string()),
        };
        self.fates.lock().expect("lock")[self.index] = fate;
        Poll::Ready(())
    }
}

/// Steps after which a graph is said to run in circles.
const TOO_LONG: usize = 400_000;

/// Runs it to its end.
fn run(graph: &mut Graph, plan: &Plan) -> Result<Vec<Fate>, TestCaseError> {
    let mut schedule = Schedule { tasks: Vec::new(), random: plan.seed };
    let fates = Arc::new(Mutex::new(vec![Fate::Running; graph.nodes.len()]));
    let mut supervisors = Vec::new();
    let mut monitors: Vec<Monitor> = Vec::new();
    for (index, node) in graph.nodes.iter_mut().enumerate() {
        let ready = node.ready.take().expect("runs once");
        monitors.push(ready.monitor());
        let mut works = Vec::new();
        let running = ready.spawn_with(|work| works.push(work));
        for work in works {
            schedule.spawn(work);
        }
        let supervisor = Supervisor { running, index, fates: fates.clone() };
        supervisors.push(schedule.spawn(Box::pin(supervisor)));
    }
    let count = graph.nodes.len();
    for step in 0.. {
        match plan.fault {
            Fault::Cancel { node, step: at } if at == step => monitors[node % count].cancel(),
            Fault::Drop { node, step: at } if at == step => {
                let supervisor = &mut schedule.tasks[supervisors[node % count]].work;
                let mut cx = Context::from_waker(Waker::noop());
                // one that is over already has its result
                if supervisor
                    .take()
                    .is_some_and(|mut work| work.as_mut().poll(&mut cx).is_pending())
                {
                    fates.lock().expect("lock")[node % count] = Fate::Dropped;
                }
            }
            _ => {}
        }
        if !schedule.step() {
            break;
        }
        prop_assert!(step < TOO_LONG, "runs in circles");
    }
    let fates = fates.lock().expect("lock").clone();
    let hanging = fates.iter().position(|fate| *fate == Fate::Running);
    prop_assert!(hanging.is_none(), "stands still at node {hanging:?}: {}", show(graph, &fates));
    Ok(fates)
}

fn show(graph: &Graph, fates: &[Fate]) -> String {
    let tank = |&join: &usize| {
        let snapshot = graph.joins[join].gauge.snapshot();
        let shut = if snapshot.shut { " shut" } else { "" };
        format!(
            "{join}: {}/{}{shut} {} in {} out",
            snapshot.level, snapshot.high, snapshot.written.items, snapshot.read.items
        )
    };
    let node = |(index, node): (usize, &Node)| {
        let inputs: Vec<String> = node.inputs.iter().map(tank).collect();
        let outputs: Vec<String> = node.outputs.iter().map(tank).collect();
        format!("\n  node {index} {:?} {inputs:?} -> {:?} {outputs:?}", fates[index], node.to)
    };
    graph.nodes.iter().enumerate().map(node).collect()
}

// ---- what must hold --------------------------------------------------------

/// Whatever happened: memory, order along every path, nothing doubled, nothing
/// that looks whole and is not.
fn check_always(graph: &Graph, fates: &[Fate]) -> Result<(), TestCaseError> {
    let peak = graph.census.peak.load(Ordering::Relaxed);
    prop_assert!(peak <= graph.bound, "{peak} items lived at once, {} may", graph.bound);
    prop_assert_eq!(graph.census.live.load(Ordering::Relaxed), 0, "items are kept");
    prop_assert!(!graph.census.mismatch.load(Ordering::Relaxed), "halves of two items");
    for join in &graph.joins {
        prop_assert_eq!(join.gauge.level(), 0, "weight is kept");
    }
    // what was read to its end was written to its end, as far up as that goes
    let mut whole = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        whole[index] |= node.notes.is_some() && matches!(fates[index], Fate::Done(_));
        if !whole[index] || matches!(node.reads, Reads::Pairs) {
            continue;
        }
        for join in &node.inputs {
            let maker = graph.nodes.iter().position(|node| node.outputs.contains(join));
            let maker = maker.expect("somebody writes it");
            prop_assert!(
                matches!(fates[maker], Fate::Done(_)),
                "node {maker} looks finished{}",
                show(graph, fates)
            );
            whole[maker] = true;
        }
    }
    for node in &graph.nodes {
        let Some(notes) = &node.notes else { continue };
        if graph.told_apart {
            let mut last: BTreeMap<u64, u64> = BTreeMap::new();
            for &(path, number) in notes.0.lock().expect("lock").iter().flatten() {
                let before = last.insert(path, number);
                prop_assert!(before < Some(number), "{before:?} before {number}");
            }
        }
    }
    Ok(())
}

/// Nothing failed: everything is where it has to be.
fn check_whole(graph: &Graph, fates: &[Fate]) -> Result<(), TestCaseError> {
    let told = || show(graph, fates);
    let tanks: Vec<_> = graph.joins.iter().map(|join| join.gauge.snapshot()).collect();
    for (tank, join) in tanks.iter().zip(&graph.joins) {
        let (written, read) = (tank.written.items, tank.read.items);
        let gone = read + tank.dropped.total().items;
        prop_assert!(written == gone, "{tank:?}{}", told());
        prop_assert!(join.may_stop || read == written, "{tank:?}{}", told());
    }
    for (node, fate) in graph.nodes.iter().zip(fates) {
        let Fate::Done(took) = *fate else {
            return Err(TestCaseError::fail(format!("failed: {}", told())));
        };
        let stops = node.outputs.iter().any(|&join| graph.joins[join].may_stop);
        let left_out = node.left_out.load(Ordering::Relaxed) as u64;
        let came = match node.reads {
            Reads::Nothing(count) => count,
            Reads::Each => node.inputs.iter().map(|&join| tanks[join].read.items).sum(),
            Reads::Pairs => {
                let written = node.inputs.iter().map(|&join| tanks[join].written.items);
                written.min().expect("two")
            }
        };
        prop_assert!(took + left_out <= came, "{}", told());
        prop_assert!(stops || took + left_out == came, "{took} of {came}{}", told());
        let written = node.outputs.iter().map(|&join| tanks[join].written.items);
        match node.to {
            Some(To::Tee) => {
                for (at, written) in written.enumerate() {
                    let stops = graph.joins[node.outputs[at]].may_stop;
                    // half a pair goes back when a zip ends: written once more
                    let back = u64::from(stops);
                    prop_assert!(written <= took + back, "{}", told());
                    prop_assert!(stops || written == took, "{}", told());
                }
            }
            Some(_) => {
                let back = node.outputs.iter().filter(|&&join| graph.joins[join].may_stop);
                let (written, back) = (written.sum::<u64>(), back.count() as u64);
                prop_assert!(took <= written && written <= took + back, "{}", told());
            }
            None => {
                let notes = node.notes.as_ref().expect("an end").0.lock().expect("lock").len();
                prop_assert_eq!(notes as u64, took);
            }
        }
    }
    Ok(())
}

/// More if the environment asks for it.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_500)
}

fn try_out(plan: &Plan) -> Result<(), TestCaseError> {
    let mut graph = Graph::new(plan);
    let fates = run(&mut graph, plan)?;
    check_always(&graph, &fates)?;
    if matches!(plan.fault, Fault::None) {
        check_whole(&graph, &fates)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn a_graph_loses_nothing_and_comes_to_its_end(plan in a_plan(false)) {
        try_out(&plan)?;
    }

    #[test]
    fn a_graph_comes_to_its_end_whatever_fails_or_is_cancelled(plan in a_plan(true)) {
        try_out(&plan)?;
    }
}
