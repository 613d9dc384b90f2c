//! Several sets of edits for one head, as of a listener and of a rule: each sees what the ones before it made.

use arrayvec::ArrayVec;

use crate::http::headers::Headers;
use crate::policy::header_edits::FieldSource;
use crate::policy::header_edits::HeaderEdits;
use crate::policy::header_edits::SystemValue;

/// Sets of edits that one head can get: those of a listener, of a rule for requests, and of one for responses.
const MAX_LAYERS: usize = 3;

/// Edits in one set for responses, whose fields are collected without memory of their own.
pub const MAX_EDITS: usize = 20;

/// Fields that all sets together can write to one head.
pub const MAX_WRITTEN: usize = MAX_LAYERS * MAX_EDITS;

/// Sets of edits in the order in which they are carried out. The values of other fields are those that came.
#[derive(Default)]
pub struct EditLayers<'e> {
    layers: ArrayVec<&'e HeaderEdits, MAX_LAYERS>,
}

impl<'e> EditLayers<'e> {
    pub fn new(layers: impl IntoIterator<Item = Option<&'e HeaderEdits>>) -> EditLayers<'e> {
        let layers = layers.into_iter().flatten().filter(|edits| !edits.is_empty());
        EditLayers { layers: layers.take(MAX_LAYERS).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Whether a field of this name must not pass.
    pub fn withhold(&self, name: &[u8]) -> bool {
        self.layers.iter().any(|edits| edits.withholds(name))
    }

    /// Calls `write` with each field to write behind those that passed. `headers` are the fields as they came;
    /// `system` has the system-defined values that are known.
    pub fn for_each_written<'v>(
        &self,
        headers: &Headers<'v>,
        system: impl Fn(SystemValue) -> Option<&'v [u8]>,
        mut write: impl FnMut(&'v [u8], &'v [u8]),
    ) where
        'e: 'v,
    {
        let find = |name: &[u8]| headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        for (number, edits) in self.layers.iter().copied().enumerate() {
            let (before, behind) = (&self.layers[..number], &self.layers[number + 1..]);
            for field in &edits.written {
                let name = field.name.as_bytes();
                if behind.iter().any(|edits| edits.withholds(name)) {
                    continue;
                }
                let is_there = || {
                    let passed = find(name).is_some() && !before.iter().any(|edits| edits.withholds(name));
                    passed || before.iter().any(|edits| edits.writes(name))
                };
                if field.unless_there && is_there() {
                    continue;
                }
                let value = match &field.value {
                    FieldSource::Literal(text) => Some(text.as_bytes()),
                    FieldSource::Header(other) => find(other.as_bytes()).map(|field| field.value),
                    FieldSource::System(value) => system(*value),
                };
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    write(name, value);
                }
            }
        }
    }
}

impl HeaderEdits {
    /// The system-defined values that it writes.
    pub fn system_values(&self) -> impl Iterator<Item = SystemValue> {
        self.written.iter().filter_map(|field| match field.value {
            FieldSource::System(value) => Some(value),
            FieldSource::Literal(_) | FieldSource::Header(_) => None,
        })
    }

    fn writes(&self, name: &[u8]) -> bool {
        self.written.iter().any(|field| field.name.as_bytes().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::header_edits::HeaderEdit;

    fn edited(layers: &[Vec<HeaderEdit>]) -> String {
        let headers = Headers::of(&[("X-A", "1"), ("x-b", "2")]);
        let layers: Vec<_> = layers.iter().map(|edits| HeaderEdits::new(edits.iter().cloned())).collect();
        let layers = EditLayers::new(layers.iter().map(Some));
        let mut text = String::new();
        let mut push = |name: &[u8], value: &[u8]| {
            let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            text += &format!("{}={} ", text_of(name), text_of(value));
        };
        headers.iter().filter(|field| !layers.withhold(field.name)).for_each(|f| push(f.name, f.value));
        let system = |value| (value == SystemValue::ClientIp).then_some(&b"192.0.2.1"[..]);
        layers.for_each_written(&headers, system, push);
        text.trim_end().to_owned()
    }

    #[test]
    fn later_edits_see_what_earlier_ones_made() {
        use HeaderEdit::*;
        let name = str::to_owned;
        let literal = |text: &str| FieldSource::Literal(text.to_owned());
        let set = |field: &str, text: &str| Set(name(field), literal(text));
        let insert = |field: &str, text: &str| Insert(name(field), literal(text));
        let append = |field: &str, text: &str| Append(name(field), literal(text));
        for (layers, expected) in [
            (vec![], "X-A=1 x-b=2"),
            (vec![vec![set("x-a", "8")], vec![set("X-a", "9")]], "x-b=2 X-a=9"),
            (vec![vec![set("x-a", "8")], vec![insert("x-a", "9")]], "x-b=2 x-a=8"),
            (vec![vec![Remove(name("x-a"))], vec![insert("x-a", "9")]], "x-b=2 x-a=9"),
            (vec![vec![insert("x-c", "8")], vec![insert("x-c", "9")]], "X-A=1 x-b=2 x-c=8"),
            (vec![vec![insert("x-a", "8")], vec![append("x-a", "9")]], "X-A=1 x-b=2 x-a=9"),
            (
                vec![vec![set("x-c", "8")], vec![Remove(name("x-c"))], vec![append("x-c", "9")]],
                "X-A=1 x-b=2 x-c=9",
            ),
            (
                vec![vec![Set(name("x-c"), FieldSource::Header(name("x-a")))], vec![Remove(name("x-a"))]],
                "x-b=2 x-c=1",
            ),
            (
                vec![vec![Set(name("ip"), FieldSource::System(SystemValue::ClientIp))]],
                "X-A=1 x-b=2 ip=192.0.2.1",
            ),
            (vec![vec![Set(name("id"), FieldSource::System(SystemValue::RequestId))]], "X-A=1 x-b=2"),
        ] {
            assert_eq!(edited(&layers), expected, "{layers:?}");
        }
    }
}
