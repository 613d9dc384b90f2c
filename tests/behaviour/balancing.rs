//! Shares of backends by their weights.

use crate::support::{Backend, Client, Scenario};

fn shares(algorithm: &str, weights: &[u8], requests: usize, workers: usize) -> Vec<usize> {
    let backends: Vec<_> = weights.iter().map(|_| Backend::echo_head()).collect();
    let mut scenario = Scenario::new().group(&format!("algorithm = \"{algorithm}\"")).workers(workers);
    for (backend, &weight) in backends.iter().zip(weights) {
        scenario = scenario.backend_at(&backend.address().to_string(), weight);
    }
    let ringway = scenario.start();
    for _ in 0..workers * 4 {
        let mut client = Client::connect(ringway.address());
        for _ in 0..requests / (workers * 4) {
            assert_eq!(client.get("/").status, 200);
        }
    }
    backends.iter().map(Backend::requests).collect()
}

#[test]
fn weights_are_shares() {
    assert_eq!(shares("weighted_round_robin", &[50, 30, 20, 0], 200, 1), [100, 60, 40, 0]);
}

#[test]
fn round_robin_knows_no_weights_but_zero() {
    assert_eq!(shares("round_robin", &[100, 1, 0], 40, 1), [20, 20, 0]);
}

#[test]
fn workers_together_keep_the_shares() {
    let shares = shares("weighted_round_robin", &[30, 10], 400, 2);
    assert!((280..=320).contains(&shares[0]), "{shares:?}");
}
