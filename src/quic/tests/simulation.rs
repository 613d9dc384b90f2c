//! A client and a server in virtual time, joined by a wire that loses, repeats and reorders by a seed.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Wake;
use std::task::Waker;
use std::time::Duration;
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::ClientConfig;

use crate::net::clock::instant_now;
use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::datagrams::LocalAddress;
use crate::quic::admission::Admission;
use crate::quic::admission::Admit;
use crate::quic::connection::QuicConnection;
use crate::quic::connection_id::ConnectionIds;
use crate::quic::connection_id::EndpointPlace;
use crate::quic::core::EndpointCore;
use crate::quic::core::Flushed;
use crate::quic::forwarding::ReceivedDatagram;
use crate::quic::outgoing::PacketSink;
use crate::quic::outgoing::Taken;
use crate::quic::settings::QuicLimits;
use crate::quic::settings::QuicServer;
use crate::quic::tests::conversation::Spawn;
use crate::tls::quic::QuicTls;
use crate::tls::quic::kit;
use crate::tls::quic_keys::QuicKeys;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// How bad the wire is: of 1,000 datagrams.
#[derive(Clone, Copy, Default)]
pub(super) struct Weather {
    pub(super) lost: u64,
    pub(super) repeated: u64,
    /// One byte of it is another.
    pub(super) changed: u64,
    /// Up to so much later than the others.
    pub(super) jitter: Duration,
    /// Every so many times, nothing can be sent at once. 0: never.
    pub(super) full_every: u64,
}

pub(super) struct Simulation {
    pub(super) now: Instant,
    pub(super) client: EndpointCore,
    pub(super) server: EndpointCore,
    /// Where the client is; it may move.
    pub(super) client_address: SocketAddr,
    pub(super) weather: Weather,
    pub(super) sent: u64,
    random: u64,
    flying: Vec<Flying>,
    tasks: Vec<(Task, Arc<Flag>)>,
    spawned: Rc<RefCell<Vec<Task>>>,
}

struct Flying {
    arrives: Instant,
    to_server: bool,
    datagram: ReceivedDatagram,
}

/// When a task was woken; 0: it was not.
struct Flag(AtomicU64);

impl Flag {
    fn raise(&self) {
        static WAKES: AtomicU64 = AtomicU64::new(1);
        let turn = WAKES.fetch_add(1, Ordering::Relaxed);
        let _ = self.0.compare_exchange(0, turn, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.raise();
    }
}

/// Keeps what is sent, one by one.
#[derive(Default)]
struct Collected {
    datagrams: Vec<(Vec<u8>, u8, SocketAddr)>,
    full_every: u64,
    asked: u64,
}

impl PacketSink for Collected {
    fn send(&mut self, datagrams: &Datagrams<'_>, to: SocketAddr, from: Option<LocalAddress>) -> Taken {
        assert!(from.is_none_or(|from| from.ip == SERVER.ip()));
        self.asked += 1;
        if self.asked.checked_rem(self.full_every) == Some(0) {
            return Taken::Full;
        }
        self.datagrams.extend(datagrams.each().map(|bytes| (bytes.to_vec(), datagrams.ecn, to)));
        Taken::Yes
    }
}

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 443);
pub(super) const LATENCY: Duration = Duration::from_millis(10);

/// The server's end, of one socket.
pub(super) fn server_core(
    tls: Arc<QuicTls>,
    keys: &QuicKeys,
    limits: QuicLimits,
    admit: Admit,
) -> EndpointCore {
    let ids = ConnectionIds::new(EndpointPlace { index: 1, sockets: 3, endpoints: 3 }, 0, keys);
    let server = QuicServer::new(tls, keys, limits);
    EndpointCore::new(ids, keys, Box::new(move || server.clone()), admit)
}

impl Simulation {
    /// `admit` gets what begins tasks of the simulation.
    pub(super) fn new(seed: u64, limits: QuicLimits, admit: impl FnOnce(&Spawn) -> Admit) -> Simulation {
        Simulation::with_tls(seed, limits, kit::server(None), admit)
    }

    pub(super) fn with_tls(
        seed: u64,
        limits: QuicLimits,
        tls: Arc<QuicTls>,
        admit: impl FnOnce(&Spawn) -> Admit,
    ) -> Simulation {
        let keys = QuicKeys::new(Some(&[7; 32]));
        let spawned: Rc<RefCell<Vec<Task>>> = Rc::default();
        let admit = admit(&spawn_into(&spawned));
        let ids =
            ConnectionIds::new(EndpointPlace { index: 0, sockets: 1, endpoints: 1 }, 0, &QuicKeys::new(None));
        let nobody: Admit = Box::new(|_| Admission::Ignore);
        Simulation {
            now: instant_now(),
            client: EndpointCore::new(ids, &QuicKeys::new(None), Box::new(|| None), nobody),
            server: server_core(tls, &keys, limits, admit),
            client_address: "198.51.100.1:1000".parse().unwrap(),
            weather: Weather::default(),
            sent: 0,
            random: seed,
            flying: Vec::new(),
            tasks: Vec::new(),
            spawned,
        }
    }

