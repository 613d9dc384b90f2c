//! All objects of the ELB API, to be read.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Map;
use serde_json::Value as Json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;

/// The form of the document in which objects are kept.
const FORMAT: u64 = 1;

/// What is kept. It borrows all that it says, because copies would take longer than everything else of a change.
#[derive(Serialize)]
struct KeptDocument<'o> {
    format: u64,
    objects: Vec<KeptObject<'o>>,
}

#[derive(Serialize)]
struct KeptObject<'o> {
    kind: &'static str,
    id: &'o str,
    project: &'o str,
    owner: &'o str,
    created_at: &'o str,
    updated_at: &'o str,
    attributes: &'o Map<String, Json>,
}

/// The objects, in the order in which they were made. A copy shares them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ElbObjects {
    pub(super) objects: Vec<Arc<ElbObject>>,
}

impl ElbObjects {
    pub fn of_kind(&self, kind: ElbKind) -> impl Iterator<Item = &ElbObject> {
        self.objects.iter().map(|object| &**object).filter(move |object| object.kind == kind)
    }

    pub fn find(&self, kind: ElbKind, id: &str) -> Option<&ElbObject> {
        self.of_kind(kind).find(|object| object.id == id)
    }

    /// An object of this project that stands by itself.
    ///
    /// # Errors
    /// There is none.
    pub fn of_project(&self, kind: ElbKind, id: &str, project: &str) -> Result<&ElbObject, ElbFault> {
        let found = self.find(kind, id).filter(|object| object.project == project);
        found.filter(|object| !object.is_of_master_slave()).ok_or_else(|| ElbFault::missing(kind.noun(), id))
    }

    /// A master-slave pool of this project.
    ///
    /// # Errors
    /// There is none.
    pub fn master_slave(&self, id: &str, project: &str) -> Result<&ElbObject, ElbFault> {
        let found = self.find(ElbKind::Pool, id).filter(|object| object.project == project);
        found
            .filter(|object| object.is_of_master_slave())
            .ok_or_else(|| ElbFault::missing("master-slave backend server group", id))
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

    pub fn policies_of<'s>(&'s self, listener: &'s str) -> impl Iterator<Item = &'s ElbObject> {
        self.of_kind(ElbKind::Policy).filter(move |policy| policy.text("listener_id") == listener)
    }

    pub fn rules_of<'s>(&'s self, policy: &'s str) -> impl Iterator<Item = &'s ElbObject> {
        self.of_kind(ElbKind::Rule).filter(move |rule| rule.owner == policy)
    }

    /// The listeners whose default a group is.
    pub fn defaulted_to<'s>(&'s self, pool: &'s str) -> impl Iterator<Item = &'s ElbObject> {
        self.of_kind(ElbKind::Listener).filter(move |listener| listener.text("default_pool_id") == pool)
    }

    /// As they are kept, which is JSON.
    ///
    /// # Errors
    /// None is known: all that it holds was JSON before.
    pub fn to_document(&self) -> serde_json::Result<String> {
        let objects = self.objects.iter().map(|object| KeptObject {
            kind: object.kind.word(),
            id: &object.id,
            project: &object.project,
            owner: &object.owner,
            created_at: &object.created_at,
            updated_at: &object.updated_at,
            attributes: &object.attributes,
        });
        serde_json::to_string(&KeptDocument { format: FORMAT, objects: objects.collect() })
    }

    /// # Errors
    /// The document is none of this version: in words, with what is wrong in it.
    pub fn from_document(document: &Json) -> Result<ElbObjects, String> {
        let format = &document["format"];
        if format != FORMAT {
            return Err(format!("`format` is {format}, and this version reads {FORMAT}"));
        }
        let objects = document["objects"].as_array().ok_or("`objects` is no list")?;
        let object = |(index, kept): (usize, &Json)| {
            ElbObject::from_kept(kept).map(Arc::new).map_err(|name| {
                format!("`{name}` of objects[{index}] is missing, or has no such value as here")
            })
        };
        Ok(ElbObjects { objects: objects.iter().enumerate().map(object).collect::<Result<_, _>>()? })
    }
}

impl ElbObject {
    /// # Errors
    /// The name of what is not there, or is not what it should be.
    fn from_kept(kept: &Json) -> Result<ElbObject, &'static str> {
        let text = |name: &'static str| kept[name].as_str().map(str::to_owned).ok_or(name);
        let word = text("kind")?;
        Ok(ElbObject {
            kind: ElbKind::ALL.into_iter().find(|kind| kind.word() == word).ok_or("kind")?,
            id: text("id")?,
            project: text("project")?,
            owner: text("owner")?,
            created_at: text("created_at")?,
            updated_at: text("updated_at")?,
            attributes: kept["attributes"].as_object().ok_or("attributes")?.clone(),
        })
    }
}
