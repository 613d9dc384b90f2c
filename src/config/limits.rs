//! Limits on requests and connections. 0 is unlimited everywhere.

/// Requests per second, of a rule or a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestRates {
    pub requests_per_second: u32,
    /// Of each client.
    pub per_client_requests_per_second: u32,
    /// Requests that may come at once beyond both.
    pub burst: u32,
}

/// What each client of a listener may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerClient {
    pub requests_per_second: u32,
    /// Requests that may come at once beyond that.
    pub burst: u32,
    pub connections_per_second: u32,
    /// Connections at a time.
    pub max_connections: u32,
    /// In each direction.
    pub bandwidth_bytes_per_second: u64,
}
