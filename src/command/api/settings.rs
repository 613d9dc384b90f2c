//! Keys of an object as options of the command line say them.

use std::str::FromStr;

use clap::Args;
use serde_json::Map;
use serde_json::Value as Json;

use crate::config::in_order;

/// Any key of an object.
#[derive(Args)]
pub(super) struct MoreSettings {
    /// Any other key of the object, as in ringway.toml(5); a dotted key leads into a table. The value is JSON, or else a text:
    /// enabled=false, description=text, tags='{"team": "edge"}'. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<KeyValue>,
}

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq)]
struct KeyValue {
    /// Dotted, where it is a key of a table within the object.
    key: String,
    value: Json,
}

impl FromStr for KeyValue {
    type Err = String;

    fn from_str(text: &str) -> Result<KeyValue, String> {
        let Some((key, value)) = text.split_once('=') else {
            return Err("it is written KEY=VALUE, as in max_connections=100".to_owned());
        };
        if key.split('.').any(str::is_empty) {
            return Err("the key is missing: it is written KEY=VALUE".to_owned());
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Json::from(value));
        Ok(KeyValue { key: key.to_owned(), value })
    }
}

impl MoreSettings {
    /// None was given.
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// This key is among them.
    pub(super) fn has(&self, key: &str) -> bool {
        self.set.iter().any(|set| set.key == key)
    }

    /// Adds them to settings, over what is there.
    pub(super) fn add_to(&self, settings: &mut Map<String, Json>) {
        for KeyValue { key, value } in &self.set {
            insert(settings, key, value.clone());
        }
    }
}

fn insert(settings: &mut Map<String, Json>, key: &str, value: Json) {
    let Some((table, rest)) = key.split_once('.') else {
        settings.insert(key.to_owned(), value);
        return;
    };
    let entry = settings.entry(table).or_insert_with(|| Json::Object(Map::new()));
    if !entry.is_object() {
        *entry = Json::Object(Map::new());
    }
    if let Json::Object(table) = entry {
        insert(table, rest, value);
    }
}

/// Settings without what was not given.
pub(super) fn given<const N: usize>(pairs: [(&str, Option<Json>); N]) -> Map<String, Json> {
    in_order::object(pairs.into_iter().filter_map(|(key, value)| Some((key, value?))))
}

/// One by itself, several as a list; None without any.
pub(super) fn one_or_list(values: &[String]) -> Option<Json> {
    match values {
        [] => None,
        [one] => Some(Json::from(one.as_str())),
        several => Some(Json::from(several)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_json_or_texts_and_keys_lead_into_tables() {
        let set = ["n=5", "t=30s", "b=true", "l=[\"a\"]", "h.path=/x", "h.interval=2s", "quoted=\"7\"", "e="];
        let set = set.iter().map(|text| text.parse().expect("it is a setting")).collect();
        let mut settings = given([("n", Some(json!(1))), ("none", None)]);
        MoreSettings { set }.add_to(&mut settings);
        let expected = json!({
            "n": 5, "t": "30s", "b": true, "l": ["a"], "h": {"path": "/x", "interval": "2s"}, "quoted": "7", "e": "",
        });
        assert_eq!(Json::Object(settings), expected);
        for wrong in ["n", "=5", "a..b=1"] {
            assert!(wrong.parse::<KeyValue>().is_err(), "{wrong}");
        }
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(one_or_list(&names(&["a"])), Some(json!("a")));
        assert_eq!((one_or_list(&names(&["a", "b"])), one_or_list(&[])), (Some(json!(["a", "b"])), None));
    }
}
