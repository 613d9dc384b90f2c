//! Distributions of durations: one thread records, any may read.

use std::sync::OnceLock;
use std::time::Duration;

use crate::telemetry::carried;
use crate::telemetry::carried::CarriedCounts;
use crate::telemetry::counters::Counter;

/// Each power of two is divided into so many buckets of equal width, so that a value is known to within a sixteenth.
const BUCKETS_PER_OCTAVE: usize = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 4;

/// Microseconds from which on all values count as one: 300 seconds are told apart from more.
const MAX_US: u64 = (1 << 29) - 1;

/// The first stands for all values below 16 us, which have a bucket each.
const OCTAVES: usize = 26;

/// How often durations of so many microseconds occurred. The memory for a power of two comes into being with the first value in
/// it: a service whose requests take about the same time needs a few hundred bytes.
#[derive(Default)]
pub struct Histogram {
    octaves: [OnceLock<Box<Octave>>; OCTAVES],
    sum_us: Counter,
}

/// Two cache lines, which CPUs fetch in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Octave([Counter; BUCKETS_PER_OCTAVE]);

impl Histogram {
    /// Only the one thread that writes may call this.
    #[inline]
    pub fn record(&self, us: u64) {
        let (octave, bucket) = place(us);
        let octave = self.octaves.get(octave).map(|octave| octave.get_or_init(Box::default));
        if let Some(counter) = octave.and_then(|octave| octave.0.get(bucket)) {
            counter.increment();
        }
        self.sum_us.add(us);
    }

    /// Notes the sums of several under this name.
    pub(super) fn carry<'h>(
        name: &str,
        histograms: impl IntoIterator<Item = &'h Histogram>,
        carried: &mut CarriedCounts,
    ) {
        for histogram in histograms {
            carried.add(format!("{name}.sum"), histogram.sum_us.get());
            for (octave, counters) in histogram.octaves.iter().enumerate() {
                let counters = counters.get().into_iter().flat_map(|octave| &octave.0).enumerate();
                for (bucket, counter) in counters {
                    carried.add(format!("{name}.{}", octave * BUCKETS_PER_OCTAVE + bucket), counter.get());
                }
            }
        }
    }

    /// Adds what was noted under a name with this last part.
    pub(super) fn add_carried(&self, part: &str, count: u64) {
        if part == "sum" {
            return self.sum_us.add(count);
        }
        let Some(place) = carried::place(part) else { return };
        let octave = self.octaves.get(place / BUCKETS_PER_OCTAVE);
        let octave = octave.map(|octave| octave.get_or_init(Box::default));
        if let Some(counter) = octave.and_then(|octave| octave.0.get(place % BUCKETS_PER_OCTAVE)) {
            counter.add(count);
        }
    }
}

/// A duration in microseconds, as it is recorded.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The octave and the bucket in it.
fn place(us: u64) -> (usize, usize) {
    let us = us.min(MAX_US);
    match us.checked_ilog2().and_then(|log| log.checked_sub(OCTAVE_BITS)) {
        None => (0, us as usize),
        Some(octave) => (octave as usize + 1, (us >> octave) as usize - BUCKETS_PER_OCTAVE),
    }
}

/// The largest value of a bucket, in microseconds.
fn last_of(octave: usize, bucket: usize) -> u64 {
    match octave.checked_sub(1) {
        None => bucket as u64,
        Some(shift) => (((BUCKETS_PER_OCTAVE + bucket + 1) as u64) << shift) - 1,
    }
}

/// The sum of histograms at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// The largest value of each bucket that is not empty, in microseconds, and how many are in it, in order.
    buckets: Vec<(u64, u64)>,
    /// Of all values, in microseconds.
    pub sum_us: u64,
}

