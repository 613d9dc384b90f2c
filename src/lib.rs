//! Ringway: a self-hosted HTTPS application load balancer.
//!
//! The modules stand in reading order, the bottom layer first; each imports lower ones only.
//! `docs/ARCHITECTURE.md` is the map in prose.

/// One file per verb of the command line.
pub mod command;
/// Text to `Config`, or every error with its place.
pub mod config;
/// The slow side: from `Config` to snapshot, and signals.
pub mod control;
/// Connections of clients, and HTTP on them.
pub mod downstream;
/// One request and its response.
pub mod exchange;
/// The words every module speaks: heads, header lists, body lengths. No I/O.
pub mod http;
/// Sockets, buffers, timers and clock: the only module, with `runtime`, that touches the kernel.
pub mod net;
/// Decisions: a head and a table in, a verdict out.
pub mod policy;
/// Sans-IO codecs: bytes in, messages and bytes out.
pub mod proto;
/// Threads, rings and their end.
pub mod runtime;
/// The immutable configuration that workers serve from.
pub mod snapshot;
/// The record of each exchange, and the access log.
pub mod telemetry;
/// Connections to backends, and HTTP on them.
pub mod upstream;
/// What one thread owns.
pub mod worker;
