//! The OpenAPI document (3.1), made of the rows of calls and of the schema of the configuration.

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::config;
use crate::config::ObjectKind;
use crate::control::admin::api::route::ApiContent;
use crate::control::admin::api::route::ApiRoute;
use crate::control::admin::api::route::Parameter;
use crate::control::admin::api::route::ROOT;
use crate::control::admin::api::route::Values;
use crate::control::admin::api::schemas;

/// The whole document.
pub(super) fn document(routes: &[ApiRoute]) -> Json {
    let mut paths = Map::new();
    for route in routes {
        let kinds: Vec<Option<ObjectKind>> = match route.path.contains("{kind}") {
            true => ObjectKind::ALL.into_iter().map(Some).collect(),
            false => vec![None],
        };
        for kind in kinds {
            let path =
                kind.map_or(route.path.to_owned(), |kind| route.path.replace("{kind}", kind.segment()));
            let item = paths.entry(format!("{ROOT}{path}")).or_insert_with(|| json!({}));
            item[route.method.to_ascii_lowercase()] = operation(route, kind, &path);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Management API of Ringway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Objects are the tables of the configuration, with its keys: docs/configuration.md and docs/api.md.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "token": [] }],
        "tags": tags(),
        "paths": paths,
        "components": {
            "schemas": schemas::all(&config::json_schema()),
            "responses": { "Problem": {
                "description": "Why the call was not carried out, with place and cure (RFC 9457).",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            } },
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer",
                "description": "A line of admin.tokens_file; without one, clients of this machine may read.",
            } },
        },
    })
}

fn tags() -> Json {
    let kinds = ObjectKind::ALL.into_iter().map(|kind| json!({ "name": kind.segment() }));
    kinds.chain([json!({ "name": "process" })]).collect()
}

fn operation(route: &ApiRoute, kind: Option<ObjectKind>, path: &str) -> Json {
    let first = path.split('/').next().unwrap_or_default();
    let tag = ObjectKind::of_segment(first).map_or("process", ObjectKind::segment);
    let mut operation = json!({
        "operationId": operation_id(route, path),
        "summary": route.summary,
        "description": format!("Needs the role {}.", route.role.as_str()),
        "tags": [tag],
        "parameters": parameters(route, path),
        "responses": responses(route, kind),
    });
    let media = match route.takes {
        ApiContent::Nothing => return operation,
        takes => content(takes, kind),
    };
    operation["requestBody"] = json!({ "required": true, "content": media });
    operation
}

/// Such as `getListenersByName`: of the method and the words of the path.
fn operation_id(route: &ApiRoute, path: &str) -> String {
    let mut id = route.method.to_ascii_lowercase();
    for segment in path.split(['/', '.', '-']).filter(|segment| !segment.is_empty()) {
        let (by, word) = match segment.trim_matches(['{', '}']) {
            word if word.len() < segment.len() => ("By", word),
            word => ("", word),
        };
        let (first, rest) = word.split_at(1);
        id.push_str(by);
        id.push_str(&first.to_ascii_uppercase());
        id.push_str(rest);
    }
    id
}

fn parameters(route: &ApiRoute, path: &str) -> Json {
    let chosen = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let of_path = chosen.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
    });
    let of_query = route.parameters.iter().map(|Parameter { name, values, description }| {
        let schema = match values {
            Values::Text => json!({ "type": "string" }),
            Values::Number { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Values::Truth => json!({ "type": "boolean" }),
        };
        json!({ "name": name, "in": "query", "description": description, "schema": schema })
    });
    of_path.chain(of_query).collect()
}

fn responses(route: &ApiRoute, kind: Option<ObjectKind>) -> Json {
    let mut responses = json!({
        "200": { "description": "Done.", "content": content(route.gives, kind) },
        "default": { "$ref": "#/components/responses/Problem" },
    });
    if route.creates() {
        responses["201"] = json!({
            "description": "Created; 200 answers a dry run.",
            "headers": { "Location": { "schema": { "type": "string" } } },
            "content": content(route.gives, kind),
        });
    }
    responses
}

fn content(content: ApiContent, kind: Option<ObjectKind>) -> Json {
    let reference = |name: &str| json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } });
    let of_kind = |suffix: &str| match kind {
        Some(kind) => reference(&format!("{}{suffix}", schemas::name(kind))),
        None => reference(suffix),
    };
    match content {
        ApiContent::Nothing => json!({}),
        ApiContent::Settings => json!({ "application/json": of_kind("") }),
        ApiContent::Document("Patch") => {
            json!({ "application/json": reference("Patch"), "application/merge-patch+json": reference("Patch") })
        }
        ApiContent::Object => json!({ "application/json": of_kind("Object") }),
        ApiContent::List => json!({ "application/json": of_kind("List") }),
        ApiContent::Document("JsonSchema") => json!({ "application/schema+json": reference("JsonSchema") }),
        ApiContent::Document(name) => json!({ "application/json": reference(name) }),
        ApiContent::Text(media_type) => json!({ media_type: { "schema": { "type": "string" } } }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::control::admin::api::routes::ROUTES;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

    #[test]
    fn the_document_in_docs_is_the_one_that_is_served() {
        let made = format!("{:#}\n", document(ROUTES));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(PAGE, &made).unwrap();
        }
        let there = std::fs::read_to_string(PAGE).unwrap_or_default();
        assert!(there == made, "run UPDATE_DOCS=1 cargo test --lib -- openapi");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_call_has_a_name_of_its_own() {
        let document = document(ROUTES);
        let text = document.to_string();
        for piece in text.split("\"$ref\":\"#").skip(1) {
            let pointer = piece.split('"').next().unwrap_or_default();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        let paths = document["paths"].as_object().unwrap();
        let operations = paths.values().flat_map(|item| item.as_object().unwrap().values());
        let ids: Vec<&str> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
        let unique: HashSet<&&str> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{ids:?}");
    }
}
