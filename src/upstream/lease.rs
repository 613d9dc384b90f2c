//! An upstream connection on loan to one exchange.

use crate::net::clock::Clock;
use crate::net::timer::Deadline;
use crate::tls::transport::Transport;
use crate::upstream::pool::Pool;

/// A connection to a backend.
pub struct Connection {
    pub transport: Transport,
    /// Bounds the wait for the backend, whatever it is waited for.
    pub deadline: Deadline,
    /// Whom the handshake named to the backend, as a hash; 0 where that does not vary.
    pub server_name: u64,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.transport.close();
    }
}

/// A connection on loan. Dropping the lease closes the connection; only [`Lease::give_back`]
/// returns it, so that no unfinished exchange can leave bytes behind for the next one.
pub struct Lease {
    pub connection: Connection,
    /// The connection served an exchange before, so its backend may just be closing it.
    pub reused: bool,
    /// Whose connection it is: the group and the backend's index in it.
    pub group: usize,
    pub backend: usize,
}

impl Lease {
    /// Ends the loan of a connection on which request and response were completed.
    pub fn give_back(self, pool: &Pool, clock: &Clock) {
        pool.give_back(self.group, self.backend, self.connection, clock);
    }
}
