//! `maintenance` of rules and server groups: what clients get while they are not served.

use serde_json::Value as Json;

use crate::config::Maintenance;
use crate::config::check::file_path::File;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Integer;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::kind::seconds;
use crate::config::check::media_type;
use crate::config::check::names::Names;
use crate::config::check::rule::sources::source_schema;
use crate::config::check::rule::sources::sources;
use crate::config::check::rule::written::Written;
use crate::config::check::rule::written::to_json;
use crate::config::check::section::Section;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::router::SourceTest;

const KEYS: [&str; 5] = ["enabled", "page", "status", "retry_after", "allow"];

const STATUS: Integer = Integer(400..=599);

/// Seconds that clients may be told to wait: a week.
const MAX_RETRY_AFTER_S: u64 = 7 * 24 * 3_600;

/// Reads the key of a server group.
pub(super) fn of_group(section: &mut Section<'_, '_>, ip_groups: &Names<'_>) -> Option<Maintenance> {
    let kind = &MaintenanceTable { ip_groups };
    let read = section.read_optional("maintenance", kind, "by command only");
    read.map(|(maintenance, _)| maintenance.value)
}

/// Reads the key of a rule.
pub(super) fn of_rule(section: &mut Section<'_, '_>, ip_groups: &Names<'_>) -> Option<Maintenance> {
    let read = section.read_present("maintenance", &MaintenanceTable { ip_groups });
    read.map(|(maintenance, _)| maintenance.value)
}

struct MaintenanceTable<'n> {
    ip_groups: &'n Names<'n>,
}

impl Kind for MaintenanceTable<'_> {
    type Value = Written<Maintenance>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let raw::Kind::Table(table) = &raw.kind else {
            let expected = "a table such as { page = \"maintenance.html\", allow = [\"office\"] }";
            return refuse_kind(key, raw, expected, report);
        };
        report_unknown(&table.entries, &KEYS, &format!("`{key}`"), report);
        let enabled = match table.find("enabled") {
            Some(entry) => Boolean.parse("enabled", &entry.value, report)?,
            None => false,
        };
        let page = match table.find("page") {
            Some(entry) => {
                let file = File.parse("page", &entry.value, report)?;
                let content_type = media_type::of_file(&file, entry.value.location, report)?;
                Some((file, content_type))
            }
            None => None,
        };
        let status = match table.find("status") {
            Some(entry) => STATUS.parse("status", &entry.value, report)?,
            None => 503,
        };
        let retry_after = match table.find("retry_after") {
            Some(entry) => Some(seconds(1, MAX_RETRY_AFTER_S).parse("retry_after", &entry.value, report)?),
            None => None,
        };
        let allow = match table.find("allow") {
            Some(entry) => sources("allow", &entry.value, self.ip_groups, report)?,
            None => SourceTest::default(),
        };
        let status = u16::try_from(status).unwrap_or(503);
        Some(Written { value: Maintenance { enabled, page, status, retry_after, allow }, json: to_json(raw) })
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.json.clone()
    }

    fn schema(&self) -> Json {
        let wait = seconds(1, MAX_RETRY_AFTER_S).schema();
        let values = [Boolean.schema(), File.schema(), STATUS.schema(), wait, source_schema()];
        schema::table(KEYS.into_iter().zip(values), &[])
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::config::load;

    /// What is said of a server group and a rule with these lines.
    fn report(of_group: &str, of_rule: &str) -> String {
        let text = format!(
            "config_version = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n\
             default_group = \"app\"\n[[ip_group]]\nname = \"office\"\nentries = [\"10.0.0.0/8\"]\n\
             [[server_group]]\nname = \"app\"\n{of_group}\n[[server_group.backend]]\n\
             address = \"127.0.0.1:9001\"\n[[rule]]\nname = \"r\"\nlistener = \"web\"\npriority = 1\n\
             path = \"/\"\n{of_rule}\n"
        );
        load(vec![Source::made_up("ringway.toml", text)]).report.to_text(false)
    }

    #[test]
    fn mistakes_are_named() {
        for (table, said) in [
            ("{ allow = [\"office\", \"192.0.2.7\"] }", ""),
            (
                "{ allow = \"office\", enabled = true, page = \"m.html\", status = 502, retry_after = \"1h\" }",
                "",
            ),
            ("{ allow = \"ofice\" }", "did you mean \"office\"?"),
            ("{ allow = \"office\", page = \"m.pdf\" }", "the media type of m.pdf is not known"),
            ("{ allow = \"office\", status = 200 }", "`status` is out of range"),
            ("{ allow = \"office\", retry_after = 30 }", "`retry_after` needs a unit"),
            ("{ allow = \"office\", enable = true }", "did you mean `enabled`?"),
            ("true", "a table such as"),
        ] {
            for (of_group, of_rule) in [(table, ""), ("", table)] {
                let line = |table: &str| {
                    if table.is_empty() { String::new() } else { format!("maintenance = {table}") }
                };
                let report = report(&line(of_group), &format!("{}\ngroup = \"app\"", line(of_rule)));
                assert!(report.contains(said), "{table}: {report}");
                assert_eq!(report.is_empty(), said.is_empty(), "{table}: {report}");
            }
        }
        let response =
            "maintenance = { allow = \"office\" }\ndirection = \"response\"\nrespond = { code = 404 }";
        let report = report("", response);
        assert!(report.contains("`maintenance` is for requests"), "{report}");
    }
}
