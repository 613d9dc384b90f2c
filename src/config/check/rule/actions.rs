//! `actions` of a rule, and their short forms.

use serde_json::Value as Json;

use crate::config::Actions;
use crate::config::BasicAuth;
use crate::config::FinalAction;
use crate::config::FixedResponse;
use crate::config::Gates;
use crate::config::GroupSticky;
use crate::config::RequestRates;
use crate::config::WeightedGroup;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Name;
use crate::config::check::kind::refuse_kind;
use crate::config::check::limits;
use crate::config::check::rule::conditions;
use crate::config::check::rule::conditions::Conditions;
use crate::config::check::rule::cors;
use crate::config::check::rule::fields;
use crate::config::check::rule::fields::EditedHead;
use crate::config::check::rule::forward;
use crate::config::check::rule::forward::ForwardTarget;
use crate::config::check::rule::gates;
use crate::config::check::rule::gates::GroupName;
use crate::config::check::rule::gates::SideGroups;
use crate::config::check::rule::mirror;
use crate::config::check::rule::overrides;
use crate::config::check::rule::overrides::Override;
use crate::config::check::rule::overrides::ReadOverrides;
use crate::config::check::rule::respond;
use crate::config::check::rule::targets;
use crate::config::check::rule::targets::TemplateNeeds;
use crate::config::check::rule::written::Written;
use crate::config::check::rule::written::to_json;
use crate::config::check::section::Section;
use crate::config::check::section::is_empty_table;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::cors::CorsPolicy;
use crate::policy::forward_auth::ForwardAuth;
use crate::policy::header_edits::HeaderEdit;
use crate::policy::header_edits::layers::MAX_EDITS;
use crate::policy::mirror::Mirror;
use crate::policy::redirect::Redirect;
use crate::policy::redirect::Rewrite;

/// The keys of actions, on a rule and in its list. Those that end the processing come last.
const KEYS: [&str; 26] = [
    "cors",
    "basic_auth",
    "forward_auth",
    "mirror",
    "rewrite",
    "strip_prefix",
    "insert_header",
    "set_header",
    "append_header",
    "remove_header",
    "insert_response_header",
    "set_response_header",
    "append_response_header",
    "remove_response_header",
    "limit",
    "max_body_bytes",
    "client_body_timeout",
    "response_timeout",
    "tunnel_idle_timeout",
    "bandwidth_bytes_per_second",
    "log",
    "sample",
    "group",
    "forward",
    "redirect",
    "respond",
];

/// Actions of one rule.
const MAX_ACTIONS: usize = 50;

/// Actions whose groups are not looked up yet.
pub(super) struct ParsedActions {
    pub actions: Actions,
    /// The names of the groups, in the order of the targets.
    pub groups: Vec<(String, Location)>,
    pub side_groups: SideGroups,
    pub group_sticky: Option<GroupSticky>,
}

/// One action as it stands in the file.
#[derive(Clone)]
pub(super) enum Action {
    Cors(CorsPolicy),
    BasicAuth(BasicAuth),
    ForwardAuth(ForwardAuth, GroupName),
    Mirror(Mirror, GroupName),
    Rewrite(Rewrite),
    Edit(HeaderEdit),
    Limit(RequestRates),
    Override(Override),
    EditResponse(HeaderEdit),
    Forward(Vec<ForwardTarget>, Option<GroupSticky>),
    Redirect(Redirect),
    Respond(FixedResponse),
}

/// An action with its place, and the highest group whose text it wants.
#[derive(Clone)]
pub(super) struct Placed {
    pub action: Action,
    pub location: Location,
    captures: usize,
}

/// Reads the short forms and the list; None after reporting what is wrong.
pub(super) fn read(section: &mut Section<'_, '_>, conditions: &Conditions) -> Option<ParsedActions> {
    let all = collect(section)?;
    if all.is_empty() {
        section.missing("actions", "group = \"app\", redirect = { … } or respond = { … }");
        return None;
    }
    if conditions.is_whole {
        check_captures(&all, conditions, section.report());
        if let Some(cors) = all.iter().find(|placed| matches!(placed.action, Action::Cors(_))) {
            cors::check_conditions(&conditions.conditions, cors.location, section.report());
        }
    }
    check_gates(&all, section.report());
    let location = section.location();
    assemble(all, location, section.report())
}

