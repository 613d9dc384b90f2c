//! A backend: an address in a group, and how it fares.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::net::address::Address;
use crate::snapshot::quota::Quota;
use crate::telemetry::backend_counters::Totals;

/// An address in a group. It outlives reloads for as long as the group names the address.
pub struct Backend {
    pub address: Address,
    /// The address as logs show it.
    pub name: String,
    /// A small number that no other living backend has; per-worker tables are indexed by it.
    pub slot: u32,
    /// Stable over restarts and machines.
    pub identity: u64,
    /// What was counted in this slot before.
    pub counted_before: Totals,
    pub health: Health,
    /// What it may have at a time, counted only where its group limits that.
    pub room: Quota,
}

/// How a backend fares. The health checker writes, save for `failures_in_a_row`; all workers read.
///
/// Times are milliseconds of the process's monotonic clock; 0 means never.
#[repr(align(128))]
pub struct Health {
    /// State, reason and status, packed into one word so that they belong together.
    word: AtomicU64,
    /// When the state last changed.
    since: AtomicU64,
    ejected_until: AtomicU64,
    /// When its share began to grow from little.
    slow_start_since: AtomicU64,
    /// When it stopped to get new requests for good; its clients and exchanges may stay for a while.
    draining_since: AtomicU64,
    /// Real requests that failed. Workers write it, but only when something fails or has failed.
    failures_in_a_row: AtomicU32,
    /// How often it went into or out of service.
    changes: AtomicU32,
    /// Its drain is over: what is still in flight to it ends.
    drain_expired: AtomicBool,
    /// It fails while others serve, and its group wants connections to such a backend to end.
    cut_off: AtomicBool,
}

/// What probes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CheckState {
    /// It is not probed.
    Unchecked = 0,
    /// No probe has succeeded yet, and too few have failed.
    Initial = 1,
    Healthy = 2,
    Unhealthy = 3,
    /// It serves until its first probe says otherwise.
    Presumed = 4,
}

impl CheckState {
    pub fn as_str(self) -> &'static str {
        match self {
            CheckState::Unchecked => "unchecked",
            CheckState::Initial | CheckState::Presumed => "initial",
            CheckState::Healthy => "healthy",
            CheckState::Unhealthy => "unhealthy",
        }
    }
}

/// Why a probe failed. The words are those of the cloud products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CheckFailure {
    ConnectTimeout = 1,
    ConnectFailed = 2,
    ConnectRefused = 3,
    ConnectInterrupt = 4,
    SslHandshakeError = 5,
    SendRequestFailed = 6,
    SendRequestTimeout = 7,
    RecvResponseFailed = 8,
    RecvResponseTimeout = 9,
    ResponseFormatError = 10,
    /// The status is not among the expected ones.
    ResponseMismatch = 11,
    /// A server of gRPC answers, and says that it does not serve.
    NotServing = 12,
}

const FAILURES: [(CheckFailure, &str); 12] = [
    (CheckFailure::ConnectTimeout, "CONNECT_TIMEOUT"),
    (CheckFailure::ConnectFailed, "CONNECT_FAILED"),
    (CheckFailure::ConnectRefused, "CONNECT_REFUSED"),
    (CheckFailure::ConnectInterrupt, "CONNECT_INTERRUPT"),
    (CheckFailure::SslHandshakeError, "SSL_HANDSHAKE_ERROR"),
    (CheckFailure::SendRequestFailed, "SEND_REQUEST_FAILED"),
    (CheckFailure::SendRequestTimeout, "SEND_REQUEST_TIMEOUT"),
    (CheckFailure::RecvResponseFailed, "RECV_RESPONSE_FAILED"),
    (CheckFailure::RecvResponseTimeout, "RECV_RESPONSE_TIMEOUT"),
    (CheckFailure::ResponseFormatError, "RESPONSE_FORMAT_ERROR"),
    (CheckFailure::ResponseMismatch, "RESPONSE_MISMATCH"),
    (CheckFailure::NotServing, "NOT_SERVING"),
];

impl CheckFailure {
    pub fn as_str(self) -> &'static str {
        FAILURES.iter().find(|(failure, _)| *failure == self).map_or("", |(_, word)| word)
    }
}

/// What the last deciding probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckResult {
    pub state: CheckState,
    /// Why an unhealthy backend is so, or an initial one whose probes have failed so far.
    pub failure: Option<CheckFailure>,
    /// The status that came instead of an expected one; else 0.
    pub status: u16,
}

