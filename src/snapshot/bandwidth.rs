//! Limits on bytes per second, of a listener, of a rule and of each client.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::policy::pacing::Bandwidth;
use crate::snapshot::client_rates::ClientRates;
use crate::snapshot::client_rates::client_number;

/// Which way content goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To the client.
    Down,
    /// From the client.
    Up,
}

/// What all requests of a listener or a rule may have together, in each direction.
pub struct BandwidthLimit {
    pub bandwidth: Bandwidth,
    pub due: Arc<BandwidthDue>,
}

/// When the next bytes are due, for all workers; in a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
pub struct BandwidthDue {
    down_ns: AtomicU64,
    up_ns: AtomicU64,
}

impl BandwidthDue {
    /// Down and up, in nanoseconds of the clock that all workers share.
    pub fn due_ns(&self) -> (u64, u64) {
        (self.down_ns.load(Ordering::Relaxed), self.up_ns.load(Ordering::Relaxed))
    }

    fn of(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Down => &self.down_ns,
            Direction::Up => &self.up_ns,
        }
    }

    /// Goes on where another process was.
    pub fn restore(&self, (down_ns, up_ns): (u64, u64)) {
        self.down_ns.store(down_ns, Ordering::Relaxed);
        self.up_ns.store(up_ns, Ordering::Relaxed);
    }
}

/// What each client may have, in each direction.
pub struct ClientBandwidth {
    pub bandwidth: Bandwidth,
    /// Which of all limits it is.
    pub number: u64,
    pub rates: Arc<ClientRates>,
}

/// What a listener limits.
pub struct ListenerBandwidth {
    pub total: Option<BandwidthLimit>,
    pub per_client: Option<ClientBandwidth>,
}

/// Whose content it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacedRequest {
    /// The index of the rule that took the request.
    pub rule: Option<u32>,
    client: u64,
}

impl PacedRequest {
    pub fn new(rule: Option<u32>, client: IpAddr) -> PacedRequest {
        PacedRequest { rule, client: client_number(client) }
    }
}

/// What limits the content of a request.
#[derive(Clone, Copy)]
pub struct PaceLimits<'l> {
    pub rule: Option<&'l BandwidthLimit>,
    pub listener: Option<&'l ListenerBandwidth>,
}

impl PaceLimits<'_> {
    pub fn is_empty(&self) -> bool {
        self.rule.is_none() && self.listener.is_none()
    }

    /// How long these bytes have to wait, which are counted in any case. `now_ns` is of a clock that all workers share.
    pub fn reserve(&self, paced: PacedRequest, bytes: usize, direction: Direction, now_ns: u64) -> Duration {
        let shared =
            self.shared().map(|limit| reserve(limit.due.of(direction), limit.bandwidth, bytes, now_ns));
        let of_client = self.per_client().map(|limit| {
            let work = |due: &AtomicU64| reserve(due, limit.bandwidth, bytes, now_ns);
            limit.rates.with_due((limit.number, direction), paced.client, now_ns, work).unwrap_or_default()
        });
        shared.chain(of_client).max().unwrap_or_default()
    }

    /// Whether these bytes may pass now, for those that can be lost; they are counted if so.
    pub fn admit(&self, paced: PacedRequest, bytes: usize, direction: Direction, now_ns: u64) -> bool {
        let is_due = |due: &AtomicU64| due.load(Ordering::Relaxed) <= now_ns;
        let is_shared_due = self.shared().all(|limit| is_due(limit.due.of(direction)));
        let of_client = || {
            self.per_client().map(|limit| {
                limit.rates.with_due((limit.number, direction), paced.client, now_ns, is_due).unwrap_or(true)
            })
        };
        let is_admitted = is_shared_due && of_client() != Some(false);
        if is_admitted {
            self.reserve(paced, bytes, direction, now_ns);
        }
        is_admitted
    }

    /// Bytes that should be fetched at a time.
    pub fn piece(&self) -> usize {
        let shared = self.shared().map(|limit| limit.bandwidth.piece());
        shared.chain(self.per_client().map(|limit| limit.bandwidth.piece())).min().unwrap_or(usize::MAX)
    }

    fn shared(&self) -> impl Iterator<Item = &BandwidthLimit> {
        let total = self.listener.and_then(|listener| listener.total.as_ref());
        self.rule.into_iter().chain(total)
    }

    fn per_client(&self) -> Option<&ClientBandwidth> {
        self.listener?.per_client.as_ref()
    }
}

fn reserve(due: &AtomicU64, bandwidth: Bandwidth, bytes: usize, now_ns: u64) -> Duration {
    let mut known = due.load(Ordering::Relaxed);
    loop {
        let (wait, next) = bandwidth.reserve(known, now_ns, bytes);
        match due.compare_exchange_weak(known, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return wait,
            Err(other) => known = other,
        }
    }
}
