//! What workers measure of the way to the backends of a group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use crate::net::traffic::ByteTotals;
use crate::net::traffic::Traffic;
use crate::telemetry::carried;
use crate::telemetry::carried::CarriedCounts;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::EachWorker;
use crate::telemetry::histogram::Distribution;
use crate::telemetry::histogram::Histogram;
use crate::telemetry::histogram::micros;
use crate::telemetry::word_counters::WordCounters;

/// What all workers have measured. Each worker writes what is its own.
pub struct GroupCounters(EachWorker<OwnGroupCounters>);

#[derive(Default)]
struct OwnGroupCounters {
    connect: Histogram,
    tls_handshake: Histogram,
    queue: Histogram,
    failed_connections: OnceLock<Box<WordCounters>>,
    traffic: Arc<Traffic>,
    /// By the first digit of their status.
    responses: [Counter; 6],
    connections: [Counter; UpstreamConnections::ALL.len()],
    /// Only groups of UDP have them: received from backends, and sent to them.
    datagrams: [Counter; 2],
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

/// A kind of what a worker has open to the backends of a group, as it told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamConnections {
    /// Connections that wait in the pool.
    Idle,
    /// Connections of HTTP/2.
    Http2,
    /// Requests on these.
    Http2Streams,
}

impl UpstreamConnections {
    pub const ALL: [UpstreamConnections; 3] =
        [UpstreamConnections::Idle, UpstreamConnections::Http2, UpstreamConnections::Http2Streams];
}

