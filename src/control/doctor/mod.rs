//! What of this host and of a configuration keeps Ringway from serving as it could, and the command that cures it.
//!
//! Surveying only reads ([`host`], [`unit`], [`backends`], and a part of [`client_addresses`]); judging is pure ([`of_host`], [`of_unit`], [`of_backends`],
//! [`of_certificates`]), so that each finding is tested against a host that is described.

pub mod backends;
pub mod client_addresses;
pub mod finding;
pub mod host;
mod listening;
pub mod of_backends;
pub mod of_certificates;
pub mod of_host;
pub mod of_network;
pub mod of_unit;
pub mod unit;
