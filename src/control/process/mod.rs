//! The process as the operating system sees it: what it may have, and the signals that reach it.

pub mod activation;
pub mod rlimits;
pub mod socket_store;
pub mod launcher;
pub mod lock;
pub mod systemd;
pub mod signals;
pub mod users;
