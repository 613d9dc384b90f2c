//! The time in which neither side of a relayed connection says anything.

use std::cell::Cell;
use std::time::Duration;

use crate::net::timer::Deadline;
use crate::net::timer::TICK;
use crate::tls::transport::Transport;

/// What bounds it.
pub(super) struct Silence<'f> {
    pub(super) deadline: &'f Deadline,
    timeout: Duration,
    /// What is due when the deadline passes.
    next: Cell<Milestone>,
    /// TCP finds out by now whether the backend has vanished.
    is_backend_asked: Cell<bool>,
}

/// What is due after so long a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Milestone {
    /// The connection is to be kept at the least cost.
    Rest,
    /// TCP is to find out whether the backend is there.
    AskBackend,
    /// It has lasted as long as it may.
    End,
}

/// How far a silence has come.
#[derive(Clone, Copy)]
pub(super) struct SilenceStage {
    /// At which tick the next milestone is due.
    pub(super) due: u64,
    next: Milestone,
    is_backend_asked: bool,
}

/// Connections that are used again later than this are few enough for the system calls of a rest.
const REST_AFTER: Duration = Duration::from_secs(2);

/// After so long a silence TCP is asked to find out whether the backend is still there, which it does a minute later.
/// Most connections end before, and each is spared four system calls. A side that takes bytes and acknowledges none is found out anyway.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

impl<'f> Silence<'f> {
    /// Counts from now on.
    pub(super) fn new(deadline: &'f Deadline, timeout: Duration) -> Silence<'f> {
        let is_backend_asked = Cell::new(timeout <= KEEPALIVE_AFTER);
        let silence = Silence { deadline, timeout, next: Cell::new(Milestone::Rest), is_backend_asked };
        silence.begin();
        silence
    }

    /// Goes on after a rest, at this tick: that somebody has said something is seen when it is passed on.
    pub(super) fn resumed(
        deadline: &'f Deadline,
        timeout: Duration,
        (stage, now): (SilenceStage, u64),
    ) -> Silence<'f> {
        let SilenceStage { due, next, is_backend_asked } = stage;
        deadline.set(TICK.saturating_mul(u32::try_from(due.saturating_sub(now)).unwrap_or(u32::MAX)));
        let is_backend_asked = Cell::new(is_backend_asked);
        Silence { deadline, timeout, next: Cell::new(next), is_backend_asked }
    }

    pub(super) fn stage(&self) -> SilenceStage {
        let (due, next) = (self.deadline.due(), self.next.get());
        SilenceStage { due, next, is_backend_asked: self.is_backend_asked.get() }
    }

    /// Counts from now on.
    pub(super) fn begin(&self) {
        let first = if self.timeout > REST_AFTER { Milestone::Rest } else { Milestone::End };
        self.next.set(first);
        self.deadline.set(self.time_of(first));
    }

    /// What is due, now that the deadline has passed, which is moved unless the silence is over.
    pub(super) fn reached(&self) -> Milestone {
        let reached = self.next.get();
        let next = match reached {
            Milestone::Rest if !self.is_backend_asked.get() => Milestone::AskBackend,
            Milestone::Rest | Milestone::AskBackend => Milestone::End,
            Milestone::End => return reached,
        };
        if reached == Milestone::AskBackend {
            self.is_backend_asked.set(true);
        }
        self.next.set(next);
        self.deadline.set(self.time_of(next).saturating_sub(self.time_of(reached)));
        reached
    }

    /// After how long a silence it is due.
    fn time_of(&self, milestone: Milestone) -> Duration {
        match milestone {
            Milestone::Rest => REST_AFTER,
            Milestone::AskBackend => KEEPALIVE_AFTER,
            Milestone::End => self.timeout,
        }
    }
}

impl Silence<'_> {
    /// Whether a side takes what is under way to it, if slowly; the deadline, which has passed, is moved then. Room for more in
    /// the kernel's queue shows only when a third of it has drained.
    pub(super) fn goes_on(&self, sides: [&Transport; 2]) -> bool {
        sides.iter().any(|side| side.has_unsent() && side.extend(self.deadline, self.timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::timer::TICKS_PER_SECOND;
    use crate::net::timer::Timers;

    /// What is due after how many seconds of one silence.
    fn course(silence: &Silence<'_>, timers: &Timers) -> Vec<(Milestone, u64)> {
        let began = timers.ticks();
        let mut course = Vec::new();
        while course.last().is_none_or(|(milestone, _)| *milestone != Milestone::End) {
            timers.tick();
            if silence.deadline.has_passed() {
                course.push((silence.reached(), (timers.ticks() - began) / TICKS_PER_SECOND));
            }
        }
        course
    }

    #[test]
    fn a_long_silence_has_its_milestones_and_lasts_as_long_as_configured() {
        let asked_for = |timeout| {
            let timers = Timers::default();
            let deadline = timers.deadline();
            course(&Silence::new(&deadline, Duration::from_secs(timeout)), &timers)
        };
        let (rest, ask, end) = (Milestone::Rest, Milestone::AskBackend, Milestone::End);
        assert_eq!(asked_for(900), [(rest, 2), (ask, 60), (end, 900)]);
        assert_eq!(asked_for(61), [(rest, 2), (ask, 60), (end, 61)]);
        assert_eq!(asked_for(60), [(rest, 2), (end, 60)]);
        assert_eq!(asked_for(1), [(end, 1)]);
    }

    #[test]
    fn once_asked_about_the_backend_is_not_asked_for_again() {
        let timers = Timers::default();
        let deadline = timers.deadline();
        let silence = Silence::new(&deadline, Duration::from_secs(100));
        while !(deadline.has_passed() && silence.reached() == Milestone::AskBackend) {
            timers.tick();
        }
        silence.begin();
        assert_eq!(course(&silence, &timers), [(Milestone::Rest, 2), (Milestone::End, 100)]);
    }

    #[test]
    fn a_rest_changes_nothing_of_a_silence() {
        let timers = Timers::default();
        let (before, after) = (timers.deadline(), timers.deadline());
        let timeout = Duration::from_secs(100);
        let silence = Silence::new(&before, timeout);
        (0..30 * TICKS_PER_SECOND).for_each(|_| timers.tick());
        assert_eq!(silence.reached(), Milestone::Rest);
        let stage = silence.stage();
        (0..10 * TICKS_PER_SECOND).for_each(|_| timers.tick());
        let resumed = Silence::resumed(&after, timeout, (stage, timers.ticks()));
        let rest = course(&resumed, &timers);
        assert_eq!(
            rest.iter().map(|(milestone, _)| *milestone).collect::<Vec<_>>(),
            [Milestone::AskBackend, Milestone::End]
        );
        // What the tick of this test came too late for is 28 seconds.
        assert!(rest.first().is_some_and(|(_, seconds)| (47..=49).contains(seconds)), "{rest:?}");
    }
}
