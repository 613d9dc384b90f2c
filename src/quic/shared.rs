//! What the endpoint and the tasks of a connection have in common: its state, and who waits for what.

use std::cell::Cell;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::Connection;
use quinn_proto::ConnectionHandle;
use quinn_proto::Dir;
use quinn_proto::Event;
use quinn_proto::StreamEvent;
use quinn_proto::StreamId;
use quinn_proto::VarInt;
use quinn_proto::crypto::rustls::HandshakeData;

use crate::net::wake::WakerSlot;
use crate::quic::amplification::UnprovenPeer;
use crate::quic::end::QuicEnd;
use crate::quic::settings::StreamLimit;
use crate::tls::accept::Facts;
use crate::tls::accept::HandshakeError;
use crate::tls::quic::QuicFacts;
use crate::tls::quic::QuicTls;

/// A connection, as the endpoint and its tasks have hold of it.
pub(super) struct QuicShared {
    pub(super) handle: ConnectionHandle,
    pub(super) state: RefCell<QuicState>,
    /// It stands in the list of what is to be looked at.
    is_listed: Cell<bool>,
    work: Rc<WorkList>,
}

/// Connections on which something has happened that the endpoint is to look at.
#[derive(Default)]
pub(super) struct WorkList {
    touched: RefCell<Vec<Rc<QuicShared>>>,
    /// Who looks at them.
    pub(super) driver: WakerSlot,
    /// Who begins handshakes.
    pub(super) acceptor: WakerSlot,
}

/// See the module.
pub(super) struct QuicState {
    pub(super) connection: Connection,
    /// None: we are the client.
    tls: Option<Arc<QuicTls>>,
    /// What is known of the handshake before it is done.
    noted: Option<QuicFacts>,
    /// What is known of it then, until somebody takes it.
    pub(super) facts: Option<Box<Facts>>,
    pub(super) is_established: bool,
    pub(super) end: Option<QuicEnd>,
    /// The code that it is closed with where its certificate is not good enough.
    pub(super) abandoned: VarInt,
    pub(super) abandoned_stream: VarInt,
    pub(super) stream_limit: StreamLimit,
    /// Streams for both directions that the peer has opened, and somebody here still sends on.
    pub(super) served_streams: u32,
    pub(super) handshake: WakerSlot,
    accept: [WakerSlot; 2],
    open: [WakerSlot; 2],
    pub(super) closed: WakerSlot,
    /// Those that wait for something on a stream: at most two for each.
    streams: HashMap<StreamId, StreamWaits>,
    /// Those that were finished and that the peer does not have whole: at most as many as there may be at a time.
    pub(super) finishing: Vec<StreamId>,
    pub(super) delivered: WakerSlot,
    /// When the endpoint will look at its timers.
    pub(super) queued: Option<Instant>,
    /// It counts as one whose handshake is not done.
    pub(super) is_half_open: bool,
    /// None: somebody receives at the address of the peer.
    pub(super) unproven: Option<UnprovenPeer>,
}

#[derive(Default)]
struct StreamWaits {
    read: Option<Waker>,
    write: Option<Waker>,
}

/// Which way a task waits on a stream for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamHalf {
    Read,
    Write,
}

impl WorkList {
    /// Those that were touched since this was last called, into `taken`, which is empty.
    pub(super) fn take(&self, taken: &mut Vec<Rc<QuicShared>>) {
        std::mem::swap(&mut *self.touched.borrow_mut(), taken);
        taken.iter().for_each(|connection| connection.is_listed.set(false));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.touched.borrow().is_empty()
    }
}

impl QuicShared {
    pub(super) fn new(handle: ConnectionHandle, state: QuicState, work: &Rc<WorkList>) -> Rc<QuicShared> {
        let (state, work) = (RefCell::new(state), Rc::clone(work));
        Rc::new(QuicShared { handle, state, is_listed: Cell::new(false), work })
    }

    /// Has the endpoint look at it: there may be something to send.
    pub(super) fn touch(self: &Rc<Self>) {
        if !self.is_listed.replace(true) {
            self.work.touched.borrow_mut().push(Rc::clone(self));
            self.work.driver.wake_by_ref();
        }
    }

    /// Closes it with a code of the application.
    pub(super) fn close(self: &Rc<Self>, code: VarInt, reason: &'static [u8], now: Instant) {
        self.state.borrow_mut().close(code, reason, now);
        self.touch();
    }
}

impl QuicState {
    /// `noted` is what the first step of the handshake has told.
    pub(super) fn new(connection: Connection, tls: Option<Arc<QuicTls>>, noted: QuicFacts) -> QuicState {
        QuicState {
            connection,
            tls,
            noted: Some(noted),
            facts: None,
            is_established: false,
            end: None,
            abandoned: VarInt::from_u32(0),
            abandoned_stream: VarInt::from_u32(0),
            stream_limit: StreamLimit::default(),
            served_streams: 0,
            handshake: WakerSlot::default(),
            accept: Default::default(),
            open: Default::default(),
            closed: WakerSlot::default(),
            streams: HashMap::new(),
            finishing: Vec::new(),
            delivered: WakerSlot::default(),
            queued: None,
            is_half_open: true,
            unproven: None,
        }
    }

