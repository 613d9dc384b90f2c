//! One stream: what its task and the connection's driver tell each other, and how an exchange sees it.

use std::cell::Cell;
use std::cell::OnceCell;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use crate::downstream::h2::body::Body;
use crate::downstream::h2::reply::Reply;
use crate::downstream::h2::shared::Shared;
use crate::exchange;
use crate::exchange::Exchange;
use crate::exchange::stream::Presence;
use crate::exchange::stream::Stream;
use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::net::buffer::TAILROOM_BYTES;
use crate::net::timer::Deadline;
use crate::proto::h2::stream::StreamId;
use crate::telemetry::reason::Reason;
use crate::worker::Held;

/// Why a stream ended before both sides had said all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The client gave it up.
    Client,
    /// The client broke a rule; the word is the codec's.
    Fault(&'static str),
    /// The client did not take the response in time.
    Stalled,
    /// The whole connection ended.
    Connection,
}

/// Where a stream stands in the queue for room in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    None,
    Queued,
    Granted,
}

/// What the driver tells the task of a stream.
pub(super) struct StreamState {
    pub(super) id: StreamId,
    pub(super) inbox: RefCell<Inbox>,
    loss: Cell<Option<Loss>>,
    /// Of the task.
    waker: RefCell<Option<Waker>>,
    /// It waits for a window.
    pub(super) is_blocked: Cell<bool>,
    pub(super) turn: Cell<Turn>,
    /// The response was written to its end.
    pub(super) is_answered: Cell<bool>,
    /// Of the request's head, as it was decoded.
    pub(super) head_bytes: usize,
    /// What its window has grown by.
    pub(super) growth: Cell<u32>,
    /// Bounds the wait for the next piece of the body. Most requests have none.
    pub(super) body_deadline: OnceCell<Deadline>,
}

/// What came of a body and was not yet taken: at most as much as the stream's window allows.
#[derive(Default)]
pub(super) struct Inbox {
    pieces: VecDeque<Buffer>,
    /// Nothing more comes.
    pub(super) ended: bool,
    /// The lines of the trailer section.
    pub(super) trailers: Vec<u8>,
    /// Bytes of content received so far.
    pub(super) received: u64,
}

impl StreamState {
    pub(super) fn new(id: StreamId, ended: bool, head_bytes: usize) -> StreamState {
        StreamState {
            id,
            inbox: RefCell::new(Inbox { ended, ..Inbox::default() }),
            loss: Cell::new(None),
            waker: RefCell::default(),
            is_blocked: Cell::new(false),
            turn: Cell::new(Turn::None),
            is_answered: Cell::new(false),
            head_bytes,
            growth: Cell::new(0),
            body_deadline: OnceCell::new(),
        }
    }

    pub(super) fn loss(&self) -> Option<Loss> {
        self.loss.get()
    }

    pub(super) fn lose(&self, loss: Loss) {
        self.loss.set(self.loss.get().or(Some(loss)));
        self.wake();
    }

    /// Whether the message ended and all of its content was taken.
    pub(super) fn has_nothing_to_take(&self) -> bool {
        let inbox = self.inbox.borrow();
        inbox.ended && inbox.is_empty()
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Lets [`StreamState::wake`] wake the task.
    pub(super) fn note_task(&self, turn: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(turn.waker())) {
            *waker = Some(turn.waker().clone());
        }
    }
}

impl Inbox {
    /// Keeps content: behind the last piece, if it fits there, so that many short frames take no more
    /// memory than one long one.
    pub(super) fn push(&mut self, content: &[u8], buffers: &Buffers) {
        self.received += content.len() as u64;
        if let Some(last) = self.pieces.back_mut()
            && content.len() + TAILROOM_BYTES <= last.spare()
        {
            last.tail().extend_from_slice(content);
            return;
        }
        // Whoever sends again and again faster than is read sends much.
        let is_much = self.pieces.len() >= 2;
        let mut piece = if is_much { buffers.large() } else { buffers.for_body(content.len()) };
        piece.tail().extend_from_slice(content);
        self.pieces.push_back(piece);
    }

    pub(super) fn take(&mut self) -> Option<Buffer> {
        self.pieces.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Throws the content away and tells how much it was.
    pub(super) fn empty(&mut self) -> u32 {
        let bytes: usize = self.pieces.drain(..).map(|piece| piece.len()).sum();
        // Windows are no larger.
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

/// A request that is to be served, on a stream.
pub(crate) struct Job {
    pub(super) shared: Rc<Shared>,
    pub(super) state: Rc<StreamState>,
    /// What it is served from.
    pub(super) held: Held,
    pub(super) exchange: Exchange,
    pub(super) traits: Traits,
}

/// What of a request decides how it is read and answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) is_head: bool,
    /// Content belongs to a tunnel that may follow (RFC 8441).
    pub(super) wants_tunnel: bool,
    pub(super) head_bytes: u32,
}

/// Carries one job out.
pub(crate) async fn serve(job: Job) {
    let Job { shared, state, held, mut exchange, traits } = job;
    let ending = Ending { shared: &shared, state: &state };
    if let Some(terms) = held.listener(shared.connection.listener()) {
        let origin = shared.origin(terms);
        let mut stream = H2Stream {
            body: Body::new(&shared, &state, terms, (traits.wants_tunnel, exchange.body_limit())),
            reply: Reply::new(&shared, &state, terms, traits),
            presence: ClientPresence { shared: &shared, state: &state },
            head_bytes: traits.head_bytes,
        };
        if state.loss().is_some() {
            // Cancelled right behind its head, before this task had its first turn: nothing is begun for it.
            exchange::abandon(&mut exchange, &mut stream, &origin, &shared.worker);
        } else {
            exchange::serve(&mut exchange, &mut stream, &origin, &shared.worker).await;
        }
    }
    drop(ending);
}

/// Ends the stream, also when its task panics.
struct Ending<'s> {
    shared: &'s Shared,
    state: &'s StreamState,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.shared.end_stream(self.state);
    }
}

/// One exchange on the connection.
struct H2Stream<'s> {
    body: Body<'s>,
    reply: Reply<'s>,
    presence: ClientPresence<'s>,
    head_bytes: u32,
}

impl<'s> Stream for H2Stream<'s> {
    type Body = Body<'s>;
    type Reply = Reply<'s>;
    type Presence = ClientPresence<'s>;

    fn parts(&mut self) -> (&mut Body<'s>, &mut Reply<'s>, &ClientPresence<'s>) {
        (&mut self.body, &mut self.reply, &self.presence)
    }

    fn head_bytes(&self) -> u64 {
        u64::from(self.head_bytes)
    }
}

struct ClientPresence<'s> {
    shared: &'s Shared,
    state: &'s StreamState,
}

impl Presence for ClientPresence<'_> {
    fn gone(&self) -> impl Future<Output = ()> {
        poll_fn(|turn| if self.has_left(turn) { Poll::Ready(()) } else { Poll::Pending })
    }

    fn has_left(&self, turn: &Context<'_>) -> bool {
        self.state.note_task(turn);
        self.state.loss().is_some()
    }

    fn cause(&self) -> Option<Reason> {
        match self.state.loss()? {
            Loss::Client => None,
            Loss::Fault(word) => Some(Reason::ClientFault(word)),
            Loss::Stalled => Some(Reason::ClientStalled),
            Loss::Connection => self.shared.end_reason.get(),
        }
    }

    fn round_trip_us(&self) -> Option<u32> {
        self.shared.connection.transport.round_trip_us()
    }
}
