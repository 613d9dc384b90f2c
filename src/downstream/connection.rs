//! The life of a client's connection, and its idle time in particular.
//!
//! An idle connection is this small task and nothing else: no buffer, no exchange. Serving runs in
//! a future from the worker's stock.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::downstream::h2;
use crate::downstream::handshake;
use crate::downstream::handshake::Coverage;
use crate::exchange;
use crate::exchange::message::Origin;
use crate::exchange::secured::Secured;
use crate::http::head::PartialHead;
use crate::net::buffer::Buffer;
use crate::net::buffer::TINY_BYTES;
use crate::net::clock::Moment;
use crate::net::socket::Pending;
use crate::net::task::Stock;
use crate::net::timer::Deadline;
use crate::net::timer::TICKS_PER_SECOND;
use crate::net::timer::Tag;
use crate::proto::h2::frame::PREFACE;
use crate::proto::proxy_protocol;
use crate::proto::proxy_protocol::Parse;
use crate::snapshot::Listener;
use crate::telemetry::reason::Reason;
use crate::tls::transport::Transport;
use crate::worker::CountedConnection;
use crate::worker::Worker;

/// How long a client that was told that the connection ends may be silent before it closes its side.
const LINGER_SILENCE: Duration = Duration::from_secs(2);
/// How long all of that may take. Closing with bytes unread resets the connection, which may destroy the answer on its
/// way (RFC 9112 §9.6), and many clients send all of an upload before they look for an answer.
const LINGER_TICKS: u64 = 30 * TICKS_PER_SECOND;
/// Bytes of an upload that are thrown away meanwhile; nobody sends more within the time but to be a burden.
const MAX_UPLOAD_DISCARD_BYTES: usize = 1024 * 1024 * 1024;
/// Bytes that are thrown away where no upload is to be expected, so that a flood ends soon.
pub(super) const MAX_DISCARD_BYTES: usize = 1024 * 1024;
/// Thrown away in one turn of the worker's loop, at the cost of a few requests.
const LINGER_TURN_BYTES: usize = 1024 * 1024;

/// A request within so many ticks of the last response came at once.
const HOT_TICKS: u64 = 1;

pub(super) struct Connection {
    pub(super) transport: Transport,
    /// What the handshake told; None in the clear.
    pub(super) secured: Option<Box<Secured>>,
    /// The handshake agreed on HTTP/2.
    pub(super) speaks_http2: bool,
    /// With HTTP/2 over TLS, for whom the connection was opened.
    pub(super) coverage: Option<Box<Coverage>>,
    /// Bounds every wait for the client.
    pub(super) deadline: Deadline,
    /// The TCP peer, or who its PROXY header says it speaks for.
    pub(super) peer: SocketAddr,
    /// The port that the client connected to.
    pub(super) port: u16,
    /// Requests served or begun.
    pub(super) requests: Cell<u32>,
    /// Something is being sent, and the deadline bounds that.
    pub(super) is_sending: Cell<bool>,
    /// How the next request is received that follows at once, as the last one did.
    eagerness: Cell<Eagerness>,
    /// When the head began to come that is not there in full.
    pub(super) head_began: Cell<Option<Moment>>,
    counted: CountedConnection,
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
pub(super) enum Fate {
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
            secured: None,
            speaks_http2: false,
            coverage: None,
            deadline,
            peer,
            port,
            requests: Cell::new(0),
            eagerness: Cell::new(Eagerness::None),
            is_sending: Cell::new(false),
            head_began: Cell::new(None),
            counted,
        })
    }

    /// The listener's slot.
    pub(super) fn listener(&self) -> usize {
        self.counted.listener()
    }

    /// A term of its listener, as the configuration in service has it.
    pub(super) fn term<T>(&self, worker: &Worker, term: impl FnOnce(&Listener) -> T) -> Option<T> {
        worker.snapshot().listener(self.counted.listener()).map(term)
    }
}

