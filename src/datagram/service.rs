//! What a worker runs for all its listeners of datagrams.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::HashSet;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::datagram::answers;
use crate::datagram::answers::AnswersLeft;
use crate::datagram::client_socket::DatagramSocket;
use crate::datagram::client_socket::SocketState;
use crate::datagram::hand_over;
use crate::datagram::hand_over::Adoption;
use crate::datagram::opening::SessionOpening;
use crate::datagram::proxied::ProxiedDatagrams;
use crate::datagram::record;
use crate::datagram::record::UnservedLines;
use crate::datagram::requests::RequestRelay;
use crate::datagram::session_table::SessionTable;
use crate::datagram::session_table::SessionToken;
use crate::net::task;
use crate::net::timer::TICK;
use crate::net::udp::readiness::ReadyEvents;
use crate::net::udp::readiness::ReadySet;
use crate::net::udp::receive::MAX_PIECES;
use crate::net::udp::receive::ReceiveArena;
use crate::net::wake::YieldToKernel;
use crate::snapshot::DatagramListener;
use crate::snapshot::Listener;
use crate::snapshot::handed_session::HandedSessions;
use crate::telemetry::operator::MessageKind;
use crate::telemetry::operator::log_repeatedly;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// See the module.
pub struct DatagramService {
    worker: Rc<Worker>,
    /// The sockets of all sessions to their backends.
    ready: ReadySet,
    arena: RefCell<ReceiveArena>,
    table: RefCell<SessionTable>,
    proxied: RefCell<ProxiedDatagrams>,
    unserved: UnservedLines,
    /// Those that are not closed.
    sockets: RefCell<Vec<Rc<DatagramSocket>>>,
    /// Once the worker ends: after how many ticks of silence sessions do.
    drain_ticks: Cell<Option<u64>>,
}

/// Between two looks at what the queues of sockets have lost, in ticks.
const LOST_LOOK_TICKS: u64 = 10;

impl DatagramService {
    /// Begins its tasks. To be called on the worker's thread.
    pub fn start(worker: &Rc<Worker>) -> io::Result<Rc<DatagramService>> {
        let service = Rc::new(DatagramService {
            worker: Rc::clone(worker),
            ready: ReadySet::new()?,
            arena: RefCell::default(),
            table: RefCell::default(),
            proxied: RefCell::default(),
            unserved: UnservedLines::default(),
            sockets: RefCell::default(),
            drain_ticks: Cell::new(None),
        });
        let yields = YieldToKernel::new()?;
        task::spawn(receive_answers(Rc::clone(&service), yields));
        task::spawn(pass_time(Rc::clone(&service)));
        Ok(service)
    }

    /// Receives at a socket from now on.
    pub fn serve(self: &Rc<Self>, socket: Rc<DatagramSocket>) {
        self.sockets.borrow_mut().push(Rc::clone(&socket));
        task::spawn(receive_requests(Rc::clone(self), socket));
    }

    /// Ends the sessions of a socket that no listener of the configuration has any more.
    pub fn remove(&self, socket: &Rc<DatagramSocket>) {
        socket.close();
        self.count_lost(socket);
        // Whoever binds the address next gets what comes.
        self.sockets.borrow_mut().retain(|known| !Rc::ptr_eq(known, socket));
        self.end_all(Reason::ListenerClosed, |session_socket, _| Rc::ptr_eq(session_socket, socket));
    }

    /// Receives nothing at these sockets for now, by number, and gives their sessions away.
    pub fn give_away(&self, numbers: &HashSet<u64>) -> Vec<HandedSessions> {
        let worker = &self.worker;
        let mut given = HashMap::new();
        for socket in self.sockets.borrow().iter().filter(|socket| numbers.contains(&socket.number)) {
            socket.pause();
            let (lost, sessions) = (socket.counted_lost(), Vec::new());
            let handed =
                HandedSessions { socket: socket.cookie, worker: worker.index, lost, sessions, quic: None };
            // Of a process with more workers, one may have several sockets of one number.
            given.insert(socket.cookie, handed);
        }
        hand_over::give_away(&mut self.table.borrow_mut(), &mut given, &self.ready, worker);
        given.into_values().collect()
    }

