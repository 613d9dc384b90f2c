//! A request stream in the hands of its task.

use std::cell::Cell;
use std::cell::OnceCell;
use std::cell::RefCell;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use crate::downstream::multiplex::stream_state::StreamError;
use crate::net::timer::Deadline;
use crate::proto::h3::fault::ErrorCode;
use crate::proto::h3::priority::Priority;
use crate::quic::end::StreamFailure;
use crate::quic::streams::RecvHalf;
use crate::quic::streams::SendHalf;
use crate::quic::streams::StreamBytes;

/// StreamBytes that are read at a time.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// The urgency that comes last; 0 comes first (RFC 9218 §4.1).
const LEAST_URGENT: i32 = 7;

/// What body, reply and watch of a stream share. Nothing is borrowed across an `await`.
pub(super) struct StreamHalves {
    pub(super) send: RefCell<SendHalf>,
    pub(super) recv: RefCell<RecvHalf>,
    error: Cell<Option<StreamError>>,
    /// The response was written to its end.
    pub(super) is_answered: Cell<bool>,
    /// The request was read to its end.
    pub(super) is_read: Cell<bool>,
    /// Bounds the wait for the next piece of the body. Most requests have none.
    pub(super) body_deadline: OnceCell<Deadline>,
}

impl StreamHalves {
    pub(super) fn new(send: SendHalf, recv: RecvHalf) -> StreamHalves {
        StreamHalves {
            send: RefCell::new(send),
            recv: RefCell::new(recv),
            error: Cell::new(None),
            is_answered: Cell::new(false),
            is_read: Cell::new(false),
            body_deadline: OnceCell::new(),
        }
    }

    pub(super) fn error(&self) -> Option<StreamError> {
        self.error.get()
    }

    /// Notes that it is over, unless that is known.
    pub(super) fn fail(&self, error: StreamError) -> StreamError {
        let error = self.error.get().unwrap_or(error);
        self.error.set(Some(error));
        error
    }

    /// The same, for what QUIC told.
    pub(super) fn fail_with(&self, failure: StreamFailure) -> StreamError {
        self.fail(match failure {
            StreamFailure::Reset(_) | StreamFailure::Stopped(_) => StreamError::Client,
            StreamFailure::Ended | StreamFailure::Connection(_) => StreamError::Connection,
        })
    }

    /// Sends and reads no more of it.
    pub(super) fn give_up(&self, code: ErrorCode) {
        let code = code.to_wire() as u32;
        self.send.borrow_mut().reset(code);
        self.recv.borrow_mut().stop(code);
    }

    /// Lets the response go before others, or behind them (RFC 9218 §4.1).
    pub(super) fn set_priority(&self, priority: Priority) {
        self.send.borrow().set_priority(LEAST_URGENT - i32::from(priority.urgency));
    }

    /// What has come behind what was read; None inside where the request ends there.
    pub(super) fn read_now(&self) -> Poll<Result<Option<StreamBytes>, StreamFailure>> {
        self.recv.borrow_mut().poll_read(PIECE_BYTES, &Context::from_waker(Waker::noop()))
    }

    /// Whether the client has given the response up, or the connection is over. If not, the task is woken when that happens.
    pub(super) fn is_over(&self, cx: &Context<'_>) -> bool {
        if self.error.get().is_some() {
            return true;
        }
        if self.is_answered.get() {
            return false;
        }
        let polled = self.send.borrow_mut().poll_done(cx);
        if let Poll::Ready(Err(failure)) = polled {
            self.fail_with(failure);
        }
        self.error.get().is_some()
    }

    /// A look that waits for nothing.
    pub(super) fn is_over_now(&self) -> bool {
        self.is_over(&Context::from_waker(Waker::noop()))
    }
}
