//! Collecting the facts of an exchange while it runs.

use std::time::Duration;

use crate::exchange::error::ExchangeError;
use crate::exchange::log_line;
use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::exchange::stream::ClientWatch;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::Stream;
use crate::exchange::trace;
use crate::exchange::trace::TracedEnd;
use crate::http::head::PartialHead;
use crate::net::clock::Moment;
use crate::policy::forwarded::Client;
use crate::policy::overrides::Overrides;
use crate::policy::overrides::Sample;
use crate::policy::trace::ids::SpanId;
use crate::telemetry::log_set::LogSet;
use crate::telemetry::reason::Reason;
use crate::telemetry::record::Record;
use crate::telemetry::record::RecordedAttempt;
use crate::telemetry::route_counters::EndedRequest;
use crate::telemetry::route_counters::HttpProtocol;
use crate::upstream::lease::Lease;
use crate::upstream::request::PreparedRequest;
use crate::upstream::stream::UpstreamStream;
use crate::worker::Worker;
use crate::worker::access_log::AccessLogs;
use crate::worker::access_log::PendingLogLines;
use crate::worker::access_log::SentFields;
use crate::worker::spans::AttemptPurpose;
use crate::worker::spans::NewAttempt;
use crate::worker::spans::PendingTrace;

/// What is known of an exchange so far: what it came to, and when. It is the same whether or not there is an access log,
/// which is but one reader of the [`Record`] that comes of it.
pub(super) struct Recording {
    pub(super) group: Option<u32>,
    /// The index of the rule that took the request.
    pub(super) rule: Option<u32>,
    pub(super) reason: Reason,
    /// 0 until an answer was begun.
    pub(super) status: u16,
    /// The request is a call of gRPC.
    pub(super) is_call: bool,
    /// With what a call of gRPC ended, once that is known.
    grpc_status: Option<u32>,
    /// How often a backend was asked.
    attempts: u32,
    moments: Moments,
    protocol: HttpProtocol,
    /// None where no access log is written.
    lines: Option<Box<PendingLogLines>>,
    /// None unless a collector gets the spans of the exchange.
    trace: Option<Box<PendingTrace>>,
}

/// When the parts of an exchange began and ended, by the clock of its worker. Each is taken in a turn of the worker's
/// loop that reads the clock anyway, for a deadline or for the age of a connection in its pool.
struct Moments {
    received: Moment,
    request_read: Option<Moment>,
    upstream_began: Option<Moment>,
    upstream_ended: Option<Moment>,
    response_began: Option<Moment>,
}

impl Recording {
    /// Lines tell the identity that the request goes on with, or make their own if that is empty.
    pub(super) fn begin(
        request: &Request<'_, '_>,
        client: &Client<'_>,
        origin: &Origin<'_>,
        worker: &Worker,
    ) -> Recording {
        let lines = worker.logs.as_ref().and_then(|logs| {
            worker.advance_dates();
            let facts = log_line::facts(request, client, origin, worker);
            logs.begin(origin.listener.logs, &facts, log_line::tls(origin), &worker.dates.borrow())
        });
        let trace = trace::record(request, client, origin, worker);
        Recording { protocol: request.head.version.into(), trace, ..Recording::new(request.received, lines) }
    }

    /// For what came instead of an acceptable request head.
    pub(super) fn of_refused(
        head: &PartialHead<'_>,
        received: Moment,
        origin: &Origin<'_>,
        worker: &Worker,
    ) -> Recording {
        let lines = worker.logs.as_ref().and_then(|logs| {
            let facts = log_line::refused_facts(head, received, origin, worker);
            logs.begin(origin.listener.logs, &facts, log_line::tls(origin), &worker.dates.borrow())
        });
        Recording::new(received, lines)
    }

    /// For a request of Ringway's own, with what is to be told of it to a collector.
    pub(super) fn unlogged(trace: Option<Box<PendingTrace>>, worker: &Worker) -> Recording {
        Recording { trace, ..Recording::new(worker.clock.now(), None) }
    }

