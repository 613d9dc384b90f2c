//! What workers count of backends.

use crate::telemetry::counters::Counter;
use crate::telemetry::counters::Gauge;
use crate::telemetry::counters::PerWorker;

/// Backends that a process can have at a time, over all groups.
pub const MAX_BACKENDS: usize = 65_536;

/// What all workers count, by worker and backend.
pub struct BackendCounters(PerWorker<OwnCounters>);

/// What one worker counts of one backend. Only that worker writes.
#[derive(Default)]
pub struct OwnCounters {
    /// Requests that were sent, or for which a connection is being opened, and that have not ended.
    in_flight: Gauge,
    requests: Counter,
    failures: Counter,
}

/// The sums of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub in_flight: u32,
    pub requests: u64,
    pub failures: u64,
}

impl BackendCounters {
    pub fn new(workers: usize) -> BackendCounters {
        BackendCounters(PerWorker::new(workers, MAX_BACKENDS))
    }

    pub fn workers(&self) -> usize {
        self.0.workers()
    }

    /// The counters of a worker, which alone may write them.
    pub fn own(&self, worker: usize, slot: u32) -> Option<&OwnCounters> {
        self.0.own(worker, slot)
    }

    /// Requests in flight to a backend, as all workers count them.
    pub fn in_flight(&self, slot: u32) -> u32 {
        self.0.all(slot).map(OwnCounters::in_flight).sum()
    }

    /// Adds what a process before this one has counted of a backend. One thread at a time may do so.
    pub fn add_before(&self, slot: u32, requests: u64, failures: u64) {
        if let Some(before) = self.0.before(slot) {
            before.requests.add(requests);
            before.failures.add(failures);
        }
    }

    pub fn totals(&self, slot: u32) -> Totals {
        self.0.all(slot).fold(Totals::default(), |sum, own| Totals {
            in_flight: sum.in_flight + own.in_flight.get(),
            requests: sum.requests + own.requests.get(),
            failures: sum.failures + own.failures.get(),
        })
    }
}

impl OwnCounters {
    /// Counts a request that begins.
    pub fn begin(&self) {
        self.in_flight.increment();
        self.requests.increment();
    }

    /// Takes a request back that began and was never sent.
    pub fn never_sent(&self) {
        self.requests.take_back();
    }

    /// Counts a request that ended.
    pub fn end(&self) {
        self.in_flight.decrement();
    }

    /// Requests that began and have not ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    /// Counts that the backend failed a request.
    pub fn fail(&self) {
        self.failures.increment();
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
    fn counters_of_all_workers_are_added_up() {
        let counters = BackendCounters::new(3);
        assert_eq!(counters.totals(70), Totals::default());
        for worker in 0..3 {
            let own = counters.own(worker, 70).unwrap();
            own.begin();
            own.begin();
            own.end();
            own.fail();
        }
        let totals = Totals { in_flight: 3, requests: 6, failures: 3 };
        assert_eq!((counters.totals(70), counters.in_flight(70)), (totals, 3));
        counters.add_before(72, 5, 2);
        assert_eq!((counters.totals(72).requests, counters.totals(72).failures), (5, 2));
        assert_eq!(counters.totals(71), Totals::default());
        assert_eq!(totals.since(Totals { in_flight: 9, requests: 2, failures: 1 }).requests, 4);
        assert!(counters.own(0, MAX_BACKENDS as u32).is_none() && counters.own(3, 0).is_none());
    }
}
