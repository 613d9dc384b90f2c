//! The process as the operating system sees it: what it may have, and the signals that reach it.

pub mod limits;
pub mod signals;
