//! The life of a client's connection, and its idle time in particular.
//!
//! An idle connection is this small task and nothing else: no buffer, no exchange. Serving runs in
//! a future from the worker's cache.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use crate::downstream::client_side::ClientSide;
use crate::exchange::message::Origin;
use crate::net::buffer::Buffer;
use crate::net::buffer::TINY_BYTES;
use crate::net::clock::Moment;
use crate::net::socket::Pending;
use crate::net::timer::Deadline;
use crate::net::timer::TICKS_PER_SECOND;
use crate::net::timer::Tag;
use crate::relay::ClientConnection;
use crate::relay::RelayedClient;
use crate::snapshot::HttpListener;
use crate::snapshot::Listener;
use crate::tls::client_hello::HelloNames;
use crate::tls::transport::Transport;
use crate::worker::Worker;
use crate::worker::counted::CountedConnection;

/// How long a client that was told that the connection ends may be silent before it closes its side.
const LINGER_SILENCE: Duration = Duration::from_secs(2);
/// How long all of that may take. Closing with bytes unread resets the connection, which may destroy the answer on its
/// way (RFC 9112 §9.6), and many clients send all of an upload before they look for an answer.
const LINGER_TICKS: u64 = 30 * TICKS_PER_SECOND;
/// Bytes of an upload that are thrown away meanwhile; an honest client sends no more within the time.
pub(super) const MAX_UPLOAD_DISCARD_BYTES: usize = 1024 * 1024 * 1024;
/// Bytes that are thrown away where no upload is to be expected, so that a flood ends soon.
pub(super) const MAX_DISCARD_BYTES: usize = 1024 * 1024;
/// Thrown away in one turn of the worker's loop, at the cost of a few requests.
const LINGER_TURN_BYTES: usize = 1024 * 1024;

/// A tick that does not come.
const NEVER: u32 = u32::MAX;

/// A request within so many ticks of the last response came at once.
const HOT_TICKS: u64 = 1;

pub(super) struct Connection {
    pub(super) transport: Transport,
    pub(super) client: ClientSide,
    /// By which names the client of a connection that is to be relayed came over TLS.
    pub(super) names: Option<Box<HelloNames>>,
    /// The handshake agreed on HTTP/2.
    pub(super) speaks_http2: bool,
    /// Bounds every wait for the client.
    pub(super) deadline: Deadline,
    /// Requests served or begun.
    pub(super) requests: Cell<u32>,
    /// Something is being sent, and the deadline bounds that.
    pub(super) is_sending: Cell<bool>,
    /// The round-trip time to the client in microseconds, and in which tick that was asked for.
    round_trip: Cell<(u32, u32)>,
    /// How the next request is received that follows at once, as the last one did.
    eagerness: Cell<Eagerness>,
    /// When the head began to come that is not there in full.
    pub(super) head_began: Cell<Option<Moment>>,
}

/// With how large a buffer a connection waits for its next request. One that follows its predecessor at once is received
/// right away, instead of being waited for without a buffer: measured, that spares an operation of the kernel and 2 per
/// cent of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eagerness {
    /// With none: the next request takes its time.
    None,
    /// For requests of programs.
    Tiny,
    /// For those that bring cookies, or content.
    Small,
}

impl Eagerness {
    /// What is to be expected after a request that came at once.
    fn after(waited: &Waited) -> Eagerness {
        match waited {
            Waited::Bytes(bytes) if bytes.len() >= TINY_BYTES / 2 => Eagerness::Small,
            Waited::Bytes(_) | Waited::Readable => Eagerness::Tiny,
            Waited::End => Eagerness::None,
        }
    }
}

/// What becomes of a connection after its requests at hand were served.
pub(super) enum NextStep {
    /// It waits for the next request.
    Idle,
    /// It waits for the rest of a head, of which these bytes came.
    Partial(Box<[u8]>),
    /// It ends, and the client expects that.
    Close,
    /// It ends within a response: nothing may make that look orderly.
    Abort,
    /// It ends while the client may still be sending.
    Linger,
}

impl Connection {
    pub(super) fn new(
        transport: Transport,
        peer: SocketAddr,
        port: u16,
        counted: CountedConnection,
    ) -> Box<Connection> {
        let deadline = counted.worker().timers.deadline();
        deadline.set_tag(Tag::Listener(counted.listener() as u32));
        // It is handed on and back at every request, and a future holds what it hands on twice.
        Box::new(Connection {
            transport,
            client: ClientSide::new(peer, port, counted),
            names: None,
            speaks_http2: false,
            deadline,
            requests: Cell::new(0),
            round_trip: Cell::new((0, NEVER)),
            eagerness: Cell::new(Eagerness::None),
            is_sending: Cell::new(false),
            head_began: Cell::new(None),
        })
    }

    /// The listener's slot.
    pub(super) fn listener(&self) -> usize {
        self.client.listener()
    }

    /// The smoothed round-trip time that TCP measured, in microseconds; None on unix sockets. It costs a system call, so it is
    /// asked for once in a tick at most.
    pub(super) fn round_trip_us(&self) -> Option<u32> {
        // It comes round once in years.
        let now = self.client.counted.worker().timers.ticks() as u32;
        let (known_us, asked_at) = self.round_trip.get();
        if asked_at == now {
            return Some(known_us);
        }
        let round_trip_us = self.transport.round_trip_us()?;
        self.round_trip.set((round_trip_us, now));
        Some(round_trip_us)
    }

