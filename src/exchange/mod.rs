//! One request and its response. [`begin`] decides, [`serve`] does.
//!
//! An exchange knows no frames, no sockets and no TLS, and it branches on no HTTP version: what
//! carries it implements [`stream::Stream`].

mod attempt;
mod basic_auth;
mod compression;
mod cors;
mod drain;
pub mod error;
mod forward;
mod forward_auth;
mod gate;
mod group_stickiness;
mod limit;
mod local;
mod maintenance;
mod log_line;
pub mod message;
mod mirror;
pub mod proxied;
mod queue;
mod record;
mod request;
mod request_buffer;
mod response;
mod response_body;
mod response_edits;
mod response_rules;
mod route;
pub mod client_tls;
mod stickiness;
pub mod stream;
mod subrequest;
mod trace;
mod tunnel;
mod upload;
mod waiting;

use std::time::Duration;

use crate::exchange::error::ExchangeError;
use crate::exchange::forward::Forward;
use crate::exchange::forward::ForwardTo;
use crate::exchange::gate::Gate;
use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::exchange::mirror::Mirrored;
use crate::exchange::record::Recording;
use crate::exchange::request::Changes;
use crate::exchange::response_edits::ResponseNotes;
use crate::exchange::response_edits::ResponseTerms;
use crate::exchange::route::Route;
use crate::exchange::route::RouteAction;
use crate::exchange::stream::ClientWatch;
use crate::exchange::stream::Reply;
use crate::exchange::stream::Stream;
use crate::http::body::BodyLength;
use crate::http::head::Method;
use crate::http::head::PartialHead;
use crate::net::buffer::Buffer;
use crate::net::clock::Moment;
use crate::policy::forwarded::Client;
use crate::policy::grpc;
use crate::policy::max_forwards;
use crate::policy::request_id;
use crate::policy::request_id::RequestId;
use crate::snapshot::bandwidth::PacedRequest;
use crate::snapshot::rules::FinalAction;
use crate::snapshot::rules::FixedResponse;
use crate::telemetry::reason::Reason;
use crate::upstream::request::PreparedRequest;
use crate::worker::Worker;

/// A request that was looked at, and what will be done about it.
pub struct Exchange {
    plan: Plan,
    /// What is to be passed first.
    gate: Option<Box<Gate>>,
    /// The rule sets headers of the request, or takes some away.
    edits_request: bool,
    recording: Recording,
    notes: ResponseNotes,
    /// Answers of our own are such as gRPC understands.
    is_grpc: bool,
    body_limit: Option<u64>,
    paced: Option<PacedRequest>,
}

impl Exchange {
    /// Bytes of content that the request may have; beyond, reading it fails with
    /// [`BodyError::TooLarge`](stream::BodyError::TooLarge). A tunnel has no content.
    pub fn body_limit(&self) -> Option<u64> {
        self.body_limit
    }

    /// Whose content it is where that is limited in bytes per second.
    pub fn paced(&self) -> Option<PacedRequest> {
        self.paced
    }

    /// How long the client may take for the next piece of content, in either direction.
    pub fn body_timeout<'w>(&self, origin: &Origin<'w>) -> &'w Duration {
        let own = origin.http.overrides(self.recording.rule).and_then(|it| it.client_body_timeout.as_ref());
        own.unwrap_or(&origin.http.client_body_timeout)
    }

    /// Whether the request must go without trailers: one could be taken for a header that a gate or a rule has set, or
    /// taken away (RFC 9110 §6.5.1).
    pub fn withholds_trailers(&self) -> bool {
        self.gate.is_some() || self.edits_request
    }
}

enum Plan {
    Forward(Forward),
    Mirrored(Box<Mirrored>),
    Answer(Reason),
    Redirect {
        status: u16,
        location: Buffer,
    },
    /// The answer of the rule with this index.
    Respond(u32),
    /// Whether the listener takes new connections.
    HealthPath {
        is_ready: bool,
    },
    /// The rule says what pages of another origin may ask for.
    Preflight,
    /// The group with this index is not served, or the rule itself.
    Maintenance {
        group: Option<u32>,
    },
}

impl Plan {
    /// What would be forwarded.
    fn request(&mut self) -> Option<&mut PreparedRequest> {
        match self {
            Plan::Forward(forward) => Some(&mut forward.request),
            Plan::Mirrored(mirrored) => Some(&mut mirrored.forward.request),
            _ => None,
        }
    }
}

