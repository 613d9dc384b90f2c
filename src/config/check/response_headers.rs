//! `response_headers` and `hsts` of a listener: what all of its responses get.

use std::time::Duration;

use serde_json::Value as Json;

use crate::config::check::kind::Boolean;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Time;
use crate::config::check::kind::refuse_kind;
use crate::config::check::kind::seconds;
use crate::config::check::listener_tls::Scheme;
use crate::config::check::rule::fields;
use crate::config::check::rule::fields::EditedHead;
use crate::config::check::rule::written::Written;
use crate::config::check::rule::written::to_json;
use crate::config::check::section::Section;
use crate::config::check::section::is_empty_table;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::header_edits::FieldSource;
use crate::policy::header_edits::HeaderEdit;
use crate::policy::header_edits::layers::MAX_EDITS;

const KEYS: [&str; 4] = ["insert_header", "set_header", "append_header", "remove_header"];

const HSTS_KEYS: [&str; 3] = ["max_age", "include_subdomains", "preload"];

/// In seconds.
const YEAR: u64 = 365 * 24 * 60 * 60;
const HSTS_AGE: Time = seconds(0, 10 * YEAR);

/// The edits of the listener. What `hsts` adds comes first, so that a later edit can change it.
pub(super) fn read(section: &mut Section<'_, '_>, scheme: Scheme) -> Vec<HeaderEdit> {
    let hsts = section.read_optional("hsts", &Hsts, "responses get no Strict-Transport-Security");
    // RFC 6797 §7.2: "An HSTS Host MUST NOT include the STS header field in HTTP responses conveyed over non-secure
    // transport".
    let is_idle = hsts.is_some() && scheme == Scheme::Http;
    section.warn_idle("hsts", is_idle.then_some("it is for listeners with protocol = \"https\""));
    let none = Written { value: Vec::new(), json: Json::Array(Vec::new()) };
    let list = section.read("response_headers", &EditList, none).value;
    let hsts = hsts.filter(|_| !is_idle).map(|(hsts, _)| hsts.value);
    hsts.into_iter().chain(list).collect()
}

/// A list of tables with one edit each.
struct EditList;

impl Kind for EditList {
    type Value = Written<Vec<HeaderEdit>>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let expected = "a list such as [{ set_header = { name = \"x-frame-options\", value = \"DENY\" } }]";
        let raw::Kind::Array(values) = &raw.kind else { return refuse_kind(key, raw, expected, report) };
        if values.len() >= MAX_EDITS {
            let message = format!("`{key}` has more than {} edits", MAX_EDITS - 1);
            report.error(raw.location, message, "write those that hold for some requests only in rules");
            return None;
        }
        let mut edits = Vec::with_capacity(values.len());
        for value in values {
            let raw::Kind::Table(table) = &value.kind else {
                return refuse_kind(key, value, expected, report);
            };
            if is_empty_table(key, value, &KEYS, report) {
                return None;
            }
            report_unknown(&table.entries, &KEYS, &format!("`{key}`"), report);
            let known = table.entries.iter().filter(|entry| KEYS.contains(&entry.key.as_str()));
            edits.extend(
                known.map(|entry| fields::edit((&entry.key, EditedHead::Response), &entry.value, report)),
            );
        }
        let value: Option<Vec<HeaderEdit>> = edits.into_iter().collect();
        Some(Written { value: value?, json: to_json(raw) })
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.json.clone()
    }

    fn schema(&self) -> Json {
        let edit = |key| (key, fields::edit_schema(key));
        let mut edits = schema::table(KEYS.map(edit), &[]);
        edits["minProperties"] = Json::from(1);
        schema::list(edits, 0..=MAX_EDITS - 1)
    }
}

/// `{ max_age = "180d", include_subdomains = true, preload = false }` (RFC 6797 §6.1).
struct Hsts;

impl Kind for Hsts {
    type Value = Written<HeaderEdit>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let raw::Kind::Table(table) = &raw.kind else {
            return refuse_kind(key, raw, "a table such as { max_age = \"180d\" }", report);
        };
        report_unknown(&table.entries, &HSTS_KEYS, &format!("`{key}`"), report);
        let Some(entry) = table.find("max_age") else {
            let message = format!("`max_age` is missing in `{key}`");
            report.error(raw.location, message, "add max_age = \"180d\"");
            return None;
        };
        let max_age = HSTS_AGE.parse("max_age", &entry.value, report)?;
        let mut truth = |word: &str| match table.find(word) {
            Some(entry) => Boolean.parse(word, &entry.value, report),
            None => Some(false),
        };
        let (include_subdomains, preload) = (truth("include_subdomains")?, truth("preload")?);
        if preload && (!include_subdomains || max_age < Duration::from_secs(YEAR)) {
            let message = "`preload` has no effect: the list of browsers wants more";
            let help = "write max_age = \"365d\" or more, and include_subdomains = true";
            report.warning(raw.location, message, help);
        }
        let mut text = format!("max-age={}", max_age.as_secs());
        text += if include_subdomains { "; includeSubDomains" } else { "" };
        text += if preload { "; preload" } else { "" };
        let edit = HeaderEdit::Set("Strict-Transport-Security".to_owned(), FieldSource::Literal(text));
        Some(Written { value: edit, json: to_json(raw) })
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.json.clone()
    }

    fn schema(&self) -> Json {
        let truth = || Boolean.schema();
        let keys = HSTS_KEYS.into_iter().zip([HSTS_AGE.schema(), truth(), truth()]);
        schema::table(keys, &["max_age"])
    }
}
