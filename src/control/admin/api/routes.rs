//! Every call: method, path, who may make it, and who carries it out.

use crate::config::AdminRole;
use crate::config::ObjectKind;
use crate::control::admin::api::archive;
use crate::control::admin::api::call::ApiAnswer;
use crate::control::admin::api::call::ApiCall;
use crate::control::admin::api::changes;
use crate::control::admin::api::objects;
use crate::control::admin::api::openapi;
use crate::control::admin::api::process;
use crate::control::admin::api::route::ApiContent;
use crate::control::admin::api::route::ApiRoute;
use crate::control::admin::api::route::Parameter;
use crate::control::admin::api::route::Values;
use crate::control::admin::api::runtime;
use crate::control::admin::api::shortcuts;
use crate::control::admin::http::request::percent_decoded;
use crate::control::admin::http::response::AdminResponse;

const LIMIT: Parameter = Parameter {
    name: "limit",
    values: Values::Number { least: 1, most: objects::MAX_PAGE as u64 },
    description: "Objects of the page; 100 without it.",
};
const AFTER: Parameter = Parameter {
    name: "after",
    values: Values::Text,
    description: "The page behind this name: `next` of the page before.",
};
const NAME: Parameter = Parameter {
    name: "name",
    values: Values::Text,
    description: "Only names like this; `*` and `?` stand for others.",
};
const TAG: Parameter = Parameter {
    name: "tag",
    values: Values::Text,
    description: "Only what has this tag: `key` or `key=value`.",
};

