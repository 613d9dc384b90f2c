//! One call, and what those who carry it out take from it.

use std::cell::RefCell;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::config::ObjectKind;
use crate::control::active_config::Channels;
use crate::control::admin::api::problem::ApiProblem;
use crate::control::admin::audit::AuditedObject;
use crate::control::admin::command_server::CommandServer;
use crate::control::admin::http::request::AdminRequest;
use crate::control::admin::http::response::AdminResponse;
use crate::control::json_reader;

/// What helps where a path is not known.
pub(super) const KINDS_HELP: &str = "GET /api/v1/ lists what there is; docs/api.md says what it does";

/// What comes of a call.
pub(super) type ApiAnswer = Result<AdminResponse, Box<ApiProblem>>;

/// One call.
pub(super) struct ApiCall<'c> {
    pub(super) server: &'c CommandServer,
    pub(super) request: &'c AdminRequest,
    pub(super) kind: Option<ObjectKind>,
    pub(super) arguments: Vec<String>,
    /// What it has to do with, for the audit.
    pub(super) audited: &'c RefCell<Vec<AuditedObject>>,
}

impl ApiCall<'_> {
    /// The kind that the path names.
    pub(super) fn kind(&self) -> Result<ObjectKind, Box<ApiProblem>> {
        self.kind.ok_or_else(|| ApiProblem::new(404, "there is no such kind of object", KINDS_HELP))
    }

    /// A part of the path that the client has chosen; empty if there are not so many.
    pub(super) fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }

    pub(super) fn channels(&self) -> &Channels {
        self.server.channels()
    }

    /// What was sent, as text.
    pub(super) fn text(&self) -> Result<&str, Box<ApiProblem>> {
        let media_type = self.request.field("content-type").unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json" && essence != "application/merge-patch+json" {
            let detail = format!("the content is \"{}\", and JSON is taken", essence.escape_debug());
            return Err(ApiProblem::new(415, detail, "send Content-Type: application/json"));
        }
        let help = "send JSON in UTF-8 (RFC 8259)";
        std::str::from_utf8(&self.request.content)
            .map_err(|_| ApiProblem::new(400, "the content is no text", help))
    }

    /// What was sent, as JSON.
    pub(super) fn json(&self) -> Result<Json, Box<ApiProblem>> {
        serde_json::from_str(self.text()?).map_err(|error| {
            ApiProblem::new(400, format!("the content is no JSON: {error}"), "correct it at this place")
        })
    }

    /// What was sent, as a document of this form.
    pub(super) fn parsed<T: DeserializeOwned>(&self) -> Result<T, Box<ApiProblem>> {
        json_reader::read(&self.json()?).map_err(|error| {
            ApiProblem::new(
                422,
                format!("the document is not what is taken here: {error}"),
                "see /api/v1/openapi.json",
            )
        })
    }

    /// A parameter that is true or false; false without it.
    pub(super) fn truth(&self, name: &str) -> Result<bool, Box<ApiProblem>> {
        match self.request.parameter(name) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(_) => Err(ApiProblem::new(
                400,
                format!("`{name}` is neither true nor false"),
                format!("write {name}=true"),
            )),
        }
    }
}
