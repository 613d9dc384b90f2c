//! Calls that change the configuration: each becomes a change set, which the thread that reloads carries out.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::config::ObjectKind;
use crate::config::ObjectPath;
use crate::config::Severity;
use crate::config::edit::order::EditAction;
use crate::config::etag;
use crate::control::admin::api::call::ApiAnswer;
use crate::control::admin::api::call::ApiCall;
use crate::control::admin::api::objects;
use crate::control::admin::api::problem::ApiProblem;
use crate::control::admin::api::problem::ProblemItem;
use crate::control::admin::audit::AuditedObject;
use crate::control::admin::http::request::percent_decoded;
use crate::control::admin::http::response::AdminResponse;
use crate::control::change::order::ChangeFault;
use crate::control::change::order::ChangeOrder;
use crate::control::change::order::ChangeRefusal;
use crate::control::change::order::Changed;
use crate::control::change::order::ObjectChange;
use crate::control::change::order::RefusalKind;
use crate::control::written_config::WrittenConfig;

/// Changes that wait for those before them; a client that comes later is asked to come again.
const MAX_WAITING: usize = 8;

/// Changes of one change set.
pub(super) const MAX_CHANGES: usize = 1_000;

static WAITING: AtomicUsize = AtomicUsize::new(0);

pub(super) fn create(call: &ApiCall<'_>) -> ApiAnswer {
    let kind = call.kind()?;
    let settings = settings(call.json()?)?;
    let Some(name) = settings.get("name").and_then(Json::as_str) else {
        return Err(missing("name"));
    };
    let path = ObjectPath::Named { kind, name: name.to_owned() };
    one(call, path, EditAction::Create(settings))
}

pub(super) fn create_backend(call: &ApiCall<'_>) -> ApiAnswer {
    let settings = settings(call.json()?)?;
    let Some(address) = settings.get("address").and_then(Json::as_str) else {
        return Err(missing("address"));
    };
    let path = ObjectPath::Backend { group: call.argument(0).to_owned(), address: address.to_owned() };
    one(call, path, EditAction::Create(settings))
}

pub(super) fn replace(call: &ApiCall<'_>) -> ApiAnswer {
    one(call, path(call)?, EditAction::Replace(settings(call.json()?)?))
}

pub(super) fn patch(call: &ApiCall<'_>) -> ApiAnswer {
    one(call, path(call)?, EditAction::Merge(settings(call.json()?)?))
}

pub(super) fn delete(call: &ApiCall<'_>) -> ApiAnswer {
    one(call, path(call)?, EditAction::Delete)
}

