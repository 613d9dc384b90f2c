//! The objects of the ELB API: their kinds, and their attributes as they are kept.

use serde_json::Map;
use serde_json::Value as Json;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ElbKind {
    LoadBalancer,
    Listener,
    Pool,
    Member,
    HealthMonitor,
    Certificate,
    Policy,
    Rule,
    IpGroup,
    SecurityPolicy,
}

impl ElbKind {
    pub const ALL: [ElbKind; 10] = [
        ElbKind::LoadBalancer,
        ElbKind::Listener,
        ElbKind::Pool,
        ElbKind::Member,
        ElbKind::HealthMonitor,
        ElbKind::Certificate,
        ElbKind::Policy,
        ElbKind::Rule,
        ElbKind::IpGroup,
        ElbKind::SecurityPolicy,
    ];

    /// What a document of one is wrapped in.
    pub fn word(self) -> &'static str {
        match self {
            ElbKind::LoadBalancer => "loadbalancer",
            ElbKind::Listener => "listener",
            ElbKind::Pool => "pool",
            ElbKind::Member => "member",
            ElbKind::HealthMonitor => "healthmonitor",
            ElbKind::Certificate => "certificate",
            ElbKind::Policy => "l7policy",
            ElbKind::Rule => "rule",
            ElbKind::IpGroup => "ipgroup",
            ElbKind::SecurityPolicy => "security_policy",
        }
    }

    /// What a list of them is wrapped in.
    pub fn plural(self) -> &'static str {
        match self {
            ElbKind::LoadBalancer => "loadbalancers",
            ElbKind::Listener => "listeners",
            ElbKind::Pool => "pools",
            ElbKind::Member => "members",
            ElbKind::HealthMonitor => "healthmonitors",
            ElbKind::Certificate => "certificates",
            ElbKind::Policy => "l7policies",
            ElbKind::Rule => "rules",
            ElbKind::IpGroup => "ipgroups",
            ElbKind::SecurityPolicy => "security_policies",
        }
    }

    /// What stands for them in paths.
    pub fn segment(self) -> &'static str {
        match self {
            ElbKind::SecurityPolicy => "security-policies",
            _ => self.plural(),
        }
    }

    /// In words.
    pub fn noun(self) -> &'static str {
        match self {
            ElbKind::LoadBalancer => "load balancer",
            ElbKind::Listener => "listener",
            ElbKind::Pool => "backend server group",
            ElbKind::Member => "backend server",
            ElbKind::HealthMonitor => "health check",
            ElbKind::Certificate => "certificate",
            ElbKind::Policy => "forwarding policy",
            ElbKind::Rule => "forwarding rule",
            ElbKind::IpGroup => "IP group",
            ElbKind::SecurityPolicy => "security policy",
        }
    }

    /// The kind of what one of these belongs to, below which it stands in paths.
    pub fn owner(self) -> Option<ElbKind> {
        match self {
            ElbKind::Member => Some(ElbKind::Pool),
            ElbKind::Rule => Some(ElbKind::Policy),
            _ => None,
        }
    }

    /// How many of a kind there may be.
    pub fn quota(self) -> usize {
        match self {
            ElbKind::LoadBalancer => 100,
            ElbKind::Member | ElbKind::Rule => 10_000,
            _ => 1_000,
        }
    }
}

/// An object as it is kept: every attribute of its kind, and what all kinds have.
#[derive(Clone, Debug, PartialEq)]
pub struct ElbObject {
    pub kind: ElbKind,
    pub id: String,
    pub project: String,
    /// Of a member, the pool that it is in; of a rule, its policy; else empty.
    pub owner: String,
    pub created_at: String,
    pub updated_at: String,
    pub attributes: Map<String, Json>,
}

/// The attribute of a master-slave pool and of what is in it, which nobody sends or is given.
pub const MASTER_SLAVE: &str = "master_slave";

impl ElbObject {
    /// Whether it is a master-slave pool or in one: all of it is made and deleted together, and nothing of it is changed.
    pub fn is_of_master_slave(&self) -> bool {
        self.truth(MASTER_SLAVE)
    }

    /// An attribute that is a text; empty where it is null.
    pub fn text(&self, name: &str) -> &str {
        self.attributes.get(name).and_then(Json::as_str).unwrap_or_default()
    }

    pub fn truth(&self, name: &str) -> bool {
        self.attributes.get(name).and_then(Json::as_bool).unwrap_or_default()
    }

    /// An attribute that is a number; 0 where it is null.
    pub fn number(&self, name: &str) -> i64 {
        self.attributes.get(name).and_then(Json::as_i64).unwrap_or_default()
    }

    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let list = self.attributes.get(name).and_then(Json::as_array);
        list.into_iter().flatten().filter_map(Json::as_str)
    }

    /// The tables of an attribute that is a list of them.
    pub fn tables(&self, name: &str) -> impl Iterator<Item = &Map<String, Json>> {
        let list = self.attributes.get(name).and_then(Json::as_array);
        list.into_iter().flatten().filter_map(Json::as_object)
    }

    pub fn table(&self, name: &str) -> Option<&Map<String, Json>> {
        self.attributes.get(name).and_then(Json::as_object)
    }
}
