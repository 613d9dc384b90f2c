//! Limits on events per second, by the generic cell rate algorithm: a token bucket that is one number.
//!
//! The number is the moment at which the next event is due if events come evenly. One that comes early is let through as
//! long as it is not too early; each moves the moment on.

/// Events may come this part of a second early, else clients that do not keep time to the millisecond, and workers that
/// serve what has come in batches, would get far less than the rate.
const EARLY_PARTS_OF_SECOND: u64 = 20;

const SECOND_NS: u64 = 1_000_000_000;

/// The clock of one worker is so far behind that of another at most: a turn of its loop.
const MAX_CLOCK_LAG_NS: u64 = SECOND_NS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Between two events at the rate.
    interval_ns: u64,
    /// How early one may come.
    tolerance_ns: u64,
    /// As it was asked for.
    pub per_second: u32,
    pub burst: u32,
}

impl RateLimit {
    /// At least one event per second, and `burst` more at once.
    pub fn new(per_second: u32, burst: u32) -> RateLimit {
        let per_second = per_second.max(1);
        let interval_ns = SECOND_NS / u64::from(per_second);
        let early = (u64::from(per_second) / EARLY_PARTS_OF_SECOND).saturating_sub(1) + u64::from(burst);
        RateLimit { interval_ns, tolerance_ns: interval_ns * early, per_second, burst }
    }

    /// Whether an event at `now_ns` is let through, and when the next one is due then. `due_ns` is when this one was due;
    /// any moment of the past stands for a limit that was not used.
    pub fn admit(&self, due_ns: u64, now_ns: u64) -> (bool, u64) {
        let latest = now_ns.saturating_add(self.tolerance_ns);
        if due_ns > latest {
            let most = latest.saturating_add(self.interval_ns);
            // So much can only be owed to another limit, before a reload.
            return (false, if due_ns > most.saturating_add(MAX_CLOCK_LAG_NS) { most } else { due_ns });
        }
        (true, due_ns.max(now_ns).saturating_add(self.interval_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// How many of events at these milliseconds are let through.
    fn admitted(limit: RateLimit, at_ms: impl Iterator<Item = u64>) -> usize {
        let mut due = 0;
        let admit = |ms: &u64| {
            let (is_admitted, next) = limit.admit(due, 7_000_000 * MS + ms * MS);
            due = next;
            is_admitted
        };
        at_ms.filter(admit).count()
    }

    #[test]
    fn what_is_let_through() {
        let at_once = |count: usize| std::iter::repeat_n(0, count).collect::<Vec<u64>>();
        for (per_second, burst, at_ms, expected) in [
            // One at a time where there are few.
            (1, 0, at_once(5), 1),
            (10, 0, at_once(5), 1),
            (1, 2, at_once(5), 3),
            (10, 0, vec![0, 99, 100, 199, 200, 350], 4),
            // A twentieth of a second's worth where there are many.
            (100, 0, at_once(50), 5),
            (1_000, 0, at_once(500), 50),
            (1_000, 100, at_once(500), 150),
            // What was not used is not saved up.
            (10, 0, vec![0, 5_000, 5_001, 5_002], 2),
            (10, 1, vec![0, 5_000, 5_001, 5_002], 3),
            (1_000_000, 0, at_once(60_000), 50_000),
        ] {
            let limit = RateLimit::new(per_second, burst);
            assert_eq!(admitted(limit, at_ms.iter().copied()), expected, "{per_second} {burst} {at_ms:?}");
        }
    }

    #[test]
    fn over_time_the_rate_holds() {
        // Bursts of 20 each 10 ms: 2,000 a second, for ten seconds.
        for per_second in [1, 10, 100, 333, 1_000, 1_999] {
            let at_ms = (0..1_000).flat_map(|turn| std::iter::repeat_n(turn * 10, 20));
            let count = admitted(RateLimit::new(per_second, 0), at_ms) as f64;
            let expected = f64::from(per_second) * 10.0;
            assert!((expected * 0.95..=expected * 1.05 + 1.0).contains(&count), "{per_second}: {count}");
        }
    }

    #[test]
    fn workers_whose_clocks_lag_get_no_more() {
        let limit = RateLimit::new(1_000, 0);
        let (mut due, mut count) = (0, 0);
        for step in 0..100_000u64 {
            // Ten events a millisecond; every other worker is 20 ms behind.
            let now = 1_000 * MS + step * MS / 10 - step % 2 * 20 * MS;
            let (is_admitted, next) = limit.admit(due, now);
            due = next;
            count += usize::from(is_admitted);
        }
        assert!((9_500..=10_051).contains(&count), "{count}");
    }

    #[test]
    fn a_debt_of_a_stricter_limit_is_not_kept() {
        let strict = RateLimit::new(1, 1_000);
        let due = (0..1_001).fold(0, |due, _| strict.admit(due, MS).1);
        assert!(!strict.admit(due, MS).0);
        // A thousand seconds are owed; of the new limit, one event.
        let loose = RateLimit::new(10, 0);
        let (is_admitted, due) = loose.admit(due, MS);
        assert_eq!((is_admitted, due), (false, 101 * MS));
        assert!(!loose.admit(due, 100 * MS).0);
        assert!(loose.admit(due, 101 * MS).0);
    }
}
