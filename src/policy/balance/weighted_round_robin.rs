//! Weighted round robin, and plain round robin as its case of equal weights.
//!
//! The order of a whole round is laid out ahead of time, so that a choice is one look into a list,
//! whatever the number of backends.

use crate::policy::balance::Candidate;

/// Places of a round: half a megabyte, and enough for 1,000 backends to differ by 1 per cent.
pub const MAX_ROUND: usize = 131_072;

/// Places that a second choice walks along, before it takes any backend that was not tried.
const MAX_STEPS: usize = 64;

/// The golden ratio's fraction of 2^32: its multiples lie far from each other.
const GOLDEN: u32 = 0x9e37_79b9;

/// The order in which the backends of a group are chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoundSchedule {
    /// Indices of backends; one with weight `w` stands here `w / gcd` times, evenly spread.
    round: Vec<u32>,
    /// Each backend once.
    backends: Vec<u32>,
}

impl RoundSchedule {
    /// Lays out a round for these weights.
    ///
    /// The `m` backends of one weight take turns at the moments `(r + phase) / (m × weight)` of the
    /// round, and the round is the moments of all weights in order. So the shares are exact, every
    /// backend comes at even intervals, and the phases keep light backends from coming in a bunch.
    pub fn new(candidates: &[Candidate]) -> RoundSchedule {
        let places = places(candidates);
        let mut order: Vec<(u64, u32)> = places.into_iter().zip(0..).collect();
        order.sort_unstable_by_key(|&(places, index)| (std::cmp::Reverse(places), index));
        let mut claims = Vec::with_capacity(order.iter().map(|&(places, _)| places as usize).sum());
        let mut phase: u32 = 1 << 31;
        for peers in order.chunk_by(|(places, _), (other, _)| places == other) {
            let number = peers.iter().map(|(places, _)| places).sum();
            let turns = peers.iter().cycle().map(|&(_, index)| index);
            // A moment takes the upper half, so that claims compare as plain numbers.
            claims.extend((0..number).zip(turns).map(|(turn, index)| {
                let moment = ((turn << 32) + u64::from(phase)) / number;
                moment << 32 | u64::from(index)
            }));
            phase = phase.wrapping_add(GOLDEN);
        }
        // Made for lists that consist of sorted runs, which this one does.
        claims.sort();
        let backend = |claim: u64| candidates.get(claim as u32 as usize).map(|candidate| candidate.backend);
        RoundSchedule {
            round: claims.into_iter().filter_map(backend).collect(),
            backends: candidates.iter().map(|candidate| candidate.backend).collect(),
        }
    }

    /// The backend at this position of the endless repetition of the round; none if there is none.
    pub fn pick(&self, position: usize) -> Option<u32> {
        let index = position.checked_rem(self.round.len())?;
        self.round.get(index).copied()
    }

    /// A backend that is not among `tried`: the first one at or after `position` if it is near.
    pub fn pick_other(&self, position: usize, tried: &[u32]) -> Option<u32> {
        let is_new = |backend: &u32| !tried.contains(backend);
        let steps = 0..MAX_STEPS.min(self.round.len());
        let near = steps.filter_map(|step| self.pick(position.wrapping_add(step))).find(is_new);
        near.or_else(|| {
            let start = position.checked_rem(self.backends.len())?;
            self.backends.iter().cycle().skip(start).take(self.backends.len()).copied().find(is_new)
        })
    }

    /// Where one of several workers begins, so that all together are as even as each of them.
    ///
    /// Workers lie evenly over the round. A backend that comes eight times in a round would then be as
    /// far from each of eight workers, and what they round off for it would add up. Squares lie
    /// differently for every such period. Where each comes once, nothing can add up.
    pub fn start(&self, worker: usize, workers: usize) -> usize {
        let even = self.round.len() * worker / workers.max(1);
        if self.round.len() == self.backends.len() { even } else { even + 7 * worker * worker }
    }
}

