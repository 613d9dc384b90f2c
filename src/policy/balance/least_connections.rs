//! Weighted least connections: the backend with the fewest requests in flight for its weight.
//!
//! Each worker keeps a tournament over the candidates: a binary tree in which every inner node names
//! the better of its two children, so that the root names the best and a change plays one path again.
//! Other workers change loads unseen. So a pick looks at the true load of the winner before it believes
//! it, and at two other backends in turn, which is how loads that fell elsewhere are noticed.

use crate::policy::balance::Candidate;

/// How often a pick corrects the winner and plays again. Beyond that, what is known is good enough.
const MAX_CORRECTIONS: usize = 16;

/// Other backends that every pick has a look at.
const COMPARED_BACKENDS: usize = 2;

/// What one request in flight counts for a backend of weight 1. Weights up to 10,000 divide it with an error
/// below 1/1000.
const REQUEST: u64 = 1 << 25;

/// What a pick adds to the turn of a backend of weight 1. Turns of equal weights differ by no more than four
/// and a half of these, which is less than one request: among equals an idle one always goes before a busy one.
const TURN: u64 = REQUEST * 14 / 64;

/// Turns are counted again from here on, far from their overflow.
const MAX_TURN: u64 = 1 << 62;

/// One worker's view of who is the least loaded.
#[derive(Clone, Debug, Default)]
pub struct Tournament {
    /// In the order of their backends.
    candidates: Vec<Candidate>,
    /// One for each candidate.
    standings: Vec<Standing>,
    /// The winners of the inner nodes, the root at 1, the children of `n` at `2n` and `2n + 1`; leaf `i`
    /// is node `len + i`. The length is a power of two.
    winners: Vec<u32>,
    /// The turn of the last pick: who was not wanted for a while does not catch up.
    turn: u64,
    /// The candidate to look at next.
    next_look: usize,
}

/// Where a candidate stands. Whose sum is the least wins.
///
/// The load alone would not do: the smaller the numbers, the less they can be by weight. Of weights 100 and 50, with
/// one request in flight, an idle backend is always the less loaded one, and both would get a half. Half a
/// request more on each, and turns that remember a little of who got the last requests, make up for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    /// Requests in flight, and a half, over weight.
    load: u64,
    /// Who had the least for its weight.
    turn: u64,
}

impl Standing {
    fn sum(self) -> u64 {
        self.load + self.turn
    }
}

impl Tournament {
    /// Everybody counts as idle until something else is known.
    pub fn new(candidates: &[Candidate]) -> Tournament {
        let mut candidates = candidates.to_vec();
        candidates.sort_unstable_by_key(|candidate| candidate.backend);
        let standings = candidates.iter().map(|candidate| {
            let weight = u64::from(candidate.weight.max(1));
            // Half a turn, so that light backends do not come first.
            Standing { load: REQUEST / 2 / weight, turn: TURN / 2 / weight }
        });
        let mut tournament = Tournament {
            standings: standings.collect(),
            winners: vec![0; candidates.len().next_power_of_two()],
            candidates,
            turn: 0,
            next_look: 0,
        };
        tournament.play_all();
        tournament
    }

    /// The backend with the least load for its weight; those that are nearly equal, such as all when idle, get
    /// shares by weight. `load` tells how many requests a backend has in flight, over all workers.
    pub fn pick(&mut self, load: impl Fn(u32) -> u32) -> Option<u32> {
        for _ in 0..COMPARED_BACKENDS.min(self.candidates.len().saturating_sub(1)) {
            self.look(self.next_look, &load);
            self.next_look = (self.next_look + 1) % self.candidates.len();
        }
        for _ in 0..MAX_CORRECTIONS {
            let winner = self.winner(1);
            let known = self.standings.get(winner)?.sum();
            // A candidate that wins with more than its present sum wins with that all the more.
            if self.look(winner, &load) <= known {
                break;
            }
        }
        let winner = self.winner(1);
        let candidate = *self.candidates.get(winner)?;
        self.take_turn(winner, candidate.weight);
        Some(candidate.backend)
    }

    /// Notes the present load of a backend, after a request to it began or ended here.
    pub fn changed(&mut self, backend: u32, load: u32) {
        if let Ok(leaf) = self.candidates.binary_search_by_key(&backend, |candidate| candidate.backend) {
            self.look(leaf, &|_| load);
        }
    }

