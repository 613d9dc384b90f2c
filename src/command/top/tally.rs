//! What was counted between two documents of a process, and over a window of such intervals.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::VecDeque;

use crate::config::in_order;
use crate::control::admin::status::BackendStatus;
use crate::control::admin::status::ByteCounts;
use crate::control::admin::status::Durations;
use crate::control::admin::status::EndedConnections;
use crate::control::admin::status::EndedRequests;
use crate::control::admin::status::ListenerStatus;
use crate::control::admin::status::Status;
use crate::control::admin::status::UpstreamDatagrams;
use crate::control::admin::status::WorkerLoad;
use crate::telemetry::histogram::quantile_us;

/// Intervals that are kept: the longest window, where a document comes once a second.
pub(super) const MAX_INTERVALS: usize = 10;

/// Whose counters they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// By its number.
    Worker(usize),
    /// By its name, and whether it is leaving: while it does, another one may have the name.
    Listener(String, bool),
    Group(String),
    /// Of this group, by its address.
    Backend(String, String),
}

/// What a counter counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Quantity {
    CpuMicros,
    Accepted,
    Refused,
    Requests,
    ClientErrors,
    ServerErrors,
    Retries,
    Failures,
    /// Connections, or sessions of UDP, that were relayed and have ended.
    RelayedEnds,
    RelayedFailures,
    BytesReceived,
    BytesSent,
    DatagramsReceived,
    DatagramsSent,
    DatagramsLost,
    /// Requests, connections and sessions with this reason.
    Reason(Cow<'static, str>),
}

/// Counters of one subject, and one distribution of durations: by the largest of a bucket, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    counters: BTreeMap<Quantity, u64>,
    durations: BTreeMap<u64, u64>,
}

/// A document, as far as it counts.
struct Document {
    pid: u32,
    started: String,
    /// Since the start of the process.
    at_ms: u64,
    tallies: HashMap<Subject, Tally>,
}

/// What happened between two documents.
struct Interval {
    seconds: f64,
    tallies: HashMap<Subject, Tally>,
}

/// The last intervals of one process. Another process begins anew.
#[derive(Default)]
pub(super) struct Window {
    newest: Option<Document>,
    intervals: VecDeque<Interval>,
}

/// What was counted of a subject in so many seconds; none are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pace {
    pub(super) seconds: f64,
    tally: Tally,
}

impl Window {
    /// Takes a document over. One that is older than the newest, or as old, changes nothing.
    pub(super) fn add(&mut self, status: &Status) {
        let totals = Document::of(status);
        if let Some(before) = &self.newest {
            if (before.pid, &before.started) != (totals.pid, &totals.started) {
                self.intervals.clear();
            } else if totals.at_ms <= before.at_ms {
                return;
            } else {
                self.intervals.push_back(totals.since(before));
                if self.intervals.len() > MAX_INTERVALS {
                    self.intervals.pop_front();
                }
            }
        }
        self.newest = Some(totals);
    }

    /// How long the last `intervals` took together, in seconds; 0: nothing can be said yet.
    pub(super) fn seconds(&self, intervals: usize) -> f64 {
        self.last(intervals).map(|interval| interval.seconds).sum()
    }

    /// What was counted of a subject in the last `intervals`, as far as it is known.
    pub(super) fn pace(&self, subject: &Subject, intervals: usize) -> Pace {
        let mut pace = Pace::default();
        for interval in self.last(intervals) {
            if let Some(tally) = interval.tallies.get(subject) {
                pace.seconds += interval.seconds;
                pace.tally.add(tally);
            }
        }
        pace
    }

    fn last(&self, intervals: usize) -> impl Iterator<Item = &Interval> {
        self.intervals.iter().rev().take(intervals)
    }
}

impl Pace {
    /// Per second. None: it is not known or not counted.
    pub(super) fn rate(&self, counted: &Quantity) -> Option<f64> {
        let count = *self.tally.counters.get(counted)?;
        (self.seconds > 0.0).then(|| count as f64 / self.seconds)
    }

