//! Which object, and which key of it, stands at a place of the texts.

use crate::config::objects::ObjectKind;
use crate::config::objects::ObjectPath;
use crate::config::raw;
use crate::config::raw::Kind;
use crate::config::report::Location;

/// What a diagnostic is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectKey {
    /// None: it is about no object.
    pub object: Option<ObjectPath>,
    /// Dotted where the key stands in a table of the object. None: it is about the object as a whole.
    pub key: Option<String>,
}

/// What stands at a place.
pub(super) fn subject(roots: &[raw::Table], location: Location) -> ObjectKey {
    let mut counts = [0; ObjectKind::ALL.len()];
    for root in roots {
        for (kind, count) in ObjectKind::ALL.into_iter().zip(&mut counts) {
            let Some(Kind::Array(elements)) = root.find(kind.table()).map(|entry| &entry.value.kind) else {
                continue;
            };
            for element in elements {
                let Kind::Table(table) = &element.kind else { continue };
                *count += 1;
                if let Some(keys) = place_in(element, location) {
                    let name = text(table, "name");
                    let name = name.unwrap_or_else(|| format!("error-page-{count}"));
                    return of_object(kind, name, table, keys);
                }
            }
        }
    }
    ObjectKey::default()
}

/// A key on the way to a place; with an index where it leads into a list.
type KeyStep<'t> = (&'t str, Option<usize>);

/// The way to a place within a value; None: it is elsewhere.
fn place_in(value: &raw::Value, location: Location) -> Option<Vec<KeyStep<'_>>> {
    let Kind::Table(table) = &value.kind else { return None };
    for entry in &table.entries {
        let here = |index| vec![(entry.key.as_str(), index)];
        if entry.key_location.contains(location) {
            return Some(here(None));
        }
        let elements = match &entry.value.kind {
            Kind::Array(elements) => elements.as_slice(),
            _ => &[],
        };
        let mut inner = elements.iter().enumerate().filter_map(|(index, element)| {
            let way = place_in(element, location)?;
            Some([here(Some(index)), way].concat())
        });
        if let Some(way) = inner.next() {
            return Some(way);
        }
        if let Some(way) = place_in(&entry.value, location) {
            return Some([here(None), way].concat());
        }
        if entry.value.location.contains(location) {
            return Some(here(None));
        }
    }
    (table.location.contains(location) || value.location.contains(location)).then(Vec::new)
}

fn of_object(kind: ObjectKind, name: String, table: &raw::Table, way: Vec<KeyStep<'_>>) -> ObjectKey {
    let dotted = |way: &[KeyStep<'_>]| {
        let keys: Vec<&str> = way.iter().map(|(key, _)| *key).collect();
        (!keys.is_empty()).then(|| keys.join("."))
    };
    let is_group = kind == ObjectKind::ServerGroup;
    let (object, key) = match way.as_slice() {
        [("health_check", _), rest @ ..] if is_group => {
            (ObjectPath::HealthCheck { group: name }, dotted(rest))
        }
        [("backend", Some(index)), rest @ ..] if is_group => match address_of(table, *index) {
            Some(address) => (ObjectPath::Backend { group: name, address }, dotted(rest)),
            None => (ObjectPath::Named { kind, name }, dotted(&way)),
        },
        _ => (ObjectPath::Named { kind, name }, dotted(&way)),
    };
    ObjectKey { object: Some(object), key }
}

fn address_of(group: &raw::Table, index: usize) -> Option<String> {
    let Kind::Array(backends) = &group.find("backend")?.value.kind else { return None };
    match &backends.get(index)?.kind {
        Kind::Table(backend) => text(backend, "address"),
        _ => None,
    }
}

fn text(table: &raw::Table, key: &str) -> Option<String> {
    match &table.find(key)?.value.kind {
        Kind::Text(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::config::load;

    #[test]
    fn a_diagnostic_knows_its_object_and_key() {
        let text = "\
config_version = 2
[[listener]]
name = \"web\"
address = \"nowhere\"
[listener.forwarded]
mistake = 1
[[server_group]]
name = \"app\"
backend = [{ address = \"127.0.0.1:1\", weight = 1000 }, { weight = 1 }]
[server_group.health_check]
interval = \"99h\"
[[rule]]
name = \"r\"
listener = \"web\"
priority = 1
forward = { groups = [{ group = \"none\" }] }
[[error_page]]
status = 1
";
        let loaded = load(vec![Source::made_up("text", text.to_owned())]);
        let subjects: Vec<String> = loaded
            .report
            .diagnostics()
            .iter()
            .map(|found| {
                let subject = loaded.subject(found.location);
                let object = subject.object.map_or("-".to_owned(), |object| object.to_string());
                format!("{object} {}", subject.key.unwrap_or_default())
            })
            .collect();
        for expected in [
            "- ",
            "listeners/web address",
            "listeners/web forwarded.mistake",
            "server-groups/app/backends/127.0.0.1:1 weight",
            "server-groups/app backend",
            "server-groups/app/health-check interval",
            "rules/r forward.groups.group",
            "error-pages/error-page-1 status",
        ] {
            assert!(subjects.iter().any(|found| found == expected), "{expected}: {subjects:#?}");
        }
    }
}
