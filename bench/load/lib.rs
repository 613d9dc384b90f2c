//! What the three programs of the load bench share: an epoll set, the loop around it, sockets and limits, a clock.
//!
//! `harness/` is the program to start; `origin.rs` and `relay.rs` are started by it.

/// One epoll instance with level-triggered interests.
pub mod epoll;
/// The loop of a program that accepts connections and serves them on one thread.
pub mod event_loop;
/// `--name value` pairs of a command line.
pub mod options;
/// Listening sockets, the descriptor limit and CPU pinning.
pub mod process;

use std::time::Instant;

/// The clock of the bench; measurements are made outside the load balancer and need a real one.
#[expect(clippy::disallowed_methods, reason = "the bench measures wall time; the rule guards the data path")]
pub fn now() -> Instant {
    Instant::now()
}