/// In the order of [`UpstreamStep::ALL`].
const STEP_NAMES: [&str; UpstreamStep::ALL.len()] = ["connect", "tls_handshake", "queue"];

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
            step.of(own).record(micros(duration));
        }
    }

    /// Counts a connection that could not be opened for this reason.
    pub fn failed_connection(&self, worker: usize, reason: &'static str) {
        if let Some(own) = self.0.own(worker) {
            own.failed_connections.get_or_init(Box::default).count(reason);
        }
    }

    /// Counts a final response of a backend.
    pub fn response(&self, worker: usize, status: u16) {
        let own = self.0.own(worker);
        if let Some(counter) = own.and_then(|own| own.responses.get(usize::from(status / 100))) {
            counter.increment();
        }
    }

    /// Final responses of backends by the first digit of their status, which is not 0.
    pub fn responses(&self) -> impl Iterator<Item = (u8, u64)> {
        (0..6)
            .map(|class| {
                let counters = self.0.all().filter_map(|own| own.responses.get(usize::from(class)));
                (class, counters.map(Counter::get).sum())
            })
            .skip(1)
    }

    /// Where connections of this worker count their bytes.
    pub fn traffic(&self, worker: usize) -> Option<Arc<Traffic>> {
        Some(Arc::clone(&self.0.own(worker)?.traffic))
    }

    /// Counts datagrams that came from backends, and their bytes.
    pub fn datagrams_received(&self, worker: usize, datagrams: usize, bytes: usize) {
        if let Some(own) = self.0.own(worker) {
            own.datagrams[0].add(datagrams as u64);
            own.traffic.received(bytes);
        }
    }

    /// Counts datagrams that left to backends, and their bytes.
    pub fn datagrams_sent(&self, worker: usize, datagrams: usize, bytes: usize) {
        if let Some(own) = self.0.own(worker) {
            own.datagrams[1].add(datagrams as u64);
            own.traffic.sent(bytes);
        }
    }

    /// Those that were received and sent.
    pub fn datagrams(&self) -> [u64; 2] {
        [0, 1].map(|direction| {
            self.0.all().filter_map(|own| own.datagrams.get(direction)).map(Counter::get).sum()
        })
    }

    /// Takes over what this worker has open at present, in the order of [`UpstreamConnections::ALL`].
    pub fn tell(&self, worker: usize, open: [usize; UpstreamConnections::ALL.len()]) {
        let is_open = open.iter().any(|count| *count > 0);
        // Groups that are not used need no memory.
        if let Some(own) = if is_open { self.0.own(worker) } else { self.0.known(worker) } {
            own.connections.iter().zip(open).for_each(|(told, count)| told.set(count as u64));
        }
    }

    /// What all workers have told last, in the same order.
    pub fn open(&self) -> [u64; UpstreamConnections::ALL.len()] {
        let mut sums = [0; UpstreamConnections::ALL.len()];
        for own in self.0.all() {
            sums.iter_mut().zip(&own.connections).for_each(|(sum, told)| *sum += told.get());
        }
        sums
    }

    /// How many connections could not be opened, by reason.
    pub fn failed_connections(&self) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        let of_workers = self.0.all().filter_map(|own| own.failed_connections.get());
        of_workers.for_each(|words| words.add_to(&mut sums));
        sums
    }

    /// What went over all connections.
    pub fn bytes(&self) -> ByteTotals {
        self.0.all().map(|own| own.traffic.totals()).sum()
    }

    /// What a successor of the process takes over.
    pub fn carried(&self) -> CarriedCounts {
        let mut carried = CarriedCounts::default();
        for (place, step) in UpstreamStep::ALL.into_iter().enumerate() {
            Histogram::carry(STEP_NAMES[place], self.0.all().map(|own| step.of(own)), &mut carried);
        }
        for (word, count) in self.failed_connections() {
            carried.add(format!("failed.{word}"), count);
        }
        for (class, count) in self.responses() {
            carried.add(format!("responses.{class}"), count);
        }
        let ByteTotals { received, sent } = self.bytes();
        carried.add("bytes.received", received);
        carried.add("bytes.sent", sent);
        let [received, sent] = self.datagrams();
        carried.add("datagrams.received", received);
        carried.add("datagrams.sent", sent);
        carried
    }

    /// Adds what a process before this one has counted. One thread at a time may do so.
    pub fn add_carried(&self, carried: &CarriedCounts) {
        let before = self.0.before();
        for (parts, count) in carried.each() {
            match parts[..] {
                ["failed", word] => {
                    before.failed_connections.get_or_init(Box::default).add_carried(word, count)
                }
                ["responses", class] => {
                    let counter = carried::place(class).and_then(|class| before.responses.get(class));
                    counter.into_iter().for_each(|counter| counter.add(count));
                }
                ["datagrams", direction] => before.datagrams[usize::from(direction == "sent")].add(count),
                ["bytes", direction] => before.traffic.add_carried(direction, count),
                [step, part] => {
                    let step = UpstreamStep::ALL.into_iter().zip(STEP_NAMES).find(|(_, name)| *name == step);
                    step.into_iter().for_each(|(step, _)| step.of(before).add_carried(part, count));
                }
                _ => {}
            }
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
        counters.failed_connection(1, "connect_refused");
        counters.response(0, 404);
        counters.datagrams_received(0, 2, 20);
        counters.datagrams_sent(1, 3, 40);
        assert_eq!((counters.datagrams(), counters.bytes()), ([2, 3], ByteTotals { received: 20, sent: 40 }));
        let successor = GroupCounters::new(1);
        successor.add_carried(&counters.carried());
        assert_eq!(successor.carried(), counters.carried());
        assert_eq!(UpstreamStep::ALL.map(|step| successor.distribution(step).sum_us), sums);
    }

    #[test]
    fn what_workers_have_open_is_added_up() {
        let counters = GroupCounters::new(2);
        counters.tell(0, [1, 2, 3]);
        counters.tell(1, [5, 5, 5]);
        counters.tell(1, [4, 0, 0]);
        assert_eq!(counters.open(), [5, 2, 3]);
        [200, 204, 101, 599, 600].into_iter().for_each(|status| counters.response(1, status));
        assert!(counters.responses().eq([(1, 1), (2, 2), (3, 0), (4, 0), (5, 1)]));
        counters.failed_connection(1, "connect_refused");
        assert_eq!(counters.failed_connections(), BTreeMap::from([("connect_refused", 1)]));
    }
}
