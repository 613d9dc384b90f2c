//! Requests that wait because every backend of their group has as many as it may have.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::snapshot::quota::Quota;

/// How requests of a group wait.
pub struct RequestQueue {
    /// Over all workers; 0: none.
    pub size: usize,
    pub timeout: Duration,
    pub state: Arc<QueueState>,
}

/// Who waits. It outlives reloads for as long as the group does.
pub struct QueueState {
    places: Quota,
    /// By worker: when the first came that waits there, in nanoseconds of the clock that all workers share.
    first: Box<[AtomicU64]>,
}

/// Nobody waits.
const NOBODY: u64 = u64::MAX;

impl QueueState {
    pub fn new(workers: usize) -> QueueState {
        let first = (0..workers.max(1)).map(|_| AtomicU64::new(NOBODY)).collect();
        QueueState { places: Quota::new(0), first }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.places.used()
    }

    /// Takes a place of `size`; false if all are taken.
    pub fn enter(&self, size: usize) -> bool {
        self.places.set_limit(size);
        size != 0 && self.places.acquire()
    }

    pub fn leave(&self) {
        self.places.release();
    }

    /// Notes since when the first waits that waits at this worker.
    pub fn note_first(&self, worker: usize, since: Option<u64>) {
        if let Some(first) = self.first.get(worker) {
            first.store(since.unwrap_or(NOBODY), Ordering::Relaxed);
        }
    }

    /// The worker at which the one waits that came first of all.
    pub fn next_worker(&self) -> Option<usize> {
        let firsts = self.first.iter().map(|first| first.load(Ordering::Relaxed)).enumerate();
        let waiting = firsts.filter(|(_, since)| *since != NOBODY);
        waiting.min_by_key(|(_, since)| *since).map(|(worker, _)| worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_the_first_of_all_is_next() {
        let state = QueueState::new(3);
        assert!(!state.enter(0));
        assert_eq!([state.enter(2), state.enter(2), state.enter(2)], [true, true, false]);
        state.leave();
        assert_eq!((state.waiting(), state.enter(2)), (1, true));
        assert_eq!(state.next_worker(), None);
        state.note_first(2, Some(10));
        state.note_first(0, Some(20));
        assert_eq!(state.next_worker(), Some(2));
        state.note_first(2, None);
        assert_eq!(state.next_worker(), Some(0));
    }
}
