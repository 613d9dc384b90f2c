//! From an accepted connection to a secured one.

use std::pin::pin;

use crate::downstream::connection;
use crate::downstream::connection::Connection;
use crate::downstream::h1;
use crate::exchange;
use crate::exchange::Origin;
use crate::exchange::Secured;
use crate::net::buffer::Buffer;
use crate::snapshot::Listener;
use crate::telemetry::reason::Reason;
use crate::tls::accept;
use crate::tls::accept::Accepted;
use crate::tls::accept::Facts;
use crate::tls::transport::Transport;
use crate::worker::Worker;

/// Makes the connection secure; None when it ended instead. `input` came behind a PROXY header.
pub(super) async fn secure(
    connection: Connection,
    input: Option<Buffer>,
    worker: &Worker,
) -> Option<Connection> {
    let mut connection = connection;
    let terms = worker.snapshot.listeners.get(connection.listener())?;
    let tls = terms.tls.as_ref()?;
    let Transport::Plain(socket) = connection.transport else { return None };
    let began = worker.clock.now();
    connection.deadline.set_yielding(tls.handshake_timeout);
    let input = input.unwrap_or_else(|| worker.buffers.small());
    let server = tls.terms.load();
    let accepted = accept::accept(socket, input, &server, &worker.buffers, &worker.handshakes);
    let failure = match connection.deadline.guard(pin!(accepted)).await {
        Ok(Accepted::Secured(transport, facts)) => {
            connection.transport = transport;
            connection.secured = Some(Box::new(secured(&facts, terms)));
            return Some(connection);
        }
        Ok(Accepted::Plain(socket, received)) => {
            connection.transport = Transport::Plain(socket);
            h1::refuse_plain(&connection, received, terms, worker).await;
            connection::linger(&connection, worker).await;
            return None;
        }
        // A client that connects and says nothing is no failure: load balancers check like that.
        Ok(Accepted::Gone { received: false }) => return None,
        Ok(Accepted::Gone { received: true }) => "tls_client_closed",
        Ok(Accepted::Failed(transport, error)) => {
            connection.transport = transport;
            // Closing with bytes unread would reset the connection, and the alert with it.
            connection::linger(&connection, worker).await;
            error.word()
        }
        Err(_elapsed) => "tls_handshake_timeout",
    };
    let origin = Origin { listener: terms, peer: connection.peer, port: connection.port, secured: None };
    exchange::record_unserved(Reason::ClientTls(failure), began, &origin, worker);
    None
}

fn secured(facts: &Facts, _terms: &Listener) -> Secured {
    Secured { version: facts.version, cipher: "", identity: Box::default() }
}
