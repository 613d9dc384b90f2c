//! Whether a failed attempt may be followed by another one.

use std::ops::RangeInclusive;

/// What went wrong with an attempt, as far as trying again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection came about, so the backend saw nothing.
    Connect,
    /// A kept-alive connection was broken already and took no byte of the request.
    NothingSent,
    /// A kept-alive connection ended before any byte of a response.
    StaleConnection,
    /// A connection that other requests used at the time ended before any byte of a response, which may be for a
    /// fault of theirs.
    SharedConnection,
    /// A fresh connection ended before any byte of a response.
    NoResponse,
    /// The response takes too long to begin: the backend may be at work on the request still.
    Timeout,
    /// The status is one of those after which the group tries again.
    Status,
    /// Everything else.
    Exchange,
}

/// After what a group tries a request again with another backend. What is owed to kept connections is tried again
/// whatever stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOn {
    /// No connection came about.
    pub connect: bool,
    /// The backend closed the connection before any byte of a response.
    pub closed: bool,
    /// The response did not begin in time.
    pub timeout: bool,
    pub statuses: Vec<RangeInclusive<u16>>,
}

impl RetryOn {
    /// What is safe, and no more.
    pub const DEFAULT: RetryOn =
        RetryOn { connect: true, closed: true, timeout: false, statuses: Vec::new() };

    pub fn has_status(&self, status: u16) -> bool {
        self.statuses.iter().any(|statuses| statuses.contains(&status))
    }

    /// Whether the group lets another backend try after this failure.
    fn allows(&self, failure: Failure) -> bool {
        match failure {
            Failure::Connect => self.connect,
            Failure::NoResponse => self.closed,
            Failure::Timeout => self.timeout,
            Failure::NothingSent
            | Failure::StaleConnection
            | Failure::SharedConnection
            | Failure::Status
            | Failure::Exchange => true,
        }
    }
}

/// What another attempt would have to send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The request means the same when it is carried out twice (RFC 9110 §9.2.2).
    pub idempotent: bool,
    /// All of the request that was read from the client is still at hand.
    pub complete: bool,
    /// The client's state is with this backend, so another one is no substitute while this one lives.
    pub sticky: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryVerdict {
    /// Once more, on a fresh connection to the same backend.
    SameBackend,
    /// Once more, with a backend that was not tried yet.
    OtherBackend,
    /// The same where there is one, else on a fresh connection to the same backend.
    Elsewhere,
    GiveUp,
}

/// Decides after an attempt failed. `backends_left` is how many more `max_retries` allows.
pub fn after(failure: Failure, replay: Replay, backends_left: u32, retry_on: &RetryOn) -> RetryVerdict {
    match failure {
        _ if !replay.complete || !retry_on.allows(failure) => RetryVerdict::GiveUp,
        Failure::Connect if backends_left > 0 => RetryVerdict::OtherBackend,
        // A backend that closes idle connections must not cost its clients an error: this retry is
        // owed to our own pooling and does not count (RFC 9112 §9.3.1).
        Failure::NothingSent => RetryVerdict::SameBackend,
        Failure::StaleConnection if replay.idempotent => RetryVerdict::SameBackend,
        // The connection was shared for our own sake, so that the retry is owed as above.
        Failure::SharedConnection if replay.idempotent && (replay.sticky || backends_left == 0) => {
            RetryVerdict::SameBackend
        }
        Failure::SharedConnection if replay.idempotent => RetryVerdict::Elsewhere,
        // The backend takes connections but answers nothing: it is ending, or worse.
        Failure::NoResponse | Failure::Timeout | Failure::Status
            if replay.idempotent && !replay.sticky && backends_left > 0 =>
        {
            RetryVerdict::OtherBackend
        }
        _ => RetryVerdict::GiveUp,
    }
}

/// What bounds the retries that go to another backend, so that an outage is not amplified: on top of a
/// small stock, one for every five requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// In fifths of a retry; at most [`Budget::CAPACITY`].
    fifths: u32,
}

impl Budget {
    const RETRY: u32 = 5;
    /// A burst of 500 retries.
    const CAPACITY: u32 = 500 * Budget::RETRY;
    /// A process that has just started may meet backends that are down.
    const START: u32 = 100 * Budget::RETRY;

    pub fn new() -> Budget {
        Budget { fifths: Budget::START }
    }

    /// Every request pays a fifth of a retry.
    pub fn request_began(&mut self) {
        self.deposit(1);
    }

    /// Ten times a second, so that groups with few requests can retry them all.
    pub fn tick(&mut self) {
        self.deposit(Budget::RETRY);
    }

    /// Takes out one retry; false if there is none left.
    pub fn retry(&mut self) -> bool {
        let rest = self.fifths.checked_sub(Budget::RETRY);
        self.fifths = rest.unwrap_or(self.fifths);
        rest.is_some()
    }

