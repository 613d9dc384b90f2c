//! Counters of the connections, and of the sessions of UDP, that are relayed one way through a listener: by one rule, or
//! none, to one group, or none.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::net::traffic::ByteTotals;
use crate::net::traffic::Traffic;
use crate::telemetry::carried::CarriedCounts;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::EachWorker;
use crate::telemetry::histogram::Distribution;
use crate::telemetry::histogram::Histogram;
use crate::telemetry::histogram::micros;
use crate::telemetry::reason::Reason;
use crate::telemetry::word_counters::WordCounters;

/// What all workers have counted of one way. Each worker writes what is its own.
pub struct RelayCounters(EachWorker<OwnRelayCounters>);

#[derive(Default)]
struct OwnRelayCounters {
    ended: WordCounters,
    failed: Counter,
    retries: Counter,
    traffic: Traffic,
    duration: Histogram,
}

/// A connection or session that has ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedRelay {
    pub reason: Reason,
    /// Backends that were asked beyond the first.
    pub retries: u32,
    pub duration: Duration,
}

/// What was counted of one way, over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayTotals {
    /// How many ended for which reason, in the words of the access log.
    pub ended: BTreeMap<&'static str, u64>,
    /// Those of them whose reason stands for a status of 500 or more: no backend was there, or it failed.
    pub failed: u64,
    pub retries: u64,
    /// Received from clients and sent to them, within TLS where that ends here; of those that go on, too.
    pub bytes: ByteTotals,
    pub duration: Distribution,
}

impl RelayCounters {
    pub fn new(workers: usize) -> RelayCounters {
        RelayCounters(EachWorker::new(workers))
    }

    /// Counts bytes of a client that this worker has passed on. Here and below, it alone may count for itself.
    pub fn received(&self, worker: usize, bytes: usize) {
        if let Some(own) = self.0.own(worker) {
            own.traffic.received(bytes);
        }
    }

    /// Counts bytes that this worker has passed on to a client.
    pub fn sent(&self, worker: usize, bytes: usize) {
        if let Some(own) = self.0.own(worker) {
            own.traffic.sent(bytes);
        }
    }

    pub fn ended(&self, worker: usize, ended: &EndedRelay) {
        let Some(own) = self.0.own(worker) else { return };
        own.ended.count(ended.reason.as_str());
        if ended.reason.status() >= 500 {
            own.failed.increment();
        }
        own.retries.add(ended.retries.into());
        own.duration.record(micros(ended.duration));
    }

    /// The sums of all workers; None if none has counted anything.
    pub fn totals(&self) -> Option<RelayTotals> {
        self.0.all().next()?;
        let mut ended = BTreeMap::new();
        self.0.all().for_each(|own| own.ended.add_to(&mut ended));
        Some(RelayTotals {
            ended,
            failed: self.0.all().map(|own| own.failed.get()).sum(),
            retries: self.0.all().map(|own| own.retries.get()).sum(),
            bytes: self.0.all().map(|own| own.traffic.totals()).sum(),
            duration: Distribution::of(self.0.all().map(|own| &own.duration)),
        })
    }

    /// What a successor of the process takes over.
    pub fn carried(&self) -> CarriedCounts {
        let mut carried = CarriedCounts::default();
        let RelayTotals { ended, failed, retries, bytes, .. } = self.totals().unwrap_or_default();
        ended.into_iter().for_each(|(word, count)| carried.add(format!("ended.{word}"), count));
        carried.add("failed", failed);
        carried.add("retries", retries);
        carried.add("bytes.received", bytes.received);
        carried.add("bytes.sent", bytes.sent);
        Histogram::carry("duration", self.0.all().map(|own| &own.duration), &mut carried);
        carried
    }

    /// Adds what a process before this one has counted. One thread at a time may do so.
    pub fn add_carried(&self, carried: &CarriedCounts) {
        let before = self.0.before();
        for (parts, count) in carried.each() {
            match parts[..] {
                ["ended", word] => before.ended.add_carried(word, count),
                ["failed"] => before.failed.add(count),
                ["retries"] => before.retries.add(count),
                ["bytes", direction] => before.traffic.add_carried(direction, count),
                ["duration", part] => before.duration.add_carried(part, count),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_count_for_themselves_and_their_sums_are_told() {
        let counters = RelayCounters::new(2);
        assert_eq!(counters.totals(), None);
        let ended = |reason, retries| EndedRelay { reason, retries, duration: Duration::from_micros(5) };
        counters.ended(0, &ended(Reason::None, 0));
        counters.ended(1, &ended(Reason::None, 1));
        counters.ended(1, &ended(Reason::ConnectRefused, 2));
        counters.ended(1, &ended(Reason::ClientClosed, 0));
        counters.received(0, 100);
        counters.received(1, 11);
        counters.sent(1, 7);
        // There is no such worker.
        counters.sent(2, 7);
        let totals = counters.totals().unwrap();
        assert_eq!(totals.ended, BTreeMap::from([("-", 2), ("client_closed", 1), ("connect_refused", 1)]));
        assert_eq!((totals.failed, totals.retries), (1, 3));
        assert_eq!(totals.bytes, ByteTotals { received: 111, sent: 7 });
        assert_eq!((totals.duration.count(), totals.duration.sum_us), (4, 20));
        let successor = RelayCounters::new(1);
        successor.add_carried(&counters.carried());
        assert_eq!(successor.totals(), counters.totals());
    }
}