    /// Per second, by reason; without those of which there were none.
    pub(super) fn reasons(&self) -> BTreeMap<String, f64> {
        let reasons = self.tally.counters.iter().filter_map(|(counted, count)| match counted {
            Quantity::Reason(reason) if *count > 0 => {
                Some((reason.to_string(), *count as f64 / self.seconds))
            }
            _ => None,
        });
        in_order::map(reasons)
    }

    /// The duration below or at which this share of all lies, in seconds. None without durations.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let buckets = self.tally.durations.iter().map(|(last_us, count)| (*last_us, *count));
        let is_empty = self.tally.durations.values().all(|count| *count == 0);
        (!is_empty).then(|| quantile_us(buckets, share) as f64 / 1e6)
    }

    pub(super) fn without_durations(mut self) -> Pace {
        self.tally.durations.clear();
        self
    }

    /// Takes over what was counted of another subject in the same time.
    pub(super) fn join(&mut self, other: &Pace) {
        self.seconds = self.seconds.max(other.seconds);
        self.tally.add(&other.tally);
    }
}

impl Document {
    fn of(status: &Status) -> Document {
        let workers = status.worker_load.iter().enumerate();
        let workers = workers.map(|(index, load)| (Subject::Worker(index), Tally::of_worker(load)));
        let listeners = status.listeners.iter().map(|listener| {
            (Subject::Listener(listener.name.clone(), listener.leaving), Tally::of_listener(listener))
        });
        let groups = status.groups.iter().map(|group| {
            let mut tally = Tally::default();
            tally.take_requests(group.requests.as_ref());
            tally.take_relayed(group.relayed.as_ref(), group.bytes);
            if let Some(UpstreamDatagrams { received, sent }) = group.datagrams {
                tally.take_datagrams(received, sent);
            }
            (Subject::Group(group.name.clone()), tally)
        });
        let backends = status.groups.iter().flat_map(|group| {
            group.backends.iter().map(|backend| {
                let subject = Subject::Backend(group.name.clone(), backend.address.clone());
                (subject, Tally::of_backend(backend))
            })
        });
        Document {
            pid: status.pid,
            started: status.started.clone(),
            // A process of an older version tells seconds only.
            at_ms: if status.uptime_ms > 0 { status.uptime_ms } else { status.uptime_seconds * 1_000 },
            tallies: workers.chain(listeners).chain(groups).chain(backends).collect(),
        }
    }

    /// Who was not there before, or counts from the beginning again, is left out.
    fn since(&self, before: &Document) -> Interval {
        let changes = self.tallies.iter().filter_map(|(subject, tally)| {
            Some((subject.clone(), tally.since(before.tallies.get(subject)?)?))
        });
        Interval { seconds: (self.at_ms - before.at_ms) as f64 / 1e3, tallies: changes.collect() }
    }
}

impl Tally {
    fn of_worker(load: &WorkerLoad) -> Tally {
        let mut tally = Tally::default();
        tally.counters.insert(Quantity::CpuMicros, (load.cpu_seconds * 1e6) as u64);
        tally.take_durations(&load.loop_lag);
        tally
    }

    fn of_listener(listener: &ListenerStatus) -> Tally {
        let mut tally = Tally::default();
        if let Some(accepted) = listener.accepted {
            tally.counters.insert(Quantity::Accepted, accepted);
        }
        tally.counters.insert(Quantity::Refused, listener.refused.values().sum());
        let reasons = listener.reasons.iter();
        tally
            .counters
            .extend(reasons.map(|(reason, count)| (Quantity::Reason(reason.to_string().into()), *count)));
        tally.take_requests(listener.requests.as_ref());
        tally.take_relayed(listener.relayed.as_ref(), listener.bytes);
        if let Some(datagrams) = &listener.datagrams {
            tally.take_datagrams(datagrams.received, datagrams.sent);
            tally.counters.insert(Quantity::DatagramsLost, datagrams.dropped.values().sum());
        }
        tally
    }

