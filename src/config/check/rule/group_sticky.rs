//! `sticky` of `forward`: clients that stay with the group that they were given.

use std::time::Duration;

use serde_json::Value as Json;

use crate::config::FinalAction;
use crate::config::GroupSticky;
use crate::config::Rule;
use crate::config::ServerGroup;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Time;
use crate::config::check::kind::refuse_kind;
use crate::config::check::kind::seconds;
use crate::config::check::section::report_unknown;
use crate::config::check::sticky;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::balance::sticky::CookieAttributes;

const KEYS: [&str; 6] = ["cookie", "timeout", "path", "domain", "same_site", "secure"];

const TIMEOUT: Time = seconds(1, 86_400);

/// What [`group_sticky`] takes.
pub(super) fn group_sticky_schema() -> Json {
    let values = [
        sticky::CookieName.schema(),
        TIMEOUT.schema(),
        sticky::CookiePath.schema(),
        sticky::CookieDomain.schema(),
        sticky::SAME_SITE.schema(),
        sticky::AutoOrTrue.schema(),
    ];
    schema::table(KEYS.into_iter().zip(values), &[])
}

/// Reads the table; None after reporting what is wrong.
pub(super) fn group_sticky(key: &str, raw: &raw::Value, report: &mut Report) -> Option<GroupSticky> {
    let raw::Kind::Table(table) = &raw.kind else {
        return refuse_kind(key, raw, "a table such as { timeout = \"1h\" }", report);
    };
    report_unknown(&table.entries, &KEYS, &format!("`{key}` of `forward`"), report);
    let cookie = match table.find("cookie") {
        Some(entry) => sticky::CookieName.parse("cookie", &entry.value, report)?,
        None => "SERVERGROUPID".to_owned(),
    };
    let timeout = match table.find("timeout") {
        Some(entry) => TIMEOUT.parse("timeout", &entry.value, report)?,
        None => Duration::from_secs(1_000),
    };
    let path = match table.find("path") {
        Some(entry) => sticky::CookiePath.parse("path", &entry.value, report)?,
        None => "/".to_owned(),
    };
    let domain = match table.find("domain") {
        Some(entry) => Some(sticky::CookieDomain.parse("domain", &entry.value, report)?),
        None => None,
    };
    let same_site = match table.find("same_site") {
        Some(entry) => Some(sticky::SAME_SITE.parse("same_site", &entry.value, report)?),
        None => None,
    };
    let is_always_secure = match table.find("secure") {
        Some(entry) => sticky::AutoOrTrue.parse("secure", &entry.value, report)?,
        None => false,
    };
    let attributes = CookieAttributes { path, domain, same_site, is_always_secure };
    Some(GroupSticky { cookie, timeout, attributes, location: raw.location })
}

/// Reports what does not go together with the groups that rules forward to.
pub(super) fn check(rules: &[Rule], groups: &[ServerGroup], report: &mut Report) {
    for rule in rules {
        let (Some(sticky), FinalAction::Forward(targets)) = (&rule.group_sticky, &rule.actions.last) else {
            continue;
        };
        if targets.len() == 1 {
            let message = "`sticky` has no effect: there is one group only";
            report.warning(sticky.location, message, "remove it; for backends write [server_group.sticky]");
        }
        for group in targets.iter().filter_map(|target| groups.get(target.group)) {
            if group.sticky.as_ref().is_some_and(|own| own.cookie == sticky.cookie) {
                let GroupSticky { cookie, location, .. } = sticky;
                let message = format!("the server group \"{}\" has the same cookie \"{cookie}\"", group.name);
                report.error(*location, message, "give one of them another name by cookie = \"…\"");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::config::load;

    #[test]
    fn mistakes_are_named() {
        let both = "groups = [{ group = \"app\", weight = 90 }, { group = \"new\", weight = 10 }]";
        for (table, said) in [
            (format!("{{ {both} }}"), ""),
            (format!("{{ {both}, sticky = {{}} }}"), ""),
            (
                format!(
                    "{{ {both}, sticky = {{ cookie = \"G\", timeout = \"1h\", path = \"/a\", domain = \"a.example\", \
                     same_site = \"lax\", secure = true }} }}"
                ),
                "",
            ),
            ("{ sticky = {} }".to_owned(), "`groups` is missing in `forward`"),
            (
                "{ groups = [{ group = \"app\" }], sticky = {} }".to_owned(),
                "`sticky` has no effect: there is one group only",
            ),
            (
                format!("{{ {both}, sticky = {{ cookie = \"SERVERID\" }} }}"),
                "the server group \"app\" has the same cookie \"SERVERID\"",
            ),
            (format!("{{ {both}, sticky = {{ cookie = \"a b\" }} }}"), "`cookie` is not a valid name"),
            (format!("{{ {both}, sticky = {{ timeout = \"2d\" }} }}"), "`timeout` is out of range"),
            (format!("{{ {both}, sticky = {{ ttl = \"1h\" }} }}"), "`ttl`"),
            (format!("{{ {both}, sticky = true }}"), "a table such as"),
        ] {
            let group = |name: &str, more: &str| {
                format!(
                    "[[server_group]]\nname = \"{name}\"\n[[server_group.backend]]\naddress = \"127.0.0.1:9001\"\n{more}"
                )
            };
            let text = format!(
                "config_version = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n{}{}[[rule]]\n\
                 name = \"r\"\nlistener = \"web\"\npriority = 1\npath = \"/\"\nforward = {table}\n",
                group("app", "[server_group.sticky]\nmode = \"insert\"\n"),
                group("new", ""),
            );
            let report = load(vec![Source::made_up("ringway.toml", text)]).report.to_text(false);
            let is_quiet = report.is_empty();
            assert!(report.contains(said) && (is_quiet || !said.is_empty()), "{table}: {report}");
        }
    }
}
