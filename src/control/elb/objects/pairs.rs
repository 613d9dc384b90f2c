//! Which backend server groups a listener may lead to.

use crate::control::elb::fault::ElbFault;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;

/// Whether a listener may lead to the group that an attribute names.
///
/// # Errors
/// It names the attribute.
pub(super) fn check(
    objects: &ElbObjects,
    listener: &ElbObject,
    (name, pool): (&str, &str),
) -> Result<(), ElbFault> {
    let found = objects.find(ElbKind::Pool, pool).filter(|found| found.project == listener.project);
    let Some(pool) = found else {
        let why = format!("names no {}: \"{}\"", ElbKind::Pool.noun(), pool.escape_debug());
        return Err(ElbFault::attribute(name, why));
    };
    let balancer = pool.text("loadbalancer_id");
    if !balancer.is_empty() && balancer != listener.text("loadbalancer_id") {
        return Err(ElbFault::attribute(name, "is a backend server group of another load balancer"));
    }
    let (own, of_pool) = (listener.text("protocol"), pool.text("protocol"));
    match (own, of_pool) {
        ("HTTP", "HTTP") | ("HTTPS" | "QUIC", "HTTP" | "HTTPS") => Ok(()),
        ("TCP", "TCP") | ("TLS", "TCP" | "TLS") | ("UDP", "UDP" | "QUIC") => Ok(()),
        ("QUIC", "GRPC") => Ok(()),
        ("HTTPS", "GRPC") if listener.truth("http2_enable") => Ok(()),
        ("HTTPS", "GRPC") => {
            Err(ElbFault::attribute("http2_enable", "must be true: the group has the protocol GRPC"))
        }
        _ => {
            let why = format!("has the protocol {of_pool}, which does not go with a listener for {own}");
            Err(ElbFault::attribute(name, why))
        }
    }
}