/// Decides what becomes of a request. Nothing of the head is needed afterwards.
pub fn begin(request: &Request<'_, '_>, origin: &Origin<'_>, worker: &Worker) -> Exchange {
    let id = request_id(request, origin, worker);
    let id = id.as_ref().map_or(&b""[..], RequestId::as_bytes);
    let trace = trace::begin(request, origin, worker);
    let client = message::client(request, (id, trace.as_ref()), origin);
    let mut recording = Recording::begin(request, &client, origin, worker);
    let is_grpc = grpc::is_call(&request.head);
    recording.is_call = is_grpc;
    let (plan, gate) = match plan(request, (&client, origin), &mut recording, worker) {
        // Browsers send no credentials along with a preflight.
        Ok(plan @ Plan::HealthPath { .. }) => {
            recording.leave_out_of_log(worker);
            (plan, None)
        }
        Ok(plan @ (Plan::Preflight | Plan::Maintenance { .. })) => (plan, None),
        Ok(plan) => {
            let rule = recording.rule;
            (plan, rule.and_then(|rule| gate::prepare(request, (&client, origin), rule, worker)))
        }
        Err(reason) => (Plan::Answer(reason), None),
    };
    let candidates = response_rules::candidates(request, &client, origin, worker);
    let rule = recording.rule.and_then(|rule| origin.http.rule(rule));
    let notes = ResponseNotes::of(&client, (candidates, cors::allowed(request, rule)), origin, worker);
    let edits_request = rule.is_some_and(|rule| !rule.request_headers.withheld().is_empty());
    let body_limit = body_limit(recording.rule, origin);
    let is_paced = !origin.http.pace_limits(recording.rule).is_empty();
    let paced = is_paced.then(|| PacedRequest::new(recording.rule, client.address));
    Exchange { plan, gate, edits_request, recording, notes, is_grpc, body_limit, paced }
}

/// What becomes of a request, or why nothing does.
#[inline]
fn plan(
    request: &Request<'_, '_>,
    (client, origin): (&Client<'_>, &Origin<'_>),
    recording: &mut Recording,
    worker: &Worker,
) -> Result<Plan, Reason> {
    if let Some(is_ready) = health(request, origin) {
        return Ok(Plan::HealthPath { is_ready });
    }
    admit(request, origin)?;
    if origin.http.hop_marks.is_some_and(|marks| marks.is_loop(request.head.headers)) {
        return Err(Reason::LoopDetected);
    }
    limit::by_listener(client, origin, worker)?;
    let mut memory = worker.router.borrow_mut();
    let Route { rule, action } = route::route(request, client, origin, worker, &mut memory)?;
    recording.rule = rule;
    if let BodyLength::Exact(bytes) = request.length
        && body_limit(rule, origin).is_some_and(|limit| bytes > limit)
    {
        return Err(Reason::BodyTooLarge);
    }
    limit::by_rule(rule, client, origin, worker)?;
    let taking = rule.and_then(|rule| origin.http.rule(rule));
    if cors::is_preflight(request, taking)? {
        return Ok(Plan::Preflight);
    }
    if taking.is_some_and(|rule| rule.maintenance.keeps_out(client.address)) {
        return Ok(Plan::Maintenance { group: None });
    }
    match action {
        RouteAction::Forward(forwarding) => {
            // A configuration file does not hold four billion groups.
            let number = Some(forwarding.group as u32);
            recording.group = number;
            let maintenance = origin.listener.maintenance.get(forwarding.group);
            if maintenance.is_some_and(|maintenance| maintenance.keeps_out(client.address)) {
                return Ok(Plan::Maintenance { group: number });
            }
            let edits = taking.map(|rule| &rule.request_headers);
            let changes = Changes {
                target: forwarding.has_target.then_some(&memory.target),
                host: forwarding.has_host.then_some(&memory.host),
                edits: edits.filter(|edits| !edits.is_empty()),
                group_cookie: taking
                    .and_then(group_stickiness::cookie_of)
                    .map(|(_, cookie)| cookie.name.as_str()),
                gates: taking.and_then(|rule| rule.gates.as_deref()),
                marks: origin.http.hop_marks.as_ref(),
                copied: None,
            };
            let group = origin.listener.group(forwarding.group).ok_or(Reason::NoRoute)?;
            let target = (forwarding.group, group);
            let mut forward = request::prepare(request, (client, origin), target, &changes, worker);
            forward.target.gives_group = forwarding.gives_group;
            let copy = taking
                .and_then(|rule| rule.mirror.as_ref())
                .filter(|mirror| !maintenance::stops_copies(origin.listener, mirror.group))
                .and_then(|mirror| mirror::prepare(request, (client, origin), mirror, &changes, worker));
            Ok(match copy {
                Some(copy) => Plan::Mirrored(Box::new(Mirrored { forward, copy })),
                None => Plan::Forward(forward),
            })
        }
        RouteAction::Redirect { status, location } => Ok(Plan::Redirect { status, location }),
        RouteAction::Respond => rule.map(Plan::Respond).ok_or(Reason::NoRoute),
    }
}

