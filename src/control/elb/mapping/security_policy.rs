//! Security policies as tables of the configuration.

use std::collections::BTreeSet;

use crate::control::elb::mapping::names;
use crate::control::elb::mapping::tables::Tables;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects::security_policy::NamedTls;

/// Those that listeners name.
pub(super) fn tables(objects: &ElbObjects, tables: &mut Tables) {
    let used: BTreeSet<&str> =
        objects.of_kind(ElbKind::Listener).map(|listener| listener.text("security_policy_id")).collect();
    for policy in objects.of_kind(ElbKind::SecurityPolicy).filter(|policy| used.contains(policy.id.as_str()))
    {
        let named = NamedTls::new(&policy.attributes);
        tables.header("[[tls_policy]]");
        tables.key("name", names::tls_policy_name(&policy.id));
        if !policy.text("name").is_empty() {
            tables.key("description", policy.text("name"));
        }
        tables.key("versions", named.versions);
        tables.key("cipher_suites", named.suites);
    }
}
