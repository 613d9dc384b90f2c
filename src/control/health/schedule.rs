//! When the next probe of a backend is due.

use std::time::Duration;

use crate::net::timer::TICK;

/// The first probe comes within this time, however long the interval is: until then nobody knows whether
/// a new backend can serve.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Looks at a schedule are so far apart, so that a probe begins up to this much after it is due.
const TICK_MS: u64 = TICK.as_millis() as u64;

/// The probes of one backend, which never overlap. Times are milliseconds of the process's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    interval_ms: u64,
    /// Of the next probe.
    due_ms: u64,
    /// The last probe has not ended, or still waits for its turn.
    is_busy: bool,
}

impl Schedule {
    /// The first probe is due at a random moment, so that backends which appear together are not probed
    /// together for ever after.
    pub(super) fn new(interval: Duration, random: u64, now_ms: u64) -> Schedule {
        let span_ms = interval.min(LONGEST_WAIT).as_millis() as u64;
        let due_ms = now_ms + random % span_ms.max(1);
        Schedule { interval_ms: interval.as_millis() as u64, due_ms, is_busy: false }
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
        let soonest = (now_ms + self.interval_ms).saturating_sub(TICK_MS);
        self.due_ms = (self.due_ms + self.interval_ms).max(soonest);
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

    /// The moments of the first few starts, when probes take so long and looks are a tick apart.
    fn starts(interval: Duration, probe_ms: u64, until_ms: u64) -> Vec<u64> {
        let mut schedule = Schedule::new(interval, 0, 1);
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
    fn the_first_probe_comes_within_the_interval_and_two_seconds() {
        for (interval_s, most_ms) in [(1, 1_000), (2, 2_000), (300, 2_000)] {
            let dues = (0..5_000).map(|random| {
                let schedule = Schedule::new(SECOND * interval_s, random, 7);
                schedule.due_ms - 7
            });
            assert_eq!((dues.clone().min(), dues.max()), (Some(0), Some(most_ms - 1)));
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
        let mut schedule = Schedule::new(SECOND, 0, 1);
        assert!(schedule.falls_due(1));
        assert!(!schedule.falls_due(1_500), "asked for twice");
        schedule.begin(1_500);
        schedule.end();
        assert!(!schedule.falls_due(2_399));
        assert!(schedule.falls_due(2_400));
    }
}
