//! Many backend servers by one call, and so by one reload.

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::control::admin::elb::call::ElbAnswer;
use crate::control::admin::elb::call::ElbCall;
use crate::control::admin::elb::described::Described;
use crate::control::elb::fault::ElbFault;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::store::ElbCreation;

/// Backend servers of one call.
const MAX_MEMBERS: usize = 1_000;

pub(super) fn add(call: &ElbCall<'_>, pool: &str) -> ElbAnswer {
    let all = sent(call)?;
    let (ids, objects) = call.change(|objects, now| {
        objects.of_project(ElbKind::Pool, pool, call.project)?;
        let mut ids = Vec::with_capacity(all.len());
        for one in &all {
            let id = ElbCall::new_id(ElbKind::Member)?;
            let creation = ElbCreation { project: call.project, id: id.clone(), now };
            objects.create(ElbKind::Member, pool, one, creation)?;
            ids.push(id);
        }
        Ok(ids)
    })?;
    answer(call, &objects, &ids, 201)
}

pub(super) fn update(call: &ElbCall<'_>, pool: &str) -> ElbAnswer {
    let all = sent(call)?;
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
    let all = sent(call)?;
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

fn sent(call: &ElbCall<'_>) -> Result<Vec<Map<String, Json>>, ElbFault> {
    let Json::Array(all) = call.document("members")? else {
        return Err(ElbFault::attribute("members", "must be a list"));
    };
    if all.is_empty() || all.len() > MAX_MEMBERS {
        return Err(ElbFault::attribute("members", format!("must have 1 to {MAX_MEMBERS} elements")));
    }
    let object = |one| match one {
        Json::Object(one) => Ok(one),
        _ => Err(ElbFault::attribute("members", "must be a list of objects")),
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
    let member = |id: &String| {
        let mut member = tree.object(objects.of_project(ElbKind::Member, id, call.project)?);
        member["ret_status"] = Json::from("successful");
        Ok(member)
    };
    let members = ids.iter().map(member).collect::<Result<Vec<Json>, ElbFault>>()?;
    Ok((status, json!({ "members": members })))
}
