//! Hosts and paths that rules ask for, each a text with wildcards or a regular expression.

use serde_json::Value as Json;

use crate::config::check::kind::refuse_kind;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::router::Pattern;
use crate::policy::router::Regex;
use crate::policy::router::RegexText;
use crate::policy::router::TextTest;
use crate::policy::router::normalize::normalize;

/// The longest text or expression.
const MAX_LENGTH: usize = 512;

/// Parses one value, or each of a list of them; None after reporting what is wrong.
pub(super) fn list<T>(
    key: &str,
    raw: &raw::Value,
    report: &mut Report,
    parse: impl Fn(&str, &raw::Value, &mut Report) -> Option<T>,
) -> Option<Vec<T>> {
    let values = match &raw.kind {
        raw::Kind::Array(values) => values.as_slice(),
        _ => std::slice::from_ref(raw),
    };
    if values.is_empty() {
        report.error(raw.location, format!("`{key}` is an empty list"), "write a value, or leave it out");
        return None;
    }
    let parsed: Vec<T> = values.iter().filter_map(|value| parse(key, value, report)).collect();
    (parsed.len() == values.len()).then_some(parsed)
}

/// What [`text`] takes.
pub(super) fn text_schema() -> Json {
    schema::text_of(1..=MAX_LENGTH)
}

/// A string that is not empty and not too long.
pub(super) fn text<'r>(key: &str, raw: &'r raw::Value, report: &mut Report) -> Option<&'r str> {
    let raw::Kind::Text(text) = &raw.kind else {
        return refuse_kind(key, raw, "a string, or a list of strings", report);
    };
    if text.is_empty() || text.len() > MAX_LENGTH {
        let message = format!("`{key}` must have 1 to {MAX_LENGTH} characters");
        report.error(raw.location, message, "shorten it, or write a pattern with `*`");
        return None;
    }
    Some(text)
}

pub(super) fn host(key: &str, raw: &raw::Value, report: &mut Report) -> Option<TextTest> {
    let text = text(key, raw, report)?;
    if let Some(pattern) = text.strip_prefix('~') {
        // Hosts have no case.
        let pattern = pattern.strip_prefix('*').unwrap_or(pattern);
        return regex(key, pattern, true, (raw, report)).map(TextTest::Regex);
    }
    let problem = if text.contains("://") || text.contains('/') {
        Some("is not a host: it has a scheme or a path")
    } else if text.contains(':') && !text.starts_with('[') {
        Some("has a port, without which hosts are compared")
    } else if text == "." || text.ends_with("*.") {
        Some("is no host: nothing stands in front of the dot")
    } else if text.bytes().any(|byte| !byte.is_ascii_graphic() || b"@#?%\\".contains(&byte)) {
        Some("has characters that no host has")
    } else {
        None
    };
    if let Some(problem) = problem {
        let help = "write \"www.example.com\", \"*.example.com\" or \"~^shop[0-9]+\\\\.example\\\\.com$\"";
        report.error(raw.location, format!("`{key}` \"{}\" {problem}", text.escape_debug()), help);
        return None;
    }
    // A dot at the end of a host changes nothing about it.
    let text = text.strip_suffix('.').unwrap_or(text);
    Some(TextTest::Pattern(Pattern::new(&text.to_ascii_lowercase())))
}

pub(super) fn path(key: &str, raw: &raw::Value, report: &mut Report) -> Option<TextTest> {
    let text = text(key, raw, report)?;
    if let Some(pattern) = text.strip_prefix("~*") {
        return regex(key, pattern, true, (raw, report)).map(TextTest::Regex);
    }
    if let Some(pattern) = text.strip_prefix('~') {
        return regex(key, pattern, false, (raw, report)).map(TextTest::Regex);
    }
    let begins_well = text.starts_with(['/', '*']);
    is_comparable(key, text, begins_well, (raw, report)).then(|| TextTest::Pattern(Pattern::new(text)))
}

pub(super) fn path_prefix(key: &str, raw: &raw::Value, report: &mut Report) -> Option<TextTest> {
    let text = text(key, raw, report)?;
    if text.contains(['*', '?']) {
        let message = format!("`{key}` \"{}\" has a wildcard", text.escape_debug());
        report.error(raw.location, message, "a prefix needs none; for a pattern write `path`");
        return None;
    }
    is_comparable(key, text, text.starts_with('/'), (raw, report)).then(|| TextTest::Subtree(text.to_owned()))
}

/// Whether a path can be that of a request.
fn is_comparable(
    key: &str,
    text: &str,
    begins_well: bool,
    (raw, report): (&raw::Value, &mut Report),
) -> bool {
    let shown = text.escape_debug();
    if !begins_well {
        report.error(raw.location, format!("`{key}` \"{shown}\" does not begin with `/`"), "write \"/…\"");
        return false;
    }
    if text.bytes().any(|byte| !byte.is_ascii_graphic() || b"#\"<>".contains(&byte)) {
        let help = "paths are compared as they stand in a URL: write what is not ASCII as %XX";
        report.error(raw.location, format!("`{key}` \"{shown}\" has characters that no path has"), help);
        return false;
    }
    let mut spelled = Vec::new();
    let normal = match text.strip_prefix('/') {
        Some(_) => normalize(text.as_bytes(), &mut spelled).is_ok() && spelled == text.as_bytes(),
        None => true,
    };
    if !normal {
        let better = String::from_utf8_lossy(&spelled);
        let help = match spelled.is_empty() {
            true => "a path of this kind is refused with 400".to_owned(),
            false => format!("paths are compared without dot segments and needless `%`: write \"{better}\""),
        };
        let message = format!("`{key}` \"{shown}\" is spelled as no request's path is");
        report.warning(raw.location, message, help);
    }
    true
}

/// Names the character of the expression that is wrong.
fn regex(
    key: &str,
    text: &str,
    ignores_case: bool,
    (raw, report): (&raw::Value, &mut Report),
) -> Option<Regex> {
    let text = RegexText { text: text.to_owned(), ignores_case };
    match text.check() {
        Ok(_groups) => Some(Regex::new(text)),
        Err(error) => {
            let place = match error.position {
                Some(position) => format!(", at character {} of it", position + 1),
                None => String::new(),
            };
            let message = format!(
                "`{key}`: \"{}\" is no regular expression{place}: {}",
                text.text.escape_debug(),
                error.message
            );
            let help = "expressions are those of Rust's regex: linear in time, so without look-around and \
                        backreferences";
            report.error(raw.location, message, help);
            None
        }
    }
}
