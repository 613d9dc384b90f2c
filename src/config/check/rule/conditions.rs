//! `conditions` of a rule, and their short forms.

use serde_json::Value as Json;

use crate::config::check::kind::Kind;
use crate::config::check::kind::is_token;
use crate::config::check::kind::refuse_kind;
use crate::config::check::names::Names;
use crate::config::check::rule::sources;
use crate::config::check::rule::texts;
use crate::config::check::rule::written::Written;
use crate::config::check::rule::written::to_json;
use crate::config::check::section::Section;
use crate::config::check::section::is_empty_table;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::router::Condition;
use crate::policy::router::NamedTest;
use crate::policy::router::Pattern;
use crate::policy::router::TextTest;

/// The keys of conditions, on a rule and in its list.
const KEYS: [&str; 10] =
    ["host", "path", "path_prefix", "method", "header", "query", "cookie", "source_ip", "sni", "alpn"];

/// Conditions of one rule.
const MAX_CONDITIONS: usize = 20;

pub(super) struct Conditions {
    pub conditions: Vec<Condition>,
    /// All could be read.
    pub is_whole: bool,
}

/// Reads the short forms and the list.
pub(super) fn read(section: &mut Section<'_, '_>, ip_groups: &Names<'_>) -> Conditions {
    let (mut conditions, mut is_whole) = (Vec::new(), true);
    for key in KEYS {
        let read = section.read_present(key, &OneCondition { key, ip_groups });
        conditions.extend(read.map(|(condition, _)| condition.value));
        is_whole &= !section.is_refused(key);
    }
    let list = section.read_present("conditions", &ConditionList { ip_groups });
    conditions.extend(list.into_iter().flat_map(|(list, _)| list.value));
    is_whole &= !section.is_refused("conditions");
    Conditions { conditions, is_whole }
}

/// The value of this key.
struct OneCondition<'n> {
    key: &'static str,
    ip_groups: &'n Names<'n>,
}

impl Kind for OneCondition<'_> {
    type Value = Written<Condition>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        condition(key, raw, self.ip_groups, report).map(|value| Written { value, json: to_json(raw) })
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.json.clone()
    }

    fn schema(&self) -> Json {
        condition_schema(self.key)
    }
}

/// A list of tables with one condition each.
struct ConditionList<'n> {
    ip_groups: &'n Names<'n>,
}

impl Kind for ConditionList<'_> {
    type Value = Written<Vec<Condition>>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let raw::Kind::Array(values) = &raw.kind else {
            return refuse_kind(key, raw, "a list such as [{ path = [\"/api/*\"] }]", report);
        };
        if values.len() > MAX_CONDITIONS {
            let message = format!("`{key}` has more than {MAX_CONDITIONS} conditions");
            report.error(raw.location, message, "make several rules of it");
            return None;
        }
        let mut conditions = Vec::with_capacity(values.len());
        for value in values {
            let raw::Kind::Table(table) = &value.kind else {
                return refuse_kind(key, value, "a list such as [{ path = [\"/api/*\"] }]", report);
            };
            if is_empty_table(key, value, &KEYS, report) {
                return None;
            }
            report_unknown(&table.entries, &KEYS, &format!("`{key}`"), report);
            let known = table.entries.iter().filter(|entry| KEYS.contains(&entry.key.as_str()));
            conditions.extend(known.map(|entry| condition(&entry.key, &entry.value, self.ip_groups, report)));
        }
        let value: Option<Vec<Condition>> = conditions.into_iter().collect();
        Some(Written { value: value?, json: to_json(raw) })
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.json.clone()
    }

    fn schema(&self) -> Json {
        let mut conditions = schema::table(KEYS.map(|key| (key, condition_schema(key))), &[]);
        conditions["minProperties"] = Json::from(1);
        schema::list(conditions, 0..=MAX_CONDITIONS)
    }
}

