//! The schemas of the OpenAPI document: of objects, from the table that `check` reads by; of documents, here.

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::config::ObjectKind;
use crate::config::embedded::EmbeddedFile;
use crate::config::embedded::embedded;
use crate::config::in_order;

/// Made of the types by a test.
static STATUS: EmbeddedFile = embedded!("docs/status.schema.json");

/// Of everything that is no object.
static DOCUMENTS: EmbeddedFile = embedded!("src/control/admin/api/documents.json");

/// The name of the settings of this kind among the schemas.
pub(super) fn name(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Listener => "Listener",
        ObjectKind::Certificate => "Certificate",
        ObjectKind::Authority => "Ca",
        ObjectKind::TlsPolicy => "TlsPolicy",
        ObjectKind::ServerGroup => "ServerGroup",
        ObjectKind::Rule => "Rule",
        ObjectKind::IpGroup => "IpGroup",
        ObjectKind::ErrorPage => "ErrorPage",
    }
}

/// Every schema by its name; `configuration` is the schema of the whole configuration.
pub(super) fn all(configuration: &Json) -> Map<String, Json> {
    let mut schemas = Map::new();
    let mut add = |name: &str, schema: Json| drop(schemas.insert(name.to_owned(), schema));
    for kind in ObjectKind::ALL {
        let name = name(kind);
        add(name, elements(&configuration["properties"][kind.table()]));
        add(&format!("{name}Object"), object(kind.segment(), reference(name)));
        add(&format!("{name}List"), list(reference(&format!("{name}Object"))));
    }
    let group = elements(&configuration["properties"]["server_group"]);
    add("Backend", elements(&group["properties"]["backend"]));
    add("HealthCheck", group["properties"]["health_check"].clone());
    add("Object", object("", reference_to_any()));
    add("List", list(reference("Object")));
    add("Status", status());
    let documents: Map<String, Json> = serde_json::from_str(DOCUMENTS.text()).unwrap_or_default();
    schemas.extend(documents);
    schemas
}

/// What stands in a list of tables.
fn elements(schema: &Json) -> Json {
    let lists = [schema].into_iter().chain(schema["anyOf"].as_array().into_iter().flatten());
    lists
        .filter_map(|schema| schema.get("items"))
        .next()
        .cloned()
        .unwrap_or_else(|| json!({ "type": "object" }))
}

fn reference(name: &str) -> Json {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn reference_to_any() -> Json {
    json!({ "anyOf": [reference("Backend"), reference("HealthCheck")] })
}

fn object(kind: &str, settings: Json) -> Json {
    let kind = if kind.is_empty() { json!({ "type": "string" }) } else { json!({ "const": kind }) };
    let mut object = record(&[
        ("kind", kind),
        ("name", described("string", "What it is called by.")),
        ("settings", settings),
        ("place", described("string", "file:line of its table.")),
        ("etag", described("string", "For If-Match and If-None-Match.")),
    ]);
    let users = "Paths of the objects that name it, where one object is asked for.";
    object["properties"]["used_by"] =
        json!({ "type": "array", "items": { "type": "string" }, "description": users });
    object
}

fn list(items: Json) -> Json {
    record(&[
        ("items", json!({ "type": "array", "items": items })),
        ("total", described("integer", "How many match, on all pages.")),
        ("next", json!({ "type": ["string", "null"], "description": "For `after`; null on the last page." })),
    ])
}

/// A document of its own becomes a part of this one, and so do its definitions.
fn status() -> Json {
    let text = STATUS.text().replace("#/$defs/", "#/components/schemas/Status/$defs/");
    let mut schema: Json = serde_json::from_str(&text).unwrap_or_default();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
    }
    schema
}

/// An object that has all of these members.
fn record(members: &[(&str, Json)]) -> Json {
    let properties = in_order::object(members.iter().map(|(name, schema)| (*name, schema.clone())));
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn described(kind: &str, description: &str) -> Json {
    json!({ "type": kind, "description": description })
}
