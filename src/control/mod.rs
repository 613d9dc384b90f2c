//! The slow side: everything that may wait, allocate and read text. Workers notice it only by what
//! it publishes.

pub mod admin;
pub mod authorities;
pub mod build;
mod build_group;
pub mod certificates;
pub mod credentials;
mod expiry;
pub mod files;
pub mod health;
pub mod inventory;
pub mod limits;
pub mod names;
pub mod offers;
pub mod preflight;
pub mod reload;
pub mod reloads;
pub mod renewal;
pub mod roster;
pub mod service;
pub mod signals;
pub mod sockets;
pub mod tls;
