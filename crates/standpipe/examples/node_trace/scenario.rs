//! What is to be run? Scenarios, parsed and checked once.
//!
//! From here inward every number is in range and every op fits its kind, so
//! the rest of the runner has no "malformed" case.

use serde_json::{Map, Value};

/// What kind of chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sink, written by the script.
    Writable,
    /// A source, read by the consumer.
    Readable,
    /// A transform between script and consumer.
    Transform,
    /// A chain whose errors stay where they are.
    Pipe,
    /// A chain that stands and falls together.
    Pipeline,
    /// Sources into one sink.
    Merge,
}

impl Kind {
    /// Its name in scenarios and traces.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Writable => "writable",
            Self::Readable => "readable",
            Self::Transform => "transform",
            Self::Pipe => "pipe",
            Self::Pipeline => "pipeline",
            Self::Merge => "merge",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Writable, Self::Readable, Self::Transform, Self::Pipe, Self::Pipeline, Self::Merge]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// Whether its nodes are joined by pipes.
    pub(crate) const fn is_chain(self) -> bool {
        matches!(self, Self::Pipe | Self::Pipeline | Self::Merge)
    }

    const fn is_written(self) -> bool {
        matches!(self, Self::Writable | Self::Transform)
    }

    const fn is_read(self) -> bool {
        matches!(self, Self::Readable | Self::Transform)
    }
}

/// What kind of node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Source,
    Transform,
    Sink,
}

/// `construct`, `final` and `flush`.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) delay: u64,
    pub(crate) fail: bool,
    pub(crate) out: Vec<u64>,
}

/// One node as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct NodeSpec {
    pub(crate) typ: Type,
    /// Mark of the writable half, if it has one.
    pub(crate) write_mark: usize,
    /// Mark of the readable half, if it has one.
    pub(crate) read_mark: usize,
    pub(crate) write_items: bool,
    pub(crate) read_items: bool,
    pub(crate) delays: Vec<u64>,
    pub(crate) fail_at: Option<u64>,
    pub(crate) hang_at: Option<u64>,
    pub(crate) construct: Option<Hook>,
    pub(crate) destroy_delay: u64,
    pub(crate) chunks: Vec<u64>,
    pub(crate) push_mode: bool,
    pub(crate) ends: bool,
    pub(crate) writev: bool,
    /// `final` of a sink, `flush` of a transform.
    pub(crate) last: Option<Hook>,
    pub(crate) out: Vec<Vec<u64>>,
}

/// How the script's consumer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Manual,
    Flow,
    Iterate,
}

/// Who reads the only node.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) mode: Mode,
    pub(crate) delays: Vec<u64>,
    pub(crate) break_after: Option<u64>,
}

/// What `await` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Drain,
    Finish,
    End,
    Close,
}

/// One operation of the script.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write(u64),
    End(Option<u64>),
    Cork,
    Uncork,
    Produce { sizes: Vec<u64>, end: bool },
    Flood(Vec<u64>),
    Destroy { at: usize, message: Option<String> },
    Push(Option<u64>),
    Unshift(u64),
    Read(Option<u64>),
    Pause,
    Resume,
    Unpipe { at: usize, from: usize },
    Abort,
    Tick(u64),
    Idle,
    Await { event: Event, at: usize },
    Batch(Vec<Self>),
}

impl Op {
    /// Its name in scenarios and traces.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Write(_) => "write",
            Self::End(_) => "end",
            Self::Cork => "cork",
            Self::Uncork => "uncork",
            Self::Produce { .. } => "produce",
            Self::Flood(_) => "flood",
            Self::Destroy { .. } => "destroy",
            Self::Push(_) => "push",
            Self::Unshift(_) => "unshift",
            Self::Read(_) => "read",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Unpipe { .. } => "unpipe",
            Self::Abort => "abort",
            Self::Tick(_) => "tick",
            Self::Idle => "idle",
            Self::Await { .. } => "await",
            Self::Batch(_) => "batch",
        }
    }
}

/// A scenario that makes sense.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) nodes: Vec<NodeSpec>,
    pub(crate) ops: Vec<Op>,
    pub(crate) consumer: Consumer,
    pub(crate) end: bool,
    /// Class B: the whole trace is normative.
    pub(crate) whole: bool,
}

/// Largest size or count: content and sums are 32 bits wide.
const LARGEST: u64 = u32::MAX as u64;

