//! Weighted round robin, and plain round robin as its case of equal weights.
//!
//! The order of a whole round is laid out when the configuration is built, so that a choice is one
//! look into a list, whatever the number of backends.

/// The order in which the backends of a group are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Indices of backends; one with weight `w` stands here `w / gcd` times, evenly spread.
    round: Vec<u32>,
}

impl Schedule {
    /// Lays out a round for these weights. A backend of weight 0 gets nothing.
    ///
    /// Backend `i` claims the positions `(k + 1/2) / weight` for each `k` below its weight, and the
    /// round is the claims in order: the shares are exact and no backend gets a burst.
    pub fn new(weights: &[u8]) -> Schedule {
        let divisor = weights.iter().fold(0, |divisor, &weight| gcd(divisor, weight)).max(1);
        let mut claims = Vec::new();
        for (index, &weight) in (0u32..).zip(weights) {
            let times = u64::from(weight / divisor);
            // 2k + 1 over 2w, scaled so that integers of different weights compare: below 2^40.
            claims.extend((0..times).map(|k| (((2 * k + 1) << 32) / (2 * times), index)));
        }
        claims.sort_unstable();
        Schedule { round: claims.into_iter().map(|(_, index)| index).collect() }
    }

    /// The backend at this position of the endless repetition of the round; none if every weight is 0.
    pub fn pick(&self, position: usize) -> Option<usize> {
        let index = position.checked_rem(self.round.len())?;
        self.round.get(index).map(|&backend| backend as usize)
    }

    /// The first backend at or after `position` that is not among `tried`.
    pub fn pick_other(&self, position: usize, tried: &[u32]) -> Option<usize> {
        let candidates = (0..self.round.len()).filter_map(|step| self.pick(position.wrapping_add(step)));
        candidates.into_iter().find(|&backend| !tried.iter().any(|&other| other as usize == backend))
    }

    /// Choices until the order repeats.
    pub fn round_length(&self) -> usize {
        self.round.len()
    }
}

fn gcd(a: u8, b: u8) -> u8 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(weights: &[u8]) -> Vec<u32> {
        Schedule::new(weights).round
    }

    #[test]
    fn equal_weights_alternate() {
        assert_eq!(round(&[100, 100, 100]), [0, 1, 2]);
        assert_eq!(round(&[1]), [0]);
    }

    #[test]
    fn shares_are_exact_and_spread_out() {
        assert_eq!(round(&[50, 10, 10]).len(), 7);
        let weights = [100, 37, 1, 0, 90];
        let round = round(&weights);
        for (backend, &weight) in (0u32..).zip(&weights) {
            assert_eq!(round.iter().filter(|&&chosen| chosen == backend).count(), usize::from(weight));
        }
        let longest_run = round.chunk_by(|a, b| a == b).map(<[u32]>::len).max();
        assert!(longest_run <= Some(2), "{round:?}");
    }

    #[test]
    fn weight_zero_gets_nothing() {
        let schedule = Schedule::new(&[0, 0]);
        assert_eq!(schedule.pick(5), None);
        assert_eq!(schedule.pick_other(0, &[]), None);
    }

    #[test]
    fn a_second_choice_differs_from_those_tried() {
        let schedule = Schedule::new(&[100, 100, 0, 1]);
        assert_eq!(schedule.pick_other(0, &[0]), Some(1));
        assert_eq!(schedule.pick_other(0, &[0, 1]), Some(3));
        assert_eq!(schedule.pick_other(0, &[0, 1, 3]), None);
    }
}
