//! Ringway: a self-hosted HTTPS application load balancer.
//!
//! The modules stand in reading order, the bottom layer first; each imports lower ones only.
//! `docs/ARCHITECTURE.md` is the map in prose.

/// One file per verb of the command line.
pub mod command;
/// Text in, a finished configuration or every error with its place out.
pub mod config;
/// The words every module speaks: heads, header lists, body lengths.
pub mod http;
/// Sans-IO codecs: bytes in, messages and bytes out.
pub mod proto;
