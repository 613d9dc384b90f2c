//! What probes, one after another, say of a backend.
//!
//! ```text
//!                     1 success
//!     Initial ─────────────────────────────▶ Healthy
//!        │                                   │     ▲
//!        │ unhealthy_threshold               │     │ healthy_threshold
//!        │ failures in a row                 │     │ successes in a row
//!        │                                   │     │
//!        │              unhealthy_threshold  ▼     │
//!        └────────────▶ failures in a row ─▶ Unhealthy
//! ```
//!
//! A backend that was not probed before (`Unchecked`) moves as from Initial. One that is presumed to be healthy
//! moves to Healthy or Initial with its first probe, whose failure counts there.

use crate::snapshot::backend::CheckState;

/// The state of one backend, and how much speaks against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    state: CheckState,
    /// Probes in a row that contradict the state; fewer than the threshold.
    against: u32,
}

/// Probes in a row that it takes, both at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thresholds {
    /// To become healthy again.
    pub(super) healthy: u32,
    /// To become unhealthy.
    pub(super) unhealthy: u32,
}

/// A verdict that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) from: CheckState,
    pub(super) to: CheckState,
    /// How many probes counted, the last one included.
    pub(super) probes: u32,
}

impl Verdict {
    pub(super) fn new(state: CheckState) -> Verdict {
        Verdict { state, against: 0 }
    }

    /// Takes one more probe into account; tells when that changes the verdict.
    pub(super) fn note(&mut self, passed: bool, thresholds: Thresholds) -> Option<Change> {
        let (to, needed) = match (self.state, passed) {
            (CheckState::Healthy, true) | (CheckState::Unhealthy, false) => {
                self.against = 0;
                return None;
            }
            (CheckState::Initial | CheckState::Presumed | CheckState::Unchecked, true) => {
                (CheckState::Healthy, 1)
            }
            (CheckState::Presumed, false) if thresholds.unhealthy > 1 => (CheckState::Initial, 1),
            (CheckState::Unhealthy, true) => (CheckState::Healthy, thresholds.healthy),
            (_, false) => (CheckState::Unhealthy, thresholds.unhealthy),
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        let change = Change { from: self.state, to, probes: self.against };
        *self = Verdict { state: to, against: u32::from(to == CheckState::Initial) };
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CheckState::Healthy;
    use CheckState::Initial;
    use CheckState::Presumed;
    use CheckState::Unchecked;
    use CheckState::Unhealthy;

    const THRESHOLDS: Thresholds = Thresholds { healthy: 2, unhealthy: 3 };

    /// The states after each probe: `+` for a success, `-` for a failure.
    fn states(begin: CheckState, probes: &str) -> Vec<CheckState> {
        let mut verdict = Verdict::new(begin);
        let mut after = |probe: char| {
            let before = verdict.state;
            let change = verdict.note(probe == '+', THRESHOLDS);
            assert_eq!(change.map(|change| (change.from, change.to)), {
                (before != verdict.state).then_some((before, verdict.state))
            });
            verdict.state
        };
        probes.chars().map(&mut after).collect()
    }

    #[test]
    fn every_transition_needs_its_probes_in_a_row() {
        for (begin, probes, expected) in [
            (Initial, "+", vec![Healthy]),
            (Initial, "--+", vec![Initial, Initial, Healthy]),
            (Initial, "---", vec![Initial, Initial, Unhealthy]),
            (Healthy, "--+--+", vec![Healthy; 6]),
            (Healthy, "--+---", vec![Healthy, Healthy, Healthy, Healthy, Healthy, Unhealthy]),
            (Unhealthy, "+-+-", vec![Unhealthy; 4]),
            (Unhealthy, "+-++", vec![Unhealthy, Unhealthy, Unhealthy, Healthy]),
            (Unhealthy, "++---", vec![Unhealthy, Healthy, Healthy, Healthy, Unhealthy]),
            (Presumed, "+-", vec![Healthy, Healthy]),
            (Presumed, "-+", vec![Initial, Healthy]),
            (Presumed, "---", vec![Initial, Initial, Unhealthy]),
            (Unchecked, "+", vec![Healthy]),
            (Unchecked, "---", vec![Unchecked, Unchecked, Unhealthy]),
        ] {
            assert_eq!(states(begin, probes), expected, "{begin:?} {probes}");
        }
    }

    #[test]
    fn a_change_tells_how_many_probes_counted() {
        let mut verdict = Verdict::new(Initial);
        assert_eq!(verdict.note(false, THRESHOLDS), None);
        let change = Change { from: Initial, to: Healthy, probes: 2 };
        assert_eq!(verdict.note(true, THRESHOLDS), Some(change));
        let once = Thresholds { healthy: 1, unhealthy: 1 };
        let change = Change { from: Presumed, to: Unhealthy, probes: 1 };
        assert_eq!(Verdict::new(Presumed).note(false, once), Some(change));
        let change = Change { from: Healthy, to: Unhealthy, probes: 1 };
        assert_eq!(verdict.note(false, once), Some(change));
    }
}