/// The actions of the list and then the short forms; None after reporting what is wrong.
pub(super) fn collect(section: &mut Section<'_, '_>) -> Option<Vec<Placed>> {
    let (mut actions, mut is_whole) = (Vec::new(), true);
    for key in KEYS {
        let read = section.read_present(key, &OneAction { key });
        actions.extend(read.map(|(action, _)| action.value));
        is_whole &= !section.is_refused(key);
    }
    // What the list has comes first, because its order was chosen.
    let list = section.read_present("actions", &ActionList);
    is_whole &= !section.is_refused("actions");
    let mut all: Vec<Placed> = list.into_iter().flat_map(|(list, _)| list.value).collect();
    all.extend(actions);
    is_whole.then_some(all)
}

/// Whether the captures that are wanted exist.
fn check_captures(actions: &[Placed], conditions: &Conditions, report: &mut Report) {
    let there = conditions::captures(&conditions.conditions);
    for action in actions.iter().filter(|action| action.captures > there.unwrap_or(0)) {
        let message = format!("${{{}}} is captured by nothing", action.captures);
        let help = match there {
            None => {
                "each value of the rule's last `path` must be a regular expression with groups: \"~^/(.*)\""
            }
            Some(_) => "each value of the rule's last `path` needs this many groups `(…)`",
        };
        report.error(action.location, message, help);
    }
}

/// Whether edits leave alone what a service says.
fn check_gates(actions: &[Placed], report: &mut Report) {
    let auth = actions.iter().find_map(|placed| match &placed.action {
        Action::ForwardAuth(auth, _) => Some(auth),
        _ => None,
    });
    let Some(auth) = auth else { return };
    for Placed { action, location, .. } in actions {
        if let Action::Edit(edit) = action {
            gates::check_edit(edit, auth, *location, report);
        }
    }
}

/// What is said of an action that a rule has already.
fn why_once(action: &Action) -> (&'static str, &'static str) {
    match action {
        Action::BasicAuth(_) => ("a rule has one password file", "keep one basic_auth"),
        Action::Cors(_) => ("a rule has one cors", "put its keys into one"),
        Action::Mirror(..) => ("a rule has one mirror", "keep one mirror"),
        Action::ForwardAuth(..) => ("a rule asks one service", "keep one forward_auth"),
        Action::Rewrite(_) => ("a rule rewrites once", "put host, path and query into one rewrite"),
        Action::Limit(_) => ("a rule has one limit", "put its keys into one"),
        _ => ("a rule ends in one way", "keep one of group, forward, redirect and respond"),
    }
}

/// The first action beyond what a rule can have of its kind: edits are many, and it ends in one way.
fn second_of_its_kind(all: &[Placed]) -> Option<&Placed> {
    let is_edit =
        |action: &Action| matches!(action, Action::Edit(_) | Action::EditResponse(_) | Action::Override(_));
    let is_last =
        |action: &Action| matches!(action, Action::Forward(..) | Action::Redirect(_) | Action::Respond(_));
    let is_same = |one: &Action, other: &Action| {
        is_last(one) && is_last(other) || std::mem::discriminant(one) == std::mem::discriminant(other)
    };
    let seconds = all.iter().enumerate().filter(|(_, placed)| !is_edit(&placed.action));
    let mut seconds = seconds.filter(|(index, placed)| {
        all.iter().take(*index).any(|other| is_same(&other.action, &placed.action))
    });
    seconds.next().map(|(_, placed)| placed)
}

