//! What one thread owns: the snapshot it serves from, pools, buffers, timers, its clock and its log.
//!
//! Nothing here is shared, so nothing is locked. A borrow of a `RefCell` never spans an `await`.

use std::cell::Cell;
use std::cell::RefCell;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::net::buffer::Buffers;
use crate::net::clock::Clock;
use crate::net::clock::Moment;
use crate::net::mailbox::Mailbox;
use crate::net::timer::Timers;
use crate::net::turnstile::Turnstile;
use crate::snapshot::Snapshot;
use crate::snapshot::quota::Quota;
use crate::snapshot::rcu_cell::RcuCell;
use crate::snapshot::tally::Tallies;
use crate::telemetry::access_log::Format;
use crate::telemetry::access_log::Line;
use crate::telemetry::date::Dates;
use crate::telemetry::log_writer::LogQueue;
use crate::telemetry::record::Attempt;
use crate::telemetry::record::MAX_ATTEMPTS;
use crate::telemetry::record::RequestFacts;
use crate::upstream::balancer::Balancer;
use crate::upstream::h2::pool::Connections;
use crate::upstream::pool::Pool;
use crate::upstream::want::Resources;

/// Steps of TLS handshakes between two looks at the kernel's completions. A full handshake costs as
/// much as half a dozen requests, so that established connections wait half a millisecond at most.
const HANDSHAKE_STEPS_PER_TURN: usize = 8;

pub struct Worker {
    /// Counts from 0.
    pub index: usize,
    publication: Arc<RcuCell<Snapshot>>,
    /// The generation of `held`.
    generation: Cell<u64>,
    held: RefCell<Held>,
    pub clock: Clock,
    pub timers: Timers,
    pub buffers: Buffers,
    pub pool: Pool,
    pub balancer: Balancer,
    /// Shared connections of HTTP/2.
    pub streams: Connections,
    /// Downstream connections, of all listeners and workers.
    pub quota: Arc<Quota>,
    /// Bytes of requests that wait for a backend to be chosen, of all workers.
    pub request_memory: Arc<Quota>,
    /// Every step of a TLS handshake passes here.
    pub handshakes: Turnstile,
    /// Content to compress passes here, at its size in bytes.
    pub compressions: Turnstile,
    pub dates: RefCell<Dates>,
    /// Memory for building header values in.
    pub scratch: RefCell<Vec<u8>>,
    pub log: Option<AccessLog>,
    /// Connections of clients that this worker has.
    connections: Cell<usize>,
    /// Listening sockets that this worker accepts from.
    listeners: Cell<usize>,
    /// No connection may go on after the exchange it is in.
    draining: Cell<bool>,
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
pub struct Shared {
    pub publication: Arc<RcuCell<Snapshot>>,
    pub tallies: Arc<Tallies>,
    /// Slots of backends that failed too many requests in a row, for the health core.
    pub failure_reports: Mailbox<u32>,
    pub quota: Arc<Quota>,
    pub request_memory: Arc<Quota>,
}

/// A snapshot that is being served from. Cloning it touches nothing that other workers do.
#[derive(Clone)]
#[expect(clippy::redundant_allocation, reason = "the outer count is this worker's own")]
pub struct Held(Rc<Arc<Snapshot>>);

impl Deref for Held {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// A connection that counts against the quotas of process and listener.
pub struct CountedConnection {
    worker: Rc<Worker>,
    listener: usize,
}

impl CountedConnection {
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// The listener's slot.
    pub fn listener(&self) -> usize {
        self.listener
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.worker.connections.set(self.worker.connections.get() - 1);
        self.worker.quota.release();
        // A listener stays in the snapshot for as long as it has connections.
        if let Some(listener) = self.worker.snapshot().listener(self.listener) {
            listener.connections.release();
        }
    }
}

/// Responses that a worker compresses at a time. Each takes up to 2.2 MiB for as long as its client
/// takes to receive it; what comes beyond is sent as it is.
const MAX_ENCODERS: usize = 64;

/// Bytes of content that a worker compresses in one turn of its loop, which takes one to two
/// milliseconds. Everything that is not compressed has its turn in between.
pub const COMPRESSED_PER_TURN: usize = 32 * 1024;

/// Connections that wait for their next request with a buffer of 8 KiB, on one worker: 8 MiB.
const MAX_WAITING_BUFFERS: usize = 1024;

/// A connection that waits with a buffer.
pub struct CountedBuffer<'w> {
    worker: &'w Worker,
}

impl Drop for CountedBuffer<'_> {
    fn drop(&mut self) {
        self.worker.waiting_buffers.set(self.worker.waiting_buffers.get() - 1);
    }
}

