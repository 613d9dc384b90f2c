//! A master-slave pool: a backend server group whose second member serves while the first one is down. It is kept as a
//! group, two members and a health check.

use serde_json::Map;
use serde_json::Value as Json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields;
use crate::control::elb::fields::ADMIN_STATE_UP;
use crate::control::elb::fields::ElbField;
use crate::control::elb::fields::ElbForm;
use crate::control::elb::fields::ElbPresence;
use crate::control::elb::fields::NAME;
use crate::control::elb::fields::field;
use crate::control::elb::objects::health_monitor;
use crate::control::elb::objects::pool;
use crate::control::elb::objects::protocols;

/// The attributes that it has of a group.
pub(in crate::control::elb) const OF_POOL: [&str; 15] = [
    "name",
    "description",
    "enterprise_project_id",
    "protocol",
    "lb_algorithm",
    "loadbalancer_id",
    "listener_id",
    "type",
    "vpc_id",
    "ip_version",
    "session_persistence",
    "any_port_enable",
    "connection_drain",
    "quic_cid_hash_strategy",
    "public_border_group",
];

const PARTS: &[ElbField] = &[
    field("members", ElbForm::Tables(MEMBER), ElbPresence::Required),
    field("healthmonitor", ElbForm::Table(health_monitor::FIELDS), ElbPresence::Required),
];

const MEMBER: &[ElbField] = &[
    NAME,
    ADMIN_STATE_UP,
    field("address", ElbForm::Address, ElbPresence::Required),
    field("protocol_port", ElbForm::Number(0, 65_535), ElbPresence::Default("0")),
    field("subnet_cidr_id", ElbForm::Text, ElbPresence::Nullable),
    field("role", ElbForm::Word(&["master", "slave"]), ElbPresence::Required),
];

/// What a document is made into: the attributes of each.
pub(in crate::control::elb) struct MasterSlaveParts {
    pub(in crate::control::elb) pool: Map<String, Json>,
    pub(in crate::control::elb) members: Vec<Map<String, Json>>,
    pub(in crate::control::elb) monitor: Map<String, Json>,
}

impl MasterSlaveParts {
    /// The parts of a group with this id.
    ///
    /// # Errors
    /// It names the attribute.
    pub(in crate::control::elb) fn new(
        sent: &Map<String, Json>,
        id: &str,
    ) -> Result<MasterSlaveParts, ElbFault> {
        let mut of_pool = sent.clone();
        let mut parts: Map<String, Json> =
            PARTS.iter().filter_map(|part| of_pool.remove_entry(part.name)).collect();
        if let Some(unknown) = of_pool.keys().find(|name| !OF_POOL.contains(&name.as_str())) {
            return Err(ElbFault::attribute(unknown, "is not known here"));
        }
        let pool = fields::created(pool::FIELDS, &of_pool)?;
        let protocol = pool.get("protocol").and_then(Json::as_str).unwrap_or_default();
        if !protocols::is_relayed_group(protocol) {
            return Err(ElbFault::attribute("protocol", "must be one of TCP, TLS, UDP, QUIC"));
        }
        if let Some(Json::Object(monitor)) = parts.get_mut("healthmonitor")
            && monitor.insert("pool_id".to_owned(), Json::from(id)).is_some()
        {
            return Err(ElbFault::attribute("healthmonitor.pool_id", "is not known here"));
        }
        let mut parts = fields::created(PARTS, &parts)?;
        let members: Vec<Map<String, Json>> = match parts.remove("members") {
            Some(Json::Array(members)) => members.into_iter().filter_map(table).map(weighed).collect(),
            _ => Vec::new(),
        };
        let monitor = parts.remove("healthmonitor").and_then(table).unwrap_or_default();
        let has = |role: &str| members.iter().any(|member| member.get("role").is_some_and(|own| own == role));
        if members.len() != 2 || !has("master") || !has("slave") {
            let why = "must be two: one with the `role` master, and one with the `role` slave";
            return Err(ElbFault::attribute("members", why));
        }
        Ok(MasterSlaveParts { pool, members, monitor })
    }
}

fn table(part: Json) -> Option<Map<String, Json>> {
    match part {
        Json::Object(table) => Some(table),
        _ => None,
    }
}

/// Each is alone in its role, and has some weight.
fn weighed(mut member: Map<String, Json>) -> Map<String, Json> {
    member.insert("weight".to_owned(), Json::from(1));
    member
}