    fn deposit(&mut self, fifths: u32) {
        self.fifths = (self.fifths + fifths).min(Budget::CAPACITY);
    }
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_safe_is_tried_again() {
        const WHOLE: Replay = Replay { idempotent: true, complete: true, sticky: false };
        const UNSAFE: Replay = Replay { idempotent: false, ..WHOLE };
        const PARTLY_GONE: Replay = Replay { complete: false, ..WHOLE };
        const STICKY: Replay = Replay { sticky: true, ..WHOLE };
        for (failure, replay, left, verdict) in [
            (Failure::Connect, WHOLE, 1, RetryVerdict::OtherBackend),
            (Failure::Connect, UNSAFE, 1, RetryVerdict::OtherBackend),
            (Failure::Connect, WHOLE, 0, RetryVerdict::GiveUp),
            (Failure::Connect, PARTLY_GONE, 1, RetryVerdict::GiveUp),
            (Failure::NothingSent, UNSAFE, 0, RetryVerdict::SameBackend),
            (Failure::NothingSent, PARTLY_GONE, 0, RetryVerdict::GiveUp),
            (Failure::StaleConnection, WHOLE, 0, RetryVerdict::SameBackend),
            (Failure::StaleConnection, UNSAFE, 1, RetryVerdict::GiveUp),
            (Failure::StaleConnection, STICKY, 0, RetryVerdict::SameBackend),
            (Failure::SharedConnection, WHOLE, 1, RetryVerdict::Elsewhere),
            (Failure::SharedConnection, WHOLE, 0, RetryVerdict::SameBackend),
            (Failure::SharedConnection, STICKY, 1, RetryVerdict::SameBackend),
            (Failure::SharedConnection, UNSAFE, 1, RetryVerdict::GiveUp),
            (Failure::SharedConnection, PARTLY_GONE, 1, RetryVerdict::GiveUp),
            (Failure::NoResponse, WHOLE, 1, RetryVerdict::OtherBackend),
            (Failure::NoResponse, WHOLE, 0, RetryVerdict::GiveUp),
            (Failure::NoResponse, UNSAFE, 1, RetryVerdict::GiveUp),
            (Failure::NoResponse, PARTLY_GONE, 1, RetryVerdict::GiveUp),
            (Failure::NoResponse, STICKY, 1, RetryVerdict::GiveUp),
            (Failure::Connect, STICKY, 1, RetryVerdict::OtherBackend),
            (Failure::Exchange, WHOLE, 1, RetryVerdict::GiveUp),
            (Failure::Timeout, WHOLE, 1, RetryVerdict::GiveUp),
        ] {
            assert_eq!(
                after(failure, replay, left, &RetryOn::DEFAULT),
                verdict,
                "{failure:?} {replay:?} {left}"
            );
        }
    }

    #[test]
    fn a_group_says_after_what_another_backend_is_asked() {
        const WHOLE: Replay = Replay { idempotent: true, complete: true, sticky: false };
        const UNSAFE: Replay = Replay { idempotent: false, ..WHOLE };
        const STICKY: Replay = Replay { sticky: true, ..WHOLE };
        let only_timeout = RetryOn { timeout: true, ..RetryOn::default() };
        for (failure, replay, verdict) in [
            (Failure::Timeout, WHOLE, RetryVerdict::OtherBackend),
            (Failure::Timeout, UNSAFE, RetryVerdict::GiveUp),
            (Failure::Timeout, STICKY, RetryVerdict::GiveUp),
            (Failure::Connect, WHOLE, RetryVerdict::GiveUp),
            (Failure::NoResponse, WHOLE, RetryVerdict::GiveUp),
            (Failure::NothingSent, UNSAFE, RetryVerdict::SameBackend),
            (Failure::StaleConnection, WHOLE, RetryVerdict::SameBackend),
            (Failure::Status, WHOLE, RetryVerdict::OtherBackend),
            (Failure::Status, UNSAFE, RetryVerdict::GiveUp),
            (Failure::Status, STICKY, RetryVerdict::GiveUp),
        ] {
            assert_eq!(after(failure, replay, 1, &only_timeout), verdict, "{failure:?} {replay:?}");
        }
        assert_eq!(after(Failure::Status, WHOLE, 0, &only_timeout), RetryVerdict::GiveUp);
        let statuses = RetryOn { statuses: vec![502..=503], ..RetryOn::default() };
        assert_eq!(
            [501, 502, 503, 504].map(|status| statuses.has_status(status)),
            [false, true, true, false]
        );
    }

    #[test]
    fn a_start_and_a_quiet_group_may_retry() {
        let mut budget = Budget::new();
        assert_eq!((0..200).filter(|_| budget.retry()).count(), 100);
        assert!(!budget.retry());
        budget.tick();
        assert!(budget.retry());
        assert!(!budget.retry());
    }

    #[test]
    fn one_request_in_five_may_be_retried() {
        let mut budget = Budget::new();
        while budget.retry() {}
        let mut retries = 0;
        for _ in 0..10_000 {
            budget.request_began();
            retries += u32::from(budget.retry());
        }
        assert_eq!(retries, 2000);
    }

    #[test]
    fn a_burst_is_bounded() {
        let mut budget = Budget::default();
        (0..100_000).for_each(|_| budget.request_began());
        (0..1000).for_each(|_| budget.tick());
        assert_eq!((0..1000).filter(|_| budget.retry()).count(), 500);
    }
}
