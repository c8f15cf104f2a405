//! Which of our streams were open when we were started?
//!
//! Before `main` runs, the standard library fills a closed stream with `/dev/null`, and a copy into it would end
//! well and be lost. Afterwards the two cannot be told apart: a caller may well have passed `/dev/null`, open both
//! ways. So the question is asked earlier, by a function that the loader calls before all others.
//!
//! # Knows / never knows
//! Knows three descriptors. Never knows who needs them.
//!
//! This is the only file of the command with `unsafe` in it, and the one place where something is global: a
//! process has these streams once.

use std::sync::atomic::{AtomicU8, Ordering};

use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio;

/// One bit a descriptor: 1 if it was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);

// SAFETY: `.init_array` is a list of functions without arguments or result that the loader calls one after the
// other, before `main` and on the only thread; the type of the static is that of its entries. What is called does
// no more than three system calls, made without libc, and one store: it needs nothing of the standard library, does
// not allocate, and cannot panic.
#[expect(unsafe_code, reason = "there is no other way to be called before the standard library")]
#[used]
#[unsafe(link_section = ".init_array")]
static ASK: extern "C" fn() = ask;

extern "C" fn ask() {
    let mut closed = 0;
    for (bit, stream) in [stdio::stdin(), stdio::stdout(), stdio::stderr()].into_iter().enumerate()
    {
        if fcntl_getfd(stream) == Err(Errno::BADF) {
            closed |= 1 << bit;
        }
    }
    CLOSED.store(closed, Ordering::Relaxed);
}

/// Says whether descriptor 0, 1 or 2 was closed when we were started.
pub(crate) fn was_closed(descriptor: u8) -> bool {
    (CLOSED.load(Ordering::Relaxed) >> descriptor) & 1 == 1
}
