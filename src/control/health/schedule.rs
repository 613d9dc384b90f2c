//! When the next probe of a backend is due.

use std::time::Duration;

use crate::net::timer::TICK;

/// The first probe of a backend that was never probed is due within this time, and begins a tick later at most:
/// until then it is unknown whether it can serve.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Probes that take the place of others come within this time, however long the interval is.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Looks at a schedule are so far apart, so that a probe begins up to this much after it is due.
const TICK_MS: u64 = TICK.as_millis() as u64;

/// The probes of one backend, which never overlap. Times are milliseconds of the process's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    interval_ms: u64,
    /// When the next probe is due.
    due_ms: u64,
    /// The last probe has not ended, or still waits for its turn.
    is_busy: bool,
    /// How long after the first probe the second one is due. None: that was long ago.
    second_ms: Option<u64>,
}

/// What is known of a backend whose probes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acquaintance {
    /// It was never probed.
    New,
    Known,
}

impl Schedule {
    /// The first or, of new backends, the second probe is due at a random moment, so that backends which appear
    /// together are not probed together for ever after.
    pub(super) fn new(interval: Duration, backend: Acquaintance, random: u64, now_ms: u64) -> Schedule {
        let interval_ms = interval.as_millis() as u64;
        let (span, second_ms) = match backend {
            Acquaintance::New => {
                (FIRST_WAIT, Some(interval_ms / 2 + (random >> 32) % (interval_ms / 2).max(1)))
            }
            Acquaintance::Known => (interval.min(LONGEST_WAIT), None),
        };
        let due_ms = now_ms + random % (span.as_millis() as u64).max(1);
        Schedule { interval_ms, due_ms, is_busy: false, second_ms }
    }

    /// Whether a probe is to be begun; asks for each one once.
    pub(super) fn falls_due(&mut self, now_ms: u64) -> bool {
        let is_due = !self.is_busy && now_ms >= self.due_ms;
        self.is_busy |= is_due;
        is_due
    }

    /// A probe begins. The next one is due an interval after this one was; if this one is late, an interval
    /// after now.
    pub(super) fn begin(&mut self, now_ms: u64) {
        let pause_ms = self.second_ms.take().unwrap_or(self.interval_ms);
        let soonest = (now_ms + pause_ms).saturating_sub(TICK_MS);
        self.due_ms = (self.due_ms + pause_ms).max(soonest);
    }

    /// The probe has ended.
    pub(super) fn end(&mut self) {
        self.is_busy = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The moments of the first few starts, when probes take this long and looks are a tick apart.
    fn starts(interval: Duration, probe_ms: u64, until_ms: u64) -> Vec<u64> {
        let mut schedule = Schedule::new(interval, Acquaintance::Known, 0, 1);
        let mut starts = Vec::new();
        let mut ends_ms = None;
        for now_ms in (0..until_ms).step_by(TICK_MS as usize).skip(1) {
            if ends_ms.is_some_and(|ends| now_ms >= ends) {
                schedule.end();
                ends_ms = None;
            }
            if schedule.falls_due(now_ms) {
                assert_eq!(ends_ms, None, "probes overlap");
                schedule.begin(now_ms);
                starts.push(now_ms);
                ends_ms = Some(now_ms + probe_ms);
            }
        }
        starts
    }

    #[test]
    fn a_new_backend_is_probed_at_once_and_then_at_a_moment_of_its_own() {
        let mut seconds = std::collections::BTreeSet::new();
        for random in 0..1_000_u64 {
            let mut schedule = Schedule::new(SECOND * 2, Acquaintance::New, random << 32 | random, 7);
            let first_ms = schedule.due_ms;
            assert!((7..107).contains(&first_ms));
            assert!(schedule.falls_due(first_ms));
            schedule.begin(first_ms);
            schedule.end();
            let second_ms = schedule.due_ms - first_ms;
            assert!((1_000..2_000).contains(&second_ms), "{second_ms}");
            seconds.insert(second_ms);
            assert!(schedule.falls_due(schedule.due_ms));
            schedule.begin(schedule.due_ms);
            assert_eq!(schedule.due_ms - first_ms - second_ms, 2_000);
        }
        assert!(seconds.len() > 900);
    }

    #[test]
    fn the_first_probe_comes_within_the_interval_and_two_seconds() {
        for (interval_s, max_ms) in [(1, 1_000), (2, 2_000), (300, 2_000)] {
            let dues = (0..5_000).map(|random| {
                let schedule = Schedule::new(SECOND * interval_s, Acquaintance::Known, random, 7);
                schedule.due_ms - 7
            });
            assert_eq!((dues.clone().min(), dues.max()), (Some(0), Some(max_ms - 1)));
        }
    }

    #[test]
    fn intervals_are_measured_from_start_to_start() {
        assert_eq!(starts(SECOND, 0, 4_000), [100, 1_100, 2_100, 3_100]);
        assert_eq!(starts(SECOND, 900, 4_000), [100, 1_100, 2_100, 3_100]);
    }

    #[test]
    fn a_probe_that_outlasts_the_interval_is_followed_by_the_next() {
        assert_eq!(starts(SECOND, 1_500, 6_000), [100, 1_600, 3_100, 4_600]);
    }

    #[test]
    fn what_was_late_is_not_made_up_for() {
        let mut schedule = Schedule::new(SECOND, Acquaintance::Known, 0, 1);
        assert!(schedule.falls_due(1));
        assert!(!schedule.falls_due(1_500), "asked for twice");
        schedule.begin(1_500);
        schedule.end();
        assert!(!schedule.falls_due(2_399));
        assert!(schedule.falls_due(2_400));
    }
}
