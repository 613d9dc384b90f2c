//! The objects of a configuration as they are written: what the management API gives out and changes.

use std::fmt;

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::in_order;
use crate::config::raw;
use crate::config::report::Location;
use crate::policy::balance::hash_key::hash;

/// The lists of tables whose elements have names, and can be changed one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    Listener,
    Certificate,
    Authority,
    TlsPolicy,
    ServerGroup,
    Rule,
    IpGroup,
    ErrorPage,
}

impl ObjectKind {
    pub const ALL: [ObjectKind; 8] = [
        ObjectKind::Listener,
        ObjectKind::Certificate,
        ObjectKind::Authority,
        ObjectKind::TlsPolicy,
        ObjectKind::ServerGroup,
        ObjectKind::Rule,
        ObjectKind::IpGroup,
        ObjectKind::ErrorPage,
    ];

    /// As in a path of the API: `server-groups`.
    pub fn segment(self) -> &'static str {
        match self {
            ObjectKind::Listener => "listeners",
            ObjectKind::Certificate => "certificates",
            ObjectKind::Authority => "cas",
            ObjectKind::TlsPolicy => "tls-policies",
            ObjectKind::ServerGroup => "server-groups",
            ObjectKind::Rule => "rules",
            ObjectKind::IpGroup => "ip-groups",
            ObjectKind::ErrorPage => "error-pages",
        }
    }

    /// As in the header of its tables: `server_group`.
    pub fn table(self) -> &'static str {
        match self {
            ObjectKind::Listener => "listener",
            ObjectKind::Certificate => "certificate",
            ObjectKind::Authority => "ca",
            ObjectKind::TlsPolicy => "tls_policy",
            ObjectKind::ServerGroup => "server_group",
            ObjectKind::Rule => "rule",
            ObjectKind::IpGroup => "ip_group",
            ObjectKind::ErrorPage => "error_page",
        }
    }

    /// In words: `server group`.
    pub fn noun(self) -> &'static str {
        match self {
            ObjectKind::Listener => "listener",
            ObjectKind::Certificate => "certificate",
            ObjectKind::Authority => "CA",
            ObjectKind::TlsPolicy => "TLS policy",
            ObjectKind::ServerGroup => "server group",
            ObjectKind::Rule => "rule",
            ObjectKind::IpGroup => "IP group",
            ObjectKind::ErrorPage => "error page",
        }
    }

    pub fn of_segment(segment: &str) -> Option<ObjectKind> {
        ObjectKind::ALL.into_iter().find(|kind| kind.segment() == segment)
    }
}

/// What an object is called by those who want to read or change it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectPath {
    Named {
        kind: ObjectKind,
        name: String,
    },
    /// By its address as it is written.
    Backend {
        group: String,
        address: String,
    },
    HealthCheck {
        group: String,
    },
}

/// As in the API: `server-groups/app/backends/10.0.0.1:80`.
impl fmt::Display for ObjectPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectPath::Named { kind, name } => write!(out, "{}/{name}", kind.segment()),
            ObjectPath::Backend { group, address } => {
                write!(out, "server-groups/{group}/backends/{address}")
            }
            ObjectPath::HealthCheck { group } => write!(out, "server-groups/{group}/health-check"),
        }
    }
}

/// One table of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub kind: ObjectKind,
    /// An error page without one is called by its place among them: `error-page-1`.
    pub name: String,
    /// The table as it is written, in the words of the file; without what `[defaults]` adds.
    pub settings: Map<String, Json>,
    /// Where the table stands.
    pub location: Location,
}

/// A strong entity tag (RFC 9110 §8.8.3) of an object: the same text of settings has the same, on every machine.
pub fn etag(path: &ObjectPath, settings: &Map<String, Json>) -> String {
    let settings = Json::Object(settings.clone());
    format!("\"{:016x}\"", hash(format!("{path} {settings}").as_bytes()))
}

impl Object {
    pub fn path(&self) -> ObjectPath {
        ObjectPath::Named { kind: self.kind, name: self.name.clone() }
    }

