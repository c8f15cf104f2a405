//! The door into a tank, held by something that is polled.

use std::task::{Context, Poll};

use crate::error::{Cause, CauseKind};
use crate::tank::Writable;

/// A writer of a tank and its seat among those who wait, which is given up
/// when this is dropped.
pub(super) struct Entry<T> {
    writable: Option<Writable<T>>,
    ticket: Option<u64>,
}

impl<T> Entry<T> {
    pub(super) const fn new(writable: Writable<T>) -> Self {
        Self { writable: Some(writable), ticket: None }
    }

    /// The writer, until it has ended.
    pub(super) const fn writable(&self) -> Option<&Writable<T>> {
        self.writable.as_ref()
    }

    /// Waits for an open tank. No promise: another writer may be quicker.
    pub(super) fn poll_open(&mut self, cx: &Context<'_>) -> Poll<Result<&Writable<T>, Cause>> {
        let Some(writable) = &self.writable else {
            return Poll::Ready(Err(Cause::new(CauseKind::Misused)));
        };
        writable.core().poll_open(cx, &mut self.ticket).map_ok(|()| writable)
    }

    /// Ends the data, once.
    pub(super) fn end(&mut self) {
        self.leave();
        if let Some(writable) = self.writable.take() {
            writable.end();
        }
    }

    fn leave(&mut self) {
        if let (Some(writable), Some(ticket)) = (&self.writable, self.ticket.take()) {
            writable.core().leave(ticket);
        }
    }
}

impl<T> Drop for Entry<T> {
    fn drop(&mut self) {
        self.leave();
    }
}
