//! One call, and how it changes objects: what they are becomes the configuration in service, and is kept, or nothing is.

#![expect(clippy::disallowed_types, reason = "no worker comes here")]

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::ElbApi;
use crate::control::admin::access::Actor;
use crate::control::admin::collect;
use crate::control::admin::command_server::CommandServer;
use crate::control::admin::elb::refusal;
use crate::control::admin::http::request::AdminRequest;
use crate::control::change::order::GeneratedChange;
use crate::control::elb::fault::ElbFault;
use crate::control::elb::mapping;
use crate::control::elb::mapping::certificate;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::state;
use crate::control::elb::state::KeptObjects;
use crate::net::clock::wall_now;

/// Backend servers of all listeners: a group that several lead to counts for each.
const MAX_BACKENDS: usize = 20_000;

/// What is answered: a status, and a document unless it is 204.
pub(super) type ElbAnswer = Result<(u16, Json), ElbFault>;

/// What calls are carried out by.
pub(super) struct ElbService {
    pub(super) server: Arc<CommandServer>,
    kept: KeptObjects,
    /// Held by who changes objects, from reading them until others are in service.
    changing: Mutex<()>,
}

impl ElbService {
    pub(super) fn new(server: Arc<CommandServer>) -> ElbService {
        ElbService { server, kept: KeptObjects::default(), changing: Mutex::default() }
    }
}

/// One call of somebody who is known.
pub(super) struct ElbCall<'c> {
    pub(super) service: &'c ElbService,
    pub(super) api: &'c ElbApi,
    pub(super) request: &'c AdminRequest,
    pub(super) project: &'c str,
    pub(super) actor: &'c Actor,
}

impl ElbCall<'_> {
    /// The objects as they are.
    pub(super) fn objects(&self) -> Result<Arc<ElbObjects>, ElbFault> {
        self.service.kept.load(&self.api.state.path).map_err(ElbFault::internal)
    }

    /// What is sent, within this wrapper.
    pub(super) fn document(&self, wrapper: &str) -> Result<Json, ElbFault> {
        let document: Json = serde_json::from_slice(&self.request.content)
            .map_err(|error| ElbFault::bad_request(format!("the content is no JSON: {error}")))?;
        match document {
            Json::Object(mut members) if members.len() == 1 && members.contains_key(wrapper) => {
                Ok(members.remove(wrapper).unwrap_or_default())
            }
            _ => Err(ElbFault::attribute(wrapper, "must be all that the content has")),
        }
    }

    /// The attributes that are sent, within this wrapper.
    pub(super) fn attributes(&self, wrapper: &str) -> Result<Map<String, Json>, ElbFault> {
        match self.document(wrapper)? {
            Json::Object(attributes) => Ok(attributes),
            _ => Err(ElbFault::attribute(wrapper, "must be an object")),
        }
    }

    /// Changes objects, puts what they are into service, and keeps them: all of it, or nothing.
    pub(super) fn change<T>(
        &self,
        make: impl FnOnce(&mut ElbObjects, &str) -> Result<T, ElbFault>,
    ) -> Result<(T, Arc<ElbObjects>), ElbFault> {
        let _turn = self.service.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.objects()?;
        let mut objects = (*before).clone();
        let made = make(&mut objects, &now())?;
        if objects == *before {
            return Ok((made, before));
        }
        if mapping::backends(&objects) > MAX_BACKENDS {
            let words =
                format!("listeners would lead to more than {MAX_BACKENDS} backend servers, counted for each");
            return Err(ElbFault::quota(words));
        }
        let terms = state::terms(self.api);
        state::write_files(&certificate::files(&objects, &terms)).map_err(|error| {
            let folder = self.api.state.path.display();
            ElbFault::internal(format!(
                "cannot write into {folder}: {error}; let the user of ringway write there"
            ))
        })?;
        let objects = Arc::new(objects);
        let text = mapping::text(&objects, &terms);
        let (kept, api, tables) = (Arc::clone(&objects), self.api.clone(), text.clone());
        let change = GeneratedChange {
            path: state::tables_path(self.api),
            text,
            actor: self.actor.name.clone(),
            keep: Box::new(move || state::save(&api, &kept, &tables)),
        };
        match self.service.server.replace_generated(change) {
            None => Err(ElbFault::busy("the change takes too long and may still come about")),
            Some(Ok(_)) => {
                self.service.kept.remember(&self.api.state.path, &objects);
                Ok((made, objects))
            }
            Some(Err(refusal)) => Err(refusal::fault(&refusal, &objects)),
        }
    }

    /// An object of the project of the call; `owner` is the group that the path names of a member.
    pub(super) fn found<'o>(
        &self,
        objects: &'o ElbObjects,
        (kind, owner): (ElbKind, Option<&str>),
        id: &str,
    ) -> Result<&'o ElbObject, ElbFault> {
        let object = objects.of_project(kind, id, self.project)?;
        match owner {
            Some(owner) if object.owner != owner => Err(ElbFault::missing(kind.noun(), id)),
            _ => Ok(object),
        }
    }
}

/// The time as the API writes it.
fn now() -> String {
    let time = collect::rfc3339(wall_now());
    let seconds = time.split(['.', 'Z']).next().unwrap_or_default();
    format!("{seconds}Z")
}
