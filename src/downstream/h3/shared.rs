//! What the tasks of a connection have in common.

use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;
use std::rc::Weak;
use std::task::Context;
use std::time::Duration;

use crate::downstream::client_side::ClientSide;
use crate::downstream::h3::halves::StreamHalves;
use crate::downstream::multiplex::stream_state::StreamError;
use crate::exchange;
use crate::exchange::message::Origin;
use crate::http::head::PartialHead;
use crate::net::clock::Moment;
use crate::net::timer::Deadline;
use crate::net::wake::WakerSlot;
use crate::proto::h3::connection::Connection as Codec;
use crate::proto::h3::connection::LAST_REQUEST_STREAM;
use crate::proto::h3::fault::ErrorCode;
use crate::proto::h3::fault::Fault;
use crate::proto::h3::priority::Priority;
use crate::proto::h3::settings::Local;
use crate::proto::scope::Scope;
use crate::proto::token_bucket::Millis;
use crate::proto::token_bucket::Resets;
use crate::quic::connection::QuicConnection;
use crate::quic::end::QuicEnd;
use crate::quic::settings::MAX_BIDIRECTIONAL_STREAMS;
use crate::snapshot::Http2Limits;
use crate::snapshot::HttpListener;
use crate::snapshot::Listener;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// Bytes of heads that are kept, summed over all requests in flight on one connection.
const MAX_HEAD_BYTES: usize = 1024 * 1024;

/// How often a client that waits for a response is asked for a sign of life: browsers end a connection on which nothing has come
/// for 30 s.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How far the end of a connection has come (RFC 9114 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    No,
    /// It was announced; requests on their way are still served.
    Announced,
    /// Streams from a certain one on are refused.
    Final,
}

/// What is on its way of responses that were written to their end: QUIC keeps it until the client has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// Nothing, or it is not waited for any more.
    Done,
    /// When it was seen to go on for the last time, and how many pieces had been sent by then.
    Since(Moment, u64),
}

struct OpenStream {
    id: u64,
    halves: Weak<StreamHalves>,
}

pub(super) struct Http3Shared {
    pub(super) quic: QuicConnection,
    pub(super) client: ClientSide,
    pub(super) worker: Rc<Worker>,
    /// Never borrowed across an `await`.
    pub(super) codec: RefCell<Codec>,
    /// Bounds the connection's idle time, and the steps of its end.
    pub(super) deadline: Deadline,
    /// Requests that are under way, in the order of their numbers or nearly so.
    streams: RefCell<Vec<OpenStream>>,
    /// Requests served or begun.
    requests: Cell<u32>,
    /// Streams whose head has begun to come, or is to.
    awaited_heads: Cell<usize>,
    /// Bytes of decoded request heads, summed over all streams.
    head_bytes: Cell<usize>,
    /// The first stream that the client has not opened yet.
    next_stream: Cell<u64>,
    /// When the client was last asked whether it is there.
    pinged: Cell<Moment>,
    /// Since when there are no streams and the client has all responses.
    pub(super) idle_since: Cell<Moment>,
    /// What of answered requests is still on its way.
    delivery: Cell<Delivery>,
    pub(super) leave: Cell<Leave>,
    /// Since when the end is where it is.
    pub(super) leave_since: Cell<Moment>,
    /// What our control stream has to say; its task waits for it.
    pub(super) control_output: RefCell<Vec<u8>>,
    pub(super) control: WakerSlot,
    /// The task that drives the connection.
    driver: WakerSlot,
    /// Something has changed that it has not seen.
    has_changed: Cell<bool>,
    /// Why the connection ends, if it is a fault of the client.
    pub(super) end_reason: Cell<Option<Reason>>,
}

impl Http3Shared {
    /// None when the listener is not there any more.
    pub(super) fn new(
        quic: QuicConnection,
        client: ClientSide,
        worker: Rc<Worker>,
        deadline: Deadline,
    ) -> Option<Rc<Http3Shared>> {
        let local = local_settings(worker.snapshot().listener(client.listener())?.http()?);
        let codec = Codec::new(local);
        let mut control_output = Vec::new();
        codec.write_control_stream(&mut control_output);
        Some(Rc::new(Http3Shared {
            quic,
            client,
            codec: RefCell::new(codec),
            deadline,
            streams: RefCell::default(),
            requests: Cell::new(0),
            awaited_heads: Cell::new(0),
            head_bytes: Cell::new(0),
            next_stream: Cell::new(0),
            pinged: Cell::new(worker.clock.now()),
            idle_since: Cell::new(worker.clock.now()),
            delivery: Cell::new(Delivery::Done),
            leave: Cell::new(Leave::No),
            leave_since: Cell::new(worker.clock.now()),
            control_output: RefCell::new(control_output),
            control: WakerSlot::default(),
            driver: WakerSlot::default(),
            has_changed: Cell::new(false),
            end_reason: Cell::new(None),
            worker,
        }))
    }

    pub(super) fn now(&self) -> Millis {
        self.worker.clock.now().millis()
    }

