//! Which requests may use the same connection to a backend.

/// What requests must have in common to use the same connection: how the backend is trusted, and the host where the
/// backend is told of it in the TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolKey(u64);

impl PoolKey {
    /// The key of cleartext connections.
    pub const PLAIN: PoolKey = PoolKey(0);

    /// `security` stands for the terms of TLS, `host` for the host that backends are told of; 0 where there is none.
    pub fn of(security: u64, host: u64) -> PoolKey {
        PoolKey(security ^ host)
    }
}
