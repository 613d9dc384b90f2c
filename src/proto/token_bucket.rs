//! Budgets that refill with time: how much a peer may ask of us.
//!
//! Every frame costs its receiver something, and some cost its sender next to nothing. HTTP/2 and HTTP/3 each have a
//! table of such kinds (`limits.rs`); what happens to a peer that overdraws a budget stands there.

use std::marker::PhantomData;

/// Milliseconds of any monotonic clock that does not change within a connection.
pub type Millis = u64;

/// How many streams a client may end before they are answered.
#[derive(Clone, Copy, Debug)]
pub struct Resets {
    /// At once; 1..=1000000.
    pub burst: u32,
    /// Over time; 1..=1000000.
    pub per_second: u32,
}

/// A client that has less than one part in so many left of its [`Resets`] is asked to reconnect, while there is something
/// in flight that it would lose otherwise.
pub const RESETS_IN_RESERVE: u32 = 2;

/// How fast a budget refills.
#[derive(Clone, Copy)]
pub(in crate::proto) struct TokenRate {
    /// Tokens that a new connection has, and the most that it can have.
    pub(in crate::proto) burst: u32,
    /// Tokens that every second adds.
    pub(in crate::proto) per_second: u32,
}

/// Tokens of a budget at most, so that a thousand times as many fit.
const MAX_TOKENS: u32 = 1_000_000;

/// What a peer has left of each budget of a table.
pub(in crate::proto) struct TokenBuckets<const COUNT: usize> {
    /// In the place of [`RESETS`], what the owner of the connection allows counts instead.
    rates: &'static [TokenRate; COUNT],
    resets: TokenRate,
    levels: [TokenLevel; COUNT],
}

/// A kind of what a peer can do too much of, with its place in its version's table.
pub trait Budgeted: Copy {
    fn place(self) -> usize;
}

/// What a peer has left of each budget of its version of HTTP.
pub struct Budgets<Kind, const COUNT: usize> {
    buckets: TokenBuckets<COUNT>,
    kind: PhantomData<Kind>,
}

impl<Kind: Budgeted, const COUNT: usize> Budgets<Kind, COUNT> {
    /// Full budgets.
    pub(in crate::proto) fn of(rates: &'static [TokenRate; COUNT], resets: Resets) -> Self {
        Budgets { buckets: TokenBuckets::new(rates, resets), kind: PhantomData }
    }

    /// Whether little is left of what a client may end early.
    pub fn is_short_of_resets(&self) -> bool {
        self.buckets.is_short_of_resets()
    }

    /// Takes tokens.
    ///
    /// # Errors
    /// There are too few, which they are only if the peer is out of all measure: the connection is over.
    pub fn spend(&mut self, kind: Kind, tokens: u32, now: Millis) -> Result<(), Kind> {
        if self.buckets.spend(kind.place(), tokens, now) { Ok(()) } else { Err(kind) }
    }

    /// Gives tokens back.
    pub fn earn(&mut self, kind: Kind, tokens: u32) {
        self.buckets.earn(kind.place(), tokens);
    }
}

/// The place of [`Resets`] in every table.
pub(in crate::proto) const RESETS: usize = 0;

#[derive(Clone, Copy)]
struct TokenLevel {
    /// A thousandth each, so that every millisecond adds a whole number of them.
    milli_tokens: u32,
    at: Millis,
}

impl<const COUNT: usize> TokenBuckets<COUNT> {
    /// Full budgets.
    pub(in crate::proto) fn new(rates: &'static [TokenRate; COUNT], resets: Resets) -> TokenBuckets<COUNT> {
        let resets = TokenRate {
            burst: resets.burst.clamp(1, MAX_TOKENS),
            per_second: resets.per_second.clamp(1, MAX_TOKENS),
        };
        let mut levels = rates.map(|rate| TokenLevel { milli_tokens: rate.burst * 1000, at: 0 });
        if let Some(level) = levels.get_mut(RESETS) {
            level.milli_tokens = resets.burst * 1000;
        }
        TokenBuckets { rates, resets, levels }
    }

