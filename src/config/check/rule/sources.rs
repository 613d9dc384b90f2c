//! `source_ip` of a rule: addresses, networks, and names of IP groups.

use serde_json::Value as Json;

use crate::config::check::names::Names;
use crate::config::check::rule::texts;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::ip_list::parse_network;
use crate::policy::network_set::NetworkSet;
use crate::policy::router::SourceGroup;
use crate::policy::router::SourceTest;

/// What [`sources`] takes.
pub(crate) fn source_schema() -> Json {
    schema::one_or_list(texts::text_schema())
}

/// One of them, or a list; None after reporting what is wrong.
pub(crate) fn sources(
    key: &str,
    raw: &raw::Value,
    ip_groups: &Names<'_>,
    report: &mut Report,
) -> Option<SourceTest> {
    let list = texts::list(key, raw, report, |key, value, report| {
        let text = texts::text(key, value, report)?;
        if let Some(network) = parse_network(text) {
            if network.trunc() != network {
                let message = format!("`{key}` \"{network}\" has host bits set, which are ignored");
                report.warning(value.location, message, format!("write \"{}\"", network.trunc()));
            }
            return Some((Some(network.trunc()), None));
        }
        if text.contains(['/', ':']) {
            let message =
                format!("`{key}` \"{}\" is neither an IP address nor a network", text.escape_debug());
            report.error(
                value.location,
                message,
                "write \"192.0.2.7\", \"192.0.2.0/24\" or the name of an [[ip_group]]",
            );
            return None;
        }
        // Where the name may be out of sight, nothing is in service.
        let index = ip_groups.find(key, (text, value.location), report).unwrap_or_default();
        Some((None, Some(SourceGroup { index, name: text.into(), ..SourceGroup::default() })))
    })?;
    let (networks, groups): (Vec<_>, Vec<_>) = list.into_iter().unzip();
    let networks = NetworkSet::new(networks.into_iter().flatten());
    Some(SourceTest { networks, groups: groups.into_iter().flatten().collect() })
}
