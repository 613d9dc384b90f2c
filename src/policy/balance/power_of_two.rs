//! The less loaded of two backends that were drawn at random.
//!
//! Nearly as even as the least loaded of all, and immune to a herd: workers that act on the same
//! figures do not all choose the same backend.

use crate::policy::balance::Candidate;

/// The one of two random candidates that would have the lower load for its weight with this request
/// added; none if there is no candidate. `load` tells a backend's requests in flight.
pub fn pick(candidates: &[Candidate], random: u64, load: impl Fn(u32) -> u32) -> Option<u32> {
    // The lowest bit decides ties, the 32 bits above it draw the second, the rest the first.
    let index = draw(random >> 33 << 1, candidates.len());
    let first = candidates.get(index)?;
    let other = draw(random >> 1 & u64::from(u32::MAX), candidates.len() - 1);
    let Some(second) = candidates.get(other + usize::from(other >= index)) else {
        return Some(first.backend);
    };
    let cost =
        |own: &Candidate, rival: &Candidate| (u64::from(load(own.backend)) + 1) * u64::from(rival.weight);
    let (first_cost, second_cost) = (cost(first, second), cost(second, first));
    let takes_first = first_cost < second_cost || first_cost == second_cost && random & 1 == 0;
    Some(if takes_first { first.backend } else { second.backend })
}

/// Maps 32 random bits to a number below `limit`, which is far below 2^32.
fn draw(bits: u64, limit: usize) -> usize {
    ((bits * limit as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balance::tests::Numbers;
    use crate::policy::balance::tests::candidates;

    #[test]
    fn the_most_loaded_is_never_chosen() {
        let mut numbers = Numbers(1);
        let candidates = candidates(&[100, 50, 100]);
        let loads = [5, 3, 7];
        for _ in 0..1000 {
            // (5 + 1) / 100 < (3 + 1) / 50, and 8 / 100 is as much as 4 / 50.
            let chosen = pick(&candidates, numbers.next(), |backend| loads[backend as usize]);
            assert_ne!(chosen, None);
            let alone = pick(&candidates[..2], numbers.next(), |backend| loads[backend as usize]);
            assert_eq!(alone, Some(0));
        }
    }

    #[test]
    fn idle_backends_of_equal_weight_get_equal_shares() {
        let mut numbers = Numbers(2);
        for number in [2, 3, 10, 1000] {
            let candidates = candidates(&vec![100; number]);
            let mut counts = vec![0; number];
            for _ in 0..1000 * number {
                counts[pick(&candidates, numbers.next(), |_| 0).unwrap() as usize] += 1;
            }
            assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn loads_stay_close() {
        let mut numbers = Numbers(3);
        let candidates = candidates(&[100; 100]);
        let mut loads = [0u32; 100];
        for _ in 0..100_000 {
            let chosen = pick(&candidates, numbers.next(), |backend| loads[backend as usize]);
            loads[chosen.unwrap() as usize] += 1;
        }
        // At random, the spread would be about 1000 ± 100.
        assert!(loads.iter().all(|load| (990..=1005).contains(load)), "{loads:?}");
    }

    #[test]
    fn weights_count_under_load() {
        let mut numbers = Numbers(4);
        let candidates = candidates(&[100, 200, 400, 800]);
        let mut loads = [0u32; 4];
        for _ in 0..15_000 {
            let chosen = pick(&candidates, numbers.next(), |backend| loads[backend as usize]);
            loads[chosen.unwrap() as usize] += 1;
        }
        for (load, fair) in loads.into_iter().zip([1000, 2000, 4000, 8000]) {
            assert!(load.abs_diff(fair) < fair / 5, "{loads:?}");
        }
    }

    #[test]
    fn few_candidates() {
        assert_eq!(pick(&[], 1, |_| 0), None);
        for random in [0, 1, u64::MAX] {
            assert_eq!(pick(&candidates(&[5]), random, |_| 9), Some(0));
            assert!(pick(&candidates(&[5, 5]), random, |_| u32::MAX).is_some());
        }
    }
}