    /// Brings the standing of a candidate up to date, and returns its sum. One that was not chosen for long is no
    /// more than three turns behind.
    fn look(&mut self, leaf: usize, load: &impl Fn(u32) -> u32) -> u64 {
        let (Some(candidate), Some(standing)) = (self.candidates.get(leaf), self.standings.get_mut(leaf))
        else {
            return 0;
        };
        let weight = u64::from(candidate.weight.max(1));
        let load = (u64::from(load(candidate.backend)) * REQUEST + REQUEST / 2) / weight;
        let present = Standing { load, turn: standing.turn.max(self.turn.saturating_sub(3 * TURN / weight)) };
        if *standing != present {
            *standing = present;
            self.play(leaf);
        }
        present.sum()
    }

    fn take_turn(&mut self, leaf: usize, weight: u32) {
        let Some(standing) = self.standings.get_mut(leaf) else { return };
        self.turn = self.turn.max(standing.turn);
        standing.turn += TURN / u64::from(weight.max(1));
        if self.turn > MAX_TURN {
            for standing in &mut self.standings {
                standing.turn = standing.turn.saturating_sub(self.turn);
            }
            self.turn = 0;
            self.play_all();
        } else {
            self.play(leaf);
        }
    }

    fn play_all(&mut self) {
        for node in (1..self.winners.len()).rev() {
            self.play_node(node);
        }
    }

    /// Plays the games of one candidate again, up to where another one won and still does.
    fn play(&mut self, leaf: usize) {
        let mut node = (self.winners.len() + leaf) / 2;
        while node > 0 {
            let before = self.winner(node);
            self.play_node(node);
            if before == self.winner(node) && before != leaf {
                return;
            }
            node /= 2;
        }
    }

    fn play_node(&mut self, node: usize) {
        let (left, right) = (self.winner(2 * node), self.winner(2 * node + 1));
        // Leaves without a candidate have no standing, and lose.
        let right_wins = match (self.standings.get(left), self.standings.get(right)) {
            (Some(left), Some(right)) => right.sum() < left.sum(),
            _ => false,
        };
        if let Some(winner) = self.winners.get_mut(node) {
            *winner = if right_wins { right } else { left } as u32;
        }
    }

