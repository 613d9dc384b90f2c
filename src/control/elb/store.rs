//! What may become of the objects of the ELB API. Each change makes another set of them, so that one that is refused later
//! leaves nothing behind.

use std::sync::Arc;

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects;

/// Who makes an object, and when.
pub struct ElbCreation<'c> {
    pub project: &'c str,
    pub id: String,
    /// As the API writes it.
    pub now: &'c str,
}

impl ElbObjects {
    /// Makes an object. `owner` is the group of a member.
    ///
    /// # Errors
    /// It names what is wrong with the document, or what stands in the way.
    pub fn create(
        &mut self,
        kind: ElbKind,
        owner: &str,
        sent: &Map<String, Json>,
        creation: ElbCreation<'_>,
    ) -> Result<(), ElbFault> {
        if self.of_kind(kind).count() >= kind.quota() {
            return Err(ElbFault::quota(format!("there are {} objects of this kind already", kind.quota())));
        }
        let ElbCreation { project, id, now } = creation;
        let mut sent = sent.clone();
        if let Some(named) = sent.remove("project_id")
            && named != project
        {
            return Err(ElbFault::attribute("project_id", "is not the project of this path"));
        }
        let mut attributes = fields::created(objects::fields(kind), &sent)?;
        objects::settle(kind, &mut attributes)?;
        let object = ElbObject {
            kind,
            id,
            project: project.to_owned(),
            owner: owner.to_owned(),
            created_at: now.to_owned(),
            updated_at: now.to_owned(),
            attributes,
        };
        objects::check(self, &object)?;
        let id = object.id.clone();
        self.objects.push(Arc::new(object));
        if kind == ElbKind::Pool { self.settle_pool(&id, now) } else { Ok(()) }
    }

    /// A group that is made for a listener becomes its default.
    fn settle_pool(&mut self, id: &str, now: &str) -> Result<(), ElbFault> {
        let Some(pool) = self.find(ElbKind::Pool, id).cloned() else { return Ok(()) };
        if pool.text("listener_id").is_empty() {
            return Ok(());
        }
        let listener = self.named(ElbKind::Listener, &pool, "listener_id")?;
        if !listener.text("default_pool_id").is_empty() {
            let message = format!("the listener {} has a default backend server group already", listener.id);
            return Err(ElbFault::conflict(message));
        }
        let listener = listener.id.clone();
        let change = json!({ "default_pool_id": id });
        self.update(ElbKind::Listener, &listener, change.as_object().unwrap_or(&Map::new()), now)
    }

    /// Changes attributes of an object.
    ///
    /// # Errors
    /// It names what is wrong with the document, or what stands in the way.
    pub fn update(
        &mut self,
        kind: ElbKind,
        id: &str,
        sent: &Map<String, Json>,
        now: &str,
    ) -> Result<(), ElbFault> {
        let place = self.place(kind, id)?;
        let mut object = (*self.objects[place]).clone();
        fields::update(objects::fields(kind), &mut object.attributes, sent)?;
        objects::settle(kind, &mut object.attributes)?;
        now.clone_into(&mut object.updated_at);
        objects::check(self, &object)?;
        self.objects[place] = Arc::new(object);
        self.check_users(kind, id)
    }

    fn place(&self, kind: ElbKind, id: &str) -> Result<usize, ElbFault> {
        let place = self.objects.iter().position(|object| object.kind == kind && object.id == id);
        place.ok_or_else(|| ElbFault::missing(kind.noun(), id))
    }

    /// What a change of a group means for the listeners that lead to it.
    fn check_users(&self, kind: ElbKind, id: &str) -> Result<(), ElbFault> {
        match kind {
            ElbKind::Pool => self.listeners_of(id).try_for_each(|one| objects::check(self, one)),
            _ => Ok(()),
        }
    }

    /// Deletes an object that nothing needs.
    ///
    /// # Errors
    /// It is not there, or something needs it.
    pub fn delete(&mut self, kind: ElbKind, id: &str, now: &str) -> Result<(), ElbFault> {
        let place = self.place(kind, id)?;
        self.check_needs(kind, id)?;
        self.objects.remove(place);
        if kind == ElbKind::Pool {
            // Scripts delete groups before the listeners that lead to them.
            let listeners: Vec<String> = self.listeners_of(id).map(|listener| listener.id.clone()).collect();
            let change = json!({ "default_pool_id": null });
            let change = change.as_object().cloned().unwrap_or_default();
            for listener in listeners {
                self.update(ElbKind::Listener, &listener, &change, now)?;
            }
        }
        Ok(())
    }

    fn check_needs(&self, kind: ElbKind, id: &str) -> Result<(), ElbFault> {
        let has = |kind: ElbKind, is_user: &dyn Fn(&ElbObject) -> bool| self.of_kind(kind).any(is_user);
        let names = |name: &'static str| move |object: &ElbObject| object.text(name) == id;
        let needed_by = match kind {
            ElbKind::LoadBalancer
                if self.find(kind, id).is_some_and(|one| one.truth("deletion_protection_enable")) =>
            {
                Some("`deletion_protection_enable`, which is true")
            }
            ElbKind::LoadBalancer if has(ElbKind::Listener, &names("loadbalancer_id")) => {
                Some("its listeners")
            }
            ElbKind::LoadBalancer if has(ElbKind::Pool, &names("loadbalancer_id")) => {
                Some("its backend server groups")
            }
            ElbKind::Pool if self.members_of(id).next().is_some() => Some("its backend servers"),
            ElbKind::Pool if self.monitor_of(id).is_some() => Some("its health check"),
            ElbKind::Certificate => self.of_kind(ElbKind::Listener).find_map(|listener| {
                let mut named = listener.texts("sni_container_refs").chain([
                    listener.text("default_tls_container_ref"),
                    listener.text("client_ca_tls_container_ref"),
                ]);
                named.any(|named| named == id).then_some("a listener")
            }),
            _ => None,
        };
        match needed_by {
            Some(what) => Err(ElbFault::conflict(format!(
                "the {} {id} cannot be deleted because of {what}",
                kind.noun()
            ))),
            None => Ok(()),
        }
    }

    /// Deletes a listener, or a load balancer with all that belongs to it.
    ///
    /// # Errors
    /// It is not there, or protected.
    pub fn delete_whole(&mut self, kind: ElbKind, id: &str) -> Result<(), ElbFault> {
        let object = &self.objects[self.place(kind, id)?];
        if object.truth("deletion_protection_enable") {
            return Err(ElbFault::conflict("the load balancer has `deletion_protection_enable`"));
        }
        let pools: Vec<String> = match kind {
            ElbKind::LoadBalancer => self
                .of_kind(ElbKind::Pool)
                .filter(|pool| pool.text("loadbalancer_id") == id)
                .map(|pool| pool.id.clone())
                .collect(),
            _ => Vec::new(),
        };
        let is_of_pool = |id: &str| pools.iter().any(|pool| pool == id);
        self.objects.retain(|object| match object.kind {
            _ if object.kind == kind && object.id == id => false,
            ElbKind::Listener if kind == ElbKind::LoadBalancer => object.text("loadbalancer_id") != id,
            ElbKind::Pool => !is_of_pool(&object.id),
            ElbKind::Member => !is_of_pool(&object.owner),
            ElbKind::HealthMonitor => !is_of_pool(object.text("pool_id")),
            _ => true,
        });
        Ok(())
    }
}
