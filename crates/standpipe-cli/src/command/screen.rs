//! How do several threads share one display?
//!
//! The run and the pumps of the commands' stderr write to it; whoever writes holds it for that long, so that lines
//! are whole.
//!
//! # Knows / never knows
//! Knows a view. Never knows what it shows.

use std::fmt;
use std::io::Stderr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::end::EndError;
use crate::exit::Exit;
use crate::plan::Plan;
use crate::view::{Report, View};

/// A display that threads share.
#[derive(Clone)]
pub(crate) struct Screen(Arc<Mutex<View<Stderr>>>);

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

impl Screen {
    /// Makes the display that a plan wants.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self(Arc::new(Mutex::new(View::on_stderr(&plan.display, plan.name.as_deref()))))
    }

    /// Shows something.
    pub(crate) fn show(&self, draw: impl FnOnce(&mut View<Stderr>)) {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Tells something.
    pub(crate) fn tell(&self, report: &Report) {
        self.show(|view| view.report(report));
    }

    /// Tells what an end said, and gives the exit that means.
    pub(crate) fn refuse(&self, error: EndError) -> Exit {
        self.tell(&crate::command::report::end_failed(error));
        Exit::Standpipe
    }
}
