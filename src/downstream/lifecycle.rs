//! The life of a client's connection, from its first bytes to its end.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::rc::Weak;
use std::time::Duration;

use crate::downstream::admission;
use crate::downstream::connection::Connection;
use crate::downstream::connection::MAX_DISCARD_BYTES;
use crate::downstream::connection::MAX_UPLOAD_DISCARD_BYTES;
use crate::downstream::connection::NextStep;
use crate::downstream::connection::Waited;
use crate::downstream::connection::linger;
use crate::downstream::connection::wait;
use crate::downstream::h1;
use crate::downstream::h2;
use crate::downstream::handshake;
use crate::downstream::handshake::Handshake;
use crate::downstream::unserved;
use crate::exchange::proxied::ReceivedHeader;
use crate::net::buffer::Buffer;
use crate::net::clock::Moment;
use crate::net::task;
use crate::net::task::FutureCache;
use crate::proto::h2::frame::PREFACE;
use crate::proto::proxy_protocol::parse;
use crate::proto::proxy_protocol::parse::HeaderParse;
use crate::relay;
use crate::relay::RestingConnections;
use crate::snapshot::Listener;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

const TRIM_INTERVAL: Duration = Duration::from_secs(1);

/// Starts a task for each connection that is handed to what is returned. The futures of requests live in memory that
/// earlier ones left: an idle connection must be small, and a request that is served is not.
pub(super) fn server(worker: &Rc<Worker>) -> impl Fn(Box<Connection>) + use<> {
    let cache = Rc::new(FutureCache::default());
    task::spawn(trim(Rc::downgrade(&cache), Rc::clone(worker)));
    let (worker, spawner) = (Rc::clone(worker), spawner_of_streams(worker));
    let rests = Rc::new(RestingConnections::default());
    move |mut connection| {
        // No reload makes it serve requests: listeners of another family of protocols have slots of their own.
        if connection.term(&worker, |terms| terms.stream().is_some()) == Some(true) {
            return task::spawn(relay(connection, Rc::clone(&rests), Rc::clone(&worker)));
        }
        let (worker, cache, spawner) = (Rc::clone(&worker), Rc::clone(&cache), Rc::clone(&spawner));
        task::spawn(async move {
            // Boxed, because it is over when the first request comes.
            let Some((ready, mut input)) = Box::pin(prepare(connection, &worker)).await else { return };
            connection = ready;
            if connection.speaks_http2 {
                return Box::pin(h2::run(connection, worker, input, spawner)).await;
            }
            drop(spawner);
            let mut partial: Option<Box<[u8]>> = None;
            loop {
                if input.as_ref().is_none_or(Buffer::is_empty) {
                    match wait(&connection, partial.is_some(), &worker).await {
                        Waited::Bytes(bytes) => input = Some(bytes),
                        Waited::Readable => input = None,
                        Waited::End => return connection.transport.close(),
                    }
                }
                if let Some(bytes) = partial.take() {
                    input = Some(refill(&bytes, &worker));
                }
                let serving = cache.run(|| h1::serve(connection, Rc::clone(&worker), input.take()));
                let (returned, next) = serving.await;
                connection = returned;
                match next {
                    NextStep::Idle => {}
                    NextStep::Partial(bytes) => partial = Some(bytes),
                    NextStep::Close => return connection.transport.close(),
                    NextStep::Abort => return,
                    NextStep::Linger => {
                        return Box::pin(linger(&connection, MAX_UPLOAD_DISCARD_BYTES, &worker)).await;
                    }
                }
            }
        });
    }
}

/// The life of a connection that is relayed.
async fn relay(mut connection: Box<Connection>, rests: Rc<RestingConnections>, worker: Rc<Worker>) {
    let mut input = None;
    let needs_preparing = |terms: &Listener| terms.proxy_protocol || terms.tls.is_some();
    if connection.term(&worker, needs_preparing) != Some(false) {
        // Boxed, because it is over before anything is relayed.
        let Some(prepared) = Box::pin(prepare(connection, &worker)).await else { return };
        (connection, input) = prepared;
    }
    relay::serve(connection.into_client(input), rests, worker).await;
}