    /// Where requests come from: the address of the handshake. A client may move (RFC 9000 §9), but quinn-proto tells the new
    /// address before the client has shown that it receives there, when one datagram from a forged one is enough.
    pub(super) fn origin<'o>(&'o self, listener: &'o Listener) -> Option<Origin<'o>> {
        let own = || self.quic.local_address().map(|address| (address, self.client.port).into());
        self.client.origin(listener, own)
    }

    /// Whether nothing is under way: neither a request nor the rest of a response.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.borrow().is_empty() && self.delivery.get() == Delivery::Done
    }

    /// Whether all requests are answered, but the client does not have all of the answers.
    pub(super) fn is_delivering(&self) -> bool {
        self.streams.borrow().is_empty() && self.delivery.get() != Delivery::Done
    }

    /// Looks how far what was answered has come. A client that takes nothing of it for long counts as idle.
    pub(super) fn look_at_delivery(&self) {
        let Delivery::Since(since, sent) = self.delivery.get() else { return };
        let now = self.worker.clock.now();
        if self.quic.is_delivering() {
            let sent_now = self.quic.counters().sent_pieces;
            if sent_now != sent {
                return self.delivery.set(Delivery::Since(now, sent_now));
            }
            let patience = self.client.http_term(&self.worker, |terms| {
                let idle = terms.idle_timeout;
                if idle.is_zero() { terms.client_body_timeout } else { idle.min(terms.client_body_timeout) }
            });
            if patience.is_some_and(|patience| now.since(since) < patience) {
                return;
            }
        }
        self.delivery.set(Delivery::Done);
        self.idle_since.set(now);
    }

    pub(super) fn has_had_requests(&self) -> bool {
        self.requests.get() > 0
    }

    /// The client has opened this stream for a request.
    pub(super) fn note_stream(&self, stream: u64) {
        self.next_stream.set(self.next_stream.get().max(stream + 4));
    }

    /// Whether the client may have begun a request of which nothing is known yet.
    pub(super) fn awaits_heads(&self) -> bool {
        self.awaited_heads.get() > 0
    }

    /// Counts a stream whose head is awaited, until what is returned is dropped.
    pub(super) fn await_head(self: &Rc<Http3Shared>) -> AwaitedHead {
        self.awaited_heads.set(self.awaited_heads.get() + 1);
        AwaitedHead { shared: Rc::clone(self) }
    }

    /// Counts a request until what is returned is dropped; None: the heads in flight leave no room for one more.
    pub(super) fn begin_request(
        self: &Rc<Http3Shared>,
        stream: &Rc<StreamHalves>,
        head_bytes: usize,
    ) -> Option<CountedRequest> {
        if self.head_bytes.get() + head_bytes > MAX_HEAD_BYTES && !self.streams.borrow().is_empty() {
            return None;
        }
        self.head_bytes.set(self.head_bytes.get() + head_bytes);
        let id = stream.send.borrow().id();
        self.streams.borrow_mut().push(OpenStream { id, halves: Rc::downgrade(stream) });
        self.requests.set(self.requests.get().saturating_add(1));
        self.deadline.forget_eviction();
        Some(CountedRequest { shared: Rc::clone(self), id, head_bytes })
    }

    /// The client has another wish (RFC 9218 §7.2). One for a request that is over, or has not come, has no effect: those
    /// have a field for it.
    pub(super) fn set_priority(&self, stream: u64, priority: Priority) -> Result<(), Fault> {
        if stream >= self.next_stream.get() + 4 * u64::from(MAX_BIDIRECTIONAL_STREAMS) {
            return Err(Fault::Id);
        }
        let streams = self.streams.borrow();
        let found = streams.iter().find(|open| open.id == stream).and_then(|open| open.halves.upgrade());
        if let Some(halves) = found {
            halves.set_priority(priority);
        }
        Ok(())
    }

    /// Leaves when the request was the last one that the connection may have.
    pub(super) fn look_at_count(&self, terms: &HttpListener) {
        let is_last = terms.keepalive_requests != 0 && self.requests.get() >= terms.keepalive_requests;
        if is_last || terms.idle_timeout.is_zero() {
            self.announce_end();
        }
    }

    /// Asks the client to make no further requests here.
    pub(super) fn announce_end(&self) {
        if self.leave.get() == Leave::No {
            self.step_to(Leave::Announced);
            self.go_away(LAST_REQUEST_STREAM);
        }
    }

    /// From now on no stream is looked at that has not been opened.
    pub(super) fn refuse_further(&self) {
        self.step_to(Leave::Final);
        self.go_away(self.next_stream.get());
    }

    fn step_to(&self, leave: Leave) {
        self.leave.set(leave);
        self.leave_since.set(self.worker.clock.now());
        self.wake_driver();
    }

    pub(super) fn register_driver(&self, cx: &Context<'_>) {
        self.driver.register(cx);
    }

    /// Whether something has changed since the last time.
    pub(super) fn has_changed(&self) -> bool {
        self.has_changed.take()
    }

    fn wake_driver(&self) {
        self.has_changed.set(true);
        self.driver.wake_by_ref();
    }

    fn go_away(&self, stream: u64) {
        self.codec.borrow_mut().write_go_away(&mut self.control_output.borrow_mut(), stream);
        self.control.wake_by_ref();
    }

    /// Whether the process or the listener wants to be rid of its connections.
    pub(super) fn should_end(&self) -> bool {
        let is_over = |listener: &Listener| {
            listener.is_leaving() || listener.http().is_none_or(|http| http.quic.is_none())
        };
        self.worker.is_draining() || self.client.term(&self.worker, is_over) != Some(false)
    }

    /// Shows a client that waits for a response that the connection is still there, and asks it for the same.
    pub(super) fn keep_alive(&self) {
        let now = self.worker.clock.now();
        if !self.is_idle() && now.since(self.pinged.get()) >= PING_INTERVAL {
            self.pinged.set(now);
            self.quic.ping();
        }
    }

    /// How long it may be idle; None while it is not.
    pub(super) fn idle_timeout(&self) -> Option<Duration> {
        if !self.is_idle() {
            return None;
        }
        let is_new = !self.has_had_requests();
        self.client.http_term(&self.worker, |terms| {
            if is_new { terms.client_header_timeout } else { terms.idle_timeout }
        })
    }

    /// A request ended before it was answered, by whomever.
    pub(super) fn note_early_end(&self) {
        let noted = self.codec.borrow_mut().note_early_end(self.now());
        match noted {
            Ok(()) if self.codec.borrow().is_short_of_resets() => self.announce_end(),
            Ok(()) => {}
            Err(fault) => self.fail(fault),
        }
    }

    /// The client has broken a rule that ends the connection.
    pub(super) fn fail(&self, fault: Fault) {
        debug_assert_eq!(fault.scope(), Scope::Connection);
        if self.end_reason.get().is_none() {
            self.record(fault);
            self.end_reason.set(Some(Reason::ClientFault(fault.reason())));
        }
        self.close(fault.code());
    }

    /// The client has broken a rule on a stream, of which it is told.
    pub(super) fn fail_stream(&self, halves: &StreamHalves, fault: Fault) -> StreamError {
        match fault.scope() {
            Scope::Stream => {
                halves.give_up(fault.code());
                halves.fail(StreamError::Fault(fault.reason()))
            }
            Scope::Connection => {
                self.fail(fault);
                halves.fail(StreamError::Connection)
            }
        }
    }

    /// It has ended by itself. What the client did against QUIC is told, as is what it does against HTTP/3.
    pub(super) fn note_end(&self, end: QuicEnd) {
        if let QuicEnd::Violation(_) = end {
            self.record_as(Reason::ClientProtocol(end.as_str()), &PartialHead::default());
        }
    }

    /// Ends it at once.
    pub(super) fn close(&self, code: ErrorCode) {
        // They are all small.
        self.quic.close(code.to_wire() as u32, b"");
        self.wake_driver();
    }

    /// Writes the line of a fault that came as far as no exchange.
    pub(super) fn record(&self, fault: Fault) {
        let codec = self.codec.borrow();
        let head = if fault.scope() == Scope::Stream { codec.partial_head() } else { PartialHead::default() };
        self.record_as(Reason::ClientProtocol(fault.reason()), &head);
    }

    fn record_as(&self, reason: Reason, head: &PartialHead<'_>) {
        let snapshot = self.worker.snapshot();
        let Some(origin) = snapshot.listener(self.client.listener()).and_then(|terms| self.origin(terms))
        else {
            return;
        };
        exchange::record_unserved(reason, head, self.worker.clock.now(), &origin, &self.worker);
    }
}

