//! How long a backend that keeps failing its requests is left out (passive health checks).
//!
//! ```text
//!            eject: level + 1, for ejection_time × 2^(level − 1)
//! in service ───────────────────────────────────────────────────▶ ejected
//!     ▲   │                                                          │
//!     │   └─ a period as long as the last ejection: level − 1        │ its time is over
//!     └──────────────────────────────────────────────────────────────┘
//! ```

use std::time::Duration;

/// The longest ejection that doubling leads to: a backend that recovers is missed for minutes at most.
pub const MAX_EJECTION: Duration = Duration::from_secs(300);

/// The record of one backend. Moments are counted from any fixed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlier {
    /// Ejections that are not forgiven: the next one is doubled this often.
    level: u32,
    /// The length of the last ejection.
    length: Duration,
    /// When the last ejection ends or ended.
    until: Duration,
}

impl Outlier {
    pub fn new() -> Outlier {
        Outlier::default()
    }

    /// Ejects the backend, and tells when it returns. One that is ejected already stays so for as long
    /// as it was to, because what fails meanwhile was begun before.
    pub fn eject(&mut self, now: Duration, ejection_time: Duration) -> Duration {
        if self.is_ejected(now) {
            return self.until;
        }
        self.level = self.level(now);
        let limit = MAX_EJECTION.max(ejection_time);
        let doubled = 1u32.checked_shl(self.level).and_then(|factor| ejection_time.checked_mul(factor));
        self.length = doubled.map_or(limit, |length| length.min(limit));
        // Levels beyond the longest ejection would only take longer to be forgiven.
        if self.length < limit {
            self.level += 1;
        }
        self.until = now.saturating_add(self.length);
        self.until
    }

    /// Ends an ejection before its time. It counts like one that lasted.
    pub fn end_ejection(&mut self, now: Duration) {
        self.until = self.until.min(now);
    }

    pub fn is_ejected(&self, now: Duration) -> bool {
        now < self.until
    }

    /// How many ejections still count against the backend.
    pub fn level(&self, now: Duration) -> u32 {
        let in_service = now.saturating_sub(self.until);
        let forgiven = in_service.as_nanos().checked_div(self.length.as_nanos()).unwrap_or(u128::MAX);
        self.level.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_ejection_ends_by_itself() {
        let mut outlier = Outlier::new();
        assert!(!outlier.is_ejected(seconds(0)));
        assert_eq!(outlier.eject(seconds(100), seconds(10)), seconds(110));
        assert!(outlier.is_ejected(seconds(100)));
        assert_eq!(outlier.eject(seconds(105), seconds(10)), seconds(110));
        assert!(outlier.is_ejected(seconds(109)));
        assert!(!outlier.is_ejected(seconds(110)));
    }

    #[test]
    fn ejections_double_up_to_a_limit() {
        let mut outlier = Outlier::new();
        let mut now = seconds(7);
        for expected in [10, 20, 40, 80, 160, 300, 300, 300] {
            let until = outlier.eject(now, seconds(10));
            assert_eq!(until - now, seconds(expected));
            now = until;
        }
    }

    #[test]
    fn good_service_is_forgiven_one_doubling_at_a_time() {
        for (in_service, expected) in [(0, 80), (39, 80), (40, 40), (80, 20), (120, 10), (100_000, 10)] {
            let mut outlier = Outlier::new();
            let mut now = seconds(0);
            for _ in 0..3 {
                now = outlier.eject(now, seconds(10));
            }
            now += seconds(in_service);
            assert_eq!(outlier.eject(now, seconds(10)) - now, seconds(expected), "{in_service}");
        }
    }

    #[test]
    fn from_the_limit_the_way_back_is_as_short() {
        let mut outlier = Outlier::new();
        let mut now = seconds(0);
        for _ in 0..50 {
            now = outlier.eject(now, seconds(10));
        }
        now += MAX_EJECTION;
        assert_eq!(outlier.eject(now, seconds(10)) - now, seconds(160));
    }

    #[test]
    fn odd_times() {
        let mut outlier = Outlier::new();
        assert_eq!(outlier.eject(seconds(1), Duration::ZERO), seconds(1));
        assert_eq!(outlier.level(seconds(1)), 0);
        assert_eq!(outlier.eject(seconds(1), seconds(1000)), seconds(1001));
        assert_eq!(outlier.eject(seconds(1001), seconds(1000)), seconds(2001));
        assert_eq!(outlier.eject(Duration::MAX, seconds(1000)), Duration::MAX);
    }
}
