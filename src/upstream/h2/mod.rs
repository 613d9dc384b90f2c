//! HTTP/2 to backends: few connections, shared by many exchanges.
//!
//! A connection is driven by a task of its own, which alone reads and sends. Exchanges hold streams of it, and
//! both meet in the state that they share: what comes is put into the inbox of its stream, what a stream writes
//! waits in the output of the codec, and each side wakes the other.
//!
//! ```text
//! exchange ── stream ──▶ codec ──▶ output ──▶ drive ──▶ transport
//!     ▲                                          │
//!     └────── inbox ◀── codec ◀──────────────────┘
//! ```
//!
//! Nothing in between is without bound: an inbox holds no more than the window of its stream, the output no more
//! than [`OUTPUT_BYTES`] of content.

/// A connection that its driver and its exchanges share.
mod connection;
/// The task of a connection.
mod drive;
/// Promises of the ways between versions, for fuzzing and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
/// What came for a stream and was not yet taken.
mod inbox;
/// Which connection gets the next stream.
pub mod pool;
/// A request as HTTP/2 has it.
mod request;
/// Whether a connection is alive that says nothing.
mod keepalive_ping;
/// What is known of a connection and of its streams.
mod state;
/// One exchange on a connection.
pub mod stream;

use std::time::Duration;

/// Connections that one worker has to one backend under one name, at most. A backend that allows 100 streams
/// on each gets so up to 800 requests at a time from each worker.
pub const MAX_CONNECTIONS: usize = 8;

/// Streams on a connection before another one is opened, whatever the backend allows. When there are
/// [`MAX_CONNECTIONS`], they are filled beyond it.
pub const STREAMS_PER_CONNECTION: usize = 100;

/// Content on its way into the kernel, for each connection: no stream adds to more than this.
const OUTPUT_BYTES: usize = 40 * 1024;

/// What a stream may send before others have their turn.
const TURN_BYTES: usize = 16 * 1024;

/// Streams that are called when there is room in the output: as many turns as fit.
const CALLED_AT_ONCE: usize = OUTPUT_BYTES / TURN_BYTES + 1;

/// Content that may be on its way on a connection. What has come does not count: exchanges that do not take it
/// must not hold up the others. Half of it is the largest window of a stream.
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;

/// What the windows of a connection's streams may grow by in all. So a connection holds no more content that was
/// not taken than this and 64 KiB for each stream: some 8 MiB for [`STREAMS_PER_CONNECTION`].
const GROWTH_BYTES: u32 = 2 << 20;

/// Bytes of the heads of a response that wait for their exchange, before another one comes.
const WAITING_HEAD_BYTES: usize = 64 * 1024;

/// How long a connection must be idle to give its memory back: what comes more often than that would only fill
/// it again.
const RELEASE_AFTER: Duration = Duration::from_secs(1);

/// How long a backend may say nothing on a connection with streams before a PING asks whether it is there.
const KEEPALIVE_PING_AFTER: Duration = Duration::from_secs(5);

/// Such PINGs before the next part of a response, at most: gRPC servers hang up on the third (gRFC A8).
const MAX_KEEPALIVE_PINGS: u32 = 2;

/// How long a backend has to answer a PING before its connection is given up.
const PONG_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last words on a connection may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
