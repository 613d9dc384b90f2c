//! What becomes of the objects of the ELB API when one of them is deleted.

use serde_json::json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects::ip_group;
use crate::control::elb::objects::listener;
use crate::control::elb::objects::policy;

impl ElbObjects {
    /// Deletes an object that nothing needs, and the rules of a policy with it.
    ///
    /// # Errors
    /// It is not there, or something needs it.
    pub fn delete(&mut self, kind: ElbKind, id: &str, now: &str) -> Result<(), ElbFault> {
        let place = self.place(kind, id)?;
        if let Some(what) = self.needs(kind, id) {
            let message = format!("the {} {id} cannot be deleted because of {what}", kind.noun());
            return Err(ElbFault::conflict(message));
        }
        self.objects.remove(place);
        match kind {
            ElbKind::Policy => {
                self.objects.retain(|object| object.kind != ElbKind::Rule || object.owner != id);
                Ok(())
            }
            ElbKind::Pool => self.leave_pool(id, now),
            _ => Ok(()),
        }
    }

    /// Scripts delete groups before the listeners whose default they are.
    fn leave_pool(&mut self, id: &str, now: &str) -> Result<(), ElbFault> {
        let listeners: Vec<String> = self.defaulted_to(id).map(|listener| listener.id.clone()).collect();
        let change = json!({ "default_pool_id": null });
        let change = change.as_object().cloned().unwrap_or_default();
        listeners.iter().try_for_each(|listener| self.update(ElbKind::Listener, listener, &change, now))
    }

    /// What needs an object.
    fn needs(&self, kind: ElbKind, id: &str) -> Option<&'static str> {
        let has = |kind: ElbKind, is_user: &dyn Fn(&ElbObject) -> bool| self.of_kind(kind).any(is_user);
        let names = |name: &'static str| move |object: &ElbObject| object.text(name) == id;
        match kind {
            ElbKind::LoadBalancer => self.needs_of_balancer(id),
            ElbKind::Listener if has(ElbKind::Policy, &names("listener_id")) => {
                Some("its forwarding policies")
            }
            ElbKind::Listener if has(ElbKind::Policy, &names("redirect_listener_id")) => {
                Some("a forwarding policy that redirects to it")
            }
            ElbKind::Listener if has(ElbKind::Listener, &|one| listener::quic_listener(one) == Some(id)) => {
                Some("`quic_config` of a listener")
            }
            ElbKind::Pool if self.members_of(id).next().is_some() => Some("its backend servers"),
            ElbKind::Pool if self.monitor_of(id).is_some() => Some("its health check"),
            ElbKind::Pool if has(ElbKind::Policy, &|one| policy::pools(one).contains(&id)) => {
                Some("a forwarding policy that leads to it")
            }
            ElbKind::IpGroup
                if has(ElbKind::Listener, &|one| ip_group::of_listener(one).any(|own| own == id)) =>
            {
                Some("a listener")
            }
            ElbKind::Certificate if has(ElbKind::Listener, &|one| shows(one, id)) => Some("a listener"),
            ElbKind::SecurityPolicy if has(ElbKind::Listener, &names("security_policy_id")) => {
                Some("a listener")
            }
            _ => None,
        }
    }

    fn needs_of_balancer(&self, id: &str) -> Option<&'static str> {
        let is_of_it = |object: &ElbObject| object.text("loadbalancer_id") == id;
        let balancer = self.find(ElbKind::LoadBalancer, id);
        if balancer.is_some_and(|balancer| balancer.truth("deletion_protection_enable")) {
            return Some("`deletion_protection_enable`, which is true");
        }
        if self.of_kind(ElbKind::Listener).any(is_of_it) {
            return Some("its listeners");
        }
        self.of_kind(ElbKind::Pool).any(is_of_it).then_some("its backend server groups")
    }

    /// Deletes a listener with its policies and those that redirect to it, or a load balancer with all that belongs to it.
    ///
    /// # Errors
    /// It is not there, is protected, or a policy of another load balancer leads to one of its groups.
    pub fn delete_whole(&mut self, kind: ElbKind, id: &str) -> Result<(), ElbFault> {
        let object = &self.objects[self.place(kind, id)?];
        if object.truth("deletion_protection_enable") {
            return Err(ElbFault::conflict("the load balancer has `deletion_protection_enable`"));
        }
        let is_whole = kind == ElbKind::LoadBalancer;
        let of_balancer = |kind: ElbKind| -> Vec<String> {
            let own = self.of_kind(kind).filter(|one| is_whole && one.text("loadbalancer_id") == id);
            own.map(|one| one.id.clone()).collect()
        };
        let pools = of_balancer(ElbKind::Pool);
        let listeners = if is_whole { of_balancer(ElbKind::Listener) } else { vec![id.to_owned()] };
        let has = |ids: &[String], id: &str| ids.iter().any(|known| known == id);
        let is_left = |one: &&ElbObject| !has(&listeners, &one.id);
        let leads_here = |one: &ElbObject| listener::quic_listener(one).is_some_and(|id| has(&listeners, id));
        if self.of_kind(ElbKind::Listener).filter(is_left).any(leads_here) {
            return Err(ElbFault::conflict("`quic_config` of another listener names the listener"));
        }
        let policies = self.of_kind(ElbKind::Policy).filter(|one| {
            has(&listeners, one.text("listener_id")) || has(&listeners, one.text("redirect_listener_id"))
        });
        let policies: Vec<String> = policies.map(|policy| policy.id.clone()).collect();
        self.objects.retain(|object| match object.kind {
            ElbKind::LoadBalancer => !is_whole || object.id != id,
            ElbKind::Listener => !has(&listeners, &object.id),
            ElbKind::Pool => !has(&pools, &object.id),
            ElbKind::Member => !has(&pools, &object.owner),
            ElbKind::HealthMonitor => !has(&pools, object.text("pool_id")),
            ElbKind::Policy => !has(&policies, &object.id),
            ElbKind::Rule => !has(&policies, &object.owner),
            ElbKind::Certificate | ElbKind::IpGroup | ElbKind::SecurityPolicy => true,
        });
        Ok(())
    }
}

/// Whether a listener names a certificate.
fn shows(listener: &ElbObject, id: &str) -> bool {
    let single = ["default_tls_container_ref", "client_ca_tls_container_ref"];
    single.iter().any(|name| listener.text(name) == id)
        || listener.texts("sni_container_refs").any(|named| named == id)
}
