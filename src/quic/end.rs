//! How connections and streams end.

use quinn_proto::ConnectionError;

use crate::tls::accept::HandshakeError;

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuicEnd {
    /// We closed it.
    Closed,
    /// The peer closed it, with a code of the application (RFC 9000 §19.19).
    ClosedByPeer(u64),
    /// The peer's QUIC closed it, with a code of RFC 9000 §20.1.
    AbortedByPeer(u64),
    /// The handshake failed.
    Handshake(HandshakeError),
    /// The peer did what the protocol forbids; the code that it was told.
    Violation(u64),
    /// Nothing came for as long as the idle timeout.
    TimedOut,
    /// The peer has forgotten the connection, and said so (RFC 9000 §10.3).
    Reset,
    /// No connection can be had.
    Unavailable,
}

/// Codes of failed handshakes: an alert of TLS stands in the lowest byte (RFC 9001 §4.8).
const CRYPTO_ERRORS: std::ops::RangeInclusive<u64> = 0x100..=0x1ff;

impl QuicEnd {
    /// In one machine-readable word.
    pub fn as_str(self) -> &'static str {
        match self {
            QuicEnd::Closed => "quic_closed",
            QuicEnd::ClosedByPeer(_) => "quic_client_closed",
            QuicEnd::AbortedByPeer(_) => "quic_client_error",
            QuicEnd::Handshake(error) => error.as_str(),
            QuicEnd::Violation(_) => "quic_protocol",
            QuicEnd::TimedOut => "quic_idle_timeout",
            QuicEnd::Reset => "quic_client_forgot",
            QuicEnd::Unavailable => "quic_unavailable",
        }
    }

    /// `described` finds out what an alert of ours was about.
    pub(super) fn of(error: &ConnectionError, described: impl FnOnce(u8) -> HandshakeError) -> QuicEnd {
        match error {
            ConnectionError::TransportError(error) => match u64::from(error.code) {
                code if CRYPTO_ERRORS.contains(&code) => QuicEnd::Handshake(described(code as u8)),
                code => QuicEnd::Violation(code),
            },
            ConnectionError::ConnectionClosed(close) => match u64::from(close.error_code) {
                code if CRYPTO_ERRORS.contains(&code) => QuicEnd::Handshake(HandshakeError::ClientAlert),
                code => QuicEnd::AbortedByPeer(code),
            },
            ConnectionError::ApplicationClosed(close) => QuicEnd::ClosedByPeer(close.error_code.into_inner()),
            ConnectionError::Reset => QuicEnd::Reset,
            ConnectionError::TimedOut => QuicEnd::TimedOut,
            ConnectionError::LocallyClosed => QuicEnd::Closed,
            ConnectionError::VersionMismatch | ConnectionError::CidsExhausted => QuicEnd::Unavailable,
        }
    }
}

/// Why nothing more is received or sent on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFailure {
    /// The peer sends no more of it, with a code of the application (RESET_STREAM).
    Reset(u64),
    /// The peer does not want to have it, with a code of the application (STOP_SENDING).
    Stopped(u64),
    /// It was ended on our side.
    Ended,
    /// The whole connection is over.
    Connection(QuicEnd),
}
