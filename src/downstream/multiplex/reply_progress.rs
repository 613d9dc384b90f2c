//! How far a response has come, whatever frames it goes out in.

use std::time::Duration;

use crate::downstream::multiplex::reply_head;
use crate::downstream::multiplex::reply_head::ReplyTraits;
use crate::downstream::multiplex::stream_state::StreamError;
use crate::downstream::multiplex::stream_state::Traits;
use crate::downstream::pacer::Pacer;
use crate::downstream::reply_state::ReplyState;
use crate::exchange::stream::ReplyError;
use crate::exchange::stream::StartFacts;
use crate::http::head::ResponseHead;
use crate::net::buffer::Buffer;
use crate::net::timer::Deadline;
use crate::snapshot::HttpListener;
use crate::snapshot::bandwidth::Direction;
use crate::snapshot::bandwidth::PacedRequest;
use crate::worker::Worker;

/// See the module.
pub(in crate::downstream) struct ReplyProgress<'s> {
    traits: Traits,
    pub(in crate::downstream) state: ReplyState,
    pub(in crate::downstream) response: ReplyTraits,
    /// The field lines of a head that waits for the first piece of content, to be sent with it. They are not
    /// compressed yet: what was compressed can no longer be taken back.
    head: Option<Buffer>,
    pub(in crate::downstream) content_bytes: u64,
    /// With the headers of frames.
    pub(in crate::downstream) sent_bytes: u64,
    /// Between two pieces of the request's body.
    timeout: &'s Duration,
    pub(in crate::downstream) terms: &'s HttpListener,
    pacer: Pacer,
}

impl<'s> ReplyProgress<'s> {
    pub(in crate::downstream) fn new(
        (terms, timeout): (&'s HttpListener, &'s Duration),
        (traits, paced): (Traits, Option<PacedRequest>),
    ) -> ReplyProgress<'s> {
        ReplyProgress {
            traits,
            state: ReplyState::Unstarted,
            response: ReplyTraits::default(),
            head: None,
            content_bytes: 0,
            sent_bytes: 0,
            timeout,
            terms,
            pacer: Pacer::new(paced),
        }
    }

    /// How much of `room` should be fetched at a time.
    pub(in crate::downstream) fn room(&self, room: usize) -> usize {
        self.pacer.room(room, self.terms)
    }

    pub(in crate::downstream) fn start(
        &mut self,
        head: &ResponseHead<'_, '_>,
        facts: &StartFacts<'_>,
        worker: &Worker,
    ) {
        self.state = ReplyState::Started;
        let (lines, response) = reply_head::write(head, facts, &self.traits, &worker.buffers);
        self.response = response;
        self.head = Some(lines);
    }

    /// Whether the head of a final response waits to be sent.
    pub(in crate::downstream) fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// That head, as the digits of its status and its lines.
    pub(in crate::downstream) fn take_head(&mut self) -> Option<([u8; 3], Buffer)> {
        Some((reply_head::digits(self.response.status), self.head.take()?))
    }

    pub(in crate::downstream) fn retract(&mut self) -> bool {
        let is_unsent = self.state.retract(self.head.is_some());
        if is_unsent {
            self.head = None;
            self.response.is_tunnel = false;
        }
        is_unsent
    }

    pub(in crate::downstream) fn can_end_with_trailers(&self) -> bool {
        self.state == ReplyState::Started
            && self.response.has_content
            && !self.response.is_tunnel
            && !self.response.has_length
    }

    /// Waits for the turn of a piece of content, where that may go no faster.
    pub(in crate::downstream) async fn pace(&mut self, piece: Option<&Buffer>, worker: &Worker) {
        if let Some(piece) = piece.filter(|_| self.response.has_content) {
            self.pacer.count((piece.len(), Direction::Down), self.terms, worker);
            if let Some(turn) = self.pacer.wait(worker) {
                turn.await;
            }
        }
    }

    /// Once the client has got something, be it the leave to go on, it is its turn: a wait for its body that had no
    /// bound has one now, and another begins again.
    pub(in crate::downstream) fn expect_more(&self, body_deadline: Option<&Deadline>) {
        if let Some(deadline) = body_deadline {
            deadline.set(*self.timeout);
        }
    }

    /// Nothing more can be sent.
    pub(in crate::downstream) fn fail(&mut self, error: StreamError) -> ReplyError {
        self.state = ReplyState::Broken;
        if error == StreamError::Stalled { ReplyError::TimedOut } else { ReplyError::Gone }
    }
}
