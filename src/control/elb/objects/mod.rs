//! The objects of the ELB API: one file for each kind says what its attributes are and what must hold of them.

pub(super) mod certificate;
pub(super) mod cors;
pub(super) mod header_value;
pub(super) mod health_monitor;
pub(super) mod ip_group;
pub(super) mod listener;
pub(super) mod load_balancer;
pub(super) mod member;
pub(super) mod master_slave;
mod pairs;
pub(super) mod policy;
pub(super) mod pool;
pub(super) mod protocols;
pub(super) mod rule;
pub(super) mod security_policy;

use serde_json::Map;
use serde_json::Value as Json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields::ElbField;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;

pub(super) fn fields(kind: ElbKind) -> &'static [ElbField] {
    match kind {
        ElbKind::LoadBalancer => load_balancer::FIELDS,
        ElbKind::Listener => listener::FIELDS,
        ElbKind::Pool => pool::FIELDS,
        ElbKind::Member => member::FIELDS,
        ElbKind::HealthMonitor => health_monitor::FIELDS,
        ElbKind::Certificate => certificate::FIELDS,
        ElbKind::Policy => policy::FIELDS,
        ElbKind::Rule => rule::FIELDS,
        ElbKind::IpGroup => ip_group::FIELDS,
        ElbKind::SecurityPolicy => security_policy::FIELDS,
    }
}

/// Looks at what attributes say by themselves, and adds what follows of them.
///
/// # Errors
/// It names the attribute.
pub(super) fn settle(kind: ElbKind, attributes: &mut Map<String, Json>) -> Result<(), ElbFault> {
    match kind {
        ElbKind::Listener => listener::settle(attributes)?,
        ElbKind::Certificate => certificate::settle(attributes)?,
        ElbKind::Policy => policy::settle(attributes)?,
        ElbKind::IpGroup => ip_group::settle(attributes)?,
        ElbKind::SecurityPolicy => security_policy::settle(attributes)?,
        _ => {}
    }
    Ok(())
}

/// Gives an object what it did not ask for and what others decide.
///
/// # Errors
/// It has asked for what it cannot have.
pub(super) fn place(objects: &ElbObjects, object: &mut ElbObject) -> Result<(), ElbFault> {
    match object.kind {
        ElbKind::Policy => policy::place(objects, object),
        _ => Ok(()),
    }
}

/// Whether an object goes together with the others.
///
/// # Errors
/// It names the attribute, or the other object.
pub(super) fn check(objects: &ElbObjects, object: &ElbObject) -> Result<(), ElbFault> {
    match object.kind {
        // What they say was looked at before.
        ElbKind::LoadBalancer | ElbKind::Certificate | ElbKind::IpGroup | ElbKind::SecurityPolicy => Ok(()),
        ElbKind::Listener => listener::check(objects, object),
        ElbKind::Pool => pool::check(objects, object),
        ElbKind::Member => member::check(objects, object),
        ElbKind::HealthMonitor => health_monitor::check(objects, object),
        ElbKind::Policy => policy::check(objects, object),
        ElbKind::Rule => rule::check(objects, object),
    }
}
