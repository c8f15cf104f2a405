//! How many bytes does this process have on the heap?
//!
//! An allocator that adds up what is asked for, while it is told to: at other times it costs a load and a branch per call.
//!
//! # Knows / never knows
//! Knows sizes. Never knows who asked.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

static COUNTS: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, and a count.
pub(crate) struct Counting;

/// The bytes on the heap now, less those that were there before this was first asked.
pub(crate) fn bytes() -> i64 {
    COUNTS.store(true, Ordering::Relaxed);
    BYTES.load(Ordering::Relaxed)
}

fn add(bytes: usize) {
    if COUNTS.load(Ordering::Relaxed) {
        BYTES.fetch_add(bytes as i64, Ordering::Relaxed);
    }
}

fn take(bytes: usize) {
    if COUNTS.load(Ordering::Relaxed) {
        BYTES.fetch_sub(bytes as i64, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches atomics only and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        take(layout.size());
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(layout.size());
        add(size);
        // SAFETY: as for `dealloc`, and the caller promises a size that is not 0.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