/// A JSON object and where it stands, for messages.
struct Fields<'a> {
    what: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn new(what: impl Into<String>, value: &'a Value) -> Result<Self, String> {
        let what = what.into();
        let map = value.as_object().ok_or_else(|| format!("{what} is not a JSON object"))?;
        Ok(Self { what, map })
    }

    /// A value that is there and not null.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn wrong(&self, key: &str, wanted: &str) -> String {
        format!("`{key}` of {} is not {wanted}", self.what)
    }

    fn text(&self, key: &str) -> Result<&'a str, String> {
        match self.get(key) {
            Some(value) => value.as_str().ok_or_else(|| self.wrong(key, "a string")),
            None => Err(format!("{} has no `{key}`", self.what)),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        let flag = |value: &Value| value.as_bool().ok_or_else(|| self.wrong(key, "true or false"));
        self.get(key).map_or(Ok(default), flag)
    }

    fn number(&self, key: &str) -> Result<Option<u64>, String> {
        self.get(key).map(|value| number(value).ok_or_else(|| self.wrong(key, WHOLE))).transpose()
    }

    fn need(&self, key: &str) -> Result<u64, String> {
        self.number(key)?.ok_or_else(|| format!("{} has no `{key}`", self.what))
    }

    fn list(&self, key: &str) -> Result<Option<&'a [Value]>, String> {
        let list = |value: &'a Value| {
            value.as_array().map(Vec::as_slice).ok_or_else(|| self.wrong(key, "a list"))
        };
        self.get(key).map(list).transpose()
    }

    fn numbers(&self, key: &str) -> Result<Option<Vec<u64>>, String> {
        let Some(list) = self.list(key)? else { return Ok(None) };
        let numbers: Option<Vec<u64>> = list.iter().map(number).collect();
        numbers.map(Some).ok_or_else(|| self.wrong(key, "a list of whole numbers from 0"))
    }

    fn hook(&self, key: &str) -> Result<Option<Hook>, String> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let fields = Fields::new(format!("`{key}` of {}", self.what), value)?;
        Ok(Some(Hook {
            delay: fields.number("delay")?.unwrap_or(1),
            fail: fields.flag("fail", false)?,
            out: fields.numbers("out")?.unwrap_or_default(),
        }))
    }
}

const WHOLE: &str = "a whole number from 0";

/// A whole number from 0; 1.0 is one.
fn number(value: &Value) -> Option<u64> {
    let number = value.as_u64().or_else(|| {
        let float = value.as_f64()?;
        let whole = float >= 0.0 && float <= f64::from(u32::MAX) && float.fract() == 0.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        whole.then_some(float as u64)
    })?;
    (number <= LARGEST).then_some(number)
}

fn not_empty<T>(list: Vec<T>, key: &str, what: &str) -> Result<Vec<T>, String> {
    if list.is_empty() { Err(format!("`{key}` of {what} is empty")) } else { Ok(list) }
}

impl NodeSpec {
    fn parse(index: usize, value: &Value) -> Result<Self, String> {
        let node = Fields::new(format!("node {index}"), value)?;
        let typ = match node.text("type")? {
            "source" => Type::Source,
            "transform" => Type::Transform,
            "sink" => Type::Sink,
            other => return Err(format!("unknown node type `{other}`")),
        };
        let (write_mark, read_mark) = match typ {
            Type::Source => (0, node.need("hwm")?),
            Type::Sink => (node.need("hwm")?, 0),
            Type::Transform => (node.need("whwm")?, node.need("rhwm")?),
        };
        let items = node.flag("obj", false)?;
        let push_mode = match node.get("mode").map(Value::as_str) {
            Some(Some("push")) if typ == Type::Source => true,
            Some(_) if typ != Type::Source => false, // not a key of theirs
            None => false,
            Some(_) => return Err(format!("unknown mode of node {index}")),
        };
        let delays = node.numbers("delays")?.unwrap_or_else(|| vec![1]);
        Ok(Self {
            typ,
            write_mark: usize::try_from(write_mark).map_err(|error| error.to_string())?,
            read_mark: usize::try_from(read_mark).map_err(|error| error.to_string())?,
            write_items: node.flag("wObj", items)?,
            read_items: node.flag("rObj", items)?,
            delays: not_empty(delays, "delays", &node.what)?,
            fail_at: node.number("failAt")?,
            hang_at: node.number("hangAt")?,
            construct: node.hook("construct")?,
            destroy_delay: node.number("destroyDelay")?.unwrap_or(0),
            chunks: node.numbers("chunks")?.unwrap_or_default(),
            push_mode,
            ends: node.flag("end", true)?,
            writev: node.flag("writev", false)?,
            last: node.hook(if typ == Type::Transform { "flush" } else { "final" })?,
            out: Self::outputs(&node)?,
        })
    }

