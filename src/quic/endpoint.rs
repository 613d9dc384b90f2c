//! The endpoint of a worker at one port: receives, lets time pass, and sends. One without a socket of its own sends by that of
//! another worker, and gets from the others what is its own.

use std::cell::Cell;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use bytes::BytesMut;

use crate::net::clock::instant_now;
use crate::net::task;
use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::datagrams::LocalAddress;
use crate::net::udp::handed;
use crate::net::udp::handed::HandedDatagram;
use crate::net::udp::handed::HandedReceiver;
use crate::net::udp::handed::HandedSender;
use crate::net::udp::listening::ListeningUdp;
use crate::net::udp::receive::ReceiveArena;
use crate::net::udp::send::SendFailure;
use crate::net::wake::Alarm;
use crate::net::wake::WakerSlot;
use crate::net::wake::Wakeups;
use crate::net::wake::YieldToKernel;
use crate::net::work_budget::WorkBudget;
use crate::quic::addressee::Addressee;
use crate::quic::admission::Admit;
use crate::quic::connection_id::ConnectionIds;
use crate::quic::connection_id::EndpointPlace;
use crate::quic::core::EndpointCore;
use crate::quic::core::Flushed;
use crate::quic::counters::EndpointCounters;
use crate::quic::forwarding::OnwardDatagrams;
use crate::quic::forwarding::ReceivedDatagram;
use crate::quic::forwarding::SteeredGroup;
use crate::quic::forwarding::WithoutSocket;
use crate::quic::outgoing::PacketSink;
use crate::quic::outgoing::Taken;
use crate::quic::settings::ServerOffer;
use crate::quic::succession::QuicPredecessor;
use crate::tls::quic_keys::QuicKeys;

/// Pieces that are received in one turn of the loop: of 64 datagrams at most each.
const PIECES_PER_TURN: usize = 8;

/// Timers go off no more often; those of QUIC are set in no smaller steps (RFC 9002 §6.1.2).
const GRANULARITY: Duration = Duration::from_millis(1);

/// What an endpoint is made of.
pub struct EndpointParts {
    /// One that cuts nothing into fragments, see [`ListeningUdp::without_fragments`]. Another worker's, where the place has none.
    pub socket: ListeningUdp,
    pub ids: ConnectionIds,
    pub keys: Arc<QuicKeys>,
    pub offer: ServerOffer,
    /// All that share the port.
    pub group: SteeredGroup,
    pub admit: Admit,
    /// Each handshake that begins passes here.
    pub handshakes: WorkBudget,
    /// What the worker receives into.
    pub arena: Rc<RefCell<ReceiveArena>>,
}

/// See the module. When it is dropped, its connections are closed and its socket is.
pub struct QuicEndpoint {
    tasks: Rc<EndpointTasks>,
}

/// What the tasks of an endpoint have in common.
struct EndpointTasks {
    socket: ListeningUdp,
    core: RefCell<EndpointCore>,
    group: SteeredGroup,
    place: EndpointPlace,
    /// Others are to receive for us.
    without_socket: Cell<Option<WithoutSocket>>,
    handshakes: WorkBudget,
    arena: Rc<RefCell<ReceiveArena>>,
    alarm: Alarm,
    /// When it goes off.
    armed: Cell<Option<Instant>>,
    is_stopped: Cell<bool>,
    /// Another process receives, or is about to.
    is_paused: Cell<bool>,
    /// Those tasks that wait for something of the kernel, by their number.
    stops: [WakerSlot; TASKS],
}

/// Tasks that wait for something of the kernel.
const TASKS: usize = 5;
const RECEIVING: usize = 0;
const FORWARDED: usize = 1;
const ALARM: usize = 2;
const SENDING: usize = 3;
const HANDED: usize = 4;

