//! What can go wrong with a backend.

use crate::telemetry::reason::Reason;

/// A failure on the upstream side of an exchange. Whose fault it is and whether another attempt is
/// safe is decided by the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// The backend's address refuses connections.
    ConnectRefused,
    ConnectTimeout,
    /// The network or the system refused for another reason, such as no route.
    ConnectFailed,
    /// The connection could not be made secure; the word says why.
    Tls(&'static str),
    /// This process may open no further descriptor.
    NoDescriptor,
    /// Every local port for connections to the backend is taken.
    NoLocalPort,
    /// Connections cannot come from the source that the group names.
    NoSource,
    /// A kept-alive connection took nothing of the request.
    NothingSent,
    /// The connection ended before any byte of a response.
    ClosedBeforeResponse,
    /// The connection ended within a response.
    ClosedWithinResponse,
    /// The backend was silent for longer than `response_timeout`.
    ResponseTimeout,
    /// What came is no response; the word is the codec's.
    BadResponse(&'static str),
    /// The backend broke the rules of a connection before any byte of this response, and perhaps with another;
    /// the word is the codec's.
    BrokenConnection(&'static str),
    /// The backend does not speak HTTP/2.
    NotHttp2,
    /// Every connection that may be opened has as many streams as the backend allows, and none came free.
    NoStreamFree,
    /// The backend said that it did not and will not look at the request (RFC 9113 §8.7).
    Refused,
    /// The backend ended the stream before any byte of a response.
    ResetBeforeResponse,
    /// The backend ended the stream within a response.
    ResetWithinResponse,
    /// The backend takes no protocol but HTTP on its connections (RFC 8441 §3).
    NoTunnels,
}

impl UpstreamError {
    /// What logs and metrics call it.
    pub fn reason(self) -> Reason {
        match self {
            UpstreamError::ConnectRefused => Reason::ConnectRefused,
            UpstreamError::ConnectTimeout => Reason::ConnectTimeout,
            UpstreamError::ConnectFailed => Reason::ConnectFailed,
            UpstreamError::Tls(word) => Reason::UpstreamTls(word),
            UpstreamError::NoDescriptor => Reason::NoDescriptor,
            UpstreamError::NoLocalPort => Reason::NoLocalPort,
            UpstreamError::NoSource => Reason::NoSource,
            UpstreamError::NothingSent
            | UpstreamError::ClosedBeforeResponse
            | UpstreamError::ClosedWithinResponse => Reason::UpstreamClosed,
            UpstreamError::ResponseTimeout => Reason::ResponseTimeout,
            UpstreamError::NotHttp2 => Reason::UpstreamNotHttp2,
            UpstreamError::NoStreamFree => Reason::UpstreamBusy,
            UpstreamError::Refused => Reason::UpstreamRefused,
            UpstreamError::ResetBeforeResponse | UpstreamError::ResetWithinResponse => Reason::UpstreamReset,
            UpstreamError::NoTunnels => Reason::NoTunnels,
            UpstreamError::BadResponse(word) | UpstreamError::BrokenConnection(word) => {
                Reason::BadResponse(word)
            }
        }
    }

    /// Whether the attempt ended for want of something of ours, before the backend could notice it.
    pub fn is_local(self) -> bool {
        matches!(self, UpstreamError::NoDescriptor | UpstreamError::NoLocalPort | UpstreamError::NoSource)
    }
}