    fn outputs(node: &Fields<'_>) -> Result<Vec<Vec<u64>>, String> {
        let Some(list) = node.list("out")? else { return Ok(vec![vec![0]]) };
        let numbers =
            |value: &Value| -> Option<Vec<u64>> { value.as_array()?.iter().map(number).collect() };
        let lists: Option<Vec<Vec<u64>>> = list.iter().map(numbers).collect();
        let lists = lists.ok_or_else(|| node.wrong("out", "a list of lists of whole numbers"))?;
        not_empty(lists, "out", &node.what)
    }

    /// Whether something is set to go wrong here.
    pub(crate) fn is_faulty(&self) -> bool {
        let fails = |hook: &Option<Hook>| hook.as_ref().is_some_and(|hook| hook.fail);
        self.fail_at.is_some()
            || self.hang_at.is_some()
            || fails(&self.last)
            || fails(&self.construct)
    }

    /// How long its operation `index` takes.
    pub(crate) fn delay(&self, index: u64) -> u64 {
        nth(&self.delays, index).copied().unwrap_or(1)
    }

    /// Whether it has a mark of 0.
    fn has_zero_mark(&self) -> bool {
        (self.typ != Type::Source && self.write_mark == 0)
            || (self.typ != Type::Sink && self.read_mark == 0)
    }
}

/// Entry `index` of a list that begins again at its end.
pub(crate) fn nth<T>(list: &[T], index: u64) -> Option<&T> {
    let len = u64::try_from(list.len()).ok()?;
    list.get(usize::try_from(index.checked_rem(len)?).ok()?)
}

impl Consumer {
    fn parse(value: Option<&Value>) -> Result<Self, String> {
        let mut consumer = Self { mode: Mode::Manual, delays: vec![1], break_after: None };
        let Some(value) = value else { return Ok(consumer) };
        let fields = Fields::new("`consumer`", value)?;
        consumer.mode = match fields.get("mode").map(Value::as_str) {
            None | Some(Some("manual")) => Mode::Manual,
            Some(Some("flow")) => Mode::Flow,
            Some(Some("iterate")) => Mode::Iterate,
            Some(_) => return Err(String::from("unknown mode of `consumer`")),
        };
        if let Some(delays) = fields.numbers("delays")? {
            consumer.delays = not_empty(delays, "delays", "`consumer`")?;
        }
        consumer.break_after = fields.number("breakAfter")?;
        Ok(consumer)
    }
}

/// What an op has to fit.
struct Frame<'a> {
    kind: Kind,
    nodes: &'a [NodeSpec],
    mode: Mode,
}

