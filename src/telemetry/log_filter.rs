//! Which requests have a line in an access log.

use std::ops::RangeInclusive;

/// What an access log takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    /// Statuses that requests end with; empty: all.
    pub statuses: Box<[RangeInclusive<u16>]>,
    /// Of requests whose rule does not say it: how many of a million, chosen at random.
    pub sample_millionths: u32,
}

impl LogFilter {
    /// Whether requests that ended with this status, which is 0 where nothing was answered, can have a line.
    pub fn has(&self, status: u16) -> bool {
        status == 0 || self.statuses.is_empty() || self.statuses.iter().any(|range| range.contains(&status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_taken_by_ranges_and_what_has_none_always() {
        let of = |statuses: &[RangeInclusive<u16>]| LogFilter {
            statuses: statuses.into(),
            sample_millionths: 1_000_000,
        };
        for (statuses, taken) in [
            (&[][..], [true, true, true, true]),
            (&[400..=999], [true, false, false, true]),
            (&[200..=299, 404..=404], [true, true, false, true]),
            (&[500..=599], [true, false, false, false]),
        ] {
            let filter = of(statuses);
            assert_eq!([0, 200, 301, 404].map(|status| filter.has(status)), taken, "{statuses:?}");
        }
    }
}