impl CheckResult {
    pub const UNCHECKED: CheckResult = CheckResult::plain(CheckState::Unchecked);
    pub const INITIAL: CheckResult = CheckResult::plain(CheckState::Initial);
    pub const PRESUMED: CheckResult = CheckResult::plain(CheckState::Presumed);
    pub const HEALTHY: CheckResult = CheckResult::plain(CheckState::Healthy);

    const fn plain(state: CheckState) -> CheckResult {
        CheckResult { state, failure: None, status: 0 }
    }

    fn pack(self) -> u64 {
        let failure = self.failure.map_or(0, |failure| failure as u64);
        self.state as u64 | failure << 8 | u64::from(self.status) << 16
    }

    fn unpack(word: u64) -> CheckResult {
        let state = match word & 0xff {
            0 => CheckState::Unchecked,
            1 => CheckState::Initial,
            2 => CheckState::Healthy,
            4 => CheckState::Presumed,
            _ => CheckState::Unhealthy,
        };
        let failure = FAILURES.iter().map(|(failure, _)| *failure);
        let failure = failure.into_iter().find(|failure| *failure as u64 == word >> 8 & 0xff);
        CheckResult { state, failure, status: (word >> 16 & 0xffff) as u16 }
    }
}

impl Default for Health {
    fn default() -> Health {
        Health {
            word: AtomicU64::new(CheckResult::UNCHECKED.pack()),
            since: AtomicU64::new(0),
            ejected_until: AtomicU64::new(0),
            slow_start_since: AtomicU64::new(0),
            draining_since: AtomicU64::new(0),
            failures_in_a_row: AtomicU32::new(0),
            changes: AtomicU32::new(0),
            drain_expired: AtomicBool::new(false),
            cut_off: AtomicBool::new(false),
        }
    }
}

impl Health {
    pub fn check_result(&self) -> CheckResult {
        CheckResult::unpack(self.word.load(Ordering::Acquire))
    }

    /// When the state last changed.
    pub fn since_ms(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    pub fn set_check_result(&self, result: CheckResult, now_ms: u64) {
        let before = self.check_result().state;
        if result.state != before {
            // What it begins with is no change, nor is a proof of what was presumed.
            let is_first = self.since.swap(now_ms, Ordering::Relaxed) == 0;
            if !is_first && (before, result.state) != (CheckState::Presumed, CheckState::Healthy) {
                self.count_change();
            }
        }
        self.word.store(result.pack(), Ordering::Release);
    }

    /// Whether probes have nothing against it, and real requests neither.
    pub fn is_available(&self) -> bool {
        let state = self.check_result().state;
        let serves = matches!(state, CheckState::Unchecked | CheckState::Presumed | CheckState::Healthy);
        serves && !self.is_ejected()
    }

    /// Whether no probe has come to an end yet, and none is taken for granted.
    pub fn awaits_first_probe(&self) -> bool {
        let result = self.check_result();
        result.state == CheckState::Initial && result.failure.is_none()
    }

    pub fn is_ejected(&self) -> bool {
        self.ejected_until_ms() != 0
    }

    pub fn ejected_until_ms(&self) -> u64 {
        self.ejected_until.load(Ordering::Acquire)
    }

    /// Takes the backend out of service because requests to it failed.
    pub fn eject(&self, until_ms: u64) {
        self.count_change();
        self.ejected_until.store(until_ms.max(1), Ordering::Release);
    }

    /// Lets an ejected backend back into service.
    pub fn end_ejection(&self) {
        self.count_change();
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        self.ejected_until.store(0, Ordering::Release);
    }

    /// How often it went into or out of service.
    pub fn changes(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }

    fn count_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// When its slow start began; 0: it is in none.
    pub fn slow_start_since_ms(&self) -> u64 {
        self.slow_start_since.load(Ordering::Relaxed)
    }

    pub fn begin_slow_start(&self, now_ms: u64) {
        self.slow_start_since.store(now_ms, Ordering::Relaxed);
    }

    pub fn end_slow_start(&self) {
        self.slow_start_since.store(0, Ordering::Relaxed);
    }

    pub fn draining_since_ms(&self) -> u64 {
        self.draining_since.load(Ordering::Relaxed)
    }

    /// The backend gets no new requests from this moment on.
    pub fn begin_drain(&self, now_ms: u64) {
        self.drain_expired.store(false, Ordering::Release);
        self.draining_since.store(now_ms, Ordering::Relaxed);
    }

    /// The backend gets new requests again.
    pub fn end_drain(&self) {
        self.begin_drain(0);
    }

    /// Whether its drain is over. Not so for one that came back, even if a worker that did not know yet has
    /// expired its drain since.
    pub fn drain_expired(&self) -> bool {
        self.drain_expired.load(Ordering::Acquire) && self.draining_since_ms() != 0
    }

    pub fn expire_drain(&self) {
        self.drain_expired.store(true, Ordering::Release);
    }

    /// Whether relayed connections to it end, because it fails.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }

    pub fn set_cut_off(&self, cut_off: bool) {
        // It is read for each piece that is relayed, so it is written only where it changes.
        if self.is_cut_off() != cut_off {
            self.cut_off.store(cut_off, Ordering::Release);
        }
    }

    /// A real request failed; returns how many did in a row.
    pub fn note_failure(&self) -> u32 {
        self.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A real request succeeded. Writes only after a failure.
    pub fn note_success(&self) {
        if self.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    pub fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row.load(Ordering::Relaxed)
    }
}

/// How a backend fares, as a successor of the process takes it over. Times are those of [`Health`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CarriedHealth {
    pub word: u64,
    pub since_ms: u64,
    pub ejected_until_ms: u64,
    pub slow_start_since_ms: u64,
    pub draining_since_ms: u64,
    pub failures_in_a_row: u32,
    pub changes: u32,
}

impl Health {
    pub fn carried(&self) -> CarriedHealth {
        CarriedHealth {
            word: self.word.load(Ordering::Acquire),
            since_ms: self.since_ms(),
            ejected_until_ms: self.ejected_until_ms(),
            slow_start_since_ms: self.slow_start_since_ms(),
            draining_since_ms: self.draining_since_ms(),
            failures_in_a_row: self.failures_in_a_row(),
            changes: self.changes(),
        }
    }

