//! When sessions are to be looked at: a coarse wheel, whose entries are numbers.
//!
//! A session is busy far more often than it is over, so a datagram moves nothing here: it stores the tick, and the wheel
//! finds when its entry comes round that the session has been busy since.

/// Slots of the wheel; what is due later is looked at when it has gone round once.
const SLOTS: u64 = 64;

pub(super) struct ExpiryWheel {
    slots: Vec<Vec<u64>>,
    /// The tick whose entries were taken out last.
    now: u64,
}

impl Default for ExpiryWheel {
    fn default() -> ExpiryWheel {
        ExpiryWheel { slots: (0..SLOTS).map(|_| Vec::new()).collect(), now: 0 }
    }
}

impl ExpiryWheel {
    /// Gives the entry back at this tick, or earlier where it is far away; at the next one, if it has passed.
    pub(super) fn add(&mut self, entry: u64, due: u64) {
        let due = due.clamp(self.now + 1, self.now + SLOTS - 1);
        if let Some(slot) = self.slots.get_mut((due % SLOTS) as usize) {
            slot.push(entry);
        }
    }

    /// Takes out what is due up to this tick.
    pub(super) fn advance(&mut self, now: u64, mut take: impl FnMut(u64)) {
        // After a long sleep each slot is due once.
        let first = (self.now + 1).max(now.saturating_sub(SLOTS - 1));
        for tick in first..=now {
            if let Some(slot) = self.slots.get_mut((tick % SLOTS) as usize) {
                slot.drain(..).for_each(&mut take);
                // What a flood has left is given back.
                slot.shrink_to(slot.capacity() / 2);
            }
        }
        self.now = self.now.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_when_they_are_due_or_after_a_round() {
        let mut wheel = ExpiryWheel::default();
        for (entry, due) in [(1, 3), (2, 3), (3, 0), (4, 500), (5, 63)] {
            wheel.add(entry, due);
        }
        let mut came = Vec::new();
        for tick in 1..=200 {
            wheel.advance(tick, |entry| came.push((tick, entry)));
        }
        assert_eq!(came, [(1, 3), (3, 1), (3, 2), (63, 4), (63, 5)]);
    }

    #[test]
    fn a_long_sleep_loses_nothing() {
        let mut wheel = ExpiryWheel::default();
        (0..100).for_each(|entry| wheel.add(entry, entry));
        let mut count = 0;
        wheel.advance(1_000, |_| count += 1);
        assert_eq!(count, 100);
        wheel.add(7, 1_001);
        wheel.advance(1_001, |entry| assert_eq!(entry, 7));
    }
}
