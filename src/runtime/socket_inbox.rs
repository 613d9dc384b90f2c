//! What reaches a worker from other threads: sockets to receive on, new snapshots, the word to drain.

use std::cell::OnceCell;
use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::rc::Weak;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::control::build::sockets::LentSocket;
use crate::control::build::sockets::NewSocket;
use crate::control::build::sockets::SocketOrder;
use crate::datagram::DatagramService;
use crate::datagram::DatagramSocket;
use crate::downstream::h3::socket::QuicSocket;
use crate::downstream::h3::socket::QuicSocketPlace;
use crate::downstream::listener;
use crate::downstream::listener::Accepting;
use crate::net::address::TransportKind;
use crate::net::listen::Acceptor;
use crate::net::mailbox::Mailbox;
use crate::net::task;
use crate::net::timer::Shorten;
use crate::net::timer::Tag;
use crate::net::udp::listening::ListeningUdp;
use crate::net::udp::receive::ReceiveArena;
use crate::runtime::drain::Drain;
use crate::runtime::drain::IDLE_GRACE;
use crate::snapshot::Snapshot;
use crate::snapshot::handed_session::HandedQuic;
use crate::snapshot::handed_session::HandedSessions;
use crate::telemetry::operator::log_line;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// The service of datagrams of a worker, once it has a socket of UDP.
pub(super) type DatagramCell = Rc<OnceCell<Rc<DatagramService>>>;

/// The sockets of QUIC of a worker that have connections, or may have.
pub(super) type QuicSockets = Rc<RefCell<Vec<Rc<QuicSocket>>>>;

/// See the module.
pub(super) struct SocketInbox {
    mailbox: Mailbox<SocketOrder>,
    drain: Arc<Drain>,
    /// By the number of the socket.
    sockets: Vec<(u64, WorkerSocket)>,
    /// Those of QUIC that no listener has, and that have connections.
    closing: Vec<ClosingQuic>,
    worker: Rc<Worker>,
    datagrams: DatagramCell,
    /// What sockets of QUIC receive into.
    arena: OnceCell<Rc<RefCell<ReceiveArena>>>,
    quic: QuicSockets,
}

/// A listening socket of the worker.
struct WorkerSocket {
    /// Which of the sockets of its address it is.
    index: usize,
    service: SocketService,
}

struct ClosingQuic {
    number: u64,
    index: usize,
    socket: Weak<QuicSocket>,
}

/// What receives on it.
enum SocketService {
    Stream(Rc<Accepting>),
    Datagram(Rc<DatagramSocket>),
    Quic(Rc<QuicSocket>),
}

impl SocketInbox {
    pub(super) fn new(
        mailbox: Mailbox<SocketOrder>,
        drain: Arc<Drain>,
        worker: Rc<Worker>,
        (datagrams, quic): (DatagramCell, QuicSockets),
    ) -> SocketInbox {
        SocketInbox {
            mailbox,
            drain,
            sockets: Vec::new(),
            closing: Vec::new(),
            worker,
            datagrams,
            arena: OnceCell::new(),
            quic,
        }
    }

    pub(super) fn drain(&mut self) {
        let snapshot = self.worker.snapshot();
        while let Some(order) = self.mailbox.take() {
            match order {
                SocketOrder::Accept(socket) => self.receive_on(socket, &snapshot),
                SocketOrder::Lend(borrower) => self.lend(&borrower),
                SocketOrder::GiveSessions(sockets, taker) => self.give_sessions(&sockets, &taker),
                SocketOrder::TakeSessions(handed) => self.take_sessions(handed),
                SocketOrder::BidFarewell(done) => self.bid_farewell(done),
            }
        }
        self.follow(&snapshot);
        self.let_go(&snapshot);
        if let Some(grace) = self.drain.begun()
            && !self.worker.is_draining()
        {
            self.begin_drain(grace);
        }
        if self.drain.is_over() && !self.worker.is_stop_over() {
            self.cut_off(&snapshot);
        }
    }

    /// Hands sockets to the listeners that have them now, and closes those that none has.
    fn follow(&mut self, snapshot: &Snapshot) {
        for (number, socket) in std::mem::take(&mut self.sockets) {
            if let Some(listener) = snapshot.listener_of_socket(number) {
                socket.hand_to(listener);
                self.sockets.push((number, socket));
                continue;
            }
            socket.close(self.datagrams.get(), &self.quic, &self.worker);
            if let SocketService::Quic(quic) = &socket.service {
                self.closing.push(ClosingQuic { number, index: socket.index, socket: Rc::downgrade(quic) });
            }
        }
        let (sockets, is_draining) = (&mut self.sockets, self.worker.is_draining());
        self.closing.retain(|ClosingQuic { number, index, socket }| {
            let Some(socket) = socket.upgrade() else { return false };
            let listener = snapshot.listener_of_socket(*number).filter(|_| !is_draining);
            let is_reopened = listener.is_some_and(|listener| socket.reopen(listener));
            if is_reopened {
                sockets.push((*number, WorkerSocket { index: *index, service: SocketService::Quic(socket) }));
            }
            !is_reopened
        });
    }

