//! The clock: read once per loop turn, then remembered until the turn ends.
//!
//! This file is the one door to the operating system's clocks.

use std::cell::Cell;
use std::sync::OnceLock;
use std::task::Context;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::net::wake::WakerSlot;

/// A point in time on the monotonic clock of one worker, in nanoseconds since the process began, or the first of those that
/// have handed over to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same in whole microseconds, without the division that a [`Duration`] begins with.
    pub fn micros_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }

    /// Milliseconds since then.
    pub fn millis(self) -> u64 {
        self.0 / 1_000_000
    }
}

/// What the clock that all workers share tells of its beginning; 0 means never.
const SHARED_NS_AT_BEGIN: u64 = 1_000_000_000;

/// The clock of one worker. The task that runs the worker's loop calls [`Clock::end_turn`].
pub struct Clock {
    began: Instant,
    /// The moment read in this turn, if any code asked yet.
    read: Cell<Option<Moment>>,
    /// Wakes the loop's owner so that it ends the turn.
    turn_end: WakerSlot,
    /// Wall-clock time at `began`, corrected at each tick, so that a log follows a stepped clock.
    wall_at_begin: Cell<Duration>,
}

impl Clock {
    pub fn start() -> Clock {
        let clock = Clock {
            began: process_began(instant_now()),
            read: Cell::new(None),
            turn_end: WakerSlot::default(),
            wall_at_begin: Cell::new(Duration::ZERO),
        };
        clock.follow_wall();
        clock
    }

    /// The present moment, at most one loop turn old.
    pub fn now(&self) -> Moment {
        if let Some(moment) = self.read.get() {
            return moment;
        }
        let moment = self.read_now();
        self.read.set(Some(moment));
        self.turn_end.wake_by_ref();
        moment
    }

    /// The same, read anew where what is remembered is no later than this moment: what begins and ends within one turn, as
    /// where an answer is there when it is first asked for, has taken some time, too.
    pub fn now_after(&self, earlier: Moment) -> Moment {
        match self.now() {
            now if now > earlier => now,
            _ => {
                self.read.set(None);
                self.now()
            }
        }
    }

    /// Wall-clock time of a moment, as time since the Unix epoch.
    pub fn wall(&self, moment: Moment) -> Duration {
        self.wall_at_begin.get() + Duration::from_nanos(moment.0)
    }

    /// Nanoseconds of a monotonic clock that all workers share, from a second on.
    pub fn shared_ns(&self, moment: Moment) -> u64 {
        SHARED_NS_AT_BEGIN + moment.0
    }

    /// The moment of which [`Clock::shared_ns`] tells this.
    pub fn moment_of(&self, shared_ns: u64) -> Moment {
        Moment(shared_ns.saturating_sub(SHARED_NS_AT_BEGIN))
    }

    /// Forgets the remembered moment; the task of this context is woken when the next one is read.
    pub fn end_turn(&self, cx: &Context<'_>) {
        self.read.set(None);
        self.turn_end.register(cx);
    }

    /// Takes over a wall clock that was stepped.
    pub fn follow_wall(&self) {
        self.wall_at_begin.set(wall_now().saturating_sub(Duration::from_nanos(self.read_now().0)));
    }

    fn read_now(&self) -> Moment {
        // 584 years of nanoseconds fit.
        let elapsed = instant_now().saturating_duration_since(self.began);
        Moment(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Wall-clock time since the Unix epoch, for threads that are no workers.
#[expect(clippy::disallowed_methods, reason = "the door to the wall clock")]
pub fn wall_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds of a monotonic clock that all threads share, from 1 on.
pub fn monotonic_ms() -> u64 {
    // 584 million years fit.
    since_process_began(instant_now()).as_millis() as u64 + 1
}

/// When any thread asked first, or what [`continue_clock`] has set.
static BEGAN: OnceLock<Instant> = OnceLock::new();

fn process_began(now: Instant) -> Instant {
    *BEGAN.get_or_init(|| now)
}

fn since_process_began(now: Instant) -> Duration {
    now.saturating_duration_since(process_began(now))
}

/// When the clock that all threads share began, in nanoseconds of the monotonic clock that all processes of the host
/// share.
pub fn clock_began_ns() -> u64 {
    let elapsed = since_process_began(instant_now());
    host_monotonic().saturating_sub(elapsed).as_nanos() as u64
}

/// Goes on with the clock of another process of this host, so that its moments keep their meaning; false if this process
/// has a clock already.
pub fn continue_clock(began_ns: u64) -> bool {
    let elapsed = host_monotonic().saturating_sub(Duration::from_nanos(began_ns));
    instant_now().checked_sub(elapsed).is_some_and(|began| BEGAN.set(began).is_ok())
}

fn host_monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// CPU time that the calling thread has used, in user space and in the kernel. A system call.
pub fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0;
    if failed {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Monotonic time, for threads that are no workers.
#[expect(clippy::disallowed_methods, reason = "the door to the monotonic clock")]
pub fn instant_now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn the_moment_stands_still_within_a_turn() {
        let clock = Clock::start();
        let first = clock.now();
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(clock.now(), first);
        clock.end_turn(&Context::from_waker(Waker::noop()));
        assert!(clock.now().since(first) >= Duration::from_millis(2));
    }

    #[test]
    fn what_ends_within_its_turn_has_taken_time() {
        let clock = Clock::start();
        let begin = clock.now();
        std::thread::sleep(Duration::from_millis(2));
        let end = clock.now_after(begin);
        assert!(end.since(begin) >= Duration::from_millis(2));
        assert_eq!((clock.now(), clock.now_after(begin)), (end, end));
    }

    #[test]
    fn wall_time_is_the_systems() {
        let clock = Clock::start();
        let difference = clock.wall(clock.now()).abs_diff(wall_now());
        assert!(difference < Duration::from_secs(1), "{difference:?}");
    }
}
