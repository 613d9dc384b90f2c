//! What is known of a relayed connection when it has ended: it is counted, and logged.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::clock::Moment;
use crate::relay::client::RelayedClient;
use crate::relay::end::SessionEnd;
use crate::relay::route::StreamRoute;
use crate::snapshot::Listener;
use crate::snapshot::group::Group;
use crate::telemetry::reason::Reason;
use crate::telemetry::record::Record;
use crate::telemetry::record::RecordedNames;
use crate::telemetry::record::RequestFacts;
use crate::telemetry::relay_counters::EndedRelay;
use crate::telemetry::relay_counters::RelayCounters;
use crate::worker::Worker;

/// See the module. It lasts as long as its connection, which may be idle for long: so it is small.
pub(super) struct SessionRecord {
    began: Moment,
    /// Bytes from the client that were passed on.
    pub(super) received: Cell<u64>,
    /// Bytes to the client.
    pub(super) sent: Cell<u64>,
    /// The indices of the members that were asked, in their order. Nothing is allocated for the first.
    asked: Vec<u32>,
    last_asked: Option<u32>,
    attempt_began: Moment,
    connect_time: Option<Duration>,
}

impl SessionRecord {
    pub(super) fn new(worker: &Worker) -> SessionRecord {
        SessionRecord {
            began: worker.clock.now(),
            received: Cell::new(0),
            sent: Cell::new(0),
            asked: Vec::new(),
            last_asked: None,
            attempt_began: Moment::default(),
            connect_time: None,
        }
    }

    pub(super) fn attempt_began(&mut self, member: u32, worker: &Worker) {
        self.asked.extend(self.last_asked.replace(member));
        self.attempt_began = worker.clock.now();
    }

    pub(super) fn connected(&mut self, worker: &Worker) {
        self.connect_time = Some(worker.clock.now_after(self.attempt_began).since(self.attempt_began));
    }

    pub(super) fn end(
        &self,
        end: SessionEnd,
        route: Option<&StreamRoute>,
        client: &RelayedClient,
        worker: &Worker,
    ) {
        let snapshot = worker.snapshot();
        let Some(listener) = snapshot.listener(client.counted.listener()) else { return };
        let reason = end.reason();
        let duration = worker.clock.now_after(self.began).since(self.began);
        let retries = self.asked.len() as u32;
        let counters = match route {
            Some(route) => route.counters.as_deref(),
            None => unrouted(listener),
        };
        count(&EndedRelay { reason, retries, duration }, counters, listener, worker);
        let record = Record {
            is_connection: true,
            status: reason.status(),
            reason,
            request_length: self.received.get(),
            body_bytes_sent: self.sent.get(),
            bytes_sent: self.sent.get(),
            request_time: duration,
            upstream_connect_time: self.connect_time,
            retries,
            ..Record::default()
        };
        let origin = Endpoints { listener, peer: client.peer, port: client.port };
        let asked: Vec<u32> = self.asked.iter().copied().chain(self.last_asked).collect();
        let (rule, group) = (route.and_then(|route| route.rule.as_deref()), route.map(|route| &*route.group));
        log((&record, self.began), &origin, (rule, group, &asked), &client.tls_log_fields, worker);
    }
}

/// Between whom a connection is.
#[derive(Clone, Copy)]
pub struct Endpoints<'w> {
    pub listener: &'w Listener,
    /// The TCP peer, or who its PROXY header says it speaks for.
    pub peer: SocketAddr,
    /// The port that the client connected to.
    pub port: u16,
}

impl Endpoints<'_> {
    /// The address that the client connected to, where the listener tells: it has but one with this port, which does not
    /// stand for all addresses of the host.
    fn server(&self) -> Option<SocketAddr> {
        let mut addresses = self.listener.addresses.iter().filter(|address| address.port() == self.port);
        let found = addresses.next().filter(|address| !address.ip().is_unspecified())?;
        addresses.next().is_none().then_some(*found)
    }
}

/// Counts and logs a connection that ended before anything of it was relayed.
pub fn record_unserved(reason: Reason, began: Moment, endpoints: &Endpoints<'_>, worker: &Worker) {
    let duration = worker.clock.now().since(began);
    let listener = endpoints.listener;
    if let Some(counters) = unrouted(listener) {
        counters.ended(worker.index, &EndedRelay { reason, retries: 0, duration });
    }
    let record = Record {
        is_connection: true,
        status: reason.status(),
        reason,
        request_time: duration,
        ..Record::default()
    };
    log((&record, began), endpoints, (None, None, &[]), b"", worker);
}

/// Counts a connection or session that has ended. `counters` are those of its way; None: nothing is counted.
pub fn count(ended: &EndedRelay, counters: Option<&RelayCounters>, listener: &Listener, worker: &Worker) {
    if let Some(counters) = listener.counters.as_ref().filter(|_| ended.reason != Reason::None) {
        counters.reason(worker.index, ended.reason.as_str());
    }
    if let Some(counters) = counters {
        counters.ended(worker.index, ended);
    }
}

/// The counters of what went to no group.
fn unrouted(listener: &Listener) -> Option<&RelayCounters> {
    listener.relay_counters(None, None).map(|counters| &**counters)
}

/// Writes the line of a connection to the logs of its listener.
pub fn log(
    (record, began): (&Record, Moment),
    endpoints: &Endpoints<'_>,
    (rule, group, asked): (Option<&str>, Option<&Group>, &[u32]),
    tls: &[u8],
    worker: &Worker,
) {
    let (Some(logs), Endpoints { listener, peer, port }) = (&worker.logs, *endpoints) else { return };
    let protocol = listener.protocol_name();
    let target = endpoints.server().map_or_else(|| format!(":{port}"), |server| server.to_string());
    let facts = RequestFacts::of_connection((worker.clock.wall(began), peer), (protocol, target.as_bytes()));
    let Some(lines) = logs.begin(listener.logs, &facts, tls, &worker.dates.borrow()) else { return };
    let chosen = logs.choose(&lines, record.status, None);
    if chosen.is_empty() {
        return logs.keep(lines);
    }
    let name_of = |member: &u32| {
        let backend = &group?.member(*member as usize)?.backend;
        Some(match backend.address.for_client_at(port) {
            Cow::Borrowed(_) => Cow::Borrowed(backend.name.as_str()),
            // It was asked at the client's port.
            Cow::Owned(address) => Cow::Owned(address.to_string()),
        })
    };
    let asked: Vec<Cow<'_, str>> = asked.iter().filter_map(name_of).collect();
    let names = RecordedNames {
        listener: &listener.name,
        rule: rule.unwrap_or_default(),
        server_group: group.map_or("", |group| &group.name),
        upstream_addr: &asked.join(", "),
        server: endpoints.server(),
        server_port: port,
        ..RecordedNames::default()
    };
    logs.end((lines, chosen), record, names, worker.index);
}