    /// Lends what a collector is told, for attempts of another purpose.
    pub(super) fn lend_trace(&mut self, purpose: AttemptPurpose) -> Option<Box<PendingTrace>> {
        let mut trace = self.trace.take()?;
        trace.purpose = purpose;
        Some(trace)
    }

    /// Takes it back from who has recorded these attempts.
    pub(super) fn take_back_trace(&mut self, lent: &mut Recording, reason: Reason, worker: &Worker) {
        if let Some(mut trace) = lent.trace.take() {
            trace.attempt_ended(reason, worker.clock.now());
            trace.purpose = AttemptPurpose::Request;
            self.trace = Some(trace);
        }
    }

    /// What a collector is to be told of a request of Ringway's own that is over.
    pub(super) fn into_trace(self) -> Option<Box<PendingTrace>> {
        self.trace
    }

    fn new(received: Moment, lines: Option<Box<PendingLogLines>>) -> Recording {
        Recording {
            group: None,
            rule: None,
            reason: Reason::None,
            status: 0,
            is_call: false,
            grpc_status: None,
            attempts: 0,
            moments: Moments {
                received,
                request_read: None,
                upstream_began: None,
                upstream_ended: None,
                response_began: None,
            },
            protocol: HttpProtocol::Unknown,
            lines,
            trace: None,
        }
    }

    /// A connection is looked for to the backend with this index in the group.
    pub(super) fn attempt_began(
        &mut self,
        (group, backend): (usize, u32),
        request: &mut PreparedRequest,
        worker: &Worker,
    ) {
        self.attempts += 1;
        if request.names_span() || self.trace.is_some() {
            self.trace_attempt((group, backend), request, worker);
        }
        if let Some(lines) = &mut self.lines {
            lines.connect_time = None;
            // There is room for more than there can be.
            let _ = lines.attempts.try_push(RecordedAttempt { backend, status: 0 });
        }
    }

    /// Gives an attempt a span of its own.
    fn trace_attempt(
        &mut self,
        (group, backend): (usize, u32),
        request: &mut PreparedRequest,
        worker: &Worker,
    ) {
        let span = *SpanId::of(worker.nonce_of_span()).digits();
        request.set_span(&span);
        if let Some(trace) = &mut self.trace {
            let target = request.head().split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            // A configuration file does not hold four billion groups.
            let attempt = NewAttempt { span, group: group as u32, backend, path: trace::path_of(target) };
            trace.attempt_began(attempt, worker.clock.now());
        }
    }

    /// An attempt has a connection, which is to carry it.
    pub(super) fn carried_by<'l>(&mut self, lease: &'l Lease<'_>) -> &'l UpstreamStream {
        if let Some(attempt) = self.trace.as_mut().and_then(|trace| trace.attempt()) {
            attempt.protocol = Some(lease.stream.protocol_version());
            attempt.is_reused = lease.reused;
        }
        &lease.stream
    }

    /// An attempt failed of this, and another one may follow.
    pub(super) fn attempt_failed(&mut self, error: ExchangeError, worker: &Worker) -> ExchangeError {
        if let Some(trace) = &mut self.trace {
            trace.attempt_ended(error.reason(), worker.clock.now());
        }
        error
    }

