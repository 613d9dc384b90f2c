//! The JSON Schema of the configuration (json-schema.org, draft 7), for editors.
//!
//! It is recorded while tables are checked: each key is told together with what reads it, so that no key can be in one
//! of the two alone. What a schema cannot say, such as the range of `"15s"`, only checking says.

use std::ops::RangeInclusive;

use serde_json::Value as Json;
use serde_json::json;

use crate::config::in_order;

/// What values can be, in the words of JSON Schema.
pub(super) fn boolean() -> Json {
    json!({ "type": "boolean" })
}

pub(super) fn number(range: RangeInclusive<u32>) -> Json {
    json!({ "type": "number", "minimum": range.start(), "maximum": range.end() })
}

pub(super) fn integer(range: RangeInclusive<u64>) -> Json {
    json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
}

pub(super) fn text() -> Json {
    json!({ "type": "string" })
}

/// Of so many characters; `usize::MAX`: as many as there are.
pub(super) fn text_of(length: RangeInclusive<usize>) -> Json {
    let mut schema = json!({ "type": "string", "minLength": length.start() });
    if *length.end() < usize::MAX {
        schema["maxLength"] = Json::from(*length.end());
    }
    schema
}

/// `pattern` is one that ECMA-262 and Rust read alike.
pub(super) fn pattern(pattern: &str) -> Json {
    json!({ "type": "string", "pattern": pattern })
}

pub(super) fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Json {
    let mut each_once = Vec::new();
    for word in words {
        if !each_once.contains(&word) {
            each_once.push(word);
        }
    }
    json!({ "enum": each_once })
}

pub(super) fn numbers(numbers: impl IntoIterator<Item = u16>) -> Json {
    json!({ "enum": numbers.into_iter().collect::<Vec<_>>() })
}

pub(super) fn any_of(schemas: impl IntoIterator<Item = Json>) -> Json {
    json!({ "anyOf": schemas.into_iter().collect::<Vec<_>>() })
}

/// A list of so many; `usize::MAX`: as many as there are.
pub(super) fn list(items: Json, sizes: RangeInclusive<usize>) -> Json {
    let mut schema = json!({ "type": "array", "items": items });
    if *sizes.start() > 0 {
        schema["minItems"] = Json::from(*sizes.start());
    }
    if *sizes.end() < usize::MAX {
        schema["maxItems"] = Json::from(*sizes.end());
    }
    schema
}

/// One of them without brackets, or a list of at least one.
pub(super) fn one_or_list(items: Json) -> Json {
    any_of([items.clone(), list(items, 1..=usize::MAX)])
}

/// A table that has these keys and no others.
pub(super) fn table<'k>(keys: impl IntoIterator<Item = (&'k str, Json)>, required: &[&str]) -> Json {
    let keys = in_order::object(keys);
    let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": keys });
    if !required.is_empty() {
        schema["required"] = Json::from(required);
    }
    schema
}

/// The tables as they were read, each with its keys.
#[derive(Default)]
pub(super) struct SchemaTables {
    tables: Vec<TableSchema>,
}

struct TableSchema {
    /// Dotted, as in the header; empty for the keys before the first table.
    path: &'static str,
    is_single: bool,
    is_element: bool,
    /// How often such a table was read.
    visits: usize,
    keys: Vec<KeySchema>,
}

struct KeySchema {
    key: &'static str,
    schema: Json,
    /// Its defaults, each once: where they differ, they follow from other keys.
    defaults: Vec<Json>,
    /// How often it was asked for as a key that must be there.
    times_required: usize,
}

/// How a key is asked for.
pub(super) enum Presence {
    Required,
    Optional,
    Default(Json),
}

impl SchemaTables {
    /// A table of this path is read. `is_element`: as one of a list.
    pub(super) fn open(&mut self, path: &'static str, is_element: bool) {
        let table = self.table(path);
        table.visits += 1;
        table.is_single |= !is_element;
        table.is_element |= is_element;
    }