    /// The backends of a group as they are written, each with the address it is called by.
    pub fn backends(&self) -> impl Iterator<Item = (&str, &Map<String, Json>)> {
        let backends = self.settings.get("backend").and_then(Json::as_array).into_iter().flatten();
        backends.filter_map(|backend| {
            let backend = backend.as_object()?;
            Some((backend.get("address")?.as_str()?, backend))
        })
    }

    /// The health check of a group.
    pub fn health_check(&self) -> Option<&Map<String, Json>> {
        self.settings.get("health_check")?.as_object()
    }
}

/// All objects of the texts, by kind and in their order. What has no name, or is no table, is left out.
pub(super) fn objects(roots: &[raw::Table]) -> Vec<Object> {
    let of_kind = |kind: ObjectKind| {
        let entries = roots.iter().filter_map(move |root| root.find(kind.table()));
        let values = entries.flat_map(|entry| match &entry.value.kind {
            raw::Kind::Array(values) => values.as_slice(),
            _ => &[],
        });
        let tables = values.filter_map(|value| match &value.kind {
            raw::Kind::Table(table) => Some((table, value.location)),
            _ => None,
        });
        tables.enumerate().filter_map(move |(place, (table, location))| {
            let settings = settings(table);
            let name = match settings.get("name").and_then(Json::as_str) {
                Some(name) => name.to_owned(),
                None if kind == ObjectKind::ErrorPage => format!("error-page-{}", place + 1),
                None => return None,
            };
            Some(Object { kind, name, settings, location })
        })
    };
    ObjectKind::ALL.into_iter().flat_map(of_kind).collect()
}

fn settings(table: &raw::Table) -> Map<String, Json> {
    in_order::object(table.entries.iter().map(|entry| (entry.key.as_str(), json(&entry.value))))
}

/// Recursion is bounded: the parser refuses deep nesting.
fn json(value: &raw::Value) -> Json {
    match &value.kind {
        raw::Kind::Text(text) => Json::from(text.as_str()),
        raw::Kind::Integer(number) => i64::try_from(*number).map_or(Json::Null, Json::from),
        raw::Kind::Float(number) => Json::from(*number),
        raw::Kind::Boolean(truth) => Json::from(*truth),
        raw::Kind::Array(values) => values.iter().map(json).collect(),
        raw::Kind::Table(table) => Json::Object(settings(table)),
        // No key takes such a value, so none is in service.
        raw::Kind::Other(_) => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Source;
    use crate::config::load;

    fn objects_of(texts: &[&str]) -> Vec<Object> {
        let sources =
            texts.iter().map(|text| Source::made_up("text", format!("config_version = 1\n{text}"))).collect();
        load(sources).objects()
    }

    #[test]
    fn objects_are_the_tables_as_they_are_written() {
        let texts = [
            "[[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = \"127.0.0.1:1\"\nweight = 5\n\
             [server_group.health_check]\ninterval = \"2s\"\n",
            "rule = [{ name = \"r\", priority = 1, limit = { requests_per_second = 1.5 } }]\n[[error_page]]\n\
             status = 503\n[[listener]]\naddress = \"no name\"\n",
        ];
        let objects = objects_of(&texts);
        let names: Vec<String> = objects
            .iter()
            .map(|object| ObjectPath::Named { kind: object.kind, name: object.name.clone() }.to_string())
            .collect();
        assert_eq!(names, ["server-groups/app", "rules/r", "error-pages/error-page-1"]);
        let backends: Vec<_> = objects[0].backends().collect();
        assert_eq!(backends.len(), 1);
        assert_eq!((backends[0].0, &backends[0].1["weight"]), ("127.0.0.1:1", &json!(5)));
        assert_eq!(objects[0].health_check().map(|check| &check["interval"]), Some(&json!("2s")));
        assert_eq!(objects[1].settings["limit"], json!({ "requests_per_second": 1.5 }));
        assert_eq!(objects[2].settings, json!({ "status": 503 }).as_object().cloned().unwrap());
    }

    #[test]
    fn every_kind_is_found_by_its_segment() {
        for kind in ObjectKind::ALL {
            assert_eq!(ObjectKind::of_segment(kind.segment()), Some(kind));
        }
        assert_eq!(ObjectKind::of_segment("listener"), None);
    }
}
