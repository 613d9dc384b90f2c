//! The ELB API (v3) of Huawei Cloud at the admin address, for scripts and SDKs that were made for it.
//!
//! `docs/elb_api.md` says what is taken. A call becomes another set of objects, which the thread that reloads puts into
//! service and keeps, or refuses.

#![expect(clippy::disallowed_types, reason = "no worker comes here")]

mod batch;
mod described;
mod query;
mod refusal;
mod routes;
mod status_tree;
mod surroundings;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::config::AdminRole;
use crate::config::ElbApi;
use crate::control::admin::access::Actor;
use crate::control::admin::access::ActorSource;
use crate::control::admin::access::ApiClient;
use crate::control::admin::audit::Audit;
use crate::control::admin::audit::AuditedObject;
use crate::control::admin::collect;
use crate::control::admin::command_server::CommandServer;
use crate::control::admin::http::request::AdminRequest;
use crate::control::admin::http::response::AdminResponse;
use crate::control::admin::http::response::next_request_id;
use crate::control::change::order::GeneratedChange;
use crate::control::credentials::admin_access::AdminAccess;
use crate::control::elb::fault::ElbFault;
use crate::control::elb::mapping;
use crate::control::elb::signature::SignatureClaim;
use crate::control::elb::signature::SignatureFault;
use crate::control::elb::signature::SignedRequest;
use crate::control::elb::state;
use crate::control::elb::state::KeptObjects;
use crate::control::elb::store::ElbObjects;
use crate::net::clock::wall_now;

/// What paths of calls begin with.
const ROOT: &str = "/v3/";
const VERSIONS: &str = "/versions";

/// Backend servers of all listeners: a group that several lead to counts for each.
const MAX_BACKENDS: usize = 20_000;

/// What is answered: a status, and a document unless it is 204.
type ElbAnswer = Result<(u16, Json), ElbFault>;

/// What calls are carried out by.
pub(super) struct ElbFront {
    server: Arc<CommandServer>,
    kept: KeptObjects,
    /// Held by who changes objects, from reading them until others are in service.
    changing: Mutex<()>,
}

/// One call of somebody who is known.
struct ElbCall<'c> {
    front: &'c ElbFront,
    api: &'c ElbApi,
    request: &'c AdminRequest,
    project: &'c str,
    actor: &'c Actor,
}

/// Whether a path is one of this API, while it is served.
pub(super) fn is_call(path: &str, access: &AdminAccess) -> bool {
    access.elb.is_some() && (path.starts_with(ROOT) || path == VERSIONS)
}

impl ElbFront {
    pub(super) fn new(server: Arc<CommandServer>) -> ElbFront {
        ElbFront { server, kept: KeptObjects::default(), changing: Mutex::default() }
    }

    /// Looks at what a request says of itself before its content is read, and says where it comes from. What it may do is
    /// known only once its signature is verified.
    ///
    /// # Errors
    /// The answer to a client that is not known.
    pub(super) fn identify(
        request: &AdminRequest,
        client: &ApiClient,
        access: &AdminAccess,
    ) -> Result<Actor, AdminResponse> {
        let source = match client {
            ApiClient::Socket(_) => ActorSource::Socket,
            ApiClient::Clear(address) | ApiClient::Secured { address, .. } => ActorSource::Address(*address),
        };
        let field = |name: &str| request.field(name);
        let claimed = field("authorization").ok_or(SignatureFault::Missing).and_then(|authorization| {
            let claim = SignatureClaim::parse(&authorization)?;
            claim.check_terms(&signed(request, &field), wall_now().as_secs())?;
            let is_known = access.elb.as_ref().is_some_and(|elb| elb.keys.find(claim.access_key).is_some());
            if is_known { Ok(claim.access_key.to_owned()) } else { Err(SignatureFault::Mismatch) }
        });
        match claimed {
            Ok(name) => Ok(Actor { name, role: None, source }),
            Err(fault) => Err(answer(Err(ElbFault::signature(fault.words())), &next_request_id())),
        }
    }

    pub(super) fn answer(&self, request: &AdminRequest) -> AdminResponse {
        let request_id = next_request_id();
        answer(self.carry_out(request, &request_id), &request_id)
    }