/// A stream whose head is awaited: the connection does not end before it is known what becomes of it.
pub(super) struct AwaitedHead {
    shared: Rc<Http3Shared>,
}

impl Drop for AwaitedHead {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.awaited_heads.set(shared.awaited_heads.get() - 1);
        if shared.leave.get() != Leave::No && !shared.awaits_heads() && shared.is_idle() {
            // What the client is told of it has to arrive.
            shared.idle_since.set(shared.worker.clock.now());
            shared.wake_driver();
        }
    }
}

/// A request that is under way.
pub(super) struct CountedRequest {
    shared: Rc<Http3Shared>,
    id: u64,
    head_bytes: usize,
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.head_bytes.set(shared.head_bytes.get() - self.head_bytes);
        shared.streams.borrow_mut().retain(|stream| stream.id != self.id);
        if shared.streams.borrow().is_empty() {
            let now = shared.worker.clock.now();
            shared.idle_since.set(now);
            shared.delivery.set(Delivery::Since(now, 0));
            shared.wake_driver();
        }
    }
}

fn local_settings(listener: &HttpListener) -> Local {
    let Http2Limits { max_resets, resets_per_second, .. } = listener.http2_limits;
    Local {
        resets: Resets { burst: max_resets, per_second: resets_per_second },
        max_header_bytes: listener.max_header_bytes,
        max_headers: listener.max_headers,
        connect_protocol: false,
    }
}
