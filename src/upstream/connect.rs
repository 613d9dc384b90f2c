//! Opening a connection to a backend.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use crate::net::address::Address;
use crate::net::address::ConnectSource;
use crate::net::buffer::Buffers;
use crate::net::clock::instant_now;
use crate::net::connect::ConnectError;
use crate::net::connect::SocketUse;
use crate::net::connect::connect;
use crate::net::socket::Socket;
use crate::net::source::SourceProblem;
use crate::net::timer::Deadline;
use crate::net::timer::TICK;
use crate::net::timer::Tag;
use crate::net::timer::Timers;
use crate::net::work_budget::WorkBudget;
use crate::snapshot::backend::Backend;
use crate::telemetry::group_counters::GroupCounters;
use crate::telemetry::group_counters::UpstreamStep;
use crate::telemetry::operator::MessageKind;
use crate::telemetry::operator::log_repeatedly;
use crate::tls::connect::Secured;
use crate::tls::connect::TlsClient;
use crate::tls::transport::Transport;
use crate::upstream::connection::Connection;
use crate::upstream::error::UpstreamError;
use crate::upstream::pool_key::PoolKey;

/// What a connection is opened to, and with.
#[derive(Clone, Copy)]
pub struct ConnectTarget<'a> {
    pub backend: &'a Backend,
    /// Of the backend, with a port.
    pub address: &'a Address,
    pub source: ConnectSource,
    pub socket_use: SocketUse,
    /// Which requests may use the connection.
    pub pool_key: PoolKey,
    /// Bounds connecting and the TLS handshake together.
    pub timeout: Duration,
    /// Where the index of the worker stands that measures; None: nobody does.
    pub counters: Option<(&'a GroupCounters, usize)>,
    /// Bytes that stand before everything else on the connection, TLS as well; few enough for the kernel to take them at
    /// once from a socket that has sent nothing.
    pub preface: &'a [u8],
    /// None: HTTP in cleartext.
    pub tls: Option<TlsTarget<'a>>,
}

/// What a TLS handshake with a backend needs besides.
#[derive(Clone, Copy)]
pub struct TlsTarget<'a> {
    pub client: &'a TlsClient,
    /// The host of the request.
    pub host: &'a [u8],
    pub buffers: &'a Buffers,
    pub budget: &'a WorkBudget,
}

impl ConnectTarget<'_> {
    fn measure(&self, step: UpstreamStep, duration: Duration) {
        if let Some((counters, worker)) = self.counters {
            counters.took(worker, step, duration);
        }
    }

    /// Counts that no connection could be had for this reason.
    fn failed(&self, error: UpstreamError) -> UpstreamError {
        if let Some((counters, worker)) = self.counters {
            counters.failed_connection(worker, error.reason().as_str());
        }
        error
    }
}

/// A connection that was opened.
pub struct OpenedConnection {
    pub connection: Connection,
    /// The backend chose HTTP/2 in the TLS handshake.
    pub is_http2: bool,
}

/// Connects within the timeout, and makes the connection secure if it is to be.
pub async fn open(target: &ConnectTarget<'_>, timers: &Timers) -> Result<OpenedConnection, UpstreamError> {
    let begun = instant_now();
    let deadline = timers.deadline();
    deadline.set_tag(Tag::Backend(target.backend.slot));
    deadline.set(target.timeout);
    let attempts = pin!(async {
        loop {
            match connect(target.address, target.source, target.socket_use).await {
                Err(ConnectError::Busy) => timers.sleep(TICK).await,
                outcome => return outcome,
            }
        }
    });
    let mut socket = match deadline.guard(attempts).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => {
            if let ConnectError::NoSource(problem) = error {
                log_no_source(target.backend, target.source, problem);
            }
            return Err(target.failed(classify(error)));
        }
        Err(_elapsed) => return Err(target.failed(UpstreamError::ConnectTimeout)),
    };
    socket.count_in(target.counters.and_then(|(counters, worker)| counters.traffic(worker)));
    let connected = begun.elapsed();
    send_preface(&socket, target.preface).map_err(|error| target.failed(error))?;
    target.measure(UpstreamStep::Connect, connected);
    let (transport, is_http2) = match &target.tls {
        None => (Transport::Plain(socket), false),
        // Boxed, so that requests in cleartext do not carry the room for it.
        Some(tls) => {
            let secured =
                Box::pin(secure(socket, tls, &deadline)).await.map_err(|error| target.failed(error))?;
            target.measure(UpstreamStep::TlsHandshake, begun.elapsed().saturating_sub(connected));
            (secured.transport, secured.is_http2)
        }
    };
    deadline.clear();
    Ok(OpenedConnection {
        connection: Connection {
            transport,
            deadline,
            pool_key: target.pool_key,
            idle_limit: Cell::new(None),
        },
        is_http2,
    })
}

/// In one send of its own: HAProxy, nginx and Postfix refuse a PROXY header that comes in two parts.
fn send_preface(socket: &Socket, preface: &[u8]) -> Result<(), UpstreamError> {
    if preface.is_empty() {
        return Ok(());
    }
    // What comes next does not wait for it to arrive.
    socket.send_at_once();
    let sent = socket.send_now(preface);
    if sent.is_ok_and(|count| count == preface.len()) { Ok(()) } else { Err(UpstreamError::ConnectFailed) }
}

async fn secure(socket: Socket, tls: &TlsTarget<'_>, deadline: &Deadline) -> Result<Secured, UpstreamError> {
    let handshake = tls.client.connect(socket, tls.host, tls.buffers, tls.budget);
    match deadline.guard(pin!(handshake)).await {
        Ok(Ok(secured)) => Ok(secured),
        Ok(Err(word)) => Err(UpstreamError::Tls(word)),
        Err(_elapsed) => Err(UpstreamError::ConnectTimeout),
    }
}

/// Tells the operator why nothing can be sent to a backend from the source that its group names.
pub fn log_no_source(backend: &Backend, source: ConnectSource, problem: SourceProblem) {
    log_repeatedly(MessageKind::Want, || {
        let (name, problem) = (&backend.name, problem.as_str());
        match source {
            ConnectSource::Client(client) => format!(
                "warning: client {client} cannot be relayed to backend {name} under its own address, which {problem}"
            ),
            _ => format!("warning: backend {name} cannot be spoken to: the source {source} {problem}"),
        }
    });
}

fn classify(error: ConnectError) -> UpstreamError {
    match error {
        ConnectError::Refused => UpstreamError::ConnectRefused,
        ConnectError::TimedOut => UpstreamError::ConnectTimeout,
        ConnectError::NoDescriptor => UpstreamError::NoDescriptor,
        ConnectError::NoLocalPort => UpstreamError::NoLocalPort,
        ConnectError::NoSource(_) => UpstreamError::NoSource,
        ConnectError::Busy | ConnectError::Reset | ConnectError::Other => UpstreamError::ConnectFailed,
    }
}