/// Brings actions into their places: edits in their order, one rewrite at most, and one that is the last.
fn assemble(all: Vec<Placed>, location: Location, report: &mut Report) -> Option<ParsedActions> {
    let (mut request_headers, mut response_headers) = (Vec::new(), Vec::new());
    let (mut gates, mut mirror, mut side_groups) = (Gates::default(), None, SideGroups::default());
    let (mut cors, mut limit, mut group_sticky) = (None, None, None);
    let (mut rewrite, mut last, mut groups) = (None, None, Vec::new());
    let mut overrides = ReadOverrides::default();
    if let Some(Placed { action, location, .. }) = second_of_its_kind(&all) {
        let (message, help) = why_once(action);
        report.error(*location, message, help);
        return None;
    }
    for Placed { action, location, .. } in all {
        match action {
            Action::Edit(edit) => request_headers.push(edit),
            Action::EditResponse(edit) => response_headers.push(edit),
            Action::Cors(one) => cors = Some(one),
            Action::BasicAuth(auth) => gates.basic_auth = Some(auth),
            Action::Mirror(one, group) => {
                mirror = Some((one, location));
                side_groups.mirror = Some(group);
            }
            Action::ForwardAuth(auth, group) => {
                gates.forward_auth = Some(auth);
                side_groups.forward_auth = Some(group);
            }
            Action::Limit(rates) => limit = Some(rates),
            Action::Override(one) => overrides.add(one, location, report),
            Action::Rewrite(one) => rewrite = Some((one, location)),
            Action::Forward(targets, sticky) => {
                group_sticky = sticky;
                let weighted = |target: &ForwardTarget| WeightedGroup { group: 0, weight: target.weight };
                last = Some(FinalAction::Forward(targets.iter().map(weighted).collect()));
                groups = targets.into_iter().map(|target| (target.name, target.location)).collect();
            }
            Action::Redirect(redirect) => last = Some(FinalAction::Redirect(redirect)),
            Action::Respond(response) => last = Some(FinalAction::Respond(response)),
        }
    }
    check_number(&response_headers, location, report);
    let Some(last) = last else {
        let help = "add group = \"…\", redirect = { … } or respond = { … }";
        report.error(location, "the rule does not say where its requests go", help);
        return None;
    };
    let forwards = matches!(last, FinalAction::Forward(_));
    let (mirror, mirror_place) = mirror.unzip();
    let (rewrite, rewrite_place) = rewrite.unzip();
    if !forwards {
        refuse_unforwarded([("a rewrite", rewrite_place), ("a mirror", mirror_place)], report);
    }
    overrides.check_use(forwards, report);
    let overrides = overrides.overrides;
    let actions =
        Actions { cors, gates, request_headers, response_headers, limit, overrides, mirror, rewrite, last };
    Some(ParsedActions { actions, groups, side_groups, group_sticky })
}

/// Reports more edits than there is room for.
fn check_number(response_headers: &[HeaderEdit], location: Location, report: &mut Report) {
    if response_headers.len() > MAX_EDITS {
        let message = format!("the rule has more than {MAX_EDITS} edits of response headers");
        report.error(location, message, "remove some, or write some of them in the listener");
    }
}

/// Reports what only makes sense on the way to a backend.
fn refuse_unforwarded(actions: [(&str, Option<Location>); 2], report: &mut Report) {
    for (what, location) in actions {
        if let Some(location) = location {
            report.error(location, format!("{what} is for requests that are forwarded"), "remove it");
        }
    }
}

/// The value of this key.
struct OneAction {
    key: &'static str,
}

impl Kind for OneAction {
    type Value = Written<Placed>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        action(key, raw, report).map(|value| Written { value, json: to_json(raw) })
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.json.clone()
    }

    fn schema(&self) -> Json {
        action_schema(self.key)
    }
}

/// A list of tables with one action each.
struct ActionList;

impl Kind for ActionList {
    type Value = Written<Vec<Placed>>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let expected = "a list such as [{ forward = [{ group = \"app\" }] }]";
        let raw::Kind::Array(values) = &raw.kind else { return refuse_kind(key, raw, expected, report) };
        if values.len() > MAX_ACTIONS {
            let message = format!("`{key}` has more than {MAX_ACTIONS} actions");
            report.error(raw.location, message, "make several rules of it");
            return None;
        }
        let mut actions = Vec::with_capacity(values.len());
        for value in values {
            let raw::Kind::Table(table) = &value.kind else {
                return refuse_kind(key, value, expected, report);
            };
            if is_empty_table(key, value, &KEYS, report) {
                return None;
            }
            report_unknown(&table.entries, &KEYS, &format!("`{key}`"), report);
            let known = table.entries.iter().filter(|entry| KEYS.contains(&entry.key.as_str()));
            actions.extend(known.map(|entry| action(&entry.key, &entry.value, report)));
        }
        let value: Option<Vec<Placed>> = actions.into_iter().collect();
        Some(Written { value: value?, json: to_json(raw) })
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.json.clone()
    }

    fn schema(&self) -> Json {
        let mut actions = schema::table(KEYS.map(|key| (key, action_schema(key))), &[]);
        actions["minProperties"] = Json::from(1);
        schema::list(actions, 0..=MAX_ACTIONS)
    }
}

