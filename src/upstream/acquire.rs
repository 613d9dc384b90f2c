//! Where a connection, or a stream of one, is had for a request.

use crate::net::connect::SocketUse;
use crate::net::timer::Timers;
use crate::snapshot::group::Group;
use crate::snapshot::group::Versions;
use crate::upstream::connect;
use crate::upstream::connect::ConnectTarget;
use crate::upstream::connect::TlsTarget;
use crate::upstream::error::UpstreamError;
use crate::upstream::h2::pool::Connections;
use crate::upstream::lease::Lease;
use crate::upstream::pool::Pool;
use crate::upstream::pool_key::PoolKey;
use crate::upstream::proxied_client::ProxiedClient;
use crate::upstream::request;
use crate::upstream::stream::UpstreamStream;
use crate::upstream::want::Resources;
use crate::upstream::want::Want;

/// A connection to this member that waits in the pool, or in that of the client, and serves one request at a time.
pub fn acquire_idle<'g>(
    group: &'g Group,
    member: u32,
    pool_key: PoolKey,
    (pool, client): (&Pool, Option<&ProxiedClient>),
) -> Option<Lease<'g>> {
    if group.versions != Versions::Http1 {
        return None;
    }
    let backend = &group.member(member as usize)?.backend;
    let connection = match client {
        Some(client) => client.idle().take(backend, pool_key)?,
        None => pool.take(backend, pool_key)?,
    };
    Some(Lease { stream: UpstreamStream::Http1(connection), reused: true, group, backend })
}

/// A new connection, or what a shared one has left.
pub async fn acquire<'g>(
    want: Want<'_, 'g>,
    (shared, own): (&Connections, Option<&ProxiedClient>),
    resources: Resources<'_>,
) -> Result<Lease<'g>, UpstreamError> {
    let Want { group, backend, .. } = want;
    let client = group.tls.as_ref().map(|terms| resources.pool.client(backend, terms));
    let tls = client.as_deref().map(|client| TlsTarget {
        client,
        host: request::host(want.head),
        buffers: resources.buffers,
        budget: resources.handshakes,
    });
    let counters = group.counters.as_ref().map(|counters| (&**counters, resources.pool.worker()));
    let target = ConnectTarget {
        backend,
        address: &backend.address,
        source: group.source,
        socket_use: SocketUse::Exchanges,
        pool_key: want.pool_key,
        timeout: group.connect_timeout,
        counters,
        preface: b"",
        tls,
    };
    if group.versions == Versions::Http1 {
        let stream = open_http1(&want, &target, resources.timers).await?;
        return Ok(Lease { stream, reused: false, group, backend });
    }
    let (stream, reused) = match own {
        Some(own) => own.streams().lease(&want, (&target, &resources)).await?,
        None => shared.lease(&want, (&target, &resources)).await?,
    };
    let can_carry = !want.upgrade || group.is_grpc || stream.can_carry(want.head, want.has_content);
    if can_carry {
        return Ok(Lease { stream, reused, group, backend });
    }
    // An upgrade that has no way over HTTP/2, such as WebSocket to a backend without RFC 8441, has a connection of its
    // own, over which HTTP/1.1 is all that is offered.
    drop(stream);
    let http1 = client.as_ref().map(|client| client.over_http1());
    let tls = target.tls.map(|tls| TlsTarget { client: http1.as_deref().unwrap_or(tls.client), ..tls });
    let target = ConnectTarget { tls, ..target };
    let stream = open_http1(&want, &target, resources.timers).await?;
    Ok(Lease { stream, reused: false, group, backend })
}

async fn open_http1(
    want: &Want<'_, '_>,
    target: &ConnectTarget<'_>,
    timers: &Timers,
) -> Result<UpstreamStream, UpstreamError> {
    let preface = want.preface();
    let opened = connect::open(&ConnectTarget { preface: &preface, ..*target }, timers).await?;
    Ok(UpstreamStream::Http1(opened.connection))
}
