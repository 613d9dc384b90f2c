//! What is wanted of upstream, and with what it is made.

use std::sync::Arc;

use crate::net::buffer::Buffers;
use crate::net::timer::Timers;
use crate::net::work_budget::WorkBudget;
use crate::snapshot::backend::Backend;
use crate::snapshot::group::Group;
use crate::upstream::pool::Pool;
use crate::upstream::pool_key::PoolKey;

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
}

/// What connections are made with, and kept in.
#[derive(Clone, Copy)]
pub struct Resources<'w> {
    pub pool: &'w Pool,
    pub timers: &'w Timers,
    pub buffers: &'w Buffers,
    pub handshakes: &'w WorkBudget,
}
