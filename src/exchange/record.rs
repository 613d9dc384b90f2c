//! Collecting the facts of an exchange while it runs.

use arrayvec::ArrayVec;

use crate::exchange::Origin;
use crate::exchange::Request;
use crate::exchange::stream::Presence;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::Stream;
use crate::http::head::TargetForm;
use crate::http::headers::KnownName;
use crate::net::clock::Moment;
use crate::telemetry::access_log::Line;
use crate::telemetry::access_log::RequestId;
use crate::telemetry::reason::Reason;
use crate::telemetry::record::Names;
use crate::telemetry::record::Record;
use crate::telemetry::record::RequestFacts;
use crate::worker::AccessLog;
use crate::worker::Worker;

/// The most backends that one exchange may try: one and the most that `max_retries` allows.
pub(super) const MAX_TRIED: usize = 11;

/// What is known so far. Without an access log only the cheap facts are kept.
pub(super) struct Recording {
    /// The begun line; none without an access log.
    line: Option<Line>,
    received: Moment,
    pub(super) group: Option<usize>,
    /// Indices of backends in the group, in the order tried.
    pub(super) tried: ArrayVec<usize, MAX_TRIED>,
    pub(super) retries: u32,
    pub(super) reason: Reason,
    /// 0 until an answer was begun.
    pub(super) status: u16,
    pub(super) upstream_status: u16,
    request_read: Option<Moment>,
    upstream_began: Option<Moment>,
    upstream_ended: Option<Moment>,
    response_began: Option<Moment>,
}

impl Recording {
    pub(super) fn begin(request: &Request<'_, '_>, origin: &Origin<'_>, worker: &Worker) -> Recording {
        let line = worker.log.as_ref().map(|log| {
            let dates = worker.dates.borrow();
            log.format.begin(spare_line(log), &facts(request, origin, worker), &dates)
        });
        Recording::new(line, request.received)
    }

    /// For what came instead of a request head.
    pub(super) fn of_refused(received: Moment, origin: &Origin<'_>, worker: &Worker) -> Recording {
        let line = worker.log.as_ref().map(|log| {
            let facts = RequestFacts {
                time: worker.clock.wall(received),
                peer: origin.peer,
                client: origin.peer.ip(),
                method: b"-",
                scheme: "http",
                host: b"",
                http_host: b"",
                request_uri: b"-",
                server_protocol: "-",
                referer: b"",
                user_agent: b"",
                x_forwarded_for: b"",
                x_real_ip: b"",
            };
            log.format.begin(spare_line(log), &facts, &worker.dates.borrow())
        });
        Recording::new(line, received)
    }

    fn new(line: Option<Line>, received: Moment) -> Recording {
        Recording {
            line,
            received,
            group: None,
            tried: ArrayVec::new(),
            retries: 0,
            reason: Reason::None,
            status: 0,
            upstream_status: 0,
            request_read: None,
            upstream_began: None,
            upstream_ended: None,
            response_began: None,
        }
    }

    pub(super) fn request_read(&mut self, worker: &Worker) {
        self.request_read = self.now(worker);
    }

    pub(super) fn upstream_began(&mut self, worker: &Worker) {
        self.upstream_began = self.upstream_began.or_else(|| self.now(worker));
    }

    pub(super) fn upstream_ended(&mut self, worker: &Worker) {
        self.upstream_ended = self.now(worker);
    }

    pub(super) fn response_began(&mut self, status: u16, worker: &Worker) {
        self.status = status;
        self.response_began = self.now(worker);
    }

    /// Writes the line.
    pub(super) fn end<S: Stream>(mut self, stream: &mut S, origin: &Origin<'_>, worker: &Worker) {
        let Some(line) = self.line.take() else { return };
        let head_bytes = stream.head_bytes();
        let (body, reply, presence) = stream.parts();
        let now = worker.clock.now();
        let since = |moment: Option<Moment>| moment.map(|moment| now.since(moment));
        let record = Record {
            status: if self.status == 0 { self.reason.status() } else { self.status },
            reason: self.reason,
            request_length: head_bytes + body.received_bytes(),
            body_bytes_sent: reply.content_bytes(),
            request_time: now.since(self.received),
            read_request_time: self
                .request_read
                .map_or_else(Default::default, |read| read.since(self.received)),
            write_response_time: since(self.response_began).unwrap_or_default(),
            upstream_response_time: self
                .upstream_began
                .map(|began| self.upstream_ended.unwrap_or(now).since(began)),
            upstream_status: self.upstream_status,
            retries: self.retries,
            tcpinfo_rtt: presence.round_trip_us(),
        };
        self.write_line(line, &record, origin, worker);
    }

    fn write_line(&self, line: Line, record: &Record, origin: &Origin<'_>, worker: &Worker) {
        let Some(log) = &worker.log else { return };
        let group = self.group.and_then(|group| worker.snapshot.groups.get(group));
        let mut scratch = worker.scratch.borrow_mut();
        scratch.clear();
        for &backend in &self.tried {
            let name = group.and_then(|group| group.backends.get(backend)).map(|backend| &*backend.name);
            let separator = if scratch.is_empty() { "" } else { ", " };
            scratch.extend_from_slice(separator.as_bytes());
            scratch.extend_from_slice(name.unwrap_or_default().as_bytes());
        }
        let names = Names {
            listener: &origin.listener.name,
            server_group: group.map_or("", |group| &group.name),
            upstream_addr: std::str::from_utf8(&scratch).unwrap_or_default(),
        };
        let sequence = log.sequence.replace(log.sequence.get() + 1);
        // The configuration allows 1024 workers.
        let id = RequestId { process: log.process, worker: worker.index as u16, sequence };
        log.queue.borrow_mut().append(|out| line.end(id, record, names, out));
        let mut bytes = line.into_bytes();
        bytes.clear();
        log.spare_lines.borrow_mut().push(bytes);
    }

    /// The time, if anybody will read it.
    fn now(&self, worker: &Worker) -> Option<Moment> {
        self.line.is_some().then(|| worker.clock.now())
    }
}

fn spare_line(log: &AccessLog) -> Vec<u8> {
    log.spare_lines.borrow_mut().pop().unwrap_or_default()
}

fn facts<'a>(request: &'a Request<'_, '_>, origin: &Origin<'_>, worker: &Worker) -> RequestFacts<'a> {
    let head = &request.head;
    let value = |name| head.headers.find(name).map_or(&b""[..], |field| field.value);
    let http_host = value(KnownName::Host);
    let host = match head.target.form {
        TargetForm::Absolute { authority } => authority,
        _ => http_host,
    };
    RequestFacts {
        time: worker.clock.wall(request.received),
        peer: origin.peer,
        client: origin.listener.trusted_proxies.client(origin.peer.ip(), head.headers),
        method: head.method.as_bytes(),
        scheme: "http",
        host,
        http_host,
        request_uri: head.target.raw,
        server_protocol: head.version.as_str(),
        referer: value(KnownName::Referer),
        user_agent: value(KnownName::UserAgent),
        x_forwarded_for: value(KnownName::XForwardedFor),
        x_real_ip: value(KnownName::XRealIp),
    }
}
