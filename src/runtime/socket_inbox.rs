//! What reaches a worker from other threads: sockets to receive on, new snapshots, the word to drain.

use std::cell::OnceCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::control::build::sockets::LentSocket;
use crate::control::build::sockets::NewSocket;
use crate::control::build::sockets::SocketOrder;
use crate::datagram::DatagramService;
use crate::datagram::DatagramSocket;
use crate::downstream::listener;
use crate::downstream::listener::Accepting;
use crate::net::address::TransportKind;
use crate::net::listen::Acceptor;
use crate::net::mailbox::Mailbox;
use crate::net::timer::Shorten;
use crate::net::timer::Tag;
use crate::net::udp::listening::ListeningUdp;
use crate::runtime::drain::Drain;
use crate::runtime::drain::IDLE_GRACE;
use crate::snapshot::Snapshot;
use crate::snapshot::handed_session::HandedSessions;
use crate::telemetry::operator::log_line;
use crate::worker::Worker;

/// The service of datagrams of a worker, once it has a socket of UDP.
pub(super) type DatagramCell = Rc<OnceCell<Rc<DatagramService>>>;

/// See the module.
pub(super) struct SocketInbox {
    mailbox: Mailbox<SocketOrder>,
    drain: Arc<Drain>,
    /// By the number of the socket.
    sockets: Vec<(u64, WorkerSocket)>,
    worker: Rc<Worker>,
    datagrams: DatagramCell,
}

/// A listening socket of the worker.
enum WorkerSocket {
    Stream(Rc<Accepting>),
    Datagram(Rc<DatagramSocket>),
}

impl SocketInbox {
    pub(super) fn new(
        mailbox: Mailbox<SocketOrder>,
        drain: Arc<Drain>,
        worker: Rc<Worker>,
        datagrams: DatagramCell,
    ) -> SocketInbox {
        SocketInbox { mailbox, drain, sockets: Vec::new(), worker, datagrams }
    }

    pub(super) fn drain(&mut self) {
        let snapshot = self.worker.snapshot();
        while let Some(order) = self.mailbox.take() {
            match order {
                SocketOrder::Accept(socket) => self.receive_on(socket, &snapshot),
                SocketOrder::Lend(borrower) => self.lend(&borrower),
                SocketOrder::GiveSessions(sockets, taker) => self.give_sessions(&sockets, &taker),
                SocketOrder::TakeSessions(handed) => self.take_sessions(handed),
            }
        }
        let datagrams = self.datagrams.get();
        self.sockets.retain(|(number, socket)| match snapshot.listener_of_socket(*number) {
            Some(listener) => {
                socket.hand_to(listener);
                true
            }
            None => {
                socket.close(datagrams);
                false
            }
        });
        self.let_go(&snapshot);
        if let Some(grace) = self.drain.begun()
            && !self.worker.is_draining()
        {
            let datagrams = self.datagrams.get();
            for (number, socket) in self.sockets.drain(..) {
                match (&socket, self.drain.is_left(number)) {
                    (WorkerSocket::Stream(accepting), true) => accepting.leave(),
                    // The successor does not have it, and may have another one that is in its way.
                    (WorkerSocket::Stream(_), false) => socket.close(datagrams),
                    (WorkerSocket::Datagram(_), false) if self.drain.has_successor() => {
                        socket.close(datagrams)
                    }
                    (WorkerSocket::Datagram(_), _) => {}
                }
            }
            if let Some(datagrams) = self.datagrams.get() {
                datagrams.begin_drain(grace, |number| self.drain.is_left(number));
            }
            self.worker.begin_drain(grace);
        }
    }

    /// Receives on a socket. One that a later snapshot does not know any more is closed at once, and one that a reload
    /// opens while the process stops already.
    fn receive_on(&mut self, new: NewSocket, snapshot: &Snapshot) {
        let NewSocket { number, kind, port, socket, sessions } = new;
        let Some(listener) = snapshot.listener_of_socket(number) else { return };
        if self.worker.is_draining() {
            return;
        }
        let received = match kind {
            TransportKind::Tcp => Acceptor::new(socket).map(|acceptor| {
                let accepting = Accepting::new(acceptor, listener, port, &self.worker);
                listener::start(&accepting, &self.worker);
                WorkerSocket::Stream(accepting)
            }),
            TransportKind::Udp => self.receive_datagrams(socket, number, (listener, port)),
        };
        match received {
            Ok(socket) => {
                self.sockets.push((number, socket));
                sessions.into_iter().for_each(|sessions| self.take_sessions(sessions));
            }
            Err(error) => log_line(&format!(
                "error: worker {} cannot listen at port {port}: {error}",
                self.worker.index
            )),
        }
    }

    fn receive_datagrams(
        &self,
        socket: OwnedFd,
        number: u64,
        (listener, port): (usize, u16),
    ) -> io::Result<WorkerSocket> {
        let service = match self.datagrams.get() {
            Some(service) => service,
            None => {
                let service = DatagramService::start(&self.worker)?;
                self.datagrams.get_or_init(|| service)
            }
        };
        let socket = DatagramSocket::new(ListeningUdp::new(socket)?, number, (listener, port), &self.worker);
        service.serve(Rc::clone(&socket));
        Ok(WorkerSocket::Datagram(socket))
    }

    fn give_sessions(&self, sockets: &[u64], taker: &Sender<HandedSessions>) {
        let Some(service) = self.datagrams.get() else { return };
        for handed in service.give_away(&sockets.iter().copied().collect()) {
            // Whoever asked has not waited for it.
            if let Err(returned) = taker.send(handed) {
                self.take_sessions(returned.0);
            }
        }
    }

    fn take_sessions(&self, handed: HandedSessions) {
        let count = handed.sessions.len();
        let lost = self.datagrams.get().map_or(count, |service| service.go_on_with(handed));
        if lost > 0 {
            log_line(&format!(
                "warning: worker {} cannot go on with {lost} of {count} UDP sessions (see max_connections)",
                self.worker.index
            ));
        }
    }

    fn lend(&self, borrower: &Sender<LentSocket>) {
        for (number, socket) in &self.sockets {
            // Without a free descriptor, the borrower finds that one is missing.
            if let Ok(socket) = socket.lend() {
                drop(borrower.send(LentSocket { number: *number, socket }));
            }
        }
    }

    /// Ends idle connections of listeners that were removed.
    fn let_go(&self, snapshot: &Snapshot) {
        for listener in snapshot.listeners.iter().flatten().filter(|listener| listener.is_leaving()) {
            let tag = Tag::Listener(listener.slot as u32);
            self.worker.timers.shorten_tagged(tag, IDLE_GRACE, Shorten::Drainable);
        }
    }
}

impl WorkerSocket {
    fn hand_to(&self, listener: usize) {
        match self {
            WorkerSocket::Stream(accepting) => accepting.hand_to(listener),
            WorkerSocket::Datagram(socket) => socket.hand_to(listener),
        }
    }

    /// No listener of the configuration has it any more.
    fn close(&self, datagrams: Option<&Rc<DatagramService>>) {
        match self {
            WorkerSocket::Stream(accepting) => accepting.close(),
            WorkerSocket::Datagram(socket) => {
                datagrams.into_iter().for_each(|service| service.remove(socket))
            }
        }
    }

    /// Another descriptor of the socket, for a process that is to receive on it.
    fn lend(&self) -> io::Result<OwnedFd> {
        match self {
            WorkerSocket::Stream(accepting) => accepting.lend(),
            WorkerSocket::Datagram(socket) => socket.lend(),
        }
    }
}