/// A response that is being compressed.
pub struct CountedEncoder<'w> {
    worker: &'w Worker,
}

impl Drop for CountedEncoder<'_> {
    fn drop(&mut self) {
        self.worker.encoders.set(self.worker.encoders.get() - 1);
    }
}

/// A worker's side of the access log.
pub struct AccessLog {
    pub format: Format,
    pub queue: RefCell<LogQueue>,
    /// Memory of lines that are not being written.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept, an exchange holds one by its pointer")]
    spare_lines: RefCell<Vec<Box<BegunLine>>>,
    /// Chosen at random when the process starts.
    pub process: u64,
    pub sequence: Cell<u64>,
}

/// Memory of lines that is kept for the next ones: what a steady load needs, and at most 2 MiB.
const KEPT_LINE_BYTES: usize = 2 * 1024;
const KEPT_LINES: usize = 1024;

/// A log line, begun when its request came, and the moments that its end will need.
#[derive(Default)]
pub struct BegunLine {
    pub line: Line,
    pub received: Moment,
    pub request_read: Option<Moment>,
    pub upstream_began: Option<Moment>,
    pub upstream_ended: Option<Moment>,
    pub response_began: Option<Moment>,
    pub attempts: ArrayVec<Attempt, MAX_ATTEMPTS>,
    /// With what a call of gRPC ended, once that is known.
    pub grpc_status: Option<u32>,
}

impl AccessLog {
    /// Begins the line of a request in memory that an earlier one left.
    pub fn begin_line(&self, received: Moment, request: &RequestFacts<'_>, dates: &Dates) -> Box<BegunLine> {
        let mut begun = self.spare_lines.borrow_mut().pop().unwrap_or_default();
        let bytes = std::mem::take(&mut begun.line).into_bytes();
        *begun =
            BegunLine { line: self.format.begin(bytes, request, dates), received, ..BegunLine::default() };
        begun
    }

    /// Takes back the memory of a line that was written, unless it is unusually large.
    pub fn keep(&self, begun: Box<BegunLine>) {
        let mut spare_lines = self.spare_lines.borrow_mut();
        if begun.line.capacity() <= KEPT_LINE_BYTES && spare_lines.len() < KEPT_LINES {
            spare_lines.push(begun);
        }
    }

    pub fn new(format: Format, queue: LogQueue, process: u64) -> AccessLog {
        AccessLog {
            format,
            queue: RefCell::new(queue),
            spare_lines: RefCell::default(),
            process,
            sequence: Cell::new(0),
        }
    }
}

impl Worker {
    /// To be called on the worker's thread.
    pub fn new(index: usize, shared: Shared, log: Option<AccessLog>) -> io::Result<Worker> {
        let (generation, snapshot) = shared.publication.load();
        let clock = Clock::start();
        let seed = clock.wall(clock.now()).as_nanos() as u64 ^ (index as u64) << 32;
        let worker = Worker {
            index,
            pool: Pool::new(index, snapshot.workers),
            streams: Connections::default(),
            balancer: Balancer::new(index, shared.tallies, shared.failure_reports, seed),
            publication: shared.publication,
            generation: Cell::new(generation),
            held: RefCell::new(Held(Rc::new(snapshot))),
            quota: shared.quota,
            request_memory: shared.request_memory,
            clock,
            timers: Timers::default(),
            buffers: Buffers::default(),
            handshakes: Turnstile::new(HANDSHAKE_STEPS_PER_TURN)?,
            compressions: Turnstile::new(COMPRESSED_PER_TURN)?,
            dates: RefCell::default(),
            scratch: RefCell::default(),
            log,
            connections: Cell::new(0),
            listeners: Cell::new(0),
            draining: Cell::new(false),
            encoders: Cell::new(0),
            waiting_buffers: Cell::new(0),
            nonces: RandomState::new(),
            nonce_count: Cell::new(0),
        };
        worker.advance_dates();
        Ok(worker)
    }

