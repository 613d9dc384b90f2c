//! How much a peer may ask of us, over time.
//!
//! Every frame costs its receiver something, and some cost its sender next to nothing. Each such kind has
//! a budget that fills up with time; a peer that overdraws it gets GOAWAY with ENHANCE_YOUR_CALM and the
//! log its reason. What is bounded by memory rather than by time stands here too.

/// Milliseconds of any monotonic clock that does not change within a connection.
pub type Millis = u64;

/// What a peer did too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Streams that ended before they were answered: by the client's RST_STREAM (CVE-2023-44487), or by ours
    /// because the client provoked it (CVE-2025-8671), or refused. Each costs a request's work, which is thrown
    /// away, and frees its place at once. Every response that was sent to its end gives one back.
    Resets,
    /// Settings must be applied to every open stream, and each frame be acknowledged.
    Settings,
    /// Each is answered.
    Pings,
    /// DATA that neither carries anything nor ends a stream.
    EmptyContent,
    /// Each may wake a stream. DATA that we send earns some back.
    WindowUpdates,
    /// Deprecated, validated and useless.
    Priorities,
    /// Frames of unknown kinds, late ones on streams that have ended, answers without a question.
    UselessFrames,
    /// A header block in more frames than its length explains.
    Continuations,
    /// A header block longer than we are willing to read.
    HeaderBlock,
    /// A header block that is not completed in time.
    SlowHeaderBlock,
    /// One SETTINGS frame of more settings than there are.
    LongSettings,
    /// All that is ready waits for the connection's window, and too little of it is opened.
    StalledConnection,
}

impl Limit {
    /// The stable name of the fault, for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Limit::Resets => "h2_reset_flood",
            Limit::Settings => "h2_settings_flood",
            Limit::Pings => "h2_ping_flood",
            Limit::EmptyContent => "h2_empty_data_flood",
            Limit::WindowUpdates => "h2_window_update_flood",
            Limit::Priorities => "h2_priority_flood",
            Limit::UselessFrames => "h2_useless_frame_flood",
            Limit::Continuations => "h2_continuation_flood",
            Limit::HeaderBlock => "h2_header_block",
            Limit::SlowHeaderBlock => "h2_slow_header_block",
            Limit::LongSettings => "h2_long_settings",
            Limit::StalledConnection => "h2_stalled_connection",
        }
    }
}

/// A budget that refills with time.
#[derive(Clone, Copy)]
struct TokenRate {
    limit: Limit,
    /// Tokens that a new connection has, and the most that it can have.
    burst: u32,
    /// Tokens that every second adds.
    per_second: u32,
}

/// The budgets, in the order of [`Limit`].
const RATES: [TokenRate; 7] = [
    // What the owner of the connection allows takes its place; see [`Resets`].
    TokenRate { limit: Limit::Resets, burst: 0, per_second: 0 },
    // Real peers send one or two in all.
    TokenRate { limit: Limit::Settings, burst: 16, per_second: 1 },
    // gRPC in Go measures the path with a PING for each round trip in which messages come.
    TokenRate { limit: Limit::Pings, burst: 100, per_second: 20 },
    TokenRate { limit: Limit::EmptyContent, burst: 100, per_second: 10 },
    // Two for each DATA frame is what careless clients send.
    TokenRate { limit: Limit::WindowUpdates, burst: 1000, per_second: 200 },
    // Some clients send one for each request, and a handful at the start.
    TokenRate { limit: Limit::Priorities, burst: 400, per_second: 100 },
    TokenRate { limit: Limit::UselessFrames, burst: 400, per_second: 100 },
];

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

/// A stream of that age is no part of a flood of streams that are opened and ended in turn.
pub const INNOCENT_MS: Millis = 100;

/// Frames of the peer that may still come on a stream that we end, without being counted as useless: those of a
/// message that it sends in small pieces, and its own RST_STREAM.
pub const LATE_FRAMES_PER_RESET: u32 = 16;
/// The same for a stream that has ended on both sides: its RST_STREAM may have crossed the end of the response.
pub const LATE_FRAMES_PER_END: u32 = 1;

/// An increment of fewer bytes costs [`TINY_INCREMENT_COST`] tokens where the window has no more left than that: each
/// could make us send a DATA frame that is mostly its header.
pub const TINY_INCREMENT_BYTES: u32 = 256;
pub const TINY_INCREMENT_COST: u32 = 10;
/// Tokens for WINDOW_UPDATE that a DATA frame of ours gives back.
pub const WINDOW_UPDATES_PER_CONTENT: u32 = 3;
/// Tokens for PING that a HEADERS or DATA frame of ours gives back: what answers it, as servers of gRPC count it too.
pub const PINGS_PER_FRAME: u32 = 1;
/// A DATA frame that the window cut short gives tokens back only with at least so many bytes.
pub const REWARDED_CONTENT_BYTES: u32 = 1024;
/// With less than this left of the connection's window, the peer is waited for before content is cut for it.
pub const SILLY_WINDOW_BYTES: u32 = 1024;
/// For so long.
pub const SILLY_WINDOW_MS: Millis = 200;
/// CONTINUATION frames of one block, or one for each KiB of it if that is more.
pub const MAX_CONTINUATIONS: usize = 16;
/// Bytes of a header block that comes in several frames, while it is kept; a larger `max_header_bytes`
/// counts instead. What is longer is decoded as it comes, and its stream ends.
pub const MIN_BLOCK_BYTES: usize = 16_384;
/// What is so many times longer than that, as it comes or decoded, ends the connection: that is more work than a
/// mistake of the peer is worth.
pub const LONG_BLOCK_FACTOR: usize = 8;
/// For the rest of a header block: nothing else can be received meanwhile.
pub const HEADER_BLOCK_MS: Millis = 10_000;
/// For the acknowledgement of our settings.
pub const SETTINGS_MS: Millis = 10_000;
/// Bytes of one SETTINGS frame: eight times as many as there are settings.
pub const MAX_SETTINGS_BYTES: u32 = 64 * 6;
/// Between the two GOAWAYs of a graceful end, unless nothing is in flight sooner: longer than the way there and back.
pub const SHUTDOWN_MS: Millis = 1000;
/// A stream that waits for a window and was given at least so much meanwhile is slow, not stalled.
pub const STALL_BYTES: u32 = 4096;
/// What waits to be sent, in bytes, when nothing more is received: answers to the peer's frames pile up
/// while it does not read them.
pub const MAX_OUTPUT_BYTES: usize = 64 * 1024;
/// Streams that we ended and whose late frames we still expect. Of those before them, it is not known how they ended.
pub const REMEMBERED_RESETS: usize = 128;
/// A client that has used all but so many stream identifiers is asked to reconnect.
pub const LAST_STREAM_IDS: u32 = 2_000;

