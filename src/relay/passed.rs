//! Bytes that one direction of a relayed connection has passed on.

use std::cell::Cell;

use crate::snapshot::bandwidth::Direction;
use crate::telemetry::relay_counters::RelayCounters;

/// They count for the connection, and at once for all that go the same way: some last for days.
#[derive(Clone, Copy)]
pub(super) struct PassedBytes<'f> {
    pub(super) total: &'f Cell<u64>,
    /// None: nothing else is counted.
    pub(super) counters: Option<&'f RelayCounters>,
    pub(super) direction: Direction,
}

impl PassedBytes<'_> {
    /// `worker` is the number of the worker that passed them on.
    pub(super) fn add(self, bytes: usize, worker: usize) {
        self.total.set(self.total.get() + bytes as u64);
        match (self.counters, self.direction) {
            (Some(counters), Direction::Up) => counters.received(worker, bytes),
            (Some(counters), Direction::Down) => counters.sent(worker, bytes),
            (None, _) => {}
        }
    }
}
