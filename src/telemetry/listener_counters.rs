//! What workers count of a listener: connections, handshakes, and why requests ended otherwise than by a backend's response.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::telemetry::counters::Counter;
use crate::telemetry::counters::EachWorker;

/// What all workers have counted. Each worker writes what is its own.
pub struct ListenerCounters(EachWorker<OwnListenerCounters>);

#[derive(Default)]
struct OwnListenerCounters {
    accepted: Counter,
    /// By version, and whether the session was resumed.
    handshakes: [[Counter; 2]; HandshakeVersion::ALL.len()],
    failed_handshakes: WordCounters,
    reasons: WordCounters,
}

/// What a handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeVersion {
    Tls12,
    Tls13,
}

impl HandshakeVersion {
    pub const ALL: [HandshakeVersion; 2] = [HandshakeVersion::Tls12, HandshakeVersion::Tls13];

    /// The value of the label `version`.
    pub fn as_str(self) -> &'static str {
        match self {
            HandshakeVersion::Tls12 => "TLSv1.2",
            HandshakeVersion::Tls13 => "TLSv1.3",
        }
    }
}

impl ListenerCounters {
    pub fn new(workers: usize) -> ListenerCounters {
        ListenerCounters(EachWorker::new(workers))
    }

    /// Counts a connection that this worker has accepted. Here and below, it alone may count for itself.
    pub fn accepted(&self, worker: usize) {
        if let Some(own) = self.0.own(worker) {
            own.accepted.increment();
        }
    }

    /// Counts a handshake that succeeded.
    pub fn handshake(&self, worker: usize, version: HandshakeVersion, resumed: bool) {
        let own = self.0.own(worker).and_then(|own| own.handshakes.get(version as usize));
        if let Some(counter) = own.and_then(|by_version| by_version.get(usize::from(resumed))) {
            counter.increment();
        }
    }

    /// Counts a handshake that failed for this reason.
    pub fn failed_handshake(&self, worker: usize, reason: &'static str) {
        if let Some(own) = self.0.own(worker) {
            own.failed_handshakes.count(reason);
        }
    }

    /// Counts a request that ended for this reason.
    pub fn reason(&self, worker: usize, reason: &'static str) {
        if let Some(own) = self.0.own(worker) {
            own.reasons.count(reason);
        }
    }

    /// The sums of all workers.
    pub fn totals(&self) -> ListenerTotals {
        let mut totals = ListenerTotals::default();
        for own in self.0.all() {
            totals.accepted += own.accepted.get();
            for (by_version, sums) in own.handshakes.iter().zip(&mut totals.handshakes) {
                by_version.iter().zip(sums).for_each(|(counter, sum)| *sum += counter.get());
            }
            own.failed_handshakes.add_to(&mut totals.failed_handshakes);
            own.reasons.add_to(&mut totals.reasons);
        }
        totals
    }
}

/// What was counted of a listener, over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerTotals {
    pub accepted: u64,
    /// By the place of the version in [`HandshakeVersion::ALL`]; those of full handshakes stand before those of resumed sessions.
    pub handshakes: [[u64; 2]; HandshakeVersion::ALL.len()],
    pub failed_handshakes: BTreeMap<&'static str, u64>,
    pub reasons: BTreeMap<&'static str, u64>,
}

/// Counters for words of a small vocabulary, found as they occur. One thread writes, any may read.
struct WordCounters {
    entries: [(OnceLock<&'static str>, Counter); MAX_WORDS],
}

/// More reasons than this do not occur at one listener; were there more, the last would count as `other`.
const MAX_WORDS: usize = 64;

impl Default for WordCounters {
    fn default() -> WordCounters {
        WordCounters { entries: std::array::from_fn(|_| (OnceLock::new(), Counter::default())) }
    }
}

impl WordCounters {
    fn count(&self, word: &'static str) {
        let place = self.entries.iter().enumerate().find(|(place, (known, _))| {
            let is_last = place + 1 == MAX_WORDS;
            let known = *known.get_or_init(|| if is_last { "other" } else { word });
            is_last || known == word
        });
        if let Some((_, (_, counter))) = place {
            counter.increment();
        }
    }

    fn add_to(&self, sums: &mut BTreeMap<&'static str, u64>) {
        for (word, counter) in &self.entries {
            let Some(word) = word.get() else { return };
            *sums.entry(word).or_default() += counter.get();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_all_workers() {
        let counters = ListenerCounters::new(2);
        assert_eq!(counters.totals(), ListenerTotals::default());
        for worker in 0..2 {
            counters.accepted(worker);
            counters.handshake(worker, HandshakeVersion::Tls13, worker == 1);
            counters.failed_handshake(worker, "tls_unknown_ca");
            counters.reason(worker, if worker == 0 { "no_route" } else { "no_backend" });
            counters.reason(worker, "no_route");
        }
        let expected = ListenerTotals {
            accepted: 2,
            handshakes: [[0, 0], [1, 1]],
            failed_handshakes: BTreeMap::from([("tls_unknown_ca", 2)]),
            reasons: BTreeMap::from([("no_backend", 1), ("no_route", 3)]),
        };
        assert_eq!(counters.totals(), expected);
    }

    #[test]
    fn words_beyond_the_last_place_count_as_others() {
        let counters = WordCounters::default();
        for number in 0..MAX_WORDS + 5 {
            counters.count(Box::leak(format!("word_{number}").into_boxed_str()));
        }
        let mut sums = BTreeMap::new();
        counters.add_to(&mut sums);
        assert_eq!((sums.len(), sums["word_0"], sums["other"]), (MAX_WORDS, 1, 6));
    }
}
