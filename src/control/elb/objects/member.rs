//! A backend server: an address in a backend server group.

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
    let has_any_port = owner.is_some_and(|pool| pool.truth("any_port_enable"));
    match (has_any_port, member.number("protocol_port")) {
        (false, 0) => return Err(ElbFault::attribute("protocol_port", "is missing")),
        (true, 1..) => {
            let why = "must be 0: backend servers of the group are asked at the port that clients came to";
            return Err(ElbFault::attribute("protocol_port", why));
        }
        _ => {}
    }
    let is_same = |other: &&ElbObject| {
        other.owner == member.owner
            && other.id != member.id
            && other.text("address") == member.text("address")
            && other.number("protocol_port") == member.number("protocol_port")
    };
    match objects.of_kind(ElbKind::Member).find(is_same) {
        Some(other) => {
            let (address, port) = (member.text("address"), member.number("protocol_port"));
            Err(ElbFault::conflict(format!(
                "the backend server {} has {address} and {port} already",
                other.id
            )))
        }
        None => Ok(()),
    }
}
