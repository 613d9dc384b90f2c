//! Why a call was not carried out: problem details (RFC 9457), with place and cure.

use serde::Serialize;

use crate::control::admin::http::response::AdminResponse;
use crate::control::admin::reply::document;

/// What the client gets instead of what it asked for.
#[derive(Debug, Default, Serialize)]
pub(super) struct ApiProblem {
    pub(super) status: u16,
    /// What is wrong, in a sentence.
    pub(super) detail: String,
    /// What to do about it.
    pub(super) help: String,
    /// Each fault, where there are several or one has a place.
    pub(super) errors: Vec<ProblemItem>,
    /// The objects that use what cannot be deleted, as their paths.
    pub(super) used_by: Vec<String>,
    /// Fields of the answer.
    #[serde(skip)]
    pub(super) fields: Vec<(&'static str, String)>,
}

/// One fault of what was sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct ProblemItem {
    /// `error` or `warning`.
    pub(super) severity: &'static str,
    /// The path of the object; None: it is not of one object.
    pub(super) object: Option<String>,
    /// The key of it, dotted where it stands in a table of the object.
    pub(super) key: Option<String>,
    pub(super) message: String,
    pub(super) help: String,
    /// `file:line:column` of the configuration as it would be.
    pub(super) place: Option<String>,
}

impl ApiProblem {
    pub(super) fn new(status: u16, detail: impl Into<String>, help: impl Into<String>) -> Box<ApiProblem> {
        Box::new(ApiProblem { status, detail: detail.into(), help: help.into(), ..ApiProblem::default() })
    }

    pub(super) fn with(
        mut self: Box<ApiProblem>,
        name: &'static str,
        value: impl Into<String>,
    ) -> Box<ApiProblem> {
        self.fields.push((name, value.into()));
        self
    }

    /// RFC 9457 §3.1: without a type of its own, the title is the phrase of the status.
    pub(super) fn answer(&self, request_id: &str) -> AdminResponse {
        let mut members = document(self);
        members["request_id"] = request_id.into();
        let answer = AdminResponse::problem(self.status, &members);
        self.fields.iter().fold(answer, |answer, (name, value)| answer.with(name, value.as_str()))
    }
}