/// Several changes as one.
pub(super) fn change_set(call: &ApiCall<'_>) -> ApiAnswer {
    let set: ChangeSet = call.parsed()?;
    if set.changes.is_empty() || set.changes.len() > MAX_CHANGES {
        let detail = format!("`changes` has {} changes", set.changes.len());
        return Err(ApiProblem::new(422, detail, format!("send 1 to {MAX_CHANGES}")));
    }
    let changes = set.changes.into_iter().map(WantedChange::into_change).collect::<Result<_, _>>()?;
    apply(call, changes, None)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeSet {
    changes: Vec<WantedChange>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedChange {
    #[serde(rename = "do")]
    action: WantedAction,
    /// As in a path: `rules`, `server-groups/app/backends`, `server-groups/app/health-check`.
    kind: String,
    name: Option<String>,
    settings: Option<Map<String, Json>>,
    if_match: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WantedAction {
    Create,
    Replace,
    Patch,
    Delete,
}

impl WantedChange {
    fn into_change(self) -> Result<ObjectChange, Box<ApiProblem>> {
        let WantedChange { action, kind, name, settings, if_match } = self;
        let is_backend = kind.ends_with("/backends");
        let key = if is_backend { "address" } else { "name" };
        let of_settings = || settings.as_ref()?.get(key)?.as_str().map(str::to_owned);
        if let (WantedAction::Create, Some(name), Some(other)) = (&action, &name, of_settings())
            && *name != other
        {
            let detail = format!("the change names \"{name}\", and its `settings` \"{other}\"");
            return Err(ApiProblem::new(
                422,
                detail,
                format!("send one of the two, or the same `{key}` twice"),
            ));
        }
        let path = path_of(&kind, name.or_else(of_settings))?;
        let needs_settings =
            || ApiProblem::new(422, format!("the change of {path} has no `settings`"), "send them");
        let action = match (action, settings) {
            (WantedAction::Delete, _) => EditAction::Delete,
            (_, None) => return Err(needs_settings()),
            (WantedAction::Create, Some(settings)) => EditAction::Create(settings),
            (WantedAction::Replace, Some(settings)) => EditAction::Replace(settings),
            (WantedAction::Patch, Some(settings)) => EditAction::Merge(settings),
        };
        Ok(ObjectChange { path, action, if_match })
    }
}

/// The path of an object by its kind, as in a path of the API, and its name.
fn path_of(kind: &str, name: Option<String>) -> Result<ObjectPath, Box<ApiProblem>> {
    if let Some(kind) = ObjectKind::of_segment(kind) {
        let name = name.ok_or_else(|| missing("name"))?;
        return Ok(ObjectPath::Named { kind, name });
    }
    let mut segments = kind.split('/');
    let parts =
        (segments.next(), segments.next().and_then(percent_decoded), segments.next(), segments.next());
    match parts {
        (Some("server-groups"), Some(group), Some("backends"), None) => {
            let address = name.ok_or_else(|| missing("address"))?;
            Ok(ObjectPath::Backend { group, address })
        }
        (Some("server-groups"), Some(group), Some("health-check"), None) => {
            Ok(ObjectPath::HealthCheck { group })
        }
        _ => {
            let kinds: Vec<&str> = ObjectKind::ALL.into_iter().map(ObjectKind::segment).collect();
            let detail = format!("there is no kind \"{}\"", kind.escape_debug());
            let help = format!(
                "kinds are {}, server-groups/GROUP/backends and server-groups/GROUP/health-check",
                kinds.join(", ")
            );
            Err(ApiProblem::new(422, detail, help))
        }
    }
}

/// The object that the path of the call names.
fn path(call: &ApiCall<'_>) -> Result<ObjectPath, Box<ApiProblem>> {
    if let Some(kind) = call.kind {
        return Ok(ObjectPath::Named { kind, name: call.argument(0).to_owned() });
    }
    let group = call.argument(0).to_owned();
    Ok(match call.argument(1) {
        "" => ObjectPath::HealthCheck { group },
        address => ObjectPath::Backend { group, address: address.to_owned() },
    })
}

fn settings(document: Json) -> Result<Map<String, Json>, Box<ApiProblem>> {
    match document {
        Json::Object(settings) => Ok(settings),
        _ => Err(ApiProblem::new(422, "the document is no object", "send the settings as {\"key\": value}")),
    }
}

fn missing(key: &str) -> Box<ApiProblem> {
    let item = ProblemItem {
        severity: "error",
        key: Some(key.to_owned()),
        message: format!("`{key}` is missing"),
        help: format!("send it as \"{key}\": \"…\""),
        ..ProblemItem::default()
    };
    let problem = ApiProblem::new(422, format!("`{key}` is missing"), format!("send it as \"{key}\": \"…\""));
    Box::new(ApiProblem { errors: vec![item], ..*problem })
}

fn one(call: &ApiCall<'_>, path: ObjectPath, action: EditAction) -> ApiAnswer {
    let if_match = call.request.field("if-match").map(|tags| tags.into_owned());
    let change = ObjectChange { path: path.clone(), action, if_match };
    apply(call, vec![change], Some(path))
}

/// Carries changes out; `shown` is the object that the client gets to see as it is now.
pub(super) fn apply(call: &ApiCall<'_>, changes: Vec<ObjectChange>, shown: Option<ObjectPath>) -> ApiAnswer {
    let is_one_creation = matches!(changes.as_slice(), [ObjectChange { action: EditAction::Create(_), .. }]);
    let is_creation = is_one_creation && shown.is_some();
    let is_dry_run = call.truth("dry_run")?;
    let order = ChangeOrder {
        is_dry_run,
        is_forced: call.truth("force")?,
        actor: call.request.actor.name.clone(),
        changes,
    };
    let before = call.channels().written.load().1;
    let paths: Vec<ObjectPath> = order.changes.iter().flat_map(concerned).collect();
    let note = |after: Option<&WrittenConfig>| {
        for path in &paths {
            let after = after.map_or_else(String::new, |after| tag(after, path));
            let audited = AuditedObject { object: path.to_string(), before: tag(&before, path), after };
            call.audited.borrow_mut().push(audited);
        }
    };
    let changed = match in_turn(call, order) {
        Ok(changed) => changed,
        Err(problem) => {
            note(None);
            return Err(problem);
        }
    };
    let now = call.channels().written.load().1;
    note(changed.is_applied.then_some(&*now));
    let object = shown.as_ref().filter(|_| !is_dry_run).and_then(|path| objects::described_at(&now, path));
    let status = if is_creation && changed.is_applied { 201 } else { 200 };
    let answer = AdminResponse::json(status, &answered(&changed, is_dry_run, object.as_ref()));
    let etag = object.as_ref().and_then(|object| object["etag"].as_str()).map(str::to_owned);
    let answer = match etag {
        Some(etag) => answer.with("ETag", etag),
        None => answer,
    };
    Ok(match shown.filter(|_| status == 201) {
        Some(path) => answer.with("Location", objects::location(&path)),
        None => answer,
    })
}

/// The object of a change, and that of its new name where it is renamed.
fn concerned(change: &ObjectChange) -> Vec<ObjectPath> {
    let renamed = change.new_name().map(|name| match &change.path {
        ObjectPath::Backend { group, .. } => {
            ObjectPath::Backend { group: group.clone(), address: name.to_owned() }
        }
        ObjectPath::Named { kind, .. } => ObjectPath::Named { kind: *kind, name: name.to_owned() },
        ObjectPath::HealthCheck { group } => ObjectPath::HealthCheck { group: group.clone() },
    });
    std::iter::once(change.path.clone()).chain(renamed).collect()
}

fn answered(changed: &Changed, is_dry_run: bool, object: Option<&Json>) -> Json {
    let warnings: Vec<ProblemItem> = changed.warnings.iter().map(item).collect();
    json!({
        "applied": changed.is_applied, "dry_run": is_dry_run, "generation": changed.generation,
        "message": changed.sentence, "warnings": warnings, "diff": changed.diff, "object": object,
    })
}

/// Waits for those that came before, unless they are too many.
fn in_turn(call: &ApiCall<'_>, order: ChangeOrder) -> Result<Changed, Box<ApiProblem>> {
    if WAITING.fetch_add(1, Ordering::AcqRel) >= MAX_WAITING {
        WAITING.fetch_sub(1, Ordering::AcqRel);
        let detail = format!("{MAX_WAITING} changes wait already");
        return Err(ApiProblem::new(429, detail, "try again in a second").with("Retry-After", "1"));
    }
    let outcome = call.server.change(order);
    WAITING.fetch_sub(1, Ordering::AcqRel);
    match outcome {
        None => {
            Err(ApiProblem::new(503, "the change takes too long and may still come about", "look at events"))
        }
        Some(Ok(changed)) => Ok(changed),
        Some(Err(refusal)) => Err(problem(&refusal)),
    }
}

fn problem(refusal: &ChangeRefusal) -> Box<ApiProblem> {
    let status = match refusal.kind {
        RefusalKind::Missing => 404,
        RefusalKind::Exists
        | RefusalKind::InUse
        | RefusalKind::Protected
        | RefusalKind::Conflict
        | RefusalKind::ReadOnly
        | RefusalKind::NoSpace
        | RefusalKind::Elsewhere
        | RefusalKind::Bind
        | RefusalKind::Busy => 409,
        RefusalKind::Stale => 412,
        RefusalKind::Invalid => 422,
        RefusalKind::System => 503,
    };
    let problem = ApiProblem::new(status, refusal.sentence.as_str(), refusal.help.as_str());
    let errors = refusal.faults.iter().map(item).collect();
    let used_by = refusal.used_by.iter().map(ToString::to_string).collect();
    Box::new(ApiProblem { errors, used_by, ..*problem })
}

fn item(fault: &ChangeFault) -> ProblemItem {
    ProblemItem {
        severity: if fault.severity == Severity::Error { "error" } else { "warning" },
        object: fault.subject.object.as_ref().map(ToString::to_string),
        key: fault.subject.key.clone(),
        message: fault.message.clone(),
        help: fault.help.clone(),
        place: Some(fault.place.clone()).filter(|place| !place.is_empty()),
    }
}

/// The entity tag of an object; empty where there is none.
fn tag(written: &WrittenConfig, path: &ObjectPath) -> String {
    objects::settings_at(written, path).map(|settings| etag(path, settings)).unwrap_or_default()
}
