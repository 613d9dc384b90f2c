//! Reading objects: one, or a list with filters and pages.

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::config::Object;
use crate::config::ObjectKind;
use crate::config::ObjectPath;
use crate::config::etag;
use crate::config::users_of;
use crate::control::admin::api::call::ApiAnswer;
use crate::control::admin::api::call::ApiCall;
use crate::control::admin::api::problem::ApiProblem;
use crate::control::admin::http::response::AdminResponse;
use crate::control::written_config::WrittenConfig;
use crate::policy::router::Pattern;

/// Objects of a page, where the client does not say how many, and at most.
pub(super) const DEFAULT_PAGE: usize = 100;
/// Objects that one page of a list can have.
pub(super) const MAX_PAGE: usize = 1_000;

pub(super) fn list(call: &ApiCall<'_>) -> ApiAnswer {
    let kind = call.kind()?;
    let (_, written) = call.channels().written.load();
    let page = ListPage::asked_for(call)?;
    let tag = call
        .request
        .parameter("tag")
        .map(|tag| tag.split_once('=').map_or((tag, None), |(k, v)| (k, Some(v))));
    let name = call.request.parameter("name").map(Pattern::new);
    let matching = written.of_kind(kind).filter(|object| {
        name.as_ref().is_none_or(|pattern| pattern.matches(object.name.as_bytes()))
            && tag.is_none_or(|tag| has_tag(&object.settings, tag))
    });
    let matching: Vec<&Object> = matching.collect();
    page.answer(&matching, |object| object.name.as_str(), |object| described(&written, object))
}

pub(super) fn get(call: &ApiCall<'_>) -> ApiAnswer {
    let (_, written) = call.channels().written.load();
    let object = find(&written, call.kind()?, call.argument(0))?;
    let mut document = described(&written, object);
    let users = users_of(&written.objects, object.kind, &object.name);
    document["used_by"] = users.iter().map(ToString::to_string).collect();
    Ok(with_etag(call, &document))
}

pub(super) fn list_backends(call: &ApiCall<'_>) -> ApiAnswer {
    let (_, written) = call.channels().written.load();
    let group = find(&written, ObjectKind::ServerGroup, call.argument(0))?;
    let page = ListPage::asked_for(call)?;
    let name = call.request.parameter("name").map(Pattern::new);
    let backends: Vec<_> = group
        .backends()
        .filter(|(address, _)| name.as_ref().is_none_or(|pattern| pattern.matches(address.as_bytes())))
        .collect();
    page.answer(
        &backends,
        |(address, _)| address,
        |(address, settings)| described_backend(&written, group, address, settings),
    )
}

pub(super) fn get_backend(call: &ApiCall<'_>) -> ApiAnswer {
    let (_, written) = call.channels().written.load();
    let group = find(&written, ObjectKind::ServerGroup, call.argument(0))?;
    let wanted = call.argument(1);
    let found = group.backends().find(|(address, _)| *address == wanted);
    let Some((address, settings)) = found else { return Err(no_backend(group, wanted)) };
    Ok(with_etag(call, &described_backend(&written, group, address, settings)))
}

pub(super) fn get_health_check(call: &ApiCall<'_>) -> ApiAnswer {
    let (_, written) = call.channels().written.load();
    let group = find(&written, ObjectKind::ServerGroup, call.argument(0))?;
    let Some(settings) = group.health_check() else {
        let detail = format!("the server group \"{}\" has no health check", group.name);
        return Err(ApiProblem::new(404, detail, "PUT one"));
    };
    Ok(with_etag(call, &described_health_check(&written, group, settings)))
}

/// The object of this name, or the answer that there is none.
pub(super) fn find<'w>(
    written: &'w WrittenConfig,
    kind: ObjectKind,
    name: &str,
) -> Result<&'w Object, Box<ApiProblem>> {
    written.find(kind, name).ok_or_else(|| {
        let detail = format!("there is no {} \"{}\"", kind.noun(), name.escape_debug());
        ApiProblem::new(404, detail, format!("GET /api/v1/{} lists them", kind.segment()))
    })
}

pub(super) fn no_backend(group: &Object, address: &str) -> Box<ApiProblem> {
    let detail = format!("the server group \"{}\" has no backend \"{}\"", group.name, address.escape_debug());
    ApiProblem::new(404, detail, format!("GET /api/v1/server-groups/{}/backends lists them", group.name))
}

/// The document of an object.
pub(super) fn described(written: &WrittenConfig, object: &Object) -> Json {
    json!({
        "kind": object.kind.segment(), "name": object.name, "settings": object.settings,
        "place": written.place(object), "etag": etag(&object.path(), &object.settings),
    })
}

