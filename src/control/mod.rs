//! The slow side: everything that may wait, allocate and read text. Workers notice it only by what
//! it publishes.

pub mod address_ranges;
pub mod admin;
pub mod json_reader;
pub mod backend_order;
pub mod build;
pub mod change;
pub mod credentials;
pub mod discovery;
pub mod doctor;
pub mod elb;
pub mod explain;
pub mod files;
pub mod handover;
pub mod health;
pub mod installer;
pub mod metrics;
pub mod origin;
pub mod preflight;
pub mod privileges;
pub mod process;
pub mod reload;
mod drains;
mod own_header;
mod reload_changes;
mod unchangeable;
pub mod reload_stats;
pub mod tracing;
pub mod upgrade;
pub mod written_config;
pub mod active_config;