    /// Whether little is left of what a client may end early.
    pub(in crate::proto) fn is_short_of_resets(&self) -> bool {
        let reserve = self.resets.burst * 1000 / RESETS_IN_RESERVE;
        self.levels.get(RESETS).is_some_and(|level| level.milli_tokens < reserve)
    }

    /// Takes tokens, of which there are too few only if the peer is out of all measure: then it gives false and takes
    /// nothing. What has no budget is not bounded.
    #[must_use]
    pub(in crate::proto) fn spend(&mut self, place: usize, tokens: u32, now: Millis) -> bool {
        let Some((level, rate)) = self.level(place) else {
            return true;
        };
        let elapsed = now.saturating_sub(level.at);
        let earned = elapsed.saturating_mul(u64::from(rate.per_second));
        let most = u64::from(rate.burst) * 1000;
        // At most `most`, so it fits.
        let filled = u64::from(level.milli_tokens).saturating_add(earned).min(most) as u32;
        let Some(left) = filled.checked_sub(tokens.saturating_mul(1000)) else {
            return false;
        };
        *level = TokenLevel { milli_tokens: left, at: level.at.max(now) };
        true
    }

    /// Gives tokens back.
    pub(in crate::proto) fn earn(&mut self, place: usize, tokens: u32) {
        if let Some((level, rate)) = self.level(place) {
            level.milli_tokens = level.milli_tokens.saturating_add(tokens * 1000).min(rate.burst * 1000);
        }
    }

    fn level(&mut self, place: usize) -> Option<(&mut TokenLevel, TokenRate)> {
        let rate = if place == RESETS { self.resets } else { *self.rates.get(place)? };
        Some((self.levels.get_mut(place)?, rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static RATES: [TokenRate; 2] =
        [TokenRate { burst: 0, per_second: 0 }, TokenRate { burst: 1000, per_second: 200 }];

    fn buckets(burst: u32, per_second: u32) -> TokenBuckets<2> {
        TokenBuckets::new(&RATES, Resets { burst, per_second })
    }

    #[test]
    fn half_of_the_resets_is_a_reserve() {
        let mut buckets = buckets(100, 20);
        assert!(buckets.spend(RESETS, 50, 0));
        assert!(!buckets.is_short_of_resets());
        assert!(buckets.spend(RESETS, 1, 0));
        assert!(buckets.is_short_of_resets());
        buckets.earn(RESETS, 1);
        assert!(!buckets.is_short_of_resets());
    }

    #[test]
    fn budgets_have_bounds() {
        let mut most = buckets(u32::MAX, u32::MAX);
        assert!(most.spend(RESETS, 1_000_000, 0));
        assert!(!most.spend(RESETS, 1, 0));
        most.earn(RESETS, 1_000_000);
        assert!(most.spend(RESETS, 1_000_000, u64::MAX));
        let mut least = buckets(0, 0);
        assert!(least.spend(RESETS, 1, 0));
        assert!(!least.spend(RESETS, u32::MAX, 0));
    }

    #[test]
    fn a_budget_refills_with_time_to_its_burst() {
        let mut buckets = buckets(100, 20);
        let mut spend = |tokens, now| buckets.spend(RESETS, tokens, now);
        assert!(spend(100, 0));
        assert!(!spend(1, 49));
        assert!(spend(1, 50));
        assert!(!spend(1, 99));
        assert!(spend(1, 100));
        assert!(spend(100, 1_000_000));
        assert!(!spend(1, 1_000_001));
        // A clock that steps back gives nothing.
        assert!(!spend(1, 5));
    }

    #[test]
    fn what_was_earned_never_passes_the_burst() {
        let mut buckets = buckets(100, 20);
        buckets.earn(1, 5000);
        assert!(buckets.spend(1, 1000, 0));
        assert!(!buckets.spend(1, 1, 0));
        buckets.earn(1, 2);
        assert!(buckets.spend(1, 2, 0));
        assert!(buckets.spend(2, u32::MAX, 0), "it has no budget");
    }
}
