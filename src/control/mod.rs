//! The slow side: everything that may wait, allocate and read text. Workers notice it only by what
//! it publishes.

pub mod authorities;
pub mod build;
pub mod limits;
pub mod signals;