/// Runs a connection to its end. `serve` serves what has come and says how to go on; `starter` starts streams
/// of HTTP/2.
#[expect(clippy::manual_async_fn, reason = "an `async fn` stores its parameters twice")]
pub(super) fn run<F>(
    mut connection: Box<Connection>,
    worker: Rc<Worker>,
    (stock, starter): (Rc<Stock<F>>, h2::Starter),
    serve: impl Fn(Box<Connection>, Rc<Worker>, Option<Buffer>) -> F,
) -> impl Future<Output = ()>
where
    F: Future<Output = (Box<Connection>, Fate)>,
{
    async move {
        // Boxed, because it is over when the first request comes.
        let Some((ready, mut input)) = Box::pin(prepare(connection, &worker)).await else { return };
        connection = ready;
        if connection.speaks_http2 {
            return Box::pin(h2::run(connection, worker, input, starter)).await;
        }
        drop(starter);
        let mut partial: Option<Box<[u8]>> = None;
        let mut alive = true;
        while alive {
            if input.as_ref().is_none_or(Buffer::is_empty) {
                match wait(&connection, partial.is_some(), &worker).await {
                    Waited::Bytes(bytes) => input = Some(bytes),
                    Waited::Readable => input = None,
                    Waited::End => {
                        connection.transport.close();
                        break;
                    }
                }
            }
            if let Some(bytes) = partial.take() {
                input = Some(refill(&bytes, &worker));
            }
            let (returned, fate) = stock.run(|| serve(connection, Rc::clone(&worker), input.take())).await;
            connection = returned;
            match fate {
                Fate::Idle => {}
                Fate::Partial(bytes) => partial = Some(bytes),
                Fate::Close => {
                    connection.transport.close();
                    alive = false;
                }
                Fate::Abort => alive = false,
                Fate::Linger => {
                    Box::pin(linger(&connection, MAX_UPLOAD_DISCARD_BYTES, &worker)).await;
                    alive = false;
                }
            }
        }
    }
}

/// What comes before any request: a PROXY header, a TLS handshake, and in the clear the choice of a version. Returns
/// what was received behind it; None when the connection ended instead.
async fn prepare(
    mut connection: Box<Connection>,
    worker: &Worker,
) -> Option<(Box<Connection>, Option<Buffer>)> {
    let mut input = None;
    if connection.term(worker, |terms| terms.proxy_protocol)? {
        input = Some(read_proxy_header(&mut connection, worker).await?);
    }
    if connection.term(worker, |terms| terms.tls.is_some())? {
        return Some((handshake::secure(connection, input, worker).await?, None));
    }
    if connection.term(worker, |terms| terms.http2)? {
        let (bytes, is_preface) = read_preface(&connection, input, worker).await?;
        input = Some(bytes);
        connection.speaks_http2 = is_preface;
    }
    Some((connection, input))
}

/// How a wait for the client ended.
enum Waited {
    /// There is something to receive, or the time for a head is over.
    Readable,
    /// This was received.
    Bytes(Buffer),
    /// The connection should end. A client that sent nothing, or nothing more after a response, is
    /// let go in silence.
    End,
}

async fn wait(connection: &Connection, within_head: bool, worker: &Worker) -> Waited {
    let Connection { transport, deadline, .. } = connection;
    if within_head {
        // The deadline of the head stands. When it passes, serving finds that out and answers.
        deadline.yield_to_end();
        let readable = deadline.guard(pin!(transport.readable())).await;
        return if matches!(readable, Ok(Err(_))) { Waited::End } else { Waited::Readable };
    }
    let is_first = connection.requests.get() == 0;
    let timeout = connection
        .term(worker, |terms| if is_first { terms.client_header_timeout } else { terms.idle_timeout });
    let Some(timeout) = timeout.filter(|timeout| is_first || !timeout.is_zero()) else {
        return Waited::End;
    };
    let since = worker.timers.ticks();
    deadline.set_yielding(timeout);
    deadline.mark_idle(since);
    let waited = match connection.eagerness.get() {
        Eagerness::None => wait_idle(connection).await,
        Eagerness::Tiny => wait_hot(connection, worker.buffers.tiny(), worker).await,
        Eagerness::Small => match worker.count_waiting_buffer() {
            Some(_counted) => wait_hot(connection, worker.buffers.small(), worker).await,
            None => wait_idle(connection).await,
        },
    };
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
            if let Some(timeout) = connection.term(worker, |terms| terms.client_header_timeout) {
                deadline.set(timeout);
            }
            Waited::Bytes(bytes)
        }
        _ => Waited::End,
    }
}

