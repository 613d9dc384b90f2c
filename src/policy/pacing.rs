//! Bytes per second: a token bucket that is one number, the moment at which the next byte is due.

use std::time::Duration;

const SECOND_NS: u128 = 1_000_000_000;

/// What was not used in this time may still be: workers wake whoever waits a tick of 100 ms late at most, and that must
/// not be lost.
const SAVED_NS: u64 = 250_000_000;

/// A piece of content is so much of what may pass in a second at most, so that those who wait take turns.
const PIECES_PER_SECOND: u64 = 20;

/// How many bytes may pass in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// At least 1.
    bytes_per_second: u64,
}

impl Bandwidth {
    pub fn new(bytes_per_second: u64) -> Bandwidth {
        Bandwidth { bytes_per_second: bytes_per_second.max(1) }
    }

    pub fn bytes_per_second(self) -> u64 {
        self.bytes_per_second
    }

    /// How long bytes that are to pass now have to wait, and when the next are due then. They are counted in any case.
    pub fn reserve(self, due_ns: u64, now_ns: u64, bytes: usize) -> (Duration, u64) {
        let begin = due_ns.max(now_ns.saturating_sub(SAVED_NS));
        let takes = bytes as u128 * SECOND_NS / u128::from(self.bytes_per_second);
        let next = begin.saturating_add(u64::try_from(takes).unwrap_or(u64::MAX));
        (Duration::from_nanos(begin.saturating_sub(now_ns)), next)
    }

    /// Bytes that should be fetched at a time.
    pub fn piece(self) -> usize {
        usize::try_from(self.bytes_per_second / PIECES_PER_SECOND).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_rate_holds_though_who_waits_is_woken_late() {
        for (rate, piece) in [(10_000, 1_000), (1_000_000, 8_000), (100_000_000, 131_072)] {
            let bandwidth = Bandwidth::new(rate);
            let (mut now, mut due, mut passed) = (1_000 * MS, 0, 0);
            let end = now + 20_000 * MS;
            while now < end {
                let (wait, next) = bandwidth.reserve(due, now, piece);
                due = next;
                if !wait.is_zero() {
                    // The next tick.
                    now = (now + wait.as_nanos() as u64).next_multiple_of(100 * MS);
                }
                passed += piece as u64;
            }
            let expected = rate * 20;
            assert!(
                (expected * 95 / 100..=expected * 105 / 100 + rate / 4).contains(&passed),
                "{rate}: {passed}"
            );
        }
    }

    #[test]
    fn what_was_not_used_is_saved_for_a_moment_only() {
        let bandwidth = Bandwidth::new(1_000);
        let (wait, due) = bandwidth.reserve(0, 60_000 * MS, 250);
        assert_eq!((wait, due), (Duration::ZERO, 60_000 * MS));
        let (wait, due) = bandwidth.reserve(due, 60_000 * MS, 500);
        assert_eq!((wait, due), (Duration::ZERO, 60_500 * MS));
        assert_eq!(bandwidth.reserve(due, 60_100 * MS, 1).0, Duration::from_millis(400));
    }
}
