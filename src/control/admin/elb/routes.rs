//! Which call is at which path.

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::control::admin::elb::batch;
use crate::control::admin::elb::call::ElbAnswer;
use crate::control::admin::elb::call::ElbCall;
use crate::control::admin::elb::described;
use crate::control::admin::elb::ip_lists;
use crate::control::admin::elb::master_slave;
use crate::control::admin::elb::query;
use crate::control::admin::elb::relations;
use crate::control::admin::elb::status_tree;
use crate::control::admin::elb::surroundings;
use crate::control::admin::http::request::percent_decoded;
use crate::control::elb::fault::ElbFault;
use crate::control::elb::ids;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::store::ElbCreation;

/// What paths of calls begin with.
pub(super) const ROOT: &str = "/v3/";
pub(super) const VERSIONS: &str = "/versions";

/// Kinds that stand right below the root.
const ROOTS: [ElbKind; 8] = [
    ElbKind::LoadBalancer,
    ElbKind::Listener,
    ElbKind::Pool,
    ElbKind::HealthMonitor,
    ElbKind::Certificate,
    ElbKind::Policy,
    ElbKind::IpGroup,
    ElbKind::SecurityPolicy,
];

pub(super) fn answer(call: &ElbCall<'_>) -> ElbAnswer {
    let request = call.request;
    if request.path == VERSIONS && request.method == "GET" {
        return Ok((200, surroundings::versions()));
    }
    let path = request.path.strip_prefix(ROOT).unwrap_or_default();
    let segments: Option<Vec<String>> = path.split('/').map(percent_decoded).collect();
    let segments = segments.ok_or_else(ElbFault::no_such_call)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let [project, "elb", below @ ..] = segments.as_slice() else { return Err(ElbFault::no_such_call()) };
    if *project == "{project_id}" {
        return Err(ElbFault::bad_request("the client names no project: give it the project_id of its key"));
    }
    if *project != call.project {
        return Err(ElbFault::forbidden("the access key is of another project"));
    }
    match (request.method.as_str(), below) {
        ("GET", [word]) if surroundings::find(word).is_some() => {
            surroundings::find(word).map(|document| (200, document)).ok_or_else(ElbFault::no_such_call)
        }
        ("GET", ["system-security-policies"]) => Ok((200, surroundings::security_policies(call.project))),
        ("GET", ["loadbalancers", id, "statuses"]) => status_tree::answer(call, id),
        ("DELETE", ["loadbalancers", id, "force-elb"]) => delete_whole(call, ElbKind::LoadBalancer, id),
        ("DELETE", ["listeners", id, "force"]) => delete_whole(call, ElbKind::Listener, id),
        ("GET", ["members"]) => list(call, ElbKind::Member, None),
        ("GET", ["pools", pool, "members"]) => list(call, ElbKind::Member, Some(pool)),
        ("POST", ["pools", pool, "members"]) => create(call, ElbKind::Member, pool),
        ("POST", ["pools", pool, "members", "batch-add"]) => batch::add(call, pool),
        ("POST", ["pools", pool, "members", "batch-delete"]) => batch::delete(call, pool),
        ("POST", ["pools", pool, "members", "batch-update"]) => batch::update(call, pool),
        (method, ["pools", pool, "members", id]) => one(call, method, (ElbKind::Member, Some(pool)), id),
        ("GET", ["master-slave-pools"]) => master_slave::list(call),
        ("POST", ["master-slave-pools"]) => master_slave::create(call),
        ("GET", ["master-slave-pools", id]) => master_slave::show(call, id),
        ("DELETE", ["master-slave-pools", id]) => master_slave::delete(call, id),
        ("POST", ["l7policies", "batch-update-priority"]) => batch::reorder(call),
        ("GET", ["l7policies", "rules"]) => list(call, ElbKind::Rule, None),
        ("GET", ["l7policies", policy, "rules"]) => list(call, ElbKind::Rule, Some(policy)),
        ("POST", ["l7policies", policy, "rules"]) => create(call, ElbKind::Rule, policy),
        (method, ["l7policies", policy, "rules", id]) => one(call, method, (ElbKind::Rule, Some(policy)), id),
        ("POST", ["ipgroups", id, "iplist", "create-or-update"]) => ip_lists::add(call, id),
        ("POST", ["ipgroups", id, "iplist", "batch-delete"]) => ip_lists::delete(call, id),
        ("GET", ["ipgroups", id, "related-listeners"]) => ip_lists::listeners(call, id),
        (method, [word, rest @ ..]) => {
            let kind = ROOTS.into_iter().find(|kind| kind.segment() == *word);
            let kind = kind.ok_or_else(ElbFault::no_such_call)?;
            match (method, rest) {
                ("GET", []) => list(call, kind, None),
                ("POST", []) => create(call, kind, ""),
                (method, [id]) => one(call, method, (kind, None), id),
                _ => Err(ElbFault::no_such_call()),
            }
        }
        _ => Err(ElbFault::no_such_call()),
    }
}

