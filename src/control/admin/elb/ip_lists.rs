//! Parts of IP groups: addresses that come and go, and the listeners that name a group.

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::control::admin::elb::call::ElbAnswer;
use crate::control::admin::elb::call::ElbCall;
use crate::control::admin::elb::described::Described;
use crate::control::elb::fault::ElbFault;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;

/// Adds elements, and gives those that are there another description.
pub(super) fn add(call: &ElbCall<'_>, id: &str) -> ElbAnswer {
    let mut sent = call.attributes(ElbKind::IpGroup.word())?;
    let added = elements(&sent)?;
    change(call, id, &mut sent, |known| {
        for element in added {
            match known.iter_mut().find(|one| one["ip"] == element["ip"]) {
                Some(one) => *one = element,
                None => known.push(element),
            }
        }
        Ok(())
    })
}

/// Takes elements away.
pub(super) fn delete(call: &ElbCall<'_>, id: &str) -> ElbAnswer {
    let mut sent = call.attributes(ElbKind::IpGroup.word())?;
    let gone = elements(&sent)?;
    change(call, id, &mut sent, |known| {
        for element in gone {
            let place = known.iter().position(|one| one["ip"] == element["ip"]);
            let why = || ElbFault::attribute("ip_list.ip", format!("is not in the group: {}", element["ip"]));
            known.remove(place.ok_or_else(why)?);
        }
        Ok(())
    })
}

fn elements(sent: &Map<String, Json>) -> Result<Vec<Json>, ElbFault> {
    let list = sent.get("ip_list").and_then(Json::as_array);
    list.cloned().ok_or_else(|| ElbFault::attribute("ip_list", "must be a list of objects"))
}

/// Changes the list as it is when nobody else changes it, and what else is sent.
fn change(
    call: &ElbCall<'_>,
    id: &str,
    sent: &mut Map<String, Json>,
    edit: impl FnOnce(&mut Vec<Json>) -> Result<(), ElbFault>,
) -> ElbAnswer {
    let (_, objects) = call.change(|objects, now| {
        let group = objects.of_project(ElbKind::IpGroup, id, call.project)?;
        let known = group.attributes.get("ip_list").and_then(Json::as_array);
        let mut known = known.cloned().unwrap_or_default();
        edit(&mut known)?;
        sent.insert("ip_list".to_owned(), Json::Array(known));
        objects.update(ElbKind::IpGroup, id, sent, now)
    })?;
    let group = objects.of_project(ElbKind::IpGroup, id, call.project)?;
    Ok((200, json!({ ElbKind::IpGroup.word(): Described::new(call, &objects).object(group) })))
}

pub(super) fn listeners(call: &ElbCall<'_>, id: &str) -> ElbAnswer {
    let objects = call.objects()?;
    let group: &ElbObject = objects.of_project(ElbKind::IpGroup, id, call.project)?;
    let shown = Described::new(call, &objects).object(group);
    let count = shown["listeners"].as_array().map_or(0, Vec::len);
    Ok((200, json!({ "listeners": shown["listeners"], "page_info": { "current_count": count } })))
}
