//! How many connections a listener has turned away, and why.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// By `allow` and `deny`.
    AccessDenied,
    /// Its client opens too many in a second.
    ClientRate,
    /// Its client has too many.
    ClientNumber,
    /// There is no certificate for the name that the client asks for.
    UnknownName,
}

impl ConnectionRefusal {
    pub const ALL: [ConnectionRefusal; 4] = [
        ConnectionRefusal::AccessDenied,
        ConnectionRefusal::ClientRate,
        ConnectionRefusal::ClientNumber,
        ConnectionRefusal::UnknownName,
    ];

    /// The reason code in the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            ConnectionRefusal::AccessDenied => "access_denied",
            ConnectionRefusal::ClientRate => "client_connection_rate_limit",
            ConnectionRefusal::ClientNumber => "client_connection_limit",
            ConnectionRefusal::UnknownName => "tls_unknown_name",
        }
    }
}

/// What all workers have counted of a listener since it is there. Only connections that are turned away count, so
/// that serving others costs nothing.
#[derive(Default)]
pub struct RefusedConnections([AtomicU64; ConnectionRefusal::ALL.len()]);

impl RefusedConnections {
    pub fn count(&self, refusal: ConnectionRefusal) {
        if let Some(counter) = self.0.get(refusal as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds what a process before this one has counted for a reason of this name.
    pub fn add_before(&self, reason: &str, count: u64) {
        let place = ConnectionRefusal::ALL.into_iter().position(|refusal| refusal.as_str() == reason);
        if let Some(counter) = place.and_then(|place| self.0.get(place)) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Each reason with its number.
    pub fn each(&self) -> impl Iterator<Item = (ConnectionRefusal, u64)> {
        ConnectionRefusal::ALL.into_iter().zip(self.0.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_for_itself() {
        let refused = RefusedConnections::default();
        for refusal in ConnectionRefusal::ALL.into_iter().chain([ConnectionRefusal::UnknownName]) {
            refused.count(refusal);
        }
        let counted: Vec<_> =
            refused.each().map(|(refusal, count)| format!("{} {count}", refusal.as_str())).collect();
        assert_eq!(
            counted,
            [
                "access_denied 1",
                "client_connection_rate_limit 1",
                "client_connection_limit 1",
                "tls_unknown_name 2"
            ]
        );
    }
}
