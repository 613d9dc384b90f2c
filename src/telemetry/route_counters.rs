//! Counters of the requests that take one way through a listener: by one rule, or none, to one group, or none.

use std::sync::OnceLock;

use crate::http::head::Version;
use crate::telemetry::carried;
use crate::telemetry::carried::CarriedCounts;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::EachWorker;
use crate::telemetry::histogram::Distribution;
use crate::telemetry::histogram::Histogram;

/// What all workers have counted of one way. Each worker writes what is its own.
pub struct RouteCounters(EachWorker<OwnRouteCounters>);

/// What one worker has counted.
#[derive(Default)]
pub struct OwnRouteCounters {
    requests: [[OnceLock<Box<StatusCounters>>; CLASSES]; HttpProtocol::ALL.len()],
    calls: OnceLock<Box<[Counter; CALL_STATUSES]>>,
    request_bytes: Counter,
    response_bytes: Counter,
    retries: Counter,
    duration: Histogram,
    time_to_first_byte: Histogram,
    upstream_time: Histogram,
}

/// The counters of 100 statuses.
struct StatusCounters([Counter; STATUSES_PER_CLASS]);

impl Default for StatusCounters {
    fn default() -> StatusCounters {
        StatusCounters(std::array::from_fn(|_| Counter::default()))
    }
}

const STATUSES_PER_CLASS: usize = 100;
/// 000 to 099, for exchanges that ended without a status, to 500 to 599. Larger ones count as 599.
const CLASSES: usize = 6;

/// Statuses of gRPC, 0 to 16, and one for calls that ended with another, or without one.
const CALL_STATUSES: usize = 18;

/// What a client spoke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpProtocol {
    /// It was not understood.
    #[default]
    Unknown,
    Http10,
    Http11,
    Http2,
    Http3,
}

impl HttpProtocol {
    pub const ALL: [HttpProtocol; 5] = [
        HttpProtocol::Unknown,
        HttpProtocol::Http10,
        HttpProtocol::Http11,
        HttpProtocol::Http2,
        HttpProtocol::Http3,
    ];

    /// The value of the label `protocol`.
    pub fn as_str(self) -> &'static str {
        match self {
            HttpProtocol::Unknown => "unknown",
            HttpProtocol::Http10 => "HTTP/1.0",
            HttpProtocol::Http11 => "HTTP/1.1",
            HttpProtocol::Http2 => "HTTP/2.0",
            HttpProtocol::Http3 => "HTTP/3.0",
        }
    }
}

impl From<Version> for HttpProtocol {
    fn from(version: Version) -> HttpProtocol {
        match version {
            Version::Http10 => HttpProtocol::Http10,
            Version::Http11 => HttpProtocol::Http11,
            Version::Http2 => HttpProtocol::Http2,
            Version::Http3 => HttpProtocol::Http3,
        }
    }
}

/// One request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedRequest {
    pub protocol: HttpProtocol,
    /// 0: it had none.
    pub status: u16,
    /// How a call of gRPC ended; the inner None: without a status. The outer: it was none.
    pub grpc_status: Option<Option<u32>>,
    /// Bytes of head and body received from the client.
    pub request_bytes: u64,
    /// Bytes of content sent to the client, without framing.
    pub response_bytes: u64,
    pub retries: u32,
    /// Microseconds from the first byte of the request to the last byte of the response.
    pub duration_us: u64,
    /// From the first byte of the request to the head of the response. None: there was no response.
    pub time_to_first_byte_us: Option<u64>,
    /// From the choice of a backend to the end of its response. None: no backend was chosen.
    pub upstream_us: Option<u64>,
}

impl RouteCounters {
    pub fn new(workers: usize) -> RouteCounters {
        RouteCounters(EachWorker::new(workers))
    }

    /// Counts a request for this worker, which alone may do so.
    pub fn count(&self, worker: usize, request: &EndedRequest) {
        if let Some(own) = self.0.own(worker) {
            own.count(request);
        }
    }

