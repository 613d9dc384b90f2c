//! What is counted at the socket of an endpoint.

/// What was counted at one socket, since it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounters {
    pub received_datagrams: u64,
    pub received_bytes: u64,
    pub sent_datagrams: u64,
    pub sent_bytes: u64,
    /// Given to the kernel and not taken.
    pub lost_sending: u64,
    /// Handed to another worker, and lost on the way there.
    pub forwarded: u64,
    pub lost_forwarding: u64,
    /// Handed to the process before, and lost on the way there.
    pub handed_back: u64,
    pub lost_handing_back: u64,
    /// Clients that began, that had to show their address first, and that were not let in.
    pub accepted: u64,
    pub retried: u64,
    pub refused: u64,
    pub ignored: u64,
    /// Handshakes whose first message was not good enough.
    pub rejected: u64,
}
