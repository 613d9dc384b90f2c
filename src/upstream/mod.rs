//! Connections to backends: opening, lending, reusing, and speaking HTTP on them.
//!
//! Nothing here knows on whose behalf it is asked.

pub mod pool;
pub mod lease;
pub mod connect;
pub mod h1;
pub mod error;