    /// The sums of all workers; None if none has counted anything.
    pub fn totals(&self) -> Option<RouteTotals> {
        self.0.all().next()?;
        let sum =
            |counter: fn(&OwnRouteCounters) -> &Counter| self.0.all().map(|own| counter(own).get()).sum();
        Some(RouteTotals {
            requests: self.requests(),
            calls: self.calls(),
            request_bytes: sum(|own| &own.request_bytes),
            response_bytes: sum(|own| &own.response_bytes),
            retries: sum(|own| &own.retries),
            duration: Distribution::of(self.0.all().map(|own| &own.duration)),
            time_to_first_byte: Distribution::of(self.0.all().map(|own| &own.time_to_first_byte)),
            upstream_time: Distribution::of(self.0.all().map(|own| &own.upstream_time)),
        })
    }

    fn calls(&self) -> Vec<(Option<u32>, u64)> {
        let blocks: Vec<_> = self.0.all().filter_map(|own| own.calls.get()).collect();
        let count =
            |status: usize| blocks.iter().filter_map(|block| block.get(status)).map(Counter::get).sum();
        let word = |status| (status + 1 < CALL_STATUSES).then_some(status as u32);
        let counted = (0..CALL_STATUSES).map(|status| (word(status), count(status)));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    fn requests(&self) -> Vec<(HttpProtocol, u16, u64)> {
        let mut requests = Vec::new();
        for (protocol, place) in HttpProtocol::ALL.into_iter().zip(0..) {
            for class in 0..CLASSES {
                let blocks = self.0.all().filter_map(|own| own.requests.get(place)?.get(class)?.get());
                let blocks: Vec<_> = blocks.collect();
                for status in 0..if blocks.is_empty() { 0 } else { STATUSES_PER_CLASS } {
                    let counters = blocks.iter().filter_map(|block| block.0.get(status));
                    let count: u64 = counters.map(Counter::get).sum();
                    if count > 0 {
                        requests.push((protocol, (class * STATUSES_PER_CLASS + status) as u16, count));
                    }
                }
            }
        }
        requests
    }
}

impl RouteCounters {
    /// What a successor of the process takes over.
    pub fn carried(&self) -> CarriedCounts {
        let mut carried = CarriedCounts::default();
        for (protocol, status, count) in self.requests() {
            carried.add(format!("requests.{}.{status}", protocol as usize), count);
        }
        for own in self.0.all() {
            for (status, counter) in own.calls.get().into_iter().flat_map(|calls| calls.iter().enumerate()) {
                carried.add(format!("calls.{status}"), counter.get());
            }
            carried.add("request_bytes", own.request_bytes.get());
            carried.add("response_bytes", own.response_bytes.get());
            carried.add("retries", own.retries.get());
        }
        Histogram::carry("duration", self.0.all().map(|own| &own.duration), &mut carried);
        Histogram::carry("first_byte", self.0.all().map(|own| &own.time_to_first_byte), &mut carried);
        Histogram::carry("upstream", self.0.all().map(|own| &own.upstream_time), &mut carried);
        carried
    }

