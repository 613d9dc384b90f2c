//! Idle upstream connections of one worker, last used first.

use std::cell::Cell;
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
use crate::snapshot::backend::Backend;
use crate::snapshot::group::Group;
use crate::tls::SwapCell;
use crate::tls::connect::TlsClient;
use crate::tls::connect::UpstreamTls;
use crate::upstream::connection::Connection;
use crate::upstream::pool_key::PoolKey;

/// The idle connections of one worker.
///
/// No operation is in flight on an idle connection, and it holds no buffer. Whether its backend
/// closed it meanwhile is seen when it is about to be lent, and by a sweep once a second. The pool
/// outlives reloads: its lists stand by the slots of their backends.
pub struct Pool {
    /// Counts from 0.
    worker: usize,
    workers: usize,
    idle_lists: RefCell<Vec<IdleList>>,
    idle: Rc<IdleCounts>,
    /// By the slot of the backend.
    clients: RefCell<Vec<Option<KnownClient>>>,
    /// Connections and streams lent so far, where their order matters.
    uses: Cell<u64>,
    /// Keyed, so that no client can make up two hosts that look the same.
    hosts: RandomState,
}

/// The client of a backend, and the terms that it was made for.
struct KnownClient {
    identity: u64,
    terms: Arc<UpstreamTls>,
    client: Rc<TlsClient>,
}

/// An idle connection is looked for among this many, the last used first. Only where the server name
/// follows the host of the request can it be another than the first.
const MAX_LOOKED_AT: usize = 32;

/// The idle connections of a backend; the last used one stands last.
#[derive(Default)]
struct IdleList {
    idle: VecDeque<IdleConnection>,
    /// While it has connections. So the slot cannot become another backend's meanwhile.
    backend: Option<Arc<Backend>>,
    group: u32,
    keepalive_timeout: Duration,
}

struct IdleConnection {
    connection: Connection,
    since: Moment,
}

impl Pool {
    /// The index of its worker.
    pub fn worker(&self) -> usize {
        self.worker
    }

    pub fn new(worker: usize, workers: usize) -> Pool {
        Pool {
            worker,
            workers: workers.max(1),
            idle_lists: RefCell::default(),
            idle: Rc::default(),
            clients: RefCell::default(),
            uses: Cell::new(0),
            hosts: RandomState::new(),
        }
    }

    /// Which connections of a group a request for this host may use.
    pub fn key(&self, group: &Group, host: &[u8]) -> PoolKey {
        match &group.tls {
            Some(terms) if terms.load().follows_host() => PoolKey::of(group.security, self.hash_host(host)),
            _ => PoolKey::of(group.security, 0),
        }
    }

    /// The stamp of a use, later than all before.
    pub fn next_use(&self) -> u64 {
        self.uses.set(self.uses.get() + 1);
        self.uses.get()
    }

    /// The TLS client of this backend, which remembers its sessions.
    pub fn client(&self, backend: &Backend, terms: &SwapCell<UpstreamTls>) -> Rc<TlsClient> {
        let terms = terms.load();
        let mut clients = self.clients.borrow_mut();
        let known = place(&mut clients, backend.slot as usize);
        if let Some(known) = &*known
            && known.identity == backend.identity
            && Arc::ptr_eq(&known.terms, &terms)
        {
            return Rc::clone(&known.client);
        }
        let client = Rc::new(terms.client());
        *known = Some(KnownClient { identity: backend.identity, terms, client: Rc::clone(&client) });
        client
    }