    /// Goes on where another process was; the clock must be that of this process.
    pub fn restored(carried: CarriedHealth) -> Health {
        Health {
            word: AtomicU64::new(CheckResult::unpack(carried.word).pack()),
            since: AtomicU64::new(carried.since_ms),
            ejected_until: AtomicU64::new(carried.ejected_until_ms),
            slow_start_since: AtomicU64::new(carried.slow_start_since_ms),
            draining_since: AtomicU64::new(carried.draining_since_ms),
            failures_in_a_row: AtomicU32::new(carried.failures_in_a_row),
            changes: AtomicU32::new(carried.changes),
            drain_expired: AtomicBool::new(false),
            cut_off: AtomicBool::new(false),
        }
    }
}

impl fmt::Display for CheckResult {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.failure, self.status) {
            (None, _) => Ok(()),
            (Some(failure), 0) => out.write_str(failure.as_str()),
            (Some(failure), status) => write!(out, "{} (status {status})", failure.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_result_survives_its_word() {
        for (failure, word) in FAILURES {
            let result = CheckResult { state: CheckState::Unhealthy, failure: Some(failure), status: 503 };
            assert_eq!(CheckResult::unpack(result.pack()), result);
            assert_eq!(failure.as_str(), word);
        }
        for result in
            [CheckResult::UNCHECKED, CheckResult::INITIAL, CheckResult::PRESUMED, CheckResult::HEALTHY]
        {
            assert_eq!(CheckResult::unpack(result.pack()), result);
        }
    }

    #[test]
    fn a_successor_goes_on_with_it() {
        let health = Health::default();
        health.set_check_result(CheckResult::HEALTHY, 5);
        health.eject(20);
        health.begin_slow_start(7);
        health.note_failure();
        let successor = Health::restored(health.carried());
        assert_eq!(successor.carried(), health.carried());
        assert_eq!((successor.is_ejected(), successor.check_result()), (true, CheckResult::HEALTHY));
    }

    #[test]
    fn the_time_of_a_standing_is_that_of_its_change() {
        let health = Health::default();
        health.set_check_result(CheckResult::HEALTHY, 5);
        health.set_check_result(CheckResult::HEALTHY, 9);
        assert_eq!((health.since_ms(), health.is_available()), (5, true));
        health.eject(20);
        assert!(!health.is_available());
        health.end_ejection();
        health.set_check_result(CheckResult { state: CheckState::Unhealthy, failure: None, status: 0 }, 30);
        assert_eq!((health.since_ms(), health.is_available()), (30, false));
        // Ejected, readmitted, unhealthy.
        assert_eq!(health.changes(), 3);
    }
}
