//! How many lines an access log has written and lost.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// The lines of one access log, since the start of the process.
pub struct LogCounters {
    /// What the configuration calls it.
    pub name: String,
    written: AtomicU64,
    /// Lines that could not be written.
    failed: AtomicU64,
    /// By worker: lines that found no room in its queue.
    dropped: Box<[AtomicU64]>,
}

impl LogCounters {
    pub fn new(name: String, workers: usize) -> LogCounters {
        let dropped = (0..workers).map(|_| AtomicU64::new(0)).collect();
        LogCounters { name, written: AtomicU64::new(0), failed: AtomicU64::new(0), dropped }
    }

    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines that could not be written.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Lines that found no room in the queues of workers: the log is slower than the traffic.
    pub fn dropped(&self) -> u64 {
        self.dropped.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// All lines that are lost.
    pub fn lost(&self) -> u64 {
        self.failed() + self.dropped()
    }

    /// Adds what a process before this one has counted.
    pub fn add_before(&self, written: u64, failed: u64, dropped: u64) {
        self.written.fetch_add(written, Ordering::Relaxed);
        self.failed.fetch_add(failed, Ordering::Relaxed);
        if let Some(count) = self.dropped.first() {
            count.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    pub(super) fn count_written(&self, lines: u64) {
        self.written.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn count_failed(&self, lines: u64) {
        self.failed.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self, worker: usize) {
        if let Some(count) = self.dropped.get(worker) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
