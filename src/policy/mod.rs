//! Decisions: a head and a table in, a verdict out. No I/O, no clock, no randomness.

pub mod access_list;
pub mod balance;
pub mod basic_auth;
pub mod compression;
pub mod connection_values;
pub mod cors;
pub mod early_hints;
pub mod forward_auth;
pub mod forwarded;
pub mod grpc;
pub mod header_edits;
pub mod hop_marks;
pub mod identity;
pub mod ip_list;
pub mod max_forwards;
pub mod mirror;
pub mod network_set;
pub mod outlier;
pub mod rate_limit;
pub mod redirect;
pub mod request_id;
pub mod response_condition;
pub mod retry;
pub mod router;
pub mod template;
pub mod websocket;
