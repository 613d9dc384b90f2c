//! `respond`: an answer that needs no backend.

use serde_json::Value as Json;

use crate::config::FixedResponse;
use crate::config::NamedFile;
use crate::config::check::file_path::File;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::media_type;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

/// Bytes of a body that stands in the configuration itself.
const MAX_BODY: usize = 64 * 1024;
/// Bytes of a media type.
const MAX_TYPE: usize = 128;

const KEYS: [&str; 4] = ["code", "content_type", "body", "body_file"];

/// What [`respond`] takes.
pub(super) fn respond_schema() -> Json {
    let code = schema::any_of([schema::integer(200..=299), schema::integer(400..=599)]);
    let values = [code, schema::text_of(1..=MAX_TYPE), schema::text_of(0..=MAX_BODY), File.schema()];
    schema::table(KEYS.into_iter().zip(values), &[])
}

/// Reads the table; None after reporting what is wrong.
pub(super) fn respond(key: &str, raw: &raw::Value, report: &mut Report) -> Option<FixedResponse> {
    let raw::Kind::Table(table) = &raw.kind else {
        return refuse_kind(key, raw, "a table such as { code = 200, body = \"ok\" }", report);
    };
    report_unknown(&table.entries, &KEYS, &format!("`{key}`"), report);
    let status = status(table, report)?;
    let content = text("body", table, report)?;
    let file = match table.find("body_file") {
        None => None,
        Some(entry) => Some(File.parse("body_file", &entry.value, report)?),
    };
    if let (Some(file), Some(_)) = (&file, &content) {
        report.error(file.location, "a response has one body", "keep one of `body` and `body_file`");
        return None;
    }
    let (content_type, type_follows_file) = content_type(table, file.as_ref(), report)?;
    let content = content.unwrap_or_default();
    if content.len() > MAX_BODY {
        report.error(
            raw.location,
            "`body` has more than 64 KiB",
            "write it into a file, and name it in body_file",
        );
        return None;
    }
    if matches!(status, 204 | 205) && !(content.is_empty() && file.is_none()) {
        let word = if file.is_some() { "body_file" } else { "body" };
        let message = format!("a response with status {status} has no body");
        report.error(raw.location, message, format!("remove `{word}`"));
        return None;
    }
    Some(FixedResponse { status, content_type, content, file, type_follows_file })
}

fn status(table: &raw::Table, report: &mut Report) -> Option<u16> {
    match table.find("code").map(|entry| (&entry.value.kind, entry.value.location)) {
        None => Some(200),
        Some((raw::Kind::Integer(code @ (200..=299 | 400..=599)), _)) => Some(*code as u16),
        Some((_, location)) => {
            report.error(
                location,
                "`code` is no status that a fixed response can have",
                "allowed are 200 to 299 and 400 to 599; for 3xx write redirect",
            );
            None
        }
    }
}

/// The media type, and whether the ending of the file tells it.
fn content_type(table: &raw::Table, file: Option<&NamedFile>, report: &mut Report) -> Option<(String, bool)> {
    let Some(written) = text("content_type", table, report)? else {
        return match file {
            None => Some(("text/plain".to_owned(), false)),
            Some(file) => Some((media_type::of_file(file, file.location, report)?.to_owned(), true)),
        };
    };
    let is_type = written.contains('/') && written.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    if !is_type || written.len() > MAX_TYPE {
        let location = table.find("content_type").map_or(table.location, |entry| entry.value.location);
        report.error(location, "`content_type` is no media type", "write \"text/html\"");
        return None;
    }
    Some((written, false))
}

/// Some(None) if the table does not have this text; None after reporting that it is none.
fn text(word: &str, table: &raw::Table, report: &mut Report) -> Option<Option<String>> {
    match table.find(word) {
        None => Some(None),
        Some(entry) => match &entry.value.kind {
            raw::Kind::Text(text) => Some(Some(text.clone())),
            _ => refuse_kind(word, &entry.value, "a string", report),
        },
    }
}
