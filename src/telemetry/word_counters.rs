//! Counting how often something happened for each of its reasons.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::telemetry::counters::Counter;

/// Counters for words of a small vocabulary, found as they occur. One thread writes, any may read.
pub(super) struct WordCounters {
    entries: [(OnceLock<&'static str>, Counter); MAX_WORDS],
}

/// More reasons than this do not occur at one listener or group; were there more, the last would count as `other`.
const MAX_WORDS: usize = 64;

impl Default for WordCounters {
    fn default() -> WordCounters {
        WordCounters { entries: std::array::from_fn(|_| (OnceLock::new(), Counter::default())) }
    }
}

impl WordCounters {
    pub(super) fn count(&self, word: &'static str) {
        self.add(word, || word, 1);
    }

    pub(super) fn count_many(&self, word: &'static str, count: u64) {
        self.add(word, || word, count);
    }

    /// Adds what was counted elsewhere. The words of one vocabulary live as long as the process.
    pub(super) fn add_carried(&self, word: &str, count: u64) {
        self.add(word, || Box::leak(word.into()), count);
    }

    fn add(&self, word: &str, lasting: impl Fn() -> &'static str, count: u64) {
        let place = self.entries.iter().enumerate().find(|(place, (known, _))| {
            let is_last = place + 1 == MAX_WORDS;
            let known = *known.get_or_init(|| if is_last { "other" } else { lasting() });
            is_last || known == word
        });
        if let Some((_, (_, counter))) = place {
            counter.add(count);
        }
    }

    pub(super) fn add_to(&self, sums: &mut BTreeMap<&'static str, u64>) {
        for (word, counter) in &self.entries {
            let Some(word) = word.get() else { return };
            *sums.entry(word).or_default() += counter.get();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_beyond_the_last_place_count_as_others() {
        let counters = WordCounters::default();
        for number in 0..MAX_WORDS + 5 {
            counters.count(Box::leak(format!("word_{number}").into_boxed_str()));
        }
        let mut sums = BTreeMap::new();
        counters.add_to(&mut sums);
        assert_eq!((sums.len(), sums["word_0"], sums["other"]), (MAX_WORDS, 1, 6));
    }
}
