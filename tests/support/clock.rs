//! Time in tests: every wait has a bound.

use std::time::{Duration, Instant};

/// How long a test waits for something that should happen soon. Long, because test machines are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[expect(clippy::disallowed_methods, reason = "tests measure real time; the rule guards the data path")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Asks again and again until `ask` gives something, for at most `bound`.
pub(crate) fn within<T>(bound: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = now() + bound;
    loop {
        if let Some(found) = ask() {
            return Some(found);
        }
        if now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Fails with `what` unless `is_true` becomes true soon.
pub(crate) fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    assert!(within(PATIENCE, || is_true().then_some(())).is_some(), "{what}: not within {PATIENCE:?}");
}
