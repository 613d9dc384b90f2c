//! What the programs of the load bench share: an epoll set, the loop around it, sockets and limits, a certificate, a clock.
//!
//! `harness/` measures HTTP and starts `origin.rs` and `relay.rs`; `h3/` measures HTTP/3, `stream/` relayed connections, `udp.rs`
//! datagrams.

/// One epoll instance with level-triggered interests.
pub mod epoll;
/// A proxy that is measured, and what it uses.
pub mod measured;
/// The loop of a program that accepts connections and serves them on one thread.
pub mod event_loop;
/// `--name value` pairs of a command line.
pub mod options;
/// The certificate that proxies serve, and who takes it.
pub mod site;
/// How clients of the bench speak TLS.
pub mod tls_client;
/// Listening sockets, the descriptor limit and CPU pinning.
pub mod process;

use std::time::Instant;

/// The clock of the bench; measurements are made outside the load balancer and need a real one.
#[expect(clippy::disallowed_methods, reason = "the bench measures wall time; the rule guards the data path")]
pub fn now() -> Instant {
    Instant::now()
}