    /// Ends what is relayed, each with a reset and a line in the log, when the time for a graceful stop is over.
    fn cut_off(&self, snapshot: &Snapshot) {
        self.worker.end_stop();
        let relaying = snapshot.groups.iter().filter(|group| !group.speaks_http());
        let in_service = relaying.flat_map(|group| &group.members).map(|member| &member.backend);
        let leaving = snapshot.leaving.iter().map(|leaving| &leaving.backend);
        let slots: HashSet<u32> = in_service.chain(leaving).map(|backend| backend.slot).collect();
        self.worker.timers.end_tagged(|tag| matches!(tag, Tag::Backend(slot) if slots.contains(&slot)));
        if let Some(datagrams) = self.datagrams.get() {
            datagrams.end_sessions(Reason::ShutdownTimeout);
        }
    }

    fn begin_drain(&mut self, grace: Duration) {
        let datagrams = self.datagrams.get();
        for (number, socket) in self.sockets.drain(..) {
            match (&socket.service, self.drain.is_left(number)) {
                (SocketService::Stream(accepting), true) => accepting.leave(),
                // The successor does not have it, and may have another one that is in its way.
                (SocketService::Stream(_), false) => socket.close(datagrams, &self.quic, &self.worker),
                (SocketService::Datagram(_), false) if self.drain.has_successor() => {
                    socket.close(datagrams, &self.quic, &self.worker)
                }
                (SocketService::Datagram(_), _) => {}
                // Its connections go on.
                (SocketService::Quic(quic), _) => quic.begin_drain(),
            }
        }
        if let Some(datagrams) = datagrams {
            datagrams.begin_drain(grace, |number| self.drain.is_left(number));
        }
        self.worker.begin_drain(grace, self.drain.has_successor());
    }

    /// Receives on a socket. One that a later snapshot does not know any more is closed at once, and one that a reload
    /// opens while the process stops already.
    fn receive_on(&mut self, new: NewSocket, snapshot: &Snapshot) {
        let NewSocket { number, kind, port, socket, index, mut sessions, group } = new;
        let listener = snapshot.listener_of_socket(number).filter(|_| !self.worker.is_draining());
        let Some(listener) = listener else {
            group.into_iter().for_each(|(_, hold)| hold.note_missing());
            return;
        };
        let service = match (kind, group) {
            (TransportKind::Quic, Some((group, hold))) => {
                let before = sessions.as_mut().and_then(|handed| handed.quic.take());
                self.receive_quic(socket, QuicSocketPlace { index, group, hold, listener, port }, before)
            }
            (TransportKind::Tcp | TransportKind::Quic, _) => Acceptor::new(socket).map(|acceptor| {
                let accepting = Accepting::new(acceptor, listener, port, &self.worker);
                listener::start(&accepting, &self.worker);
                SocketService::Stream(accepting)
            }),
            (TransportKind::Udp, _) => self.receive_datagrams(socket, number, (listener, port)),
        };
        match service {
            Ok(service) => {
                self.sockets.push((number, WorkerSocket { index, service }));
                sessions.into_iter().for_each(|sessions| self.take_sessions(sessions));
            }
            Err(error) => log_line(&format!(
                "error: worker {} cannot listen at port {port}: {error}",
                self.worker.index
            )),
        }
    }

    /// `before`: the process before, which still has connections there.
    fn receive_quic(
        &self,
        socket: OwnedFd,
        at: QuicSocketPlace,
        before: Option<HandedQuic>,
    ) -> io::Result<SocketService> {
        let arena = Rc::clone(self.arena.get_or_init(Rc::default));
        let hold = at.hold.clone();
        let socket = QuicSocket::new(socket, at, arena, &self.worker).inspect_err(|_| hold.note_missing())?;
        before.map_or(Ok(()), |before| socket.follow(before))?;
        self.quic.borrow_mut().push(Rc::clone(&socket));
        Ok(SocketService::Quic(socket))
    }

    /// Tells clients of QUIC that their connections are over, before the process ends with some of them open.
    fn bid_farewell(&self, done: Sender<()>) {
        let (quic, worker) = (Rc::clone(&self.quic), Rc::clone(&self.worker));
        task::spawn(async move {
            end_all(&quic, &worker).await;
            drop(done);
        });
    }

    fn receive_datagrams(
        &self,
        socket: OwnedFd,
        number: u64,
        (listener, port): (usize, u16),
    ) -> io::Result<SocketService> {
        let service = match self.datagrams.get() {
            Some(service) => service,
            None => {
                let service = DatagramService::start(&self.worker)?;
                self.datagrams.get_or_init(|| service)
            }
        };
        let socket = DatagramSocket::new(ListeningUdp::new(socket)?, number, (listener, port), &self.worker);
        service.serve(Rc::clone(&socket));
        Ok(SocketService::Datagram(socket))
    }

