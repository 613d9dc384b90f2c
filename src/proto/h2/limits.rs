//! How much a peer may ask of us, over time.
//!
//! Every frame costs its receiver something, and some cost its sender next to nothing. Each such kind has
//! a budget that fills up with time; a peer that overdraws it gets GOAWAY with ENHANCE_YOUR_CALM and the
//! log its reason. What is bounded by memory rather than by time stands here too.

use crate::proto::token_bucket;
use crate::proto::token_bucket::Budgeted;
use crate::proto::token_bucket::Millis;
use crate::proto::token_bucket::RESETS;
use crate::proto::token_bucket::Resets;
use crate::proto::token_bucket::TokenRate;

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

/// The budgets, in the order of [`Limit`].
static RATES: [TokenRate; 7] = [
    // Resets: what the owner of the connection allows takes their place; see [`Resets`].
    TokenRate { burst: 0, per_second: 0 },
    // Settings: real peers send one or two in all.
    TokenRate { burst: 16, per_second: 1 },
    // Pings: gRPC in Go measures the path with a PING for each round trip in which messages come.
    TokenRate { burst: 100, per_second: 20 },
    // Empty content.
    TokenRate { burst: 100, per_second: 10 },
    // Window updates: two for each DATA frame is what careless clients send.
    TokenRate { burst: 1000, per_second: 200 },
    // Priorities: some clients send one for each request, and a handful at the start.
    TokenRate { burst: 400, per_second: 100 },
    // Useless frames.
    TokenRate { burst: 400, per_second: 100 },
];

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

impl Budgeted for Limit {
    fn place(self) -> usize {
        self as usize
    }
}

/// What a peer has left of each budget.
pub type Budgets = token_bucket::Budgets<Limit, { RATES.len() }>;

/// Full budgets.
pub fn budgets(resets: Resets) -> Budgets {
    const { assert!(Limit::Resets as usize == RESETS, "the table begins with resets") };
    Budgets::of(&RATES, resets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_stand_in_the_order_of_their_names() {
        let mut left = budgets(Resets { burst: 7, per_second: 1 });
        for (limit, burst) in [
            (Limit::Resets, 7),
            (Limit::Settings, 16),
            (Limit::Pings, 100),
            (Limit::EmptyContent, 100),
            (Limit::WindowUpdates, 1000),
            (Limit::Priorities, 400),
            (Limit::UselessFrames, 400),
        ] {
            assert_eq!(left.spend(limit, burst, 0), Ok(()));
            assert_eq!(left.spend(limit, 1, 0), Err(limit));
        }
        assert!(left.is_short_of_resets());
        assert_eq!(left.spend(Limit::Continuations, u32::MAX, 0), Ok(()), "it has no budget");
    }
}
