//! A socket for HTTP/3 of this worker, with the connections on it.

use std::cell::Cell;
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::rc::Weak;
use std::time::Duration;

use crate::downstream::h3::listener::QuicAccepting;
use crate::downstream::h3::socket_counts::SocketCounts;
use crate::net::task;
use crate::net::udp::listening::ListeningUdp;
use crate::net::udp::receive::ReceiveArena;
use crate::proto::h3::fault::ErrorCode;
use crate::quic::connection_id::ConnectionIds;
use crate::quic::endpoint::EndpointParts;
use crate::quic::endpoint::QuicEndpoint;
use crate::quic::forwarding::SteeredGroup;
use crate::quic::group_hold::GroupHold;
use crate::quic::group_hold::ReleasedHold;
use crate::snapshot::handed_session::HandedQuic;
use crate::worker::Worker;

/// How long clients may take up that their connections are over; who does not hear it in time has to find out.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(200);

/// How often it is asked whether connections are over.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// How often the counters of the listener hear what was counted at a socket.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// See the module.
pub struct QuicSocket {
    accepting: Rc<QuicAccepting>,
    endpoint: QuicEndpoint,
    counts: SocketCounts,
    /// As long as it serves, or has connections.
    hold: RefCell<Option<GroupHold>>,
    /// What leads back to it.
    released: ReleasedHold,
    is_closing: Cell<bool>,
}

/// Where a socket stands.
pub struct QuicSocketPlace {
    /// Which of those of its address it is.
    pub index: usize,
    /// All of them. With more workers than sockets, the last ones are other descriptors of the first ones.
    pub group: SteeredGroup,
    /// What keeps all of them open.
    pub hold: GroupHold,
    /// The slot of its listener.
    pub listener: usize,
    /// The one that clients connect to.
    pub port: u16,
}

impl QuicSocket {
    /// Begins to receive on a socket. To be called on the worker's thread.
    ///
    /// # Errors
    /// It is no socket of UDP, the listener speaks no HTTP/3, or no descriptor is left.
    pub fn new(
        socket: OwnedFd,
        at: QuicSocketPlace,
        arena: Rc<RefCell<ReceiveArena>>,
        worker: &Rc<Worker>,
    ) -> io::Result<Rc<QuicSocket>> {
        let no_http3 = || io::Error::new(io::ErrorKind::InvalidInput, "its listener speaks no HTTP/3");
        let snapshot = worker.snapshot();
        let terms = snapshot.listener(at.listener).and_then(|listener| listener.http()?.quic.as_ref());
        let terms = terms.ok_or_else(no_http3)?;
        let place = at.group.place(at.index as u32);
        let accepting = QuicAccepting::new(at.listener, at.port, worker);
        let (offering, admitting) = (Rc::clone(&accepting), Rc::clone(&accepting));
        let endpoint = QuicEndpoint::start(EndpointParts {
            socket: ListeningUdp::new(socket)?.without_fragments()?,
            ids: ConnectionIds::new(place, terms.generation, &terms.keys),
            keys: terms.keys.clone(),
            offer: Box::new(move || offering.offer()),
            group: at.group,
            admit: Box::new(move |newcomer| admitting.admit(newcomer)),
            handshakes: worker.handshakes.clone(),
            arena,
        })?;
        let counts = SocketCounts::new(&endpoint);
        let (released, hold) = (at.hold.released(), RefCell::new(Some(at.hold)));
        let is_closing = Cell::new(false);
        let socket = Rc::new(QuicSocket { accepting, endpoint, counts, hold, released, is_closing });
        task::spawn(tell_counts(Rc::downgrade(&socket), Rc::clone(worker)));
        Ok(socket)
    }

    /// The slot of its listener.
    pub fn listener(&self) -> usize {
        self.accepting.listener.get()
    }

    pub fn hand_to(&self, listener: usize) {
        self.accepting.listener.set(listener);
    }

    /// Has the counters of the listener know what was counted here.
    fn tell_counts(&self, worker: &Worker) {
        let snapshot = worker.snapshot();
        if let Some(listener) = snapshot.listener(self.accepting.listener.get()) {
            self.counts.tell(&self.endpoint, listener, worker.index);
        }
    }

    /// Whether it is received on here; otherwise it is another worker's, and only sent by.
    pub fn is_own(&self) -> bool {
        self.endpoint.has_socket()
    }

    /// Another descriptor of the socket, for a process that is to receive on it.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn lend(&self) -> io::Result<OwnedFd> {
        self.endpoint.lend()
    }

    /// Leaves it to another process, which hands on what comes for our connections. See [`QuicEndpoint::hand_over`].
    ///
    /// # Errors
    /// No descriptor is left. We go on receiving.
    pub fn hand_over(&self) -> io::Result<HandedQuic> {
        let (way, beginnings) = self.endpoint.hand_over()?;
        Ok(HandedQuic { way, beginnings })
    }

    /// Goes on receiving after all.
    pub fn take_back(&self) {
        self.endpoint.take_back();
    }

    /// Hands on what comes for connections of the process before.
    ///
    /// # Errors
    /// What came of it is of no use.
    pub fn follow(&self, handed: HandedQuic) -> io::Result<()> {
        self.endpoint.follow(handed.way, handed.beginnings)
    }

    /// What tells it from all other sockets of the host, whichever process has it.
    ///
    /// # Errors
    /// The kernel knows no such thing.
    pub fn cookie(&self) -> io::Result<u64> {
        self.endpoint.cookie()
    }

    /// Lets no client begin any more.
    pub fn begin_drain(&self) {
        self.endpoint.begin_drain();
    }

    /// Lets no client begin any more, until it is reopened.
    pub fn begin_close(&self) {
        self.is_closing.set(true);
        self.endpoint.begin_drain();
    }

    /// Waits until it may be closed: when the connections of all sockets of its address are over. False if it was reopened.
    pub async fn closed(&self, worker: &Worker) -> bool {
        while self.is_closing.get() {
            if self.endpoint.connections() == 0 {
                drop(self.hold.take());
            }
            if self.released.is_over() {
                return true;
            }
            worker.timers.sleep(LOOK_INTERVAL).await;
        }
        false
    }

    /// Goes on for the listener with this slot; false if it is too late.
    pub fn reopen(&self, listener: usize) -> bool {
        let Some(hold) = self.released.regain() else { return false };
        *self.hold.borrow_mut() = Some(hold);
        self.is_closing.set(false);
        self.accepting.listener.set(listener);
        self.endpoint.end_drain();
        true
    }

    /// Waits until neither the process before nor workers without a socket have connections any more: what comes for them, comes
    /// through us, also where another process receives already.
    pub async fn outlive_others(&self, worker: &Worker) {
        let deadline = worker.timers.deadline();
        while self.endpoint.is_needed() {
            deadline.set(LOOK_INTERVAL);
            drop(deadline.guard(pin!(std::future::pending::<()>())).await);
        }
    }

    /// Tells all clients that their connections are over.
    pub async fn end(&self, worker: &Worker) {
        let deadline = worker.timers.deadline();
        deadline.set(FAREWELL_TIMEOUT);
        let told = pin!(self.endpoint.end(ErrorCode::NoError.to_wire() as u32, b""));
        // Who cannot be told finds out.
        drop(deadline.guard(told).await);
    }
}

/// Tells what is counted at a socket as long as it is there.
async fn tell_counts(socket: Weak<QuicSocket>, worker: Rc<Worker>) {
    while let Some(socket) = socket.upgrade() {
        socket.tell_counts(&worker);
        drop(socket);
        worker.timers.sleep(TELL_INTERVAL).await;
    }
}