    /// Lets a peer that opens many streams open more, and one that has nearly all of them open have each next one at once:
    /// quinn-proto waits until more than an eighth of them can be opened again, which never happens while the others last.
    pub(super) fn offer_streams(&mut self) {
        let StreamLimit { allowed, most } = self.stream_limit;
        if allowed < most && self.served_streams >= allowed / 4 {
            self.stream_limit.allowed = most;
            self.connection.set_max_concurrent_streams(Dir::Bi, VarInt::from_u32(most));
        } else if self.served_streams > 0 && self.served_streams >= allowed - allowed / 8 {
            // An eighth of one is none.
            self.connection.set_max_concurrent_streams(Dir::Bi, VarInt::from_u32(1));
            self.connection.set_max_concurrent_streams(Dir::Bi, VarInt::from_u32(allowed));
        }
    }

    /// Takes what a step of the handshake has left behind.
    pub(super) fn note(&mut self) {
        if let Some(noted) = &mut self.noted {
            noted.take_notes();
        }
    }

    /// Tells those who wait of what has happened.
    pub(super) fn absorb_events(&mut self, now: Instant) {
        let mut writable = Vec::new();
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => self.establish(now),
                Event::ConnectionLost { reason } => {
                    let noted = self.noted.take().unwrap_or_default();
                    self.over(QuicEnd::of(&reason, |alert| noted.failure(alert)));
                }
                Event::Stream(event) => self.absorb_stream_event(&event, &mut writable),
                Event::HandshakeDataReady | Event::DatagramReceived | Event::DatagramsUnblocked => {}
            }
        }
        // Who writes first takes what the peer has room for, so it is those with the highest priority.
        writable.sort_by_key(|id| Reverse(self.connection.send_stream(*id).priority().unwrap_or(0)));
        for id in writable {
            self.wake_stream(id, StreamHalf::Write);
        }
    }

    fn absorb_stream_event(&mut self, event: &StreamEvent, writable: &mut Vec<StreamId>) {
        match event {
            StreamEvent::Opened { dir } => self.accept[*dir as usize].wake(),
            StreamEvent::Available { dir } => self.open[*dir as usize].wake(),
            StreamEvent::Readable { id } => self.wake_stream(*id, StreamHalf::Read),
            StreamEvent::Writable { id } => writable.push(*id),
            StreamEvent::Finished { id } | StreamEvent::Stopped { id, .. } => {
                self.finishing.retain(|finishing| finishing != id);
                if self.finishing.is_empty() {
                    self.delivered.wake();
                }
                self.wake_stream(*id, StreamHalf::Write)
            }
        }
    }

    /// The handshake is done.
    fn establish(&mut self, now: Instant) {
        let noted = self.noted.take().unwrap_or_default();
        let session = self.connection.crypto_session();
        let data = session.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
        let alpn = data.and_then(|data| data.protocol);
        let concluded = match &self.tls {
            Some(tls) => tls.conclude(noted, session.peer_identity(), alpn),
            None => Ok(Box::default()),
        };
        match concluded {
            Ok(facts) => {
                self.facts = Some(facts);
                self.is_established = true;
                self.handshake.wake();
            }
            Err(error) => {
                self.close(self.abandoned, b"certificate", now);
                self.end = Some(QuicEnd::Handshake(error));
            }
        }
    }

    pub(super) fn close(&mut self, code: VarInt, reason: &'static [u8], now: Instant) {
        self.connection.close(now, code, Bytes::from_static(reason));
        self.over(QuicEnd::Closed);
    }

    /// Nobody has to wait for anything any more. The first reason is the one.
    fn over(&mut self, end: QuicEnd) {
        self.end.get_or_insert(end);
        let slots = self.accept.iter().chain(&self.open).chain([&self.handshake, &self.closed]);
        slots.for_each(WakerSlot::wake);
        for (_, waits) in self.streams.drain() {
            waits.read.into_iter().chain(waits.write).for_each(Waker::wake);
        }
    }

    /// What a failed handshake is told as before there is a connection.
    pub(super) fn failure_of_first_step(
        noted: &QuicFacts,
        error: &quinn_proto::ConnectionError,
    ) -> HandshakeError {
        match QuicEnd::of(error, |alert| noted.failure(alert)) {
            QuicEnd::Handshake(error) => error,
            _ => HandshakeError::Malformed,
        }
    }

    pub(super) fn wait_accept(&self, dir: Dir, cx: &Context<'_>) {
        self.accept[dir as usize].register(cx);
    }

    pub(super) fn wait_open(&self, dir: Dir, cx: &Context<'_>) {
        self.open[dir as usize].register(cx);
    }

    pub(super) fn wait_stream(&mut self, id: StreamId, half: StreamHalf, cx: &Context<'_>) {
        let waits = self.streams.entry(id).or_default();
        let place = match half {
            StreamHalf::Read => &mut waits.read,
            StreamHalf::Write => &mut waits.write,
        };
        match place {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *place = Some(cx.waker().clone()),
        }
    }

    fn wake_stream(&mut self, id: StreamId, half: StreamHalf) {
        if let Some(waker) = self.take_wait(id, half) {
            waker.wake();
        }
    }

    /// Forgets who waits there.
    pub(super) fn forget_wait(&mut self, id: StreamId, half: StreamHalf) {
        drop(self.take_wait(id, half));
    }

    fn take_wait(&mut self, id: StreamId, half: StreamHalf) -> Option<Waker> {
        let waits = self.streams.get_mut(&id)?;
        let waker = match half {
            StreamHalf::Read => waits.read.take(),
            StreamHalf::Write => waits.write.take(),
        };
        if waits.read.is_none() && waits.write.is_none() {
            self.streams.remove(&id);
        }
        waker
    }
}