/// Whether the listener takes new connections, if that is what the request asks for.
fn health(request: &Request<'_, '_>, origin: &Origin<'_>) -> Option<bool> {
    let health = origin.http.health_path.as_ref()?;
    health.is_asked_by(&request.head).then(|| health.is_ready())
}

/// Carries the exchange out and records how it went. The stream tells whether it can go on.
///
/// It is borrowed because it is large: what a future takes, it holds twice and copies.
pub async fn serve<S: Stream>(exchange: &mut Exchange, stream: &mut S, origin: &Origin<'_>, worker: &Worker) {
    let Exchange { plan, gate, recording, notes, is_grpc, .. } = exchange;
    let _counted = origin.listener.counters.as_ref().and_then(|counters| counters.in_flight(worker.index));
    notes.sent.set(recording.take_sent());
    let terms = &ResponseTerms { origin, worker, notes, rule: recording.rule };
    let refused = match gate {
        // Boxed, because most requests have no gate.
        Some(gate) => Box::pin(gate.pass((stream, plan.request()), recording, terms)).await,
        None => None,
    };
    let outcome = match plan {
        _ if let Some(end) = refused => end,
        Plan::Forward(forward) => match origin.listener.group(forward.group) {
            Some(group) => {
                let to = &ForwardTo { group, worker, terms: Some(terms) };
                forward.run(stream, recording, to).await
            }
            None => Err(ExchangeError::Refused(Reason::NoRoute)),
        },
        Plan::Mirrored(mirrored) => match origin.listener.group(mirrored.forward.group) {
            Some(group) => {
                let to = &ForwardTo { group, worker, terms: Some(terms) };
                Box::pin(mirror::run(mirrored, stream, recording, to)).await
            }
            None => Err(ExchangeError::Refused(Reason::NoRoute)),
        },
        Plan::Answer(reason) => Err(ExchangeError::Refused(*reason)),
        own => {
            answer_itself(own, stream, recording, terms).await;
            Ok(())
        }
    };
    if let Err(error) = &outcome {
        answer_instead(error, stream, recording, *is_grpc, terms).await;
    }
    recording.put_sent(notes.sent.take());
    recording.end(stream, origin, worker);
}

/// Answers what needs no backend.
async fn answer_itself<S: Stream>(
    plan: &Plan,
    stream: &mut S,
    recording: &mut Recording,
    terms: &ResponseTerms<'_>,
) {
    match plan {
        Plan::Redirect { status, location } => {
            recording.reason = Reason::Redirect;
            recording.response_began(*status, terms.worker);
            local::redirect(*status, location, stream.parts(), terms).await;
        }
        Plan::Respond(rule) => {
            let rule = terms.origin.http.rule(*rule);
            if let Some(FinalAction::Respond(response)) = rule.map(|rule| &rule.last) {
                respond_fixed((response, None), stream, recording, terms).await;
            }
        }
        Plan::HealthPath { is_ready } => {
            recording.reason = Reason::HealthPath { is_ready: *is_ready };
            recording.response_began(recording.reason.status(), terms.worker);
            local::tell_health(*is_ready, stream.parts(), terms).await;
        }
        Plan::Preflight => {
            recording.reason = Reason::Preflight;
            recording.response_began(Reason::Preflight.status(), terms.worker);
            cors::permit(stream.parts(), terms).await;
        }
        Plan::Maintenance { group } => {
            maintenance::answer(*group, stream.parts(), recording, terms).await;
        }
        Plan::Forward(_) | Plan::Mirrored(_) | Plan::Answer(_) => {}
    }
}

