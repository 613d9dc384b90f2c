//! How reloads went, to be asked for later.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Counted by the thread that reloads.
#[derive(Default)]
pub struct ReloadStats {
    succeeded: AtomicU64,
    refused: AtomicU64,
    /// When the last one ended, in milliseconds of the process's monotonic clock, shifted by the bit that
    /// says whether it succeeded; 0: there was none.
    last: AtomicU64,
}

/// How a reload ended, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    pub at_ms: u64,
    pub is_success: bool,
}

impl ReloadStats {
    pub fn note(&self, is_success: bool, now_ms: u64) {
        let counter = if is_success { &self.succeeded } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        self.last.store(now_ms << 1 | u64::from(is_success), Ordering::Relaxed);
    }

    /// Adds what a process before this one has counted.
    pub fn add_before(&self, succeeded: u64, refused: u64) {
        self.succeeded.fetch_add(succeeded, Ordering::Relaxed);
        self.refused.fetch_add(refused, Ordering::Relaxed);
    }

    pub fn succeeded(&self) -> u64 {
        self.succeeded.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub fn last(&self) -> Option<Last> {
        match self.last.load(Ordering::Relaxed) {
            0 => None,
            word => Some(Last { at_ms: word >> 1, is_success: word & 1 == 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_remembered() {
        let reloads = ReloadStats::default();
        assert_eq!(reloads.last(), None);
        reloads.note(true, 5);
        reloads.note(false, 9);
        assert_eq!(reloads.last(), Some(Last { at_ms: 9, is_success: false }));
        assert_eq!((reloads.succeeded(), reloads.refused()), (1, 1));
    }
}
