//! Telling the service manager that all workers are alive, for as long as they are.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use crate::control::process::systemd::Systemd;
use crate::telemetry::worker_counters::WorkerCounters;

/// How many looks there are in the time after which the service manager loses its patience.
const LOOKS: u32 = 4;

/// Workers count no oftener.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// What watches the workers, which count something ten times a second.
pub(super) struct Watchdog {
    systemd: Systemd,
    counters: Arc<WorkerCounters>,
    /// What each worker had counted at the last look.
    counted: RefCell<Vec<u64>>,
}

impl Watchdog {
    pub(super) fn new(systemd: Systemd, counters: Arc<WorkerCounters>) -> Watchdog {
        Watchdog { systemd, counters, counted: RefCell::default() }
    }

    /// How often [`Watchdog::look`] is to be called; None: never.
    pub(super) fn interval(&self) -> Option<Duration> {
        Some((self.systemd.watchdog()? / LOOKS).max(MIN_INTERVAL))
    }

    /// Tells that the process is alive if every worker has counted since the last look. In a stop, workers end one by one,
    /// and the time for it is bounded otherwise.
    pub(super) fn look(&self, is_stopping: bool) {
        if self.systemd.watchdog().is_none() {
            return;
        }
        let counted: Vec<u64> = self.counters.told().collect();
        let before = self.counted.replace(counted.clone());
        if is_stopping || has_moved(&before, &counted) {
            self.systemd.alive();
        }
    }
}

/// Whether each worker has counted since.
fn has_moved(before: &[u64], counted: &[u64]) -> bool {
    before.len() == counted.len() && before.iter().zip(counted).all(|(before, counted)| before != counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_that_stalls_is_enough() {
        for (before, counted, expected) in [
            (&[][..], &[5, 5][..], false),
            (&[5, 5], &[6, 9], true),
            (&[5, 5], &[6, 5], false),
            (&[5, 5], &[5, 6], false),
        ] {
            assert_eq!(has_moved(before, counted), expected, "{before:?} {counted:?}");
        }
    }
}
