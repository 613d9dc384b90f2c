//! Collecting the facts of an exchange while it runs.

use std::io::Write;

use arrayvec::ArrayVec;

use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::exchange::stream::ClientWatch;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::Stream;
use crate::http::head::PartialHead;
use crate::http::head::RequestHead;
use crate::http::headers::KnownName;
use crate::net::clock::Moment;
use crate::policy::forwarded::Client;
use crate::policy::request_id;
use crate::telemetry::access_log::Ending;
use crate::telemetry::access_log::RequestId;
use crate::telemetry::reason::Reason;
use crate::telemetry::record::Attempt;
use crate::telemetry::record::MAX_ATTEMPTS;
use crate::telemetry::record::Names;
use crate::telemetry::record::Record;
use crate::telemetry::record::RequestFacts;
use crate::worker::BegunLine;
use crate::worker::Worker;

/// What is known so far. Without an access log only the cheap facts are kept.
pub(super) struct Recording {
    pub(super) group: Option<u32>,
    pub(super) reason: Reason,
    /// 0 until an answer was begun.
    pub(super) status: u16,
    /// The request is a call of gRPC.
    pub(super) is_call: bool,
    /// None without an access log.
    log: Option<Box<BegunLine>>,
}

impl Recording {
    /// The line tells the identity that the request goes on with, or makes its own if that is empty.
    pub(super) fn begin(
        request: &Request<'_, '_>,
        client: &Client<'_>,
        origin: &Origin<'_>,
        worker: &Worker,
    ) -> Recording {
        let Some(log) = &worker.log else { return Recording::new(None) };
        worker.advance_dates();
        let dates = worker.dates.borrow();
        let facts = facts(request, client, origin, worker);
        Recording::new(Some(log.begin_line(request.received, &facts, &dates)))
    }

    /// For what came instead of an acceptable request head.
    pub(super) fn of_refused(
        head: &PartialHead<'_>,
        received: Moment,
        origin: &Origin<'_>,
        worker: &Worker,
    ) -> Recording {
        let begun = worker.log.as_ref().map(|log| {
            let facts = RequestFacts {
                time: worker.clock.wall(received),
                peer: origin.peer,
                client: origin.peer.ip(),
                method: if head.method.is_empty() { b"-" } else { head.method },
                scheme: origin.scheme(),
                host: head.host,
                http_host: head.host,
                request_uri: if head.target.is_empty() { b"-" } else { head.target },
                server_protocol: if head.version.is_empty() { "-" } else { head.version },
                referer: head.referer,
                user_agent: head.user_agent,
                x_forwarded_for: b"",
                x_real_ip: b"",
                authorization: b"",
                request_id: told_id(head, origin),
                tls: origin.client_tls.map_or(&b""[..], |client_tls| &client_tls.log_fields),
            };
            log.begin_line(received, &facts, &worker.dates.borrow())
        });
        Recording::new(begun)
    }

    fn new(log: Option<Box<BegunLine>>) -> Recording {
        Recording { group: None, reason: Reason::None, status: 0, is_call: false, log }
    }

    /// A connection is looked for to the backend with this index in the group.
    pub(super) fn attempt_began(&mut self, backend: u32) {
        if let Some(log) = &mut self.log {
            // There is room for more than there can be.
            let _ = log.attempts.try_push(Attempt { backend, status: 0 });
        }
    }

    /// What the backend answered, also by an interim response.
    pub(super) fn upstream_answered(&mut self, status: u16) {
        if let Some(attempt) = self.log.as_mut().and_then(|log| log.attempts.last_mut()) {
            attempt.status = status;
        }
    }

    /// With what status of gRPC the call ended, if that was told.
    pub(super) fn note_call_status(&mut self, status: Option<u32>) {
        if let Some(log) = self.log.as_mut().filter(|_| self.is_call) {
            log.grpc_status = status.or(log.grpc_status);
        }
    }

