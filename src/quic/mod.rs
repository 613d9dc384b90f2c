//! QUIC (RFC 9000) as a server, without what is spoken on it.
//!
//! quinn-proto knows the protocol and does no I/O. Here it gets datagrams and time, once for each socket of a worker
//! ([`endpoint`]), and what a connection and its streams are to a task ([`connection`], [`streams`]). Which worker has a
//! connection is said by its ids ([`connection_id`]), so that the kernel can steer by them.

mod addressee;
pub mod admission;
mod amplification;
pub mod connection;
pub mod connection_id;
mod congestion;
mod core;
pub mod counters;
pub mod end;
pub mod endpoint;
pub mod forwarding;
pub mod group_hold;
mod hello_tap;
mod outgoing;
pub mod settings;
mod shared;
mod slow_start;
pub mod streams;
mod succession;
#[cfg(test)]
mod tests;
