//! Metrics for Prometheus: what workers have counted, and what is in service, at one moment.
//!
//! Everything is read from the published snapshot and counters; no worker notices a scrape.

mod collect;
pub mod exposition;
pub mod families;
mod groups;
mod listeners;
mod relays;
pub mod routes;
pub mod series_estimate;

pub use crate::control::metrics::collect::ProcessFacts;
pub use crate::control::metrics::collect::expose;
