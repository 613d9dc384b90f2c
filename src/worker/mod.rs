//! What one thread owns: the snapshot it serves from, pools, buffers, timers, its clock and its log.
//!
//! Nothing here is shared, so nothing is locked. A borrow of a `RefCell` never spans an `await`.

pub mod access_log;
pub mod arrivals;
pub mod choosing;
pub mod connection_balance;
pub mod counted;
pub mod mirrors;
pub mod password_checks;
pub mod snapshot_ref;
pub mod spans;

use std::cell::Cell;
use std::cell::OnceCell;
use std::cell::RefCell;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::io;
use std::rc::Rc;
use std::rc::Weak;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crate::net::buffer::Buffers;
use crate::net::clock::Clock;
use crate::net::clock::thread_cpu_time;
use crate::net::mailbox::Mailbox;
use crate::net::pipe::Pipes;
use crate::net::timer::Timers;
use crate::net::wake::Doorbell;
use crate::net::work_budget::WorkBudget;
use crate::snapshot::Snapshot;
use crate::snapshot::group::Versions;
use crate::snapshot::quota::Quota;
use crate::snapshot::rcu_cell::RcuCell;
use crate::snapshot::rules::RouterMemory;
use crate::telemetry::backend_counters::BackendCounters;
use crate::telemetry::date::Dates;
use crate::telemetry::span_queue::SpanQueues;
use crate::telemetry::worker_counters::WorkerCounters;
use crate::upstream::balancer::Balancer;
use crate::upstream::h2::pool::Connections;
use crate::upstream::pool::Pool;
use crate::upstream::proxied_client::ProxiedClients;
use crate::upstream::request_queues::RequestQueues;
use crate::upstream::want::Resources;
use crate::worker::access_log::AccessLogs;
use crate::worker::connection_balance::ConnectionBalance;
use crate::worker::mirrors::Mirrors;
use crate::worker::password_checks::PasswordChecks;
use crate::worker::password_checks::PasswordJob;
use crate::worker::snapshot_ref::SnapshotRef;
use crate::worker::spans::Spans;

/// Steps of TLS handshakes between two looks at the kernel's completions. A full handshake costs as
/// much as half a dozen requests, so that established connections wait half a millisecond at most.
const HANDSHAKE_STEPS_PER_TURN: usize = 8;

/// Bytes of content that a worker compresses in one turn of its loop, which takes one to two
/// milliseconds. Everything that is not compressed has its turn in between.
pub const COMPRESSED_PER_TURN: usize = 32 * 1024;

pub struct Worker {
    /// Counts from 0.
    pub index: usize,
    publication: Arc<RcuCell<Snapshot>>,
    /// The generation of `snapshot`.
    generation: Cell<u64>,
    snapshot: RefCell<SnapshotRef>,
    pub clock: Clock,
    pub timers: Timers,
    pub buffers: Buffers,
    pub pipes: Pipes,
    pub pool: Pool,
    pub balancer: Balancer,
    /// Connections of HTTP/2, which exchanges share.
    pub streams: Connections,
    /// Clients that backends are told of, with connections of their own.
    pub proxied: ProxiedClients,
    /// Downstream connections, of all listeners and workers.
    pub quota: Arc<Quota>,
    /// Bytes of requests that wait for a backend to be chosen, of all workers.
    pub request_memory: Arc<Quota>,
    /// Every step of a TLS handshake passes here.
    pub handshakes: WorkBudget,
    /// Content to compress passes here, at its size in bytes.
    pub compressions: WorkBudget,
    pub dates: RefCell<Dates>,
    /// Memory for building header values in.
    pub scratch: RefCell<Vec<u8>>,
    /// What rules are searched with.
    pub router: RefCell<RouterMemory>,
    /// Passwords that are verified elsewhere.
    pub password_checks: PasswordChecks,
    /// Copies of requests.
    pub mirrors: Mirrors,
    /// For tasks that outlive what began them.
    itself: OnceCell<Weak<Worker>>,
    /// None without an access log.
    pub logs: Option<AccessLogs>,
    pub spans: Spans,
    counters: Arc<WorkerCounters>,
    /// None: this worker serves what it accepts.
    balance: Option<Arc<ConnectionBalance>>,
    /// The worker that was handed a connection and is to be rung for.
    to_ring: Cell<Option<usize>>,
    /// Listening sockets that this worker accepts from.
    listeners: Cell<usize>,
    /// No connection may go on after the exchange it is in.
    draining: Cell<bool>,
    /// Nor does another process go on where this one listens.
    ending: Cell<bool>,
    /// What is relayed may go on no longer.
    stop_is_over: Cell<bool>,
    /// Responses that are being compressed.
    encoders: Cell<usize>,
    waiting_buffers: Cell<usize>,
    /// Keyed at random.
    nonces: RandomState,
    /// Nonces made so far.
    nonce_count: Cell<u64>,
}

