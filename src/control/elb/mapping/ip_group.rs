//! IP groups as tables of the configuration.

use std::collections::BTreeSet;

use crate::control::elb::mapping::tables::Tables;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects::ip_group;

/// Those that listeners name.
pub(super) fn tables(objects: &ElbObjects, tables: &mut Tables) {
    let listeners = objects.of_kind(ElbKind::Listener).filter(|listener| ip_group::is_on(listener));
    let used: BTreeSet<&str> = listeners.flat_map(ip_group::of_listener).collect();
    for group in objects.of_kind(ElbKind::IpGroup).filter(|group| used.contains(group.id.as_str())) {
        tables.header("[[ip_group]]");
        tables.key("name", group.id.as_str());
        if !group.text("name").is_empty() {
            tables.key("description", group.text("name"));
        }
        tables.key("entries", ip_group::networks(group));
    }
}
