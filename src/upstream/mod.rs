//! Connections to backends: opening, lending, reusing, and speaking HTTP on them.
//!
//! Nothing here knows on whose behalf it is asked.

pub mod connect;
pub mod error;
pub mod h1;
pub mod h2;
pub mod lease;
pub mod link;
pub mod load;
pub mod pool;
