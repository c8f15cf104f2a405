//! A guard that holds a tank's reader back, so that writes arrive together.

use std::fmt;

use crate::tank::queue::Shared;

/// Holds the reader back until it is dropped. See
/// [`Writable::cork`](crate::tank::Writable::cork).
#[must_use = "dropping it uncorks the tank"]
pub struct Corked<T> {
    core: Shared<T>,
}

impl<T> Corked<T> {
    pub(super) fn new(core: &Shared<T>) -> Self {
        core.cork();
        Self { core: core.clone() }
    }
}

impl<T> Drop for Corked<T> {
    fn drop(&mut self) {
        self.core.uncork();
    }
}

impl<T> fmt::Debug for Corked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Corked").field("tank", &self.core.name()).finish_non_exhaustive()
    }
}
