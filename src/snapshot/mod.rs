//! The configuration in service: immutable, validated, with everything the data path needs at hand.
//!
//! Workers share one snapshot and never change it, save for the counters that are atomics. Text and
//! files were left behind in `config` and `control`.

pub mod backend;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::policy::balance::weighted_round_robin::Schedule;
use crate::policy::forwarded::Forwarded;
use crate::policy::forwarded::TrustedProxies;
use crate::snapshot::backend::Backend;
use crate::tls::Published;
use crate::tls::accept::ServerTerms;
use crate::tls::client_certificate::FingerprintHash;
use crate::tls::connect::ClientTerms;

/// One configuration in service.
pub struct Snapshot {
    pub listeners: Vec<Listener>,
    pub groups: Vec<Group>,
    /// Downstream connections, of all listeners.
    pub connections: Quota,
    /// How many workers serve; caps that hold for all of them are divided by it.
    pub workers: usize,
}

/// Where requests come in, and what they may be like.
pub struct Listener {
    pub name: String,
    /// The index in [`Snapshot::groups`] of the group that takes what no rule takes.
    pub default_group: Option<usize>,
    /// Zero closes a connection after each response.
    pub idle_timeout: Duration,
    pub client_header_timeout: Duration,
    /// Between two reads of a request body, and between two writes of a response.
    pub client_body_timeout: Duration,
    /// Requests per connection; 0 = unlimited.
    pub keepalive_requests: u32,
    pub max_header_bytes: usize,
    pub max_headers: usize,
    pub max_uri_bytes: usize,
    /// 0 = unlimited.
    pub max_body_bytes: u64,
    pub connections: Quota,
    /// New connections per second; 0 = unlimited.
    pub connection_rate: Rate,
    /// Read a PROXY header before anything else.
    pub proxy_protocol: bool,
    /// None: HTTP in the clear.
    pub tls: Option<ServerTls>,
    pub trusted_proxies: TrustedProxies,
    /// Compress responses for clients that accept it.
    pub compression: bool,
    pub forwarded: Forwarded,
}

/// How a listener secures its connections.
pub struct ServerTls {
    /// Replaced while serving when a certificate on disk changes.
    pub terms: Published<ServerTerms>,
    pub handshake_timeout: Duration,
    /// Of the fingerprints of clients' certificates.
    pub fingerprint_hash: FingerprintHash,
}

/// A set of backends that serve the same requests.
pub struct Group {
    pub name: String,
    pub backends: Vec<Backend>,
    pub schedule: Schedule,
    pub connect_timeout: Duration,
    /// A backend silent for so long has failed.
    pub response_timeout: Duration,
    pub keepalive_timeout: Duration,
    /// Idle upstream connections, over all backends and workers.
    pub keepalive_connections: usize,
    pub max_retries: u32,
    /// None: HTTP in the clear.
    pub tls: Option<Published<ClientTerms>>,
}

/// A limited number of things that all workers share.
pub struct Quota {
    /// `usize::MAX` when unlimited.
    limit: usize,
    used: AtomicUsize,
}

impl Quota {
    /// A quota of `limit`; 0 = unlimited.
    pub fn new(limit: usize) -> Quota {
        Quota { limit: if limit == 0 { usize::MAX } else { limit }, used: AtomicUsize::new(0) }
    }

    /// Takes one; false when none is left.
    pub fn take(&self) -> bool {
        let taken = self.used.fetch_add(1, Ordering::Relaxed) < self.limit;
        if !taken {
            self.give_back();
        }
        taken
    }

    pub fn give_back(&self) {
        let before = self.used.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0);
    }
}

/// So many events per second, counted over all workers in windows of one second.
pub struct Rate {
    per_second: u32,
    /// The second of the window in the upper half, the events in it in the lower.
    window: AtomicU64,
}

impl Rate {
    /// A rate of `per_second`; 0 = unlimited.
    pub fn new(per_second: u32) -> Rate {
        Rate { per_second, window: AtomicU64::new(0) }
    }

    pub fn is_limited(&self) -> bool {
        self.per_second != 0
    }

    /// Counts an event in this second of any clock that all workers share; false when the second's
    /// share is used up.
    pub fn take(&self, second: u64) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let second = second & u64::from(u32::MAX);
        let step = |window: u64| {
            let events = if window >> 32 == second { window & u64::from(u32::MAX) } else { 0 };
            (events < u64::from(self.per_second)).then_some(second << 32 | (events + 1))
        };
        self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_given_out_and_taken_back() {
        let quota = Quota::new(2);
        assert_eq!([quota.take(), quota.take(), quota.take()], [true, true, false]);
        quota.give_back();
        assert_eq!([quota.take(), quota.take()], [true, false]);
        assert!((0..1000).all(|_| Quota::new(0).take()));
    }

    #[test]
    fn a_rate_begins_anew_each_second() {
        let rate = Rate::new(2);
        assert_eq!([rate.take(7), rate.take(7), rate.take(7), rate.take(8)], [true, true, false, true]);
        assert!((0..1000).all(|_| Rate::new(0).take(7)));
    }
}
