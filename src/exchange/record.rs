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
use crate::telemetry::access_log::Ending;
use crate::telemetry::access_log::RequestId;
use crate::telemetry::reason::Reason;
use crate::telemetry::record::Names;
use crate::telemetry::record::Record;
use crate::telemetry::record::RequestFacts;
use crate::worker::BegunLine;
use crate::worker::Worker;

/// The most backends that one exchange may try: one and the most that `max_retries` allows.
pub(super) const MAX_TRIED: usize = 11;

/// What is known so far. Without an access log only the cheap facts are kept.
pub(super) struct Recording {
    pub(super) group: Option<u32>,
    /// Indices of backends in the group, in the order tried.
    pub(super) tried: ArrayVec<u32, MAX_TRIED>,
    pub(super) retries: u32,
    pub(super) reason: Reason,
    /// 0 until an answer was begun.
    pub(super) status: u16,
    pub(super) upstream_status: u16,
    /// None without an access log.
    log: Option<Box<BegunLine>>,
}

impl Recording {
    pub(super) fn begin(request: &Request<'_, '_>, origin: &Origin<'_>, worker: &Worker) -> Recording {
        let Some(log) = &worker.log else { return Recording::new(None) };
        let dates = worker.dates.borrow();
        Recording::new(Some(log.begin_line(request.received, &facts(request, origin, worker), &dates)))
    }

    /// For what came instead of a request head.
    pub(super) fn of_refused(received: Moment, origin: &Origin<'_>, worker: &Worker) -> Recording {
        let begun = worker.log.as_ref().map(|log| {
            let facts = RequestFacts {
                time: worker.clock.wall(received),
                peer: origin.peer,
                client: origin.peer.ip(),
                method: b"-",
                scheme: origin.scheme(),
                host: b"",
                http_host: b"",
                request_uri: b"-",
                server_protocol: "-",
                referer: b"",
                user_agent: b"",
                x_forwarded_for: b"",
                x_real_ip: b"",
                tls: b"",
            };
            log.begin_line(received, &facts, &worker.dates.borrow())
        });
        Recording::new(begun)
    }

    fn new(log: Option<Box<BegunLine>>) -> Recording {
        Recording {
            group: None,
            tried: ArrayVec::new(),
            retries: 0,
            reason: Reason::None,
            status: 0,
            upstream_status: 0,
            log,
        }
    }

    pub(super) fn request_read(&mut self, worker: &Worker) {
        if let Some(log) = &mut self.log {
            log.request_read = Some(worker.clock.now());
        }
    }

    pub(super) fn upstream_began(&mut self, worker: &Worker) {
        if let Some(log) = &mut self.log {
            log.upstream_began = Some(worker.clock.now());
        }
    }

    pub(super) fn upstream_ended(&mut self, worker: &Worker) {
        if let Some(log) = &mut self.log {
            log.upstream_ended = Some(worker.clock.now());
        }
    }

    pub(super) fn response_began(&mut self, status: u16, worker: &Worker) {
        self.status = status;
        if let Some(log) = &mut self.log {
            log.response_began = Some(worker.clock.now());
        }
    }

    /// Writes the line of a connection that got no exchange.
    pub(super) fn end_unserved(mut self, origin: &Origin<'_>, worker: &Worker) {
        let Some(begun) = self.log.take() else { return };
        let record = Record {
            status: self.reason.status(),
            reason: self.reason,
            request_time: worker.clock.now().since(begun.received),
            ..Record::default()
        };
        self.write_line(begun, &record, origin, worker);
    }

    /// What a backend's head said never left; another answer takes its place.
    pub(super) fn response_taken_back(&mut self) {
        self.status = 0;
        if let Some(log) = &mut self.log {
            log.response_began = None;
        }
    }

    /// Writes the line.
    pub(super) fn end<S: Stream>(&mut self, stream: &mut S, origin: &Origin<'_>, worker: &Worker) {
        let Some(begun) = self.log.take() else { return };
        let head_bytes = stream.head_bytes();
        let (body, reply, presence) = stream.parts();
        let now = worker.clock.now();
        let upstream_ended = begun.upstream_ended.unwrap_or(now);
        let record = Record {
            status: if self.status == 0 { self.reason.status() } else { self.status },
            reason: self.reason,
            request_length: head_bytes + body.received_bytes(),
            body_bytes_sent: reply.content_bytes(),
            request_time: now.since(begun.received),
            read_request_time: begun.request_read.unwrap_or(begun.received).since(begun.received),
            write_response_time: now.since(begun.response_began.unwrap_or(now)),
            upstream_response_time: begun.upstream_began.map(|began| upstream_ended.since(began)),
            upstream_status: self.upstream_status,
            retries: self.retries,
            tcpinfo_rtt: presence.round_trip_us(),
        };
        self.write_line(begun, &record, origin, worker);
    }

    fn write_line(&self, begun: Box<BegunLine>, record: &Record, origin: &Origin<'_>, worker: &Worker) {
        let Some(log) = &worker.log else { return };
        let group = self.group.and_then(|group| origin.listener.group(group as usize));
        let mut scratch = worker.scratch.borrow_mut();
        scratch.clear();
        for &backend in &self.tried {
            let name =
                group.and_then(|group| group.member(backend as usize)).map(|member| &*member.backend.name);
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
        let ending = Ending { id, record, names };
        log.queue.borrow_mut().append(|out| begun.line.end(&ending, out));
        log.keep(begun);
    }
}

fn facts<'a>(request: &'a Request<'_, '_>, origin: &Origin<'a>, worker: &Worker) -> RequestFacts<'a> {
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
        scheme: origin.scheme(),
        host,
        http_host,
        request_uri: head.target.raw,
        server_protocol: head.version.as_str(),
        referer: value(KnownName::Referer),
        user_agent: value(KnownName::UserAgent),
        x_forwarded_for: value(KnownName::XForwardedFor),
        x_real_ip: value(KnownName::XRealIp),
        tls: origin.secured.map_or(&b""[..], |secured| &secured.log_fields),
    }
}
