//! Values that are shown as they were written.

use serde_json::Value as Json;

use crate::config::in_order;
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
            let entries = table.entries.iter();
            Json::Object(in_order::object(entries.map(|entry| (entry.key.as_str(), to_json(&entry.value)))))
        }
        raw::Kind::Float(number) => Json::from(*number),
        raw::Kind::Other(_) => Json::Null,
    }
}
