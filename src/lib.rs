//! Ringway: a self-hosted HTTPS application load balancer.
//!
//! The layers that serve requests come from `data_path.rs`, a crate of its own; here stands what sets them up. The modules
//! stand in reading order, the bottom layer first; each imports lower ones only.
//! `docs/ARCHITECTURE.md` is the map in prose.
//!
//! Fuzz targets need the data path only; what stands above is left out of their builds, and so are the packages that only
//! it names (`Cargo.toml`).

#[cfg(not(fuzzing))]
pub use ringway_data_path::datagram;
#[cfg(not(fuzzing))]
pub use ringway_data_path::downstream;
#[cfg(not(fuzzing))]
pub use ringway_data_path::exchange;
pub use ringway_data_path::http;
pub use ringway_data_path::net;
pub use ringway_data_path::policy;
pub use ringway_data_path::proto;
#[cfg(not(fuzzing))]
pub use ringway_data_path::quic;
#[cfg(not(fuzzing))]
pub use ringway_data_path::relay;
pub use ringway_data_path::snapshot;
pub use ringway_data_path::telemetry;
pub use ringway_data_path::tls;
pub use ringway_data_path::upstream;
#[cfg(not(fuzzing))]
pub use ringway_data_path::worker;

/// Text to `Config`, or every error with its place.
#[cfg(not(fuzzing))]
pub mod config;
/// The slow side: from `Config` to snapshot, and signals.
#[cfg(not(fuzzing))]
pub mod control;
/// Threads, rings and their end.
#[cfg(not(fuzzing))]
pub mod runtime;
/// One file per verb of the command line.
#[cfg(not(fuzzing))]
pub mod command;
