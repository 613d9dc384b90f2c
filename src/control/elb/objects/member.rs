//! A backend server: an address in a backend server group.

use std::collections::BTreeMap;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields::ADMIN_STATE_UP;
use crate::control::elb::fields::ElbField;
use crate::control::elb::fields::ElbForm;
use crate::control::elb::fields::ElbPresence;
use crate::control::elb::fields::NAME;
use crate::control::elb::fields::field;
use crate::control::elb::fields::fixed;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;

pub(in crate::control::elb) const FIELDS: &[ElbField] = &[
    NAME,
    ADMIN_STATE_UP,
    fixed("address", ElbForm::Address, ElbPresence::Required),
    // 0 where backends are asked at the port that clients came to.
    fixed("protocol_port", ElbForm::Number(0, 65_535), ElbPresence::Default("0")),
    field("weight", ElbForm::Number(0, 100), ElbPresence::Default("1")),
    fixed("subnet_cidr_id", ElbForm::Text, ElbPresence::Nullable),
    fixed("availability_zone", ElbForm::Text, ElbPresence::Nullable),
];

/// Whether it has a port where it needs one, and is in the group once only.
///
/// # Errors
/// It names the attribute, or the member that has its address.
pub(in crate::control::elb) fn check(objects: &ElbObjects, member: &ElbObject) -> Result<(), ElbFault> {
    let owner = objects.find(ElbKind::Pool, &member.owner);
    check_port(owner, member)?;
    let is_same = |other: &&ElbObject| {
        other.owner == member.owner && other.id != member.id && place(other) == place(member)
    };
    objects.of_kind(ElbKind::Member).find(is_same).map_or(Ok(()), |other| Err(taken(&other.id, member)))
}

/// The same for many at once that are not among the objects yet.
///
/// # Errors
/// As above.
pub(in crate::control::elb) fn check_all(
    objects: &ElbObjects,
    pool: &str,
    members: &[ElbObject],
) -> Result<(), ElbFault> {
    let owner = objects.find(ElbKind::Pool, pool);
    let mut known: BTreeMap<(&str, i64), &str> =
        objects.members_of(pool).map(|member| (place(member), member.id.as_str())).collect();
    for member in members {
        check_port(owner, member)?;
        if let Some(other) = known.insert(place(member), &member.id) {
            return Err(taken(other, member));
        }
    }
    Ok(())
}

fn check_port(pool: Option<&ElbObject>, member: &ElbObject) -> Result<(), ElbFault> {
    match (pool.is_some_and(|pool| pool.truth("any_port_enable")), member.number("protocol_port")) {
        (false, 0) => Err(ElbFault::attribute("protocol_port", "is missing")),
        (true, 1..) => {
            let why = "must be 0: backend servers of the group are asked at the port that clients came to";
            Err(ElbFault::attribute("protocol_port", why))
        }
        _ => Ok(()),
    }
}

fn place(member: &ElbObject) -> (&str, i64) {
    (member.text("address"), member.number("protocol_port"))
}

fn taken(other: &str, member: &ElbObject) -> ElbFault {
    let (address, port) = place(member);
    ElbFault::conflict(format!("the backend server {other} has {address} and {port} already"))
}
