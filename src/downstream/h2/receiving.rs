//! What comes from the client: bytes to the codec, and what it tells of them to the streams.

use std::future::Future;
use std::future::poll_fn;
use std::pin::Pin;
use std::pin::pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

use crate::downstream::h2::shared::ConnectionEnd;
use crate::downstream::h2::shared::Shared;
use crate::downstream::h2::stream::Spawner;
use crate::downstream::multiplex::stream_state::StreamError;
use crate::exchange;
use crate::http::head::PartialHead;
use crate::net::buffer::Buffer;
use crate::net::buffer::SMALL_BYTES;
use crate::net::socket::Pending;
use crate::net::task;
use crate::proto::fields::message;
use crate::proto::h2::connection::Cause;
use crate::proto::h2::connection::Event;
use crate::proto::h2::fault::Fault;
use crate::proto::h2::limits::MAX_OUTPUT_BYTES;
use crate::proto::h2::stream::StreamId;
use crate::telemetry::reason::Reason;

/// After so many times in a row that requests or content came within a tick, the next bytes are received right
/// away, with a buffer at hand, instead of being waited for without one.
const HOT_AFTER: u32 = 3;

/// A connection that is never silent is asked so often whether it should end, in ticks.
const LOOK_TICKS: u64 = 10;

/// Receives until the connection ends.
pub(super) async fn run(shared: &Rc<Shared>, input: Option<Buffer>, spawner: Spawner) -> ConnectionEnd {
    let mut receiver = Receiver { shared, spawner, heat: 0, much: false, is_stuck: false };
    let mut rest = input.filter(|input| !input.is_empty());
    let mut looked_at = shared.worker.timers.ticks();
    loop {
        let mut useful = false;
        if let Some(input) = rest.take() {
            rest = match receiver.take(input, &mut useful) {
                Ok(rest) => rest,
                Err(end) => return end,
            };
            shared.wake_driver();
        }
        let ticks = shared.worker.timers.ticks();
        if ticks - looked_at >= LOOK_TICKS || shared.connection.deadline.is_evicted() {
            looked_at = ticks;
            shared.look_at_time();
        }
        let next = receiver.next(rest.take()).await;
        let came_at_once = useful && shared.worker.timers.ticks() - ticks <= 1;
        receiver.heat = if came_at_once { receiver.heat + 1 } else { 0 };
        match next {
            Ok(input) => rest = Some(input),
            Err(end) => return end,
        }
    }
}

struct Receiver<'s> {
    shared: &'s Rc<Shared>,
    spawner: Spawner,
    /// How many times in a row something came at once.
    heat: u32,
    /// The last receive filled its buffer, so more is likely to wait.
    much: bool,
    /// The codec has stopped because of its output, not for want of bytes.
    is_stuck: bool,
}

impl Receiver<'_> {
    /// Gives the codec what came and returns what it could not use yet.
    fn take(&mut self, mut input: Buffer, useful: &mut bool) -> Result<Option<Buffer>, ConnectionEnd> {
        let now = self.shared.now();
        loop {
            let received = self.shared.codec.borrow_mut().handle_bytes(input.filled(), now);
            let Some(event) = received.event else {
                input.consume(received.consumed);
                self.is_stuck = self.shared.codec.borrow().output_bytes() > MAX_OUTPUT_BYTES;
                return Ok((!input.is_empty()).then_some(input));
            };
            *useful |= matches!(event, Event::Head { .. } | Event::Content { .. });
            self.shared.act(event, input.filled(), &self.spawner)?;
            input.consume(received.consumed);
        }
    }

    /// Waits for more, which comes behind `rest`.
    async fn next(&mut self, rest: Option<Buffer>) -> Result<Buffer, ConnectionEnd> {
        let (shared, spawner) = (self.shared, &self.spawner);
        // The output may be what the codec waits for: a peer that asks without reading is not listened to.
        watch(
            (shared, spawner),
            pin!(poll_fn(|_| match shared.codec.borrow().output_bytes() {
                ..=MAX_OUTPUT_BYTES => Poll::Ready(()),
                _ => Poll::Pending,
            })),
        )
        .await?;
        let rest = match rest {
            Some(rest) if self.is_stuck => return Ok(rest),
            rest => rest.map(|rest| shrink(&rest, shared)),
        };
        let transport = &shared.connection.transport;
        let is_hot = self.heat >= HOT_AFTER && !self.much;
        if !is_hot {
            watch((shared, spawner), pin!(transport.readable())).await?.map_err(|_| ConnectionEnd::Gone)?;
            if transport.is_tls() && transport.pending() == Pending::Nothing {
                // A part of a record, or something between the two TLS stacks.
                return Ok(rest.unwrap_or_else(|| shared.worker.buffers.tiny()));
            }
        }
        let buffers = &shared.worker.buffers;
        let mut buffer = match rest.as_ref().map_or(0, Buffer::len) {
            _ if self.much => buffers.large(),
            // It may stay for as long as the connection is idle.
            0 if is_hot && !shared.has_many_streams() => buffers.tiny(),
            _ => buffers.small(),
        };
        if let Some(rest) = rest {
            buffer.tail().extend_from_slice(rest.filled());
        }
        let spare = buffer.spare();
        let (result, buffer) = watch((shared, spawner), pin!(transport.receive(buffer))).await?;
        match result {
            Ok(count @ 1..) => {
                self.much = count * 2 > spare.min(SMALL_BYTES) && count > SMALL_BYTES / 2;
                Ok(buffer)
            }
            _ => Err(ConnectionEnd::Gone),
        }
    }
}