/// What starts the tasks of streams, in memory that earlier ones left.
fn spawner_of_streams(worker: &Rc<Worker>) -> h2::Spawner {
    let cache = Rc::new(FutureCache::default());
    task::spawn(trim(Rc::downgrade(&cache), Rc::clone(worker)));
    Rc::new(move |stream_task| task::spawn(cache.run(|| h2::serve(stream_task))))
}

/// Gives memory of a past peak back, for as long as the listener is there.
pub(super) async fn trim<F: Future>(cache: Weak<FutureCache<F>>, worker: Rc<Worker>) {
    while let Some(cache) = cache.upgrade() {
        cache.trim();
        drop(cache);
        worker.timers.sleep(TRIM_INTERVAL).await;
    }
}

/// What comes before any request: a PROXY header, a TLS handshake, and in cleartext the choice of a version. Returns
/// what was received behind it; None when the connection ended instead.
async fn prepare(
    mut connection: Box<Connection>,
    worker: &Worker,
) -> Option<(Box<Connection>, Option<Buffer>)> {
    let mut input = None;
    if connection.term(worker, |terms| terms.proxy_protocol)? {
        input = Some(read_proxy_header(&mut connection, worker).await?);
        let (peer, port) = (connection.client.peer, connection.client.port);
        connection.client.share =
            connection.term(worker, |terms| admission::admit(terms, peer, port, worker))??;
    }
    if connection.term(worker, |terms| terms.tls.is_some())? {
        return match handshake::secure(connection, input, worker).await? {
            Handshake::Secured(connection) => Some((connection, None)),
            Handshake::PlainHttp(connection, received) => {
                // Boxed, because it is rare and large.
                Box::pin(refuse_plain(&connection, received, worker)).await;
                None
            }
        };
    }
    if connection.http_term(worker, |terms| terms.http2) == Some(true) {
        let (bytes, is_preface) = read_preface(&connection, input, worker).await?;
        input = Some(bytes);
        connection.speaks_http2 = is_preface;
    }
    Some((connection, input))
}

/// Answers a client that speaks HTTP in cleartext where TLS is spoken.
async fn refuse_plain(connection: &Connection, received: Buffer, worker: &Worker) {
    let snapshot = worker.snapshot();
    if let Some(terms) = snapshot.listener(connection.listener()) {
        match terms.http() {
            Some(_) => h1::refuse_plain(connection, received, terms, worker).await,
            None => {
                let endpoints = (connection.client.peer, connection.client.port);
                unserved::record(
                    (Reason::ClientTls("not_tls"), worker.clock.now()),
                    terms,
                    endpoints,
                    worker,
                );
            }
        }
        linger(connection, MAX_DISCARD_BYTES, worker).await;
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
    let timeout = connection.term(worker, Listener::opening_timeout)?;
    let keeps_tlvs = connection.term(worker, |terms| terms.writes_proxy_headers)?;
    connection.deadline.set_drainable(timeout);
    let began = worker.clock.now();
    let mut input = worker.buffers.small();
    let failure = loop {
        match parse::parse(input.filled()) {
            Ok(HeaderParse::Complete(header)) => {
                if let Some(source) = header.source {
                    // As with accepted connections: an IPv4 client has an IPv4 address.
                    connection.client.peer = SocketAddr::new(source.ip().to_canonical(), source.port());
                    let tlvs = if keeps_tlvs { header.tlvs.into() } else { Box::default() };
                    connection.client.received =
                        Some(Box::new(ReceivedHeader { destination: header.destination, tlvs }));
                }
                let length = header.length;
                input.consume(length);
                return Some(input);
            }
            Ok(HeaderParse::Incomplete) => {}
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
        unserved::record((reason, began), listener, (connection.client.peer, connection.client.port), worker);
    }
}

/// Receives the first bytes in cleartext, until it is plain whether they are the preface of HTTP/2 (RFC 9113
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
    connection.deadline.set(connection.http_term(worker, |terms| terms.client_header_timeout)?);
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
