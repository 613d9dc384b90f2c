//! Many backend servers by one call, and so by one reload.

use std::collections::BTreeMap;

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::control::admin::elb::call::ElbAnswer;
use crate::control::admin::elb::call::ElbCall;
use crate::control::admin::elb::described::Described;
use crate::control::elb::fault::ElbFault;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::store;

/// Backend servers, or policies, of one call.
const MAX_MEMBERS: usize = 1_000;

pub(super) fn add(call: &ElbCall<'_>, pool: &str) -> ElbAnswer {
    let all = sent(call, "members")?;
    let (ids, objects) = call.change(|objects, now| {
        objects.of_project(ElbKind::Pool, pool, call.project)?;
        objects.create_members(pool, &all, (call.project, now))
    })?;
    answer(call, &objects, &ids, 201)
}

pub(super) fn update(call: &ElbCall<'_>, pool: &str) -> ElbAnswer {
    let all = sent(call, "members")?;
    let (ids, objects) = call.change(|objects, now| {
        let mut ids = Vec::with_capacity(all.len());
        for one in &all {
            let mut one = one.clone();
            let id = id_of(&mut one)?;
            call.found(objects, (ElbKind::Member, Some(pool)), &id)?;
            objects.update(ElbKind::Member, &id, &one, now)?;
            ids.push(id);
        }
        Ok(ids)
    })?;
    answer(call, &objects, &ids, 200)
}

pub(super) fn delete(call: &ElbCall<'_>, pool: &str) -> ElbAnswer {
    let all = sent(call, "members")?;
    let (ids, _) = call.change(|objects, now| {
        let mut ids = Vec::with_capacity(all.len());
        for one in &all {
            let id = id_of(&mut one.clone())?;
            call.found(objects, (ElbKind::Member, Some(pool)), &id)?;
            objects.delete(ElbKind::Member, &id, now)?;
            ids.push(id);
        }
        Ok(ids)
    })?;
    let members: Vec<Json> = ids.iter().map(|id| json!({ "id": id, "ret_status": "successful" })).collect();
    Ok((200, json!({ "members": members })))
}

/// Gives forwarding policies other places, which they may change with each other.
pub(super) fn reorder(call: &ElbCall<'_>) -> ElbAnswer {
    let place = |policy: Map<String, Json>| {
        let id = policy.get("id").and_then(Json::as_str);
        let id = id.ok_or_else(|| ElbFault::attribute("l7policies.id", "is missing"))?;
        let number = policy.get("priority").and_then(Json::as_i64);
        let is_good = |number: &i64| (0..=store::MAX_PRIORITY).contains(number);
        let why = || format!("must be a number from 0 to {}", store::MAX_PRIORITY);
        let number = number.filter(is_good);
        Ok((id.to_owned(), number.ok_or_else(|| ElbFault::attribute("l7policies.priority", why()))?))
    };
    let places = sent(call, "l7policies")?.into_iter().map(place);
    let places = places.collect::<Result<Vec<(String, i64)>, ElbFault>>()?;
    call.change(|objects, now| objects.reorder(&places, call.project, now))?;
    Ok((200, json!({})))
}

fn sent(call: &ElbCall<'_>, wrapper: &str) -> Result<Vec<Map<String, Json>>, ElbFault> {
    let Json::Array(all) = call.document(wrapper)? else {
        return Err(ElbFault::attribute(wrapper, "must be a list"));
    };
    if all.is_empty() || all.len() > MAX_MEMBERS {
        return Err(ElbFault::attribute(wrapper, format!("must have 1 to {MAX_MEMBERS} elements")));
    }
    let object = |one| match one {
        Json::Object(one) => Ok(one),
        _ => Err(ElbFault::attribute(wrapper, "must be a list of objects")),
    };
    all.into_iter().map(object).collect()
}

fn id_of(one: &mut Map<String, Json>) -> Result<String, ElbFault> {
    match one.remove("id") {
        Some(Json::String(id)) => Ok(id),
        _ => Err(ElbFault::attribute("members.id", "is missing")),
    }
}

fn answer(call: &ElbCall<'_>, objects: &ElbObjects, ids: &[String], status: u16) -> ElbAnswer {
    let tree = Described::new(call, objects);
    let known: BTreeMap<&str, &ElbObject> =
        objects.of_kind(ElbKind::Member).map(|member| (member.id.as_str(), member)).collect();
    let member = |id: &String| {
        let found = known.get(id.as_str()).ok_or_else(|| ElbFault::missing("backend server", id))?;
        let mut member = tree.object(found);
        member["ret_status"] = Json::from("successful");
        Ok(member)
    };
    let members = ids.iter().map(member).collect::<Result<Vec<Json>, ElbFault>>()?;
    Ok((status, json!({ "members": members })))
}
