//! A backend: one address in a group.

use crate::net::address::Address;

pub struct Backend {
    pub address: Address,
    /// The address as logs show it.
    pub name: String,
    /// Distinguishes the backends of all groups, counting from 0; pools are found by it.
    pub slot: usize,
}