    fn carry_out(&self, request: &AdminRequest, request_id: &str) -> ElbAnswer {
        let (_, access) = self.server.channels().admin_access.load();
        let elb = access.elb.as_ref().ok_or_else(ElbFault::no_such_call)?;
        let refused = |fault: SignatureFault| ElbFault::signature(fault.words());
        let field = |name: &str| request.field(name);
        let authorization = field("authorization").ok_or_else(|| refused(SignatureFault::Missing))?;
        let claim = SignatureClaim::parse(&authorization).map_err(refused)?;
        let key = elb.keys.find(claim.access_key).ok_or_else(|| refused(SignatureFault::Mismatch))?;
        let signed = signed(request, &field);
        claim.check_terms(&signed, wall_now().as_secs()).map_err(refused)?;
        claim.verify(&signed, &key.secret).map_err(refused)?;
        let actor = Actor { role: Some(key.role), ..request.actor.clone() };
        let call = ElbCall { front: self, api: &elb.api, request, project: &key.project, actor: &actor };
        if request.is_read() {
            return routes::answer(&call);
        }
        if key.role < AdminRole::Write {
            let words = format!("the access key has the role {}, and this needs write", key.role.as_str());
            return Err(ElbFault::forbidden(words));
        }
        let mut audit = Audit::open(self.server.channels()).map_err(|unwritable| {
            ElbFault::conflict(format!("{}; {}", unwritable.sentence, unwritable.help))
        })?;
        let answer = routes::answer(&call);
        let status = answer.as_ref().map_or_else(|fault| fault.status, |(status, _)| *status);
        let object =
            answer.as_ref().ok().map(|(_, document)| described::audited(document)).unwrap_or_default();
        let audited = [AuditedObject { object, ..AuditedObject::default() }];
        audit.note_call((&actor, request), (request_id, status), &audited);
        answer
    }
}

impl ElbCall<'_> {
    /// The objects as they are.
    fn objects(&self) -> Result<Arc<ElbObjects>, ElbFault> {
        self.front.kept.load(&self.api.state.path).map_err(ElbFault::internal)
    }

    /// What is sent, within this wrapper.
    fn document(&self, wrapper: &str) -> Result<Json, ElbFault> {
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
    fn attributes(&self, wrapper: &str) -> Result<Map<String, Json>, ElbFault> {
        match self.document(wrapper)? {
            Json::Object(attributes) => Ok(attributes),
            _ => Err(ElbFault::attribute(wrapper, "must be an object")),
        }
    }

    /// Changes objects, puts what they are into service, and keeps them: all of it, or nothing.
    fn change<T>(
        &self,
        make: impl FnOnce(&mut ElbObjects, &str) -> Result<T, ElbFault>,
    ) -> Result<(T, Arc<ElbObjects>), ElbFault> {
        let _turn = self.front.changing.lock().unwrap_or_else(PoisonError::into_inner);
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
        state::write_files(&mapping::files(&objects, &terms)).map_err(|error| {
            let folder = self.api.state.path.display();
            ElbFault::internal(format!(
                "cannot write into {folder}: {error}; let the user of ringway write there"
            ))
        })?;
        let objects = Arc::new(objects);
        let (kept, api) = (Arc::clone(&objects), self.api.clone());
        let change = GeneratedChange {
            path: state::tables_path(self.api),
            text: mapping::text(&objects, &terms),
            actor: self.actor.name.clone(),
            keep: Box::new(move || state::save(&api, &kept)),
        };
        match self.front.server.replace_generated(change) {
            None => Err(ElbFault::busy("the change takes too long and may still come about")),
            Some(Ok(_)) => Ok((made, objects)),
            Some(Err(refusal)) => Err(refusal::fault(&refusal, &objects)),
        }
    }
}

/// The time as the API writes it.
fn now() -> String {
    let time = collect::rfc3339(wall_now());
    let seconds = time.split(['.', 'Z']).next().unwrap_or_default();
    format!("{seconds}Z")
}

fn signed<'r>(
    request: &'r AdminRequest,
    field: &'r dyn Fn(&str) -> Option<Cow<'r, str>>,
) -> SignedRequest<'r> {
    SignedRequest {
        method: &request.method,
        path: &request.path,
        query: &request.query,
        field,
        content: &request.content,
    }
}

/// The real service names the request in a field, and errors in their document, too.
fn answer(outcome: ElbAnswer, request_id: &str) -> AdminResponse {
    let (status, mut document) = outcome.unwrap_or_else(|fault| {
        let ElbFault { status, code, message } = fault;
        (status, json!({ "error_code": code, "error_msg": message }))
    });
    let answer = match status {
        204 => AdminResponse::new(204, "application/json", Vec::new()),
        _ => {
            document["request_id"] = Json::from(request_id);
            AdminResponse::json(status, &document)
        }
    };
    answer.with("X-Request-Id", request_id)
}