    /// The work of each tick of the timer wheel.
    pub fn tick(&self) {
        self.timers.tick();
        self.balancer.tick();
        self.clock.follow_wall();
        self.advance_dates();
        if let Some(log) = &self.log {
            log.queue.borrow_mut().hand_over();
        }
    }

    /// The snapshot in service. Whoever holds it goes on with it, whatever is published meanwhile.
    pub fn snapshot(&self) -> Held {
        if self.publication.generation() != self.generation.get() {
            let (generation, snapshot) = self.publication.load();
            self.generation.set(generation);
            self.held.replace(Held(Rc::new(snapshot)));
        }
        self.held.borrow().clone()
    }

    /// What connections to backends are made with.
    pub fn resources(&self) -> Resources<'_> {
        let Worker { pool, timers, buffers, handshakes, .. } = self;
        Resources { pool, timers, buffers, handshakes }
    }

    /// Closes connections to backends that are of no further use.
    pub fn sweep_connections(&self) {
        self.streams.sweep();
        self.pool.sweep(self.clock.now());
    }

    /// Bytes that nobody can foretell.
    pub fn nonce(&self) -> [u8; 16] {
        let count = self.nonce_count.get();
        self.nonce_count.set(count + 2);
        let halves = [count, count + 1].map(|count| u128::from(self.nonces.hash_one(count)));
        (halves[0] << 64 | halves[1]).to_be_bytes()
    }

    pub fn listener_opened(&self) {
        self.listeners.set(self.listeners.get() + 1);
    }

    pub fn listener_closed(&self) {
        self.listeners.set(self.listeners.get() - 1);
    }

    /// Whether a drain has nothing left to wait for.
    pub fn is_drained(&self) -> bool {
        self.draining.get() && self.listeners.get() == 0 && self.connections.get() == 0
    }

    /// Counts a connection of the listener with this index, which was accepted against the quotas,
    /// until what is returned is dropped.
    pub fn connection_opened(self: &Rc<Worker>, listener: usize) -> CountedConnection {
        self.connections.set(self.connections.get() + 1);
        CountedConnection { worker: Rc::clone(self), listener }
    }

    /// Counts a connection that waits with a buffer, until what is returned is dropped; none beyond the limit.
    pub fn count_waiting_buffer(&self) -> Option<CountedBuffer<'_>> {
        let count = self.waiting_buffers.get();
        (count < MAX_WAITING_BUFFERS).then(|| {
            self.waiting_buffers.set(count + 1);
            CountedBuffer { worker: self }
        })
    }

    /// Whether one more response may be compressed.
    pub fn has_encoder_left(&self) -> bool {
        self.encoders.get() < MAX_ENCODERS
    }

    /// Counts a response that is compressed, until what is returned is dropped.
    pub fn count_encoder(&self) -> CountedEncoder<'_> {
        self.encoders.set(self.encoders.get() + 1);
        CountedEncoder { worker: self }
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// From now on every response is the last on its connection, and idle connections end within
    /// `idle`, unless a request comes first.
    pub fn begin_drain(&self, idle: Duration) {
        self.draining.set(true);
        self.timers.hasten(idle);
    }

    /// Lets `dates` be of the present second, for which ticks alone are too coarse.
    pub fn advance_dates(&self) {
        self.dates.borrow_mut().advance(self.clock.wall(self.clock.now()));
    }
}