/// Answers where no backend did, or not as it should be.
async fn answer_instead<S: Stream>(
    error: &ExchangeError,
    stream: &mut S,
    recording: &mut Recording,
    is_grpc: bool,
    terms: &ResponseTerms<'_>,
) {
    if let ExchangeError::Replaced(rule) = error {
        return replace_response(*rule, stream, recording, terms).await;
    }
    let (body, reply, watch) = stream.parts();
    recording.reason = told(error.reason(), watch);
    if error.client_can_be_answered() && (!reply.is_started() || reply.retract()) {
        recording.response_taken_back();
        recording.note_call_status(grpc::code_of(error.reason().status()).parse().ok());
        local::refuse(error.reason(), is_grpc, body, reply, terms).await;
    } else if is_grpc && error.client_can_be_answered() && reply.can_end_with_trailers() {
        let code = local::end_call(error, reply).await;
        recording.note_call_status(code.parse().ok());
    }
}

/// Answers what a rule gives.
async fn respond_fixed<S: Stream>(
    response: (&FixedResponse, Option<u8>),
    stream: &mut S,
    recording: &mut Recording,
    terms: &ResponseTerms<'_>,
) {
    recording.reason = Reason::FixedResponse;
    recording.response_began(response.0.status, terms.worker);
    local::respond_fixed(response, stream.parts(), terms).await;
}

/// Answers what the rule for responses with this index gives.
async fn replace_response<S: Stream>(
    rule: u8,
    stream: &mut S,
    recording: &mut Recording,
    terms: &ResponseTerms<'_>,
) {
    let response = terms.rule_for_responses(rule).and_then(|rule| rule.respond.as_ref());
    if let Some(response) = response {
        respond_fixed((response, Some(rule)), stream, recording, terms).await;
    }
}

/// What the log tells of a client that is gone.
fn told(reason: Reason, watch: &impl ClientWatch) -> Reason {
    if reason == Reason::ClientClosed { watch.cause().unwrap_or(reason) } else { reason }
}

/// Records an exchange whose client left before anything was done for it.
pub fn abandon<S: Stream>(exchange: &mut Exchange, stream: &mut S, origin: &Origin<'_>, worker: &Worker) {
    let (_, _, watch) = stream.parts();
    exchange.recording.reason = told(Reason::ClientClosed, watch);
    exchange.recording.end(stream, origin, worker);
}

/// An exchange that only answers why what came is no acceptable request.
pub fn refuse(
    reason: Reason,
    head: &PartialHead<'_>,
    received: Moment,
    origin: &Origin<'_>,
    worker: &Worker,
) -> Exchange {
    let recording = Recording::of_refused(head, received, origin, worker);
    let notes = ResponseNotes::of_refused(origin, worker);
    Exchange {
        plan: Plan::Answer(reason),
        gate: None,
        edits_request: false,
        recording,
        notes,
        is_grpc: false,
        body_limit: body_limit(None, origin),
        paced: None,
    }
}

/// Records a connection on which no request can come, or a request that cannot be answered.
pub fn record_unserved(
    reason: Reason,
    head: &PartialHead<'_>,
    received: Moment,
    origin: &Origin<'_>,
    worker: &Worker,
) {
    let mut recording = Recording::of_refused(head, received, origin, worker);
    recording.reason = reason;
    recording.end_unserved(origin, worker);
}

/// By what name the request goes on and is logged; none where `X-Request-ID` is off.
fn request_id<'b>(request: &Request<'_, 'b>, origin: &Origin<'_>, worker: &Worker) -> Option<RequestId<'b>> {
    if !origin.http.forwarded.fields.x_request_id {
        return None;
    }
    let told = request_id::told(request.head.headers).filter(|_| origin.is_trusted());
    Some(told.map_or_else(|| RequestId::of(worker.nonce()), RequestId::Taken))
}

/// Whether the request may be served at all.
fn admit(request: &Request<'_, '_>, origin: &Origin<'_>) -> Result<(), Reason> {
    if matches!(request.head.method, Method::Connect | Method::Trace) {
        return Err(Reason::MethodNotAllowed);
    }
    if !request.is_covered {
        return Err(Reason::Misdirected);
    }
    if request.is_https && origin.client_tls.is_none() && !origin.is_trusted() {
        return Err(Reason::Misdirected);
    }
    match max_forwards::remaining(&request.head) {
        Some(0) => Err(Reason::FinalRecipient),
        _ => Ok(()),
    }
}

/// Bytes of content that a request may have which the rule with this index takes.
fn body_limit(rule: Option<u32>, origin: &Origin<'_>) -> Option<u64> {
    let own = origin.http.overrides(rule).and_then(|overrides| overrides.max_body_bytes);
    Some(own.unwrap_or(origin.http.max_body_bytes)).filter(|&limit| limit != 0)
}
