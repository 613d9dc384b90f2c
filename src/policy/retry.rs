//! Whether a failed attempt may be followed by another one.

/// What went wrong with an attempt, as far as trying again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection came about, so the backend saw nothing.
    Connect,
    /// A kept-alive connection was broken already and took no byte of the request.
    NothingSent,
    /// A kept-alive connection ended before any byte of a response.
    StaleConnection,
    /// Everything else: the backend may have acted on the request.
    Exchange,
}

/// What another attempt would have to send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The request means the same when it is carried out twice (RFC 9110 §9.2.2).
    pub idempotent: bool,
    /// All of the request that was read from the client is still at hand.
    pub complete: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Once more, on a fresh connection to the same backend.
    SameBackend,
    /// Once more, with a backend that was not tried yet.
    OtherBackend,
    GiveUp,
}

/// Decides after an attempt failed. `backends_left` is how many more `max_retries` allows.
pub fn after(failure: Failure, replay: Replay, backends_left: u32) -> Verdict {
    match failure {
        _ if !replay.complete => Verdict::GiveUp,
        Failure::Connect if backends_left > 0 => Verdict::OtherBackend,
        // A backend that closes idle connections must not cost its clients an error: this retry is
        // owed to our own pooling and does not count (RFC 9112 §9.3.1).
        Failure::NothingSent => Verdict::SameBackend,
        Failure::StaleConnection if replay.idempotent => Verdict::SameBackend,
        _ => Verdict::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_safe_is_tried_again() {
        const WHOLE: Replay = Replay { idempotent: true, complete: true };
        const UNSAFE: Replay = Replay { idempotent: false, complete: true };
        const PARTLY_GONE: Replay = Replay { idempotent: true, complete: false };
        for (failure, replay, left, verdict) in [
            (Failure::Connect, WHOLE, 1, Verdict::OtherBackend),
            (Failure::Connect, UNSAFE, 1, Verdict::OtherBackend),
            (Failure::Connect, WHOLE, 0, Verdict::GiveUp),
            (Failure::Connect, PARTLY_GONE, 1, Verdict::GiveUp),
            (Failure::NothingSent, UNSAFE, 0, Verdict::SameBackend),
            (Failure::NothingSent, PARTLY_GONE, 0, Verdict::GiveUp),
            (Failure::StaleConnection, WHOLE, 0, Verdict::SameBackend),
            (Failure::StaleConnection, UNSAFE, 1, Verdict::GiveUp),
            (Failure::Exchange, WHOLE, 1, Verdict::GiveUp),
        ] {
            assert_eq!(after(failure, replay, left), verdict, "{failure:?} {replay:?} {left}");
        }
    }
}
