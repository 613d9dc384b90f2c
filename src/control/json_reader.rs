//! Reads what the process and its commands tell each other out of JSON.
//!
//! serde_json reads a structure from an object or from an array. These messages are objects, so this reads from nothing else:
//! the code for arrays, of each structure, would be 5 per cent of all that stands above the data path.

use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde::de::Error as _;
use serde::de::IntoDeserializer;
use serde::de::Unexpected;
use serde::de::Visitor;
use serde::de::value::MapDeserializer;
use serde::de::value::SeqDeserializer;
use serde::forward_to_deserialize_any;
use serde_json::Error;
use serde_json::Value as Json;

/// What a text of JSON says. Fails where it is none, and where it says something else than what is asked for.
pub fn read_text<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    read(&serde_json::from_str(text)?)
}

/// What a value says. Fails where it says something else than what is asked for.
pub fn read<T: DeserializeOwned>(value: &Json) -> Result<T, Error> {
    T::deserialize(JsonReader(value))
}

#[derive(Clone, Copy)]
struct JsonReader<'de>(&'de Json);

impl<'de> JsonReader<'de> {
    fn array<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Json::Array(items) = self.0 else { return self.wrong(&visitor) };
        let mut items = SeqDeserializer::new(items.iter().map(JsonReader));
        let value = visitor.visit_seq(&mut items)?;
        items.end().map(|()| value)
    }

    fn object<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Json::Object(members) = self.0 else { return self.wrong(&visitor) };
        let mut members =
            MapDeserializer::new(members.iter().map(|(key, value)| (key.as_str(), JsonReader(value))));
        let value = visitor.visit_map(&mut members)?;
        members.end().map(|()| value)
    }

    fn wrong<T>(self, expected: &dyn serde::de::Expected) -> Result<T, Error> {
        let found = match self.0 {
            Json::Null => Unexpected::Unit,
            Json::Bool(value) => Unexpected::Bool(*value),
            Json::Number(_) => Unexpected::Other("a number"),
            Json::String(text) => Unexpected::Str(text),
            Json::Array(_) => Unexpected::Seq,
            Json::Object(_) => Unexpected::Map,
        };
        Err(Error::invalid_type(found, expected))
    }
}

impl<'de> IntoDeserializer<'de, Error> for JsonReader<'de> {
    type Deserializer = JsonReader<'de>;

    fn into_deserializer(self) -> JsonReader<'de> {
        self
    }
}

/// What cannot hold a structure is read by the library.
macro_rules! by_the_library {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.0.$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for JsonReader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Json::Null => visitor.visit_unit(),
            Json::Bool(value) => visitor.visit_bool(*value),
            Json::Number(number) => number.deserialize_any(visitor),
            Json::String(text) => visitor.visit_borrowed_str(text),
            Json::Array(_) => self.array(visitor),
            Json::Object(_) => self.object(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Json::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.array(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.array(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.object(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.object(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    by_the_library! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_str deserialize_string
        deserialize_identifier
    }

    forward_to_deserialize_any! { char bytes byte_buf unit unit_struct tuple_struct i128 u128 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Plain,
        Numbered(u32),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "outcome", rename_all = "snake_case")]
    enum Tagged {
        Done { count: u64 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        at: Option<u16>,
        share: f64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        name: String,
        inner: Vec<Inner>,
        pair: (String, i64),
        counts: BTreeMap<String, u64>,
        kinds: Vec<Kind>,
        tagged: Option<Tagged>,
        #[serde(default)]
        absent: bool,
        #[serde(flatten)]
        rest: BTreeMap<String, Json>,
    }

    fn whole() -> Json {
        json!({
            "name": "a", "inner": [{ "at": null, "share": 1 }, { "at": 7, "share": 0.5, "unknown": [{}] }], "pair": ["b", -1],
            "counts": { "c": 3 }, "kinds": ["plain", { "numbered": 2 }], "tagged": { "outcome": "done", "count": 4 }, "more": [1, { "d": null }],
        })
    }

    #[test]
    fn it_reads_what_the_library_reads() {
        let expected: Outer = serde_json::from_value(whole()).unwrap();
        assert_eq!(read::<Outer>(&whole()).unwrap(), expected);
        assert_eq!(expected.rest.get("more"), Some(&json!([1, { "d": null }])));
        assert_eq!(read_text::<Outer>(&whole().to_string()).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_told_as_the_library_tells_it() {
        let wrong = [
            ("name", json!(1)),
            ("inner", json!({})),
            ("inner", json!([{ "at": 65536, "share": 1 }])),
            ("inner", json!([{ "at": 1 }])),
            ("pair", json!(["b"])),
            ("pair", json!(["b", 1, 2])),
            ("counts", json!({ "c": -1 })),
            ("kinds", json!(["other"])),
            ("tagged", json!({ "outcome": "other" })),
            ("absent", json!("true")),
        ];
        for (key, value) in wrong {
            let mut json = whole();
            json[key] = value;
            let expected = serde_json::from_value::<Outer>(json.clone()).unwrap_err().to_string();
            // The words about lists of a wrong length are those of serde.
            let told = read::<Outer>(&json).unwrap_err().to_string();
            assert!(told == expected || key == "pair", "{key}: {told} instead of {expected}");
        }
        assert!(read_text::<Outer>("{").is_err());
    }

    #[test]
    fn a_structure_is_no_list() {
        assert!(serde_json::from_value::<Inner>(json!([7, 0.5])).is_ok());
        let told = read::<Inner>(&json!([7, 0.5])).unwrap_err().to_string();
        assert_eq!(told, "invalid type: sequence, expected struct Inner");
    }
}
