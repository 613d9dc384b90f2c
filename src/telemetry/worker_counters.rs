//! What each worker tells of itself, ten times a second.

use std::time::Duration;

use crate::telemetry::counters::Counter;
use crate::telemetry::counters::EachWorker;
use crate::telemetry::histogram::Distribution;
use crate::telemetry::histogram::Histogram;
use crate::telemetry::histogram::micros;

/// What all workers tell. Each writes what is its own.
pub struct WorkerCounters(EachWorker<OwnWorkerCounters>);

#[derive(Default)]
struct OwnWorkerCounters {
    told: Counter,
    cpu_us: Counter,
    connections: Counter,
    loop_lag: Histogram,
}

/// What one worker has told last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerTotals {
    /// CPU time that its thread has used.
    pub cpu: Duration,
    /// Connections of clients that it has.
    pub connections: u64,
    /// How much later than they should the ticks of its loop were noticed.
    pub loop_lag: Distribution,
}

impl WorkerCounters {
    pub fn new(workers: usize) -> WorkerCounters {
        WorkerCounters(EachWorker::new(workers))
    }

    /// Takes over what this worker tells, which alone may do so.
    pub fn tell(&self, worker: usize, cpu: Duration, connections: usize, lag: Duration) {
        let Some(own) = self.0.own(worker) else { return };
        own.told.increment();
        own.cpu_us.set(micros(cpu));
        own.connections.set(connections as u64);
        own.loop_lag.record(micros(lag));
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
                connections: own.connections.get(),
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
        counters.tell(1, Duration::from_micros(5), 7, Duration::from_micros(3));
        counters.tell(1, Duration::from_micros(9), 6, Duration::from_micros(4));
        let told: Vec<_> = counters.each().collect();
        assert_eq!(told[0], WorkerTotals::default());
        assert_eq!((told[1].cpu, told[1].connections), (Duration::from_micros(9), 6));
        assert_eq!((told[1].loop_lag.count(), told[1].loop_lag.sum_us), (2, 7));
        assert!(counters.told().eq([0, 2]));
    }
}
