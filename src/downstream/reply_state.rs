//! How far a response has come on its way to the client.

/// ```text
/// Unstarted ── start ──▶ Started ── send(last) ──▶ Finished
///     ▲─────── retract ─────┘
///     └───────────── a failed send ──────────────▶ Broken
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyState {
    Unstarted,
    Started,
    Finished,
    Broken,
}

impl ReplyState {
    pub(super) fn is_started(self) -> bool {
        self != ReplyState::Unstarted
    }

    /// Takes a response back of which nothing was sent; false, and nothing done, when there is none.
    pub(super) fn retract(&mut self, is_unsent: bool) -> bool {
        let may = *self == ReplyState::Started && is_unsent;
        if may {
            *self = ReplyState::Unstarted;
        }
        may
    }
}
