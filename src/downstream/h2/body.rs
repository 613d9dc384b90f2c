//! The body of a request on a stream.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::downstream::h2::shared::Shared;
use crate::downstream::multiplex::stream_state::StreamState;
use crate::downstream::pacer::Pacer;
use crate::exchange::Exchange;
use crate::exchange::stream::BodyError;
use crate::exchange::stream::BodyTimeout;
use crate::exchange::stream::RequestBody;
use crate::net::buffer::Buffer;
use crate::snapshot::HttpListener;
use crate::snapshot::bandwidth::Direction;

pub(super) struct Body<'s> {
    shared: &'s Shared,
    state: &'s StreamState,
    terms: &'s HttpListener,
    /// Between two pieces.
    timeout: &'s Duration,
    pacer: Pacer,
    /// The most content, in bytes.
    limit: Option<u64>,
    /// All was taken. What comes for a tunnel is not looked at before that begins.
    finished: bool,
    drops_trailers: bool,
    trailers: Vec<u8>,
}

impl<'s> Body<'s> {
    pub(super) fn new(
        (shared, state): (&'s Shared, &'s StreamState),
        terms: &'s HttpListener,
        timeout: &'s Duration,
        (wants_tunnel, exchange): (bool, &Exchange),
    ) -> Body<'s> {
        let limit = exchange.body_limit().filter(|_| !wants_tunnel);
        let drops_trailers = exchange.withholds_trailers() || terms.forwarded.identity.has_aliases();
        let finished = wants_tunnel || state.has_nothing_to_take();
        let pacer = Pacer::new(exchange.paced());
        let mut body = Body {
            shared,
            state,
            terms,
            timeout,
            pacer,
            limit,
            finished,
            drops_trailers,
            trailers: Vec::new(),
        };
        body.take_trailers();
        body
    }

    /// Takes the trailers, once nothing else is left. One could be taken for a header that we add under a name of
    /// the operator's choice.
    fn take_trailers(&mut self) {
        if self.finished && !self.drops_trailers {
            self.trailers = std::mem::take(&mut self.state.inbox.borrow_mut().trailers);
        }
    }

    /// Takes what came; the client may send as much again.
    fn take(&mut self) -> Result<Option<Buffer>, BodyError> {
        if let Some(error) = self.state.error() {
            return Err(error.into());
        }
        let mut inbox = self.state.inbox.borrow_mut();
        if self.limit.is_some_and(|limit| inbox.received > limit) {
            return Err(BodyError::TooLarge);
        }
        let piece = inbox.take();
        self.finished = inbox.ended && inbox.is_empty();
        drop(inbox);
        self.take_trailers();
        if let Some(piece) = &piece {
            // Windows are no larger.
            let bytes = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            self.pacer.count((piece.len(), Direction::Up), self.terms, &self.shared.worker);
            self.shared.release_content(self.state, bytes);
            if self.shared.codec.borrow().output_bytes() > 0 {
                self.shared.wake_driver();
            }
        }
        Ok(piece)
    }

    /// Waits until there is something to take.
    async fn wait(&mut self, bound: BodyTimeout) -> Result<(), BodyError> {
        let timers = &self.shared.worker.timers;
        let deadline = self.state.body_deadline.get_or_init(|| timers.deadline());
        match bound {
            BodyTimeout::Limited => deadline.set(*self.timeout),
            BodyTimeout::Unlimited => deadline.clear(),
        }
        let state = self.state;
        let waited = poll_fn(|cx| {
            let inbox = state.inbox.borrow();
            if state.error().is_some() || inbox.ended || !inbox.is_empty() {
                return Poll::Ready(());
            }
            state.register_task(cx);
            Poll::Pending
        });
        deadline.guard(pin!(waited)).await.map_err(|_| BodyError::TimedOut)
    }
}

impl RequestBody for Body<'_> {
    fn is_finished(&self) -> bool {
        self.finished
    }

    fn at_hand(&mut self) -> Result<Option<Buffer>, BodyError> {
        if self.finished { Ok(None) } else { self.take() }
    }

    async fn next(&mut self, bound: BodyTimeout) -> Result<Option<Buffer>, BodyError> {
        if let Some(turn) = self.pacer.wait(&self.shared.worker) {
            turn.await;
        }
        loop {
            if let Some(piece) = self.at_hand()? {
                return Ok(Some(piece));
            }
            if self.finished {
                return Ok(None);
            }
            self.wait(bound).await?;
        }
    }

    fn trailers(&self) -> &[u8] {
        self.terms.forwarded.passing_trailers(&self.trailers)
    }

    fn become_tunnel(&mut self) {
        self.finished = false;
    }

    fn received_bytes(&self) -> u64 {
        self.state.inbox.borrow().received
    }
}