fn refill(bytes: &[u8], worker: &Worker) -> Buffer {
    let mut buffer = worker.buffers.small();
    buffer.tail().extend_from_slice(bytes);
    buffer
}

/// Reads the PROXY header that a load balancer in front of us sends first; what follows it is
/// returned. Nothing is answered to a peer that does not speak the protocol.
async fn read_proxy_header(connection: &mut Connection, worker: &Worker) -> Option<Buffer> {
    let timeout = connection.term(worker, |terms| terms.client_header_timeout)?;
    connection.deadline.set_yielding(timeout);
    let began = worker.clock.now();
    let mut input = worker.buffers.small();
    let failure = loop {
        match proxy_protocol::parse(input.filled()) {
            Ok(Parse::Complete(header)) => {
                if let Some(source) = header.source {
                    // As with accepted connections: an IPv4 client has an IPv4 address.
                    connection.peer = SocketAddr::new(source.ip().to_canonical(), source.port());
                }
                input.consume(header.length);
                return Some(input);
            }
            Ok(Parse::Incomplete) => {}
            Err(error) => break error.reason(),
        }
        if input.spare() == 0 {
            // The longest header that the codec takes is a little longer than a buffer.
            input.make_room(input.len());
        }
        let has_begun = !input.is_empty();
        let received = connection.deadline.guard(pin!(connection.transport.receive(input))).await;
        input = match received {
            Ok((Ok(1..), buffer)) => buffer,
            // A client that connects and says nothing is no failure: load balancers check like that.
            _ if !has_begun => return None,
            Ok(_) => break "proxy_client_closed",
            Err(_elapsed) => break "proxy_timeout",
        };
    };
    record_unserved(connection, Reason::ClientProxy(failure), began, worker);
    None
}

/// Writes the line of a connection that ends before any request.
fn record_unserved(connection: &Connection, reason: Reason, began: Moment, worker: &Worker) {
    let snapshot = worker.snapshot();
    if let Some(listener) = snapshot.listener(connection.listener()) {
        let origin = Origin { listener, peer: connection.peer, port: connection.port, secured: None };
        exchange::record_unserved(reason, &PartialHead::default(), began, &origin, worker);
    }
}

/// Receives the first bytes in the clear, until it is plain whether they are the preface of HTTP/2 (RFC 9113
/// §3.4).
async fn read_preface(
    connection: &Connection,
    input: Option<Buffer>,
    worker: &Worker,
) -> Option<(Buffer, bool)> {
    let mut input = match input.filter(|input| !input.is_empty()) {
        Some(input) => input,
        None => match wait(connection, false, worker).await {
            Waited::Bytes(bytes) => bytes,
            Waited::Readable => worker.buffers.small(),
            Waited::End => return None,
        },
    };
    connection.deadline.set(connection.term(worker, |terms| terms.client_header_timeout)?);
    loop {
        let seen = input.filled().get(..PREFACE.len()).unwrap_or(input.filled());
        if !PREFACE.starts_with(seen) || seen.len() == PREFACE.len() {
            let is_preface = seen == PREFACE;
            return Some((input, is_preface));
        }
        let readable = connection.deadline.guard(pin!(connection.transport.readable())).await;
        if readable.is_err() {
            // HTTP/1.1 knows how to answer.
            return Some((input, false));
        }
        let (result, buffer) = connection.transport.receive(input).await;
        input = result.is_ok_and(|count| count > 0).then_some(buffer)?;
    }
}

/// Ends our side and throws away what the client still sends, at most so many bytes, until it ends its own.
pub(super) async fn linger(connection: &Connection, max_discard_bytes: usize, worker: &Worker) {
    connection.transport.finish_sending();
    let socket = connection.transport.socket();
    let end = worker.timers.ticks() + LINGER_TICKS;
    let mut bytes_left = max_discard_bytes;
    while worker.timers.ticks() < end && bytes_left > 0 {
        connection.deadline.set_yielding(LINGER_SILENCE);
        let readable = connection.deadline.guard(pin!(socket.readable())).await;
        let Ok(Ok(())) = readable else { return };
        match socket.discard(bytes_left.min(LINGER_TURN_BYTES)) {
            Ok(Some(count @ 1..)) => bytes_left -= count,
            Ok(None) => {}
            Ok(Some(0)) | Err(_) => return,
        }
    }
}
