//! Headers and cookies that lines of JSON tell beside their fields.

use serde_json::Value as Json;

use crate::config::LogHeaders;
use crate::config::check::kind::FieldName;
use crate::config::check::kind::Kind;
use crate::config::check::kind::TOKEN;
use crate::config::check::kind::list;
use crate::config::check::kind::refuse_kind;
use crate::config::in_order;
use crate::config::log_fields;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;

/// `{ request = ["x-tenant"], response = ["server"], cookies = ["lang"] }`.
pub(super) struct ChosenNames;

/// Names in one list: each is looked for in every head.
const MAX_NAMES: usize = 32;

const KINDS: [&str; 3] = ["request", "response", "cookies"];

/// Headers that carry passwords or the keys of sessions.
const SECRETS: [(&str, &str, &str); 4] = [
    ("request", "authorization", "a template tells the user of Basic authentication by $remote_user"),
    ("request", "proxy-authorization", "leave it out"),
    ("request", "cookie", "name single cookies in `cookies`"),
    ("response", "set-cookie", "leave it out"),
];

impl Kind for ChosenNames {
    type Value = LogHeaders;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<LogHeaders> {
        let raw::Kind::Table(table) = &raw.kind else {
            return refuse_kind(key, raw, "a table such as { request = [\"x-tenant\"] }", report);
        };
        let mut is_clean = true;
        for entry in table.entries.iter().filter(|entry| !KINDS.contains(&entry.key.as_str())) {
            is_clean = false;
            let message = format!("`{key}` has an unknown key `{}`", entry.key);
            report.error(entry.key_location, message, format!("valid keys: {}", KINDS.join(", ")));
        }
        if table.entries.is_empty() {
            is_clean = false;
            let help = "write request = [\"x-tenant\"] in it, or remove it";
            report.error(raw.location, format!("`{key}` is an empty table"), help);
        }
        let mut names = |kind: &'static str| match table.find(kind) {
            None => Some(Vec::new()),
            Some(entry) => names(kind, key, &entry.value, report),
        };
        let (request, response, cookies) = (names("request"), names("response"), names("cookies"));
        let headers = LogHeaders { request: request?, response: response?, cookies: cookies? };
        is_clean.then_some(headers)
    }

    fn show(&self, LogHeaders { request, response, cookies }: &LogHeaders) -> Json {
        let lists = KINDS.into_iter().zip([request, response, cookies]);
        let lists = lists.filter(|(_, names)| !names.is_empty());
        Json::Object(in_order::object(lists.map(|(kind, names)| (kind, names.clone()))))
    }

    fn schema(&self) -> Json {
        let names = || schema::list(schema::pattern(&format!("^{TOKEN}+$")), 1..=MAX_NAMES);
        let mut table = schema::table(KINDS.map(|kind| (kind, names())), &[]);
        table["minProperties"] = Json::from(1);
        table
    }
}

fn names(kind: &'static str, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Vec<String>> {
    let values = list(key, raw, "lists such as [\"x-tenant\"]", report)?;
    if values.len() > MAX_NAMES {
        let message = format!("`{key}` has {} names in `{kind}`", values.len());
        report.error(raw.location, message, format!("allowed are up to {MAX_NAMES}"));
        return None;
    }
    let mut names: Vec<String> = Vec::with_capacity(values.len());
    for value in values {
        let Some(name) = FieldName.parse(key, value, report)? else {
            report.error(value.location, format!("`{key}` has an empty name"), "write a name, or remove it");
            return None;
        };
        check_name((kind, &name), &names, (key, value.location), report)?;
        names.push(name);
    }
    Some(names)
}

fn check_name(
    (kind, name): (&str, &str),
    others: &[String],
    (key, location): (&str, Location),
    report: &mut Report,
) -> Option<()> {
    let told_as = |name: &str| match kind {
        "cookies" => name.to_owned(),
        _ => name.to_ascii_lowercase().replace('-', "_"),
    };
    if others.iter().any(|other| told_as(other) == told_as(name)) {
        report.error(location, format!("`{key}` names \"{name}\" twice"), "name it once");
        return None;
    }
    let field = format!("http_{}", told_as(name));
    if kind == "request" && log_fields::ALL.contains(&field.as_str()) {
        let message = format!("`{key}` names \"{name}\", which is the field {field}");
        report.error(
            location,
            message,
            format!("remove it, and write \"{field}\" in `fields` if there are any"),
        );
        return None;
    }
    let secret = SECRETS.iter().find(|(of, secret, _)| *of == kind && name.eq_ignore_ascii_case(secret));
    if let Some((_, _, fix)) = secret {
        let message = format!("`{key}` writes passwords or keys of sessions into the log: \"{name}\"");
        report.warning(location, message, *fix);
    }
    Some(())
}
