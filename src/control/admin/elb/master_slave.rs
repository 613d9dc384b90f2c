//! Master-slave pools, which are given out with their members and their health check.

use serde_json::Value as Json;
use serde_json::json;

use crate::control::admin::elb::call::ElbAnswer;
use crate::control::admin::elb::call::ElbCall;
use crate::control::admin::elb::described::Described;
use crate::control::admin::elb::query;
use crate::control::elb::ids;
use crate::control::elb::index::ElbIndex;
use crate::control::elb::master_slave::ATTRIBUTES;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::store::ElbCreation;

/// Attributes that others decide.
const OF_OTHERS: [&str; 6] = ["id", "project_id", "created_at", "updated_at", "listeners", "loadbalancers"];

pub(super) fn list(call: &ElbCall<'_>) -> ElbAnswer {
    let objects = call.objects()?;
    let (described, index) = (Described::new(call, &objects), ElbIndex::new(&objects));
    let is_wanted = |pool: &&ElbObject| pool.is_of_master_slave() && pool.project == call.project;
    let pools = objects.of_kind(ElbKind::Pool).filter(is_wanted);
    let all = pools.map(|pool| shown(&described, &index, pool)).collect();
    let (page, page_info) = query::page(ElbKind::Pool, all, call.request.parameters())?;
    Ok((200, json!({ "pools": page, "page_info": page_info })))
}

pub(super) fn create(call: &ElbCall<'_>) -> ElbAnswer {
    let sent = call.attributes("pool")?;
    let id = ids::of_kind(ElbKind::Pool)?;
    let (_, objects) = call.change(|objects, now| {
        objects.create_master_slave(&sent, &ElbCreation { project: call.project, id: id.clone(), now })
    })?;
    answer(call, &objects, &id, 201)
}

pub(super) fn show(call: &ElbCall<'_>, id: &str) -> ElbAnswer {
    answer(call, &*call.objects()?, id, 200)
}

pub(super) fn delete(call: &ElbCall<'_>, id: &str) -> ElbAnswer {
    call.change(|objects, now| {
        objects.master_slave(id, call.project)?;
        objects.delete_master_slave(id, now)
    })?;
    Ok((204, Json::Null))
}

fn answer(call: &ElbCall<'_>, objects: &ElbObjects, id: &str, status: u16) -> ElbAnswer {
    let pool = objects.master_slave(id, call.project)?;
    let shown = shown(&Described::new(call, objects), &ElbIndex::new(objects), pool);
    Ok((status, json!({ "pool": shown })))
}

fn shown(described: &Described<'_>, index: &ElbIndex<'_>, pool: &ElbObject) -> Json {
    let mut shown = described.object(pool);
    if let Some(attributes) = shown.as_object_mut() {
        attributes.retain(|name, _| {
            let is_it = |known: &&str| known == name;
            ATTRIBUTES.iter().chain(&OF_OTHERS).any(is_it)
        });
    }
    let members = index.members_of(&pool.id).iter().map(|member| described.object(member));
    shown["members"] = members.collect();
    shown["healthmonitor"] =
        index.monitor_of(&pool.id).map_or(Json::Null, |monitor| described.object(monitor));
    shown
}
