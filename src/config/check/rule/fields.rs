//! `insert_header`, `set_header`, `append_header` and `remove_header`.

use serde_json::Value as Json;

use crate::config::check::kind::TOKEN;
use crate::config::check::kind::is_token;
use crate::config::check::kind::refuse_kind;
use crate::config::check::nearest::nearest;
use crate::config::check::rule::texts;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::http::headers::same_for_backends;
use crate::policy::header_edits::FieldSource;
use crate::policy::header_edits::HeaderEdit;
use crate::policy::header_edits::SYSTEM_VALUES;

/// Fields of requests that rules leave alone, and what to write instead.
const RESERVED: [(&str, &str); 15] = [
    ("connection", "it belongs to one hop"),
    ("content-length", "it frames the content"),
    ("cookie", "cookies of the client pass as they came"),
    ("expect", "it belongs to one hop"),
    ("host", "write rewrite = { host = \"…\" }"),
    ("keep-alive", "it belongs to one hop"),
    ("proxy-connection", "it belongs to one hop"),
    ("te", "it belongs to one hop"),
    ("trailer", "it announces what follows the content"),
    ("transfer-encoding", "it frames the content"),
    ("upgrade", "it belongs to one hop"),
    ("x-forwarded-for", "write x_forwarded_for in [listener.forwarded]"),
    ("x-forwarded-host", "write x_forwarded_host in [listener.forwarded]"),
    ("x-forwarded-port", "write x_forwarded_port in [listener.forwarded]"),
    ("x-forwarded-proto", "write x_forwarded_proto in [listener.forwarded]"),
];

/// Fields of responses that stay as they are.
const RESERVED_IN_RESPONSES: [(&str, &str); 9] = [
    ("connection", "it belongs to one hop"),
    ("content-encoding", "it says how to read the content, which Ringway may compress"),
    ("content-length", "it frames the content"),
    ("keep-alive", "it belongs to one hop"),
    ("proxy-connection", "it belongs to one hop"),
    ("te", "it belongs to one hop"),
    ("trailer", "it announces what follows the content"),
    ("transfer-encoding", "it frames the content"),
    ("upgrade", "it belongs to one hop"),
];

/// Whose fields are edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EditedHead {
    Request,
    Response,
}

impl EditedHead {
    fn reserved(self) -> &'static [(&'static str, &'static str)] {
        match self {
            EditedHead::Request => &RESERVED,
            EditedHead::Response => &RESERVED_IN_RESPONSES,
        }
    }
}

/// Bytes of a value.
const MAX_VALUE: usize = 1024;

/// What the keys of edits of responses have in the middle.
const FOR_RESPONSES: &str = "response_";

/// Whether an action such as `set_response_header` is about responses.
pub(super) fn is_for_responses(key: &str) -> bool {
    key.contains(FOR_RESPONSES)
}

/// What an edit with this key can be.
pub(crate) fn edit_schema(key: &str) -> Json {
    let name = || schema::pattern(&format!("^{TOKEN}+$"));
    let source = |key, value| schema::table([(key, value)], &[key]);
    let system = schema::words(SYSTEM_VALUES.iter().map(|(word, _)| *word));
    let value = [schema::text_of(0..=MAX_VALUE), source("header", name()), source("system", system)];
    match key.starts_with("remove_") {
        true => schema::table([("name", name())], &["name"]),
        false => schema::table([("name", name()), ("value", schema::any_of(value))], &["name", "value"]),
    }
}

