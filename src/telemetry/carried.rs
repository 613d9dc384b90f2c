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

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &CarriedCounts) -> CarriedCounts {
        let counted = self.0.iter().filter_map(|(name, count)| {
            let more = count.saturating_sub(earlier.0.get(name).copied().unwrap_or(0));
            (more > 0).then(|| (name.clone(), more))
        });
        CarriedCounts(counted.collect())
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
    fn the_difference_is_what_was_counted_since() {
        let mut before = CarriedCounts::default();
        before.add("a.1", 3);
        before.add("b", 2);
        before.add("c", 0);
        let mut now = before.clone();
        now.add("a.1", 4);
        now.add("d", 1);
        let since = now.since(&before);
        assert_eq!(since.0, BTreeMap::from([("a.1".to_owned(), 4), ("d".to_owned(), 1)]));
        assert_eq!(since.each().map(|(parts, _)| parts.len()).collect::<Vec<_>>(), [2, 1]);
    }
}
