//! The less loaded of two backends that were drawn at random.
//!
//! Nearly as even as the least loaded of all, and immune to a herd: workers that act on the same
//! figures do not all choose the same backend.

use crate::policy::balance::Candidate;

/// The candidates of a group, laid out for draws by weight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    candidates: Vec<Candidate>,
    /// For each candidate, the sum of the weights up to and with it.
    ends: Vec<u64>,
}

impl Pairs {
    pub fn new(candidates: &[Candidate]) -> Pairs {
        let mut total = 0;
        let ends = candidates.iter().map(|candidate| {
            total += u64::from(candidate.weight);
            total
        });
        Pairs { ends: ends.collect(), candidates: candidates.to_vec() }
    }

    /// One of two different candidates, drawn by weight; none if there is no candidate. `draw` gives random
    /// numbers, `load` a backend's requests in flight.
    ///
    /// The first one gets the request, so that idle backends share by weight, unless it has more in flight
    /// for its weight than the second: then the second gets it, the more likely the more that is. With equal
    /// weights one request more is enough. With others it must not be: of weights 100 and 50, one request in
    /// flight to the first is less than its share of two, and evading it always would give each of them
    /// a half.
    pub fn pick(&self, mut draw: impl FnMut() -> u64, load: impl Fn(u32) -> u32) -> Option<u32> {
        let total = *self.ends.last()?;
        let first = self.at(scaled(draw(), total))?;
        let own = self.candidates.get(first)?;
        let others = total - u64::from(own.weight);
        if others == 0 {
            return Some(own.backend);
        }
        let place = scaled(draw(), others);
        let begin = self.ends.get(first)? - u64::from(own.weight);
        let rival =
            self.candidates.get(self.at(place + if place < begin { 0 } else { own.weight.into() })?)?;
        let yields = yields(own, rival, total, &load, draw() >> 32);
        Some(if yields { rival.backend } else { own.backend })
    }

    /// The index of the candidate that this part of the sum of all weights belongs to.
    fn at(&self, place: u64) -> Option<usize> {
        let index = self.ends.partition_point(|&end| end <= place);
        (index < self.ends.len()).then_some(index)
    }
}

/// Whether a candidate yields its request to another one: with the probability
///
/// ```text
/// m (W - w) (load ÷ w - rival's load ÷ rival's w) ÷ (W - m)
/// ```
///
/// where `W` is the sum of all weights and `m` the lesser one of the two. As often as `w` draws the first and the
/// other the second, that is the same for both sides where loads are by weight, so that neither gains by it; and
/// it is 1 for the lighter one with one request against none. `chance` has 32 bits.
fn yields(own: &Candidate, rival: &Candidate, total: u64, load: impl Fn(u32) -> u32, chance: u64) -> bool {
    let (own_weight, rival_weight) = (u128::from(own.weight), u128::from(rival.weight));
    let (own_load, rival_load) = (u128::from(load(own.backend)), u128::from(load(rival.backend)));
    let excess = (own_load * rival_weight).saturating_sub(rival_load * own_weight);
    let lesser = own_weight.min(rival_weight);
    let total = u128::from(total);
    // Weights have less than 2^20, their sum less than 2^36, loads less than 2^32.
    u128::from(chance) * (total - lesser) * own_weight * rival_weight
        < (lesser * (total - own_weight) * excess) << 32
}

/// Maps 64 random bits to a number below `limit`.
fn scaled(random: u64, limit: u64) -> u64 {
    ((u128::from(random) * u128::from(limit)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balance::tests::Numbers;
    use crate::policy::balance::tests::candidates;

    #[test]
    fn the_more_loaded_of_two_equals_is_never_chosen() {
        let mut numbers = Numbers(1);
        let pairs = Pairs::new(&candidates(&[100, 100]));
        for loads in [[5, 4], [1, 0], [300, 1]] {
            for _ in 0..1000 {
                assert_eq!(pairs.pick(|| numbers.next(), |backend| loads[backend as usize]), Some(1));
            }
        }
    }

    #[test]
    fn a_light_backend_with_more_than_its_share_is_passed_over() {
        let mut numbers = Numbers(6);
        let pairs = Pairs::new(&candidates(&[100, 50]));
        for _ in 0..1000 {
            assert_eq!(pairs.pick(|| numbers.next(), |backend| backend), Some(0));
        }
    }

    #[test]
    fn idle_backends_of_equal_weight_get_equal_shares() {
        let mut numbers = Numbers(2);
        for number in [2, 3, 10, 1000] {
            let pairs = Pairs::new(&candidates(&vec![100; number]));
            let mut counts = vec![0; number];
            for _ in 0..1000 * number {
                counts[pairs.pick(|| numbers.next(), |_| 0).unwrap() as usize] += 1;
            }
            assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn loads_stay_close() {
        let mut numbers = Numbers(3);
        let pairs = Pairs::new(&candidates(&[100; 100]));
        let mut loads = [0u32; 100];
        for _ in 0..100_000 {
            let chosen = pairs.pick(|| numbers.next(), |backend| loads[backend as usize]);
            loads[chosen.unwrap() as usize] += 1;
        }
        // At random, the spread would be about 1000 ± 100.
        assert!(loads.iter().all(|load| (990..=1005).contains(load)), "{loads:?}");
    }

    #[test]
    fn weights_count_under_load() {
        let mut numbers = Numbers(4);
        let pairs = Pairs::new(&candidates(&[100, 200, 400, 800]));
        let mut loads = [0u32; 4];
        for _ in 0..15_000 {
            let chosen = pairs.pick(|| numbers.next(), |backend| loads[backend as usize]);
            loads[chosen.unwrap() as usize] += 1;
        }
        for (load, fair) in loads.into_iter().zip([1000, 2000, 4000, 8000]) {
            assert!(load.abs_diff(fair) < fair / 5, "{loads:?}");
        }
    }

    #[test]
    fn few_candidates() {
        assert_eq!(Pairs::new(&[]).pick(|| 1, |_| 0), None);
        for random in [0, 1, u64::MAX] {
            assert_eq!(Pairs::new(&candidates(&[5])).pick(|| random, |_| 9), Some(0));
            let extremes = Pairs::new(&candidates(&[1_000_000, 1, 1_000_000]));
            assert!(extremes.pick(|| random, |_| u32::MAX).is_some());
            assert!(extremes.pick(|| random, |backend| if backend == 1 { 0 } else { u32::MAX }).is_some());
        }
    }
}
