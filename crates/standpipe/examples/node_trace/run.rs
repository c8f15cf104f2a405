//! What is printed? Runs one scenario and writes its trace.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use serde_json::{Map, Value, json};
use standpipe::Gauge;
use standpipe::pipeline::Group;

use super::data::Arrived;
use super::edge::Edge;
use super::node::{Ack, Node, name_of};
use super::scenario::{Event, Kind, Mode, NodeSpec, Op, Scenario, Type};
use super::script::{self, Hands, Taken};
use super::world::World;

/// How much is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Outcomes and data.
    A,
    /// Every step, where that is normative.
    B,
}

struct Run<'a> {
    scenario: &'a Scenario,
    world: Rc<World>,
    nodes: Vec<Rc<Node>>,
    edges: Vec<Rc<Edge>>,
    group: Option<Group>,
    result: Rc<RefCell<Option<String>>>,
    hands: Rc<RefCell<Hands>>,
    taken: Rc<Taken>,
    /// Largest levels ever printed, writable and readable half.
    largest: Vec<(usize, usize)>,
    /// Where steps are printed, if they are.
    out: Option<&'a mut dyn Write>,
}

/// Runs a scenario and prints its trace.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn run(scenario: &Scenario, level: Level, out: &mut dyn Write) -> io::Result<()> {
    let class = if scenario.whole { "B" } else { "C" };
    let header = json!({"scenario": scenario.id, "kind": scenario.kind.name(), "class": class});
    writeln!(out, "{header}")?;
    let whole = scenario.whole && level == Level::B;
    let mut run = Run::new(scenario);
    run.out = if whole { Some(&mut *out) } else { None };
    let result = run.play();
    run.out = None;
    let last = if whole { run.final_line() } else { run.outcome_line() };
    run.world.clear();
    result?;
    writeln!(out, "{last}")
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let world = Rc::new(World::default());
        let group = (scenario.kind == Kind::Pipeline).then(Group::new);
        let last = scenario.nodes.len().saturating_sub(1);
        let node = |(k, spec): (usize, &NodeSpec)| {
            let own = Group::new(); // of one, unless all stand and fall together
            let group = group.as_ref().unwrap_or(&own);
            let member = if k == last && !scenario.end && scenario.kind == Kind::Pipeline {
                group.join_kept_open(k.to_string())
            } else {
                group.join(k.to_string())
            };
            Node::new(k, spec.clone(), world.clone(), member, scenario.kind.is_chain())
        };
        let nodes: Vec<Rc<Node>> = scenario.nodes.iter().enumerate().map(node).collect();
        Self {
            scenario,
            world,
            edges: wire(scenario, &nodes),
            largest: vec![(0, 0); nodes.len()],
            nodes,
            group,
            result: Rc::default(),
            hands: Rc::default(),
            taken: Rc::default(),
            out: None,
        }
    }

    /// The whole script.
    fn play(&mut self) -> io::Result<()> {
        self.start();
        self.step(json!({"t": 0, "op": "start"}))?;
        for (index, op) in self.scenario.ops.iter().enumerate() {
            let returned = self.op(op)?;
            let mut line = json!({"i": index, "t": self.world.now(), "op": op.name()});
            if let (Some(returned), Some(line)) = (returned, line.as_object_mut()) {
                line.insert("ret".into(), returned);
            }
            self.step(line)?;
        }
        while self.world.next_due().is_some() {
            self.fire()?;
        }
        Ok(())
    }

    fn start(&self) {
        for node in &self.nodes {
            node.start();
        }
        let last = self.edges.len().saturating_sub(1);
        for (index, edge) in self.edges.iter().enumerate() {
            let end = self.scenario.end || index < last; // only the sinks are kept open
            self.world.spawn(edge.clone().run(end));
        }
        if let Some(group) = self.group.clone() {
            let (result, world) = (self.result.clone(), self.world.clone());
            self.world.spawn(async move {
                let name =
                    group.outcome().await.map_or_else(|cause| name_of(&cause), |()| "ok".into());
                world.emit("pl".into(), name.clone());
                *result.borrow_mut() = Some(name);
            });
        }
        if let [node] = self.nodes.as_slice() {
            node.by_hand.set(self.scenario.consumer.mode == Mode::Manual);
        }
        if let [node] = self.nodes.as_slice()
            && self.scenario.consumer.mode != Mode::Manual
            && node.spec.typ != Type::Sink
        {
            node.wanted.set(true);
            let consumer = self.scenario.consumer.clone();
            self.world.spawn(script::consume(node.clone(), self.taken.clone(), consumer));
        }
    }

    // ---- steps -------------------------------------------------------------

    /// Settles, and prints what happened.
    fn step(&mut self, mut line: Value) -> io::Result<()> {
        self.world.settle();
        for node in self.nodes.iter().filter(|node| node.read_now.take()) {
            node.see_read_end(); // the step as a whole brought the reader there
            self.world.settle();
        }
        for node in &self.nodes {
            node.tell_drains();
        }
        let events = self.world.take_events();
        let states = self.states();
        if let (Some(out), Some(line)) = (&mut self.out, line.as_object_mut()) {
            if !events.is_empty() {
                line.insert("ev".into(), json!(events));
            }
            line.insert("st".into(), json!(states));
            writeln!(out, "{}", Value::Object(std::mem::take(line)))?;
        }
        Ok(())
    }

    /// Fires the next timer: a step.
    fn fire(&mut self) -> io::Result<()> {
        match self.world.fire() {
            Some(name) => self.step(json!({"t": self.world.now(), "fire": name})),
            None => Ok(()),
        }
    }

    fn states(&mut self) -> Vec<String> {
        let state = |(node, largest): (&Rc<Node>, &mut (usize, usize))| {
            if node.spent.get() {
                return String::from("e");
            }
            if node.is_over() {
                return String::from("x");
            }
            let mut state = String::new();
            if let Some(level) = node.write_gauge.as_ref().map(Gauge::level) {
                largest.0 = largest.0.max(level);
                let owes = node.owes_drain() && !node.is_muted();
                state.push_str(&format!("w{level}{}", if owes { "!" } else { "" }));
            }
            if let Some(level) = node.read_gauge.as_ref().map(Gauge::level) {
                largest.1 = largest.1.max(level);
                state.push_str(&format!("r{level}"));
            }
            state
        };
        self.nodes.iter().zip(&mut self.largest).map(state).collect()
    }

    // ---- ops ---------------------------------------------------------------

    /// Does one op, without settling after it; what it returns.
    fn op(&mut self, op: &Op) -> io::Result<Option<Value>> {
        match op {
            Op::Tick(n) => {
                let until = self.world.now().saturating_add(*n);
                while self.world.next_due().is_some_and(|due| due <= until) {
                    self.fire()?;
                }
                self.world.go_to(until);
                Ok(None)
            }
            Op::Idle => {
                while self.world.next_due().is_some() {
                    self.fire()?;
                }
                Ok(None)
            }
            Op::Await { event, at } => self.wait(*event, *at).map(|met| Some(met.into())),
            Op::Batch(ops) => {
                let mut all = Vec::new();
                for op in ops {
                    all.push(self.op(op)?.unwrap_or(Value::Null));
                }
                Ok(Some(all.into()))
            }
            op => Ok(self.do_at_once(op)),
        }
    }

    /// Fires timers until `event` has happened at a node, or it has closed.
    fn wait(&mut self, event: Event, at: usize) -> io::Result<bool> {
        loop {
            let Some(node) = self.nodes.get(at) else { return Ok(false) };
            let has = node.closed.get()
                || match event {
                    Event::Drain => !node.owes_drain(),
                    Event::Finish => node.finished.get(),
                    Event::End => node.read_ended.get(),
                    Event::Close => false,
                };
            if has {
                return Ok(true);
            }
            if self.world.next_due().is_none() {
                return Ok(false);
            }
            self.fire()?;
        }
    }

    /// Ops that take no time.
    fn do_at_once(&self, op: &Op) -> Option<Value> {
        let node = self.nodes.first()?;
        let mut hands = self.hands.borrow_mut();
        match op {
            Op::Write(v) => return Some(hands.write(node, *v).into()),
            Op::Flood(sizes) => return Some(hands.flood(node, sizes).into()),
            Op::End(v) => hands.end(node, *v),
            Op::Cork => hands.cork(node),
            Op::Uncork => hands.uncork(node),
            Op::Produce { sizes, end } => {
                let job = (sizes.clone(), *end);
                self.world.spawn(script::produce(node.clone(), self.hands.clone(), job));
            }
            Op::Destroy { at, message } => self.destroy(*at, message.as_deref()),
            Op::Push(v) => {
                let answer = script::push(&mut hands, node, *v);
                return (self.scenario.consumer.mode == Mode::Manual).then(|| answer.into());
            }
            Op::Unshift(v) => return Some(script::unshift(node, *v).into()),
            Op::Read(n) => return Some(script::read(node, &self.taken, *n)),
            Op::Pause => script::hold(node, true),
            Op::Resume => script::hold(node, false),
            Op::Unpipe { at, from } => {
                for edge in self.edges.iter().filter(|edge| edge.from.k == *from) {
                    edge.remove(*at);
                }
            }
            Op::Abort => {
                if let Some(group) = &self.group {
                    group.cancel();
                }
            }
            Op::Tick(_) | Op::Idle | Op::Await { .. } | Op::Batch(_) => {}
        }
        None
    }

    fn destroy(&self, at: usize, message: Option<&str>) {
        let Some(node) = self.nodes.get(at) else { return };
        match message {
            Some(name) => node.fail(name),
            None => {
                node.tell_drains();
                node.member.stop();
            }
        }
    }

    // ---- the end -----------------------------------------------------------

    fn outcome(node: &Node) -> String {
        if node.spent.get() {
            return String::from("done");
        }
        if !node.closed.get() {
            return String::from("open");
        }
        if let Some(name) = &*node.error.borrow() {
            return format!("error:{name}");
        }
        let written = node.spec.typ == Type::Source || node.finished.get();
        let read = node.spec.typ == Type::Sink || node.read_ended.get();
        String::from(if written && read { "done" } else { "aborted" })
    }

    /// What arrived in a node.
    fn data(&self, node: &Node) -> Map<String, Value> {
        let mut data = Map::new();
        if node.spec.typ == Type::Sink {
            let stored = node.stored.borrow();
            insert(&mut data, &stored, ["in", "total", "sum"]);
            if self.scenario.kind == Kind::Merge {
                data.remove("sum");
                let source = |arrived: &Arrived| format!("{}:{}", arrived.count, arrived.sum());
                let per: Vec<String> = node.per_source.borrow().values().map(source).collect();
                data.insert("per".into(), json!(per));
            }
        } else if !self.scenario.kind.is_chain() {
            insert(&mut data, &self.taken.0.borrow(), ["got", "gotTotal", "gotSum"]);
        }
        if self.scenario.kind == Kind::Writable {
            data.insert("cbs".into(), results(&node.acks.borrow()).into());
        }
        data
    }

    fn result_name(&self) -> String {
        self.result.borrow().clone().unwrap_or_else(|| String::from("pending"))
    }

    fn is_stuck(&self) -> bool {
        self.nodes.iter().any(|node| Self::outcome(node) == "open")
    }

    /// The last line of a whole trace.
    fn final_line(&mut self) -> Value {
        let states = self.states();
        let node = |(node, largest): (&Rc<Node>, &(usize, usize))| {
            let mut entry = self.data(node);
            if self.scenario.kind == Kind::Merge {
                entry.insert("sum".into(), node.stored.borrow().sum().into());
            }
            entry.insert("outcome".into(), Self::outcome(node).into());
            if node.spec.typ != Type::Source {
                entry.insert("maxw".into(), largest.0.into());
            }
            if node.spec.typ != Type::Sink {
                entry.insert("maxr".into(), largest.1.into());
            }
            Value::Object(entry)
        };
        let nodes: Vec<Value> = self.nodes.iter().zip(&self.largest).map(node).collect();
        let mut line = json!({
            "final": true, "t": self.world.now(), "nodes": nodes, "st": states,
            "stuck": self.is_stuck(),
        });
        if let (Some(_), Some(line)) = (&self.group, line.as_object_mut()) {
            line.insert("pl".into(), self.result_name().into());
        }
        line
    }

    /// The last line of level A: outcomes and data.
    fn outcome_line(&self) -> Value {
        if self.scenario.is_skipped() {
            return json!({"final": true, "skip": true});
        }
        let bad = |outcome: &String| outcome.starts_with("error:") || outcome == "aborted";
        let outcomes: Vec<String> = self.nodes.iter().map(|node| Self::outcome(node)).collect();
        let failed = outcomes.iter().any(bad) || self.is_stuck();
        let node = |(node, outcome): (&Rc<Node>, String)| {
            let mut entry = if failed { Map::new() } else { self.data(node) };
            let hidden = failed && !node.spec.is_faulty() && self.nodes.len() > 1;
            let outcome = if hidden { String::from("*") } else { outcome };
            entry.insert("outcome".into(), outcome.into());
            Value::Object(entry)
        };
        let nodes: Vec<Value> = self.nodes.iter().zip(outcomes).map(node).collect();
        let mut line = Map::new();
        line.insert("final".into(), true.into());
        line.insert("nodes".into(), nodes.into());
        if !failed || self.group.is_some() {
            line.insert("stuck".into(), self.is_stuck().into());
        }
        if self.group.is_some() {
            line.insert("pl".into(), self.result_name().into());
        }
        Value::Object(line)
    }
}