    fn give_sessions(&self, numbers: &[u64], taker: &Sender<HandedSessions>) {
        let of_datagrams =
            self.datagrams.get().map(|service| service.give_away(&numbers.iter().copied().collect()));
        let own = self.sockets.iter().filter(|(number, _)| numbers.contains(number));
        let of_quic = own.filter_map(|(_, socket)| match &socket.service {
            SocketService::Quic(quic) if quic.is_own() => self.left_quic(quic),
            SocketService::Quic(_) | SocketService::Stream(_) | SocketService::Datagram(_) => None,
        });
        for handed in of_datagrams.into_iter().flatten().chain(of_quic) {
            // Whoever asked has not waited for it.
            if let Err(returned) = taker.send(handed) {
                self.take_sessions(returned.0);
            }
        }
    }

    /// A socket of QUIC that is left to another process; None where that cannot be, so that both receive and some is lost.
    fn left_quic(&self, socket: &QuicSocket) -> Option<HandedSessions> {
        let (cookie, quic) = (socket.cookie().ok()?, socket.hand_over().ok()?);
        let worker = self.worker.index;
        Some(HandedSessions { socket: cookie, worker, quic: Some(quic), ..HandedSessions::default() })
    }

    /// Goes on with a socket of QUIC that was given away.
    fn take_back(&self, cookie: u64) {
        for (_, socket) in &self.sockets {
            if let SocketService::Quic(quic) = &socket.service
                && quic.cookie().is_ok_and(|own| own == cookie)
            {
                quic.take_back();
            }
        }
    }

    fn take_sessions(&self, handed: HandedSessions) {
        if handed.quic.is_some() {
            return self.take_back(handed.socket);
        }
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
        for (number, socket) in self.sockets.iter().filter(|(_, socket)| socket.is_own()) {
            // Without a free descriptor, the borrower finds that one is missing.
            if let Ok(lent) = socket.lend() {
                drop(borrower.send(LentSocket { number: *number, index: socket.index, socket: lent }));
            }
        }
    }

    /// Ends idle connections of listeners that were removed.
    fn let_go(&self, snapshot: &Snapshot) {
        for listener in snapshot.listeners.iter().flatten().filter(|listener| listener.is_leaving()) {
            for tag in [Tag::Listener(listener.slot as u32), Tag::QuicListener(listener.slot as u32)] {
                self.worker.timers.shorten_tagged(tag, IDLE_GRACE, Shorten::Drainable);
            }
        }
    }
}

/// Waits until nobody has connections of QUIC any more who hears by sockets of this worker.
pub(super) async fn outlive_others(quic: &QuicSockets, worker: &Worker) {
    let sockets = quic.borrow().clone();
    for socket in sockets {
        socket.outlive_others(worker).await;
    }
}

/// Tells all clients of QUIC that their connections are over.
pub(super) async fn end_all(quic: &QuicSockets, worker: &Worker) {
    let sockets = quic.borrow().clone();
    for socket in sockets {
        socket.end(worker).await;
    }
}

/// Lets nobody begin there any more, and closes it when its connections are over.
fn close_later(socket: Rc<QuicSocket>, quic: &QuicSockets, worker: &Rc<Worker>) {
    socket.begin_close();
    let tag = Tag::QuicListener(socket.listener() as u32);
    worker.timers.shorten_tagged(tag, IDLE_GRACE, Shorten::Drainable);
    let (quic, worker) = (Rc::clone(quic), Rc::clone(worker));
    task::spawn(async move {
        if socket.closed(&worker).await {
            quic.borrow_mut().retain(|known| !Rc::ptr_eq(known, &socket));
        }
    });
}

impl WorkerSocket {
    fn hand_to(&self, listener: usize) {
        match &self.service {
            SocketService::Stream(accepting) => accepting.hand_to(listener),
            SocketService::Datagram(socket) => socket.hand_to(listener),
            SocketService::Quic(socket) => socket.hand_to(listener),
        }
    }

    /// No listener of the configuration has it any more.
    fn close(&self, datagrams: Option<&Rc<DatagramService>>, quic: &QuicSockets, worker: &Rc<Worker>) {
        match &self.service {
            SocketService::Stream(accepting) => accepting.close(),
            SocketService::Datagram(socket) => {
                datagrams.into_iter().for_each(|service| service.remove(socket))
            }
            SocketService::Quic(socket) => close_later(Rc::clone(socket), quic, worker),
        }
    }

    /// Whether no other worker has the same one to receive on.
    fn is_own(&self) -> bool {
        !matches!(&self.service, SocketService::Quic(socket) if !socket.is_own())
    }

    /// Another descriptor of the socket, for a process that is to receive on it.
    fn lend(&self) -> io::Result<OwnedFd> {
        match &self.service {
            SocketService::Stream(accepting) => accepting.lend(),
            SocketService::Datagram(socket) => socket.lend(),
            SocketService::Quic(socket) => socket.lend(),
        }
    }
}
