//! Limits that all workers share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// A limited number of things that all workers share.
pub struct Quota {
    /// `usize::MAX` when unlimited. Only a reload changes it.
    limit: AtomicUsize,
    used: AtomicUsize,
    /// How many are waited for, for workers that have some to spare.
    wanted: AtomicUsize,
}

impl Quota {
    /// A quota of `limit`; 0 = unlimited.
    pub fn new(limit: usize) -> Quota {
        let quota =
            Quota { limit: AtomicUsize::new(0), used: AtomicUsize::new(0), wanted: AtomicUsize::new(0) };
        quota.set_limit(limit);
        quota
    }

    /// From now on `limit` holds; 0 = unlimited. What was given out beyond it stays given out.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(if limit == 0 { usize::MAX } else { limit }, Ordering::Relaxed);
    }

    /// None: unlimited.
    pub fn limit(&self) -> Option<usize> {
        let limit = self.limit.load(Ordering::Relaxed);
        (limit != usize::MAX).then_some(limit)
    }

    /// How many are given out.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether one could be taken.
    pub fn has_left(&self) -> bool {
        self.used() < self.limit.load(Ordering::Relaxed)
    }

    /// Takes one; false when none is left.
    pub fn acquire(&self) -> bool {
        let is_left = self.used.fetch_add(1, Ordering::Relaxed) < self.limit.load(Ordering::Relaxed);
        if !is_left {
            self.release();
        }
        is_left
    }

    /// Takes this many; false, and none taken, when fewer are left.
    pub fn acquire_many(&self, count: usize) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let is_left = self.used.fetch_add(count, Ordering::Relaxed).saturating_add(count) <= limit;
        if !is_left {
            self.release_many(count);
        }
        is_left
    }

    pub fn release_many(&self, count: usize) {
        let before = self.used.fetch_sub(count, Ordering::Relaxed);
        debug_assert!(before >= count);
    }

    /// Asks the workers that have some to spare for this many, until [`Quota::stop_wanting`].
    pub fn want(&self, count: usize) {
        self.wanted.fetch_max(count, Ordering::Relaxed);
    }

    /// A worker that still waits asks again, so that nothing is given back in vain.
    pub fn stop_wanting(&self) {
        self.wanted.store(0, Ordering::Relaxed);
    }

    /// How many others wait for.
    pub fn wanted(&self) -> usize {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Tells that this many will be given back for those that wait.
    pub fn spare(&self, count: usize) {
        let rest = |wanted: usize| Some(wanted.saturating_sub(count));
        let _ = self.wanted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
    }

    pub fn release(&self) {
        let before = self.used.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0);
    }
}

/// A limited number of events per second, counted over all workers in windows of one second.
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

    /// This rate, if it is one of `per_second`.
    pub fn kept_at(self: &Arc<Rate>, per_second: u32) -> Option<Arc<Rate>> {
        (self.per_second == per_second).then(|| Arc::clone(self))
    }

    pub fn is_limited(&self) -> bool {
        self.per_second != 0
    }

    /// Counts an event in this second of any clock that all workers share; false when the second's
    /// share is used up.
    pub fn acquire(&self, second: u64) -> bool {
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

    /// Takes back what was counted in this second.
    pub fn give_back(&self, second: u64) {
        let second = second & u64::from(u32::MAX);
        let step = |window: u64| {
            let events = window & u64::from(u32::MAX);
            (window >> 32 == second && events > 0).then(|| window - 1)
        };
        // In another second there is nothing to give back.
        let _ = self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_given_out_and_taken_back() {
        let quota = Quota::new(2);
        assert_eq!([quota.acquire(), quota.acquire(), quota.acquire()], [true, true, false]);
        quota.release();
        assert_eq!([quota.acquire(), quota.acquire()], [true, false]);
        quota.release_many(2);
        assert_eq!(
            [quota.acquire_many(3), quota.acquire_many(2), quota.acquire_many(1)],
            [false, true, false]
        );
        assert!((0..1000).all(|_| Quota::new(0).acquire()));
        assert_eq!([quota.limit(), Quota::new(0).limit()], [Some(2), None]);
    }

    #[test]
    fn what_is_wanted_is_spared_by_others() {
        let quota = Quota::new(2);
        assert_eq!(quota.wanted(), 0);
        quota.want(3);
        quota.want(2);
        quota.spare(1);
        assert_eq!(quota.wanted(), 2);
        quota.spare(5);
        assert_eq!(quota.wanted(), 0);
        quota.want(4);
        quota.stop_wanting();
        assert_eq!(quota.wanted(), 0);
    }

    #[test]
    fn a_rate_begins_anew_each_second() {
        let rate = Rate::new(2);
        assert_eq!(
            [rate.acquire(7), rate.acquire(7), rate.acquire(7), rate.acquire(8)],
            [true, true, false, true]
        );
        rate.give_back(7);
        assert_eq!([rate.acquire(8), rate.acquire(8)], [true, false]);
        rate.give_back(8);
        assert_eq!([rate.acquire(8), rate.acquire(8)], [true, false]);
        assert!((0..1000).all(|_| Rate::new(0).acquire(7)));
    }
}