impl Distribution {
    pub fn of<'h>(histograms: impl IntoIterator<Item = &'h Histogram>) -> Distribution {
        let mut counts = [[0; BUCKETS_PER_OCTAVE]; OCTAVES];
        let mut sum_us = 0;
        for histogram in histograms {
            sum_us += histogram.sum_us.get();
            for (octave, sums) in histogram.octaves.iter().zip(&mut counts) {
                let Some(octave) = octave.get() else { continue };
                octave.0.iter().zip(sums).for_each(|(counter, sum)| *sum += counter.get());
            }
        }
        let places = counts.iter().enumerate().flat_map(|(octave, counts)| {
            counts.iter().enumerate().map(move |(bucket, count)| (last_of(octave, bucket), *count))
        });
        Distribution { buckets: places.filter(|(_, count)| *count > 0).collect(), sum_us }
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The largest value of each bucket that is not empty, in microseconds, and how many are in it, in order.
    pub fn buckets(&self) -> &[(u64, u64)] {
        &self.buckets
    }

    /// How many values are at most this long, to within a bucket.
    pub fn count_up_to(&self, bound: Duration) -> u64 {
        let bound_us = micros(bound);
        // A bucket that reaches beyond the bound counts with the next.
        self.buckets.iter().take_while(|(last, _)| *last <= bound_us).map(|(_, count)| count).sum()
    }

    /// The value below or at which this share of all values lies, 0 to 1, to within a bucket; zero without values.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(quantile_us(self.buckets.iter().copied(), share))
    }

    /// Takes another one in.
    pub fn add(&mut self, other: &Distribution) {
        self.sum_us += other.sum_us;
        for &(last, count) in &other.buckets {
            match self.buckets.binary_search_by_key(&last, |(last, _)| *last) {
                Ok(place) => self.buckets[place].1 += count,
                Err(place) => self.buckets.insert(place, (last, count)),
            }
        }
    }
}

/// The same of buckets in order: the largest value of each, in microseconds, and how many values are in it.
pub fn quantile_us(buckets: impl Iterator<Item = (u64, u64)> + Clone, share: f64) -> u64 {
    let all: u64 = buckets.clone().map(|(_, count)| count).sum();
    let wanted = (all as f64 * share).ceil().max(1.0) as u64;
    let (mut seen, mut found) = (0, 0);
    for (last, count) in buckets.filter(|(_, count)| *count > 0) {
        found = last;
        seen += count;
        if seen >= wanted {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_is_a_sixteenth_of_it_wide_at_most() {
        let mut before = None;
        for us in (0..5_000).chain((5_000..MAX_US).step_by(9_973)).chain([MAX_US]) {
            let (octave, bucket) = place(us);
            let last = last_of(octave, bucket);
            assert!(octave < OCTAVES && bucket < BUCKETS_PER_OCTAVE);
            assert!(us <= last && last - us <= us / 16, "{us} in a bucket up to {last}");
            assert!(before <= Some((octave, bucket)));
            before = Some((octave, bucket));
        }
        assert_eq!(place(u64::MAX), place(MAX_US));
        assert_eq!(place(MAX_US), (OCTAVES - 1, BUCKETS_PER_OCTAVE - 1));
        assert!(Duration::from_micros(MAX_US) > Duration::from_secs(300));
    }

    #[test]
    fn histograms_of_workers_add_up() {
        let [one, other] = [Histogram::default(), Histogram::default()];
        for ms in 1..=100 {
            let histogram = if ms % 2 == 0 { &one } else { &other };
            histogram.record(ms * 1_000);
        }
        let both = Distribution::of([&one, &other]);
        assert_eq!((both.count(), both.sum_us), (100, 5_050_000));
        for (share, ms) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)] {
            let found = both.quantile(share).as_secs_f64() * 1e3;
            assert!((ms..=ms * 17.0 / 16.0).contains(&found), "{share}: {found}");
        }
        let counted = both.count_up_to(Duration::from_millis(50));
        assert!((46..=50).contains(&counted), "{counted}");
        assert_eq!(both.count_up_to(Duration::from_secs(300)), 100);
        let mut sum = Distribution::of([&other]);
        sum.add(&Distribution::of([&one]));
        assert_eq!(sum, both);
    }

    #[test]
    fn without_values_everything_is_zero() {
        let empty = Distribution::of([&Histogram::default()]);
        assert_eq!((empty.count(), empty.quantile(0.5)), (0, Duration::ZERO));
    }
}
