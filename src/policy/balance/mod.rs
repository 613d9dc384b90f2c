//! Which backend of a group gets the next request.

pub mod weighted_round_robin;
pub mod random;
pub mod power_of_two;
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
    pub fn word(&self) -> &'static str {
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