/// Tokens of a budget at most, so that a thousand times as many fit.
const MAX_TOKENS: u32 = 1_000_000;

/// What a peer has left of each budget.
pub struct Budgets {
    resets: TokenRate,
    levels: [Level; RATES.len()],
}

#[derive(Clone, Copy)]
struct Level {
    /// A thousandth each, so that every millisecond adds a whole number of them.
    milli_tokens: u32,
    at: Millis,
}

impl Budgets {
    /// Full budgets.
    pub fn new(resets: Resets) -> Budgets {
        let resets = TokenRate {
            limit: Limit::Resets,
            burst: resets.burst.clamp(1, MAX_TOKENS),
            per_second: resets.per_second.clamp(1, MAX_TOKENS),
        };
        let levels = RATES.map(|rate| {
            let rate = if rate.limit == Limit::Resets { resets } else { rate };
            Level { milli_tokens: rate.burst * 1000, at: 0 }
        });
        Budgets { resets, levels }
    }

    /// Whether little is left of what a client may end early.
    pub fn is_short_of_resets(&self) -> bool {
        let reserve = self.resets.burst * 1000 / RESETS_IN_RESERVE;
        self.levels.get(Limit::Resets as usize).is_some_and(|level| level.milli_tokens < reserve)
    }

    /// Takes tokens, of which there are too few only if the peer is out of all measure.
    pub fn spend(&mut self, limit: Limit, tokens: u32, now: Millis) -> Result<(), Limit> {
        let Some((level, rate)) = self.level(limit) else {
            return Ok(());
        };
        let elapsed = now.saturating_sub(level.at);
        let earned = elapsed.saturating_mul(u64::from(rate.per_second));
        let most = u64::from(rate.burst) * 1000;
        // At most `most`, so it fits.
        let filled = u64::from(level.milli_tokens).saturating_add(earned).min(most) as u32;
        let left = filled.checked_sub(tokens * 1000).ok_or(limit)?;
        *level = Level { milli_tokens: left, at: level.at.max(now) };
        Ok(())
    }

    /// Gives tokens back.
    pub fn earn(&mut self, limit: Limit, tokens: u32) {
        if let Some((level, rate)) = self.level(limit) {
            level.milli_tokens = level.milli_tokens.saturating_add(tokens * 1000).min(rate.burst * 1000);
        }
    }

    fn level(&mut self, limit: Limit) -> Option<(&mut Level, TokenRate)> {
        let place = limit as usize;
        let rate = *RATES.get(place)?;
        debug_assert!(rate.limit == limit);
        let rate = if limit == Limit::Resets { self.resets } else { rate };
        Some((self.levels.get_mut(place)?, rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_stand_in_the_order_of_their_names() {
        for (place, rate) in RATES.iter().enumerate() {
            assert_eq!(rate.limit as usize, place);
        }
    }

    const RESETS: Resets = Resets { burst: 100, per_second: 20 };

    #[test]
    fn half_of_the_resets_is_a_reserve() {
        let mut budgets = Budgets::new(RESETS);
        assert!(budgets.spend(Limit::Resets, 50, 0).is_ok());
        assert!(!budgets.is_short_of_resets());
        assert!(budgets.spend(Limit::Resets, 1, 0).is_ok());
        assert!(budgets.is_short_of_resets());
        budgets.earn(Limit::Resets, 1);
        assert!(!budgets.is_short_of_resets());
    }

    #[test]
    fn budgets_have_bounds() {
        let mut most = Budgets::new(Resets { burst: u32::MAX, per_second: u32::MAX });
        assert!(most.spend(Limit::Resets, 1_000_000, 0).is_ok());
        assert!(most.spend(Limit::Resets, 1, 0).is_err());
        most.earn(Limit::Resets, 1_000_000);
        assert!(most.spend(Limit::Resets, 1_000_000, u64::MAX).is_ok());
        let mut least = Budgets::new(Resets { burst: 0, per_second: 0 });
        assert!(least.spend(Limit::Resets, 1, 0).is_ok());
    }

    #[test]
    fn a_budget_refills_with_time_to_its_burst() {
        let mut budgets = Budgets::new(RESETS);
        let mut spend = |tokens, now| budgets.spend(Limit::Resets, tokens, now).is_ok();
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
        let mut budgets = Budgets::new(RESETS);
        budgets.earn(Limit::WindowUpdates, 5000);
        assert!(budgets.spend(Limit::WindowUpdates, 1000, 0).is_ok());
        assert_eq!(budgets.spend(Limit::WindowUpdates, 1, 0), Err(Limit::WindowUpdates));
        budgets.earn(Limit::WindowUpdates, 2);
        assert!(budgets.spend(Limit::WindowUpdates, 2, 0).is_ok());
    }
}