impl Frame<'_> {
    fn ops(&self, list: &[Value]) -> Result<Vec<Op>, String> {
        let op = |(index, value)| {
            let op = Fields::new(format!("op {index}"), value)?;
            let name = op.text("op")?;
            let (parsed, fits) = self.op(&op, name)?;
            if fits {
                Ok(parsed)
            } else {
                Err(format!("kind {} has no op `{name}` here (op {index})", self.kind.name()))
            }
        };
        list.iter().enumerate().map(op).collect()
    }

    /// A node index in an op.
    fn place(&self, op: &Fields<'_>, key: &str, default: usize) -> Result<usize, String> {
        let place = match op.number(key)? {
            Some(place) => usize::try_from(place).map_err(|error| error.to_string())?,
            None => default,
        };
        if place < self.nodes.len() {
            Ok(place)
        } else {
            Err(format!("`{key}` of {} is outside `nodes`", op.what))
        }
    }

    /// The op, and whether this kind and mode have it.
    fn op(&self, op: &Fields<'_>, name: &str) -> Result<(Op, bool), String> {
        let kind = self.kind;
        let last = self.nodes.len().saturating_sub(1);
        let chain_end = if matches!(kind, Kind::Pipe | Kind::Pipeline) { last } else { 0 };
        let at = self.place(op, "at", chain_end)?;
        let manual = kind.is_read() && self.mode == Mode::Manual;
        let flow = kind.is_read() && self.mode == Mode::Flow;
        let pushes = kind == Kind::Readable && self.nodes.iter().any(|node| node.push_mode);
        let sizes = || op.numbers("sizes")?.ok_or_else(|| format!("{} has no `sizes`", op.what));
        Ok(match name {
            "write" => (Op::Write(op.need("n")?), kind.is_written()),
            "end" => (Op::End(op.number("n")?), kind.is_written()),
            "cork" => (Op::Cork, kind.is_written()),
            "uncork" => (Op::Uncork, kind.is_written()),
            "produce" => {
                (Op::Produce { sizes: sizes()?, end: op.flag("end", true)? }, kind.is_written())
            }
            "flood" => (Op::Flood(sizes()?), kind.is_written()),
            "destroy" => {
                let message = match op.get("msg") {
                    None => None,
                    Some(Value::String(message)) => Some(message.clone()),
                    Some(_) => return Err(op.wrong("msg", "a string or null")),
                };
                (Op::Destroy { at, message }, true)
            }
            "push" => match op.map.get("n") {
                Some(Value::Null) => (Op::Push(None), pushes),
                _ => (Op::Push(Some(op.need("n")?)), pushes),
            },
            "unshift" => (Op::Unshift(op.need("n")?), kind == Kind::Readable && manual),
            "read" => (Op::Read(op.number("n")?), manual),
            "pause" => (Op::Pause, flow),
            "resume" => (Op::Resume, flow),
            "unpipe" => {
                let at = self.place(op, "at", last)?;
                let from = self.place(op, "from", at.wrapping_sub(1))?;
                (Op::Unpipe { at, from }, kind == Kind::Pipe)
            }
            "abort" => (Op::Abort, kind == Kind::Pipeline),
            "tick" => (Op::Tick(op.need("n")?), true),
            "idle" => (Op::Idle, true),
            "await" => {
                let event = match op.text("ev")? {
                    "drain" => Event::Drain,
                    "finish" => Event::Finish,
                    "end" => Event::End,
                    "close" => Event::Close,
                    other => return Err(format!("unknown ev `{other}` of {}", op.what)),
                };
                (Op::Await { event, at: self.place(op, "at", last)? }, true)
            }
            "batch" => {
                let list = op.list("ops")?.ok_or_else(|| format!("{} has no `ops`", op.what))?;
                (Op::Batch(self.ops(list)?), kind.is_written() || kind == Kind::Readable)
            }
            other => return Err(format!("unknown op `{other}`")),
        })
    }
}

/// Whether the nodes make this kind of chain.
fn fits(kind: Kind, nodes: &[NodeSpec]) -> bool {
    let types: Vec<Type> = nodes.iter().map(|node| node.typ).collect();
    match (kind, types.as_slice()) {
        (Kind::Writable, [Type::Sink])
        | (Kind::Readable, [Type::Source])
        | (Kind::Transform, [Type::Transform]) => true,
        (Kind::Pipeline, [Type::Source, middle @ .., Type::Sink]) => {
            middle.iter().all(|typ| *typ == Type::Transform)
        }
        (Kind::Pipe, [Type::Source, rest @ ..]) => {
            let sinks = rest.iter().skip_while(|typ| **typ == Type::Transform);
            rest.last() == Some(&Type::Sink) && sinks.clone().all(|typ| *typ == Type::Sink)
        }
        (Kind::Merge, [sources @ .., Type::Sink]) => {
            !sources.is_empty()
                && sources.iter().all(|typ| *typ == Type::Source)
                && nodes.iter().all(|node| node.write_items && node.read_items)
        }
        _ => false,
    }
}

