//! What each worker tells of itself: its connections as they come and go, the rest ten times a second.

use std::time::Duration;

use crate::telemetry::counters::Counter;
use crate::telemetry::counters::EachWorker;
use crate::telemetry::counters::Gauge;
use crate::telemetry::histogram::Distribution;
use crate::telemetry::histogram::Histogram;
use crate::telemetry::histogram::micros;

/// What all workers tell. Each writes what is its own.
pub struct WorkerCounters(EachWorker<OwnWorkerCounters>);

#[derive(Default)]
struct OwnWorkerCounters {
    told: Counter,
    cpu_us: Counter,
    connections: Gauge,
    handed_over: Counter,
    /// These two are written by who watches the workers.
    stalls: Counter,
    is_stalled: Gauge,
    loop_lag: Histogram,
}

/// What one worker has told last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerTotals {
    /// CPU time that its thread has used.
    pub cpu: Duration,
    /// Connections of clients that it has.
    pub connections: u64,
    /// Those that it has accepted and handed to workers with fewer.
    pub handed_over: u64,
    /// How often it has stood still for seconds, and whether it does.
    pub stalls: u64,
    pub is_stalled: bool,
    /// How much later than they should the ticks of its loop were noticed.
    pub loop_lag: Distribution,
}

impl WorkerCounters {
    pub fn new(workers: usize) -> WorkerCounters {
        WorkerCounters(EachWorker::new(workers))
    }

    /// Takes over what this worker tells, which alone may do so.
    pub fn tell(&self, worker: usize, cpu: Duration, lag: Duration) {
        let Some(own) = self.0.own(worker) else { return };
        own.told.increment();
        own.cpu_us.set(micros(cpu));
        own.loop_lag.record(micros(lag));
    }

    /// Counts a connection of this worker, which alone may do so here and below, until [`WorkerCounters::closed`].
    pub fn opened(&self, worker: usize) {
        if let Some(own) = self.0.own(worker) {
            own.connections.increment();
        }
    }

    pub fn closed(&self, worker: usize) {
        if let Some(own) = self.0.own(worker) {
            own.connections.decrement();
        }
    }

    /// Counts a connection that this worker has handed to another one.
    pub fn handed_over(&self, worker: usize) {
        if let Some(own) = self.0.own(worker) {
            own.handed_over.increment();
        }
    }

    /// Notes that a worker stands still, or runs again; for the thread that watches them all.
    pub fn set_stalled(&self, worker: usize, is_stalled: bool) {
        let Some(own) = self.0.own(worker) else { return };
        match (own.is_stalled.get(), is_stalled) {
            (0, true) => {
                own.stalls.increment();
                own.is_stalled.increment();
            }
            (1.., false) => own.is_stalled.decrement(),
            _ => {}
        }
    }

    /// How many connections a worker has at present.
    pub fn connections(&self, worker: usize) -> u32 {
        self.0.known(worker).map_or(0, |own| own.connections.get())
    }

    /// How often each worker has told anything, in their order.
    pub fn told(&self) -> impl Iterator<Item = u64> {
        self.0.each().map(|own| own.map_or(0, |own| own.told.get()))
    }

    /// Every worker, in their order; those that have told nothing yet tell zeros.
    pub fn each(&self) -> impl Iterator<Item = WorkerTotals> {
        self.0.each().map(|own| match own {
            None => WorkerTotals::default(),
            Some(own) => WorkerTotals {
                cpu: Duration::from_micros(own.cpu_us.get()),
                connections: own.connections.get().into(),
                handed_over: own.handed_over.get(),
                stalls: own.stalls.get(),
                is_stalled: own.is_stalled.get() > 0,
                loop_lag: Distribution::of([&own.loop_lag]),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_last_stands() {
        let counters = WorkerCounters::new(2);
        counters.tell(1, Duration::from_micros(5), Duration::from_micros(3));
        counters.tell(1, Duration::from_micros(9), Duration::from_micros(4));
        let told: Vec<_> = counters.each().collect();
        assert_eq!(told[0], WorkerTotals::default());
        assert_eq!(told[1].cpu, Duration::from_micros(9));
        assert_eq!((told[1].loop_lag.count(), told[1].loop_lag.sum_us), (2, 7));
        assert!(counters.told().eq([0, 2]));
    }

    #[test]
    fn connections_count_while_they_are_open() {
        let counters = WorkerCounters::new(2);
        counters.opened(1);
        counters.opened(1);
        counters.closed(1);
        counters.handed_over(1);
        assert_eq!([counters.connections(0), counters.connections(1)], [0, 1]);
        let told: Vec<_> = counters.each().map(|told| (told.connections, told.handed_over)).collect();
        assert_eq!(told, [(0, 0), (1, 1)]);
    }

    #[test]
    fn stalls_are_counted_when_they_begin() {
        let counters = WorkerCounters::new(2);
        let told = || counters.each().last().map(|told| (told.stalls, told.is_stalled)).unwrap();
        counters.set_stalled(1, false);
        assert_eq!(told(), (0, false));
        counters.set_stalled(1, true);
        counters.set_stalled(1, true);
        assert_eq!(told(), (1, true));
        counters.set_stalled(1, false);
        assert_eq!(told(), (1, false));
    }
}
