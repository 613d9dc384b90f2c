//! From a head to a task that serves it.

use std::rc::Rc;

use crate::downstream::h2::shared::Shared;
use crate::downstream::h2::stream::Spawner;
use crate::downstream::h2::stream::StreamTask;
use crate::downstream::multiplex::requests;
use crate::downstream::multiplex::requests::HeadFacts;
use crate::downstream::multiplex::stream_state::StreamState;
use crate::downstream::multiplex::stream_state::Traits;
use crate::exchange;
use crate::exchange::Exchange;
use crate::exchange::message::Origin;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::proto::h1::error::HeadError;
use crate::proto::h2::fault::ErrorCode;
use crate::proto::h2::fault::Fault;
use crate::proto::h2::frame::HEADER_BYTES;
use crate::proto::h2::stream::StreamId;
use crate::snapshot::Listener;
use crate::telemetry::reason::Reason;
use crate::worker::snapshot_ref::SnapshotRef;

impl Shared {
    /// Begins to serve or to refuse the request whose head the codec holds, if there is room for it. The fault is one of
    /// the connection, which has failed.
    pub(super) fn begin(
        self: &Rc<Shared>,
        (stream, end): (StreamId, bool),
        is_too_large: bool,
        spawner: &Spawner,
    ) -> Result<(), Fault> {
        // Each request is served from the configuration that is in service when it comes.
        let snapshot = self.worker.snapshot();
        let Some(origin) = self.admit(&snapshot) else {
            self.turn_away(stream);
            return Ok(());
        };
        if !self.has_room_for_head(self.decoded_bytes()) {
            return self.codec.borrow_mut().refuse(stream, self.now());
        }
        let (exchange, traits) =
            if is_too_large { self.refuse_large(&origin) } else { self.look(&origin, end) };
        self.start((stream, end), (exchange, traits), snapshot, spawner);
        Ok(())
    }

    /// Refuses a request whose head passed the limits.
    fn refuse_large(&self, origin: &Origin<'_>) -> (Exchange, Traits) {
        let exchange = self.refuse(requests::refusal(HeadError::HeadTooLarge), origin);
        let is_method = |field: Field<'_>| field.name == b":method" && field.value == b"HEAD";
        let is_head = self.codec.borrow().fields().iter().any(is_method);
        (exchange, Traits { is_head, wants_tunnel: false, head_bytes: self.head_bytes() })
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
        let codec = self.codec.borrow();
        let mut headers = Headers::new();
        let facts = HeadFacts { ends: end, bytes: self.head_bytes() };
        let client = (&self.connection.client, origin);
        let (looked, traits) = requests::look(codec.request(&mut headers), &facts, client, &self.worker);
        (looked.unwrap_or_else(|reason| self.refuse(reason, origin)), traits)
    }
}
