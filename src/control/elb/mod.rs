//! The ELB API without its network: objects, what may become of them, what they are in tables of the configuration, and how
//! requests are signed.

mod fields;
pub mod fault;
pub mod ids;
pub mod index;
pub mod keys;
pub mod mapping;
pub mod master_slave;
pub mod object;
pub mod object_set;
mod objects;
mod removal;
pub mod signature;
pub mod state;
pub mod store;
#[cfg(test)]
mod tests;
mod utc_time;
