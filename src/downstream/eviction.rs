//! Idle connections give way where a limit keeps new clients waiting.
//!
//! The worker whose listening socket has clients waiting ends its own idle connections first. For what it lacks it asks
//! the others, which look at each tick: connections count against limits that all workers share.

use crate::net::timer::TICKS_PER_SECOND;
use crate::net::timer::Tag;
use crate::snapshot::Listener;
use crate::snapshot::quota::Quota;
use crate::worker::Worker;

/// What keeps a new connection waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionLimit {
    /// `process.max_connections`, or the descriptors that the process may have.
    Process,
    /// `max_connections` of the listener.
    Listener,
    /// `connections_per_second` of the listener, to which no connection that ends makes a difference.
    Rate,
}

/// Who was idle for less is likely to send its next request soon; half of the second that a new client waits at most.
const MIN_IDLE_TICKS: u64 = TICKS_PER_SECOND / 2;

/// Connections that a worker ends at one tick, so that a flood of new ones does not make it end all at once.
const MAX_EVICTIONS: usize = 64;

/// Ends as many idle connections as clients wait, and asks other workers for what is missing. Returns how many were ended.
pub(super) fn make_room(limit: ConnectionLimit, listener: usize, waiting: usize, worker: &Worker) -> usize {
    let snapshot = worker.snapshot();
    let (quota, wanted, evicted) = match (limit, snapshot.listener(listener)) {
        (ConnectionLimit::Process, _) => {
            let wanted = wanted(waiting, &worker.quota);
            (&*worker.quota, wanted, evict(wanted, |_| true, worker))
        }
        (ConnectionLimit::Listener, Some(terms)) => {
            let wanted = wanted(waiting, &terms.connections);
            (&*terms.connections, wanted, evict(wanted, is_of(listener), worker))
        }
        (ConnectionLimit::Listener, None) | (ConnectionLimit::Rate, _) => return 0,
    };
    quota.want(wanted - evicted);
    evicted
}

/// Makes room for a client that is not counted yet and comes again, if that is possible on this worker; others are asked.
pub(super) fn makes_room_for_one(listener: &Listener, worker: &Worker) -> bool {
    let limit = if worker.quota.has_left() { ConnectionLimit::Listener } else { ConnectionLimit::Process };
    make_room(limit, listener.slot, 1, worker) > 0
}

/// Connections to be ended so that those that wait come in, also after a reload that has lowered the limit.
fn wanted(waiting: usize, quota: &Quota) -> usize {
    let excess = quota.limit().map_or(0, |limit| quota.used().saturating_sub(limit));
    if waiting == 0 { 0 } else { (waiting + excess).min(MAX_EVICTIONS) }
}

/// Whoever waits still asks again.
pub(super) fn end_wait(limit: ConnectionLimit, listener: usize, worker: &Worker) {
    match (limit, worker.snapshot().listener(listener)) {
        (ConnectionLimit::Process, _) => worker.quota.stop_wanting(),
        (ConnectionLimit::Listener, Some(terms)) => terms.connections.stop_wanting(),
        (ConnectionLimit::Listener, None) | (ConnectionLimit::Rate, _) => {}
    }
}

/// Ends idle connections for which other workers have clients waiting; to be called at each tick.
pub fn make_room_for_others(worker: &Worker) {
    spare(&worker.quota, |_| true, worker);
    for terms in worker.snapshot().listeners.iter().flatten() {
        spare(&terms.connections, is_of(terms.slot), worker);
    }
}

fn spare(quota: &Quota, is_meant: impl Fn(Tag) -> bool, worker: &Worker) {
    let wanted = quota.wanted().min(MAX_EVICTIONS);
    if wanted > 0 {
        quota.spare(evict(wanted, is_meant, worker));
    }
}

fn evict(count: usize, is_meant: impl Fn(Tag) -> bool, worker: &Worker) -> usize {
    if count == 0 { 0 } else { worker.timers.evict_idle(count, MIN_IDLE_TICKS, is_meant) }
}

/// Connections of the listener with this slot.
fn is_of(listener: usize) -> impl Fn(Tag) -> bool {
    move |tag| matches!(tag, Tag::Listener(slot) | Tag::QuicListener(slot) if slot as usize == listener)
}