    /// Goes on with sessions of a socket, and receives there; how many were lost, as where limits do not allow them.
    pub fn go_on_with(&self, handed: HandedSessions) -> usize {
        let sockets = self.sockets.borrow();
        let is_meant = |socket: &&Rc<DatagramSocket>| socket.cookie == handed.socket;
        let snapshot = self.worker.snapshot();
        let known = sockets.iter().find(is_meant).and_then(|socket| {
            let listener = snapshot.listener(socket.listener())?;
            Some((socket, listener, listener.datagram()?))
        });
        let Some((socket, listener, terms)) = known else { return handed.sessions.len() };
        socket.continue_lost(handed.lost);
        let (worker, ready, idle_ticks) = (&self.worker, &self.ready, self.idle_ticks(terms));
        let adoption = Adoption { worker, ready, socket, listener, idle_ticks };
        let lost = adoption.adopt(handed.sessions, &mut self.table.borrow_mut());
        socket.resume();
        lost
    }

    /// Lets no further session begin, and ends those that are silent for as long as `grace`. Sockets whose number is
    /// left are another process's to receive on.
    pub fn begin_drain(&self, grace: Duration, is_left: impl Fn(u64) -> bool) {
        self.drain_ticks.set(Some(ticks(grace)));
        for socket in self.sockets.borrow().iter() {
            if is_left(socket.number) { socket.close() } else { socket.drain() }
        }
        let next = self.worker.timers.ticks();
        let mut table = self.table.borrow_mut();
        for token in table.tokens() {
            table.look_at(token, next);
        }
    }

    /// Ends the sessions of a backend, by its slot.
    pub fn end_backend(&self, slot: u32, reason: Reason) {
        self.end_all(reason, |_, backend| backend == Some(slot));
    }

    /// Ends every session.
    pub fn end_sessions(&self, reason: Reason) {
        self.end_all(reason, |_, _| true);
    }

    fn end_all(&self, reason: Reason, is_meant: impl Fn(&Rc<DatagramSocket>, Option<u32>) -> bool) {
        let mut table = self.table.borrow_mut();
        for token in table.tokens() {
            let is_meant = table.get_mut(token).is_some_and(|session| {
                let backend = session.upstream.as_ref().map(|known| known.backend.slot);
                is_meant(&session.socket, backend)
            });
            if is_meant {
                record::end(&mut table, token, reason, &self.worker);
            }
        }
    }

    /// After how many ticks of silence a session is over.
    fn idle_ticks(&self, terms: &DatagramListener) -> u64 {
        let idle = ticks(terms.idle_timeout);
        self.drain_ticks.get().map_or(idle, |most| idle.min(most))
    }

    /// Passes on what waits at a socket, as far as one system call receives it.
    fn pass_requests(&self, socket: &Rc<DatagramSocket>) {
        let mut arena = self.arena.borrow_mut();
        let received = match socket.socket.receive(&mut arena, MAX_PIECES) {
            Ok(received) => received,
            Err(error) => {
                return log_repeatedly(MessageKind::Accept, || {
                    format!("warning: datagrams cannot be received at port {}: {error}", socket.port)
                });
            }
        };
        let snapshot = self.worker.snapshot();
        let Some(listener) = snapshot.listener(socket.listener()) else { return };
        let group = listener.default_group.and_then(|index| listener.group(index));
        let (Some(terms), Some(group)) = (listener.datagram(), group) else { return };
        let opening = SessionOpening {
            worker: &self.worker,
            ready: &self.ready,
            socket,
            listener,
            group,
            idle_ticks: self.idle_ticks(terms),
            proxied: &self.proxied,
            unserved: &self.unserved,
        };
        let mut table = self.table.borrow_mut();
        let mut relay = RequestRelay { opening, terms, table: &mut table };
        for piece in (0..received).filter_map(|index| arena.get(index)) {
            relay.pass(&piece);
        }
    }