    fn winner(&self, node: usize) -> usize {
        self.winners.get(node).map_or_else(|| node - self.winners.len(), |&winner| winner as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balance::tests::Numbers;
    use crate::policy::balance::tests::candidates;

    /// Workers with a tournament each and the loads that they share.
    struct Simulation {
        candidates: Vec<Candidate>,
        tournaments: Vec<Tournament>,
        loads: Vec<u32>,
        /// Worker and backend of every request in flight.
        requests: Vec<(usize, u32)>,
    }

    impl Simulation {
        fn new(weights: &[u32], workers: usize) -> Simulation {
            let candidates = candidates(weights);
            Simulation {
                tournaments: vec![Tournament::new(&candidates); workers],
                loads: vec![0; weights.len()],
                requests: Vec::new(),
                candidates,
            }
        }

        fn begin(&mut self, worker: usize) -> u32 {
            let backend = self.tournaments[worker].pick(|backend| self.loads[backend as usize]).unwrap();
            self.loads[backend as usize] += 1;
            self.tournaments[worker].changed(backend, self.loads[backend as usize]);
            self.requests.push((worker, backend));
            backend
        }

        fn end(&mut self, request: u64) {
            let (worker, backend) = self.requests.swap_remove(request as usize);
            self.loads[backend as usize] -= 1;
            self.tournaments[worker].changed(backend, self.loads[backend as usize]);
        }

        fn minimum(&self) -> f64 {
            (0..self.loads.len()).map(|backend| self.ratio(backend)).fold(f64::MAX, f64::min)
        }

        fn ratio(&self, backend: usize) -> f64 {
            f64::from(self.loads[backend]) / f64::from(self.candidates[backend].weight)
        }
    }

    fn weights(numbers: &mut Numbers, number: u64, limit: u64) -> Vec<u32> {
        (0..number).map(|_| 1 + numbers.below(limit) as u32).collect()
    }

    #[test]
    fn one_worker_takes_the_least_loaded_within_a_request() {
        let mut numbers = Numbers(1);
        for number in [1, 2, 3, 5, 17, 64, 300] {
            let mut simulation = Simulation::new(&weights(&mut numbers, number, 100), 1);
            for _ in 0..3000 {
                if numbers.below(5) < 2 && !simulation.requests.is_empty() {
                    simulation.end(numbers.below(simulation.requests.len() as u64));
                } else {
                    let minimum = simulation.minimum();
                    let backend = simulation.begin(0) as usize;
                    let weight = f64::from(simulation.candidates[backend].weight);
                    let lightest = simulation.candidates.iter().map(|candidate| candidate.weight).min();
                    let nearly = 0.5 / weight + 1.5 / f64::from(lightest.unwrap());
                    assert!(simulation.ratio(backend) - 1.0 / weight <= minimum + nearly);
                }
            }
        }
    }

    #[test]
    fn among_equals_one_worker_takes_the_least_loaded() {
        let mut numbers = Numbers(5);
        for number in [2, 3, 17] {
            let mut simulation = Simulation::new(&vec![100; number], 1);
            for _ in 0..3000 {
                if numbers.below(5) < 2 && !simulation.requests.is_empty() {
                    simulation.end(numbers.below(simulation.requests.len() as u64));
                } else {
                    let least = simulation.loads.iter().min().copied();
                    let backend = simulation.begin(0) as usize;
                    assert_eq!(Some(simulation.loads[backend] - 1), least);
                }
            }
        }
    }

    #[test]
    fn idle_backends_get_shares_by_weight() {
        for weights in [&[100, 100, 100][..], &[300, 200, 100], &[10_000, 100, 500, 3300], &[7]] {
            let mut tournament = Tournament::new(&candidates(weights));
            let mut counts = vec![0; weights.len()];
            let total: u32 = weights.iter().sum();
            for _ in 0..10 * total {
                counts[tournament.pick(|_| 0).unwrap() as usize] += 1;
            }
            for (count, weight) in counts.iter().zip(weights) {
                let fair = 10.0 * f64::from(*weight);
                assert!((f64::from(*count) - fair).abs() < 2.0 + fair / 500.0, "{counts:?} {weights:?}");
            }
        }
    }

    #[test]
    fn busy_backends_have_loads_by_weight() {
        let mut numbers = Numbers(2);
        let mut simulation = Simulation::new(&[100, 200, 300, 400], 1);
        for _ in 0..1000 {
            simulation.begin(0);
        }
        for _ in 0..10_000 {
            simulation.end(numbers.below(1000));
            simulation.begin(0);
        }
        // Which requests end is chance, and only one begins for each.
        for (load, fair) in simulation.loads.iter().zip([100, 200, 300, 400]) {
            assert!(load.abs_diff(fair) <= 10, "{:?}", simulation.loads);
        }
    }

    #[test]
    fn many_workers_stay_close_to_even() {
        let mut numbers = Numbers(3);
        for (number, workers) in [(3, 2), (10, 4), (10, 8), (100, 8), (1000, 8)] {
            let mut simulation = Simulation::new(&vec![100; number], workers);
            let in_flight = 20 * number as u64;
            for _ in 0..in_flight {
                simulation.begin(numbers.below(workers as u64) as usize);
            }
            let mut worst = 0;
            for turn in 0..40_000 {
                simulation.end(numbers.below(in_flight));
                simulation.begin(numbers.below(workers as u64) as usize);
                if turn % 100 == 0 {
                    worst = worst.max(*simulation.loads.iter().max().unwrap());
                }
            }
            assert!(worst <= 25, "{worst} of {number} over {workers}");
        }
    }

    #[test]
    fn a_backend_that_other_workers_relieved_is_noticed() {
        let mut tournament = Tournament::new(&candidates(&[100; 100]));
        for backend in 0..100 {
            tournament.changed(backend, 10);
        }
        let load = |backend| if backend == 60 { 0 } else { 10 };
        let picks: Vec<_> = (0..60).map(|_| tournament.pick(load).unwrap()).collect();
        assert!(picks.contains(&60), "{picks:?}");
    }

    #[test]
    fn who_comes_back_does_not_catch_up() {
        let mut tournament = Tournament::new(&candidates(&[100, 100]));
        for _ in 0..1000 {
            assert_eq!(tournament.pick(|backend| 1 - backend), Some(1));
        }
        let picks = (0..100).filter(|_| tournament.pick(|_| 0) == Some(0)).count();
        assert!((50..=52).contains(&picks), "{picks}");
    }

    #[test]
    fn turns_are_counted_anew_before_they_overflow() {
        let mut tournament = Tournament::new(&candidates(&[100, 300]));
        for standing in &mut tournament.standings {
            standing.turn += MAX_TURN - 10 * TURN / 100;
        }
        let mut counts = [0u32; 2];
        for _ in 0..400 {
            counts[tournament.pick(|_| 0).unwrap() as usize] += 1;
        }
        assert!(tournament.turn < MAX_TURN / 2);
        assert!(counts[0].abs_diff(100) <= 4, "{counts:?}");
    }

    #[test]
    fn few_candidates_and_strangers() {
        let mut nobody = Tournament::new(&[]);
        nobody.changed(1, 5);
        assert_eq!(nobody.pick(|_| 0), None);
        let mut alone = Tournament::new(&[Candidate { backend: 7, weight: 1 }]);
        alone.changed(3, 5);
        alone.changed(9, u32::MAX);
        assert_eq!(alone.pick(|_| u32::MAX), Some(7));
        assert_eq!(Tournament::default().pick(|_| 0), None);
    }
}
