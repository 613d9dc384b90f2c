//! Ringway: a self-hosted HTTPS application load balancer.
//!
//! The modules stand in reading order, the bottom layer first; each imports lower ones only.
//! `docs/ARCHITECTURE.md` is the map in prose.
//!
//! Fuzz targets need the layers up to `upstream` only; what stands above is left out of their builds, and so are the
//! packages that only it names (`Cargo.toml`).
#![cfg_attr(fuzzing, allow(dead_code, reason = "some of it is for layers that are left out"))]

/// The words every module speaks: heads, header lists, body lengths. No I/O.
pub mod http;
/// Sockets, buffers, timers and clock: the only module, with `runtime`, that touches the kernel.
pub mod net;
/// Sans-IO codecs: bytes in, messages and bytes out.
pub mod proto;
/// Decisions: a head and a table in, a verdict out.
pub mod policy;
/// The record of each exchange, and the access log.
pub mod telemetry;
/// TLS over our own buffers: the only module that sees keys and handshakes.
pub mod tls;
/// Text to `Config`, or every error with its place.
#[cfg(not(fuzzing))]
pub mod config;
/// The immutable configuration that workers serve from.
pub mod snapshot;
/// Connections to backends, and HTTP on them.
pub mod upstream;
/// The slow side: from `Config` to snapshot, and signals.
#[cfg(not(fuzzing))]
pub mod control;
/// What one thread owns.
#[cfg(not(fuzzing))]
pub mod worker;
/// One request and its response.
#[cfg(not(fuzzing))]
pub mod exchange;
/// Connections of clients, and HTTP on them.
#[cfg(not(fuzzing))]
pub mod downstream;
/// Threads, rings and their end.
#[cfg(not(fuzzing))]
pub mod runtime;
/// One file per verb of the command line.
#[cfg(not(fuzzing))]
pub mod command;
