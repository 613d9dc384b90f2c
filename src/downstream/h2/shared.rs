//! What the driver of a connection and the tasks of its streams have in common.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use crate::downstream::connection::Connection;
use crate::downstream::multiplex::stream_state::StreamError;
use crate::downstream::multiplex::stream_state::StreamState;
use crate::exchange::message::Origin;
use crate::net::buffer::Buffer;
use crate::net::clock::Moment;
use crate::net::timer::TICK;
use crate::net::wake::WakerSlot;
use crate::proto::h2::connection::Connection as Codec;
use crate::proto::h2::fault::ErrorCode;
use crate::proto::h2::settings::Local;
use crate::proto::h2::stream::StreamId;
use crate::proto::token_bucket::Millis;
use crate::proto::token_bucket::Resets;
use crate::snapshot::Http2Limits;
use crate::snapshot::HttpListener;
use crate::snapshot::Listener;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// Bytes of heads that are kept, summed over all requests in flight on one connection. A few bytes can refer to a whole
/// head that came before (RFC 7541 §7.3).
const MAX_HEAD_BYTES: usize = 1024 * 1024;

/// With so many streams, what comes next is likely to be long.
const MANY_STREAMS: usize = 4;

/// A connection without streams gives back what it does not need after this time.
const TRIM_AFTER: Duration = Duration::from_millis(300);

/// How long a client that was answered may go on with its body, which is thrown away. Some forget the answer
/// when the end of the stream comes right behind it.
const LINGER_MS: Millis = 1000;

/// A client that has said GOAWAY has so long, without streams, to close the connection itself.
const GOAWAY_GRACE: Duration = Duration::from_secs(1);

/// A connection that has had all its requests ends when none has been in flight for so long: some clients give up with
/// a GOAWAY what is, and others send their next request before they have seen a GOAWAY right behind a response.
const QUIET_TIME: Duration = Duration::from_millis(50);

/// Without such a moment, it ends after this time: in two steps, or, for a client that never has several requests in
/// flight, with the next response.
const LAST_REQUESTS_TIMEOUT: Duration = Duration::from_secs(1);

/// Nothing is waited for longer than this without another look.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// The client has gone, or takes nothing.
    Gone,
    /// A GOAWAY said so.
    Said,
}

pub(super) struct Shared {
    pub(super) connection: Box<Connection>,
    pub(super) worker: Rc<Worker>,
    /// Never borrowed across an `await`.
    pub(super) codec: RefCell<Codec>,
    /// Those that have a task, in the order of their numbers.
    streams: RefCell<Vec<Rc<StreamState>>>,
    /// Those that wait for room in the output, first come, first served.
    pub(super) queue: RefCell<VecDeque<Rc<StreamState>>>,
    /// Streams that were answered while their body was still coming, and when they end: no more than the codec
    /// has streams.
    lingering: RefCell<VecDeque<(StreamId, Millis)>>,
    /// Slices that are about to be written.
    pub(super) turns: Cell<usize>,
    driver: WakerSlot,
    pub(super) is_sending: Cell<bool>,
    /// The codec has memory of the worker's cache for its output.
    has_memory: Cell<bool>,
    /// Why the connection ends, if it is a fault of the client.
    pub(super) end_reason: Cell<Option<Reason>>,
    /// The driver has ended.
    has_ended: Cell<bool>,
    /// Since when there are no streams.
    idle_since: Cell<Moment>,
    /// Since when the client has said GOAWAY.
    leaving_since: Cell<Option<Moment>>,
    /// Since when it has had all the requests that it may have, unless its end has begun.
    spent_since: Cell<Option<Moment>>,
    /// The client had several requests in flight at a time.
    is_concurrent: Cell<bool>,
    /// What the codec does not need while it is idle was given back.
    is_trimmed: Cell<bool>,
    /// Bytes of decoded request heads, summed over all streams.
    head_bytes: Cell<usize>,
    /// Content that came and was not taken, and how much of it the connection's window waits for.
    pub(super) held_bytes: Cell<usize>,
    pub(super) unreleased: Cell<u32>,
    /// What the windows of all streams have grown by.
    pub(super) growth: Cell<u32>,
}

impl Shared {
    /// None when the listener is not there any more.
    pub(super) fn new(connection: Box<Connection>, worker: Rc<Worker>) -> Option<Rc<Shared>> {
        let local = local_settings(worker.snapshot().listener(connection.listener())?.http()?);
        Some(Rc::new(Shared {
            idle_since: Cell::new(worker.clock.now()),
            connection,
            worker,
            codec: RefCell::new(Codec::server(local)),
            streams: RefCell::default(),
            queue: RefCell::default(),
            lingering: RefCell::default(),
            turns: Cell::new(0),
            driver: WakerSlot::default(),
            is_sending: Cell::new(false),
            has_memory: Cell::new(false),
            end_reason: Cell::new(None),
            has_ended: Cell::new(false),
            leaving_since: Cell::new(None),
            spent_since: Cell::new(None),
            is_concurrent: Cell::new(false),
            is_trimmed: Cell::new(false),
            head_bytes: Cell::new(0),
            held_bytes: Cell::new(0),
            unreleased: Cell::new(0),
            growth: Cell::new(0),
        }))
    }

