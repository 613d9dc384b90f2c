//! Idle upstream connections of one worker, last used first.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use crate::net::clock::Clock;
use crate::net::clock::Moment;
use crate::net::socket::Pending;
use crate::net::socket::Socket;
use crate::snapshot::Snapshot;
use crate::upstream::lease::Connection;

/// The idle connections of one worker, by group and backend.
///
/// No operation is in flight on an idle connection, and it holds no buffer. Whether its backend
/// closed it meanwhile is seen when it is about to be lent, and by a sweep once a second.
pub struct Pool {
    groups: Vec<RefCell<GroupPool>>,
}

struct GroupPool {
    /// Connections over all shelves.
    idle: usize,
    /// This worker's share of `keepalive_connections`; the shares add up to it.
    most_idle: usize,
    keepalive_timeout: Duration,
    /// By backend; the last used connection stands last.
    shelves: Vec<VecDeque<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Moment,
}

impl Pool {
    pub fn new(snapshot: &Snapshot, worker: usize) -> Pool {
        let pool_of = |group: &crate::snapshot::Group| {
            let most = group.keepalive_connections;
            let remainder = usize::from(worker < most % snapshot.workers);
            RefCell::new(GroupPool {
                idle: 0,
                most_idle: most / snapshot.workers + remainder,
                keepalive_timeout: group.keepalive_timeout,
                shelves: group.backends.iter().map(|_| VecDeque::new()).collect(),
            })
        };
        Pool { groups: snapshot.groups.iter().map(pool_of).collect() }
    }

    /// An idle connection that its backend has not closed, if there is one.
    pub fn take(&self, group: usize, backend: usize) -> Option<Connection> {
        let mut group = self.groups.get(group)?.borrow_mut();
        loop {
            let idle = group.shelves.get_mut(backend)?.pop_back()?;
            group.idle -= 1;
            // Even within the turn in which the connection came back: its end, or bytes that nobody
            // asked for, may have come since the last byte of the response was received.
            if idle.connection.socket.pending() == Pending::Nothing {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection whose response was read in full; drops it when the worker has its share.
    pub fn give_back(&self, group: usize, backend: usize, connection: Connection, clock: &Clock) {
        let Some(group) = self.groups.get(group) else { return };
        let mut group = group.borrow_mut();
        if group.idle >= group.most_idle || group.keepalive_timeout.is_zero() {
            return;
        }
        connection.deadline.clear();
        let idle = Idle { connection, since: clock.now() };
        if let Some(shelf) = group.shelves.get_mut(backend) {
            shelf.push_back(idle);
            group.idle += 1;
        }
    }

    /// Closes connections that were idle for too long or that their backend closed.
    pub fn sweep(&self, now: Moment) {
        for group in &self.groups {
            let mut group = group.borrow_mut();
            let timeout = group.keepalive_timeout;
            let mut closed = 0;
            for shelf in &mut group.shelves {
                let before = shelf.len();
                let alive = |socket: &Socket| socket.pending() == Pending::Nothing;
                shelf.retain(|idle| now.since(idle.since) < timeout && alive(&idle.connection.socket));
                closed += before - shelf.len();
            }
            group.idle -= closed;
        }
    }
}