    pub(super) fn request_read(&mut self, worker: &Worker) {
        if let Some(log) = &mut self.log {
            log.request_read = log.request_read.or_else(|| Some(worker.clock.now()));
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

    /// Whether a final response has begun.
    pub(super) fn has_response(&self) -> bool {
        self.status != 0
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
        let tells_rtt = worker.log.as_ref().is_some_and(|log| log.format.tells_rtt());
        let head_bytes = stream.head_bytes();
        let (body, reply, watch) = stream.parts();
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
            grpc_status: self.is_call.then_some(begun.grpc_status),
            // There are 24 at most.
            retries: begun.attempts.len().saturating_sub(1) as u32,
            tcpinfo_rtt: if tells_rtt { watch.round_trip_us() } else { None },
        };
        self.write_line(begun, &record, origin, worker);
    }

    fn write_line(&self, begun: Box<BegunLine>, record: &Record, origin: &Origin<'_>, worker: &Worker) {
        let Some(log) = &worker.log else { return };
        let group = self.group.and_then(|group| origin.listener.group(group as usize));
        let mut scratch = worker.scratch.borrow_mut();
        scratch.clear();
        let mut statuses = ArrayVec::<u8, { MAX_ATTEMPTS * ", 200".len() }>::new();
        for (index, attempt) in begun.attempts.iter().enumerate() {
            let member = group.and_then(|group| group.member(attempt.backend as usize));
            let separator = if index == 0 { "" } else { ", " };
            scratch.extend_from_slice(separator.as_bytes());
            scratch.extend_from_slice(member.map_or(&b""[..], |member| member.backend.name.as_bytes()));
            // There is room for all.
            let _ = match attempt.status {
                0 => write!(statuses, "{separator}-"),
                status => write!(statuses, "{separator}{status}"),
            };
        }
        let names = Names {
            listener: &origin.listener.name,
            server_group: group.map_or("", |group| &group.name),
            upstream_addr: std::str::from_utf8(&scratch).unwrap_or_default(),
            upstream_status: std::str::from_utf8(&statuses).unwrap_or_default(),
        };
        let sequence = log.sequence.replace(log.sequence.get() + 1);
        // The configuration allows 1024 workers.
        let id = RequestId { process: log.process, worker: worker.index as u16, sequence };
        let ending = Ending { id, record, names };
        log.queue.borrow_mut().append(|out| begun.line.end(&ending, out));
        log.keep(begun);
    }
}

fn facts<'a>(
    request: &'a Request<'_, '_>,
    client: &Client<'a>,
    origin: &Origin<'a>,
    worker: &Worker,
) -> RequestFacts<'a> {
    let head = &request.head;
    let value = |name| head.headers.find(name).map_or(&b""[..], |field| field.value);
    RequestFacts {
        time: worker.clock.wall(request.received),
        peer: origin.peer,
        client: client.address,
        method: head.method.as_bytes(),
        scheme: client.scheme,
        host: client.host,
        http_host: value(KnownName::Host),
        request_uri: head.target.raw,
        server_protocol: head.version.as_str(),
        referer: value(KnownName::Referer),
        user_agent: value(KnownName::UserAgent),
        x_forwarded_for: value(KnownName::XForwardedFor),
        x_real_ip: value(KnownName::XRealIp),
        authorization: authorization(head, worker),
        request_id: client.request_id,
        tls: origin.client_tls.map_or(&b""[..], |client_tls| &client_tls.log_fields),
    }
}

/// What a trusted proxy calls a request that is refused, where `X-Request-ID` is on.
fn told_id<'b>(head: &PartialHead<'b>, origin: &Origin<'_>) -> &'b [u8] {
    let (value, count) = head.x_request_id;
    let is_taken = origin.http.forwarded.fields.x_request_id
        && count == 1
        && request_id::is_acceptable(value)
        && origin.is_trusted();
    if is_taken { value } else { b"" }
}

/// The Authorization field, where the log tells the user in it.
fn authorization<'a>(head: &RequestHead<'_, 'a>, worker: &Worker) -> &'a [u8] {
    if !worker.log.as_ref().is_some_and(|log| log.format.tells_user()) {
        return b"";
    }
    let mut fields = head.headers.iter();
    fields.find(|field| field.name.eq_ignore_ascii_case(b"authorization")).map_or(b"", |field| field.value)
}
