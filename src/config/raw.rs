//! The TOML as it was written: a tree in which every key and value knows its place.
//!
//! This is the only file that names the `toml` package.

use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::config::in_order;
use crate::config::report::Location;
use crate::config::report::Report;

/// Entries stand in the order of the text.
#[derive(Clone)]
pub(super) struct Table {
    /// The header, or the braces of an inline table.
    pub location: Location,
    pub entries: Vec<Entry>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_location: Location,
    pub value: Value,
}

#[derive(Clone)]
pub(super) struct Value {
    pub location: Location,
    pub kind: Kind,
}

#[derive(Clone)]
pub(super) enum Kind {
    Text(String),
    /// Saturated where the number is beyond every range anyway.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Array(Vec<Value>),
    Table(Table),
    /// What no key takes, by its name: a date, a float beyond all numbers.
    Other(&'static str),
}

impl Table {
    pub(super) fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl Value {
    /// What the value is, with its article.
    pub(super) fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Text(_) => "a string",
            Kind::Integer(_) => "an integer",
            Kind::Boolean(_) => "a boolean",
            Kind::Array(_) => "an array",
            Kind::Table(_) => "a table",
            Kind::Float(_) => "a float",
            Kind::Other(name) => name,
        }
    }
}

/// Reads one source. What is not TOML is reported and left out; the rest of the text is still read.
pub(super) fn read(source: usize, report: &mut Report) -> Table {
    let text = report.sources()[source].text().to_owned();
    let (root, errors) = DeTable::parse_recoverable(&text);
    for error in errors {
        let location = Location::new(source, error.span().unwrap_or(0..0));
        let start = error.span().unwrap_or(0..0).start;
        let is_secret = may_hold_secrets(&text, start);
        if is_secret {
            report.conceal(location);
        }
        let fix = match error.message() {
            "duplicate key" if is_list_header(&text, start) => {
                "it must stand above what begins with its name, such as [[server_group.backend]]".to_owned()
            }
            "duplicate key" => "it is already set above; keep one of the two".to_owned(),
            // Others repeat what stands there.
            _ if is_secret => GENERAL_CURE.to_owned(),
            _ => fix(&text, start),
        };
        report.broken(location, format!("not valid TOML: {}", error.message()), fix);
    }
    table(source, root.span(), root.get_ref())
}

fn table(source: usize, span: std::ops::Range<usize>, raw: &DeTable<'_>) -> Table {
    let mut entries: Vec<Entry> = raw
        .iter()
        .map(|(key, raw)| Entry {
            key: key.get_ref().to_string(),
            key_location: Location::new(source, key.span()),
            value: value(source, raw),
        })
        .collect();
    in_order::sort_by_key(&mut entries, |entry| entry.key_location);
    Table { location: Location::new(source, span), entries }
}

/// Recursion is bounded: the parser refuses deep nesting.
fn value(source: usize, raw: &Spanned<DeValue<'_>>) -> Value {
    let kind = match raw.get_ref() {
        DeValue::String(text) => Kind::Text(text.to_string()),
        DeValue::Integer(integer) => {
            let is_negative = integer.as_str().starts_with('-');
            let beyond = if is_negative { i128::MIN } else { i128::MAX };
            Kind::Integer(i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(beyond))
        }
        DeValue::Boolean(boolean) => Kind::Boolean(*boolean),
        DeValue::Array(values) => Kind::Array(values.iter().map(|raw| value(source, raw)).collect()),
        DeValue::Table(raw_table) => Kind::Table(table(source, raw.span(), raw_table)),
        DeValue::Float(number) => {
            number.as_str().replace('_', "").parse().map_or(Kind::Other("a float"), Kind::Float)
        }
        DeValue::Datetime(_) => Kind::Other("a date"),
    };
    Value { location: Location::new(source, raw.span()), kind }
}

/// Whether the header of a list stands at this place, as in `[[listener]]`, and what belongs to its elements above.
fn is_list_header(text: &str, at: usize) -> bool {
    let Some((before, name)) = text.split_at_checked(at) else { return false };
    let name = name.split([']', '.']).next().unwrap_or_default().trim();
    before.ends_with("[[") && before.contains(&format!("[{name}."))
}

/// Whether this place belongs to `[tracing]`, whose `otlp` and `headers` may hold passwords and tokens. What is not TOML
/// has no keys to tell those from others by.
fn may_hold_secrets(text: &str, at: usize) -> bool {
    let end = text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |newline| at + newline);
    let is_tracing = |name: &str| {
        let name = name.trim_start_matches([' ', '\t', '"', '\'']);
        name.strip_prefix("tracing")
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let lines = text.get(..end).unwrap_or_default().lines().rev().map(str::trim_start);
    // A header decides, and so does a key that is followed by all of the table.
    let mut openings = lines.filter(|line| line.starts_with('[') || is_tracing(line));
    openings.next().is_some_and(|line| is_tracing(line.trim_start_matches('[')))
}

/// What an operator means by a word for yes or no that TOML does not have.
pub(super) fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "enabled" | "enable" => Some(true),
        "false" | "off" | "no" | "disabled" | "disable" => Some(false),
        _ => None,
    }
}

/// Quotes that word processors make of `"` and `'`.
const CURLY_QUOTES: [char; 8] =
    ['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}', '\u{201a}', '\u{ab}', '\u{bb}'];

/// The mistake behind most lines that are not TOML is a missing quote; others come from other formats.
fn fix(text: &str, at: usize) -> String {
    let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    if line.contains(CURLY_QUOTES) {
        return format!("these are no straight quotes: {}", line.trim().replace(CURLY_QUOTES, "\""));
    }
    match line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
        Some((key, value)) if value.ends_with(';') => {
            format!("no semicolon ends a line: {key} = {}", in_toml(value.trim_end_matches(';').trim_end()))
        }
        Some((key, value)) if is_bare_word(value) => match truth(value) {
            Some(truth) => format!("write {key} = {truth}"),
            None => format!("strings must be quoted: {key} = {}", in_toml(value)),
        },
        None if line.trim_end().ends_with(';') => {
            "no semicolon ends a line, and a line is key = value: see docs/configuration.md".to_owned()
        }
        None => match line.split_once(':') {
            Some((key, value))
                if is_bare_word(key.trim()) && !key.contains(':') && !value.trim().is_empty() =>
            {
                format!("`=` stands between key and value: {} = {}", key.trim(), in_toml(value.trim()))
            }
            _ => GENERAL_CURE.to_owned(),
        },
        Some(_) => GENERAL_CURE.to_owned(),
    }
}

const GENERAL_CURE: &str =
    "a line is a [table], a [[table of a list]], or key = value; strings must be quoted";

/// A value as it must be written: words are true, false, numbers, or quoted strings.
fn in_toml(value: &str) -> String {
    match truth(value) {
        Some(truth) => truth.to_string(),
        None if is_bare_word(value) && value.parse::<f64>().is_err() => format!("\"{value}\""),
        None => value.to_owned(),
    }
}

fn is_bare_word(value: &str) -> bool {
    !value.is_empty()
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '/' | '-' | '_'))
}