    /// The attempt has a connection, which it waited for so long; not at all for a kept one.
    pub(super) fn connected<'g>(&mut self, lease: Lease<'g>, waited: Duration) -> Lease<'g> {
        if let Some(lines) = &mut self.lines {
            lines.connect_time = Some(waited);
        }
        lease
    }

    /// Takes the place where the fields of the response are noted, if a line tells any.
    pub(super) fn take_sent(&mut self) -> Option<Box<SentFields>> {
        self.lines.as_mut()?.sent.take()
    }

    /// Puts it back.
    pub(super) fn put_sent(&mut self, sent: Option<Box<SentFields>>) {
        if let Some(lines) = &mut self.lines {
            lines.sent = sent;
        }
    }

    /// What the backend answered, also by an interim response.
    pub(super) fn upstream_answered(&mut self, status: u16) {
        if let Some(attempt) = self.trace.as_mut().and_then(|trace| trace.attempt()) {
            attempt.status = status;
        }
        if let Some(attempt) = self.lines.as_mut().and_then(|lines| lines.attempts.last_mut()) {
            attempt.status = status;
        }
    }

    /// With what status of gRPC the call ended, if that was told.
    pub(super) fn note_call_status(&mut self, status: Option<u32>) {
        if self.is_call {
            self.grpc_status = status.or(self.grpc_status);
        }
    }

    pub(super) fn request_read(&mut self, worker: &Worker) {
        let moment = &mut self.moments.request_read;
        *moment = moment.or_else(|| Some(worker.clock.now()));
    }

    pub(super) fn upstream_began(&mut self, worker: &Worker) {
        self.moments.upstream_began = Some(worker.clock.now());
    }

    pub(super) fn upstream_ended(&mut self, worker: &Worker) {
        let now = self.after_asking(worker);
        self.moments.upstream_ended = Some(now);
        if let Some(trace) = &mut self.trace {
            trace.attempt_ended(Reason::None, now);
        }
    }

    pub(super) fn response_began(&mut self, status: u16, worker: &Worker) {
        self.status = status;
        self.moments.response_began = Some(self.after_asking(worker));
    }

    /// The present moment, later than that in which a backend was chosen.
    fn after_asking(&self, worker: &Worker) -> Moment {
        worker.clock.now_after(self.moments.upstream_began.unwrap_or_default())
    }

    /// Whether a final response has begun.
    pub(super) fn has_response(&self) -> bool {
        self.status != 0
    }

    /// What a backend's head said never left; another answer takes its place.
    pub(super) fn response_taken_back(&mut self) {
        self.status = 0;
        self.moments.response_began = None;
    }

    /// Ends the record of a connection that got no exchange.
    pub(super) fn end_unserved(mut self, origin: &Origin<'_>, worker: &Worker) {
        let record = Record {
            status: self.reason.status(),
            reason: self.reason,
            request_time: worker.clock.now().since(self.moments.received),
            ..Record::default()
        };
        if let Some((lines, logs)) = self.lines.take().zip(worker.logs.as_ref()) {
            match logs.choose_whole(&lines, record.status) {
                chosen if chosen.is_empty() => logs.keep(lines),
                chosen => log_line::end((lines, chosen), &record, (self.rule, self.group), origin, worker),
            }
        }
    }

    /// Ends the record: it is counted, and logged.
    pub(super) fn end<S: Stream>(&mut self, stream: &mut S, origin: &Origin<'_>, worker: &Worker) {
        let counters = origin.http.counters(self.rule, self.group);
        let lines = self.lines.take();
        if let Some(trace) = self.trace.take() {
            trace::end(trace, &self.traced_end(stream, worker), origin, worker);
        }
        if counters.is_none() && lines.is_none() {
            return;
        }
        if let Some(counters) = counters {
            counters.count(worker.index, &self.ended(stream, worker));
        }
        if let Some(counters) = origin.listener.counters.as_ref().filter(|_| self.reason != Reason::None) {
            counters.reason(worker.index, self.reason.as_str());
        }
        let Some((lines, logs)) = lines.zip(worker.logs.as_ref()) else { return };
        match self.chosen(&lines, logs, origin.http.overrides(self.rule)) {
            chosen if chosen.is_empty() => logs.keep(lines),
            chosen => {
                let record = self.finish(logs.tells_rtt(&lines), &lines, stream, worker);
                log_line::end((lines, chosen), &record, (self.rule, self.group), origin, worker);
            }
        }
    }

    /// The logs that get their lines. `overrides` is what the rule of the request says.
    fn chosen(&self, lines: &PendingLogLines, logs: &AccessLogs, overrides: Option<&Overrides>) -> LogSet {
        let status = self.final_status();
        match overrides.and_then(|overrides| overrides.log) {
            Some(logged) if !logged.has(status) => LogSet::default(),
            _ => {
                let sample = overrides.and_then(|overrides| overrides.sample);
                logs.choose(lines, status, sample.map(Sample::millionths))
            }
        }
    }

    /// Nothing is logged of it, and no collector is told.
    pub(super) fn leave_out_of_log(&mut self, worker: &Worker) {
        if let Some(trace) = self.trace.take() {
            worker.spans.keep(trace);
        }
        if let (Some(lines), Some(logs)) = (self.lines.take(), &worker.logs) {
            logs.keep(lines);
        }
    }

    /// What a collector is told of its end.
    fn traced_end<S: Stream>(&self, stream: &mut S, worker: &Worker) -> TracedEnd {
        TracedEnd {
            began: self.moments.received,
            ended: worker.clock.now(),
            status: self.final_status(),
            reason: self.reason,
            grpc_status: self.grpc_status,
            content_bytes: stream.parts().1.content_bytes(),
            rule: self.rule,
            group: self.group,
        }
    }

    /// The status that the client got, or would have got.
    fn final_status(&self) -> u16 {
        if self.status == 0 { self.reason.status() } else { self.status }
    }

    /// What is counted of it.
    #[inline]
    fn ended<S: Stream>(&self, stream: &mut S, worker: &Worker) -> EndedRequest {
        let Moments { received, upstream_began, upstream_ended, response_began, .. } = self.moments;
        let now = worker.clock.now_after(received);
        let head_bytes = stream.head_bytes();
        let (body, reply, _) = stream.parts();
        EndedRequest {
            protocol: self.protocol,
            status: self.final_status(),
            grpc_status: self.is_call.then_some(self.grpc_status),
            request_bytes: head_bytes + body.received_bytes(),
            response_bytes: reply.content_bytes(),
            retries: self.attempts.saturating_sub(1),
            duration_us: now.micros_since(received),
            time_to_first_byte_us: response_began.map(|began| began.micros_since(received)),
            upstream_us: upstream_began.map(|began| upstream_ended.unwrap_or(now).micros_since(began)),
        }
    }

    /// `tells_rtt`: whether the round-trip time is worth a system call.
    fn finish<S: Stream>(
        &self,
        tells_rtt: bool,
        lines: &PendingLogLines,
        stream: &mut S,
        worker: &Worker,
    ) -> Record {
        let Moments { received, request_read, upstream_began, upstream_ended, response_began } = self.moments;
        // Of an answer of Ringway's own, the head tells nothing about a backend.
        let answered = lines.attempts.last().is_some_and(|attempt| attempt.status != 0);
        let header_time = || Some(response_began?.since(upstream_began?));
        let head_bytes = stream.head_bytes();
        let (body, reply, watch) = stream.parts();
        let now = worker.clock.now_after(received);
        Record {
            is_connection: false,
            status: self.final_status(),
            reason: self.reason,
            request_length: head_bytes + body.received_bytes(),
            body_bytes_sent: reply.content_bytes(),
            bytes_sent: reply.sent_bytes(),
            request_time: now.since(received),
            read_request_time: request_read.unwrap_or(received).since(received),
            write_response_time: now.since(response_began.unwrap_or(now)),
            upstream_connect_time: lines.connect_time,
            upstream_response_time: upstream_began.map(|began| upstream_ended.unwrap_or(now).since(began)),
            upstream_header_time: if answered { header_time() } else { None },
            grpc_status: self.is_call.then_some(self.grpc_status),
            retries: self.attempts.saturating_sub(1),
            datagrams: None,
            tcpinfo_rtt: if tells_rtt { watch.round_trip_us() } else { None },
        }
    }
}
