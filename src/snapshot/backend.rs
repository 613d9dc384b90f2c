//! A backend: one address in a group.

use crate::net::address::Address;

pub struct Backend {
    pub address: Address,
    /// The address as logs show it.
    pub name: String,
}