    pub(super) fn now(&self) -> Millis {
        self.worker.clock.now().millis()
    }

    pub(super) fn origin<'o>(&'o self, listener: &'o Listener) -> Option<Origin<'o>> {
        self.connection.origin(listener)
    }

    pub(super) fn register_driver(&self, cx: &Context<'_>) {
        self.driver.register(cx);
    }

    /// There is something to send, or to look at.
    pub(super) fn wake_driver(&self) {
        self.driver.wake_by_ref();
    }

    pub(super) fn find(&self, id: StreamId) -> Option<Rc<StreamState>> {
        let streams = self.streams.borrow();
        let place = streams.binary_search_by_key(&id, |state| state.id).ok()?;
        streams.get(place).cloned()
    }

    pub(super) fn for_each(&self, act: impl FnMut(&Rc<StreamState>)) {
        self.streams.borrow().iter().for_each(act);
    }

    /// Whether the client asks for much at a time.
    pub(super) fn has_many_streams(&self) -> bool {
        self.streams.borrow().len() >= MANY_STREAMS
    }

    /// Whether the heads in flight leave room for one more of so many bytes.
    pub(super) fn has_room_for_head(&self, bytes: usize) -> bool {
        self.head_bytes.get() + bytes <= MAX_HEAD_BYTES || self.streams.borrow().is_empty()
    }

    /// Numbers only grow, so the list stays in order.
    pub(super) fn insert(&self, state: Rc<StreamState>) {
        self.head_bytes.set(self.head_bytes.get() + state.head_bytes);
        let mut streams = self.streams.borrow_mut();
        if !streams.is_empty() {
            self.is_concurrent.set(true);
        }
        streams.push(state);
        self.connection.deadline.forget_eviction();
        drop(streams);
        self.is_trimmed.set(false);
        if !self.has_memory.get() && self.codec.borrow().output_bytes() == 0 {
            self.exchange_memory(&mut self.worker.buffers.small());
        }
    }

    /// Takes the output in exchange for the memory of an empty buffer.
    pub(super) fn exchange_memory(&self, buffer: &mut Buffer) {
        buffer.clear();
        self.has_memory.set(buffer.spare() > 0);
        self.codec.borrow_mut().poll_output(buffer.tail());
    }

    /// Gives memory back that no stream needs.
    pub(super) fn give_memory_back(&self) {
        if self.streams.borrow().is_empty() && self.codec.borrow().output_bytes() == 0 {
            self.exchange_memory(&mut self.worker.buffers.empty());
        }
    }

    /// The work for a stream has ended.
    pub(super) fn end_stream(&self, state: &StreamState) {
        self.release_rest(state);
        let mut codec = self.codec.borrow_mut();
        match state.error() {
            Some(StreamError::Connection) => {}
            Some(_) => codec.settled(),
            None if state.is_answered.get() && codec.is_receiving(state.id) => {
                codec.settle(state.id);
                self.lingering.borrow_mut().push_back((state.id, self.now() + LINGER_MS));
            }
            None if state.is_answered.get() => {}
            None => codec.reset(state.id, ErrorCode::InternalError),
        }
        drop(codec);
        self.head_bytes.set(self.head_bytes.get() - state.head_bytes);
        let mut streams = self.streams.borrow_mut();
        if let Ok(place) = streams.binary_search_by_key(&state.id, |state| state.id) {
            streams.remove(place);
        }
        if streams.is_empty() {
            self.idle_since.set(self.worker.clock.now());
            let is_due = |since: Moment| self.worker.clock.now().since(since) >= LAST_REQUESTS_TIMEOUT;
            if self.spent_since.get().is_some_and(is_due) {
                self.spent_since.set(None);
                self.codec.borrow_mut().shut_down(self.now());
            }
        }
        drop(streams);
        self.arm();
        self.wake_driver();
    }

    /// The client has said GOAWAY.
    pub(super) fn note_leaving(&self) {
        let since = self.leaving_since.get().unwrap_or_else(|| self.worker.clock.now());
        self.leaving_since.set(Some(since));
    }

    /// The last request that the connection may have has come.
    pub(super) fn note_spent(&self) {
        let since = self.spent_since.get().unwrap_or_else(|| self.worker.clock.now());
        self.spent_since.set(Some(since));
    }

    /// How long to wait until a connection ends that has had its last request since then; None: for the next response.
    fn last_wait(&self, since: Moment, now: Moment) -> Option<Duration> {
        let most = LAST_REQUESTS_TIMEOUT.saturating_sub(now.since(since));
        if self.streams.borrow().is_empty() {
            return Some(most.min(QUIET_TIME.saturating_sub(now.since(self.idle_since.get()))));
        }
        self.is_concurrent.get().then_some(most)
    }

