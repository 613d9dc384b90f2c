//! Connections even over workers: one that was accepted is handed to the worker with the fewest.
//!
//! The kernel spreads connections over the listening sockets of workers by a hash of their addresses, so that of `n`
//! connections on `k` workers the busiest has about sqrt(n/k) more than its share. That evens out with thousands of
//! them, but a router in front with ten connections of HTTP/2 would keep one worker busy and leave the other idle.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;

use crate::net::listen::AcceptedSocket;
use crate::net::mailbox::Mailbox;
use crate::net::wake::Wakeups;
use crate::snapshot::client_connections::ClientShare;
use crate::telemetry::worker_counters::WorkerCounters;

/// Connections on their way to a worker, as many as one worker accepts in a turn of its loop. What does not fit is
/// served by the worker that accepted it.
const MAX_ARRIVALS: usize = 256;

/// How much more than the least loaded worker another one may have, in hundredths and in connections: what evens out by
/// itself is not worth a hand-over.
const TOLERANCE_PERCENT: u64 = 5;
const TOLERANCE: u64 = 1;

/// A connection that was accepted and counted against all quotas, of which nothing was received.
pub struct AcceptedConnection {
    pub socket: AcceptedSocket,
    pub peer: SocketAddr,
    /// The one that the client connected to.
    pub port: u16,
    /// The listener's slot.
    pub listener: usize,
    /// What the client counts for, where connections of each are limited.
    pub share: Option<Box<ClientShare>>,
}

/// How connections get from the worker that accepted them to another one.
pub struct ConnectionBalance<C = AcceptedConnection> {
    inboxes: Box<[Inbox<C>]>,
}

/// What is on its way to one worker.
struct Inbox<C> {
    arrivals: Mailbox<C>,
    /// The worker will look, so that nobody need ring again.
    is_rung: AtomicBool,
    /// The worker drains: what is put in from now on, its sender takes out again.
    is_closed: AtomicBool,
}

impl<C> ConnectionBalance<C> {
    /// None for a single worker.
    pub fn new(workers: usize) -> io::Result<Option<Arc<ConnectionBalance<C>>>> {
        let inbox = |_| {
            let (arrivals, no) = (Mailbox::new(MAX_ARRIVALS)?, || AtomicBool::new(false));
            Ok(Inbox { arrivals, is_rung: no(), is_closed: no() })
        };
        let inboxes = (0..workers).map(inbox).collect::<io::Result<_>>()?;
        Ok((workers > 1).then(|| Arc::new(ConnectionBalance { inboxes })))
    }

    /// The worker that is to serve a connection that `own` has accepted; None: itself.
    pub(super) fn less_loaded(&self, own: usize, counters: &WorkerCounters) -> Option<usize> {
        let load = |worker: usize, inbox: &Inbox<C>| {
            u64::from(counters.connections(worker)) + inbox.arrivals.len() as u64
        };
        let own_load = load(own, self.inboxes.get(own)?) + 1;
        // Those behind it come first, so that workers that are equally busy do not all choose the same one.
        let count = self.inboxes.len();
        let others = (own + 1..own + count).map(|place| place % count);
        let open = others.filter_map(|worker| {
            let inbox = self.inboxes.get(worker)?;
            (!inbox.is_closed.load(Ordering::Relaxed)).then(|| (load(worker, inbox), worker))
        });
        let (least, worker) = open.min_by_key(|(load, _)| *load)?;
        is_too_many(own_load, least).then_some(worker)
    }

    /// Hands a connection to another worker, which is to be rung for. What is returned is for the caller to serve: this
    /// one, or another one that lay there, because the worker has no room or drains.
    pub(super) fn send(&self, worker: usize, connection: C) -> Option<C> {
        let Some(inbox) = self.inboxes.get(worker) else { return Some(connection) };
        if let Err(connection) = inbox.arrivals.put(connection) {
            return Some(connection);
        }
        // Either the worker sees what was put in after it has closed its inbox, or we see that it has.
        fence(Ordering::SeqCst);
        if inbox.is_closed.load(Ordering::Relaxed) { inbox.arrivals.take() } else { None }
    }