/// How often each candidate stands in a round.
fn places(candidates: &[Candidate]) -> Vec<u64> {
    let weights = candidates.iter().map(|candidate| u64::from(candidate.weight));
    let divisor = weights.clone().fold(0, gcd).max(1);
    let total = weights.clone().sum::<u64>() / divisor;
    if total <= MAX_ROUND as u64 {
        return weights.map(|weight| weight / divisor).collect();
    }
    // One place each is set aside for those whose share is below one.
    let room = MAX_ROUND.saturating_sub(candidates.len()) as u64;
    weights.map(|weight| (weight / divisor * room / total).max(1)).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balance::tests::Numbers;
    use crate::policy::balance::tests::candidates;

    fn schedule(weights: &[u32]) -> RoundSchedule {
        RoundSchedule::new(&candidates(weights))
    }

    fn round(weights: &[u32]) -> Vec<u32> {
        schedule(weights).round
    }

    #[test]
    fn equal_weights_alternate() {
        assert_eq!(round(&[100, 100, 100]), [0, 1, 2]);
        assert_eq!(round(&[1]), [0]);
        let indices =
            RoundSchedule::new(&[Candidate { backend: 7, weight: 5 }, Candidate { backend: 3, weight: 5 }]);
        assert_eq!(indices.round, [7, 3]);
    }

    #[test]
    fn shares_are_exact_and_spread_out() {
        assert_eq!(round(&[5000, 1000, 1000]).len(), 7);
        let weights = [100, 37, 1, 90];
        let round = round(&weights);
        for (backend, &weight) in (0u32..).zip(&weights) {
            assert_eq!(round.iter().filter(|&&chosen| chosen == backend).count(), weight as usize);
        }
        let longest_run = round.chunk_by(|a, b| a == b).map(<[u32]>::len).max();
        assert!(longest_run <= Some(2), "{round:?}");
    }

    #[test]
    fn light_backends_do_not_come_in_a_bunch() {
        let mut weights = [1; 51];
        weights[0] = 50;
        let round = round(&weights);
        assert!(round.chunks(2).all(|pair| pair.contains(&0)), "{round:?}");
    }

    #[test]
    fn a_round_is_bounded() {
        let mut numbers = Numbers(1);
        let weights: Vec<u32> = (0..1000).map(|_| 1 + numbers.below(10_000) as u32).collect();
        let schedule = schedule(&weights);
        assert!((MAX_ROUND - 2000..=MAX_ROUND).contains(&schedule.round.len()));
        for backend in 0..1000 {
            assert!(schedule.round.contains(&backend));
        }
        let heavy = round(&[u32::MAX, u32::MAX - 1, 1]);
        assert!(heavy.len() <= MAX_ROUND);
        assert_eq!(heavy.iter().filter(|&&backend| backend == 2).count(), 1);
    }

    #[test]
    fn without_candidates_nobody_is_picked() {
        let nobody = RoundSchedule::new(&[]);
        assert_eq!((nobody.pick(5), nobody.pick_other(0, &[]), nobody.start(3, 4)), (None, None, 0));
    }

    #[test]
    fn a_second_choice_differs_from_those_tried() {
        let schedule = schedule(&[100, 100, 1]);
        assert_eq!(schedule.pick_other(0, &[0]), Some(1));
        assert_eq!(schedule.pick_other(0, &[0, 1]), Some(2));
        assert_eq!(schedule.pick_other(150, &[0, 1]), Some(2));
        assert_eq!(schedule.pick_other(0, &[0, 1, 2]), None);
        assert_eq!(schedule.pick_other(usize::MAX, &[]), schedule.pick(usize::MAX));
    }

    /// The largest deviation from its share of a backend that has at least 500 of 10,000 requests.
    fn worst_deviation(schedule: &RoundSchedule, candidates: &[Candidate], shares: &[usize]) -> f64 {
        let mut counts = vec![0; candidates.len()];
        for (worker, &share) in shares.iter().enumerate() {
            let start = schedule.start(worker, shares.len());
            for position in start..start + share {
                counts[schedule.pick(position).unwrap() as usize] += 1;
            }
        }
        let total: u32 = candidates.iter().map(|candidate| candidate.weight).sum();
        let deviations = candidates.iter().zip(counts).map(|(candidate, count)| {
            let fair = 10_000.0 * f64::from(candidate.weight) / f64::from(total);
            if fair < 500.0 { 0.0 } else { (f64::from(count) - fair).abs() / fair }
        });
        deviations.fold(0.0, f64::max)
    }

    /// How many of 10,000 requests each worker has.
    fn shares(numbers: &mut Numbers, workers: usize, equal: bool) -> Vec<usize> {
        let parts: Vec<_> = (0..workers).map(|_| if equal { 1 } else { 1 + numbers.below(1000) }).collect();
        let total: u64 = parts.iter().sum();
        let mut shares: Vec<_> = parts.iter().map(|part| (10_000 * part / total) as usize).collect();
        shares[0] += 10_000 - shares.iter().sum::<usize>();
        shares
    }

    #[test]
    fn workers_together_stay_within_one_per_cent() {
        let mut numbers = Numbers(2);
        let mut groups = vec![
            [&[8; 19][..], &[7]].concat(),
            [&[16; 10][..], &[15; 8]].concat(),
            vec![64, 64, 64, 32, 32, 16, 16, 8, 1],
            [&[500][..], &[1; 500]].concat(),
            [&[8; 10][..], &[4; 10], &[1]].concat(),
            [&[10_000; 18][..], &[500]].concat(),
            vec![100; 20],
            vec![5000, 1000, 1000],
        ];
        let light = (0..990).map(|_| 1 + numbers.below(10_000) as u32);
        groups.push(light.chain([500_000; 10]).collect());
        for _ in 0..40 {
            let number = 2 + numbers.below(25);
            groups.push((0..number).map(|_| 1 + numbers.below(100) as u32).collect());
        }
        for weights in groups {
            let candidates = candidates(&weights);
            let schedule = RoundSchedule::new(&candidates);
            for workers in 1..=8 {
                for equal in [true, false, false, false] {
                    let shares = shares(&mut numbers, workers, equal);
                    let worst = worst_deviation(&schedule, &candidates, &shares);
                    assert!(worst <= 0.01, "{worst} for {weights:?} over {shares:?}");
                }
            }
        }
    }
}