    pub(super) fn spawn(&self) -> Spawn {
        spawn_into(&self.spawned)
    }

    pub(super) fn connect(&mut self, client: ClientConfig, name: &str) -> QuicConnection {
        self.client.connect(self.now, client, (SERVER, name))
    }

    /// Runs until the future is done, which has to be within two virtual minutes.
    pub(super) fn run<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> T {
        let output: Rc<RefCell<Option<T>>> = Rc::default();
        let place = Rc::clone(&output);
        self.spawned.borrow_mut().push(Box::pin(async move { *place.borrow_mut() = Some(future.await) }));
        let end = self.now + Duration::from_secs(120);
        while output.borrow().is_none() {
            assert!(self.turn(end), "nothing more happens");
            assert!(self.now < end, "it takes too long");
        }
        output.take().unwrap()
    }

    /// Lets so much time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end && self.turn(end) {}
    }

    /// Does what can be done now, or else lets time pass until something can be, but not beyond `end`; false if nothing will
    /// ever be.
    fn turn(&mut self, end: Instant) -> bool {
        if self.run_tasks() {
            return true;
        }
        let mut sink = self.sink();
        while self.server.has_incoming() {
            self.server.accept_next(self.now, &mut sink);
        }
        while self.server.flush(self.now, &mut sink) != Flushed::All {}
        self.carry(sink, false);
        let mut sink = self.sink();
        while self.client.flush(self.now, &mut sink) != Flushed::All {}
        self.carry(sink, true);
        if !self.spawned.borrow().is_empty()
            || self.tasks.iter().any(|(_, flag)| flag.0.load(Ordering::Relaxed) > 0)
        {
            return true;
        }
        let arrival = self.flying.iter().map(|flying| flying.arrives).min();
        let timeouts = [self.server.next_timeout(), self.client.next_timeout()];
        let Some(next) = arrival.into_iter().chain(timeouts.into_iter().flatten()).min() else {
            return false;
        };
        self.now = self.now.max(next.min(end));
        self.server.expire(self.now);
        self.client.expire(self.now);
        self.deliver();
        true
    }

    fn sink(&self) -> Collected {
        Collected { full_every: self.weather.full_every, ..Collected::default() }
    }

    /// What the server answers at once to a datagram of a stranger.
    pub(super) fn answers(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let (peer, bytes) = (self.client_address, BytesMut::from(bytes));
        let mut sink = Collected::default();
        self.server.receive(self.now, ReceivedDatagram { bytes, peer, local: None, ecn: 0 }, &mut sink);
        sink.datagrams.into_iter().map(|(bytes, ..)| bytes).collect()
    }

    /// Runs tasks that were woken, in that order, as a worker does; false if none was.
    fn run_tasks(&mut self) -> bool {
        for task in std::mem::take(&mut *self.spawned.borrow_mut()) {
            let flag = Arc::new(Flag(AtomicU64::new(0)));
            flag.raise();
            self.tasks.push((task, flag));
        }
        self.tasks.sort_by_key(|(_, flag)| flag.0.load(Ordering::Relaxed));
        let mut has_run = false;
        self.tasks.retain_mut(|(task, flag)| {
            if flag.0.swap(0, Ordering::Relaxed) == 0 {
                return true;
            }
            has_run = true;
            let waker = Waker::from(Arc::clone(flag));
            task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        has_run
    }

    fn carry(&mut self, sink: Collected, to_server: bool) {
        for (mut bytes, ecn, to) in sink.datagrams {
            self.sent += 1;
            // Who has moved gets nothing at the old address.
            if !to_server && to != self.client_address || self.chance(self.weather.lost) {
                continue;
            }
            if self.chance(self.weather.changed) {
                let place = self.draw() as usize % bytes.len();
                bytes[place] ^= 1 << (self.draw() % 8);
            }
            let copies = if self.chance(self.weather.repeated) { 2 } else { 1 };
            for _ in 0..copies {
                let peer = if to_server { self.client_address } else { SERVER };
                let local = to_server.then(|| LocalAddress { ip: SERVER.ip(), interface: 0 });
                let datagram = ReceivedDatagram { bytes: BytesMut::from(&bytes[..]), peer, local, ecn };
                let jitter = self.weather.jitter.as_micros() as u64;
                let late = Duration::from_micros(self.draw().checked_rem(jitter).unwrap_or(0));
                self.flying.push(Flying { arrives: self.now + LATENCY + late, to_server, datagram });
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (mut arrived, flying): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.flying).into_iter().partition(|flying| flying.arrives <= now);
        self.flying = flying;
        arrived.sort_by_key(|flying| flying.arrives);
        for Flying { to_server, datagram, .. } in arrived {
            let mut sink = Collected::default();
            let side = if to_server { &mut self.server } else { &mut self.client };
            side.receive(now, datagram, &mut sink);
            self.carry(sink, !to_server);
        }
    }

    fn chance(&mut self, of_thousand: u64) -> bool {
        self.draw() % 1_000 < of_thousand
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn spawn_into(spawned: &Rc<RefCell<Vec<Task>>>) -> Spawn {
    let spawned = Rc::clone(spawned);
    Rc::new(move |task| spawned.borrow_mut().push(task))
}