impl QuicEndpoint {
    /// Begins its tasks. To be called on the worker's thread.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn start(parts: EndpointParts) -> io::Result<QuicEndpoint> {
        let place = parts.ids.place();
        let wakeups = parts.group.listen(place.index)?;
        let without_socket = (!place.has_socket()).then(|| parts.group.join_without_socket());
        let core = EndpointCore::new(parts.ids, &parts.keys, parts.offer, parts.admit);
        let tasks = Rc::new(EndpointTasks {
            socket: parts.socket,
            core: RefCell::new(core),
            group: parts.group,
            place,
            without_socket: Cell::new(without_socket),
            handshakes: parts.handshakes,
            arena: parts.arena,
            alarm: Alarm::new()?,
            armed: Cell::new(None),
            is_stopped: Cell::new(false),
            is_paused: Cell::new(false),
            stops: Default::default(),
        });
        let (receiving, sending) = (YieldToKernel::new()?, YieldToKernel::new()?);
        if place.has_socket() {
            task::spawn(receive(Rc::clone(&tasks), receiving));
        }
        task::spawn(receive_forwarded(Rc::clone(&tasks), wakeups));
        task::spawn(accept(Rc::clone(&tasks)));
        task::spawn(pass_time(Rc::clone(&tasks)));
        task::spawn(send(Rc::clone(&tasks), sending));
        Ok(QuicEndpoint { tasks })
    }

    /// Where it is bound.
    pub fn address(&self) -> SocketAddr {
        self.tasks.socket.address()
    }

    /// Another descriptor of the socket, for a process that is to receive on it.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn lend(&self) -> io::Result<OwnedFd> {
        self.tasks.socket.lend()
    }

    /// Leaves the socket to another process, which is to hand on what comes for our connections: the end of the way that it does
    /// so by, and the IDs that clients have chosen for connections begun a moment ago.
    ///
    /// # Errors
    /// No descriptor is left. We go on receiving.
    pub fn hand_over(&self) -> io::Result<(OwnedFd, Vec<Vec<u8>>)> {
        let (way, handed) = handed::pair()?;
        self.tasks.is_paused.set(true);
        task::spawn(receive_handed(Rc::clone(&self.tasks), handed));
        Ok((way, self.tasks.core.borrow().beginnings(instant_now())))
    }

    /// Goes on receiving after all.
    pub fn take_back(&self) {
        self.tasks.is_paused.set(false);
        self.tasks.wake(RECEIVING);
    }

    /// Hands what comes for connections of the process before to it, by the end and with the IDs of [`QuicEndpoint::hand_over`].
    ///
    /// # Errors
    /// It is no such end.
    pub fn follow(&self, way: OwnedFd, beginnings: Vec<Vec<u8>>) -> io::Result<()> {
        let predecessor = QuicPredecessor::new(HandedSender::adopt(way)?, beginnings, instant_now());
        self.tasks.core.borrow_mut().follow(predecessor);
        Ok(())
    }

    /// Whether it receives, on a socket of its own.
    pub fn has_socket(&self) -> bool {
        self.tasks.place.has_socket()
    }

    /// Whether others still have connections of which they hear by us: the process before, or workers without a socket.
    pub fn is_needed(&self) -> bool {
        let has_predecessor = self.tasks.core.borrow().has_predecessor();
        has_predecessor || self.has_socket() && self.tasks.group.has_some_without_socket()
    }

    /// What tells the socket from all others of the host, whichever process has it.
    ///
    /// # Errors
    /// The kernel knows no such thing.
    pub fn cookie(&self) -> io::Result<u64> {
        self.tasks.socket.cookie()
    }

    /// Lets nobody begin any more; connections go on.
    pub fn begin_drain(&self) {
        self.tasks.core.borrow_mut().begin_drain();
    }

    /// Lets clients begin again.
    pub fn end_drain(&self) {
        self.tasks.core.borrow_mut().end_drain();
    }

    /// Connections that are not forgotten: one that is closed is remembered for some round trips.
    pub fn connections(&self) -> usize {
        self.tasks.core.borrow().open()
    }

    /// Datagrams that found the queue of the socket full, since it is there; modulo 2^32.
    pub fn dropped(&self) -> u32 {
        // Whose socket it is counts them.
        if self.has_socket() { self.tasks.socket.dropped() } else { 0 }
    }

    /// What was counted so far.
    pub fn counters(&self) -> EndpointCounters {
        self.tasks.core.borrow().counters
    }

    /// Tells all peers that their connections are over, with a code of the application, and serves nobody any more. A browser
    /// that is told comes back at once; one that is not, even one whose connection is reset later, does without QUIC for
    /// minutes. The caller bounds the time.
    pub async fn end(&self, code: u32, reason: &'static [u8]) {
        let tasks = &self.tasks;
        {
            let mut core = tasks.core.borrow_mut();
            core.begin_drain();
            core.close_all(code, reason, instant_now());
        }
        drop(tasks.without_socket.take());
        loop {
            match tasks.flush() {
                Flushed::All => return,
                Flushed::More => {}
                Flushed::Blocked => drop(tasks.socket.writable().await),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_armed(&self) -> bool {
        self.tasks.armed.get().is_some()
    }

    #[cfg(test)]
    pub(super) fn connect(
        &self,
        client: quinn_proto::ClientConfig,
        to: (SocketAddr, &str),
    ) -> crate::quic::connection::QuicConnection {
        self.tasks.core.borrow_mut().connect(instant_now(), client, to)
    }
}

impl Drop for QuicEndpoint {
    fn drop(&mut self) {
        let tasks = &self.tasks;
        tasks.core.borrow_mut().close_all(0, b"", instant_now());
        while tasks.flush() == Flushed::More {}
        tasks.is_stopped.set(true);
        drop(tasks.without_socket.take());
        tasks.stops.iter().for_each(WakerSlot::wake);
        let core = tasks.core.borrow();
        core.work.driver.wake();
        core.work.acceptor.wake();
    }
}

/// Sends at the endpoint's socket.
struct SocketSink<'s>(&'s ListeningUdp);

impl PacketSink for SocketSink<'_> {
    fn send(&mut self, datagrams: &Datagrams<'_>, to: SocketAddr, from: Option<LocalAddress>) -> Taken {
        let outcome = self.0.send(datagrams, to, from);
        match outcome.error {
            // What is too long was sent to find that out.
            None | Some(SendFailure::TooLong) => Taken::Yes,
            Some(SendFailure::Full) if outcome.sent == 0 => Taken::Full,
            Some(_) => Taken::Lost,
        }
    }
}

