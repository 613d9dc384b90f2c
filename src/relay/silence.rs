//! The time in which neither side of a relayed connection says anything.

use std::cell::Cell;
use std::time::Duration;

use crate::net::timer::Deadline;
use crate::tls::transport::Transport;

/// What bounds it.
pub(super) struct Silence<'f> {
    pub(super) deadline: &'f Deadline,
    timeout: Duration,
    /// TCP finds out by now whether the backend has vanished.
    is_backend_asked: Cell<bool>,
}

/// After so long a silence TCP is asked to find out whether the backend is still there, which it does a minute later.
/// Most connections end before, and each is spared four system calls. A side that takes bytes and acknowledges none is found out anyway.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

impl<'f> Silence<'f> {
    /// Counts from now on.
    pub(super) fn new(deadline: &'f Deadline, timeout: Duration) -> Silence<'f> {
        let silence = Silence { deadline, timeout, is_backend_asked: Cell::new(timeout <= KEEPALIVE_AFTER) };
        silence.begin();
        silence
    }

    /// Counts from now on.
    pub(super) fn begin(&self) {
        let is_asked = self.is_backend_asked.get();
        self.deadline.set(if is_asked { self.timeout } else { KEEPALIVE_AFTER });
    }

    /// Whether it has lasted as long as it may, now that the deadline has passed; else `ask` is to let TCP find out whether
    /// the backend is there, and the deadline is moved.
    pub(super) fn is_over(&self, ask: impl FnOnce()) -> bool {
        if self.is_backend_asked.replace(true) {
            return true;
        }
        ask();
        self.deadline.set(self.timeout.saturating_sub(KEEPALIVE_AFTER));
        false
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

    /// After how many seconds the backend is asked for, and after how many the silence is over.
    fn course(timeout: Duration) -> (Option<u64>, u64) {
        let timers = Timers::default();
        let deadline = timers.deadline();
        let silence = Silence::new(&deadline, timeout);
        let mut asked = None;
        loop {
            timers.tick();
            let seconds = timers.ticks() / TICKS_PER_SECOND;
            if deadline.has_passed() && silence.is_over(|| asked = Some(seconds)) {
                return (asked, seconds);
            }
        }
    }

    #[test]
    fn a_long_silence_is_asked_about_and_lasts_as_long_as_configured() {
        assert_eq!(course(Duration::from_secs(900)), (Some(60), 900));
        assert_eq!(course(Duration::from_secs(61)), (Some(60), 61));
        assert_eq!(course(Duration::from_secs(60)), (None, 60));
        assert_eq!(course(Duration::from_secs(5)), (None, 5));
    }

    #[test]
    fn once_asked_about_the_backend_is_not_asked_for_again() {
        let timers = Timers::default();
        let deadline = timers.deadline();
        let silence = Silence::new(&deadline, Duration::from_secs(100));
        let mut asked = 0;
        assert!(!silence.is_over(|| asked += 1));
        silence.begin();
        (0..100 * TICKS_PER_SECOND).for_each(|_| timers.tick());
        assert!(!deadline.has_passed());
        (0..2).for_each(|_| timers.tick());
        assert!(deadline.has_passed());
        assert!(silence.is_over(|| asked += 1));
        assert_eq!(asked, 1);
    }
}
