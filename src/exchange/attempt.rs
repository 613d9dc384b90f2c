//! One attempt to have a request answered.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::exchange::error::ExchangeError;
use crate::exchange::request_buffer::RequestBuffer;
use crate::exchange::response_edits::ResponseTerms;
use crate::exchange::stickiness::StickyTarget;
use crate::exchange::stream::ClientWatch;
use crate::net::buffer::Buffer;
use crate::net::clock::Moment;
use crate::net::task;
use crate::policy::compression::AcceptedCodings;
use crate::policy::retry::Failure;
use crate::policy::retry::Replay;
use crate::policy::websocket;
use crate::snapshot::group::Group;
use crate::upstream::message::ReadTimeout;
use crate::upstream::selection::Next;
use crate::upstream::selection::Selection;
use crate::worker::Worker;

/// How a response was received.
pub(super) enum Relayed {
    /// To its end, of which this is still to be sent.
    Whole(ResponseEnd),
    /// The head of a 101 was written; a tunnel follows.
    Switched,
    /// The same, but the page for its status takes the place of its content.
    ErrorPage { status: u16, is_read: bool },
    /// Its content was dropped, for the answer of this rule for responses. `is_read`: to its end.
    Replaced { rule: u8, is_read: bool },
    /// The same, for another attempt with this member.
    Retried { other: u32, is_read: bool },
}

impl Relayed {
    /// Whether the response was read to its end.
    pub(super) fn is_read(&self) -> bool {
        match self {
            Relayed::Whole(_) => true,
            Relayed::Switched => false,
            Relayed::ErrorPage { is_read, .. }
            | Relayed::Replaced { is_read, .. }
            | Relayed::Retried { is_read, .. } => *is_read,
        }
    }
}

/// The last piece of a response. The backend has done its part, so its connection can serve another
/// exchange while the client still takes this.
pub(super) struct ResponseEnd {
    pub(super) piece: Option<Buffer>,
    /// The lines of the trailer section.
    pub(super) trailers: Vec<u8>,
}

/// One try to have a request answered by a backend: what is known of it besides its streams.
pub(super) struct Attempt<'a> {
    pub(super) worker: &'a Worker,
    pub(super) terms: Option<&'a ResponseTerms<'a>>,
    pub(super) group: &'a Group,
    /// The index of the backend that was chosen.
    pub(super) member: u32,
    pub(super) target: StickyTarget,
    /// Who else can be asked. None: no status is tried again.
    pub(super) selection: Option<&'a Selection<'a>>,
    /// What another attempt would have to send again, before any response.
    pub(super) replay: Cell<Replay>,
    pub(super) is_secure: bool,
    /// The client asked to switch protocols.
    pub(super) upgrade: bool,
    /// What the backend must answer to a WebSocket key that is ours.
    pub(super) accept: Option<Box<websocket::Accept>>,
    /// What the client can decode. None: the listener does not compress.
    pub(super) compression: Option<AcceptedCodings>,
    /// When something last came of a response that flows while the request's body is still on its way.
    pub(super) flowed: Cell<Option<Moment>>,
    /// Held for another attempt.
    pub(super) buffered: Option<Rc<RequestBuffer>>,
    /// The final response has begun, so that there will be no other attempt.
    pub(super) is_answered: Cell<bool>,
    /// All of the request was received, though some of it may still have to be sent.
    pub(super) request_is_read: bool,
    /// The request's body is still on its way.
    pub(super) uploading: Cell<bool>,
    /// The backend takes no more of the body, though it may still answer.
    pub(super) upload_refused: Cell<bool>,
    /// The client waits for a 100 before it sends the body.
    pub(super) awaiting_continue: Cell<bool>,
}

impl Attempt<'_> {
    /// How long the backend may be silent.
    pub(super) fn response_timeout(&self) -> Duration {
        let own = self.terms.and_then(ResponseTerms::overrides).and_then(|own| own.response_timeout);
        own.unwrap_or(self.group.response_timeout)
    }

    /// How long neither side of a tunnel may say anything; zero: for ever.
    pub(super) fn tunnel_idle_timeout(&self) -> Duration {
        self.terms.map_or(Duration::ZERO, ResponseTerms::tunnel_idle_timeout)
    }

    /// The member that is asked instead, where this status is one after which the group tries again.
    #[inline]
    pub(super) fn retry(&self, status: u16) -> Option<u32> {
        let selection = self.selection.filter(|_| self.group.retry_on.has_status(status))?;
        match selection.after(Some(Failure::Status), self.replay.get()) {
            Next::Other(other) => Some(other),
            Next::None | Next::Same => None,
        }
    }

    /// Counts a final response of the backend.
    pub(super) fn count_response(&self, status: u16) {
        if let Some(counters) = &self.group.counters {
            counters.response(self.worker.index, status);
        }
    }

    /// Notes that a final response has begun.
    pub(super) fn note_answer(&self, status: u16) {
        self.is_answered.set(true);
        self.release_sent();
        if status != 101 {
            // Nothing of a switch leaves before the request is complete.
            self.note_flow();
        }
        self.judge(status);
    }

    /// Notes that something of the final response came.
    pub(super) fn note_flow(&self) {
        if self.uploading.get() {
            self.flowed.set(Some(self.worker.clock.now()));
        }
    }

    /// Whether a client that has sent nothing since then may go on like that: once the response flows, it is no
    /// stalled upload, but a conversation in which it has nothing to say, as in a tunnel.
    pub(super) fn allows_silence(&self, since: Moment) -> bool {
        let Some(flowed) = self.flowed.get() else { return false };
        let now = self.worker.clock.now();
        let silence = now.since(since).min(now.since(flowed));
        let timeout = self.tunnel_idle_timeout();
        timeout.is_zero() || silence < timeout
    }

    /// Gives the memory of what was sent back, once no other attempt can need it.
    pub(super) fn release_sent(&self) {
        if let Some(buffered) =
            self.buffered.as_ref().filter(|_| self.is_answered.get() && !self.uploading.get())
        {
            buffered.release();
        }
    }

    /// Notes what a final status says about its backend.
    pub(super) fn judge(&self, status: u16) {
        match status {
            502..=504 => self.worker.balancer.note_failure(self.group, self.member),
            _ => self.worker.balancer.note_success(self.group, self.member),
        }
    }

    /// While the request is on its way, the upload minds the backend's deadline, unless it is the
    /// backend's turn to say that the client may continue.
    pub(super) fn read_timeout(&self) -> ReadTimeout {
        let upload_goes_on = self.uploading.get() && !self.upload_refused.get();
        if upload_goes_on && !self.awaiting_continue.get() {
            ReadTimeout::NotOurs
        } else {
            ReadTimeout::AtMost(self.response_timeout())
        }
    }
}

/// Runs `operation` unless the client leaves first. During an upload, the upload notices.
pub(super) async fn unless_gone<T>(
    operation: Pin<&mut impl Future<Output = T>>,
    watch: &impl ClientWatch,
    attempt: &Attempt<'_>,
) -> Result<T, ExchangeError> {
    let mut disconnected = pin!(watch.disconnected());
    task::unless(operation, |cx| {
        if attempt.uploading.get() {
            return Poll::Pending;
        }
        disconnected.as_mut().poll(cx).map(|()| ExchangeError::ClientGone)
    })
    .await
}
