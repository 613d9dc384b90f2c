//! Objects as they are given out: with what they have to do with others, and what is known of their health.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use serde_json::json;

use crate::control::admin::command_server::CommandServer;
use crate::control::admin::elb::call::ElbCall;
use crate::control::admin::status::BackendStatus;
use crate::control::admin::status::Status;
use crate::control::elb::index::ElbIndex;
use crate::control::elb::index::of_listener;
use crate::control::elb::mapping::names;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object::MASTER_SLAVE;
use crate::control::elb::object_set::ElbObjects;
use crate::control::json_reader;

/// The objects, and what the process knows of their backends.
pub(super) struct Described<'o> {
    pub(super) index: ElbIndex<'o>,
    server: Arc<CommandServer>,
    /// By the name of the group and the address; asked for when the first member is described.
    backends: OnceCell<BTreeMap<(String, String), BackendStatus>>,
}

/// The id of the object that a document holds.
pub(super) fn audited(document: &Json) -> String {
    let mut of_members = document.as_object().into_iter().flatten();
    let found = of_members.find_map(|(kind, object)| Some(format!("{kind}/{}", object["id"].as_str()?)));
    found.unwrap_or_default()
}

impl<'o> Described<'o> {
    pub(super) fn new(call: &ElbCall<'_>, objects: &'o ElbObjects) -> Described<'o> {
        let server = Arc::clone(&call.service.server);
        Described { index: ElbIndex::new(objects), server, backends: OnceCell::new() }
    }

    fn backends(&self) -> &BTreeMap<(String, String), BackendStatus> {
        self.backends.get_or_init(|| {
            let mut backends = BTreeMap::new();
            let status: Option<Status> = json_reader::read(&self.server.status()).ok();
            for group in status.into_iter().flat_map(|status| status.groups) {
                for backend in group.backends {
                    backends.insert((group.name.clone(), backend.address.clone()), backend);
                }
            }
            backends
        })
    }

    pub(super) fn object(&self, object: &ElbObject) -> Json {
        let mut shown = Json::Object(object.attributes.clone());
        remove(&mut shown, MASTER_SLAVE);
        shown["id"] = Json::from(object.id.as_str());
        shown["project_id"] = Json::from(object.project.as_str());
        shown["created_at"] = Json::from(object.created_at.as_str());
        shown["updated_at"] = Json::from(object.updated_at.as_str());
        match object.kind {
            ElbKind::LoadBalancer => self.load_balancer(object, &mut shown),
            ElbKind::Listener => {
                shown["loadbalancers"] = json!([{ "id": object.text("loadbalancer_id") }]);
                remove(&mut shown, "loadbalancer_id");
            }
            ElbKind::Pool => self.pool(object, &mut shown),
            ElbKind::Member => self.member(object, &mut shown),
            ElbKind::HealthMonitor => {
                shown["pools"] = json!([{ "id": object.text("pool_id") }]);
                remove(&mut shown, "pool_id");
            }
            // Keys are never given out.
            ElbKind::Certificate => shown["private_key"] = Json::Null,
            ElbKind::Policy => {
                shown["rules"] = ids(self.index.rules_of(&object.id));
                shown["provisioning_status"] = Json::from("ACTIVE");
            }
            ElbKind::Rule => shown["provisioning_status"] = Json::from("ACTIVE"),
            ElbKind::IpGroup => {
                let listeners = self.index.objects.of_kind(ElbKind::Listener);
                let users = listeners.filter(|one| of_listener(one).any(|id| id == object.id));
                shown["listeners"] = ids(&users.collect::<Vec<_>>());
            }
            ElbKind::SecurityPolicy => {
                let listeners = self.index.objects.of_kind(ElbKind::Listener);
                let users = listeners.filter(|one| one.text("security_policy_id") == object.id);
                shown["listeners"] = ids(&users.collect::<Vec<_>>());
            }
        }
        shown
    }

    fn load_balancer(&self, object: &ElbObject, shown: &mut Json) {
        let of_it = |kind: ElbKind| -> Vec<Json> {
            let own = self.index.objects.of_kind(kind).filter(|one| one.text("loadbalancer_id") == object.id);
            own.map(|one| json!({ "id": one.id })).collect()
        };
        shown["listeners"] = Json::from(of_it(ElbKind::Listener));
        shown["pools"] = Json::from(of_it(ElbKind::Pool));
        shown["provisioning_status"] = Json::from("ACTIVE");
        shown["operating_status"] = Json::from("ONLINE");
        shown["eips"] = json!([]);
        shown["publicips"] = json!([]);
    }

    fn pool(&self, object: &ElbObject, shown: &mut Json) {
        let listeners = self.index.listeners_of(&object.id);
        let own = [object.text("loadbalancer_id")].into_iter().filter(|id| !id.is_empty());
        let of_listeners = listeners.iter().map(|listener| listener.text("loadbalancer_id"));
        let mut balancers: Vec<&str> = own.chain(of_listeners).collect();
        balancers.sort_unstable();
        balancers.dedup();
        shown["loadbalancers"] = balancers.into_iter().map(|id| json!({ "id": id })).collect();
        shown["listeners"] = ids(listeners);
        shown["members"] = ids(self.index.members_of(&object.id));
        let monitor = self.index.monitor_of(&object.id);
        shown["healthmonitor_id"] = monitor.map_or(Json::Null, |monitor| Json::from(monitor.id.as_str()));
        remove(shown, "loadbalancer_id");
        remove(shown, "listener_id");
    }

    fn member(&self, object: &ElbObject, shown: &mut Json) {
        let listeners = self.index.listeners_of(&object.owner);
        let of_listeners: Vec<Json> = listeners
            .iter()
            .map(|listener| {
                let status = self.member_status(object, Some(listener));
                json!({ "listener_id": listener.id, "operating_status": status })
            })
            .collect();
        let first = of_listeners.first().map(|status| status["operating_status"].clone());
        shown["operating_status"] = first.unwrap_or_else(|| Json::from("UNKNOWN"));
        shown["status"] = Json::from(of_listeners);
        shown["ip_version"] = Json::from(if object.text("address").contains(':') { "v6" } else { "v4" });
        shown["member_type"] = Json::from("ip");
        let found =
            self.index.listeners_of(&object.owner).iter().find_map(|listener| self.backend(object, listener));
        shown["reason"] = found.and_then(|backend| self.reason(object, backend)).unwrap_or_default();
    }

    fn backend(&self, member: &ElbObject, listener: &ElbObject) -> Option<&BackendStatus> {
        let pool = self.index.objects.find(ElbKind::Pool, &member.owner)?;
        self.backends().get(&(names::group_name(listener, pool), names::member_address(member)))
    }

    /// What probes say, whatever else keeps requests from it.
    pub(super) fn member_status(&self, member: &ElbObject, listener: Option<&ElbObject>) -> &'static str {
        let Some(listener) = listener else { return "UNKNOWN" };
        match self.backend(member, listener).map(|backend| &*backend.check) {
            Some("healthy") => "ONLINE",
            Some("unhealthy") => "OFFLINE",
            Some("initial") => "INITIAL",
            _ => "NO_MONITOR",
        }
    }

    fn reason(&self, member: &ElbObject, backend: &BackendStatus) -> Option<Json> {
        let reason = backend.reason.as_ref()?;
        let monitor = self.index.monitor_of(&member.owner);
        let expected =
            monitor.map(|monitor| monitor.text("expected_codes")).filter(|codes| !codes.is_empty());
        Some(json!({
            "reason_code": **reason, "expected_response": expected.unwrap_or("200"),
            "healthcheck_response": backend.status.map_or_else(String::new, |status| status.to_string()),
        }))
    }
}

fn ids(objects: &[&ElbObject]) -> Json {
    objects.iter().map(|object| json!({ "id": object.id })).collect()
}

fn remove(shown: &mut Json, name: &str) {
    if let Some(members) = shown.as_object_mut() {
        members.remove(name);
    }
}