    /// An idle connection with this key that its backend has not closed, if there is one.
    pub fn take(&self, backend: &Backend, pool_key: PoolKey) -> Option<Connection> {
        let mut idle_lists = self.idle_lists.borrow_mut();
        let idle_list = idle_lists.get_mut(backend.slot as usize)?;
        loop {
            let looked_at = idle_list.idle.len().saturating_sub(MAX_LOOKED_AT)..idle_list.idle.len();
            let fits = |index: &usize| {
                idle_list.idle.get(*index).is_some_and(|idle| idle.connection.pool_key == pool_key)
            };
            let index = looked_at.rev().find(fits)?;
            let idle = idle_list.idle.remove(index)?;
            self.count_down(idle_list, 1);
            // Even within the turn in which the connection came back: its end, or bytes that no request
            // asked for, may have come since the last byte of the response was received.
            if is_usable(&idle.connection) {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection whose response was read in full. When the worker has its share, the one of this
    /// backend that was not used for longest makes room: where the server name follows the host of the
    /// request, clients could else fill the pool with names that are never asked for again.
    pub fn give_back(&self, group: &Group, backend: &Arc<Backend>, connection: Connection, clock: &Clock) {
        let max_idle = self.share(group.keepalive_connections);
        if max_idle == 0 || !may_be_kept(&connection, group, backend) {
            return;
        }
        let mut idle_lists = self.idle_lists.borrow_mut();
        let idle_list = place(&mut idle_lists, backend.slot as usize);
        if idle_list.group != group.slot {
            // The group went and came back under another number, or an exchange of before ends only now.
            let kept = idle_list.idle.len();
            self.count_down(idle_list, kept);
            self.idle.add(group.slot, kept);
            idle_list.group = group.slot;
        }
        let is_full = self.idle.of(group.slot) >= max_idle;
        if is_full && idle_list.idle.pop_front().is_none() {
            return;
        }
        if is_full {
            self.count_down(idle_list, 1);
        }
        begin_idling(&connection);
        if idle_list.backend.is_none() {
            idle_list.backend = Some(Arc::clone(backend));
        }
        idle_list.keepalive_timeout = group.keepalive_timeout;
        idle_list.idle.push_back(IdleConnection { connection, since: clock.now() });
        self.idle.add(group.slot, 1);
    }

    /// Closes connections that were idle for too long, that their backend closed, or whose backend gets
    /// no requests any more.
    pub fn sweep(&self, now: Moment) {
        for idle_list in self.idle_lists.borrow_mut().iter_mut() {
            let Some(backend) = &idle_list.backend else { continue };
            let is_wanted = backend.health.draining_since_ms() == 0;
            let timeout = idle_list.keepalive_timeout;
            let before = idle_list.idle.len();
            idle_list
                .idle
                .retain(|idle| is_wanted && now.since(idle.since) < timeout && is_usable(&idle.connection));
            self.count_down(idle_list, before - idle_list.idle.len());
            if idle_list.idle.is_empty() {
                idle_list.backend = None;
            }
        }
    }

    /// Idle connections to the backends of a group.
    pub fn idle_of(&self, group: &Group) -> usize {
        self.idle.of(group.slot)
    }

    /// What counts idle connections, for those that are kept elsewhere.
    pub fn idle_counts(&self) -> Rc<IdleCounts> {
        Rc::clone(&self.idle)
    }

    /// This worker's share of a cap that holds for all; the shares add up to it.
    pub(super) fn share(&self, most: usize) -> usize {
        most / self.workers + usize::from(self.worker < most % self.workers)
    }

    /// A number that stands for a host, whatever its case.
    fn hash_host(&self, host: &[u8]) -> u64 {
        let mut hasher = self.hosts.build_hasher();
        host.iter().for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
        // 0 stands for no name.
        hasher.finish().max(1)
    }

    fn count_down(&self, idle_list: &IdleList, closed: usize) {
        self.idle.subtract(idle_list.group, closed);
    }
}

/// Idle connections of one worker, by the slot of their group.
#[derive(Default)]
pub struct IdleCounts {
    counts: RefCell<Vec<usize>>,
}

impl IdleCounts {
    pub(super) fn of(&self, group: u32) -> usize {
        self.counts.borrow().get(group as usize).copied().unwrap_or_default()
    }

    pub(super) fn add(&self, group: u32, opened: usize) {
        *place(&mut self.counts.borrow_mut(), group as usize) += opened;
    }

    pub(super) fn subtract(&self, group: u32, closed: usize) {
        if let Some(count) = self.counts.borrow_mut().get_mut(group as usize) {
            *count -= closed;
        }
    }
}

/// Whether its backend keeps an idle connection open, as far as that can be known: what it announced is obeyed, because
/// a request that meets the end of its connection can be sent again only if it is idempotent.
pub(super) fn is_usable(connection: &Connection) -> bool {
    !connection.deadline.has_passed() && connection.transport.pending() == Pending::Nothing
}

/// Whether a connection is worth keeping: a backend that is being removed gets no new requests, so it would never be used.
pub(super) fn may_be_kept(connection: &Connection, group: &Group, backend: &Backend) -> bool {
    let keeps = !group.keepalive_timeout.is_zero() && connection.idle_limit.get() != Some(Duration::ZERO);
    keeps && backend.health.draining_since_ms() == 0
}

/// Bounds how long it is kept by what its backend has announced.
pub(super) fn begin_idling(connection: &Connection) {
    match connection.idle_limit.get() {
        Some(limit) => connection.deadline.set(limit),
        None => connection.deadline.clear(),
    }
}

/// The entry at `index` of a list that grows as far as it is asked for.
fn place<T: Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if index >= list.len() {
        list.resize_with(index + 1, T::default);
    }
    // It is there now.
    &mut list[index]
}
