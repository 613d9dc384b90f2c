//! What carries an attempt: a connection, or a stream of one.

use crate::exchange::forward::Forward;
use crate::snapshot::group::Group;
use crate::snapshot::group::Versions;
use crate::upstream::connect;
use crate::upstream::connect::Target;
use crate::upstream::connect::TlsTarget;
use crate::upstream::error::UpstreamError;
use crate::upstream::h1;
use crate::upstream::h2::pool::Means;
use crate::upstream::h2::pool::Wanted;
use crate::upstream::lease::Lease;
use crate::upstream::link::Link;
use crate::worker::Worker;

impl Forward {
    /// A connection of HTTP/1.1 that waits in the pool.
    pub(super) fn idle_connection<'g>(
        &self,
        group: &'g Group,
        chosen: u32,
        fresh: bool,
        worker: &Worker,
    ) -> Option<Lease<'g>> {
        if fresh || group.versions != Versions::Http1 {
            return None;
        }
        let backend = &group.member(chosen as usize)?.backend;
        let connection = worker.pool.take(backend, self.server_name)?;
        Some(Lease { link: Link::Http1(connection), reused: true, group, backend })
    }

    /// A new connection, or what a shared one has left.
    pub(super) async fn lease<'g>(
        &self,
        group: &'g Group,
        chosen: u32,
        fresh: bool,
        worker: &Worker,
    ) -> Result<Lease<'g>, UpstreamError> {
        let Some(member) = group.member(chosen as usize) else {
            return Err(UpstreamError::ConnectFailed);
        };
        let backend = &member.backend;
        let client = group.tls.as_ref().map(|terms| worker.pool.client(backend, terms));
        let request = self.request.as_ref().map_or(&b""[..], |request| request.filled());
        let tls = client.as_deref().map(|client| TlsTarget {
            client,
            host: h1::host(request),
            server_name: self.server_name,
            buffers: &worker.buffers,
            turnstile: &worker.handshakes,
        });
        let target = Target { backend, timeout: group.connect_timeout, tls };
        if group.versions == Versions::Http1 {
            let link = Link::Http1(connect::open(&target, &worker.timers).await?.connection);
            return Ok(Lease { link, reused: false, group, backend });
        }
        let wanted = Wanted { group, backend, server_name: self.server_name, fresh };
        let means = Means { target, pool: &worker.pool, timers: &worker.timers, buffers: &worker.buffers };
        let (link, reused) = worker.pool.streams.lease(&wanted, &means).await?;
        let can_carry = !self.upgrade || group.is_grpc || link.can_carry(request, self.has_content);
        if can_carry {
            return Ok(Lease { link, reused, group, backend });
        }
        // An upgrade that has no way over HTTP/2, such as WebSocket to a backend without RFC 8441, has a connection of
        // its own, over which HTTP/1.1 is all that is offered.
        drop(link);
        let http1 = client.as_ref().map(|client| client.over_http1());
        let tls =
            means.target.tls.map(|tls| TlsTarget { client: http1.as_deref().unwrap_or(tls.client), ..tls });
        let target = Target { tls, ..means.target };
        let link = Link::Http1(connect::open(&target, &worker.timers).await?.connection);
        Ok(Lease { link, reused: false, group, backend })
    }
}