/// The settings of what a path names.
pub(super) fn settings_at<'w>(
    written: &'w WrittenConfig,
    path: &ObjectPath,
) -> Option<&'w Map<String, Json>> {
    let group = |name: &str| written.find(ObjectKind::ServerGroup, name);
    match path {
        ObjectPath::Named { kind, name } => written.find(*kind, name).map(|object| &object.settings),
        ObjectPath::Backend { group: name, address } => {
            group(name)?.backends().find(|(known, _)| known == address).map(|(_, settings)| settings)
        }
        ObjectPath::HealthCheck { group: name } => group(name)?.health_check(),
    }
}

/// The document of what a path names.
pub(super) fn described_at(written: &WrittenConfig, path: &ObjectPath) -> Option<Json> {
    let settings = settings_at(written, path)?;
    Some(match path {
        ObjectPath::Named { kind, name } => described(written, written.find(*kind, name)?),
        ObjectPath::Backend { group, address } => {
            described_backend(written, written.find(ObjectKind::ServerGroup, group)?, address, settings)
        }
        ObjectPath::HealthCheck { group } => {
            described_health_check(written, written.find(ObjectKind::ServerGroup, group)?, settings)
        }
    })
}

/// Where an object is, for the field `Location`.
pub(super) fn location(path: &ObjectPath) -> String {
    let encoded = |text: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
        let each =
            |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        text.bytes().map(each).collect::<String>()
    };
    match path {
        ObjectPath::Named { kind, name } => format!("/api/v1/{}/{}", kind.segment(), encoded(name)),
        ObjectPath::Backend { group, address } => {
            format!("/api/v1/server-groups/{}/backends/{}", encoded(group), encoded(address))
        }
        ObjectPath::HealthCheck { group } => format!("/api/v1/server-groups/{}/health-check", encoded(group)),
    }
}

fn described_health_check(written: &WrittenConfig, group: &Object, settings: &Map<String, Json>) -> Json {
    let path = ObjectPath::HealthCheck { group: group.name.clone() };
    json!({
        "kind": "health-check", "name": group.name, "settings": settings, "place": written.place(group),
        "etag": etag(&path, settings),
    })
}

fn described_backend(
    written: &WrittenConfig,
    group: &Object,
    address: &str,
    settings: &Map<String, Json>,
) -> Json {
    let path = ObjectPath::Backend { group: group.name.clone(), address: address.to_owned() };
    json!({
        "kind": "backends", "name": address, "settings": settings, "place": written.place(group),
        "etag": etag(&path, settings),
    })
}

/// RFC 9110 §13.1.2: what the client knows already is not sent again.
fn with_etag(call: &ApiCall<'_>, document: &Json) -> AdminResponse {
    let etag = document["etag"].as_str().unwrap_or_default();
    let is_known = call.request.field("if-none-match").is_some_and(|known| names_etag(&known, etag));
    let answer = match is_known {
        true => AdminResponse::new(304, "application/json", ""),
        false => AdminResponse::json(200, document),
    };
    answer.with("ETag", etag)
}

/// Whether a list of entity tags names this one. What is weak is as good, as each of ours stands for one text.
pub(super) fn names_etag(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == etag)
}

fn has_tag(settings: &Map<String, Json>, (key, value): (&str, Option<&str>)) -> bool {
    let tag = settings.get("tags").and_then(|tags| tags.get(key));
    tag.is_some_and(|tag| value.is_none_or(|value| tag.as_str() == Some(value)))
}

/// How many objects or lines are asked for.
pub(super) fn limit(call: &ApiCall<'_>) -> Result<usize, Box<ApiProblem>> {
    match call.request.parameter("limit") {
        None => Ok(DEFAULT_PAGE),
        Some(text) => text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit)).ok_or_else(|| {
            ApiProblem::new(400, "`limit` is no number of objects", format!("write 1 to {MAX_PAGE}"))
        }),
    }
}

/// A part of a list.
struct ListPage<'c> {
    limit: usize,
    after: Option<&'c str>,
}

impl<'c> ListPage<'c> {
    fn asked_for(call: &'c ApiCall<'_>) -> Result<ListPage<'c>, Box<ApiProblem>> {
        Ok(ListPage { limit: limit(call)?, after: call.request.parameter("after") })
    }

    /// The objects behind `after`, in the order of the configuration.
    fn answer<T>(&self, all: &[T], name: impl Fn(&T) -> &str, describe: impl Fn(&T) -> Json) -> ApiAnswer {
        let start = match self.after {
            None => 0,
            Some(after) => {
                1 + all.iter().position(|object| name(object) == after).ok_or_else(|| {
                    let detail =
                        format!("`after` names \"{}\", which is not in this list", after.escape_debug());
                    ApiProblem::new(400, detail, "take `next` of the page before, or begin again without it")
                })?
            }
        };
        let shown = all.get(start..(start + self.limit).min(all.len())).unwrap_or_default();
        let has_more = start + shown.len() < all.len();
        let next = shown.last().filter(|_| has_more).map(&name);
        let items: Vec<Json> = shown.iter().map(describe).collect();
        Ok(AdminResponse::json(200, &json!({ "items": items, "total": all.len(), "next": next })))
    }
}