    /// Wakes a worker to which something was handed.
    pub(super) fn ring(&self, worker: usize) {
        // The worker resets this before it looks. So where it is still set, the look is to come and finds what was put in.
        if let Some(inbox) = self.inboxes.get(worker)
            && !inbox.is_rung.swap(true, Ordering::SeqCst)
        {
            inbox.arrivals.ring();
        }
    }

    /// What wakes this worker.
    pub(super) fn listen(&self, worker: usize) -> io::Result<Option<Wakeups>> {
        self.inboxes.get(worker).map(|inbox| inbox.arrivals.listen()).transpose()
    }

    /// What was handed to this worker, which looks now; at most as many as fit.
    pub(super) fn take(&self, worker: usize) -> impl Iterator<Item = C> {
        let inbox = self.inboxes.get(worker);
        if let Some(inbox) = inbox {
            inbox.is_rung.swap(false, Ordering::SeqCst);
        }
        std::iter::from_fn(move || inbox?.arrivals.take()).take(MAX_ARRIVALS)
    }

    /// Whether something is on its way to this worker.
    pub(super) fn has_arrivals(&self, worker: usize) -> bool {
        self.inboxes.get(worker).is_some_and(|inbox| !inbox.arrivals.is_empty())
    }

    /// Lets nothing more be handed to this worker. It still has to take what lies there.
    pub(super) fn close(&self, worker: usize) {
        if let Some(inbox) = self.inboxes.get(worker) {
            inbox.is_closed.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }
}

/// Whether a worker with so many connections has more than its share.
fn is_too_many(own: u64, least: u64) -> bool {
    100 * own > (100 + TOLERANCE_PERCENT) * least + 100 * TOLERANCE
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn balance(workers: usize) -> Arc<ConnectionBalance<u32>> {
        ConnectionBalance::new(workers).unwrap().unwrap()
    }

    #[test]
    fn a_worker_may_have_one_more_and_a_twentieth() {
        for (own, least, expected) in
            [(1, 0, false), (2, 0, true), (5, 4, false), (6, 4, true), (22, 20, false), (23, 20, true)]
        {
            assert_eq!(is_too_many(own, least), expected, "{own} {least}");
        }
        assert!(!is_too_many(106_001, 100_953) && is_too_many(106_002, 100_952));
    }

    #[test]
    fn the_least_loaded_of_those_that_take_any_is_chosen() {
        let (balance, counters) = (balance(4), WorkerCounters::new(4));
        let open = |worker: usize, count: u32| (0..count).for_each(|_| counters.opened(worker));
        assert_eq!(balance.less_loaded(1, &counters), None);
        open(1, 1);
        // Of those with none, the next one.
        assert_eq!(balance.less_loaded(1, &counters), Some(2));
        open(2, 1);
        assert_eq!(balance.less_loaded(1, &counters), Some(3));
        // What is on its way counts.
        assert_eq!(balance.send(3, 7), None);
        assert_eq!(balance.less_loaded(1, &counters), Some(0));
        balance.close(0);
        assert_eq!(balance.less_loaded(1, &counters), None);
        open(1, 1);
        assert_eq!(balance.less_loaded(1, &counters), Some(2));
        (2..4).for_each(|worker| balance.close(worker));
        assert_eq!(balance.less_loaded(1, &counters), None);
        assert!(ConnectionBalance::<u32>::new(1).unwrap().is_none());
    }

    #[test]
    fn what_does_not_fit_comes_back() {
        let balance = balance(2);
        let kept = (0..300).filter_map(|connection| balance.send(1, connection));
        assert_eq!(kept.collect::<Vec<_>>(), (256..300).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_lost_with_a_worker_that_ends() {
        const EACH: u32 = 2_000;
        for round in 0..20 {
            let (balance, kept) = (balance(3), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let sent = (0..EACH).filter_map(|connection| balance.send(2, connection));
                        kept.fetch_add(sent.count(), Ordering::Relaxed);
                    });
                }
                let taken = || std::iter::from_fn(|| balance.take(2).next()).count();
                // In each round it ends at another moment.
                let mut served = (0..round * 5).map(|_| taken()).sum::<usize>();
                balance.close(2);
                served += taken();
                kept.fetch_add(served, Ordering::Relaxed);
            });
            assert_eq!(kept.into_inner(), 2 * EACH as usize);
            assert!(!balance.has_arrivals(2));
        }
    }
}
