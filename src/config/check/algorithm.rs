//! `algorithm` and `hash_key` of a `[[server_group]]`: how its backends share the requests.

use crate::config::GroupProtocol;
use crate::config::check::hash_key::HashKeyTable;
use crate::config::check::kind::Choice;
use crate::config::check::section::Section;
use crate::policy::balance::Algorithm;
use crate::policy::balance::hash_key::HashKey;

pub(super) fn algorithm(section: &mut Section<'_, '_>, protocol: GroupProtocol) -> Algorithm {
    let algorithm = section.read("algorithm", &ALGORITHMS, Some(Algorithm::WeightedRoundRobin));
    let hash_key = section.read_optional("hash_key", &HashKeyTable, "only consistent_hash has one");
    match (algorithm, hash_key) {
        (None, Some((key, _))) => Algorithm::ConsistentHash(key),
        (None, None) => {
            if !section.is_refused("hash_key") {
                section.missing("hash_key", example(protocol));
            }
            // There was an error, and nothing is built.
            Algorithm::ConsistentHash(HashKey::Path)
        }
        (Some(algorithm), Some((_, location))) if !section.is_refused("algorithm") => {
            let message = "`hash_key` has no effect without algorithm = \"consistent_hash\"";
            let help = "write algorithm = \"consistent_hash\", or remove `hash_key`";
            section.report().error(location, message, help);
            algorithm
        }
        (Some(algorithm), _) => algorithm,
    }
}

/// What a `hash_key` can be.
fn example(protocol: GroupProtocol) -> &'static str {
    match protocol {
        GroupProtocol::Http | GroupProtocol::Https | GroupProtocol::H2c | GroupProtocol::Grpc => {
            "hash_key = { query = \"user\" }, or another part of requests"
        }
        GroupProtocol::Tcp | GroupProtocol::Tls => {
            "hash_key = { source_ip = true }, or { tuple = true } for each connection by itself"
        }
        GroupProtocol::Udp => {
            "hash_key = { source_ip = true }, { tuple = true } for each session by itself, or { quic_cid = { offset = 0, length = 8 } }"
        }
    }
}

/// None where `hash_key` tells the rest. One cloud product's ROUND_ROBIN goes by weight, the other's `rr`
/// does not.
const ALGORITHMS: Choice<Option<Algorithm>> = Choice {
    words: &[
        ("weighted_round_robin", Some(Algorithm::WeightedRoundRobin)),
        ("round_robin", Some(Algorithm::RoundRobin)),
        ("weighted_least_connections", Some(Algorithm::WeightedLeastConnections)),
        ("power_of_two", Some(Algorithm::PowerOfTwo)),
        ("random", Some(Algorithm::Random)),
        ("source_ip_hash", Some(Algorithm::ConsistentHash(HashKey::SourceIp))),
        ("consistent_hash", None),
    ],
    aliases: &[
        ("Wrr", Some(Algorithm::WeightedRoundRobin)),
        ("wrr", Some(Algorithm::WeightedRoundRobin)),
        ("ROUND_ROBIN", Some(Algorithm::WeightedRoundRobin)),
        ("rr", Some(Algorithm::RoundRobin)),
        ("Wlc", Some(Algorithm::WeightedLeastConnections)),
        ("wlc", Some(Algorithm::WeightedLeastConnections)),
        ("LEAST_CONNECTIONS", Some(Algorithm::WeightedLeastConnections)),
        ("Sch", Some(Algorithm::ConsistentHash(HashKey::SourceIp))),
        ("sch", Some(Algorithm::ConsistentHash(HashKey::SourceIp))),
        ("SOURCE_IP", Some(Algorithm::ConsistentHash(HashKey::SourceIp))),
        ("Uch", None),
    ],
    later: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_told_by_the_word_that_names_it() {
        for (word, algorithm) in ALGORITHMS.words {
            let algorithm = algorithm.clone().unwrap_or(Algorithm::ConsistentHash(HashKey::Path));
            assert_eq!(algorithm.as_str(), *word);
        }
    }
}
