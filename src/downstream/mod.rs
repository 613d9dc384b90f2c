//! Connections of clients: accepting them, their idle time, and HTTP on them.
//!
//! No routing decision is taken here.

mod admission;
pub mod arrivals;
mod client_side;
mod connection;
mod coverage;
pub mod eviction;
mod h1;
mod h2;
pub mod h3;
mod handshake;
mod lifecycle;
pub mod listener;
mod multiplex;
mod pacer;
mod reply_state;
mod unserved;
#[cfg(test)]
mod sizes;
