//! What the driver of a connection and the task of one of its streams tell each other.

use std::cell::Cell;
use std::cell::OnceCell;
use std::cell::RefCell;
use std::task::Context;

use crate::downstream::multiplex::inbox::Inbox;
use crate::exchange::stream::BodyError;
use crate::net::timer::Deadline;
use crate::net::wake::WakerSlot;
use crate::proto::h2::stream::StreamId;
use crate::telemetry::reason::Reason;

/// Why a stream ended before both sides had said all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::downstream) enum StreamError {
    /// The client gave it up.
    Client,
    /// The client broke a rule; the word is the codec's.
    Fault(&'static str),
    /// The client did not take the response in time.
    Stalled,
    /// The whole connection ended.
    Connection,
}

impl StreamError {
    /// What it means for the exchange; `of_connection` is why the connection ends. None: the client has just gone.
    pub(in crate::downstream) fn reason(self, of_connection: Option<Reason>) -> Option<Reason> {
        match self {
            StreamError::Client => None,
            StreamError::Fault(word) => Some(Reason::ClientFault(word)),
            StreamError::Stalled => Some(Reason::ClientStalled),
            StreamError::Connection => of_connection,
        }
    }
}

impl From<StreamError> for BodyError {
    fn from(error: StreamError) -> BodyError {
        match error {
            StreamError::Fault(word) => BodyError::Malformed(word),
            StreamError::Client | StreamError::Stalled | StreamError::Connection => BodyError::Gone,
        }
    }
}

/// Where a stream stands in the queue for room in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::downstream) enum SendTurn {
    None,
    Queued,
    Granted,
}

/// What the driver tells the task of a stream.
pub(in crate::downstream) struct StreamState {
    pub(in crate::downstream) id: StreamId,
    pub(in crate::downstream) inbox: RefCell<Inbox>,
    error: Cell<Option<StreamError>>,
    task: WakerSlot,
    /// It waits for a window.
    pub(in crate::downstream) is_blocked: Cell<bool>,
    pub(in crate::downstream) turn: Cell<SendTurn>,
    /// The response was written to its end.
    pub(in crate::downstream) is_answered: Cell<bool>,
    /// Bytes of the request's head, as it was decoded.
    pub(in crate::downstream) head_bytes: usize,
    /// What its window has grown by.
    pub(in crate::downstream) growth: Cell<u32>,
    /// Bounds the wait for the next piece of the body. Most requests have none.
    pub(in crate::downstream) body_deadline: OnceCell<Deadline>,
}

impl StreamState {
    pub(in crate::downstream) fn new(id: StreamId, ended: bool, head_bytes: usize) -> StreamState {
        StreamState {
            id,
            inbox: RefCell::new(Inbox::new(ended)),
            error: Cell::new(None),
            task: WakerSlot::default(),
            is_blocked: Cell::new(false),
            turn: Cell::new(SendTurn::None),
            is_answered: Cell::new(false),
            head_bytes,
            growth: Cell::new(0),
            body_deadline: OnceCell::new(),
        }
    }

    pub(in crate::downstream) fn error(&self) -> Option<StreamError> {
        self.error.get()
    }

    pub(in crate::downstream) fn fail(&self, error: StreamError) {
        self.error.set(self.error.get().or(Some(error)));
        self.wake();
    }

    /// Whether the message ended and all of its content was taken.
    pub(in crate::downstream) fn has_nothing_to_take(&self) -> bool {
        let inbox = self.inbox.borrow();
        inbox.ended && inbox.is_empty()
    }

    pub(in crate::downstream) fn wake(&self) {
        self.task.wake_by_ref();
    }

    /// Lets [`StreamState::wake`] wake the task.
    pub(in crate::downstream) fn register_task(&self, cx: &Context<'_>) {
        self.task.register(cx);
    }
}

/// What of a request decides how it is read and answered.
#[derive(Clone, Copy, Debug)]
pub(in crate::downstream) struct Traits {
    pub(in crate::downstream) is_head: bool,
    /// Content belongs to a tunnel that may follow (RFC 8441).
    pub(in crate::downstream) wants_tunnel: bool,
    pub(in crate::downstream) head_bytes: u32,
}
