//! What a row of [`ROUTES`](super::routes::ROUTES) says of a call.

use crate::config::AdminRole;
use crate::control::admin::api::call::ApiAnswer;
use crate::control::admin::api::call::ApiCall;

/// What all paths of the API begin with.
pub(in crate::control) const ROOT: &str = "/api/v1/";

/// One call.
pub(super) struct ApiRoute {
    pub(super) method: &'static str,
    /// Below [`ROOT`]. `{kind}` stands for each [`ObjectKind`], other words in braces for what clients choose.
    pub(super) path: &'static str,
    pub(super) role: AdminRole,
    pub(super) handler: fn(&ApiCall<'_>) -> ApiAnswer,
    /// In a few words, for the OpenAPI document.
    pub(super) summary: &'static str,
    pub(super) parameters: &'static [Parameter],
    pub(super) takes: ApiContent,
    pub(super) gives: ApiContent,
}

impl ApiRoute {
    /// Whether it changes something, which is written down.
    pub(super) fn is_change(&self) -> bool {
        self.role > AdminRole::Read
    }

    /// Whether it changes one object, which is there already.
    pub(super) fn is_of_one_object(&self) -> bool {
        matches!(self.method, "PUT" | "PATCH" | "DELETE") || self.path.ends_with("/move")
    }

    /// Whether an object comes into being by it.
    pub(super) fn creates(&self) -> bool {
        self.method == "POST"
            && (self.path.ends_with("/copy") || self.path.ends_with("/backends") || self.path == "{kind}")
    }
}

/// A parameter of the query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) values: Values,
    pub(super) description: &'static str,
}

/// What a parameter can be.
#[derive(Clone, Copy)]
pub(super) enum Values {
    Text,
    Number { least: u64, most: u64 },
    Truth,
}

/// What a request or an answer holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ApiContent {
    Nothing,
    /// The settings of an object.
    Settings,
    /// An object as it is given out.
    Object,
    /// A page of a list of objects.
    List,
    /// A document of this name among the schemas of the OpenAPI document.
    Document(&'static str),
    /// Text of this media type.
    Text(&'static str),
}
