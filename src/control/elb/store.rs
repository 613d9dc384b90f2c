//! All objects of the ELB API, and what may become of them. Each change makes another set of objects, so that one that is
//! refused later leaves nothing behind.

use std::sync::Arc;

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields;
use crate::control::elb::objects::ElbKind;
use crate::control::elb::objects::ElbObject;
use crate::control::elb::objects::certificate;
use crate::control::elb::objects::health_monitor;
use crate::control::elb::objects::listener;
use crate::control::elb::objects::member;
use crate::control::elb::objects::pool;

/// The form of the document in which objects are kept.
const FORMAT: u64 = 1;

/// The objects, in the order in which they were made. A copy shares them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ElbObjects {
    objects: Vec<Arc<ElbObject>>,
}

/// Who makes an object, and when.
pub struct ElbCreation<'c> {
    pub project: &'c str,
    pub id: String,
    /// As the API writes it.
    pub now: &'c str,
}

impl ElbObjects {
    pub fn of_kind(&self, kind: ElbKind) -> impl Iterator<Item = &ElbObject> {
        self.objects.iter().map(|object| &**object).filter(move |object| object.kind == kind)
    }

    pub fn find(&self, kind: ElbKind, id: &str) -> Option<&ElbObject> {
        self.of_kind(kind).find(|object| object.id == id)
    }

    /// An object of this project.
    ///
    /// # Errors
    /// There is none.
    pub fn of_project(&self, kind: ElbKind, id: &str, project: &str) -> Result<&ElbObject, ElbFault> {
        let found = self.find(kind, id).filter(|object| object.project == project);
        found.ok_or_else(|| ElbFault::missing(kind.noun(), id))
    }

    /// What an attribute of an object names.
    ///
    /// # Errors
    /// It is not there.
    pub(super) fn named(&self, kind: ElbKind, from: &ElbObject, name: &str) -> Result<&ElbObject, ElbFault> {
        let id = from.text(name);
        let found = self.find(kind, id).filter(|object| object.project == from.project);
        found.ok_or_else(|| {
            ElbFault::attribute(name, format!("names no {}: \"{}\"", kind.noun(), id.escape_debug()))
        })
    }

    pub fn members_of<'s>(&'s self, pool: &'s str) -> impl Iterator<Item = &'s ElbObject> {
        self.of_kind(ElbKind::Member).filter(move |member| member.owner == pool)
    }

    pub fn monitor_of(&self, pool: &str) -> Option<&ElbObject> {
        self.of_kind(ElbKind::HealthMonitor).find(|monitor| monitor.text("pool_id") == pool)
    }

    /// The listeners that lead to a group.
    pub fn listeners_of<'s>(&'s self, pool: &'s str) -> impl Iterator<Item = &'s ElbObject> {
        self.of_kind(ElbKind::Listener).filter(move |listener| listener.text("default_pool_id") == pool)
    }

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
        let mut attributes = fields::created(kind.fields(), &sent)?;
        settle(kind, &mut attributes)?;
        let object = ElbObject {
            kind,
            id,
            project: project.to_owned(),
            owner: owner.to_owned(),
            created_at: now.to_owned(),
            updated_at: now.to_owned(),
            attributes,
        };
        self.check(&object)?;
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
        fields::update(kind.fields(), &mut object.attributes, sent)?;
        settle(kind, &mut object.attributes)?;
        now.clone_into(&mut object.updated_at);
        self.check(&object)?;
        self.objects[place] = Arc::new(object);
        self.check_users(kind, id)
    }

    fn place(&self, kind: ElbKind, id: &str) -> Result<usize, ElbFault> {
        let place = self.objects.iter().position(|object| object.kind == kind && object.id == id);
        place.ok_or_else(|| ElbFault::missing(kind.noun(), id))
    }

    fn check(&self, object: &ElbObject) -> Result<(), ElbFault> {
        match object.kind {
            // What they say was looked at before.
            ElbKind::LoadBalancer | ElbKind::Certificate => Ok(()),
            ElbKind::Listener => listener::check(self, object),
            ElbKind::Pool => pool::check(self, object),
            ElbKind::Member => member::check(self, object),
            ElbKind::HealthMonitor => health_monitor::check(self, object),
        }
    }

    /// What a change of a group means for the listeners that lead to it.
    fn check_users(&self, kind: ElbKind, id: &str) -> Result<(), ElbFault> {
        match kind {
            ElbKind::Pool => self.listeners_of(id).try_for_each(|one| listener::check(self, one)),
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

    /// As they are kept.
    pub fn to_document(&self) -> Json {
        let object = |object: &Arc<ElbObject>| {
            json!({
                "kind": object.kind.word(), "id": object.id, "project": object.project, "owner": object.owner,
                "created_at": object.created_at, "updated_at": object.updated_at,
                "attributes": object.attributes,
            })
        };
        json!({ "format": FORMAT, "objects": self.objects.iter().map(object).collect::<Vec<_>>() })
    }

    /// None: the document is none of this version.
    pub fn from_document(document: &Json) -> Option<ElbObjects> {
        if document["format"] != FORMAT {
            return None;
        }
        let object = |kept: &Json| {
            let text = |name: &str| kept[name].as_str().map(str::to_owned);
            let word = text("kind")?;
            let object = ElbObject {
                kind: ElbKind::ALL.into_iter().find(|kind| kind.word() == word)?,
                id: text("id")?,
                project: text("project")?,
                owner: text("owner")?,
                created_at: text("created_at")?,
                updated_at: text("updated_at")?,
                attributes: kept["attributes"].as_object()?.clone(),
            };
            Some(Arc::new(object))
        };
        let objects = document["objects"].as_array()?.iter().map(object).collect::<Option<Vec<_>>>()?;
        Some(ElbObjects { objects })
    }
}

/// What attributes say by themselves.
fn settle(kind: ElbKind, attributes: &mut Map<String, Json>) -> Result<(), ElbFault> {
    match kind {
        ElbKind::Listener => listener::settle(attributes),
        ElbKind::Certificate => certificate::settle(attributes)?,
        _ => {}
    }
    Ok(())
}
