//! What goes to the client: the frames of all streams that were ready, in one send.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::downstream::h2::shared::Shared;
use crate::downstream::multiplex::stream_state::SendTurn;
use crate::downstream::multiplex::stream_state::StreamError;
use crate::downstream::multiplex::stream_state::StreamState;
use crate::net::buffer::SMALL_BYTES;
use crate::net::timer::Tag;
use crate::proto::h2::limits::MAX_OUTPUT_BYTES;
use crate::telemetry::reason::Reason;

/// A stream writes at most so much content in one turn, so that those behind it wait for no more.
pub(super) const SLICE_BYTES: usize = 16 * 1024;

/// While fewer streams than this wait for their turn, each may hold a slice.
const FEW_WAITING: usize = 8;

/// With less output than this, one more slice may be written. The codec stops listening at its own limit,
/// which content alone must not reach.
const ROOM_BYTES: usize = MAX_OUTPUT_BYTES - SLICE_BYTES - 4 * 1024;

/// How long the GOAWAY of a connection that gives way to others may take to leave.
const LAST_SEND_TIMEOUT: Duration = Duration::from_millis(200);

/// Sends until that fails.
pub(super) async fn run(shared: &Rc<Shared>) {
    let deadline = shared.worker.timers.deadline();
    deadline.set_tag(Tag::Listener(shared.connection.listener() as u32));
    let mut much = false;
    loop {
        let ready = poll_fn(|_| {
            if shared.codec.borrow().output_bytes() > 0 {
                return Poll::Ready(());
            }
            shared.grant();
            Poll::Pending
        });
        ready.await;
        let buffers = &shared.worker.buffers;
        let mut buffer = if much { buffers.large() } else { buffers.small() };
        shared.exchange_memory(&mut buffer);
        much = buffer.len() > SMALL_BYTES;
        shared.is_sending.set(true);
        shared.grant();
        let timeout = if shared.connection.deadline.is_evicted() {
            // Others wait for its place.
            LAST_SEND_TIMEOUT
        } else {
            let timeout = shared.connection.http_term(&shared.worker, |terms| terms.client_body_timeout);
            timeout.unwrap_or_default()
        };
        let sent = shared.connection.transport.send_within(buffer, &deadline, timeout).await;
        match sent {
            Ok((Ok(()), _)) => {}
            Ok((Err(_), _)) => return,
            Err(_elapsed) => return shared.end_reason.set(Some(Reason::ClientStalled)),
        }
        deadline.clear();
        shared.is_sending.set(false);
        shared.give_memory_back();
    }
}

/// A turn to write one slice. Dropping it gives the turn on.
pub(super) struct SendPermit<'s> {
    shared: &'s Shared,
}

impl Drop for SendPermit<'_> {
    fn drop(&mut self) {
        self.shared.turns.set(self.shared.turns.get() - 1);
        self.shared.wake_driver();
    }
}

/// A place in the queue. Who gives up waiting gives it up too.
struct QueueEntry<'s> {
    shared: &'s Shared,
    state: &'s Rc<StreamState>,
}

impl Drop for QueueEntry<'_> {
    fn drop(&mut self) {
        match self.state.turn.replace(SendTurn::None) {
            SendTurn::None => {}
            SendTurn::Queued => {
                self.shared.queue.borrow_mut().retain(|queued| !Rc::ptr_eq(queued, self.state));
            }
            SendTurn::Granted => drop(SendPermit { shared: self.shared }),
        }
    }
}

impl Shared {
    /// Whether one more slice fits beside those that are about to be written.
    fn has_room(&self) -> bool {
        self.codec.borrow().output_bytes() + self.turns.get() * SLICE_BYTES < ROOM_BYTES
    }

    /// How large a piece a stream should fetch: it will be held until it was the stream's turn. Where many
    /// wait, each holds little.
    pub(super) fn room(&self, state: &StreamState) -> usize {
        let window = self.codec.borrow().send_capacity(state.id);
        match self.queue.borrow().len() {
            0 if self.has_room() => window,
            ..FEW_WAITING => window.min(SLICE_BYTES),
            _ => 0,
        }
    }

    /// Lets as many of those that wait write as there is room for.
    fn grant(&self) {
        while self.has_room() {
            let Some(state) = self.queue.borrow_mut().pop_front() else { return };
            state.turn.set(SendTurn::Granted);
            self.turns.set(self.turns.get() + 1);
            state.wake();
        }
    }

    /// Waits until the stream may write a slice.
    pub(super) async fn turn(&self, state: &Rc<StreamState>) -> Result<SendPermit<'_>, StreamError> {
        if let Some(error) = state.error() {
            return Err(error);
        }
        if self.queue.borrow().is_empty() && self.has_room() {
            self.turns.set(self.turns.get() + 1);
            return Ok(SendPermit { shared: self });
        }
        state.turn.set(SendTurn::Queued);
        self.queue.borrow_mut().push_back(Rc::clone(state));
        self.wake_driver();
        let place = QueueEntry { shared: self, state };
        poll_fn(|cx| {
            if let Some(error) = state.error() {
                return Poll::Ready(Err(error));
            }
            if state.turn.get() == SendTurn::Granted {
                return Poll::Ready(Ok(()));
            }
            state.register_task(cx);
            Poll::Pending
        })
        .await?;
        state.turn.set(SendTurn::None);
        drop(place);
        Ok(SendPermit { shared: self })
    }

    /// Waits until the client's windows allow some content of the stream.
    pub(super) async fn window(&self, state: &StreamState) -> Result<(), StreamError> {
        state.is_blocked.set(true);
        // The codec bounds this wait.
        self.arm();
        let opened = poll_fn(|cx| {
            if let Some(error) = state.error() {
                return Poll::Ready(Err(error));
            }
            if self.codec.borrow().send_capacity(state.id) > 0 {
                return Poll::Ready(Ok(()));
            }
            state.register_task(cx);
            Poll::Pending
        });
        let opened = opened.await;
        state.is_blocked.set(false);
        opened
    }
}