fn list(call: &ElbCall<'_>, kind: ElbKind, owner: Option<&str>) -> ElbAnswer {
    let objects = call.objects()?;
    if let Some((owner, kind)) = owner.zip(kind.owner()) {
        objects.of_project(kind, owner, call.project)?;
    }
    let tree = described::Described::new(call, &objects);
    let (of_others, of_itself): (Vec<_>, Vec<_>) =
        call.request.parameters().iter().cloned().partition(|(name, _)| relations::is_known(kind, name));
    let wanted = |object: &&ElbObject| {
        object.project == call.project
            && !object.is_of_master_slave()
            && owner.is_none_or(|owner| object.owner == owner)
            && relations::hold(&tree.index, object, &of_others)
    };
    let all: Vec<Json> = objects.of_kind(kind).filter(wanted).map(|object| tree.object(object)).collect();
    let (page, page_info) = query::page(kind, all, &of_itself)?;
    Ok((200, json!({ kind.plural(): page, "page_info": page_info })))
}

fn create(call: &ElbCall<'_>, kind: ElbKind, owner: &str) -> ElbAnswer {
    let sent = call.attributes(kind.word())?;
    let id = ids::of_kind(kind)?;
    let (_, objects) = call.change(|objects, now| {
        if let Some(kind) = kind.owner() {
            objects.of_project(kind, owner, call.project)?;
        }
        objects.create(kind, owner, &sent, ElbCreation { project: call.project, id: id.clone(), now })?;
        surroundings::check_addresses(&sent)
    })?;
    shown(call, &objects, kind, &id, 201)
}

fn shown(call: &ElbCall<'_>, objects: &ElbObjects, kind: ElbKind, id: &str, status: u16) -> ElbAnswer {
    let object = objects.of_project(kind, id, call.project)?;
    Ok((status, json!({ kind.word(): described::Described::new(call, objects).object(object) })))
}

fn one(call: &ElbCall<'_>, method: &str, (kind, owner): (ElbKind, Option<&str>), id: &str) -> ElbAnswer {
    match method {
        "GET" => {
            let objects = call.objects()?;
            call.found(&objects, (kind, owner), id)?;
            shown(call, &objects, kind, id, 200)
        }
        "PUT" => {
            let sent: Map<String, Json> = call.attributes(kind.word())?;
            let (_, objects) = call.change(|objects, now| {
                call.found(objects, (kind, owner), id)?;
                objects.update(kind, id, &sent, now)?;
                surroundings::check_addresses(&sent)
            })?;
            shown(call, &objects, kind, id, 200)
        }
        "DELETE" => {
            call.change(|objects, now| {
                call.found(objects, (kind, owner), id)?;
                objects.delete(kind, id, now)
            })?;
            Ok((204, Json::Null))
        }
        _ => Err(ElbFault::no_such_call()),
    }
}

fn delete_whole(call: &ElbCall<'_>, kind: ElbKind, id: &str) -> ElbAnswer {
    call.change(|objects, _| {
        call.found(objects, (kind, None), id)?;
        objects.delete_whole(kind, id)
    })?;
    Ok((204, Json::Null))
}
