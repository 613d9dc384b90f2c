//! Ending gracefully: no connection that a client could open is reset, no request is cut off.
//!
//! When a drain begins, every worker stops the arrival of new connections, accepts those that wait,
//! and answers each further request with `Connection: close`. Idle connections stay for a moment, so
//! that a request which is already on its way still finds somebody; then they are closed.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use crate::control::build::sockets::SocketOrder;
use crate::net::mailbox::Mailbox;

/// How long an idle connection may still bring a request.
pub(super) const IDLE_GRACE: Duration = Duration::from_secs(1);

/// How long workers may take to tell clients that the process ends.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);

/// The word to drain, from the minding thread to all workers.
pub(super) struct Drain {
    /// Milliseconds of grace for idle connections, plus one; 0 before a drain.
    grace: AtomicU64,
    /// What is relayed may go on no longer.
    is_over: AtomicBool,
    /// Numbers of the sockets on which a successor accepts.
    left: OnceLock<Vec<u64>>,
    workers: Vec<Mailbox<SocketOrder>>,
}

impl Drain {
    pub(super) fn new(workers: Vec<Mailbox<SocketOrder>>) -> Arc<Drain> {
        Arc::new(Drain {
            grace: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            left: OnceLock::new(),
            workers,
        })
    }

    /// Leaves these sockets, by number, to a successor, in the drain that begins next.
    pub(super) fn leave(&self, sockets: Vec<u64>) {
        // A drain begins once.
        drop(self.left.set(sockets));
    }

    /// Whether a successor serves everything new.
    pub(super) fn has_successor(&self) -> bool {
        self.left.get().is_some()
    }

    pub(super) fn is_left(&self, number: u64) -> bool {
        self.left.get().is_some_and(|left| left.contains(&number))
    }

    /// Tells every worker. With little time in all, idle connections get less of it.
    pub(super) fn begin(&self, shutdown_timeout: Duration) {
        let grace = IDLE_GRACE.min(shutdown_timeout / 2);
        self.grace.store(u64::try_from(grace.as_millis()).unwrap_or(0) + 1, Ordering::Release);
        self.workers.iter().for_each(Mailbox::ring);
    }

    /// Lets workers tell clients of QUIC that the process ends, and waits a moment for that.
    pub(super) fn bid_farewell(&self) {
        let (sender, done) = mpsc::channel::<()>();
        for worker in &self.workers {
            // One that is not told has too much else to do.
            drop(worker.send(SocketOrder::BidFarewell(sender.clone())));
        }
        drop(sender);
        // Nobody sends: it ends when all are done.
        let _ = done.recv_timeout(FAREWELL_TIMEOUT);
    }

    /// Tells every worker to end what is relayed.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.workers.iter().for_each(Mailbox::ring);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// The grace for idle connections once a drain has begun.
    pub(super) fn begun(&self) -> Option<Duration> {
        self.grace.load(Ordering::Acquire).checked_sub(1).map(Duration::from_millis)
    }
}