/// What all workers have in common.
#[derive(Clone)]
pub struct ProcessHandles {
    pub publication: Arc<RcuCell<Snapshot>>,
    pub backend_counters: Arc<BackendCounters>,
    pub spans: Arc<SpanQueues>,
    pub worker_counters: Arc<WorkerCounters>,
    /// Slots of backends that failed too many requests in a row, for the health checker.
    pub failure_reports: Mailbox<u32>,
    pub quota: Arc<Quota>,
    pub request_memory: Arc<Quota>,
    /// Where passwords are verified.
    pub password_jobs: SyncSender<PasswordJob>,
    /// How connections get from one worker to another. None: they do not.
    pub balance: Option<Arc<ConnectionBalance>>,
    /// By worker: what tells it that a request of its queues may find room.
    pub queue_bells: Arc<[Doorbell]>,
}

impl Worker {
    /// To be called on the worker's thread.
    pub fn new(index: usize, shared: ProcessHandles, logs: Option<AccessLogs>) -> io::Result<Worker> {
        let (generation, snapshot) = shared.publication.load();
        let clock = Clock::start();
        let seed = clock.wall(clock.now()).as_nanos() as u64 ^ (index as u64) << 32;
        let queues = RequestQueues::new(index, shared.queue_bells);
        let worker = Worker {
            index,
            pool: Pool::new(index, snapshot.workers),
            streams: Connections::default(),
            proxied: ProxiedClients::default(),
            balancer: Balancer::new(index, shared.backend_counters, shared.failure_reports, (seed, queues)),
            publication: shared.publication,
            generation: Cell::new(generation),
            snapshot: RefCell::new(SnapshotRef::new(snapshot)),
            quota: shared.quota,
            request_memory: shared.request_memory,
            clock,
            timers: Timers::default(),
            buffers: Buffers::default(),
            pipes: Pipes::default(),
            handshakes: WorkBudget::new(HANDSHAKE_STEPS_PER_TURN)?,
            compressions: WorkBudget::new(COMPRESSED_PER_TURN)?,
            dates: RefCell::default(),
            scratch: RefCell::default(),
            router: RefCell::default(),
            mirrors: Mirrors::default(),
            itself: OnceCell::new(),
            password_checks: PasswordChecks::new(shared.password_jobs)?,
            logs,
            spans: Spans::new(shared.spans, index),
            counters: shared.worker_counters,
            balance: shared.balance,
            to_ring: Cell::new(None),
            listeners: Cell::new(0),
            draining: Cell::new(false),
            ending: Cell::new(false),
            stop_is_over: Cell::new(false),
            encoders: Cell::new(0),
            waiting_buffers: Cell::new(0),
            nonces: RandomState::new(),
            nonce_count: Cell::new(0),
        };
        worker.advance_dates();
        Ok(worker)
    }

    /// Lets tasks hold it that outlive what began them.
    pub fn share(self) -> Rc<Worker> {
        let worker = Rc::new(self);
        // Nothing else sets it.
        let _ = worker.itself.set(Rc::downgrade(&worker));
        worker
    }

    /// A hold on it for a task of its own; None unless it is shared.
    pub fn shared(&self) -> Option<Rc<Worker>> {
        self.itself.get()?.upgrade()
    }

