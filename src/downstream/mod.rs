//! Connections of clients: accepting them, their idle time, and HTTP on them.
//!
//! No routing decision is taken here.

mod connection;
pub mod eviction;
mod h1;
mod h2;
mod handshake;
pub mod listener;