/// The same bytes in little memory: what a client leaves unfinished may stay for long.
fn shrink(rest: &Buffer, shared: &Shared) -> Buffer {
    let mut tiny = shared.worker.buffers.tiny();
    tiny.tail().extend_from_slice(rest.filled());
    tiny
}

/// Runs `operation` until it is done or the connection is to end, and does what is due meanwhile.
async fn watch<T>(
    (shared, spawner): (&Rc<Shared>, &Spawner),
    mut operation: Pin<&mut impl Future<Output = T>>,
) -> Result<T, ConnectionEnd> {
    loop {
        shared.arm();
        let is_over = |_: &mut Context<'_>| {
            if shared.is_over() { Poll::Ready(ConnectionEnd::Said) } else { Poll::Pending }
        };
        let step = pin!(task::unless(operation.as_mut(), is_over));
        match shared.connection.deadline.guard(step).await {
            Ok(outcome) => return outcome,
            Err(_elapsed) => shared.pass_time(spawner)?,
        }
    }
}

impl Shared {
    /// Does what is due.
    fn pass_time(self: &Rc<Shared>, spawner: &Spawner) -> Result<(), ConnectionEnd> {
        let now = self.now();
        loop {
            let event = self.codec.borrow_mut().handle_timeout(now);
            let Some(event) = event else { break };
            self.act(event, &[], spawner)?;
        }
        self.look_at_time();
        self.wake_driver();
        // A client that has not taken the last of what it was sent would not take a GOAWAY either.
        let is_stuck = self.is_idle() && self.is_sending.get() && self.connection.deadline.is_evicted();
        if is_stuck { Err(ConnectionEnd::Gone) } else { Ok(()) }
    }

    /// Acts on one event; content lies in `input`.
    fn act(self: &Rc<Shared>, event: Event, input: &[u8], spawner: &Spawner) -> Result<(), ConnectionEnd> {
        match event {
            Event::Head { stream, end } => {
                return self.begin((stream, end), false, spawner).map_err(|fault| self.take_failure(fault));
            }
            Event::HeadTooLarge { stream, end } => {
                return self.begin((stream, end), true, spawner).map_err(|fault| self.take_failure(fault));
            }
            Event::Content { stream, content, end } => {
                self.keep_content(stream, input.get(content).unwrap_or_default(), end);
            }
            Event::Trailers { stream } => self.take_trailers(stream),
            Event::Reset { stream, cause } => self.take_reset(stream, cause),
            Event::WindowOpened { stream: Some(stream) } => {
                if let Some(state) = self.find(stream).filter(|state| state.is_blocked.get()) {
                    state.wake();
                }
            }
            Event::WindowOpened { stream: None } | Event::Settings => self.for_each(|state| {
                if state.is_blocked.get() {
                    state.wake();
                }
            }),
            Event::Failed(fault) => return Err(self.take_failure(fault)),
            Event::GoAway { .. } => self.note_leaving(),
            // Clients get no interim responses and no PING of ours.
            Event::Interim { .. } | Event::Pong(_) => {}
        }
        Ok(())
    }

    fn take_failure(&self, fault: Fault) -> ConnectionEnd {
        self.record_fault(fault);
        self.end_reason.set(Some(Reason::ClientFault(fault.reason())));
        ConnectionEnd::Said
    }

    fn take_trailers(&self, stream: StreamId) {
        let Some(state) = self.find(stream) else { return };
        let mut inbox = state.inbox.borrow_mut();
        message::write_trailers(self.codec.borrow().fields(), &mut inbox.trailers);
        inbox.ended = true;
        drop(inbox);
        state.wake();
    }

    fn take_reset(&self, stream: StreamId, cause: Cause) {
        match (self.find(stream), cause) {
            (Some(state), Cause::Peer(_)) => state.fail(StreamError::Client),
            (Some(state), Cause::Fault(Fault::Stalled)) => state.fail(StreamError::Stalled),
            (Some(state), Cause::Fault(fault)) => state.fail(StreamError::Fault(fault.reason())),
            (None, Cause::Peer(_)) => {}
            // Its exchange is over and told.
            (None, Cause::Fault(_)) if self.lingers(stream) => {}
            // It never came as far as an exchange.
            (None, Cause::Fault(fault)) => self.record_fault(fault),
        }
    }

    fn record_fault(&self, fault: Fault) {
        let snapshot = self.worker.snapshot();
        let Some(terms) = snapshot.listener(self.connection.listener()) else { return };
        let reason = Reason::ClientProtocol(fault.reason());
        let codec = self.codec.borrow();
        let head = if fault.is_of_head() { codec.partial_head() } else { PartialHead::default() };
        if let Some(origin) = self.origin(terms) {
            exchange::record_unserved(reason, &head, self.worker.clock.now(), &origin, &self.worker);
        }
    }
}