/// The edit that this key, such as `set_header` or `set_response_header`, and its value make.
pub(crate) fn edit(
    (key, head): (&str, EditedHead),
    raw: &raw::Value,
    report: &mut Report,
) -> Option<HeaderEdit> {
    let operation = key.replacen(FOR_RESPONSES, "", 1);
    if matches!(raw.kind, raw::Kind::Array(_)) {
        let help = format!("write actions = [{{ {key} = {{ … }} }}, {{ {key} = {{ … }} }}] for several");
        report.error(raw.location, format!("`{key}` is about one header"), help);
        return None;
    }
    let raw::Kind::Table(table) = &raw.kind else {
        let example = match operation.as_str() {
            "remove_header" => "a table such as { name = \"x-debug\" }",
            _ => "a table such as { name = \"x-from\", value = \"edge\" }",
        };
        return refuse_kind(key, raw, example, report);
    };
    let allowed: &[&str] = if operation == "remove_header" { &["name"] } else { &["name", "value"] };
    report_unknown(&table.entries, allowed, &format!("`{key}`"), report);
    let Some(entry) = table.find("name") else {
        report.error(raw.location, format!("`name` is missing in `{key}`"), "add name = \"…\"");
        return None;
    };
    let name = texts::text("name", &entry.value, report)?;
    if !is_token(name) {
        let help = "ASCII letters, digits and any of !#$%&'*+-.^_`|~";
        report.error(entry.value.location, format!("`name` {name:?} is no name of a header"), help);
        return None;
    }
    let is_reserved = |reserved: &str| match head {
        // Some backends know no difference between `_` and `-`.
        EditedHead::Request => same_for_backends(name.as_bytes(), reserved.as_bytes()),
        EditedHead::Response => reserved.eq_ignore_ascii_case(name),
    };
    let reserved = head.reserved().iter().find(|(reserved, _)| is_reserved(reserved));
    if let Some((_, instead)) = reserved {
        report.error(entry.value.location, format!("`{name}` cannot be edited by rules"), *instead);
        return None;
    }
    let name = name.to_owned();
    if operation == "remove_header" {
        return Some(HeaderEdit::Remove(name));
    }
    let Some(entry) = table.find("value") else {
        report.error(raw.location, format!("`value` is missing in `{key}`"), "add value = \"…\"");
        return None;
    };
    let value = value(&entry.value, report)?;
    Some(match operation.as_str() {
        "insert_header" => HeaderEdit::Insert(name, value),
        "set_header" => HeaderEdit::Set(name, value),
        _ => HeaderEdit::Append(name, value),
    })
}

/// What nginx (`$name`) and HAProxy (`%[…]`) would put a value in the place of, or redirects of ours (`${…}`).
fn foreign_variable(text: &str) -> Option<&str> {
    let starts = text.match_indices(['$', '%']).map(|(start, _)| &text[start..]);
    let mut variables = starts.filter_map(|rest| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = rest.strip_prefix('$').filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()));
        let end = match name {
            Some(name) => 1 + name.find(|c| !is_word(c)).unwrap_or(name.len()),
            None if rest.starts_with("${") => rest.find('}')? + 1,
            None if rest.starts_with("%[") => rest.find(']')? + 1,
            None => return None,
        };
        rest.get(..end)
    });
    variables.next()
}

fn value(raw: &raw::Value, report: &mut Report) -> Option<FieldSource> {
    let table = match &raw.kind {
        raw::Kind::Text(text) => {
            let is_sendable = |byte: u8| (b' '..0x7f).contains(&byte) || byte == b'\t';
            if text.len() > MAX_VALUE || text.trim() != text || !text.bytes().all(is_sendable) {
                let help =
                    "it is sent in a header: up to 1024 ASCII characters, no line ends, no space at its ends";
                report.error(raw.location, "`value` cannot be sent as it is", help);
                return None;
            }
            if let Some(variable) = foreign_variable(text) {
                let message = format!("`value` has \"{variable}\", which is sent as it stands here");
                let help = "values of headers have no variables: write { system = \"client_ip\" } or { header = \"…\" }";
                report.warning(raw.location, message, help);
            }
            return Some(FieldSource::Literal(text.clone()));
        }
        raw::Kind::Table(table) => table,
        _ => {
            let expected = "a string, { header = \"…\" } or { system = \"…\" }";
            return refuse_kind("value", raw, expected, report);
        }
    };
    match table.entries.as_slice() {
        [entry] if entry.key == "header" => {
            let name = texts::text("header", &entry.value, report)?;
            if !is_token(name) {
                let help = "ASCII letters, digits and any of !#$%&'*+-.^_`|~";
                report.error(entry.value.location, format!("`header` {name:?} is no name of a header"), help);
                return None;
            }
            Some(FieldSource::Header(name.to_ascii_lowercase()))
        }
        [entry] if entry.key == "system" => {
            let word = texts::text("system", &entry.value, report)?;
            let known = SYSTEM_VALUES.iter().find(|(known, _)| *known == word);
            if known.is_none() {
                let words: Vec<&str> = SYSTEM_VALUES.iter().map(|(word, _)| *word).collect();
                let listed = format!("allowed are \"{}\"", words.join("\", \""));
                let help = match nearest(word, &words) {
                    Some(near) => format!("did you mean \"{near}\"? {listed}"),
                    None => listed,
                };
                let message = format!("invalid value \"{}\" of `system`", word.escape_debug());
                report.error(entry.value.location, message, help);
            }
            known.map(|(_, value)| FieldSource::System(*value))
        }
        _ => {
            let help = "write one of { header = \"…\" } and { system = \"…\" }";
            report.error(raw.location, "`value` must name one source", help);
            None
        }
    }
}
