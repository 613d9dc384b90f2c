//! Random choice by weight, with an alias table (Walker 1974, Vose 1991).

use crate::policy::balance::Candidate;

/// As many columns of equal height as there are backends. Each holds a piece of one backend's share
/// and is filled up with a piece of one other's, so that a choice is a column and a height in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alias {
    columns: Vec<AliasColumn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AliasColumn {
    /// Heights below this are `lower`'s; in 2^-32 of the column's height.
    bound: u32,
    lower: u32,
    upper: u32,
}

impl Alias {
    pub fn new(candidates: &[Candidate]) -> Alias {
        let total: u64 = candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();
        let number = candidates.len() as u64;
        let mut columns: Vec<AliasColumn> = candidates
            .iter()
            .map(|&Candidate { backend, .. }| AliasColumn { bound: 0, lower: backend, upper: backend })
            .collect();
        // Shares are scaled so that a column is as high as the sum of all weights.
        let shares = candidates.iter().map(|candidate| u64::from(candidate.weight) * number);
        let (mut short, mut tall): (Vec<_>, Vec<_>) =
            shares.enumerate().partition(|&(_, share)| share < total);
        // One that is left at the end fills its column alone, as `AliasColumn`s are made above.
        while let (Some((filled, share)), Some((giver, rest))) = (short.pop(), tall.pop()) {
            let Some(upper) = candidates.get(giver).map(|candidate| candidate.backend) else { break };
            if let Some(column) = columns.get_mut(filled) {
                column.bound = (u128::from(share) << 32).checked_div(total.into()).unwrap_or(0) as u32;
                column.upper = upper;
            }
            let rest = rest - (total - share);
            if rest < total { short.push((giver, rest)) } else { tall.push((giver, rest)) }
        }
        Alias { columns }
    }

    /// A backend for this random number; none if there is none.
    pub fn pick(&self, random: u64) -> Option<u32> {
        let column = self.columns.get(below(random >> 32, self.columns.len()))?;
        Some(if (random as u32) < column.bound { column.lower } else { column.upper })
    }
}

/// Maps 32 random bits to a number below `limit`, which is far below 2^32.
fn below(bits: u64, limit: usize) -> usize {
    ((bits * limit as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balance::tests::Numbers;
    use crate::policy::balance::tests::candidates;

    /// How much of all random numbers leads to each backend, computed from the table.
    fn shares(alias: &Alias) -> Vec<f64> {
        let mut shares = vec![0.0; alias.columns.len()];
        for column in &alias.columns {
            let lower = f64::from(column.bound) / 2f64.powi(32);
            shares[column.lower as usize] += lower / alias.columns.len() as f64;
            shares[column.upper as usize] += (1.0 - lower) / alias.columns.len() as f64;
        }
        shares
    }

    #[test]
    fn shares_are_those_of_the_weights() {
        let mut numbers = Numbers(1);
        for number in [1, 2, 3, 7, 64, 1000] {
            for limit in [1, 2, 100, 10_000] {
                let weights: Vec<_> = (0..number).map(|_| 1 + numbers.below(limit) as u32).collect();
                let total: u32 = weights.iter().sum();
                let alias = Alias::new(&candidates(&weights));
                for (share, weight) in shares(&alias).iter().zip(&weights) {
                    let fair = f64::from(*weight) / f64::from(total);
                    assert!((share - fair).abs() < 1e-8, "{share} instead of {fair} of {weights:?}");
                }
            }
        }
    }

    #[test]
    fn every_bit_of_randomness_is_put_to_use() {
        let weights = [1, 10, 100, 3, 86];
        let alias = Alias::new(&candidates(&weights));
        let mut numbers = Numbers(2);
        let mut counts = [0; 5];
        for _ in 0..200_000 {
            counts[alias.pick(numbers.next()).unwrap() as usize] += 1;
        }
        for (count, weight) in counts.into_iter().zip(weights) {
            let fair = 1000.0 * f64::from(weight);
            // Five standard deviations.
            assert!((f64::from(count) - fair).abs() < 5.0 * fair.sqrt(), "{counts:?}");
        }
        assert!(alias.pick(0).is_some() && alias.pick(u64::MAX).is_some());
    }

    #[test]
    fn indices_are_those_of_the_group() {
        let alias = Alias::new(&[Candidate { backend: 9, weight: 5 }]);
        assert_eq!(alias.pick(u64::MAX), Some(9));
        assert_eq!(Alias::new(&[]).pick(0), None);
    }
}