    /// A key of it is read.
    pub(super) fn add(
        &mut self,
        path: &'static str,
        key: &'static str,
        (schema, presence): (Json, Presence),
    ) {
        let keys = &mut self.table(path).keys;
        let index = keys.iter().position(|known| known.key == key).unwrap_or_else(|| {
            keys.push(KeySchema { key, schema, defaults: Vec::new(), times_required: 0 });
            keys.len() - 1
        });
        match presence {
            Presence::Required => keys[index].times_required += 1,
            Presence::Default(value) if !keys[index].defaults.contains(&value) => {
                keys[index].defaults.push(value);
            }
            Presence::Default(_) | Presence::Optional => {}
        }
    }

    /// A table can be written in both forms.
    pub(super) fn allow_both_forms(&mut self, path: &'static str) {
        let table = self.table(path);
        table.is_single = true;
        table.is_element = true;
    }

    /// The whole schema. `shareable` are the tables that `[defaults]` can have, each with the keys that it cannot have
    /// there; `describe` tells what a key of a table means.
    pub(super) fn document(
        &self,
        shareable: &[(&str, &[&str])],
        describe: impl Fn(&str, &str) -> Option<String>,
    ) -> Json {
        let mut root = self.object("", &describe);
        let defaults =
            shareable.iter().map(|(path, own_keys)| (*path, self.shared(path, own_keys, &describe)));
        root["properties"]["defaults"] = table(defaults, &[]);
        root["$schema"] = Json::from("http://json-schema.org/draft-07/schema#");
        root["title"] = Json::from("Configuration of Ringway");
        root
    }

    fn table(&mut self, path: &'static str) -> &mut TableSchema {
        let index = self.tables.iter().position(|table| table.path == path).unwrap_or_else(|| {
            self.tables.push(TableSchema {
                path,
                is_single: false,
                is_element: false,
                visits: 0,
                keys: Vec::new(),
            });
            self.tables.len() - 1
        });
        &mut self.tables[index]
    }

    /// The object that tables of this path are, with the tables below it. Paths get longer, so this ends.
    fn object(&self, path: &str, describe: &impl Fn(&str, &str) -> Option<String>) -> Json {
        let own = self.tables.iter().find(|table| table.path == path);
        let keys = own.into_iter().flat_map(|table| &table.keys);
        let keys = keys.map(|key| (key.key, key.schema(describe(path, key.key))));
        let children = self.tables.iter().filter(|table| !table.path.is_empty());
        let children = children.filter_map(|table| {
            let (parent, key) = table.path.rsplit_once('.').unwrap_or(("", table.path));
            (parent == path).then(|| (key, table.in_its_form(self.object(table.path, describe))))
        });
        let required = own.map(TableSchema::required).unwrap_or_default();
        table(keys.chain(children), &required)
    }

    /// What `[defaults.PATH]` can have: nothing must be there.
    fn shared(
        &self,
        path: &str,
        own_keys: &[&str],
        describe: &impl Fn(&str, &str) -> Option<String>,
    ) -> Json {
        let mut object = self.object(path, describe);
        if let Some(object) = object.as_object_mut() {
            object.remove("required");
        }
        if let Some(keys) = object["properties"].as_object_mut() {
            keys.retain(|key, _| !own_keys.contains(&key.as_str()));
        }
        object
    }
}

impl TableSchema {
    fn in_its_form(&self, object: Json) -> Json {
        let elements = || list(object.clone(), 0..=usize::MAX);
        match (self.is_single, self.is_element) {
            (true, true) => any_of([object.clone(), elements()]),
            (false, true) => elements(),
            _ => object,
        }
    }

    /// What other keys make necessary is not required by itself.
    fn required(&self) -> Vec<&'static str> {
        let required = self.keys.iter().filter(|key| self.visits > 0 && key.times_required == self.visits);
        required.map(|key| key.key).collect()
    }
}

impl KeySchema {
    fn schema(&self, description: Option<String>) -> Json {
        let mut schema = self.schema.clone();
        if let Some(description) = description {
            schema["description"] = Json::from(description);
        }
        if let [only] = self.defaults.as_slice() {
            schema["default"] = only.clone();
        }
        schema
    }
}
