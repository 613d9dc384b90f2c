//! Settings as the text of tables, keys and values that were not there before.

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::effective::toml_string;
use crate::config::in_order::sort_by_key;

/// What lists over several lines are set in by.
pub(super) const INDENT: &str = "    ";

/// A list that makes its line longer is written over several.
const MAX_LINE_CHARS: usize = 100;

/// Keys that come first in a new table, in this order; the others follow by name.
const FIRST_KEYS: [&str; 13] = [
    "name",
    "description",
    "enabled",
    "listener",
    "priority",
    "address",
    "protocol",
    "chain",
    "key",
    "certificates",
    "default_group",
    "algorithm",
    "weight",
];

/// Tables in tables that get a header of their own, by the table that they stand in.
const HEADED: [(&str, &[&str]); 2] = [
    ("listener", &["client_auth", "forwarded"]),
    ("server_group", &["backend", "health_check", "passive_check", "sticky", "tls"]),
];

/// Whether a new value of this key gets a header, in the table with this path.
pub(super) fn is_headed(path: &[String], key: &str, value: &Json) -> bool {
    let [table] = path else { return false };
    let is_known = HEADED.iter().any(|(known, keys)| known == table && keys.contains(&key));
    is_known
        && match value {
            Json::Object(_) => true,
            Json::Array(values) => !values.is_empty() && values.iter().all(Json::is_object),
            _ => false,
        }
}

/// Settings without keys that are null, for TOML says that by leaving them out.
///
/// # Errors
/// A value that TOML does not have; which.
pub(super) fn writable(value: &Json) -> Result<Json, String> {
    Ok(match value {
        Json::Null => return Err("null in a list".to_owned()),
        Json::Number(number) if number.is_u64() && number.as_i64().is_none() => {
            return Err(format!("the number {number}, which is too large"));
        }
        Json::Array(values) => Json::Array(values.iter().map(writable).collect::<Result<_, _>>()?),
        Json::Object(object) => Json::Object(writable_settings(object)?),
        plain => plain.clone(),
    })
}

pub(super) fn writable_settings(settings: &Map<String, Json>) -> Result<Map<String, Json>, String> {
    let mut found = Map::new();
    for (key, value) in settings.iter().filter(|(_, value)| !value.is_null()) {
        found.insert(key.clone(), writable(value)?);
    }
    Ok(found)
}

/// Keys with dots between them.
pub(super) fn dotted(path: &[String]) -> String {
    path.iter().map(|key| plain_key(key)).collect::<Vec<_>>().join(".")
}

fn plain_key(key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if is_bare { key.to_owned() } else { toml_string(key) }
}

/// A value on one line.
pub(super) fn value(value: &Json) -> String {
    match value {
        Json::String(text) => toml_string(text),
        Json::Array(values) => format!("[{}]", values.iter().map(self::value).collect::<Vec<_>>().join(", ")),
        Json::Object(object) if object.is_empty() => "{}".to_owned(),
        Json::Object(object) => format!("{{ {} }}", entries(object).join(", ")),
        plain => plain.to_string(),
    }
}

/// The keys of an inline table.
fn entries(object: &Map<String, Json>) -> Vec<String> {
    let entry = |(key, value): (&str, &Json)| format!("{} = {}", plain_key(key), self::value(value));
    in_order(object).into_iter().map(entry).collect()
}

/// `key = value` without a line end.
pub(super) fn assignment(path: &[String], value: &Json, eol: &str) -> String {
    let line = format!("{} = {}", dotted(path), self::value(value));
    match value {
        Json::Array(values) if values.len() > 1 && line.chars().count() > MAX_LINE_CHARS => {
            let values = values.iter().map(|value| format!("{INDENT}{},{eol}", self::value(value)));
            format!("{} = [{eol}{}]", dotted(path), values.collect::<String>())
        }
        _ => line,
    }
}

/// `[path]` or `[[path]]` with its keys, each on a line.
pub(super) fn section(path: &[String], settings: &Map<String, Json>, is_element: bool, eol: &str) -> String {
    let name = dotted(path);
    let mut text = if is_element { format!("[[{name}]]{eol}") } else { format!("[{name}]{eol}") };
    let (headed, plain): (Vec<_>, Vec<_>) =
        in_order(settings).into_iter().partition(|(key, value)| is_headed(path, key, value));
    for (key, value) in plain {
        text += &assignment(&[key.to_owned()], value, eol);
        text += eol;
    }
    headed.into_iter().for_each(|(key, value)| text += &sections_of(path, key, value, eol));
    text
}

/// The sections of a table or a list of tables in the table with this path, with a blank line above each.
pub(super) fn sections_of(path: &[String], key: &str, value: &Json, eol: &str) -> String {
    let path = [path, &[key.to_owned()]].concat();
    let (tables, is_element) = match value {
        Json::Array(values) => (values.as_slice(), true),
        value => (std::slice::from_ref(value), false),
    };
    let tables = tables.iter().filter_map(Json::as_object);
    tables.map(|table| format!("{eol}{}", section(&path, table, is_element, eol))).collect()
}

fn in_order(settings: &Map<String, Json>) -> Vec<(&str, &Json)> {
    let rank = |key: &str| FIRST_KEYS.iter().position(|first| *first == key).unwrap_or(FIRST_KEYS.len());
    let mut entries: Vec<(&str, &Json)> = settings.iter().map(|(key, value)| (key.as_str(), value)).collect();
    sort_by_key(&mut entries, |(key, _)| rank(key));
    entries
}
