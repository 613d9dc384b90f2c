//! Who may connect, by the address.

use std::net::IpAddr;
use std::sync::Arc;

use crate::policy::network_set::NetworkSet;

/// Who may connect, and who may not.
#[derive(Default)]
pub struct AccessList {
    /// None: everybody that `deny` does not name.
    pub allow: Option<Vec<Arc<NetworkSet>>>,
    /// These may not, even if `allow` names them.
    pub deny: Vec<Arc<NetworkSet>>,
}

impl AccessList {
    pub fn admits(&self, address: IpAddr) -> bool {
        let is_in = |sets: &[Arc<NetworkSet>]| sets.iter().any(|set| set.contains(address));
        !is_in(&self.deny) && self.allow.as_deref().is_none_or(is_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(lists: &[&[&str]]) -> Vec<Arc<NetworkSet>> {
        let set = |list: &&[&str]| NetworkSet::new(list.iter().map(|network| network.parse().unwrap()));
        lists.iter().map(set).map(Arc::new).collect()
    }

    #[test]
    fn deny_goes_before_allow() {
        let (office, partners, bad) =
            (&["10.0.0.0/8"][..], &["192.0.2.0/24", "2001:db8::/32"][..], &["10.6.6.0/24"][..]);
        for (allow, deny, address, expected) in [
            (None, &[][..], "10.1.1.1", true),
            (None, &[bad][..], "10.6.6.6", false),
            (None, &[bad], "10.6.7.6", true),
            (Some(&[office][..]), &[], "10.1.1.1", true),
            (Some(&[office]), &[], "11.1.1.1", false),
            (Some(&[office, partners]), &[], "2001:db8::7", true),
            (Some(&[office, partners]), &[], "::ffff:192.0.2.7", true),
            (Some(&[office, partners]), &[bad], "10.6.6.6", false),
            // Nobody is in an empty list.
            (Some(&[&[]]), &[], "10.1.1.1", false),
            (None, &[&[]], "10.1.1.1", true),
        ] {
            let list = AccessList { allow: allow.map(sets), deny: sets(deny) };
            assert_eq!(list.admits(address.parse().unwrap()), expected, "{allow:?} {deny:?} {address}");
        }
    }
}