impl Scenario {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
        let fields = Fields::new("the scenario", &value)?;
        let id = fields.text("id")?.to_owned();
        let name = fields.text("kind")?;
        let kind = Kind::from_name(name).ok_or_else(|| format!("unknown kind `{name}`"))?;
        let list = fields.list("nodes")?.ok_or("the scenario has no `nodes`")?;
        let ops = fields.list("ops")?.ok_or("the scenario has no `ops`")?;
        let nodes: Vec<NodeSpec> = list
            .iter()
            .enumerate()
            .map(|(index, value)| NodeSpec::parse(index, value))
            .collect::<Result<_, _>>()?;
        if !fits(kind, &nodes) {
            return Err(format!("the nodes do not fit kind {name}"));
        }
        let consumer = Consumer::parse(fields.get("consumer"))?;
        let ops = Frame { kind, nodes: &nodes, mode: consumer.mode }.ops(ops)?;
        let end = fields.flag("end", true)?;
        let mut scenario = Self { id, kind, nodes, ops, consumer, end, whole: true };
        scenario.whole = match fields.has("class").then(|| fields.text("class")).transpose()? {
            None => scenario.is_whole(),
            Some("B") => true,
            Some("C") => false,
            Some(other) => return Err(format!("unknown class `{other}`")),
        };
        Ok(scenario)
    }

    /// Class B: nothing in the trace depends on work being done inside a call.
    fn is_whole(&self) -> bool {
        let (kind, nodes) = (self.kind, &self.nodes);
        let chain = kind.is_chain();
        let iterates = kind.is_read() && self.consumer.mode == Mode::Iterate;
        let sinks = nodes.iter().filter(|node| node.typ == Type::Sink).count();
        let produces = self.all_ops().any(|op| matches!(op, Op::Produce { .. } | Op::Flood(_)));
        let loose_node = |node: &NodeSpec| {
            node.has_zero_mark()
                || (node.typ != Type::Source && node.delays.contains(&0))
                || (node.typ == Type::Sink && node.writev && (chain || produces))
                || (node.destroy_delay > 0 && (chain || iterates))
        };
        let by_hand = kind == Kind::Readable && self.consumer.mode == Mode::Manual;
        let loose_source = nodes.first().is_some_and(|node| {
            node.typ == Type::Source
                && node.delays.contains(&0)
                && (node.fail_at.is_some() || by_hand || iterates)
        });
        let over_mark = self.all_ops().any(|op| {
            let Op::Read(Some(n)) = op else { return false };
            let mark = nodes.first().map_or(0, |node| node.read_mark);
            usize::try_from(*n).is_ok_and(|n| n > mark)
        });
        let bytes = nodes.first().is_some_and(|node| !node.read_items);
        !(kind == Kind::Merge
            || (kind == Kind::Pipeline && !self.end)
            || (kind == Kind::Pipe && sinks > 1 && self.end)
            || self.ops.iter().any(|op| matches!(op, Op::Batch(_)))
            || nodes.iter().any(loose_node)
            || loose_source
            || over_mark
            || (iterates && bytes)
            || (kind.is_read() && self.consumer.break_after.is_some()))
    }

    /// Whether the outcome depends on timing, so that level A says nothing.
    pub(crate) fn is_skipped(&self) -> bool {
        let kind = self.kind;
        let steered = |op: &Op| matches!(op, Op::Destroy { .. } | Op::Abort | Op::Unpipe { .. });
        let by_hand = kind.is_read() && self.consumer.mode == Mode::Manual;
        let breaks = kind.is_read() && self.consumer.break_after.is_some();
        let loose = |node: &NodeSpec| {
            node.has_zero_mark()
                || (node.writev && (node.fail_at.is_some() || node.hang_at.is_some()))
        };
        let valve = self.all_ops().filter(|op| matches!(op, Op::Pause | Op::Resume)).last();
        self.all_ops().any(steered)
            || by_hand
            || breaks
            || self.nodes.iter().any(loose)
            || self.writes_after_end()
            || matches!(valve, Some(Op::Pause))
    }

    fn writes_after_end(&self) -> bool {
        let mut ended = false;
        for op in self.all_ops() {
            match op {
                Op::Write(_) | Op::Produce { .. } | Op::Flood(_) | Op::Batch(_) | Op::End(_)
                    if ended =>
                {
                    return true;
                }
                Op::End(_) | Op::Produce { end: true, .. } => ended = true,
                _ => {}
            }
        }
        false
    }

    /// Every op, those inside a batch behind it.
    fn all_ops(&self) -> impl Iterator<Item = &Op> {
        fn flat<'a>(ops: &'a [Op], into: &mut Vec<&'a Op>) {
            for op in ops {
                into.push(op);
                if let Op::Batch(ops) = op {
                    flat(ops, into);
                }
            }
        }
        let mut all = Vec::new();
        flat(&self.ops, &mut all);
        all.into_iter()
    }
}
