//! Ctrl-C and TERM end a run in order, so that everything started is ended too.

use ringway_bench::now;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// How often a wait looks for an interruption.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(10);

extern "C" fn note(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Turns the signals that ask for an end into an error of the next `check` or `sleep`.
pub(crate) fn watch() {
    let handler: extern "C" fn(libc::c_int) = note;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the function only stores to an atomic, which is allowed inside a signal handler.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

pub(crate) fn check() -> Result<(), String> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err("interrupted".to_owned()) } else { Ok(()) }
}

/// Sleeps in short pieces, so that an interruption is noticed soon.
pub(crate) fn sleep(duration: Duration) -> Result<(), String> {
    let end = now() + duration;
    loop {
        check()?;
        let left = end.saturating_duration_since(now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(LOOK_INTERVAL));
    }
}
