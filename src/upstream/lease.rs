//! An upstream connection on loan to one exchange.

use std::sync::Arc;

use crate::net::clock::Clock;
use crate::snapshot::backend::Backend;
use crate::snapshot::group::Group;
use crate::snapshot::group::Versions;
use crate::upstream::pool::Pool;
use crate::upstream::stream::UpstreamStream;

/// A connection on loan, or a stream of one. Dropping the lease closes it; only [`Lease::give_back`]
/// returns a connection, so that no unfinished exchange can leave bytes behind for the next one.
pub struct Lease<'g> {
    pub stream: UpstreamStream,
    /// The connection served an exchange before, so its backend may just be closing it.
    pub reused: bool,
    /// Whose connection it is.
    pub group: &'g Group,
    pub backend: &'g Arc<Backend>,
}

impl Lease<'_> {
    /// Whether HTTP/1.1 is tried where backends are known to speak HTTP/2, because that cannot carry the request.
    pub fn is_stopgap(&self) -> bool {
        self.group.versions == Versions::Http2 && !self.stream.is_http2()
    }

    /// Whether other exchanges may use the connection at the same time.
    pub fn is_shared(&self) -> bool {
        self.stream.is_http2()
    }

    /// Ends the loan of a connection on which request and response were completed.
    pub fn give_back(self, pool: &Pool, clock: &Clock) {
        match self.stream {
            UpstreamStream::Http1(connection) => pool.give_back(self.group, self.backend, connection, clock),
            // Only the stream was on loan.
            UpstreamStream::Http2(stream) => drop(stream),
        }
    }
}
