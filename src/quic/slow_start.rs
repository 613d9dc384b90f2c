//! When the window stops doubling: as soon as round trips take longer, before anything is lost (HyStart++, RFC 9406).

use std::time::Duration;

/// RFC 9406 §4.3, of which all that follow are the recommended values.
const LEAST_RISE: Duration = Duration::from_millis(4);
const MOST_RISE: Duration = Duration::from_millis(16);
const RISE_DIVISOR: u32 = 8;
const SAMPLES: u32 = 8;
const CONSERVATIVE_DIVISOR: f64 = 4.0;
const CONSERVATIVE_ROUNDS: u32 = 5;

/// The rounds of slow start of one connection. A round lasts until what was sent last when it began is acknowledged.
#[derive(Clone, Default)]
pub(super) struct SlowStart {
    last_sent: u64,
    /// The packet with whose acknowledgement the round is over.
    round_end: u64,
    /// The shortest round trips of this round and the one before.
    shortest: Option<Duration>,
    shortest_before: Option<Duration>,
    samples: u32,
    conservative: Option<Conservative>,
}

/// Round trips took longer once: the window grows slower, until this has shown to be true or not.
#[derive(Clone)]
struct Conservative {
    baseline: Duration,
    rounds: u32,
}

impl SlowStart {
    pub(super) fn note_sent(&mut self, last_packet_number: u64) {
        self.last_sent = self.last_sent.max(last_packet_number);
    }

    pub(super) fn note_sample(&mut self, round_trip: Duration) {
        self.samples += 1;
        self.shortest = Some(self.shortest.map_or(round_trip, |shortest| shortest.min(round_trip)));
        let (Some(shortest), true) = (self.shortest, self.samples >= SAMPLES) else { return };
        match &self.conservative {
            None => {
                let Some(before) = self.shortest_before else { return };
                let rise = (before / RISE_DIVISOR).clamp(LEAST_RISE, MOST_RISE);
                if shortest >= before + rise {
                    self.conservative = Some(Conservative { baseline: shortest, rounds: 0 });
                }
            }
            // The rise was an accident.
            Some(conservative) if shortest < conservative.baseline => self.conservative = None,
            Some(_) => {}
        }
    }

    /// What the window grows by for so many bytes that were acknowledged.
    pub(super) fn growth(&self, bytes: f64) -> f64 {
        if self.conservative.is_some() { bytes / CONSERVATIVE_DIVISOR } else { bytes }
    }

    /// Whether slow start is over with what was acknowledged, up to a packet.
    pub(super) fn is_over_after(&mut self, largest: Option<u64>) -> bool {
        if largest.is_none_or(|largest| largest < self.round_end) {
            return false;
        }
        self.round_end = self.last_sent;
        self.shortest_before = self.shortest.take().or(self.shortest_before);
        self.samples = 0;
        let Some(conservative) = &mut self.conservative else { return false };
        conservative.rounds += 1;
        conservative.rounds >= CONSERVATIVE_ROUNDS
    }

    /// Slow start was ended by a loss; another one, if there is one, knows nothing.
    pub(super) fn end(&mut self) {
        *self = SlowStart { last_sent: self.last_sent, round_end: self.last_sent, ..SlowStart::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round of ten packets that took so long; whether slow start is over with it.
    fn round(slow_start: &mut SlowStart, milliseconds: u64) -> bool {
        let last = slow_start.last_sent + 10;
        slow_start.note_sent(last);
        (0..10).for_each(|_| slow_start.note_sample(Duration::from_millis(milliseconds)));
        slow_start.is_over_after(Some(last))
    }

    #[test]
    fn round_trips_of_the_same_length_change_nothing() {
        let mut slow_start = SlowStart::default();
        assert!((0..20).all(|_| !round(&mut slow_start, 40)));
        // Less than an eighth more.
        assert!((0..20).all(|_| !round(&mut slow_start, 44)));
        assert_eq!(slow_start.growth(1_200.0), 1_200.0);
    }

    #[test]
    fn five_longer_rounds_end_it() {
        let mut slow_start = SlowStart::default();
        round(&mut slow_start, 40);
        let over = (0..5).map(|_| round(&mut slow_start, 45)).collect::<Vec<_>>();
        assert_eq!(slow_start.growth(1_200.0), 300.0);
        assert_eq!(over, [false, false, false, false, true]);
    }

    #[test]
    fn a_single_longer_round_is_an_accident() {
        let mut slow_start = SlowStart::default();
        round(&mut slow_start, 40);
        assert!(!round(&mut slow_start, 80));
        assert_eq!(slow_start.growth(1_200.0), 300.0);
        assert!((0..20).all(|_| !round(&mut slow_start, 41)));
        assert_eq!(slow_start.growth(1_200.0), 1_200.0);
    }

    #[test]
    fn few_samples_say_nothing() {
        let mut slow_start = SlowStart::default();
        round(&mut slow_start, 40);
        (0..7).for_each(|_| slow_start.note_sample(Duration::from_millis(90)));
        assert_eq!(slow_start.growth(1_200.0), 1_200.0);
    }
}
