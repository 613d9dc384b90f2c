//! A `[[rule]]`: which requests it takes, and what becomes of them.

use std::time::Duration;

use crate::config::gates::Gates;
use crate::config::limits::RequestRates;
use crate::config::maintenance::Maintenance;
use crate::config::named_file::NamedFile;
use crate::config::report::Location;
use crate::policy::balance::sticky::CookieAttributes;
use crate::policy::cors::CorsPolicy;
use crate::policy::header_edits::HeaderEdit;
use crate::policy::mirror::Mirror;
use crate::policy::overrides::Overrides;
use crate::policy::redirect::Redirect;
use crate::policy::redirect::Rewrite;
use crate::policy::response_condition::ResponseCondition;
use crate::policy::router::Condition;

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique among rules.
    pub name: String,
    /// Without it, nobody is asked by it.
    pub enabled: bool,
    /// Indices in [`crate::config::Config::listeners`], each once. At least one.
    pub listeners: Vec<usize>,
    /// 1..=10000, unique within a listener; lower ones are asked first.
    pub priority: u32,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// None: by command only, with what is usual.
    pub maintenance: Option<Maintenance>,
    /// Only with [`FinalAction::Forward`]. None: requests are shared by chance.
    pub group_sticky: Option<GroupSticky>,
    pub actions: Actions,
    /// Where the name stands.
    pub location: Location,
}

/// A rule that takes responses of backends.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseRule {
    /// Unique among rules of both directions.
    pub name: String,
    /// Without it, nobody is asked by it.
    pub enabled: bool,
    /// Indices in [`crate::config::Config::listeners`], each once. At least one.
    pub listeners: Vec<usize>,
    /// 1..=10000, unique within a listener and its rules for responses; lower ones are asked first.
    pub priority: u32,
    /// What the request must be like.
    pub conditions: Vec<Condition>,
    pub response: ResponseCondition,
    pub headers: Vec<HeaderEdit>,
    /// What takes the place of the response.
    pub respond: Option<FixedResponse>,
    /// Where the name stands.
    pub location: Location,
}

/// What becomes of a request that a rule takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Actions {
    pub cors: Option<CorsPolicy>,
    pub gates: Gates,
    pub request_headers: Vec<HeaderEdit>,
    /// For what the client gets, whoever answers.
    pub response_headers: Vec<HeaderEdit>,
    pub limit: Option<RequestRates>,
    /// Of listener and group.
    pub overrides: Overrides,
    /// Only with [`FinalAction::Forward`].
    pub mirror: Option<Mirror>,
    /// Only with [`FinalAction::Forward`].
    pub rewrite: Option<Rewrite>,
    pub last: FinalAction,
}

impl Actions {
    /// Whether nothing happens to what is forwarded.
    pub fn only_forwards(&self) -> bool {
        let Actions {
            cors,
            gates,
            request_headers,
            response_headers,
            limit,
            overrides,
            mirror,
            rewrite,
            last: _,
        } = self;
        cors.is_none()
            && *gates == Gates::default()
            && request_headers.is_empty()
            && response_headers.is_empty()
            && limit.is_none()
            && *overrides == Overrides::default()
            && mirror.is_none()
            && rewrite.is_none()
    }

    /// Every group that a request can be sent to, or asked about at.
    pub fn groups(&self) -> impl Iterator<Item = usize> {
        let targets = match &self.last {
            FinalAction::Forward(targets) => targets.as_slice(),
            FinalAction::Redirect(_) | FinalAction::Respond(_) => &[],
        };
        let asked = self.gates.forward_auth.as_ref().map(|auth| auth.group);
        let copied_to = self.mirror.as_ref().map(|mirror| mirror.group);
        targets.iter().map(|target| target.group).chain(asked).chain(copied_to)
    }
}

/// What ends the processing of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum FinalAction {
    /// 1 to 5 groups, not all of weight 0.
    Forward(Vec<WeightedGroup>),
    Redirect(Redirect),
    Respond(FixedResponse),
}

/// How clients stay with the group that they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSticky {
    pub cookie: String,
    /// Since the group was chosen.
    pub timeout: Duration,
    pub attributes: CookieAttributes,
    /// Where the table stands.
    pub location: Location,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightedGroup {
    /// Index in [`crate::config::Config::server_groups`].
    pub group: usize,
    /// 0..=100.
    pub weight: u32,
}

/// An answer that needs no backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedResponse {
    /// 200..=299 or 400..=599.
    pub status: u16,
    pub content_type: String,
    /// Empty where there is a file.
    pub content: String,
    /// What holds the content instead.
    pub file: Option<NamedFile>,
    /// The ending of the file told the type, so that its content tells the charset.
    pub type_follows_file: bool,
}