    /// No stream can go on.
    pub(super) fn fail_all(&self) {
        self.has_ended.set(true);
        self.for_each(|state| state.fail(StreamError::Connection));
        // Whoever queues knows by now.
        self.queue.borrow_mut().clear();
    }

    /// Whether the work for a stream has ended while it is still open.
    pub(super) fn lingers(&self, stream: StreamId) -> bool {
        self.lingering.borrow().iter().any(|(lingering, _)| *lingering == stream)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.streams.borrow().is_empty()
    }

    /// Whether everything was sent.
    pub(super) fn is_flushed(&self) -> bool {
        !self.is_sending.get() && self.codec.borrow().output_bytes() == 0
    }

    /// Whether nothing is left to do on the connection but to end it.
    pub(super) fn is_over(&self) -> bool {
        self.streams.borrow().is_empty() && self.codec.borrow().is_drained()
    }

    /// Sets the deadline of the next look.
    pub(super) fn arm(&self) {
        if self.has_ended.get() {
            // Whoever ends the connection needs it for that.
            return;
        }
        let now = self.worker.clock.now();
        let codec_due = self.codec.borrow().deadline();
        let linger_due = self.lingering.borrow().front().map(|(_, due)| *due);
        let of_idleness = self.idle_timeout().map(|timeout| {
            let rest = timeout.saturating_sub(now.since(self.idle_since.get()));
            if self.is_trimmed.get() { rest } else { rest.min(TRIM_AFTER) }
        });
        let of_last = self.spent_since.get().and_then(|since| self.last_wait(since, now));
        let until = |due: Millis| Duration::from_millis(due.saturating_sub(now.millis()));
        let waits = [codec_due.map(until), linger_due.map(until), of_idleness, of_last];
        let wait = waits.into_iter().flatten().min().unwrap_or(MAX_WAIT);
        self.connection.deadline.set_drainable(wait.min(MAX_WAIT));
        if of_idleness.is_some() {
            let idle_ticks = now.since(self.idle_since.get()).as_millis() / TICK.as_millis();
            let since = self.worker.timers.ticks().saturating_sub(idle_ticks as u64);
            self.connection.deadline.mark_idle(since);
        }
    }

    /// Asks to end the connection if it was idle for too long or if nobody wants it any more.
    pub(super) fn look_at_time(&self) {
        let now = self.worker.clock.now();
        let idle = now.since(self.idle_since.get());
        let timeout = self.idle_timeout();
        self.end_lingering(now.millis());
        let last_wait = self.spent_since.get().and_then(|since| self.last_wait(since, now));
        let is_spent = last_wait.is_some_and(|wait| wait.is_zero());
        let is_evicted = timeout.is_some() && self.connection.deadline.is_evicted();
        if is_evicted || timeout.is_some_and(|timeout| idle >= timeout) || self.should_end() || is_spent {
            self.spent_since.set(None);
            self.codec.borrow_mut().shut_down(now.millis());
        } else if timeout.is_some() && idle >= TRIM_AFTER && !self.is_trimmed.replace(true) {
            self.codec.borrow_mut().release_memory();
        }
    }

    /// "The server MAY request that the client abort transmission of a request without error by sending a
    /// RST_STREAM with an error code of NO_ERROR after sending a complete response" (RFC 9113 §8.1).
    fn end_lingering(&self, now: Millis) {
        let mut lingering = self.lingering.borrow_mut();
        while let Some((stream, _)) = lingering.pop_front_if(|(_, due)| *due <= now) {
            self.codec.borrow_mut().reset(stream, ErrorCode::NoError);
        }
    }

    /// Whether the process or the listener wants to be rid of its connections.
    pub(super) fn should_end(&self) -> bool {
        self.worker.is_draining() || self.connection.term(&self.worker, Listener::is_leaving) != Some(false)
    }

    /// How long it may be idle; None while it is not.
    fn idle_timeout(&self) -> Option<Duration> {
        if !self.streams.borrow().is_empty() {
            return None;
        }
        let is_new = self.connection.requests.get() == 0;
        // Counted from when it became idle, as the others are.
        let until_left = |since: Moment| since.since(self.idle_since.get()).saturating_add(GOAWAY_GRACE);
        let most = self.leaving_since.get().map_or(Duration::MAX, until_left);
        self.connection
            .http_term(
                &self.worker,
                |terms| if is_new { terms.client_header_timeout } else { terms.idle_timeout },
            )
            .map(|timeout| timeout.min(most))
    }
}

fn local_settings(listener: &HttpListener) -> Local {
    let Http2Limits { max_concurrent_streams, max_resets, resets_per_second } = listener.http2_limits;
    Local {
        max_concurrent_streams,
        resets: Resets { burst: max_resets, per_second: resets_per_second },
        max_header_bytes: listener.max_header_bytes,
        max_headers: listener.max_headers,
        connect_protocol: true,
        stall_timeout_ms: Some(listener.client_body_timeout.as_millis() as Millis),
        ..Local::default()
    }
}