    /// Adds what a process before this one has counted. One thread at a time may do so.
    pub fn add_carried(&self, carried: &CarriedCounts) {
        let before = self.0.before();
        for (parts, count) in carried.each() {
            match parts[..] {
                ["requests", protocol, status] => {
                    let requests = carried::place(protocol).and_then(|place| before.requests.get(place));
                    let status = carried::place(status);
                    if let Some((classes, status)) = requests.zip(status)
                        && let Some(counter) = status_counter(classes, status)
                    {
                        counter.add(count);
                    }
                }
                ["calls", status] => {
                    let calls = before.calls.get_or_init(no_calls);
                    let counter = carried::place(status).and_then(|status| calls.get(status));
                    counter.into_iter().for_each(|counter| counter.add(count));
                }
                ["request_bytes"] => before.request_bytes.add(count),
                ["response_bytes"] => before.response_bytes.add(count),
                ["retries"] => before.retries.add(count),
                ["duration", part] => before.duration.add_carried(part, count),
                ["first_byte", part] => before.time_to_first_byte.add_carried(part, count),
                ["upstream", part] => before.upstream_time.add_carried(part, count),
                _ => {}
            }
        }
    }
}

fn status_counter(classes: &[OnceLock<Box<StatusCounters>>; CLASSES], status: usize) -> Option<&Counter> {
    let block = classes.get(status / STATUSES_PER_CLASS)?;
    block.get_or_init(Box::default).0.get(status % STATUSES_PER_CLASS)
}

fn no_calls() -> Box<[Counter; CALL_STATUSES]> {
    Box::new(std::array::from_fn(|_| Counter::default()))
}

impl OwnRouteCounters {
    fn count(&self, request: &EndedRequest) {
        let status = usize::from(request.status).min(CLASSES * STATUSES_PER_CLASS - 1);
        let classes = self.requests.get(request.protocol as usize);
        if let Some(counter) = classes.and_then(|classes| status_counter(classes, status)) {
            counter.increment();
        }
        if let Some(status) = request.grpc_status {
            let place = status.map_or(CALL_STATUSES - 1, |status| (status as usize).min(CALL_STATUSES - 1));
            if let Some(counter) = self.calls.get_or_init(no_calls).get(place) {
                counter.increment();
            }
        }
        self.request_bytes.add(request.request_bytes);
        self.response_bytes.add(request.response_bytes);
        if request.retries > 0 {
            self.retries.add(request.retries.into());
        }
        self.duration.record(request.duration_us);
        if let Some(time) = request.time_to_first_byte_us {
            self.time_to_first_byte.record(time);
        }
        if let Some(time) = request.upstream_us {
            self.upstream_time.record(time);
        }
    }
}

/// What was counted of one way, over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTotals {
    /// How many requests of a protocol had a status, in this order.
    pub requests: Vec<(HttpProtocol, u16, u64)>,
    /// How many calls of gRPC ended with a status; None stands for all that are not defined, and for none.
    pub calls: Vec<(Option<u32>, u64)>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub retries: u64,
    pub duration: Distribution,
    pub time_to_first_byte: Distribution,
    pub upstream_time: Distribution,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_count_for_themselves_and_their_sums_are_told() {
        let counters = RouteCounters::new(2);
        assert_eq!(counters.totals(), None);
        let request = EndedRequest {
            protocol: HttpProtocol::Http11,
            status: 200,
            grpc_status: None,
            request_bytes: 100,
            response_bytes: 10,
            retries: 0,
            duration_us: 15,
            time_to_first_byte_us: Some(7),
            upstream_us: None,
        };
        counters.count(0, &request);
        counters.count(1, &request);
        counters
            .count(1, &EndedRequest { protocol: HttpProtocol::Http2, status: 999, retries: 2, ..request });
        counters.count(0, &EndedRequest { status: 0, time_to_first_byte_us: None, ..request });
        for grpc_status in [Some(0), Some(16), Some(17), Some(u32::MAX), None] {
            let nothing = EndedRequest { request_bytes: 0, response_bytes: 0, duration_us: 0, ..request };
            counters.count(0, &EndedRequest { grpc_status: Some(grpc_status), status: 200, ..nothing });
        }
        // There is no such worker.
        counters.count(2, &request);
        let successor = RouteCounters::new(1);
        successor.add_carried(&counters.carried());
        assert_eq!(successor.totals(), counters.totals());
        let totals = counters.totals().unwrap();
        let expected =
            [(HttpProtocol::Http11, 0, 1), (HttpProtocol::Http11, 200, 7), (HttpProtocol::Http2, 599, 1)];
        assert_eq!(totals.requests, expected);
        assert_eq!(totals.calls, [(Some(0), 1), (Some(16), 1), (None, 3)]);
        assert_eq!((totals.request_bytes, totals.response_bytes, totals.retries), (400, 40, 2));
        assert_eq!((totals.duration.count(), totals.duration.sum_us), (9, 60));
        assert_eq!((totals.time_to_first_byte.count(), totals.upstream_time.count()), (8, 0));
    }
}