impl EndpointTasks {
    /// Receives what waits, as far as one system call does; an error is one of memory, which passes.
    fn receive_batch(&self) -> io::Result<()> {
        let mut arena = self.arena.borrow_mut();
        let received = self.socket.receive(&mut arena, PIECES_PER_TURN)?;
        let now = instant_now();
        for piece in (0..received).filter_map(|index| arena.get(index)) {
            let Some(peer) = piece.peer else { continue };
            // What came in one piece is of one client.
            let mut others = self.group.forwarding();
            for bytes in piece.datagrams.each() {
                // Memory of its own for each: what a task has not read yet holds no more than its datagram.
                let bytes = BytesMut::from(bytes);
                let (local, ecn) = (piece.local, piece.datagrams.ecn);
                self.take(ReceivedDatagram { bytes, peer, local, ecn }, now, &mut others);
            }
        }
        Ok(())
    }

    fn take(&self, datagram: ReceivedDatagram, now: Instant, others: &mut OnwardDatagrams<'_>) {
        let mut core = self.core.borrow_mut();
        let (index, first_id) = match core.addressee(&datagram.bytes, now) {
            Addressee::Own => return core.receive(now, datagram, &mut SocketSink(&self.socket)),
            Addressee::Predecessor => return core.hand_back(now, datagram, &mut SocketSink(&self.socket)),
            Addressee::Endpoint(index) => (index, None),
            Addressee::Beginning(index, id) => (index, Some(id)),
        };
        let is_forwarded = others.forward(index, datagram);
        core.counters.forwarded += u64::from(is_forwarded);
        core.counters.lost_forwarding += u64::from(!is_forwarded);
        if let Some(id) = first_id.filter(|_| is_forwarded) {
            core.note_beginning(now, id);
        }
    }

    /// Takes what another worker has received: whatever it says, no worker gets it again, so none is sent in circles.
    fn take_forwarded(&self, datagram: ReceivedDatagram, now: Instant) {
        let mut core = self.core.borrow_mut();
        match core.addressee(&datagram.bytes, now) {
            Addressee::Predecessor => core.hand_back(now, datagram, &mut SocketSink(&self.socket)),
            Addressee::Own | Addressee::Endpoint(_) | Addressee::Beginning(..) => {
                core.receive(now, datagram, &mut SocketSink(&self.socket))
            }
        }
    }

    fn flush(&self) -> Flushed {
        let now = instant_now();
        let flushed = self.core.borrow_mut().flush(now, &mut SocketSink(&self.socket));
        self.arm(now);
        flushed
    }

    /// Has the alarm go off when the first timer of a connection does; never, if there are none.
    fn arm(&self, now: Instant) {
        let due = self.core.borrow().next_timeout();
        match (due, self.armed.get()) {
            (None, None) => {}
            (None, Some(_)) => {
                self.armed.set(None);
                self.alarm.set(None);
            }
            (Some(due), Some(armed)) if armed <= due => {}
            (Some(due), _) => {
                let wait = due.saturating_duration_since(now).max(GRANULARITY);
                self.armed.set(Some(now + wait));
                self.alarm.set(Some(wait));
            }
        }
    }