/// What an action with this key can be.
fn action_schema(key: &str) -> Json {
    match key {
        "cors" => cors::cors_schema(),
        "mirror" => mirror::mirror_schema(),
        "basic_auth" => gates::basic_auth_schema(),
        "forward_auth" => gates::forward_auth_schema(),
        "rewrite" => targets::rewrite_schema(),
        "redirect" => targets::redirect_schema(),
        "strip_prefix" => targets::strip_prefix_schema(),
        "limit" => limits::request_rates_schema(),
        "group" => Name.schema(),
        "forward" => forward::forward_schema(),
        "respond" => respond::respond_schema(),
        _ => overrides::overrides_schema(key).unwrap_or_else(|| fields::edit_schema(key)),
    }
}

/// The action that this key and its value make.
fn action(key: &str, raw: &raw::Value, report: &mut Report) -> Option<Placed> {
    let with = |(action, wanted): (Action, TemplateNeeds)| Placed {
        action,
        location: wanted.location,
        captures: wanted.captures,
    };
    let plain = |action| Placed { action, location: raw.location, captures: 0 };
    match key {
        "cors" => cors::cors(key, raw, report).map(|cors| plain(Action::Cors(cors))),
        "mirror" => mirror::mirror(key, raw, report).map(|(one, group)| plain(Action::Mirror(one, group))),
        "basic_auth" => gates::basic_auth(key, raw, report).map(|auth| plain(Action::BasicAuth(auth))),
        "forward_auth" => {
            gates::forward_auth(key, raw, report).map(|(auth, group)| plain(Action::ForwardAuth(auth, group)))
        }
        "rewrite" => {
            targets::rewrite(key, raw, report).map(|(one, wanted)| with((Action::Rewrite(one), wanted)))
        }
        "limit" => limits::request_rates(key, raw, report).map(|rates| plain(Action::Limit(rates))),
        "strip_prefix" => {
            let path = targets::strip_prefix(key, raw, report)?;
            Some(plain(Action::Rewrite(Rewrite { path: Some(path), ..Rewrite::default() })))
        }
        "redirect" => {
            targets::redirect(key, raw, report).map(|(one, wanted)| with((Action::Redirect(one), wanted)))
        }
        "group" if matches!(raw.kind, raw::Kind::Array(_)) => {
            let help =
                "write forward = [{ group = \"app\", weight = 50 }, …] to share requests between several";
            report.error(raw.location, "`group` names one group", help);
            None
        }
        "group" => {
            let name = Name.parse(key, raw, report)?;
            Some(plain(Action::Forward(
                vec![ForwardTarget { name, location: raw.location, weight: 100 }],
                None,
            )))
        }
        "forward" => forward::forward(key, raw, report)
            .map(|(targets, sticky)| plain(Action::Forward(targets, sticky))),
        "respond" => respond::respond(key, raw, report).map(|response| plain(Action::Respond(response))),
        "max_body_bytes"
        | "client_body_timeout"
        | "response_timeout"
        | "tunnel_idle_timeout"
        | "bandwidth_bytes_per_second"
        | "log"
        | "sample" => overrides::read(key, raw, report).map(|one| plain(Action::Override(one))),
        _ if fields::is_for_responses(key) => fields::edit((key, EditedHead::Response), raw, report)
            .map(|edit| plain(Action::EditResponse(edit))),
        _ => fields::edit((key, EditedHead::Request), raw, report).map(|edit| plain(Action::Edit(edit))),
    }
}
