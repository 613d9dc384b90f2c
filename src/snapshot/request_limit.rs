//! Limits on requests and connections, of a listener or a rule and of each of its clients.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::policy::rate_limit::RateLimit;
use crate::snapshot::client_connections::ClientConnections;
use crate::snapshot::client_connections::ClientShare;
use crate::snapshot::client_rates;
use crate::snapshot::client_rates::ClientRates;

/// When the next request is due, for all workers; in a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
pub struct SharedRate {
    due_ns: AtomicU64,
}

impl SharedRate {
    /// When the next request is due, in nanoseconds of the clock that all workers share.
    pub fn due_ns(&self) -> u64 {
        self.due_ns.load(Ordering::Relaxed)
    }

    /// Goes on where another process was.
    pub fn restore(&self, due_ns: u64) {
        self.due_ns.store(due_ns, Ordering::Relaxed);
    }
}

/// Requests per second, of all clients together and of each.
#[derive(Default)]
pub struct RequestLimit {
    pub total: Option<(RateLimit, Arc<SharedRate>)>,
    pub per_client: Option<ClientLimit>,
}

/// What each client may do per second.
pub struct ClientLimit {
    pub limit: RateLimit,
    /// Which of all limits it is.
    pub number: u64,
    pub rates: Arc<ClientRates>,
}

/// What a request went beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceededLimit {
    /// What all clients may do together.
    Total,
    PerClient,
}

impl RequestLimit {
    /// Counts a request at this moment of a clock that all workers share, or tells what it goes beyond. A client that
    /// goes beyond its own limit takes nothing from the others.
    pub fn admit(&self, client: IpAddr, now_ns: u64) -> Result<(), ExceededLimit> {
        if self.per_client.as_ref().is_some_and(|limit| !limit.admit(client, now_ns)) {
            return Err(ExceededLimit::PerClient);
        }
        match &self.total {
            Some((limit, shared)) if !client_rates::admit(&shared.due_ns, limit, now_ns) => {
                Err(ExceededLimit::Total)
            }
            _ => Ok(()),
        }
    }
}

impl ClientLimit {
    pub fn admit(&self, client: IpAddr, now_ns: u64) -> bool {
        self.rates.admit(self.number, &self.limit, client, now_ns)
    }
}

/// Connections that each client of a listener may open and have.
pub struct ClientConnectionLimit {
    pub rate: Option<ClientLimit>,
    /// At a time.
    pub max: Option<MaxConnections>,
}

pub struct MaxConnections {
    pub max: u32,
    /// Which of all limits it is.
    pub number: u64,
    pub connections: Arc<ClientConnections>,
}

/// What a connection went beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceededConnections {
    /// New ones per second.
    Rate,
    /// At a time.
    Number,
}

impl ClientConnectionLimit {
    /// Counts a connection until what is returned is dropped, or tells what it goes beyond.
    pub fn open(&self, client: IpAddr, now_ns: u64) -> Result<Option<ClientShare>, ExceededConnections> {
        if self.rate.as_ref().is_some_and(|rate| !rate.admit(client, now_ns)) {
            return Err(ExceededConnections::Rate);
        }
        self.go_on(client)
    }

    /// The same for a connection that began before, in another process.
    pub fn go_on(&self, client: IpAddr) -> Result<Option<ClientShare>, ExceededConnections> {
        let Some(limit) = &self.max else { return Ok(None) };
        let share = limit.connections.open(limit.number, limit.max, client);
        share.map(Some).ok_or(ExceededConnections::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_beyond_its_own_limit_takes_nothing_from_others() {
        let limit = RequestLimit {
            total: Some((RateLimit::new(2, 1), Arc::default())),
            per_client: Some(ClientLimit { limit: RateLimit::new(1, 0), number: 1, rates: Arc::default() }),
        };
        let admit = |client: &str| limit.admit(client.parse().unwrap(), 1_000_000_000);
        assert_eq!(admit("192.0.2.1"), Ok(()));
        assert_eq!(admit("192.0.2.1"), Err(ExceededLimit::PerClient));
        assert_eq!(admit("192.0.2.1"), Err(ExceededLimit::PerClient));
        assert_eq!(admit("192.0.2.2"), Ok(()));
        assert_eq!(admit("192.0.2.3"), Err(ExceededLimit::Total));
    }
}