    /// The work of each tick of the timer wheel.
    pub fn tick(&self) {
        self.timers.tick();
        self.balancer.tick();
        self.clock.follow_wall();
        self.advance_dates();
        if let Some(logs) = &self.logs {
            logs.hand_over();
        }
        self.spans.queue.borrow_mut().hand_over();
    }

    /// Tells how it is. `lag` is how much later than it should a tick was noticed.
    pub fn tell(&self, lag: Duration) {
        self.counters.tell(self.index, thread_cpu_time(), lag);
    }

    /// The snapshot in service. Its holder goes on with it, whatever is published meanwhile.
    pub fn snapshot(&self) -> SnapshotRef {
        if self.publication.generation() != self.generation.get() {
            let (generation, snapshot) = self.publication.load();
            self.generation.set(generation);
            self.snapshot.replace(SnapshotRef::new(snapshot));
            self.router.borrow_mut().forget();
        }
        self.snapshot.borrow().clone()
    }

    /// What connections to backends are made with.
    pub fn resources(&self) -> Resources<'_> {
        let Worker { pool, timers, buffers, handshakes, .. } = self;
        Resources { pool, timers, buffers, handshakes }
    }

    /// Closes connections to backends that are of no further use, and tells what is left.
    pub fn sweep_connections(&self) {
        self.streams.sweep();
        self.pool.sweep(self.clock.now());
        self.proxied.sweep(self.clock.now());
        for group in &self.snapshot().groups {
            let Some(counters) = &group.counters else { continue };
            let (http2, streams) = match group.versions {
                Versions::Http1 => (0, 0),
                Versions::Http2 | Versions::Both if group.proxy_header.is_some() => {
                    self.proxied.open_to(group)
                }
                Versions::Http2 | Versions::Both => self.streams.open_to(group),
            };
            counters.tell(self.index, [self.pool.idle_of(group), http2, streams]);
        }
    }

    /// A number that looks random.
    pub fn chance(&self) -> u32 {
        let count = self.nonce_count.get();
        self.nonce_count.set(count + 1);
        (self.nonces.hash_one(count) >> 32) as u32
    }

    /// Bytes that nobody can foretell.
    pub fn nonce(&self) -> [u8; 16] {
        let count = self.nonce_count.get();
        self.nonce_count.set(count + 2);
        let halves = [count, count + 1].map(|count| u128::from(self.nonces.hash_one(count)));
        (halves[0] << 64 | halves[1]).to_be_bytes()
    }

    /// The same, for the identity of a span.
    pub fn nonce_of_span(&self) -> u64 {
        let count = self.nonce_count.get();
        self.nonce_count.set(count + 1);
        self.nonces.hash_one(count)
    }

    pub fn listener_opened(&self) {
        self.listeners.set(self.listeners.get() + 1);
    }

    pub fn listener_closed(&self) {
        self.listeners.set(self.listeners.get() - 1);
    }

    /// Whether a drain has nothing left to wait for.
    pub fn is_drained(&self) -> bool {
        self.draining.get()
            && self.listeners.get() == 0
            && self.counters.connections(self.index) == 0
            && !self.has_arrivals()
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether nobody goes on where this process listens.
    pub fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// Whether the time for a graceful stop is over.
    pub fn is_stop_over(&self) -> bool {
        self.stop_is_over.get()
    }

    /// Relayed connections end as soon as they are woken.
    pub fn end_stop(&self) {
        self.stop_is_over.set(true);
    }

    /// From now on every response is the last on its connection, and idle connections end within
    /// `idle`, unless a request comes first.
    pub fn begin_drain(&self, idle: Duration, has_successor: bool) {
        self.draining.set(true);
        self.ending.set(!has_successor);
        self.refuse_arrivals();
        self.timers.shorten(idle);
    }

    /// Lets `dates` be of the present second, for which ticks alone are too coarse.
    pub fn advance_dates(&self) {
        self.dates.borrow_mut().advance(self.clock.wall(self.clock.now()));
    }
}
