//! Idle upstream connections that serve one client alone.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::net::clock::Clock;
use crate::net::clock::Moment;
use crate::snapshot::backend::Backend;
use crate::snapshot::group::Group;
use crate::upstream::connection::Connection;
use crate::upstream::pool;
use crate::upstream::pool::IdleCounts;
use crate::upstream::pool::Pool;
use crate::upstream::pool_key::PoolKey;

/// Idle connections that are kept for one client. It makes one request at a time with HTTP/1.1; with HTTP/2, a burst of
/// requests leaves as many connections behind as it had at a time.
const MAX_IDLE_OF_CLIENT: usize = 16;

/// The idle connections of one client, the last used one last. What they began with names this client, so that no other
/// may use them. They count among those of their groups.
pub struct ClientPool {
    idle: RefCell<Vec<ClientsConnection>>,
    counts: Rc<IdleCounts>,
}

struct ClientsConnection {
    connection: Connection,
    backend: Arc<Backend>,
    group: u32,
    keepalive_timeout: Duration,
    since: Moment,
}

impl ClientPool {
    /// For a client of the worker that has this pool.
    pub fn new(pool: &Pool) -> ClientPool {
        ClientPool { idle: RefCell::default(), counts: pool.idle_counts() }
    }

    /// An idle connection with this key that its backend has not closed, if there is one.
    pub fn take(&self, backend: &Arc<Backend>, pool_key: PoolKey) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let fits =
            |it: &ClientsConnection| Arc::ptr_eq(&it.backend, backend) && it.connection.pool_key == pool_key;
        while let Some(place) = idle.iter().rposition(fits) {
            let taken = idle.remove(place);
            self.counts.subtract(taken.group, 1);
            if pool::is_usable(&taken.connection) {
                return Some(taken.connection);
            }
        }
        None
    }

    /// Keeps a connection whose response was read in full, while the worker has not its share of the group yet. Others
    /// make no room for it: they belong to clients that may come back as well.
    pub fn give_back(
        &self,
        (group, backend): (&Group, &Arc<Backend>),
        connection: Connection,
        pool: &Pool,
        clock: &Clock,
    ) {
        let has_room = self.counts.of(group.slot) < pool.share(group.keepalive_connections);
        if !has_room || !pool::may_be_kept(&connection, group, backend) {
            return;
        }
        pool::begin_idling(&connection);
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= MAX_IDLE_OF_CLIENT {
            let oldest = idle.remove(0);
            self.counts.subtract(oldest.group, 1);
        }
        self.counts.add(group.slot, 1);
        idle.push(ClientsConnection {
            connection,
            backend: Arc::clone(backend),
            group: group.slot,
            keepalive_timeout: group.keepalive_timeout,
            since: clock.now(),
        });
    }

    /// Closes connections that were idle for too long, that their backend closed, or whose backend gets no requests any
    /// more.
    pub fn sweep(&self, now: Moment) {
        self.idle.borrow_mut().retain(|it| {
            let is_wanted = it.backend.health.draining_since_ms() == 0;
            let is_kept =
                is_wanted && now.since(it.since) < it.keepalive_timeout && pool::is_usable(&it.connection);
            if !is_kept {
                self.counts.subtract(it.group, 1);
            }
            is_kept
        });
    }
}

impl Drop for ClientPool {
    fn drop(&mut self) {
        self.idle.borrow().iter().for_each(|it| self.counts.subtract(it.group, 1));
    }
}
