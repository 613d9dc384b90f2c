//! Whether the answers of backends that see the addresses of clients can come back to this host.

use std::fs;
use std::path::Path;

use crate::config::BackendAddress;
use crate::config::Config;
use crate::config::Report;
use crate::config::ServerGroup;
use crate::control::doctor::finding::Finding;
use crate::net::policy_routes;

/// What the host does with packets for others. None: it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerRoutes {
    /// A rule leads to a route that takes packets for any address, of IPv4 and of IPv6.
    takes_all: [Option<bool>; 2],
    /// `net.ipv4.conf.all.src_valid_mark`.
    validates_marked: Option<bool>,
}

impl AnswerRoutes {
    /// Reads what the host says below `root`, which is `/` but in tests.
    pub fn survey(root: &Path) -> AnswerRoutes {
        let mark = fs::read_to_string(root.join("proc/sys/net/ipv4/conf/all/src_valid_mark"));
        AnswerRoutes {
            takes_all: [false, true].map(|is_ipv6| policy_routes::may_take_all(is_ipv6).ok()),
            validates_marked: mark.ok().map(|value| value.trim() == "1"),
        }
    }
}

/// What is in the way of groups with `source = "client"`. `report` knows where they stand.
pub fn judge(routes: &AnswerRoutes, config: &Config, report: &Report) -> Vec<Finding> {
    let mut found = Vec::new();
    for group in
        config.server_groups.iter().filter(|group| group.enabled && group.keeps_client_address.is_some())
    {
        let place = report.place(group.location);
        for (is_ipv6, takes_all) in [false, true].into_iter().zip(routes.takes_all) {
            if takes_all == Some(false) && has_backends(group, is_ipv6) {
                found.push(without_route(group, is_ipv6).at(&place));
            }
        }
        if routes.validates_marked == Some(true) && has_backends(group, false) {
            let message = format!(
                "net.ipv4.conf.all.src_valid_mark is 1: what backends of \"{}\" answer to the addresses of clients is dropped, \
                 where marks lead it here",
                group.name
            );
            let cure = "sysctl -w net.ipv4.conf.all.src_valid_mark=0 (wg-quick sets it)";
            found.push(Finding::warning("client_addresses", message, cure).at(&place));
        }
    }
    found
}

fn without_route(group: &ServerGroup, is_ipv6: bool) -> Finding {
    let (family, option) = if is_ipv6 { ("IPv6", " -6") } else { ("IPv4", "") };
    let message = format!(
        "source = \"client\" of \"{}\" needs a route for what backends answer to clients: no rule of {family} leads to one that \
         is `local default`",
        group.name
    );
    let cure = format!(
        "ip{option} rule add fwmark 1 lookup 100; ip{option} route add local default dev lo table 100; and what marks it: see \
         docs/layer4.md"
    );
    Finding::error("client_addresses", message, cure)
}

/// Those that names stand for may be of any family; of IPv4, most likely.
fn has_backends(group: &ServerGroup, is_ipv6: bool) -> bool {
    group.backends.iter().filter(|backend| backend.enabled).any(|backend| match &backend.address {
        BackendAddress::Ip(address) => address.is_ipv6() == is_ipv6,
        BackendAddress::Name { .. } => !is_ipv6,
        BackendAddress::Unix(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::config::Source;

    #[test]
    fn only_what_a_group_needs_is_missed() {
        let found = |source: &str, backend: &str, routes: AnswerRoutes| {
            let text = format!(
                "config_version = 1\n[[listener]]\nname = \"a\"\nprotocol = \"tcp\"\naddress = \"127.0.0.1:0\"\ndefault_group = \"app\"\n\
                 [[server_group]]\nname = \"app\"\nprotocol = \"tcp\"\n{source}\n[[server_group.backend]]\naddress = \"{backend}\"\n"
            );
            let loaded = config::load(vec![Source::made_up("<test>", text)]);
            let found = judge(&routes, &loaded.config.unwrap(), &loaded.report);
            assert!(found.iter().all(|found| found.message.starts_with("<test>:8: ")), "{found:?}");
            found.len()
        };
        let nothing = AnswerRoutes { takes_all: [Some(false); 2], validates_marked: Some(true) };
        let only_v4 = AnswerRoutes { takes_all: [Some(true), Some(false)], validates_marked: Some(false) };
        let key = "source = \"client\"";
        assert_eq!(found("", "10.0.0.1:80", nothing), 0);
        assert_eq!(found(key, "10.0.0.1:80", nothing), 2);
        assert_eq!(found(key, "[2001:db8::1]:80", nothing), 1);
        assert_eq!(found(key, "10.0.0.1:80", only_v4), 0);
        assert_eq!(found(key, "[2001:db8::1]:80", only_v4), 1);
        assert_eq!(found(key, "app.test:80", nothing), 2);
        assert_eq!(found(key, "10.0.0.1:80", AnswerRoutes::default()), 0);
    }
}
