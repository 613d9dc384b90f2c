//! From a head to a task that serves it.

use std::rc::Rc;

use crate::downstream::h2::shared::Shared;
use crate::downstream::h2::stream::Spawner;
use crate::downstream::h2::stream::StreamTask;
use crate::downstream::multiplex::stream_state::StreamState;
use crate::downstream::multiplex::stream_state::Traits;
use crate::exchange;
use crate::exchange::Exchange;
use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::http::body::BodyLength;
use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::proto::fields::message;
use crate::proto::h1::error::HeadError;
use crate::proto::h1::framing::expects_continue;
use crate::proto::h2::fault::ErrorCode;
use crate::proto::h2::frame::HEADER_BYTES;
use crate::proto::h2::stream::StreamId;
use crate::snapshot::Listener;
use crate::telemetry::reason::Reason;
use crate::worker::snapshot_ref::SnapshotRef;

impl Shared {
    /// Begins to serve the request whose head the codec holds.
    pub(super) fn begin(self: &Rc<Shared>, (stream, end): (StreamId, bool), spawner: &Spawner) {
        // Each request is served from the configuration that is in service when it comes.
        let snapshot = self.worker.snapshot();
        let Some(origin) = self.admit(&snapshot) else { return self.turn_away(stream) };
        if !self.has_room_for_head(self.decoded_bytes()) {
            // Nothing was done for it, so that it may come again (RFC 9113 §8.7).
            return self.codec.borrow_mut().reset(stream, ErrorCode::RefusedStream);
        }
        let (exchange, traits) = self.look(&origin, end);
        self.start((stream, end), (exchange, traits), snapshot, spawner);
    }

    /// Begins to refuse a request whose head passed the limits.
    pub(super) fn refuse_large(self: &Rc<Shared>, (stream, end): (StreamId, bool), spawner: &Spawner) {
        let snapshot = self.worker.snapshot();
        let Some(origin) = self.admit(&snapshot) else { return self.turn_away(stream) };
        let reason = Reason::BadRequest(HeadError::HeadTooLarge.reason(), HeadError::HeadTooLarge.status());
        let exchange = self.refuse(reason, &origin);
        let is_method = |field: Field<'_>| field.name == b":method" && field.value == b"HEAD";
        let is_head = self.codec.borrow().fields().iter().any(is_method);
        let traits = Traits { is_head, wants_tunnel: false, head_bytes: self.head_bytes() };
        self.start((stream, end), (exchange, traits), snapshot, spawner);
    }

    /// An exchange that refuses the request whose head the codec holds.
    fn refuse(&self, reason: Reason, origin: &Origin<'_>) -> Exchange {
        let codec = self.codec.borrow();
        let received = self.worker.clock.now();
        exchange::refuse(reason, &codec.partial_head(), received, origin, &self.worker)
    }

    /// Where one more request would come from, if the connection may have one.
    fn admit<'s>(&'s self, snapshot: &'s SnapshotRef) -> Option<Origin<'s>> {
        let terms = snapshot.listener(self.connection.listener())?;
        if self.connection.client.is_still_admitted(terms) { self.origin(terms) } else { None }
    }

    /// The client has to come in again, and may ask again there.
    fn turn_away(&self, stream: StreamId) {
        let mut codec = self.codec.borrow_mut();
        codec.reset(stream, ErrorCode::RefusedStream);
        codec.shut_down(self.now());
    }

    fn start(
        self: &Rc<Shared>,
        (stream, end): (StreamId, bool),
        (exchange, traits): (Exchange, Traits),
        snapshot: SnapshotRef,
        spawner: &Spawner,
    ) {
        let requests = self.connection.requests.get().saturating_add(1);
        self.connection.requests.set(requests);
        if let Some(terms) = snapshot.listener(self.connection.listener()).and_then(Listener::http) {
            let is_last = terms.keepalive_requests != 0 && requests >= terms.keepalive_requests;
            if is_last || terms.idle_timeout.is_zero() {
                self.note_spent();
            }
            if self.should_end() {
                self.codec.borrow_mut().shut_down(self.now());
            }
        }
        let state = Rc::new(StreamState::new(stream, end, self.decoded_bytes()));
        self.insert(Rc::clone(&state));
        spawner(StreamTask { shared: Rc::clone(self), state, snapshot, exchange, traits });
    }

