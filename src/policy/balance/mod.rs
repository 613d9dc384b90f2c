//! Which backend of a group gets the next request.

pub mod weighted_round_robin;
pub mod random;
pub mod power_of_two;
mod quic_ids;
pub mod least_connections;
pub mod maglev;
pub mod hash_key;
pub mod cookies;
pub mod sticky;
pub mod slow_start;

use crate::policy::balance::hash_key::HashKey;

/// How the backends of a group share its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    WeightedRoundRobin,
    /// Weights do not count, save that 0 means none.
    RoundRobin,
    /// Fewest requests in flight over weight.
    WeightedLeastConnections,
    /// The less loaded of two that were drawn at random.
    PowerOfTwo,
    /// At random, by weight.
    Random,
    /// The same key, the same backend. Requests without the key go by weighted round robin.
    ConsistentHash(HashKey),
}

impl Algorithm {
    /// As operators write it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Algorithm::WeightedRoundRobin => "weighted_round_robin",
            Algorithm::RoundRobin => "round_robin",
            Algorithm::WeightedLeastConnections => "weighted_least_connections",
            Algorithm::PowerOfTwo => "power_of_two",
            Algorithm::Random => "random",
            Algorithm::ConsistentHash(HashKey::SourceIp) => "source_ip_hash",
            Algorithm::ConsistentHash(_) => "consistent_hash",
        }
    }
}

/// What becomes of requests while no backend is healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAllDown {
    /// They go to the backends all the same.
    Forward,
    /// They get 503.
    Fail,
}

/// A backend that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its index in the group.
    pub backend: u32,
    /// At least 1. 100 times its configured weight, or a part of that during a slow start.
    pub weight: u32,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    use std::collections::VecDeque;

    use super::least_connections::Tournament;
    use super::power_of_two::Pairs;
    use super::random::Alias;
    use super::weighted_round_robin::RoundSchedule;

    /// One worker that chooses by one algorithm: what it is asked with are loads and random numbers.
    type Chooser = Box<dyn FnMut(&[u32], &mut Numbers) -> Option<u32>>;

    /// By name, with the number of a worker and of all workers.
    fn chooser(algorithm: &str, candidates: &[Candidate], worker: usize, workers: usize) -> Chooser {
        match algorithm {
            "weighted_round_robin" => {
                let schedule = RoundSchedule::new(candidates);
                let mut position = schedule.start(worker, workers);
                Box::new(move |_, _| {
                    position += 1;
                    schedule.pick(position - 1)
                })
            }
            "random" => {
                let alias = Alias::new(candidates);
                Box::new(move |_, numbers| alias.pick(numbers.next()))
            }
            "power_of_two" => {
                let pairs = Pairs::new(candidates);
                Box::new(move |loads, numbers| pairs.pick(|| numbers.next(), |it| loads[it as usize]))
            }
            _ => {
                let mut tournament = Tournament::new(candidates);
                Box::new(move |loads, _| tournament.pick(|backend| loads[backend as usize]))
            }
        }
    }

    /// How many of 10,000 requests each backend gets with this many in flight at a time, which end in the order in
    /// which they began, or in any.
    fn shares(choosers: &mut [Chooser], backends: usize, at_a_time: usize, in_order: bool) -> Vec<u32> {
        let mut numbers = Numbers(at_a_time as u64);
        let (mut loads, mut counts) = (vec![0; backends], vec![0; backends]);
        let mut in_flight = VecDeque::new();
        for _ in 0..10_000 {
            let worker = numbers.below(choosers.len() as u64) as usize;
            let chosen = choosers[worker](&loads, &mut numbers).unwrap() as usize;
            loads[chosen] += 1;
            counts[chosen] += 1;
            in_flight.push_back(chosen);
            if in_flight.len() == at_a_time {
                let index = if in_order { 0 } else { numbers.below(at_a_time as u64) as usize };
                loads[in_flight.remove(index).unwrap()] -= 1;
            }
        }
        counts
    }

    #[test]
    fn backends_that_are_equally_fast_get_their_weights_however_many_requests_are_in_flight() {
        let algorithms = ["weighted_round_robin", "random", "power_of_two", "weighted_least_connections"];
        for algorithm in algorithms {
            for weights in
                [&[100, 50][..], &[100, 50, 100], &[100, 100], &[50, 30, 20], &[100, 100, 100, 100]]
            {
                for (at_a_time, workers) in
                    [1, 2, 16, 256].into_iter().flat_map(|number| [(number, 1), (number, 2)])
                {
                    for in_order in [true, false] {
                        let candidates = candidates(weights);
                        let mut choosers: Vec<_> = (0..workers)
                            .map(|worker| chooser(algorithm, &candidates, worker, workers))
                            .collect();
                        let counts = shares(&mut choosers, weights.len(), at_a_time, in_order);
                        let total: u32 = weights.iter().sum();
                        // Which requests end is chance, and moves the shares of those that look at loads.
                        let tolerance = if in_order { 0.05 } else { 0.07 };
                        for (count, weight) in counts.iter().zip(weights) {
                            let fair = 10_000.0 * f64::from(*weight) / f64::from(total);
                            assert!(
                                (f64::from(*count) - fair).abs() <= tolerance * fair,
                                "{algorithm}, {at_a_time} over {workers}: {counts:?} of {weights:?}"
                            );
                        }
                    }
                }
            }
        }
    }

    /// Backends 0, 1, 2 … of these weights.
    pub(crate) fn candidates(weights: &[u32]) -> Vec<Candidate> {
        (0..).zip(weights).map(|(backend, &weight)| Candidate { backend, weight }).collect()
    }

    /// A deterministic stream of numbers (splitmix64), so that a failing test fails again.
    pub(crate) struct Numbers(pub(crate) u64);

    impl Numbers {
        pub(crate) fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut number = self.0;
            number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            number ^ number >> 31
        }

        pub(crate) fn below(&mut self, limit: u64) -> u64 {
            self.next() % limit
        }
    }
}