    /// Waits until we are to receive again, or the endpoint has stopped.
    async fn until_resumed(&self) {
        std::future::poll_fn(|cx| {
            if !self.is_paused.get() || self.is_stopped.get() {
                return Poll::Ready(());
            }
            if let Some(stop) = self.stops.get(RECEIVING) {
                stop.register(cx);
            }
            Poll::Pending
        })
        .await;
    }

    fn wake(&self, number: usize) {
        if let Some(stop) = self.stops.get(number) {
            stop.wake();
        }
    }

    /// Runs an operation; None once the endpoint has stopped.
    async fn unless_stopped<T>(&self, number: usize, operation: impl Future<Output = T>) -> Option<T> {
        let stop = self.stops.get(number);
        let operation = pin!(operation);
        let operation = task::unless(operation, |cx| {
            if self.is_stopped.get() {
                return Poll::Ready(());
            }
            if let Some(stop) = stop {
                stop.register(cx);
            }
            Poll::Pending
        });
        operation.await.ok().filter(|_| !self.is_stopped.get())
    }
}

async fn receive(tasks: Rc<EndpointTasks>, yields: YieldToKernel) {
    while let Some(ready) = tasks.unless_stopped(RECEIVING, tasks.socket.ready()).await {
        if tasks.is_paused.get() {
            tasks.until_resumed().await;
        } else if ready.and_then(|()| tasks.receive_batch()).is_err() {
            yields.wait().await;
        }
    }
}

/// Receives what another process has received for our connections, until it hands on nothing more.
async fn receive_handed(tasks: Rc<EndpointTasks>, mut handed: HandedReceiver) {
    while let Some(Ok(())) = tasks.unless_stopped(HANDED, handed.ready()).await {
        let now = instant_now();
        loop {
            match handed.receive() {
                Ok(Some(HandedDatagram { bytes, peer, local, ecn })) => {
                    let datagram = ReceivedDatagram { bytes: BytesMut::from(bytes), peer, local, ecn };
                    tasks.take(datagram, now, &mut tasks.group.forwarding());
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

async fn receive_forwarded(tasks: Rc<EndpointTasks>, wakeups: Wakeups) {
    while let Some(Ok(_)) = tasks.unless_stopped(FORWARDED, wakeups.next()).await {
        let now = instant_now();
        while let Some(datagram) = tasks.group.take(tasks.place.index) {
            tasks.take_forwarded(datagram, now);
        }
    }
}

/// Begins handshakes, as many as the budget allows.
async fn accept(tasks: Rc<EndpointTasks>) {
    let work = Rc::clone(&tasks.core.borrow().work);
    loop {
        std::future::poll_fn(|cx| {
            if tasks.is_stopped.get() || tasks.core.borrow().has_incoming() {
                return Poll::Ready(());
            }
            work.acceptor.register(cx);
            Poll::Pending
        })
        .await;
        if tasks.is_stopped.get() {
            return;
        }
        tasks.handshakes.acquire(1).await;
        tasks.core.borrow_mut().accept_next(instant_now(), &mut SocketSink(&tasks.socket));
    }
}

async fn pass_time(tasks: Rc<EndpointTasks>) {
    while let Some(Ok(_)) = tasks.unless_stopped(ALARM, tasks.alarm.rung()).await {
        let now = instant_now();
        tasks.armed.set(None);
        tasks.core.borrow_mut().expire(now);
        tasks.arm(now);
    }
}

/// Sends what all connections have to send, behind the tasks that are ready: so one send takes what several have written.
async fn send(tasks: Rc<EndpointTasks>, yields: YieldToKernel) {
    let work = Rc::clone(&tasks.core.borrow().work);
    loop {
        std::future::poll_fn(|cx| {
            if tasks.is_stopped.get() || !work.is_empty() {
                return Poll::Ready(());
            }
            work.driver.register(cx);
            Poll::Pending
        })
        .await;
        if tasks.is_stopped.get() {
            return;
        }
        match tasks.flush() {
            Flushed::All => {}
            Flushed::More => yields.wait().await,
            Flushed::Blocked => drop(tasks.unless_stopped(SENDING, tasks.socket.writable()).await),
        }
    }
}
