//! The slow side: everything that may wait, allocate and read text. Workers notice it only by what
//! it publishes.

pub mod authorities;
pub mod build;
pub mod certificates;
pub mod credentials;
mod expiry;
mod files;
pub mod limits;
pub mod offers;
pub mod reload;
pub mod signals;
pub mod tls;
