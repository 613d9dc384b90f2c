//! `mirror`: where copies of requests go.

use serde_json::Value as Json;

use crate::config::check::kind::Boolean;
use crate::config::check::kind::Integer;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Name;
use crate::config::check::kind::refuse_kind;
use crate::config::check::rule::gates::GroupName;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::mirror::Mirror;

const KEYS: [&str; 3] = ["group", "body", "percent"];
const PERCENT: Integer = Integer(1..=100);

/// What [`mirror`] takes.
pub(super) fn mirror_schema() -> Json {
    let values = [Name.schema(), Boolean.schema(), PERCENT.schema()];
    schema::table(KEYS.into_iter().zip(values), &["group"])
}

/// Reads the table; None after reporting what is wrong.
pub(super) fn mirror(key: &str, raw: &raw::Value, report: &mut Report) -> Option<(Mirror, GroupName)> {
    let raw::Kind::Table(table) = &raw.kind else {
        let expected = "a table such as { group = \"shadow\", percent = 10 }";
        return refuse_kind(key, raw, expected, report);
    };
    report_unknown(&table.entries, &KEYS, &format!("`{key}`"), report);
    let Some(entry) = table.find("group") else {
        report.error(raw.location, format!("`group` is missing in `{key}`"), "add group = \"shadow\"");
        return None;
    };
    let group = (Name.parse("group", &entry.value, report)?, entry.value.location);
    let with_content = match table.find("body") {
        Some(entry) => Boolean.parse("body", &entry.value, report)?,
        None => true,
    };
    let percent = match table.find("percent") {
        Some(entry) => PERCENT.parse("percent", &entry.value, report)?,
        None => 100,
    };
    Some((Mirror { group: 0, with_content, percent }, group))
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::config::load;

    #[test]
    fn mistakes_are_named() {
        for (line, said) in [
            ("group = \"app\"\nmirror = { group = \"app\" }", ""),
            ("group = \"app\"\nmirror = { percent = 1 }", "`group` is missing in `mirror`"),
            ("group = \"app\"\nmirror = { group = \"ap\" }", "did you mean \"app\"?"),
            ("group = \"app\"\nmirror = { group = \"app\", percent = 0 }", "`percent`"),
            ("group = \"app\"\nmirror = { group = \"app\", body = 1 }", "`body`"),
            ("group = \"app\"\nmirror = \"app\"", "a table such as"),
            ("respond = { code = 200 }\nmirror = { group = \"app\" }", "is for requests that are forwarded"),
        ] {
            let text = format!(
                "config_version = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n\
                 default_group = \"app\"\n[[server_group]]\nname = \"app\"\n[[server_group.backend]]\n\
                 address = \"127.0.0.1:9001\"\n[[rule]]\nname = \"r\"\nlistener = \"web\"\npriority = 1\n\
                 path = \"/\"\n{line}\n"
            );
            let report = load(vec![Source::made_up("ringway.toml", text)]).report.to_text(false);
            assert!(report.contains(said) && report.is_empty() == said.is_empty(), "{line}: {report}");
        }
    }
}
