//! How do chunks get from one stream into the next?
//!
//! A plain pipe with any number of destinations, each of which may be taken
//! off while it runs: a loop over next, write and drained. A failure on either
//! side is left there.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use standpipe::{Flow, Writable};

use super::data::Chunk;
use super::node::Node;
use super::world::Signal;

/// All that hangs on one source.
pub(crate) struct Edge {
    pub(crate) from: Rc<Node>,
    to: Vec<Destination>,
    signal: Signal,
}

struct Destination {
    node: Rc<Node>,
    /// Kept when it is removed, or the destination would see it abandoned.
    door: RefCell<Option<Writable<Chunk>>>,
    removed: Cell<bool>,
    /// In a pipeline a destination that is destroyed stays until it has closed,
    /// which ends the source, too: one chunk is lost and then waited for.
    stays: bool,
}

impl Destination {
    fn is_there(&self) -> bool {
        !self.removed.get() && (self.stays || !self.node.is_over())
    }
}

impl Edge {
    /// Joins `from` to each of `to`. The first edge into a node has its door,
    /// the others a clone.
    pub(crate) fn new(from: &Rc<Node>, to: &[Rc<Node>], is_pipeline: bool) -> Rc<Self> {
        let destination = |node: &Rc<Node>| {
            node.sources.borrow_mut().push(Rc::downgrade(from));
            from.destinations.borrow_mut().push(Rc::downgrade(node));
            node.feeders.set(node.feeders.get().saturating_add(1));
            Destination {
                node: node.clone(),
                door: RefCell::new(node.input.borrow().clone()),
                removed: Cell::new(false),
                stays: is_pipeline,
            }
        };
        let to = to.iter().map(destination).collect();
        Rc::new(Self { from: from.clone(), to, signal: Signal::default() })
    }

    /// Takes a destination off.
    pub(crate) fn remove(&self, k: usize) {
        for destination in self.to.iter().filter(|destination| destination.node.k == k) {
            destination.removed.set(true);
        }
        self.signal.ring();
    }

    /// Moves everything, then ends the destinations if that is wanted.
    pub(crate) async fn run(self: Rc<Self>, end: bool) {
        while let Some(chunk) = self.next().await {
            let mut waited = Vec::new();
            for destination in self.to.iter().filter(|destination| destination.is_there()) {
                let door = destination.door.borrow();
                let Some(door) = door.as_ref() else { continue };
                match door.write(chunk.clone()) {
                    Ok(Flow::Ready) => {}
                    Ok(Flow::Wait) => waited.push(destination),
                    Err(_) if destination.stays => waited.push(destination),
                    Err(_) => destination.removed.set(true),
                }
            }
            self.from.see_spent();
            for destination in waited {
                self.drained(destination).await;
            }
        }
        if end {
            self.end();
        } else {
            std::future::pending::<()>().await; // keeps the doors open
        }
    }

    fn end(&self) {
        for destination in self.to.iter().filter(|destination| destination.is_there()) {
            let node = &destination.node;
            node.feeders.set(node.feeders.get().saturating_sub(1));
            if node.feeders.get() == 0 {
                node.tell_drains();
                node.ended.set(true);
            }
            if let Some(door) = destination.door.take() {
                door.end();
            }
        }
    }

    /// The next chunk; none at the end. Waits while nobody wants it, and for
    /// ever if the source was destroyed.
    async fn next(&self) -> Option<Chunk> {
        poll_fn(|cx| {
            self.signal.watch(cx);
            if !self.to.iter().any(Destination::is_there) {
                return Poll::Pending;
            }
            let mut output = self.from.output.borrow_mut();
            let Some(readable) = output.as_mut() else {
                self.from.signal.watch(cx);
                return if self.from.spent.get() { Poll::Ready(None) } else { Poll::Pending };
            };
            match Pin::new(&mut readable.next()).poll(cx) {
                Poll::Ready(Some(Ok(chunk))) => Poll::Ready(Some(chunk)),
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Ready(Some(Err(_))) | Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Waits until a destination has drained or is gone.
    async fn drained(&self, destination: &Destination) {
        let Some(door) = destination.door.borrow().clone() else { return };
        {
            let mut drained = pin!(door.drained());
            poll_fn(|cx| {
                self.signal.watch(cx);
                if !destination.is_there() {
                    return Poll::Ready(());
                }
                match drained.as_mut().poll(cx) {
                    Poll::Ready(Err(_)) if destination.stays => Poll::Pending,
                    polled => polled.map(drop),
                }
            })
            .await;
        }
        door.end(); // a clone for the wait alone
    }
}
