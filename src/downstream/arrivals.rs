//! Connections that begin on a worker: those that it has accepted, and those that another one has handed to it.

use std::rc::Rc;

use crate::downstream::connection::Connection;
use crate::downstream::lifecycle;
use crate::net::task;
use crate::net::wake::Wakeups;
use crate::telemetry::operator::MessageKind;
use crate::telemetry::operator::log_repeatedly;
use crate::tls::transport::Transport;
use crate::worker::Worker;
use crate::worker::connection_balance::AcceptedConnection;

/// Starts to serve what other workers hand to this one, whenever `bell` rings.
pub fn start(worker: &Rc<Worker>, bell: Wakeups) {
    task::spawn(serve(Rc::clone(worker), bell));
}

async fn serve(worker: Rc<Worker>, bell: Wakeups) {
    let serve = lifecycle::server(&worker);
    while bell.next().await.is_ok() {
        worker.arrivals().filter_map(|arrival| begin(arrival, &worker)).for_each(&serve);
        worker.look_for_arrivals_again();
    }
}

/// Takes a connection over, which counts for this worker from now on; None, after telling why, if that fails.
pub(super) fn begin(accepted: AcceptedConnection, worker: &Rc<Worker>) -> Option<Box<Connection>> {
    let AcceptedConnection { socket, peer, port, listener, share } = accepted;
    // From here on whatever ends the connection gives back what it counts for.
    let counted = worker.connection_opened(listener);
    let mut socket = match socket.adopt() {
        Ok(socket) => socket,
        Err(error) => {
            log_repeatedly(MessageKind::Accept, || {
                format!(
                    "warning: a connection from {peer} is closed, which worker {} cannot take over: {error}",
                    worker.index
                )
            });
            return None;
        }
    };
    if let Some(terms) = worker.snapshot().listener(listener) {
        socket.count_in(terms.traffic(worker.index));
    }
    let mut connection = Connection::new(Transport::Plain(socket), peer, port, counted);
    connection.client.share = share;
    Some(connection)
}
