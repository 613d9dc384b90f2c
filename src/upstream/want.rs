//! What is wanted of upstream, and with what it is made.

use std::sync::Arc;

use crate::net::buffer::Buffers;
use crate::net::timer::Timers;
use crate::net::work_budget::WorkBudget;
use crate::proto::proxy_protocol::write::HeaderBytes;
use crate::proto::proxy_protocol::write::HeaderFacts;
use crate::snapshot::backend::Backend;
use crate::snapshot::group::Group;
use crate::upstream::client_pool::ClientPool;
use crate::upstream::pool::Pool;
use crate::upstream::pool_key::PoolKey;
use crate::upstream::proxy_header;

/// A connection, or a stream of one, that is wanted for a request.
#[derive(Clone, Copy)]
pub struct Want<'w, 'g> {
    pub group: &'g Group,
    pub backend: &'g Arc<Backend>,
    pub pool_key: PoolKey,
    /// The head of the request, as [`RequestWriter`](crate::upstream::request::RequestWriter) wrote it.
    pub head: &'w [u8],
    /// Some of the request's body may come, or has come.
    pub has_content: bool,
    /// The request asks to switch protocols.
    pub upgrade: bool,
    /// A connection that was used before failed, or refused the request.
    pub fresh: bool,
    /// The client of the request, where the group tells backends of it.
    pub proxied: Option<Proxied<'w>>,
}

/// A client that connections are opened for and that alone uses them.
#[derive(Clone, Copy)]
pub struct Proxied<'w> {
    pub facts: HeaderFacts<'w>,
    /// Its idle connections.
    pub idle: &'w ClientPool,
}

impl Want<'_, '_> {
    /// What a new connection for it begins with.
    pub(super) fn preface(&self) -> HeaderBytes {
        match (self.group.proxy_header, &self.proxied) {
            (Some(terms), Some(proxied)) => proxy_header::write(terms, &proxied.facts),
            (Some(terms), None) => terms.version.header_of_nobody().iter().copied().collect(),
            (None, _) => HeaderBytes::new(),
        }
    }
}

/// What connections are made with, and kept in.
#[derive(Clone, Copy)]
pub struct Resources<'w> {
    pub pool: &'w Pool,
    pub timers: &'w Timers,
    pub buffers: &'w Buffers,
    pub handshakes: &'w WorkBudget,
}