const fn read(
    path: &'static str,
    handler: fn(&ApiCall<'_>) -> ApiAnswer,
    summary: &'static str,
    parameters: &'static [Parameter],
    gives: ApiContent,
) -> ApiRoute {
    ApiRoute {
        method: "GET",
        path,
        role: AdminRole::Read,
        handler,
        summary,
        parameters,
        takes: ApiContent::Nothing,
        gives,
    }
}

const fn write(
    (method, path, role): (&'static str, &'static str, AdminRole),
    handler: fn(&ApiCall<'_>) -> ApiAnswer,
    summary: &'static str,
    parameters: &'static [Parameter],
    (takes, gives): (ApiContent, ApiContent),
) -> ApiRoute {
    ApiRoute { method, path, role, handler, summary, parameters, takes, gives }
}

/// A change of one object.
const fn change(
    method: &'static str,
    path: &'static str,
    handler: fn(&ApiCall<'_>) -> ApiAnswer,
    summary: &'static str,
    takes: ApiContent,
) -> ApiRoute {
    write(
        (method, path, AdminRole::Write),
        handler,
        summary,
        WRITING,
        (takes, ApiContent::Document("Changed")),
    )
}

const WRITING: &[Parameter] = &[
    Parameter { name: "dry_run", values: Values::Truth, description: "Only tell what would come of it." },
    Parameter { name: "force", values: Values::Truth, description: "Change what is protected, too." },
];
const WITH_KEYS: Parameter = Parameter {
    name: "keys",
    values: Values::Truth,
    description: "With the keys of certificates, which needs the role write.",
};
const IMPORTING: &[Parameter] = &[
    Parameter { name: "dry_run", values: Values::Truth, description: "Only tell what would come of it." },
    Parameter { name: "force", values: Values::Truth, description: "Change what is protected, too." },
    Parameter {
        name: "prune",
        values: Values::Truth,
        description: "Delete objects that the document does not have.",
    },
];
const AUDIT_LIMIT: Parameter = Parameter {
    name: "limit",
    values: Values::Number { least: 1, most: objects::MAX_PAGE as u64 },
    description: "How many lines; 100 without it.",
};

pub(super) const ROUTES: &[ApiRoute] = &[
    read("", process::index, "What there is", &[], ApiContent::Document("Index")),
    read("whoami", process::whoami, "Who asks, and what it may do", &[], ApiContent::Document("WhoAmI")),
    read("status", process::status, "The status of the process", &[], ApiContent::Document("Status")),
    read(
        "config",
        process::config,
        "The configuration in force, with all defaults",
        &[],
        ApiContent::Document("Config"),
    ),
    read("config.toml", process::config_toml, "The same as TOML", &[], ApiContent::Text("application/toml")),
    read("events", process::events, "What happened", &[EVENTS_AFTER], ApiContent::Document("Events")),
    read("openapi.json", openapi, "This document", &[], ApiContent::Document("OpenApi")),
    read(
        "schema.json",
        process::schema,
        "The JSON Schema of the configuration",
        &[],
        ApiContent::Document("JsonSchema"),
    ),
    write(
        ("POST", "explain", AdminRole::Read),
        process::explain,
        "Which rule takes a request, and why",
        &[],
        (ApiContent::Document("Question"), ApiContent::Document("Explanation")),
    ),
    write(
        ("POST", "reload", AdminRole::Write),
        process::reload,
        "Read the files again",
        &[STRICT],
        (ApiContent::Nothing, ApiContent::Document("Reloaded")),
    ),
    write(
        ("POST", "maintenance", AdminRole::Operate),
        process::maintenance,
        "Take a rule or a server group out of service for a while, or back",
        &[],
        (ApiContent::Document("MaintenanceOrder"), ApiContent::Document("MaintenanceReply")),
    ),
    read(
        "export",
        archive::export,
        "All objects with what their files hold, as one document",
        &[WITH_KEYS],
        ApiContent::Document("Archive"),
    ),
    write(
        ("POST", "import", AdminRole::Write),
        archive::import,
        "Create and replace objects as such a document has them",
        IMPORTING,
        (ApiContent::Document("Archive"), ApiContent::Document("Changed")),
    ),
    write(
        ("POST", "changes", AdminRole::Write),
        changes::change_set,
        "Several changes, of which all are made or none",
        WRITING,
        (ApiContent::Document("ChangeSet"), ApiContent::Document("Changed")),
    ),
    write(
        ("POST", "rules/{name}/move", AdminRole::Write),
        shortcuts::move_rule,
        "Put a rule elsewhere among those of its listener",
        WRITING,
        (ApiContent::Document("RulePlace"), ApiContent::Document("Changed")),
    ),
    write(
        ("POST", "listeners/{name}/copy", AdminRole::Write),
        shortcuts::copy_listener,
        "Make another listener out of this one",
        WRITING,
        (ApiContent::Document("ListenerCopy"), ApiContent::Document("Changed")),
    ),
    read(
        "server-groups/{group}/backends",
        objects::list_backends,
        "The backends of a group",
        &[NAME, LIMIT, AFTER],
        ApiContent::List,
    ),
    read(
        "server-groups/{group}/backends/{address}",
        objects::get_backend,
        "A backend",
        &[],
        ApiContent::Object,
    ),
    read(
        "server-groups/{group}/health-check",
        objects::get_health_check,
        "How a group is probed",
        &[],
        ApiContent::Object,
    ),
    write(
        ("POST", "server-groups/{group}/backends/{address}/weight", AdminRole::Operate),
        runtime::weight,
        "Give a backend another weight for a while",
        &[],
        (ApiContent::Document("WeightOrder"), ApiContent::Document("BackendReply")),
    ),
    write(
        ("POST", "server-groups/{group}/backends/{address}/drain", AdminRole::Operate),
        runtime::drain,
        "Send no new clients to a backend for a while, or again",
        &[],
        (ApiContent::Document("DrainOrder"), ApiContent::Document("BackendReply")),
    ),
    write(
        ("POST", "server-groups/{group}/backends", AdminRole::Write),
        changes::create_backend,
        "Add a backend to a group",
        WRITING,
        (ApiContent::Document("Backend"), ApiContent::Document("Changed")),
    ),
    change(
        "PUT",
        "server-groups/{group}/backends/{address}",
        changes::replace,
        "Replace a backend",
        ApiContent::Document("Backend"),
    ),
    change(
        "PATCH",
        "server-groups/{group}/backends/{address}",
        changes::patch,
        "Change keys of a backend",
        ApiContent::Document("Patch"),
    ),
    change(
        "DELETE",
        "server-groups/{group}/backends/{address}",
        changes::delete,
        "Remove a backend",
        ApiContent::Nothing,
    ),
    change(
        "PUT",
        "server-groups/{group}/health-check",
        changes::replace,
        "Probe a group that way",
        ApiContent::Document("HealthCheck"),
    ),
    change(
        "PATCH",
        "server-groups/{group}/health-check",
        changes::patch,
        "Change keys of the health check",
        ApiContent::Document("Patch"),
    ),
    change(
        "DELETE",
        "server-groups/{group}/health-check",
        changes::delete,
        "Probe a group no more",
        ApiContent::Nothing,
    ),
    change("POST", "{kind}", changes::create, "Create one", ApiContent::Settings),
    change("PUT", "{kind}/{name}", changes::replace, "Replace all of its settings", ApiContent::Settings),
    change(
        "PATCH",
        "{kind}/{name}",
        changes::patch,
        "Change some of its settings (RFC 7396)",
        ApiContent::Document("Patch"),
    ),
    change("DELETE", "{kind}/{name}", changes::delete, "Delete it", ApiContent::Nothing),
    read(
        "audit",
        process::audit,
        "Who has asked for which change, the newest first",
        &[AUDIT_LIMIT],
        ApiContent::Document("AuditLines"),
    ),
    read(
        "{kind}",
        objects::list,
        "All of them, or those that match",
        &[NAME, TAG, LIMIT, AFTER],
        ApiContent::List,
    ),
    read("{kind}/{name}", objects::get, "One of them", &[], ApiContent::Object),
];

const EVENTS_AFTER: Parameter = Parameter {
    name: "after",
    values: Values::Number { least: 0, most: u32::MAX as u64 },
    description: "Only events behind this number.",
};
const STRICT: Parameter =
    Parameter { name: "strict", values: Values::Truth, description: "Refuse it for a warning, too." };

fn openapi(_: &ApiCall<'_>) -> ApiAnswer {
    Ok(AdminResponse::json(200, &openapi::document(ROUTES)))
}

/// What a path leads to.
pub(super) enum RouteMatch {
    Found {
        route: &'static ApiRoute,
        kind: Option<ObjectKind>,
        arguments: Vec<String>,
    },
    /// It is there, but takes these methods only.
    OtherMethods(String),
    Nothing,
}

/// The first row that fits the path and the method; HEAD is answered as GET is.
pub(super) fn find(method: &str, path: &str) -> RouteMatch {
    let method = if method == "HEAD" { "GET" } else { method };
    let mut allowed: Vec<&str> = Vec::new();
    for route in ROUTES {
        let Some((kind, arguments)) = fit(route.path, path) else { continue };
        if route.method == method {
            return RouteMatch::Found { route, kind, arguments };
        }
        allowed.push(route.method);
        if route.method == "GET" {
            allowed.push("HEAD");
        }
    }
    match allowed.as_slice() {
        [] => RouteMatch::Nothing,
        allowed => RouteMatch::OtherMethods(allowed.join(", ")),
    }
}

/// What stands in a path where the pattern has braces; None: it is another path.
fn fit(pattern: &str, path: &str) -> Option<(Option<ObjectKind>, Vec<String>)> {
    let mut kind = None;
    let mut arguments = Vec::new();
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        let segment = segments.next()?;
        match wanted {
            "{kind}" => kind = Some(ObjectKind::of_segment(segment)?),
            wanted if wanted.starts_with('{') => {
                arguments.push(percent_decoded(segment).filter(|argument| !argument.is_empty())?);
            }
            wanted if wanted == segment => {}
            _ => return None,
        }
    }
    segments.next().is_none().then_some((kind, arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_one_call() {
        let found = |method, path| match find(method, path) {
            RouteMatch::Found { route, arguments, .. } => {
                format!("{} {} {}", route.method, route.path, arguments.join(" "))
            }
            RouteMatch::OtherMethods(allowed) => format!("only {allowed}"),
            RouteMatch::Nothing => "nothing".to_owned(),
        };
        assert_eq!(found("GET", "listeners/web%2D1"), "GET {kind}/{name} web-1");
        assert_eq!(found("HEAD", "rules"), "GET {kind} ");
        assert_eq!(
            found("GET", "server-groups/app/backends/%5B::1%5D:80"),
            "GET server-groups/{group}/backends/{address} app [::1]:80"
        );
        assert_eq!(found("POST", "status"), "only GET, HEAD");
        for nothing in ["nothing", "listeners/", "listeners/a/b/c", "status/", "listeners/%ff"] {
            assert_eq!(found("GET", nothing), "nothing", "{nothing}");
        }
    }
}
