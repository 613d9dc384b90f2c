//! How much a client may ask of us, over time (RFC 9114 §10.5).
//!
//! A client that overdraws a budget loses its connection with H3_EXCESSIVE_LOAD, and the log has its reason. How many
//! streams are open at a time, and how many bytes are in flight, is what QUIC bounds.

use crate::proto::token_bucket;
use crate::proto::token_bucket::Budgeted;
use crate::proto::token_bucket::RESETS;
use crate::proto::token_bucket::Resets;
use crate::proto::token_bucket::TokenRate;

/// What a client did too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Requests that ended before they were answered, as with HTTP/2: QUIC gives the place of a stream back as soon as
    /// both sides have ended it.
    Resets,
    /// DATA that carries nothing.
    EmptyContent,
    /// PRIORITY_UPDATE.
    Priorities,
    /// Frames and streams of unknown types, instructions of QPACK, and frames that change nothing for us.
    UselessFrames,
    /// A SETTINGS or PRIORITY_UPDATE that is longer than any client has a use for.
    LongFrame,
}

impl Limit {
    /// The stable name of the fault, for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Limit::Resets => "h3_reset_flood",
            Limit::EmptyContent => "h3_empty_data_flood",
            Limit::Priorities => "h3_priority_flood",
            Limit::UselessFrames => "h3_useless_frame_flood",
            Limit::LongFrame => "h3_long_frame",
        }
    }
}

/// The budgets, in the order of [`Limit`], with the numbers that HTTP/2 has for the same.
static RATES: [TokenRate; 4] = [
    // Resets: what the owner of the connection allows takes their place; see [`Resets`].
    TokenRate { burst: 0, per_second: 0 },
    // Empty content.
    TokenRate { burst: 100, per_second: 10 },
    // Priorities.
    TokenRate { burst: 400, per_second: 100 },
    // Useless frames.
    TokenRate { burst: 400, per_second: 100 },
];

/// Bytes of unknown frames and streams that cost as much as one more of them.
pub const SKIPPED_BYTES_PER_TOKEN: u32 = 16_384;

/// Bytes of an encoded field section that are kept until it is complete; a larger `max_header_bytes` counts instead. Of
/// what is longer, so much is decoded for the log, and the rest is passed over.
pub const MIN_SECTION_BYTES: usize = 16_384;

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
            (Limit::EmptyContent, 100),
            (Limit::Priorities, 400),
            (Limit::UselessFrames, 400),
        ] {
            assert_eq!(left.spend(limit, burst, 0), Ok(()));
            assert_eq!(left.spend(limit, 1, 0), Err(limit));
        }
        assert!(left.is_short_of_resets());
        left.earn(Limit::Resets, 4);
        assert!(!left.is_short_of_resets());
    }
}
