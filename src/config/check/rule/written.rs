//! Values that are shown as they were written.

use serde_json::Value as Json;

use crate::config::raw;

/// A value that is shown as it was written.
#[derive(Clone)]
pub(crate) struct Written<T> {
    pub value: T,
    pub json: Json,
}

/// What a value would be in JSON.
pub(crate) fn to_json(raw: &raw::Value) -> Json {
    match &raw.kind {
        raw::Kind::Text(text) => Json::from(text.as_str()),
        raw::Kind::Integer(number) => i64::try_from(*number).map_or(Json::Null, Json::from),
        raw::Kind::Boolean(truth) => Json::from(*truth),
        raw::Kind::Array(values) => values.iter().map(to_json).collect(),
        raw::Kind::Table(table) => {
            table.entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.value))).collect()
        }
        raw::Kind::Float(number) => Json::from(*number),
        raw::Kind::Other(_) => Json::Null,
    }
}
