//! Accepting connections within the limits of their listener.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::downstream::admission;
use crate::downstream::arrivals;
use crate::downstream::connection::Connection;
use crate::downstream::eviction;
use crate::downstream::eviction::ConnectionLimit;
use crate::downstream::lifecycle;
use crate::net::listen::Acceptor;
use crate::net::listen::cure_of_accepting;
use crate::net::listen::is_of_one_connection;
use crate::net::task;
use crate::net::timer::Deadline;
use crate::net::timer::TICK;
use crate::snapshot::Listener;
use crate::telemetry::operator::MessageKind;
use crate::telemetry::operator::log_repeatedly;
use crate::worker::Worker;
use crate::worker::connection_balance::AcceptedConnection;

/// Connections accepted in one go, so that a flood of new ones cannot starve the established.
const BATCH: usize = 256;

/// How long a connection whose handshake was under way may take to arrive on a socket that closes.
const CLOSING_GRACE: Duration = Duration::from_secs(1);

/// Only a drain ends this wait early; it is just far away.
const UNTIL_DRAIN: Duration = Duration::from_secs(24 * 3600);

/// A listening socket of this worker, and who accepts on it.
pub struct Accepting {
    acceptor: Acceptor,
    /// The slot of the listener; a reload may hand the socket to another one.
    listener: Cell<usize>,
    /// The one that clients connect to.
    port: u16,
    closing: Cell<bool>,
    /// A successor accepts what waits.
    is_left: Cell<bool>,
    /// Bounds the wait for the next connection.
    deadline: Deadline,
}

impl Accepting {
    pub fn new(acceptor: Acceptor, listener: usize, port: u16, worker: &Worker) -> Rc<Accepting> {
        let deadline = worker.timers.deadline();
        Rc::new(Accepting {
            acceptor,
            listener: Cell::new(listener),
            port,
            closing: Cell::new(false),
            is_left: Cell::new(false),
            deadline,
        })
    }

    pub fn hand_to(&self, listener: usize) {
        self.listener.set(listener);
    }

    /// Another descriptor of the socket, for a process that is to accept on it.
    pub fn lend(&self) -> io::Result<OwnedFd> {
        self.acceptor.lend()
    }

    /// Leaves the socket, with what waits in it, to a process that accepts on it, too.
    pub fn leave(&self) {
        self.is_left.set(true);
        self.closing.set(true);
        self.deadline.set_drainable(Duration::ZERO);
    }

    /// Lets no further connection begin; those that wait are accepted, then the socket is closed.
    pub fn close(&self) {
        // Without the filter, a connection that arrives at the last moment is reset.
        drop(self.acceptor.refuse_new());
        self.closing.set(true);
        self.deadline.set_drainable(CLOSING_GRACE);
    }
}

/// Starts to accept, as a task of this worker.
pub fn start(accepting: &Rc<Accepting>, worker: &Rc<Worker>) {
    task::spawn(run(Rc::clone(accepting), Rc::clone(worker)));
}

/// Accepts until the socket is to be closed and nothing waits any more.
pub(super) async fn run(accepting: Rc<Accepting>, worker: Rc<Worker>) {
    worker.listener_opened();
    accept_all(&accepting, &worker).await;
    // Closing the socket comes before it counts as closed.
    drop(accepting);
    worker.listener_closed();
}

async fn accept_all(accepting: &Accepting, worker: &Rc<Worker>) {
    let Accepting { acceptor, deadline, .. } = accepting;
    let serve = lifecycle::server(worker);
    loop {
        if !accepting.closing.get() {
            deadline.set_drainable(UNTIL_DRAIN);
        }
        let is_ready = deadline.guard(pin!(acceptor.ready())).await.is_ok();
        if accepting.is_left.get() {
            return;
        }
        let closing = accepting.closing.get();
        let end = accept_batch(accepting, worker, &serve);
        worker.ring_for_arrivals();
        match end {
            BatchEnd::Full => {}
            BatchEnd::NoneWaits if closing && !is_ready => return,
            BatchEnd::NoneWaits => {}
            // The connection waits in the kernel's queue. A tick is soon enough: at the limit it makes no difference
            // which of the waiting ones comes next.
            BatchEnd::AtLimit(limit) => wait_at(limit, accepting, worker).await,
            BatchEnd::Gone => return,
        }
    }
}

/// Why no more connections are accepted in this turn.
enum BatchEnd {
    /// There may be more.
    Full,
    NoneWaits,
    AtLimit(ConnectionLimit),
    /// The listener is no longer there.
    Gone,
}

