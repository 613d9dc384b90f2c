//! What workers measure of the way to the backends of a group.

use std::time::Duration;

use crate::telemetry::counters::EachWorker;
use crate::telemetry::histogram::Distribution;
use crate::telemetry::histogram::Histogram;

/// What all workers have measured. Each worker writes what is its own.
pub struct GroupCounters(EachWorker<OwnGroupCounters>);

#[derive(Default)]
struct OwnGroupCounters {
    connect: Histogram,
    tls_handshake: Histogram,
    queue: Histogram,
}

/// A part of the way to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamStep {
    /// Until the TCP connection stood.
    Connect,
    /// From then on until it was secured.
    TlsHandshake,
    /// Until a backend had room for a request that found none.
    Queue,
}

impl UpstreamStep {
    pub const ALL: [UpstreamStep; 3] =
        [UpstreamStep::Connect, UpstreamStep::TlsHandshake, UpstreamStep::Queue];

    fn of(self, own: &OwnGroupCounters) -> &Histogram {
        match self {
            UpstreamStep::Connect => &own.connect,
            UpstreamStep::TlsHandshake => &own.tls_handshake,
            UpstreamStep::Queue => &own.queue,
        }
    }
}

impl GroupCounters {
    pub fn new(workers: usize) -> GroupCounters {
        GroupCounters(EachWorker::new(workers))
    }

    /// Notes how long a step that succeeded took this worker, which alone may do so.
    pub fn took(&self, worker: usize, step: UpstreamStep, duration: Duration) {
        if let Some(own) = self.0.own(worker) {
            step.of(own).record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// How long a step took, over all workers.
    pub fn distribution(&self, step: UpstreamStep) -> Distribution {
        Distribution::of(self.0.all().map(|own| step.of(own)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_measured_for_itself() {
        let counters = GroupCounters::new(2);
        counters.took(0, UpstreamStep::Connect, Duration::from_micros(3));
        counters.took(1, UpstreamStep::Connect, Duration::from_micros(4));
        counters.took(1, UpstreamStep::Queue, Duration::from_micros(5));
        let sums = UpstreamStep::ALL.map(|step| counters.distribution(step).sum_us);
        assert_eq!(sums, [7, 0, 5]);
    }
}