    fn pass_answers(&self, token: SessionToken) -> AnswersLeft {
        let mut arena = self.arena.borrow_mut();
        answers::pass(token, &mut self.table.borrow_mut(), &mut arena, &self.worker)
    }

    /// Ends sessions that have been silent for too long.
    fn expire(&self, due: &mut Vec<SessionToken>) {
        let now = self.worker.timers.ticks();
        let snapshot = self.worker.snapshot();
        let mut table = self.table.borrow_mut();
        table.advance(now, due);
        for token in due.drain(..) {
            let Some(session) = table.get_mut(token) else { continue };
            let terms = snapshot.listener(session.counted.listener()).and_then(Listener::datagram);
            let over = session.last_tick + terms.map_or(0, |terms| self.idle_ticks(terms));
            match over <= now {
                true => record::end(&mut table, token, Reason::IdleTimeout, &self.worker),
                false => table.look_at(token, over),
            }
        }
    }

    /// Counts what the queues of sockets have lost, and forgets those that are closed.
    fn look_at_sockets(&self) {
        let is_over = self.drain_ticks.get().is_some() && self.table.borrow().len() == 0;
        self.sockets.borrow_mut().retain(|socket| {
            self.count_lost(socket);
            if is_over {
                socket.close();
            }
            socket.state() != SocketState::Closed
        });
    }
}

impl DatagramService {
    fn count_lost(&self, socket: &DatagramSocket) {
        let lost = socket.newly_lost();
        let snapshot = self.worker.snapshot();
        if let Some(listener) = snapshot.listener(socket.listener()).filter(|_| lost > 0) {
            record::count_dropped(lost.into(), "receive_queue_full", listener, self.worker.index);
        }
    }
}

/// Ticks until this has passed for certain.
fn ticks(duration: Duration) -> u64 {
    duration.as_nanos().div_ceil(TICK.as_nanos()) as u64 + 1
}

async fn receive_requests(service: Rc<DatagramService>, socket: Rc<DatagramSocket>) {
    service.worker.listener_opened();
    while socket.state() != SocketState::Closed {
        // To wait is to let others have their turn, also where more waits already.
        if let Ok(Err(_)) = socket.deadline.guard(pin!(socket.socket.ready())).await {
            // Memory is short, which passes.
            service.worker.timers.sleep(TICK).await;
        }
        match socket.state() {
            SocketState::Closed => {}
            // Its wait would end at once, for what comes stays where it is.
            SocketState::Paused => service.worker.timers.sleep(TICK).await,
            SocketState::Serving | SocketState::Draining => {
                service.pass_requests(&socket);
                socket.renew();
            }
        }
    }
    service.worker.listener_closed();
}

async fn receive_answers(service: Rc<DatagramService>, yields: YieldToKernel) {
    let mut events = ReadyEvents::default();
    let (mut left, mut turn) = (Vec::new(), Vec::new());
    loop {
        if !left.is_empty() {
            yields.wait().await;
        } else if service.ready.ready().await.is_err() {
            // Memory is short, which passes.
            service.worker.timers.sleep(TICK).await;
        }
        std::mem::swap(&mut left, &mut turn);
        service.ready.take(&mut events);
        turn.extend(events.tokens().map(SessionToken::from_bits));
        for token in turn.drain(..) {
            if service.pass_answers(token) == AnswersLeft::Some {
                left.push(token);
            }
        }
    }
}

async fn pass_time(service: Rc<DatagramService>) {
    let mut due = Vec::new();
    let mut looked = 0;
    loop {
        service.worker.timers.sleep(Duration::ZERO).await;
        service.expire(&mut due);
        let now = service.worker.timers.ticks();
        if now >= looked + LOST_LOOK_TICKS || service.drain_ticks.get().is_some() {
            looked = now;
            service.look_at_sockets();
        }
    }
}
