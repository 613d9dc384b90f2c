//! What was counted, on its way from a process to its successor: the sums of all workers under plain names.
//!
//! Names are those of fields with what tells one counter of a field from another, such as `requests.2.200`. Who does
//! not know a name drops it, so that processes of different versions understand each other.

use std::collections::BTreeMap;

/// Names with sums, which are not 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarriedCounts(pub BTreeMap<String, u64>);

impl CarriedCounts {
    pub(super) fn add(&mut self, name: impl Into<String>, count: u64) {
        if count > 0 {
            *self.0.entry(name.into()).or_default() += count;
        }
    }

    /// The names, cut at their dots, with the sums.
    pub(super) fn each(&self) -> impl Iterator<Item = (Vec<&str>, u64)> {
        self.0.iter().map(|(name, count)| (name.splitn(MAX_PARTS, '.').collect(), *count))
    }
}

/// Of a name.
const MAX_PARTS: usize = 3;

/// The place in an array that a part of a name stands for.
pub(super) fn place(part: &str) -> Option<usize> {
    part.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_at_their_dots() {
        let mut carried = CarriedCounts::default();
        carried.add("a.1.200", 3);
        carried.add("b", 2);
        carried.add("b", 2);
        carried.add("c", 0);
        let each: Vec<_> = carried.each().collect();
        assert_eq!(each, [(vec!["a", "1", "200"], 3), (vec!["b"], 4)]);
    }
}
