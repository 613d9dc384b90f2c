//! Whom a fault of the peer ends, where a connection carries many streams.

/// The connection, or one stream of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The connection is closed, and the peer told why (RFC 9113 §5.4.1, RFC 9114 §8).
    Connection,
    /// The stream is reset, and the others go on (RFC 9113 §5.4.2, RFC 9114 §8).
    Stream,
}
