//! How objects are named in the configuration.

use std::path::Path;

use crate::control::elb::object::ElbObject;

/// What the text of a configuration is made of.
pub struct ElbTerms<'t> {
    /// Where files of certificates are.
    pub folder: &'t Path,
    /// The address of load balancers that name none.
    pub default_address: &'t str,
}

/// Timeouts and retries belong to listeners there and to groups here, so that each pair of both is a group.
pub fn group_name(listener: &ElbObject, pool: &ElbObject) -> String {
    let of_listener: String = listener.id.chars().filter(|c| *c != '-').take(24).collect();
    format!("{}.{of_listener}", pool.id)
}

/// As the configuration and the status name it.
pub fn member_address(member: &ElbObject) -> String {
    let (address, port) = (member.text("address"), member.number("protocol_port"));
    if port == 0 {
        return address.to_owned();
    }
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Names of TLS policies begin with a letter, and ids with a letter or a digit.
const TLS_POLICY: &str = "elb-";

pub(super) fn tls_policy_name(id: &str) -> String {
    format!("{TLS_POLICY}{id}")
}

/// The id of the security policy that a name of the configuration stands for.
pub fn security_policy_of(name: &str) -> Option<&str> {
    name.strip_prefix(TLS_POLICY)
}

/// The group without backends of a listener that has to have one, and leads to none.
pub(super) fn empty_group(listener: &ElbObject) -> String {
    let of_listener: String = listener.id.chars().filter(|c| *c != '-').collect();
    format!("none.{of_listener}")
}