/// Pipes each node into the next.
fn wire(scenario: &Scenario, nodes: &[Rc<Node>]) -> Vec<Rc<Edge>> {
    let mut edges = Vec::new();
    let falls = scenario.kind == Kind::Pipeline;
    match (scenario.kind, nodes) {
        (Kind::Pipe | Kind::Pipeline, _) => {
            let is_sink = |node: &&Rc<Node>| node.spec.typ == Type::Sink;
            let first_sink = nodes.len().saturating_sub(nodes.iter().filter(is_sink).count());
            let (heads, sinks) = nodes.split_at(first_sink);
            for pair in heads.windows(2) {
                if let [from, to] = pair {
                    edges.push(Edge::new(from, std::slice::from_ref(to), falls));
                }
            }
            edges.extend(heads.last().map(|from| Edge::new(from, sinks, falls)));
        }
        (Kind::Merge, [sources @ .., sink]) => {
            edges.extend(
                sources.iter().map(|from| Edge::new(from, std::slice::from_ref(sink), falls)),
            );
        }
        _ => return edges,
    }
    for node in nodes {
        // the edges have their own
        if let Some(door) = node.input.take() {
            door.end();
        }
    }
    edges
}

fn insert(data: &mut Map<String, Value>, arrived: &Arrived, [count, total, sum]: [&str; 3]) {
    data.insert(count.into(), arrived.count.into());
    data.insert(total.into(), arrived.total.into());
    data.insert(sum.into(), arrived.sum().into());
}

/// The results of the writes, run-length coded.
fn results(acks: &[Ack]) -> String {
    let name = |ack: &Ack| match ack {
        Ack::Pending | Ack::InFlight => String::from("pending"),
        Ack::Ok => String::from("ok"),
        Ack::Unknown => String::from("?"),
        Ack::Error(name) => name.clone(),
    };
    let mut runs: Vec<(String, usize)> = Vec::new();
    for name in acks.iter().map(name) {
        match runs.last_mut() {
            Some((last, count)) if *last == name => *count = count.saturating_add(1),
            _ => runs.push((name, 1)),
        }
    }
    let runs: Vec<String> = runs.iter().map(|(name, count)| format!("{name}*{count}")).collect();
    runs.join(" ")
}
