//! Filters of lists by what objects have to do with others, of which the objects themselves say nothing.

use crate::control::elb::index::ElbIndex;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;

/// Whether objects of a kind are found by this.
pub(super) fn is_known(kind: ElbKind, name: &str) -> bool {
    match kind {
        ElbKind::LoadBalancer | ElbKind::Listener | ElbKind::Pool => name == "member_address",
        ElbKind::Member => name == "pool_id" || name == "loadbalancer_id",
        _ => false,
    }
}

/// Whether all filters hold; values of one are alternatives.
pub(super) fn hold(index: &ElbIndex<'_>, object: &ElbObject, filters: &[(String, String)]) -> bool {
    filters.iter().all(|(name, _)| {
        let mut values = filters.iter().filter(|(known, _)| known == name);
        values.any(|(_, value)| has(index, object, (name, value)))
    })
}

fn has(index: &ElbIndex<'_>, object: &ElbObject, (name, value): (&str, &str)) -> bool {
    match (object.kind, name) {
        (ElbKind::Member, "pool_id") => object.owner == value,
        (ElbKind::Member, _) => leads_from(index, &object.owner, value),
        (ElbKind::Pool, _) => has_member(index, &object.id, value),
        (ElbKind::Listener, _) => {
            index.pools_of(&object.id).iter().any(|pool| has_member(index, &pool.id, value))
        }
        _ => {
            let mut pools = index.objects.of_kind(ElbKind::Pool);
            pools.any(|pool| leads_from(index, &pool.id, &object.id) && has_member(index, &pool.id, value))
        }
    }
}

fn has_member(index: &ElbIndex<'_>, pool: &str, address: &str) -> bool {
    index.members_of(pool).iter().any(|member| member.text("address") == address)
}

/// Whether a backend server group is of a load balancer, or one of its listeners leads to it.
fn leads_from(index: &ElbIndex<'_>, pool: &str, balancer: &str) -> bool {
    let is_of_it = |object: &ElbObject| object.text("loadbalancer_id") == balancer;
    index.objects.find(ElbKind::Pool, pool).is_some_and(is_of_it)
        || index.listeners_of(pool).iter().any(|listener| is_of_it(listener))
}
