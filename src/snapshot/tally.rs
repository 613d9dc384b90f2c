//! Counters of backends: each worker writes its own, whoever reads adds them up.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// The most backends that a process can have at a time, over all groups.
pub const MAX_BACKENDS: usize = 65_536;

const CHUNK: usize = 64;

/// What all workers count, by worker and backend.
pub struct Tallies {
    workers: Box<[Block]>,
}

/// One worker's counters. Chunks come into being when the worker first counts in them.
struct Block {
    chunks: Box<[OnceLock<Box<Chunk>>]>,
}

/// Aligned, so that no two workers write to one cache line.
#[repr(align(128))]
struct Chunk([Tally; CHUNK]);

/// What one worker counts of one backend. Only that worker writes.
#[derive(Default)]
pub struct Tally {
    /// Requests that were sent, or for which a connection is being opened, and that have not ended.
    in_flight: AtomicU32,
    requests: AtomicU64,
    failures: AtomicU64,
}

/// The sums of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub in_flight: u32,
    pub requests: u64,
    pub failures: u64,
}

impl Tallies {
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    pub fn new(workers: usize) -> Tallies {
        let block = || Block { chunks: (0..MAX_BACKENDS / CHUNK).map(|_| OnceLock::new()).collect() };
        Tallies { workers: (0..workers.max(1)).map(|_| block()).collect() }
    }

    /// The counters of a worker, which alone may write them.
    pub fn own(&self, worker: usize, slot: u32) -> Option<&Tally> {
        let chunk = self.workers.get(worker)?.chunks.get(slot as usize / CHUNK)?;
        let chunk = chunk.get_or_init(|| Box::new(Chunk(std::array::from_fn(|_| Tally::default()))));
        chunk.0.get(slot as usize % CHUNK)
    }

    /// Requests in flight to a backend, as all workers count them.
    pub fn in_flight(&self, slot: u32) -> u32 {
        self.all(slot).map(|tally| tally.in_flight.load(Ordering::Relaxed)).sum()
    }

    pub fn totals(&self, slot: u32) -> Totals {
        self.all(slot).fold(Totals::default(), |sum, tally| Totals {
            in_flight: sum.in_flight + tally.in_flight.load(Ordering::Relaxed),
            requests: sum.requests + tally.requests.load(Ordering::Relaxed),
            failures: sum.failures + tally.failures.load(Ordering::Relaxed),
        })
    }

    fn all(&self, slot: u32) -> impl Iterator<Item = &Tally> {
        let (chunk, place) = (slot as usize / CHUNK, slot as usize % CHUNK);
        self.workers.iter().filter_map(move |block| block.chunks.get(chunk)?.get()?.0.get(place))
    }
}

impl Tally {
    /// Counts a request that begins.
    pub fn begin(&self) {
        self.in_flight.store(self.in_flight.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.requests.store(self.requests.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Takes a request back that began and was never sent.
    pub fn never_sent(&self) {
        self.requests.store(self.requests.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    /// Counts a request that ended.
    pub fn end(&self) {
        let before = self.in_flight.load(Ordering::Relaxed);
        debug_assert!(before > 0);
        self.in_flight.store(before.saturating_sub(1), Ordering::Relaxed);
    }

    /// Requests that began and have not ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts that the backend failed a request.
    pub fn fail(&self) {
        self.failures.store(self.failures.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

impl Totals {
    /// What was counted since `earlier`.
    pub fn since(self, earlier: Totals) -> Totals {
        Totals {
            in_flight: self.in_flight,
            requests: self.requests.saturating_sub(earlier.requests),
            failures: self.failures.saturating_sub(earlier.failures),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_count_for_themselves_and_are_added_up() {
        let tallies = Tallies::new(3);
        assert_eq!(tallies.totals(70), Totals::default());
        for worker in 0..3 {
            let own = tallies.own(worker, 70).unwrap();
            own.begin();
            own.begin();
            own.end();
            own.fail();
        }
        let totals = Totals { in_flight: 3, requests: 6, failures: 3 };
        assert_eq!((tallies.totals(70), tallies.in_flight(70)), (totals, 3));
        assert_eq!(tallies.totals(71), Totals::default());
        assert_eq!(totals.since(Totals { in_flight: 9, requests: 2, failures: 1 }).requests, 4);
        assert!(tallies.own(0, MAX_BACKENDS as u32).is_none() && tallies.own(3, 0).is_none());
    }
}
