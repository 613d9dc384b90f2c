//! What serves requests, without what sets it up: the layers that a worker runs.
//!
//! A crate of its own beside `lib.rs`, which stands above it, because the compiler is told per package whether code is to be
//! fast or small. Whatever runs for each connection or request belongs here, and so does the code of generic functions
//! that such things are made with: it is compiled by the crate that names the types.
//!
//! The modules stand in reading order, the bottom layer first; each imports lower ones only.
//!
//! Fuzz targets need the layers up to `upstream` only; what stands above is left out of their builds.
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
/// Connections of QUIC, and what is received and sent on their streams.
#[cfg(not(fuzzing))]
pub mod quic;
/// The immutable configuration that workers serve from.
pub mod snapshot;
/// Connections to backends, and HTTP on them.
pub mod upstream;
/// What one thread owns.
#[cfg(not(fuzzing))]
pub mod worker;
/// One request and its response.
#[cfg(not(fuzzing))]
pub mod exchange;
/// Connections of layer 4: bytes both ways.
#[cfg(not(fuzzing))]
pub mod relay;
/// Sessions of datagrams.
#[cfg(not(fuzzing))]
pub mod datagram;
/// Connections of clients, and HTTP on them.
#[cfg(not(fuzzing))]
pub mod downstream;
