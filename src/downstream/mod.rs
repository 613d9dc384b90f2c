//! Connections of clients: accepting them, their idle time, and HTTP on them.
//!
//! No routing decision is taken here.

pub mod listener;
mod connection;
mod h1;
