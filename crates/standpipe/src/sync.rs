//! Std or loom?
//!
//! The one door to locks and atomics, so that the same tank runs on the
//! machine's memory and on loom's model of it.
//!
//! # Knows / never knows
//! Knows locks and atomics. Never knows what they guard. So a room that needs
//! one takes it from here, and `--cfg loom` swaps all of them at once.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

use std::sync::PoisonError;

/// Locks, and goes on after a panic of another holder: every critical section
/// of this crate leaves its state whole before it calls foreign code.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
