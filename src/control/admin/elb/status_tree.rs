//! A load balancer with all that hangs below it, and how each of them is.

use serde_json::Value as Json;
use serde_json::json;

use crate::control::admin::elb::call::ElbAnswer;
use crate::control::admin::elb::call::ElbCall;
use crate::control::admin::elb::described::Described;
use crate::control::elb::index::ElbIndex;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;

pub(super) fn answer(call: &ElbCall<'_>, id: &str) -> ElbAnswer {
    let objects = call.objects()?;
    let balancer = objects.of_project(ElbKind::LoadBalancer, id, call.project)?;
    let tree = ElbStatusTree { index: ElbIndex::new(&objects), described: Described::new(call, &objects) };
    Ok((200, json!({ "statuses": { "loadbalancer": tree.balancer(balancer) } })))
}

struct ElbStatusTree<'o> {
    index: ElbIndex<'o>,
    described: Described<'o>,
}

impl ElbStatusTree<'_> {
    fn balancer(&self, balancer: &ElbObject) -> Json {
        let of_it = |one: &&ElbObject| one.text("loadbalancer_id") == balancer.id;
        let listeners: Vec<Json> = self
            .index
            .objects
            .of_kind(ElbKind::Listener)
            .filter(of_it)
            .map(|one| self.listener(one))
            .collect();
        let pools = self
            .index
            .objects
            .of_kind(ElbKind::Pool)
            .filter(|pool| of_it(pool) || self.index.listeners_of(&pool.id).iter().any(&of_it));
        let first = |pool: &ElbObject| self.index.listeners_of(&pool.id).first().copied();
        let pools: Vec<Json> = pools.map(|pool| self.pool(pool, first(pool))).collect();
        let mut node = node(balancer, is_troubled(&listeners) || is_troubled(&pools));
        node["listeners"] = Json::from(listeners);
        node["pools"] = Json::from(pools);
        node
    }

    fn listener(&self, listener: &ElbObject) -> Json {
        let pools = self.index.pools_of(&listener.id).iter();
        let pools: Vec<Json> = pools.map(|pool| self.pool(pool, Some(listener))).collect();
        let mut node = node(listener, is_troubled(&pools));
        node["pools"] = Json::from(pools);
        node["l7policies"] =
            self.index.policies_of(&listener.id).iter().map(|one| self.policy(one)).collect();
        node
    }

    fn pool(&self, pool: &ElbObject, listener: Option<&ElbObject>) -> Json {
        let members: Vec<Json> =
            self.index.members_of(&pool.id).iter().map(|one| self.member(one, listener)).collect();
        let mut node = node(pool, is_troubled(&members));
        node["members"] = Json::from(members);
        node["healthmonitor"] = self.index.monitor_of(&pool.id).map_or(Json::Null, |monitor| {
            json!({
                "id": monitor.id, "name": monitor.text("name"), "type": monitor.text("type"),
                "provisioning_status": "ACTIVE",
            })
        });
        node
    }

    fn policy(&self, policy: &ElbObject) -> Json {
        let rule = |rule: &&ElbObject| json!({ "id": rule.id, "type": rule.text("type"), "provisioning_status": "ACTIVE" });
        json!({
            "id": policy.id, "name": policy.text("name"), "action": policy.text("action"),
            "provisioning_status": "ACTIVE",
            "rules": self.index.rules_of(&policy.id).iter().map(rule).collect::<Vec<_>>(),
        })
    }

    fn member(&self, member: &ElbObject, listener: Option<&ElbObject>) -> Json {
        let status = match member.truth("admin_state_up") {
            true => self.described.member_status(member, listener),
            false => "DISABLED",
        };
        json!({
            "id": member.id, "address": member.text("address"), "protocol_port": member.number("protocol_port"),
            "provisioning_status": "ACTIVE", "operating_status": status,
        })
    }
}

fn node(object: &ElbObject, is_troubled: bool) -> Json {
    let status = match (object.truth("admin_state_up"), is_troubled) {
        (false, _) => "DISABLED",
        (true, true) => "DEGRADED",
        (true, false) => "ONLINE",
    };
    json!({
        "id": object.id, "name": object.text("name"), "provisioning_status": "ACTIVE",
        "operating_status": status,
    })
}

/// Whether anything below is offline.
fn is_troubled(nodes: &[Json]) -> bool {
    nodes.iter().any(|node| node["operating_status"] == "OFFLINE" || node["operating_status"] == "DEGRADED")
}