    /// The size of the head that the codec holds.
    fn decoded_bytes(&self) -> usize {
        self.codec.borrow().fields().size()
    }

    fn head_bytes(&self) -> u32 {
        self.codec.borrow().block_bytes().saturating_add(HEADER_BYTES as u32)
    }

    /// Lets the exchange decide about the request.
    fn look(&self, origin: &Origin<'_>, end: bool) -> (Exchange, Traits) {
        let received = self.worker.clock.now();
        let codec = self.codec.borrow();
        let mut headers = Headers::new();
        let message::RequestMessage { head, scheme, protocol } = codec.request(&mut headers);
        // The one protocol that has a counterpart in HTTP/1.1 (RFC 8441 §5).
        let wants_tunnel = protocol == Some(b"websocket");
        let head = if wants_tunnel { RequestHead { method: Method::Get, ..head } } else { head };
        let traits =
            Traits { is_head: head.method == Method::Head, wants_tunnel, head_bytes: self.head_bytes() };
        if head.target.raw.len() > origin.http.max_uri_bytes {
            let error = HeadError::UriTooLong;
            return (self.refuse(Reason::BadRequest(error.reason(), error.status()), origin), traits);
        }
        let length = if wants_tunnel { BodyLength::Empty } else { length(&head, end) };
        let expects_continue = match expects_continue(&head) {
            Ok(expects) => expects && !length.is_empty(),
            Err(error) => {
                let reason = Reason::BadRequest(error.reason(), error.status());
                return (self.refuse(reason, origin), traits);
            }
        };
        let is_covered = self.covers(&head);
        // It speaks to the next hop only (RFC 9113 §8.2.2).
        head.headers.remove(KnownName::Te);
        if wants_tunnel {
            // It has no meaning here (RFC 8441 §5); a backend that needs one gets ours.
            head.headers.retain(|field| !field.name.eq_ignore_ascii_case(b"sec-websocket-key"));
        }
        let request = Request {
            length,
            upgrade: protocol.filter(|_| wants_tunnel),
            lacks_key: wants_tunnel,
            expects_continue,
            is_https: scheme.eq_ignore_ascii_case(b"https"),
            is_covered,
            received,
            head,
        };
        (exchange::begin(&request, origin, &self.worker), traits)
    }

    /// "A server that does not want clients to reuse connections can indicate that it is not authoritative for
    /// a request by sending a 421" (RFC 9113 §9.1.1).
    fn covers(&self, head: &RequestHead<'_, '_>) -> bool {
        let Some(coverage) = &self.connection.client.coverage else { return true };
        let host = head.headers.find(KnownName::Host).map(|field| field.value).unwrap_or_default();
        coverage.covers(host)
    }
}

/// What HTTP/1.1 would announce.
fn length(head: &RequestHead<'_, '_>, end: bool) -> BodyLength {
    let announced = head.headers.find(KnownName::ContentLength);
    // The codec has checked it.
    let announced = announced.and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
    match announced {
        Some(bytes) => BodyLength::Exact(bytes),
        // "A user agent SHOULD send Content-Length in a request when the method defines a meaning for enclosed
        // content" (RFC 9110 §8.6), also for none; HTTP/2 clients need not.
        None if end && matches!(head.method, Method::Post | Method::Put | Method::Patch) => {
            BodyLength::Exact(0)
        }
        None if end => BodyLength::Empty,
        None => BodyLength::Unknown,
    }
}
