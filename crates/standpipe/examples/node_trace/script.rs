//! Who writes and reads by hand? The script's ops on one stream, its background
//! producer and its consumer.
//!
//! Some steps have no counterpart in standpipe's types, because a handle is
//! consumed by its end: a write after the end or after a destroy, a push after
//! the end of the data, a second end, a cork after the end. They are answered
//! here, with the names that Node's rules give them.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use serde_json::Value;
use standpipe::Flow;
use standpipe::tank::Corked;

use super::data::{Arrived, Chunk, Data, Maker, len};
use super::node::{Ack, Node};
use super::scenario::{Consumer, Mode, nth};
use super::world::Slot;

/// The script's hands.
#[derive(Default)]
pub(crate) struct Hands {
    maker: Maker,
    corks: Vec<Corked<Chunk>>,
}

impl Hands {
    /// One write; the answer.
    pub(crate) fn write(&mut self, node: &Node, v: u64) -> bool {
        self.put(node, v, true)
    }

    fn put(&mut self, node: &Node, v: u64, acknowledged: bool) -> bool {
        let mut chunk = self.maker.make(node.spec.write_items, v);
        let refused = if node.is_over() {
            Some("DESTROYED")
        } else if node.ended.get() {
            Some("WRITE_AFTER_END")
        } else {
            None
        };
        if acknowledged {
            let mut acks = node.acks.borrow_mut();
            chunk.write = Some(acks.len());
            acks.push(refused.map_or(Ack::Pending, |name| Ack::Error(name.to_owned())));
        }
        if refused == Some("WRITE_AFTER_END") {
            node.fail("WRITE_AFTER_END");
        }
        match (refused, &*node.input.borrow()) {
            (None, Some(input)) => input.write(chunk).is_ok_and(|flow| flow == Flow::Ready),
            _ => false,
        }
    }

    /// Writes all and ignores the answers; how many were false.
    pub(crate) fn flood(&mut self, node: &Node, sizes: &[u64]) -> usize {
        sizes.iter().filter(|v| !self.write(node, **v)).count()
    }

    pub(crate) fn end(&mut self, node: &Node, v: Option<u64>) {
        if let Some(v) = v {
            self.put(node, v, false);
        }
        self.corks.clear();
        node.late_corks.set(0);
        node.signal.ring();
        if !node.ended.get() && !node.is_over() {
            node.end();
        }
    }

    pub(crate) fn cork(&mut self, node: &Node) {
        if node.ended.get() {
            node.late_corks.set(node.late_corks.get().saturating_add(1));
        } else if let Some(input) = &*node.input.borrow() {
            self.corks.push(input.cork());
        }
    }

    pub(crate) fn uncork(&mut self, node: &Node) {
        drop(self.corks.pop());
        node.late_corks.set(node.late_corks.get().saturating_sub(1));
        node.signal.ring();
    }
}

/// A background producer that heeds every answer.
pub(crate) async fn produce(node: Rc<Node>, hands: Rc<RefCell<Hands>>, job: (Vec<u64>, bool)) {
    let (sizes, end) = job;
    if !drained(&node).await {
        return;
    }
    for v in sizes {
        if node.is_over() || node.ended.get() {
            return;
        }
        let answer = hands.borrow_mut().write(&node, v);
        node.emit("p", format!("{v}{}", if answer { '+' } else { '-' }));
        if !answer && !drained(&node).await {
            return;
        }
    }
    if end && !node.is_over() && !node.ended.get() {
        node.emit("p", "end");
        hands.borrow_mut().end(&node, None);
    }
}

/// Waits until no drain is owed; false if the stream ended or was destroyed.
async fn drained(node: &Node) -> bool {
    let Some(input) = node.input.borrow().clone() else { return false };
    let drained = {
        let mut drained = pin!(input.drained());
        poll_fn(|cx| {
            if node.ended.get() || node.is_over() {
                return Poll::Ready(false);
            }
            node.signal.watch(cx);
            drained.as_mut().poll(cx).map(|drained| drained.is_ok())
        })
        .await
    };
    input.end(); // a clone for the wait alone
    drained
}

/// What the consumer took.
#[derive(Debug, Default)]
pub(crate) struct Taken(pub(crate) RefCell<Arrived>);

/// Puts a chunk, or the end of the data, into a source; the answer.
pub(crate) fn push(hands: &mut Hands, node: &Node, v: Option<u64>) -> bool {
    if node.is_over() {
        return false;
    }
    let Some(v) = v else {
        if let Some(out) = node.outlet.take() {
            out.end();
        }
        return false;
    };
    let chunk = hands.maker.make(node.spec.read_items, v);
    let outlet = node.outlet.borrow();
    let Some(out) = outlet.as_ref() else {
        drop(outlet);
        node.fail("PUSH_AFTER_EOF");
        return false;
    };
    if chunk.is_nothing() {
        return !node.owes_room();
    }
    out.write(chunk).is_ok_and(|flow| flow == Flow::Ready)
}

