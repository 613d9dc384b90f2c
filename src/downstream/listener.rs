//! Accepting connections within the limits of their listener.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::rc::Weak;
use std::time::Duration;

use crate::downstream::connection;
use crate::downstream::connection::Connection;
use crate::downstream::h1;
use crate::net::listen::Acceptor;
use crate::net::socket::Socket;
use crate::net::task;
use crate::net::task::Stock;
use crate::net::timer::TICK;
use crate::snapshot::Listener;
use crate::snapshot::Quota;
use crate::tls::transport::Transport;
use crate::worker::Worker;

/// Connections accepted in one go, so that a flood of new ones cannot starve the established.
const BATCH: usize = 256;

const TRIM_INTERVAL: Duration = Duration::from_secs(1);

/// Only a drain ends this wait early; it is just far away.
const UNTIL_DRAIN: Duration = Duration::from_secs(24 * 3600);

/// Accepts until the worker drains and nothing waits any more.
///
/// `listener` is the index in the snapshot, `port` the one that clients connect to.
pub async fn run(acceptor: Rc<Acceptor>, listener: usize, port: u16, worker: Rc<Worker>) {
    worker.listener_opened();
    accept_all(&acceptor, listener, port, &worker).await;
    // Closing the socket comes before it counts as closed.
    drop(acceptor);
    worker.listener_closed();
}

async fn accept_all(acceptor: &Acceptor, listener: usize, port: u16, worker: &Rc<Worker>) {
    let Some(terms) = worker.snapshot.listeners.get(listener) else { return };
    let quotas = Quotas { process: &worker.snapshot.connections, listener: &terms.connections };
    let stock = Rc::new(Stock::default());
    task::spawn(trim(Rc::downgrade(&stock), Rc::clone(worker)));
    let deadline = worker.timers.deadline();
    loop {
        deadline.set_yielding(UNTIL_DRAIN);
        let drained = deadline.guard(pin!(acceptor.ready())).await.is_err() && worker.is_draining();
        for _ in 0..BATCH {
            let accepted = accept(acceptor, terms, &quotas, worker);
            let (socket, peer) = match accepted {
                Accepted::Connection(socket, peer) => (socket, peer),
                Accepted::Lost => continue,
                Accepted::NoneWaits if drained => return,
                Accepted::NoneWaits => break,
                Accepted::AtLimit => {
                    // The connection waits in the kernel's queue. A tick is soon enough: at the
                    // limit it makes no difference which of the waiting ones comes next.
                    worker.timers.sleep(TICK).await;
                    break;
                }
            };
            let counted = worker.connection_opened(listener);
            let connection = Connection::new(Transport::Plain(socket), peer, port, counted);
            let stock = Rc::clone(&stock);
            task::spawn(connection::run(connection, Rc::clone(worker), stock, h1::serve));
        }
    }
}

/// Gives memory of a past peak back, for as long as the listener is there.
async fn trim<F: Future>(stock: Weak<Stock<F>>, worker: Rc<Worker>) {
    while let Some(stock) = stock.upgrade() {
        stock.trim();
        drop(stock);
        worker.timers.sleep(TRIM_INTERVAL).await;
    }
}

/// What a new connection counts against.
struct Quotas<'w> {
    process: &'w Quota,
    listener: &'w Quota,
}

enum Accepted {
    Connection(Socket, SocketAddr),
    /// A connection that its client gave up.
    Lost,
    NoneWaits,
    AtLimit,
}

/// Accepts one connection, counting it, unless a limit stands against it.
fn accept(acceptor: &Acceptor, listener: &Listener, quotas: &Quotas<'_>, worker: &Worker) -> Accepted {
    if !quotas.process.take() {
        return Accepted::AtLimit;
    }
    if !quotas.listener.take() {
        quotas.process.give_back();
        return Accepted::AtLimit;
    }
    let give_back = |accepted| {
        quotas.listener.give_back();
        quotas.process.give_back();
        accepted
    };
    if listener.connection_rate.is_limited() {
        // A look first, so that nothing of the rate is spent on an empty queue.
        if !acceptor.waits() {
            return give_back(Accepted::NoneWaits);
        }
        if !listener.connection_rate.take(worker.clock.wall(worker.clock.now()).as_secs()) {
            return give_back(Accepted::AtLimit);
        }
    }
    match acceptor.accept() {
        Ok(Some((socket, peer))) => Accepted::Connection(socket, peer),
        Ok(None) => give_back(Accepted::NoneWaits),
        // The client gave up while it waited; there may be others.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => give_back(Accepted::Lost),
        Err(error) => {
            worker.report_accept_failure(&listener.name, &error);
            give_back(Accepted::AtLimit)
        }
    }
}
