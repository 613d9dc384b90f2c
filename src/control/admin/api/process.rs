//! Calls that are about the process as a whole.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::json;

use crate::config;
use crate::config::ObjectKind;
use crate::control::admin::api::call::ApiAnswer;
use crate::control::admin::api::call::ApiCall;
use crate::control::admin::api::objects;
use crate::control::admin::api::problem::ApiProblem;
use crate::control::admin::api::problem::ProblemItem;
use crate::control::admin::audit;
use crate::control::admin::http::response::AdminResponse;
use crate::control::explain::question::Question;

pub(super) fn index(_: &ApiCall<'_>) -> ApiAnswer {
    let kinds: Vec<&str> = ObjectKind::ALL.into_iter().map(ObjectKind::segment).collect();
    let document = json!({
        "version": env!("CARGO_PKG_VERSION"), "kinds": kinds, "openapi": "/api/v1/openapi.json",
        "schema": "/api/v1/schema.json", "status": "/api/v1/status",
    });
    Ok(AdminResponse::json(200, &document))
}

pub(super) fn whoami(call: &ApiCall<'_>) -> ApiAnswer {
    let actor = &call.request.actor;
    let role = actor.role.map(|role| role.as_str());
    let document = json!({ "actor": actor.name, "role": role, "source": actor.source.to_string() });
    Ok(AdminResponse::json(200, &document))
}

pub(super) fn status(call: &ApiCall<'_>) -> ApiAnswer {
    Ok(AdminResponse::json(200, &call.server.status()))
}

pub(super) fn config(call: &ApiCall<'_>) -> ApiAnswer {
    let text = call.channels().written.load().1.effective_json();
    Ok(AdminResponse::new(200, "application/json", text))
}

pub(super) fn config_toml(call: &ApiCall<'_>) -> ApiAnswer {
    let text = call.channels().written.load().1.effective_toml();
    Ok(AdminResponse::new(200, "application/toml", text))
}

pub(super) fn schema(_: &ApiCall<'_>) -> ApiAnswer {
    Ok(AdminResponse::new(200, "application/schema+json", config::json_schema().to_string()))
}

pub(super) fn events(call: &ApiCall<'_>) -> ApiAnswer {
    let question = match call.request.parameter("after") {
        None => String::new(),
        Some(after) => match after.parse::<u64>() {
            Ok(after) => json!({ "after": after }).to_string(),
            Err(_) => return Err(ApiProblem::new(400, "`after` is no number of an event", "write a number")),
        },
    };
    reply(call.server.events(&question), 400)
}

pub(super) fn explain(call: &ApiCall<'_>) -> ApiAnswer {
    let asked: ExplainQuestion = call.parsed()?;
    let question =
        asked.question().map_err(|error| ApiProblem::new(422, error, "see ringway explain --help"))?;
    reply(call.server.explain(&serde_json::to_string(&question).unwrap_or_default()), 422)
}

/// A request or connection to be explained, as the command `ringway explain` takes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainQuestion {
    #[serde(default = "get_method")]
    method: String,
    /// None: it is a connection.
    url: Option<String>,
    /// As `name: value`.
    #[serde(default)]
    headers: Vec<String>,
    source: Option<IpAddr>,
    sni: Option<String>,
    /// Of a connection.
    #[serde(default)]
    alpn: Vec<String>,
    listener: Option<String>,
    /// Of the response, to be told which rules take that.
    status: Option<u16>,
    #[serde(default)]
    response_headers: Vec<String>,
}

fn get_method() -> String {
    "GET".to_owned()
}

impl ExplainQuestion {
    fn question(&self) -> Result<Question, String> {
        let mut question = match (&self.url, &self.listener) {
            (Some(url), _) => Question::new(&self.method, url)?,
            (None, Some(listener)) => Question::of_connection(listener),
            (None, None) => return Err("there is neither a url nor a listener".to_owned()),
        };
        question.alpn.clone_from(&self.alpn);
        self.headers.iter().try_for_each(|header| question.add_header(header))?;
        self.response_headers.iter().try_for_each(|header| question.add_response_header(header))?;
        question.source = self.source.unwrap_or(question.source);
        question.status = self.status.unwrap_or(question.status);
        question.sni.clone_from(&self.sni);
        question.listener.clone_from(&self.listener);
        Ok(question)
    }
}

pub(super) fn maintenance(call: &ApiCall<'_>) -> ApiAnswer {
    // What is named may not be there; what names it may be no order at all.
    call.json()?;
    reply(call.server.maintenance(call.text()?), 404)
}

pub(super) fn reload(call: &ApiCall<'_>) -> ApiAnswer {
    let document = call.server.reload(call.truth("strict")?);
    match document["errors"].as_str() {
        None => reply(document, 503),
        Some(errors) => {
            let item =
                ProblemItem { severity: "error", message: errors.to_owned(), ..ProblemItem::default() };
            let detail = "the reload is refused; what was in service still is";
            let help = "correct what `errors` names and reload again";
            Err(Box::new(ApiProblem { errors: vec![item], ..*ApiProblem::new(422, detail, help) }))
        }
    }
}

/// The answer of a command; `status` is that of its refusal.
fn reply(document: Json, status: u16) -> ApiAnswer {
    match document["error"].as_str() {
        Some(error) => Err(ApiProblem::new(status, error, "")),
        None => Ok(AdminResponse::json(200, &document)),
    }
}

pub(super) fn audit(call: &ApiCall<'_>) -> ApiAnswer {
    let limit = objects::limit(call)?;
    let (_, access) = call.channels().admin_access.load();
    let Some(path) = &access.audit else {
        return Err(ApiProblem::new(404, "there is no audit", "write audit = \"audit.log\" below [admin]"));
    };
    let items = match audit::last(path, limit) {
        Ok(items) => items,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let detail = format!("the audit {} cannot be read: {error}", path.display());
            return Err(ApiProblem::new(409, detail, "let the user of ringway read it"));
        }
    };
    Ok(AdminResponse::json(200, &json!({ "items": items })))
}
