//! The weight of a backend that has just come into service, which grows until it has warmed up.

use std::time::Duration;

/// Weights change this often during a slow start. Few steps, because each lays out new tables; and a
/// twentieth of a weight divides it evenly, which keeps rounds short.
const STEPS: u32 = 20;

/// What a configured weight of 1 counts for in a [`Candidate`](crate::policy::balance::Candidate).
pub const SCALE: u32 = 100;

/// The weight to balance with, `elapsed` after a slow start of this duration began: proportional to
/// the time, in steps, and never below the first step's, or the backend would warm up with nothing.
pub fn weight(configured: u32, elapsed: Duration, duration: Duration) -> u32 {
    SCALE / STEPS * configured * step(elapsed, duration).max(1)
}

/// When the weight changes next, counted from where `elapsed` is; none once it is whole.
pub fn next_step(elapsed: Duration, duration: Duration) -> Option<Duration> {
    // Step 1 is in force from the start.
    let next = step(elapsed, duration).max(1) + 1;
    if next > STEPS {
        return None;
    }
    let nanoseconds = (duration.as_nanos() * u128::from(next)).div_ceil(STEPS.into());
    Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)))
}

/// Whole steps that are over, at most [`STEPS`].
fn step(elapsed: Duration, duration: Duration) -> u32 {
    let steps = (elapsed.as_nanos() * u128::from(STEPS)).checked_div(duration.as_nanos());
    steps.map_or(STEPS, |steps| steps.min(STEPS.into()) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn weights_grow_to_the_configured_one() {
        for (elapsed, expected) in [(0, 500), (1, 500), (2, 500), (3, 500), (4, 1000), (20, 5000), (39, 9500)]
        {
            assert_eq!(weight(100, elapsed * SECOND, 40 * SECOND), expected, "{elapsed}");
        }
        for elapsed in [40 * SECOND, Duration::MAX] {
            assert_eq!(weight(100, elapsed, 40 * SECOND), 10_000);
            assert_eq!(next_step(elapsed, 40 * SECOND), None);
        }
        assert_eq!(weight(1, Duration::ZERO, 30 * SECOND), 5);
        assert_eq!(weight(0, Duration::ZERO, 30 * SECOND), 0);
        assert_eq!(weight(7, Duration::ZERO, Duration::ZERO), 700);
    }

    #[test]
    fn every_step_is_announced() {
        for duration in [30 * SECOND, 900 * SECOND, Duration::from_nanos(1_000_000_007)] {
            let mut elapsed = Duration::ZERO;
            let mut steps = 0;
            let mut before = weight(3, elapsed, duration);
            while let Some(next) = next_step(elapsed, duration) {
                assert!(next > elapsed);
                assert_eq!(weight(3, next - Duration::from_nanos(1), duration), before);
                assert_eq!(weight(3, next, duration), before + 15);
                before = weight(3, next, duration);
                elapsed = next;
                steps += 1;
            }
            assert_eq!((steps, before, elapsed), (19, 300, duration));
        }
    }
}