/// Accepts what waits, as far as limits go, and lets this worker serve it or another one that has fewer connections.
fn accept_batch(accepting: &Accepting, worker: &Rc<Worker>, serve: impl Fn(Box<Connection>)) -> BatchEnd {
    for _ in 0..BATCH {
        let listener = accepting.listener.get();
        let accepted = match worker.snapshot().listener(listener) {
            Some(terms) => accept(accepting, terms, worker),
            None => return BatchEnd::Gone,
        };
        let accepted = match accepted {
            AcceptOutcome::Connection(accepted) => accepted,
            AcceptOutcome::Lost => continue,
            AcceptOutcome::NoneWaits => return BatchEnd::NoneWaits,
            AcceptOutcome::AtLimit(limit) => return BatchEnd::AtLimit(limit),
        };
        if let Some(terms) = worker.snapshot().listener(listener) {
            terms.counters.iter().for_each(|counters| counters.accepted(worker.index));
        }
        let own = worker.balance(accepted).and_then(|accepted| arrivals::begin(accepted, worker));
        own.into_iter().for_each(&serve);
    }
    BatchEnd::Full
}

/// Lets idle connections give way to those that wait, and waits for a tick.
async fn wait_at(limit: ConnectionLimit, accepting: &Accepting, worker: &Worker) {
    let waiting = accepting.acceptor.waiting();
    let listener = accepting.listener.get();
    if waiting > 0 {
        log_limit(limit, listener, worker);
    }
    eviction::make_room(limit, listener, waiting, worker);
    worker.timers.sleep(TICK).await;
    eviction::end_wait(limit, listener, worker);
}

/// Tells the operator that connections wait because of a limit.
fn log_limit(limit: ConnectionLimit, listener: usize, worker: &Worker) {
    let snapshot = worker.snapshot();
    let Some(listener) = snapshot.listener(listener) else { return };
    let name = &listener.name;
    let text = match limit {
        // Descriptors may be what was short, and that is told where it is noticed.
        ConnectionLimit::Process => match worker.quota.limit().filter(|most| worker.quota.used() >= *most) {
            Some(most) => format!("{most} client connections of the process (process.max_connections)"),
            None => return,
        },
        ConnectionLimit::Listener => match listener.connections.limit() {
            Some(most) => format!("{most} client connections of listener \"{name}\" (max_connections)"),
            None => return,
        },
        ConnectionLimit::Rate => {
            format!("new connections of listener \"{name}\" in a second (connections_per_second)")
        }
    };
    log_repeatedly(MessageKind::ConnectionLimit, || {
        format!("warning: the limit is reached: {text}; others wait")
    });
}

enum AcceptOutcome {
    Connection(AcceptedConnection),
    /// A connection that its client gave up, or may not have.
    Lost,
    NoneWaits,
    AtLimit(ConnectionLimit),
}

/// Accepts one connection, counting it, unless a limit stands against it.
fn accept(accepting: &Accepting, listener: &Listener, worker: &Worker) -> AcceptOutcome {
    let Accepting { acceptor, port, .. } = accepting;
    if !worker.quota.acquire() {
        return AcceptOutcome::AtLimit(ConnectionLimit::Process);
    }
    if !listener.connections.acquire() {
        worker.quota.release();
        return AcceptOutcome::AtLimit(ConnectionLimit::Listener);
    }
    let release = |accepted| {
        listener.connections.release();
        worker.quota.release();
        accepted
    };
    let second = worker.clock.wall(worker.clock.now()).as_secs();
    if listener.connection_rate.is_limited() {
        // A look first, so that nothing of the rate is spent on an empty queue.
        if !acceptor.waits() {
            return release(AcceptOutcome::NoneWaits);
        }
        if !listener.connection_rate.acquire(second) {
            return release(AcceptOutcome::AtLimit(ConnectionLimit::Rate));
        }
    }
    let accepted = |socket, peer, share| {
        let listener = listener.slot;
        AcceptOutcome::Connection(AcceptedConnection { socket, peer, port: *port, listener, share })
    };
    match acceptor.accept() {
        // Behind a PROXY header stands another address.
        Ok(Some((socket, peer))) if listener.proxy_protocol => accepted(socket, peer, None),
        Ok(Some((socket, peer))) => match admission::admit(listener, peer, *port, worker) {
            Some(share) => accepted(socket, peer, share),
            None => {
                listener.connection_rate.give_back(second);
                release(AcceptOutcome::Lost)
            }
        },
        Ok(None) => release(AcceptOutcome::NoneWaits),
        // The client gave up while it waited; there may be others.
        Err(error) if is_of_one_connection(&error) => release(AcceptOutcome::Lost),
        Err(error) => {
            log_repeatedly(MessageKind::Accept, || {
                let (name, fix) = (&listener.name, cure_of_accepting(&error));
                format!("warning: listener \"{name}\" cannot accept connections, they wait: {error}; {fix}")
            });
            // Descriptors may be what is short.
            release(AcceptOutcome::AtLimit(ConnectionLimit::Process))
        }
    }
}