/// Puts a chunk back at the front; the answer.
pub(crate) fn unshift(node: &Node, v: u64) -> bool {
    let mut output = node.output.borrow_mut();
    let Some(readable) = output.as_mut() else { return false };
    if node.is_over() {
        return false;
    }
    let chunk = Chunk::made_up(node.spec.read_items, v);
    if !chunk.is_nothing() {
        readable.unshift(chunk);
    }
    !readable.has_ended() && readable.level() < readable.high_water_mark()
}

/// A read by hand: what was taken, as traces have it.
pub(crate) fn read(node: &Node, taken: &Taken, n: Option<u64>) -> Value {
    let parts = take(node, n);
    if parts.is_empty() || node.spec.read_mark > 0 {
        node.want();
    }
    node.read_now.set(true);
    let Some(first) = parts.first() else { return Value::Null };
    taken.0.borrow_mut().add(&parts);
    match first {
        Data::Item(v) => Value::from(*v),
        Data::Bytes(_) => Value::from(bytes_in(&parts)),
    }
}

fn bytes_in<'a>(parts: impl IntoIterator<Item = &'a Data>) -> usize {
    let len = |part: &Data| if let Data::Bytes(bytes) = part { bytes.len() } else { 0 };
    parts.into_iter().map(len).sum()
}

/// One item, or `n` bytes (all without a number); nothing if there is not
/// enough.
fn take(node: &Node, n: Option<u64>) -> Vec<Data> {
    let mut output = node.output.borrow_mut();
    let Some(readable) = output.as_mut() else { return Vec::new() };
    if node.is_over() {
        return Vec::new();
    }
    if node.spec.read_items {
        return readable.try_next().map(|chunk| chunk.data).into_iter().collect();
    }
    let level = readable.level();
    let mut left = match n.map(len) {
        None => level,
        Some(n) if n <= level => n,
        Some(_) if readable.has_ended() => level,
        Some(_) => 0,
    };
    let mut parts = Vec::new();
    while left > 0 {
        let split = |chunk: &mut Chunk| match &mut chunk.data {
            Data::Bytes(bytes) if bytes.len() > left => {
                Some(Chunk::new(Data::Bytes(bytes.split_off(left))))
            }
            _ => None,
        };
        let Some(chunk) = readable.try_next_part(split) else { break };
        left = left.saturating_sub(bytes_in([&chunk.data]));
        parts.push(chunk.data);
    }
    parts
}

/// Reads to the end without being asked.
pub(crate) async fn consume(node: Rc<Node>, taken: Rc<Taken>, how: Consumer) {
    match how.mode {
        Mode::Manual => {}
        Mode::Flow => flow(&node, &taken).await,
        Mode::Iterate => iterate(&node, &taken, &how).await,
    }
}

/// What a wait for the next chunk comes to.
enum Next {
    Chunk(Chunk),
    End,
    Over,
}

async fn next(node: &Node) -> Next {
    poll_fn(|cx| {
        node.signal.watch(cx);
        let mut output = node.output.borrow_mut();
        let Some(readable) = output.as_mut().filter(|_| !node.is_over()) else {
            return Poll::Ready(Next::Over);
        };
        Pin::new(&mut readable.next()).poll(cx).map(|next| match next {
            Some(Ok(chunk)) => Next::Chunk(chunk),
            Some(Err(_)) => Next::Over,
            None => Next::End,
        })
    })
    .await
}

async fn flow(node: &Node, taken: &Taken) {
    loop {
        match next(node).await {
            Next::Chunk(chunk) => {
                node.emit("c", chunk.v().to_string());
                taken.0.borrow_mut().add([&chunk.data]);
            }
            Next::End => return node.tell_read_end(),
            Next::Over => return,
        }
    }
}

async fn iterate(node: &Node, taken: &Taken, how: &Consumer) {
    let mut index: u64 = 0;
    loop {
        match next(node).await {
            Next::Chunk(chunk) => {
                let mut parts = vec![chunk.data];
                if !node.spec.read_items {
                    parts.append(&mut take(node, None)); // Node joins what is buffered
                }
                let v = match parts.first() {
                    Some(Data::Item(v)) => v.to_string(),
                    _ => bytes_in(&parts).to_string(),
                };
                node.emit("c", v);
                taken.0.borrow_mut().add(&parts);
                node.see_read_end();
            }
            Next::End => {
                node.tell_read_end();
                continue;
            }
            Next::Over => break,
        }
        let busy = nth(&how.delays, index).copied().unwrap_or(1);
        index = index.saturating_add(1);
        if how.break_after.is_some_and(|after| index >= after) {
            node.emit("c", "break");
            node.tell_drains();
            node.member.stop();
            return;
        }
        node.world.sleep(node.k, Slot::Consumer, busy).await;
    }
    node.signal.until(|| node.closed.get()).await;
    let said = match &*node.error.borrow() {
        Some(name) => format!("throw:{name}"),
        None if node.consumed.get() => String::from("done"),
        None => String::from("throw:PREMATURE_CLOSE"),
    };
    node.emit("c", said);
}

/// Stops and lets go a flowing consumer.
pub(crate) fn hold(node: &Node, held: bool) {
    if let Some(readable) = &*node.output.borrow() {
        if held {
            readable.pause();
        } else {
            readable.resume();
        }
    }
}