    fn take_relayed(&mut self, relayed: Option<&EndedConnections>, bytes: Option<ByteCounts>) {
        if let Some(relayed) = relayed {
            self.counters.insert(Quantity::RelayedEnds, relayed.count);
            self.counters.insert(Quantity::RelayedFailures, relayed.failed);
            self.take_durations(&relayed.duration);
        }
        if let Some(ByteCounts { received, sent }) = bytes {
            self.counters.insert(Quantity::BytesReceived, received);
            self.counters.insert(Quantity::BytesSent, sent);
        }
    }

    fn take_datagrams(&mut self, received: u64, sent: u64) {
        self.counters.insert(Quantity::DatagramsReceived, received);
        self.counters.insert(Quantity::DatagramsSent, sent);
    }

    fn of_backend(backend: &BackendStatus) -> Tally {
        let counters = [(Quantity::Requests, backend.requests), (Quantity::Failures, backend.failures)];
        Tally { counters: counters.into(), durations: BTreeMap::new() }
    }

    fn take_requests(&mut self, requests: Option<&EndedRequests>) {
        let Some(requests) = requests else { return };
        self.counters.extend([
            (Quantity::Requests, requests.count),
            (Quantity::ClientErrors, requests.client_errors),
            (Quantity::ServerErrors, requests.server_errors),
            (Quantity::Retries, requests.retries),
        ]);
        self.take_durations(&requests.duration);
    }

    fn take_durations(&mut self, durations: &Durations) {
        self.durations = in_order::map(durations.buckets.iter().copied());
    }

    /// None: something became less, so these are not the counters of before.
    fn since(&self, before: &Tally) -> Option<Tally> {
        Some(Tally {
            counters: differences(&self.counters, &before.counters)?,
            durations: differences(&self.durations, &before.durations)?,
        })
    }

    fn add(&mut self, other: &Tally) {
        for (counted, count) in &other.counters {
            *self.counters.entry(counted.clone()).or_default() += count;
        }
        for (last_us, count) in &other.durations {
            *self.durations.entry(*last_us).or_default() += count;
        }
    }
}

