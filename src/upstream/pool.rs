//! Idle upstream connections of one worker, last used first.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::hash::Hasher;
use std::hash::RandomState;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::net::clock::Clock;
use crate::net::clock::Moment;
use crate::net::socket::Pending;
use crate::snapshot::Snapshot;
use crate::tls::Published;
use crate::tls::connect::Client;
use crate::tls::connect::ClientTerms;
use crate::tls::transport::Transport;
use crate::upstream::lease::Connection;

/// The idle connections of one worker, by group and backend.
///
/// No operation is in flight on an idle connection, and it holds no buffer. Whether its backend
/// closed it meanwhile is seen when it is about to be lent, and by a sweep once a second.
pub struct Pool {
    groups: Vec<RefCell<GroupPool>>,
    /// By group and backend.
    clients: Vec<Vec<RefCell<Option<Known>>>>,
    /// Keyed, so that nobody can make up two hosts that look the same.
    hosts: RandomState,
}

/// The client of a backend, and the terms that it was made for.
struct Known {
    terms: Arc<ClientTerms>,
    client: Rc<Client>,
}

/// An idle connection is looked for among so many, the last used first. Only where the server name
/// follows the host of the request can it be another than the first.
const MOST_LOOKED_AT: usize = 32;

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
        let clients =
            snapshot.groups.iter().map(|group| group.backends.iter().map(|_| RefCell::default()).collect());
        Pool {
            groups: snapshot.groups.iter().map(pool_of).collect(),
            clients: clients.collect(),
            hosts: RandomState::new(),
        }
    }

    /// A number that stands for the host of a request, whatever its case.
    pub fn server_name(&self, host: &[u8]) -> u64 {
        let mut hasher = self.hosts.build_hasher();
        host.iter().for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
        // 0 stands for no name.
        hasher.finish().max(1)
    }

    /// The TLS client of this backend, which remembers its sessions.
    pub fn client(&self, group: usize, backend: usize, terms: &Published<ClientTerms>) -> Option<Rc<Client>> {
        let terms = terms.load();
        let mut known = self.clients.get(group)?.get(backend)?.borrow_mut();
        if let Some(known) = &*known
            && Arc::ptr_eq(&known.terms, &terms)
        {
            return Some(Rc::clone(&known.client));
        }
        let client = Rc::new(terms.client());
        *known = Some(Known { terms, client: Rc::clone(&client) });
        Some(client)
    }

    /// An idle connection that its backend has not closed, if there is one, and that was opened for
    /// the same server name.
    pub fn take(&self, group: usize, backend: usize, server_name: u64) -> Option<Connection> {
        let mut group = self.groups.get(group)?.borrow_mut();
        loop {
            let shelf = group.shelves.get_mut(backend)?;
            let looked_at = shelf.len().saturating_sub(MOST_LOOKED_AT)..shelf.len();
            let fits = |index: &usize| {
                shelf.get(*index).is_some_and(|idle| idle.connection.server_name == server_name)
            };
            let index = looked_at.rev().find(fits)?;
            let idle = shelf.remove(index)?;
            group.idle -= 1;
            // Even within the turn in which the connection came back: its end, or bytes that nobody
            // asked for, may have come since the last byte of the response was received.
            if idle.connection.transport.pending() == Pending::Nothing {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection whose response was read in full. When the worker has its share, the one of this
    /// backend that was not used for longest makes room: where the server name follows the host of the
    /// request, clients could else fill the pool with names that nobody asks for again.
    pub fn give_back(&self, group: usize, backend: usize, connection: Connection, clock: &Clock) {
        let Some(group) = self.groups.get(group) else { return };
        let mut group = group.borrow_mut();
        let is_full = group.idle >= group.most_idle;
        if group.most_idle == 0 || group.keepalive_timeout.is_zero() {
            return;
        }
        let Some(shelf) = group.shelves.get_mut(backend) else { return };
        if is_full && shelf.pop_front().is_none() {
            return;
        }
        connection.deadline.clear();
        shelf.push_back(Idle { connection, since: clock.now() });
        if !is_full {
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
                let alive = |transport: &Transport| transport.pending() == Pending::Nothing;
                shelf.retain(|idle| now.since(idle.since) < timeout && alive(&idle.connection.transport));
                closed += before - shelf.len();
            }
            group.idle -= closed;
        }
    }
}
