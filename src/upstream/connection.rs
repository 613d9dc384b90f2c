//! A connection to a backend.

use std::cell::Cell;
use std::time::Duration;

use crate::net::socket::Socket;
use crate::net::timer::Deadline;
use crate::tls::transport::Transport;
use crate::upstream::pool_key::PoolKey;

/// A connection to a backend.
pub struct Connection {
    pub transport: Transport,
    /// Bounds the wait for the backend, whatever it is waited for.
    pub deadline: Deadline,
    /// Which requests may use it.
    pub pool_key: PoolKey,
    /// How long the backend said that it keeps the connection open while it is idle, less a margin.
    pub idle_limit: Cell<Option<Duration>>,
}

impl Connection {
    /// One in cleartext that no pool takes back.
    pub fn unpooled(socket: Socket, deadline: Deadline) -> Connection {
        let transport = Transport::Plain(socket);
        Connection { transport, deadline, pool_key: PoolKey::PLAIN, idle_limit: Cell::new(None) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.transport.close();
    }
}