    /// What is relayed, with what was received already.
    pub(super) fn into_client(self, input: Option<Buffer>) -> Box<ClientConnection> {
        let is_told =
            self.term(self.client.counted.worker(), |terms| terms.writes_proxy_headers) == Some(true);
        let addresses = is_told.then(|| self.client.addresses(|| self.own_address()));
        let Connection { transport, client, names, .. } = self;
        let ClientSide { peer, port, tls, received, share, counted, .. } = client;
        let proxied_tls = tls.as_ref().filter(|_| is_told).map(|tls| tls.take_proxied());
        let tls_log_fields = tls.map(|tls| tls.into_log_fields()).unwrap_or_default();
        let tlvs = received.map(|header| header.tlvs).unwrap_or_default();
        let told = addresses.map(|it| ClientConnection::told(it.client, it.destination, proxied_tls, tlvs));
        let who = RelayedClient { peer, port, tls_log_fields, counted, share };
        Box::new(ClientConnection { transport, input, who, told, names })
    }

    /// Where requests on it come from.
    ///
    /// None where the listener serves no HTTP.
    pub(super) fn origin<'o>(&'o self, listener: &'o Listener) -> Option<Origin<'o>> {
        self.client.origin(listener, || self.own_address())
    }

    fn own_address(&self) -> Option<SocketAddr> {
        self.transport.socket().local_address()
    }

    /// See [`ClientSide::http_term`].
    pub(super) fn http_term<T>(&self, worker: &Worker, term: impl FnOnce(&HttpListener) -> T) -> Option<T> {
        self.client.http_term(worker, term)
    }

    /// See [`ClientSide::term`].
    pub(super) fn term<T>(&self, worker: &Worker, term: impl FnOnce(&Listener) -> T) -> Option<T> {
        self.client.term(worker, term)
    }
}

/// How a wait for the client ended.
pub(super) enum Waited {
    /// There is something to receive, or the time for a head is over.
    Readable,
    /// This was received.
    Bytes(Buffer),
    /// The connection should end. A client that sent nothing, or nothing more after a response, is
    /// let go in silence.
    End,
}

pub(super) async fn wait(connection: &Connection, within_head: bool, worker: &Worker) -> Waited {
    let Connection { transport, deadline, .. } = connection;
    if within_head {
        // The deadline of the head stands. When it passes, serving finds that out and answers.
        deadline.make_drainable();
        let readable = deadline.guard(pin!(transport.readable())).await;
        return if matches!(readable, Ok(Err(_))) { Waited::End } else { Waited::Readable };
    }
    let is_first = connection.requests.get() == 0;
    let timeout = connection
        .http_term(worker, |terms| if is_first { terms.client_header_timeout } else { terms.idle_timeout });
    let Some(timeout) = timeout.filter(|timeout| is_first || !timeout.is_zero()) else {
        return Waited::End;
    };
    let since = worker.timers.ticks();
    deadline.set_drainable(timeout);
    deadline.mark_idle(since);
    let waited = match connection.eagerness.get() {
        Eagerness::None => wait_idle(connection).await,
        Eagerness::Tiny => wait_hot(connection, worker.buffers.tiny(), worker).await,
        Eagerness::Small => match worker.count_waiting_buffer() {
            Some(_counted) => wait_hot(connection, worker.buffers.small(), worker).await,
            None => wait_idle(connection).await,
        },
    };
    if !matches!(waited, Waited::End) {
        deadline.forget_eviction();
    }
    let came_at_once = worker.timers.ticks() - since <= HOT_TICKS;
    let is_steady = !is_first && came_at_once;
    connection.eagerness.set(if is_steady { Eagerness::after(&waited) } else { Eagerness::None });
    waited
}

/// Waits for anything to receive, holding no buffer.
async fn wait_idle(connection: &Connection) -> Waited {
    let Connection { transport, deadline, .. } = connection;
    loop {
        match deadline.guard(pin!(transport.readable())).await {
            // What came may be a part of a record, or something between the two TLS stacks.
            Ok(Ok(())) if transport.is_tls() && transport.pending() == Pending::Nothing => {}
            Ok(Ok(())) => return Waited::Readable,
            _ => return Waited::End,
        }
    }
}

/// Waits for a request that is likely to come at once, with a buffer at hand.
async fn wait_hot(connection: &Connection, buffer: Buffer, worker: &Worker) -> Waited {
    let Connection { transport, deadline, .. } = connection;
    match deadline.guard(pin!(transport.receive(buffer))).await {
        Ok((Ok(1..), bytes)) => {
            if let Some(timeout) = connection.http_term(worker, |terms| terms.client_header_timeout) {
                deadline.set(timeout);
            }
            Waited::Bytes(bytes)
        }
        _ => Waited::End,
    }
}

/// Ends our side and throws away what the client still sends, at most so many bytes, until it ends its own.
pub(super) async fn linger(connection: &Connection, max_discard_bytes: usize, worker: &Worker) {
    connection.transport.finish_sending();
    let socket = connection.transport.socket();
    let end = worker.timers.ticks() + LINGER_TICKS;
    let mut bytes_left = max_discard_bytes;
    while worker.timers.ticks() < end && bytes_left > 0 {
        connection.deadline.set_drainable(LINGER_SILENCE);
        let readable = connection.deadline.guard(pin!(socket.readable())).await;
        let Ok(Ok(())) = readable else { return };
        match socket.discard(bytes_left.min(LINGER_TURN_BYTES)) {
            Ok(Some(count @ 1..)) => bytes_left -= count,
            Ok(None) => {}
            Ok(Some(0)) | Err(_) => return,
        }
    }
}
