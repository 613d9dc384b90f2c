//! What can go wrong with a backend.

/// A failure on the upstream side of an exchange. Whose fault it is and whether another attempt is
/// safe is decided by the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// Nobody listens at the backend's address.
    ConnectRefused,
    ConnectTimeout,
    /// The network or the system refused for another reason, such as no route.
    ConnectFailed,
    /// The connection could not be made secure; the word says why.
    Tls(&'static str),
    /// This process may open no further descriptor.
    NoDescriptor,
    /// A kept-alive connection took nothing of the request.
    NothingSent,
    /// The connection ended before any byte of a response.
    ClosedBeforeResponse,
    /// The connection ended within a response.
    ClosedWithinResponse,
    /// The backend was silent for longer than `response_timeout`.
    ResponseTimeout,
    /// What came is no HTTP/1.1 response; the word is the codec's.
    BadResponse(&'static str),
}
