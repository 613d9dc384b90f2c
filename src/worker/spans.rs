//! A worker's side of traces: the spans of sampled exchanges, from their beginning until they are queued.

use std::cell::RefCell;
use std::sync::Arc;

use crate::net::clock::Moment;
use crate::telemetry::otlp::MAX_TEXT_BYTES;
use crate::telemetry::reason::Reason;
use crate::telemetry::record::MAX_ATTEMPTS;
use crate::telemetry::span_queue::SpanQueue;
use crate::telemetry::span_queue::SpanQueues;

/// Memory of exchanges that is kept for the next ones: what a steady load needs, and at most 1 MiB.
const KEPT_BYTES: usize = 4 * 1024;
const KEPT_TRACES: usize = 256;

/// Attempts that are told of one exchange: those of the request, and those of a question about it.
const MAX_TOLD_ATTEMPTS: usize = 2 * MAX_ATTEMPTS;

/// A worker's side of traces.
pub struct Spans {
    pub queue: RefCell<SpanQueue>,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept, an exchange holds one by its pointer")]
    spare: RefCell<Vec<Box<PendingTrace>>>,
}

/// The spans of an exchange that is not over.
#[derive(Default)]
pub struct PendingTrace {
    pub ids: Option<TracedIds>,
    /// What `tracestate` says.
    pub state: Vec<u8>,
    pub method: &'static str,
    /// Attributes of the exchange, as they are sent.
    pub attributes: Vec<u8>,
    /// The handshake of its connection, if it is the first one on that.
    pub handshake: Option<Box<HandshakeSpan>>,
    pub attempts: Vec<PendingAttempt>,
    /// What attempts ask for, one behind the other.
    paths: Vec<u8>,
    /// What the attempts are for that follow.
    pub purpose: AttemptPurpose,
}

/// Identities, in hexadecimal digits.
#[derive(Clone, Copy)]
pub struct TracedIds {
    pub trace: [u8; 32],
    /// Of the exchange.
    pub span: [u8; 16],
    pub parent: Option<[u8; 16]>,
}

/// What a backend is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttemptPurpose {
    /// To answer the request.
    #[default]
    Request,
    /// To say whether the request may pass.
    Question,
    /// To take a copy of the request.
    Copy,
}

/// A TLS handshake with a client that is over.
pub struct HandshakeSpan {
    pub began: Moment,
    pub ended: Moment,
    /// As they are sent.
    pub attributes: Vec<u8>,
}

/// One attempt to have a request answered.
#[derive(Clone, Copy)]
pub struct PendingAttempt {
    pub purpose: AttemptPurpose,
    /// Its identity, in hexadecimal digits.
    pub span: [u8; 16],
    /// The indices of the group in the listener's, and of the backend in the group.
    pub group: u32,
    pub backend: u32,
    pub began: Moment,
    /// None: it is under way.
    pub ended: Option<Moment>,
    /// 0 until the backend has answered.
    pub status: u16,
    /// Why it failed.
    pub reason: Reason,
    /// The version of HTTP that was spoken; None if nothing was sent.
    pub protocol: Option<&'static str>,
    /// Its connection served another exchange before.
    pub is_reused: bool,
    /// Where its path stands among the others.
    path: (usize, usize),
}

/// How an attempt begins.
pub struct NewAttempt<'p> {
    pub span: [u8; 16],
    pub group: u32,
    pub backend: u32,
    pub path: &'p [u8],
}

impl Spans {
    pub fn new(queues: Arc<SpanQueues>, worker: usize) -> Spans {
        Spans { queue: RefCell::new(SpanQueue::new(queues, worker)), spare: RefCell::default() }
    }

    /// Memory for the spans of an exchange, which an earlier one may have left.
    pub fn begin(&self) -> Box<PendingTrace> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps the memory of an exchange that is over, unless it is unusually large.
    pub fn keep(&self, mut pending: Box<PendingTrace>) {
        let mut spare = self.spare.borrow_mut();
        if pending.bytes() <= KEPT_BYTES && spare.len() < KEPT_TRACES {
            pending.clear();
            spare.push(pending);
        }
    }
}

impl PendingTrace {
    /// Notes an attempt, and that the one before is over.
    pub fn attempt_began(&mut self, attempt: NewAttempt<'_>, now: Moment) {
        self.attempt_ended(Reason::None, now);
        if self.attempts.len() >= MAX_TOLD_ATTEMPTS {
            return;
        }
        let path = attempt.path.get(..MAX_TEXT_BYTES).unwrap_or(attempt.path);
        // Attempts of one request ask for the same.
        let known = self.attempts.last().filter(|last| self.path(last) == path);
        let path = known.map_or_else(
            || {
                let start = self.paths.len();
                self.paths.extend_from_slice(path);
                (start, self.paths.len())
            },
            |last| last.path,
        );
        let NewAttempt { span, group, backend, .. } = attempt;
        self.attempts.push(PendingAttempt {
            purpose: self.purpose,
            span,
            group,
            backend,
            began: now,
            ended: None,
            status: 0,
            reason: Reason::None,
            protocol: None,
            is_reused: false,
            path,
        });
    }

    /// The attempt that is under way.
    pub fn attempt(&mut self) -> Option<&mut PendingAttempt> {
        self.attempts.last_mut().filter(|attempt| attempt.ended.is_none())
    }

    /// Notes that the attempt under way is over, if there is one.
    pub fn attempt_ended(&mut self, reason: Reason, now: Moment) {
        if let Some(attempt) = self.attempt() {
            attempt.ended = Some(now);
            attempt.reason = reason;
        }
    }

    /// What an attempt asks for.
    pub fn path(&self, attempt: &PendingAttempt) -> &[u8] {
        self.paths.get(attempt.path.0..attempt.path.1).unwrap_or_default()
    }

    /// Bytes of memory that it holds.
    fn bytes(&self) -> usize {
        let attempts = self.attempts.capacity() * size_of::<PendingAttempt>();
        self.state.capacity() + self.attributes.capacity() + self.paths.capacity() + attempts
    }

    fn clear(&mut self) {
        let PendingTrace { state, attributes, attempts, paths, .. } = self;
        state.clear();
        attributes.clear();
        attempts.clear();
        paths.clear();
        (self.ids, self.handshake, self.purpose) = (None, None, AttemptPurpose::Request);
    }
}