/// What was not there before was 0. None: something is less than before, or gone.
fn differences<K: Clone + Ord>(
    now: &BTreeMap<K, u64>,
    before: &BTreeMap<K, u64>,
) -> Option<BTreeMap<K, u64>> {
    if before.iter().any(|(key, count)| *count > 0 && !now.contains_key(key)) {
        return None;
    }
    let mut differences = BTreeMap::new();
    for (key, count) in now {
        let more = count.checked_sub(before.get(key).copied().unwrap_or(0))?;
        differences.insert(key.clone(), more);
    }
    Some(differences)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(at_ms: u64, requests: u64, slow: u64) -> Status {
        let duration = json!({"count": requests, "buckets": [[1_000, requests - slow], [63_000, slow]]});
        let requests = json!({
            "count": requests, "client_errors": requests / 10, "server_errors": slow, "retries": 0,
            "duration": duration,
        });
        let status = json!({
            "pid": 7, "started": "2026-11-21T08:00:00Z", "uptime_ms": at_ms,
            "worker_load": [{"cpu_seconds": at_ms as f64 / 4e3, "connections": 1}],
            "listeners": [{"name": "web", "accepted": 3, "requests": requests, "reasons": {"no_backend": slow}}],
            "groups": [{"name": "app", "requests": requests, "backends": [{"address": "a", "requests": slow}]}],
        });
        serde_json::from_value(status).unwrap()
    }

    fn web() -> Subject {
        Subject::Listener("web".to_owned(), false)
    }

    #[test]
    fn rates_and_quantiles_are_of_the_time_between_documents() {
        let mut window = Window::default();
        window.add(&document(10_000, 1_000, 0));
        assert_eq!((window.seconds(1), window.pace(&web(), 1).rate(&Quantity::Requests)), (0.0, None));
        window.add(&document(12_000, 1_100, 2));
        let pace = window.pace(&web(), 1);
        let counted =
            [Quantity::Requests, Quantity::ClientErrors, Quantity::ServerErrors, Quantity::Accepted];
        assert_eq!(counted.map(|counted| pace.rate(&counted)), [50.0, 5.0, 1.0, 0.0].map(Some));
        assert_eq!(pace.quantile(0.5), Some(0.001));
        assert_eq!(pace.quantile(0.99), Some(0.063));
        assert_eq!(pace.reasons(), BTreeMap::from([("no_backend".to_owned(), 1.0)]));
        let cpu = window.pace(&Subject::Worker(0), 1).rate(&Quantity::CpuMicros);
        assert_eq!(cpu, Some(250_000.0));
        // Nothing came meanwhile: there is no quantile of nothing.
        window.add(&document(13_000, 1_100, 2));
        let (last, both) = (window.pace(&web(), 1), window.pace(&web(), 10));
        assert_eq!((last.rate(&Quantity::Requests), last.quantile(0.99)), (Some(0.0), None));
        assert_eq!((both.seconds, both.quantile(0.99)), (3.0, Some(0.063)));
        assert_eq!(last.reasons(), BTreeMap::new());
    }

    #[test]
    fn another_process_begins_anew() {
        let mut window = Window::default();
        window.add(&document(10_000, 1_000, 0));
        window.add(&document(11_000, 1_010, 0));
        let mut other = document(12_000, 2_000, 0);
        other.started = "2026-11-21T09:00:00Z".to_owned();
        window.add(&other);
        assert_eq!((window.seconds(10), window.pace(&web(), 10)), (0.0, Pace::default()));
    }

    #[test]
    fn counters_that_fall_or_come_are_not_known_for_an_interval() {
        let mut window = Window::default();
        window.add(&document(10_000, 1_000, 9));
        // A reload has made another listener of this name, and a group that was not there.
        let mut reloaded = document(11_000, 40, 0);
        reloaded.groups[0].name = "other".to_owned();
        window.add(&reloaded);
        assert_eq!(window.pace(&web(), 1).rate(&Quantity::Requests), None);
        assert_eq!(window.pace(&Subject::Group("other".to_owned()), 1), Pace::default());
        assert!(window.pace(&Subject::Worker(0), 1).rate(&Quantity::CpuMicros).is_some());
        let mut later = document(12_000, 60, 0);
        later.groups[0].name = "other".to_owned();
        window.add(&later);
        for subject in [web(), Subject::Group("other".to_owned())] {
            let pace = window.pace(&subject, 10);
            assert_eq!((pace.seconds, pace.rate(&Quantity::Requests)), (1.0, Some(20.0)), "{subject:?}");
        }
        assert_eq!(window.seconds(10), 2.0);
    }

    #[test]
    fn what_is_not_counted_has_no_rate() {
        let mut window = Window::default();
        for at_ms in [1_000, 2_000] {
            let mut document = document(at_ms, 10, 0);
            document.listeners[0].requests = None;
            document.listeners[0].accepted = None;
            window.add(&document);
        }
        let pace = window.pace(&web(), 1);
        assert_eq!([Quantity::Requests, Quantity::Accepted].map(|counted| pace.rate(&counted)), [None, None]);
        assert_eq!(pace.rate(&Quantity::Refused), Some(0.0));
    }

    #[test]
    fn a_window_has_the_last_intervals_only_and_goes_forward_only() {
        let mut window = Window::default();
        for second in 1..=30 {
            window.add(&document(second * 1_000, second * second, 0));
        }
        window.add(&document(29_000, 5_000, 0));
        assert_eq!((window.seconds(usize::MAX), window.seconds(1)), (MAX_INTERVALS as f64, 1.0));
        assert_eq!(window.pace(&web(), 1).rate(&Quantity::Requests), Some(30.0 * 30.0 - 29.0 * 29.0));
    }
}