/// What a condition with this key can be.
fn condition_schema(key: &str) -> Json {
    match key {
        "header" | "query" | "cookie" => named_schema(),
        "source_ip" => sources::source_schema(),
        _ => schema::one_or_list(texts::text_schema()),
    }
}

/// The condition that this key and its value make.
fn condition(key: &str, raw: &raw::Value, ip_groups: &Names<'_>, report: &mut Report) -> Option<Condition> {
    match key {
        "host" => texts::list(key, raw, report, texts::host).map(Condition::Host),
        "path" => texts::list(key, raw, report, texts::path).map(Condition::Path),
        "path_prefix" => texts::list(key, raw, report, texts::path_prefix).map(Condition::Path),
        "method" => texts::list(key, raw, report, method).map(Condition::Method),
        "header" => {
            let test = named(key, raw, report)?;
            let name = test.name.to_ascii_lowercase();
            let instead = match name.as_str() {
                "host" => Some("host = \"…\""),
                "cookie" => Some("cookie = { name = \"…\", values = [\"…\"] }"),
                _ => None,
            };
            if let Some(instead) = instead {
                let message = format!("the header `{name}` has a condition of its own");
                report.error(raw.location, message, format!("write {instead}"));
                return None;
            }
            Some(Condition::Header(NamedTest { name, ..test }))
        }
        "query" => named(key, raw, report).map(Condition::Query),
        "cookie" => named(key, raw, report).map(Condition::Cookie),
        "sni" => texts::list(key, raw, report, texts::host).map(Condition::Sni),
        "alpn" => {
            texts::list(key, raw, report, |key, raw, report| texts::text(key, raw, report).map(Pattern::new))
                .map(Condition::Alpn)
        }
        _ => sources::sources(key, raw, ip_groups, report).map(Condition::SourceIp),
    }
}

fn method(key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
    let text = texts::text(key, raw, report)?;
    if !is_token(text) || text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        let help = format!("methods have a case: write \"{}\"", text.to_ascii_uppercase());
        report.error(raw.location, format!("`{key}` \"{}\" is no method", text.escape_debug()), help);
        return None;
    }
    Some(text.to_owned())
}

/// What [`named`] takes.
pub(super) fn named_schema() -> Json {
    let values = schema::one_or_list(texts::text_schema());
    schema::table([("name", texts::text_schema()), ("values", values)], &["name"])
}

/// `{ name = "…", values = ["…"] }`; without values, any will do.
pub(super) fn named(key: &str, raw: &raw::Value, report: &mut Report) -> Option<NamedTest> {
    let raw::Kind::Table(table) = &raw.kind else {
        return refuse_kind(key, raw, "a table such as { name = \"x-canary\", values = [\"1\"] }", report);
    };
    report_unknown(&table.entries, &["name", "values"], &format!("`{key}`"), report);
    let Some(entry) = table.find("name") else {
        report.error(raw.location, format!("`name` is missing in `{key}`"), "add name = \"…\"");
        return None;
    };
    let name = texts::text("name", &entry.value, report)?;
    if key != "query" && !is_token(name) {
        let help = "ASCII letters, digits and any of !#$%&'*+-.^_`|~";
        report.error(entry.value.location, format!("`name` of `{key}` is no name: {name:?}"), help);
        return None;
    }
    let values = match table.find("values") {
        Some(entry) => texts::list("values", &entry.value, report, |key, raw, report| {
            texts::text(key, raw, report).map(Pattern::new)
        })?,
        None => vec![Pattern::new("*")],
    };
    Some(NamedTest { name: name.to_owned(), values })
}

/// How many groups every expression of the last condition on the path captures; None if it has other alternatives.
pub(super) fn captures(conditions: &[Condition]) -> Option<usize> {
    let tests = conditions.iter().rev().find_map(|condition| match condition {
        Condition::Path(tests) => Some(tests),
        _ => None,
    })?;
    let groups = tests.iter().map(|test| match test {
        TextTest::Regex(regex) => regex.text.check().ok(),
        _ => None,
    });
    groups.collect::<Option<Vec<usize>>>()?.into_iter().min()
}
