//! Replacing a value while workers read it.
//!
//! A reader looks at one word that all share and that is not written while nothing changes. Only when the word
//! has changed does it fetch the value. What was replaced is freed when the last reader has let go of it
//! (crossbeam's epochs), as in the read-copy-update of kernels. No thread waits for another.
//!
//! This file imports nothing of Ringway: `tests/interleavings` compiles it by itself, with atomics that
//! run through every order in which threads can meet.

use std::sync::Arc;

#[cfg(not(crossbeam_loom))]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

#[cfg(not(crossbeam_loom))]
use crossbeam::epoch;
// The package of the epochs alone has a feature for loom.
#[cfg(crossbeam_loom)]
use crossbeam_epoch as epoch;
use epoch::Atomic;
use epoch::Owned;
#[cfg(crossbeam_loom)]
use loom::sync::atomic::AtomicU64;

/// A value and the number of its generation.
pub struct RcuCell<T> {
    generation: AtomicU64,
    /// Never null.
    current: Atomic<Arc<T>>,
}

/// Generations differ over all cells, so that a reader that remembers one knows its value.
static GENERATIONS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

fn next_generation() -> u64 {
    GENERATIONS.fetch_add(1, Ordering::Relaxed)
}

/// Rounds of collection after a replacement. An epoch ends when every thread has seen it, and garbage is
/// freed two epochs later.
const COLLECTIONS: usize = 4;

impl<T> RcuCell<T> {
    pub fn new(first: Arc<T>) -> RcuCell<T> {
        RcuCell { generation: AtomicU64::new(next_generation()), current: Atomic::new(first) }
    }

    /// The generation of the value that [`RcuCell::load`] would give, or of one that was replaced a
    /// moment ago.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The value, with a generation that is not newer than it.
    pub fn load(&self) -> (u64, Arc<T>) {
        let generation = self.generation();
        let guard = epoch::pin();
        let current = self.current.load(Ordering::Acquire, &guard);
        // SAFETY: `current` is never null, and what it pointed to while the guard is held is not freed
        // before the guard is dropped.
        let value = unsafe { current.deref() };
        (generation, Arc::clone(value))
    }

    /// Replaces the value. Readers notice it with their next look.
    pub fn publish(&self, next: Arc<T>) {
        let guard = epoch::pin();
        let replaced = self.current.swap(Owned::new(next), Ordering::AcqRel, &guard);
        self.generation.store(next_generation(), Ordering::Release);
        // SAFETY: no reader can load `replaced` any more, and each that has loaded it holds a guard.
        unsafe { guard.defer_destroy(replaced) };
        drop(guard);
        collect();
    }
}

/// Frees what was replaced and is read no more. Called by [`RcuCell::publish`], and now and
/// then by a thread that has time.
pub fn collect() {
    for _ in 0..COLLECTIONS {
        epoch::pin().flush();
    }
}

impl<T> Drop for RcuCell<T> {
    fn drop(&mut self) {
        let last = std::mem::replace(&mut self.current, Atomic::null());
        // SAFETY: the pointer is not null, and with `&mut self` no other thread reads it.
        drop(unsafe { last.into_owned() });
    }
}

#[cfg(all(test, not(crossbeam_loom)))]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    #[test]
    fn a_generation_is_at_most_as_new_as_its_value() {
        let cell = RcuCell::new(Arc::new(0u64));
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let (mut generation, mut value) = cell.load();
                    while !stop.load(Ordering::Relaxed) {
                        if cell.generation() != generation {
                            let (newer, next) = cell.load();
                            assert!(*next >= *value && newer >= generation);
                            (generation, value) = (newer, next);
                        }
                    }
                });
            }
            (1..5_000).for_each(|value| cell.publish(Arc::new(value)));
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(*cell.load().1, 4_999);
    }

    #[test]
    fn what_was_replaced_is_freed() {
        let cell = RcuCell::new(Arc::new(1));
        let (_, held) = cell.load();
        cell.publish(Arc::new(2));
        // Other tests hold guards for moments.
        let mut freed = false;
        for _ in 0..10_000 {
            collect();
            freed = Arc::strong_count(&held) == 1;
            if freed {
                break;
            }
            thread::yield_now();
        }
        assert!(freed);
        assert_eq!((*held, *cell.load().1), (1, 2));
    }
}
