//! `[[rule]]`: which requests a rule takes, and what becomes of them.

mod actions;
mod conditions;
mod cors;
pub(super) mod fields;
mod forward;
mod gates;
mod group_sticky;
mod loops;
mod mirror;
mod respond;
mod overrides;
mod response;
mod shadow;
pub(super) mod sources;
mod targets;
mod texts;
pub(super) mod written;

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::config::Actions;
use crate::config::FinalAction;
use crate::config::Gates;
use crate::config::Listener;
use crate::config::ResponseRule;
use crate::config::Rule;
use crate::config::ServerGroup;
use crate::config::check::annotations;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Integer;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Name;
use crate::config::check::kind::refuse_kind;
use crate::config::check::maintenance;
use crate::config::check::names::Known;
use crate::config::check::names::Names;
use crate::config::check::rule::actions::ParsedActions;
use crate::config::check::rule::gates::SideGroups;
use crate::config::check::rule::response::ParsedResponse;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::overrides::Overrides;

/// A rule whose names are not looked up yet.
pub(super) struct ParsedRule {
    rule: Rule,
    /// Known for a rule for responses, which then has no actions of those for requests.
    response: Option<ParsedResponse>,
    listeners: Vec<(String, Location)>,
    groups: Vec<(String, Location)>,
    side_groups: SideGroups,
    priority: Option<Location>,
    is_whole: bool,
}

pub(super) fn rule(table: &raw::Table, known: &Known<'_>, output: &mut Output) -> ParsedRule {
    let mut section = Section::element("rule", table, output);
    let name = section.read_required("name", &Name, "name = \"api\"");
    let listeners = section.read_required("listener", &OneOrMore, "listener = \"web\"");
    let priority = section.read_required("priority", &Integer(1..=10_000), "priority = 100");
    let enabled = section.read("enabled", &Boolean, true);
    let conditions = conditions::read(&mut section, &known.ip_groups);
    let maintenance = maintenance::of_rule(&mut section, &known.ip_groups);
    let response = response::read(&mut section);
    if let Some(location) = section.place_of("maintenance").filter(|_| response.is_some()) {
        let message = "`maintenance` is for requests, which have left when there is a response";
        section.report().error(
            location,
            message,
            "write it into a rule for requests, or into a server group",
        );
    }
    annotations::description_and_tags(&mut section);
    let actions = match &response {
        Some(_) => None,
        None => actions::read(&mut section, &conditions),
    };
    let is_whole =
        response.as_ref().map_or(actions.is_some(), |response| response.is_whole) && conditions.is_whole;
    let ParsedActions { actions, groups, side_groups, group_sticky } =
        actions.unwrap_or_else(|| ParsedActions {
            actions: Actions {
                cors: None,
                gates: Gates::default(),
                mirror: None,
                request_headers: Vec::new(),
                response_headers: Vec::new(),
                limit: None,
                overrides: Overrides::default(),
                rewrite: None,
                last: FinalAction::Forward(Vec::new()),
            },
            groups: Vec::new(),
            side_groups: SideGroups::default(),
            group_sticky: None,
        });
    section.close();
    ParsedRule {
        rule: Rule {
            location: name.as_ref().map_or(table.location, |(_, location)| *location),
            name: name.map(|(name, _)| name).unwrap_or_default(),
            enabled,
            listeners: Vec::new(),
            priority: priority.as_ref().map_or(0, |(priority, _)| *priority),
            conditions: conditions.conditions,
            maintenance,
            group_sticky,
            actions,
        },
        response,
        listeners: listeners.map(|(listeners, _)| listeners).unwrap_or_default(),
        groups,
        side_groups,
        priority: priority.map(|(_, location)| location),
        is_whole,
    }
}

/// Looks the names up, and reports what is wrong between rules.
pub(super) fn resolve(
    parsed: Vec<ParsedRule>,
    listeners: &[Listener],
    groups: &[ServerGroup],
    report: &mut Report,
) -> (Vec<Rule>, Vec<ResponseRule>) {
    let listener_names =
        Names::new("[[listener]]", listeners.iter().map(|listener| listener.name.as_str()), report);
    let group_names = Names::new("[[server_group]]", groups.iter().map(|group| group.name.as_str()), report);
    let mut taken: HashMap<(usize, bool, u32), Location> = HashMap::new();
    let mut is_whole = true;
    let mut rules = Vec::with_capacity(parsed.len());
    let mut response_rules = Vec::new();
    for parsed in parsed {
        let ParsedRule {
            mut rule,
            response,
            listeners,
            groups,
            side_groups,
            priority,
            is_whole: this_is_whole,
        } = parsed;
        is_whole &= this_is_whole;
        for (name, location) in listeners {
            if let Some(index) = listener_names.find("listener", (&name, location), report)
                && !rule.listeners.contains(&index)
            {
                rule.listeners.push(index);
            }
        }
        if let FinalAction::Forward(targets) = &mut rule.actions.last {
            for (target, (name, location)) in targets.iter_mut().zip(groups) {
                target.group = group_names.find("group", (&name, location), report).unwrap_or_default();
            }
        }
        side_groups.resolve(&mut rule.actions, &group_names, report);
        if let Some(location) = priority {
            for listener in &rule.listeners {
                let first = *taken.entry((*listener, response.is_some(), rule.priority)).or_insert(location);
                if first != location {
                    let message = format!(
                        "`priority` {} is taken at this listener, at {}",
                        rule.priority,
                        report.place(first)
                    );
                    report.error(location, message, "rules are asked in this order: give each its own");
                    break;
                }
            }
        }
        match response {
            None => rules.push(rule),
            Some(response) => response_rules.push(of_responses(rule, response)),
        }
    }
    group_sticky::check(&rules, groups, report);
    response::check_number(&response_rules, listeners, report);
    if is_whole {
        shadow::check(&rules, listeners, report);
    }
    (rules, response_rules)
}

/// Reports redirects that lead in circles; the listeners are known to which others redirect.
pub(super) fn check_redirects(rules: &[Rule], listeners: &[Listener], report: &mut Report) {
    loops::check(rules, listeners, report);
}

fn of_responses(rule: Rule, parsed: ParsedResponse) -> ResponseRule {
    let Rule { name, enabled, listeners, priority, conditions, location, .. } = rule;
    let ParsedResponse { response, headers, respond, .. } = parsed;
    ResponseRule { name, enabled, listeners, priority, conditions, response, headers, respond, location }
}

/// One name, or a list of them; each with its place.
pub(super) struct OneOrMore;

impl Kind for OneOrMore {
    type Value = Vec<(String, Location)>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let values = match &raw.kind {
            raw::Kind::Array(values) if !values.is_empty() => values.as_slice(),
            raw::Kind::Text(_) => std::slice::from_ref(raw),
            _ => return refuse_kind(key, raw, "a name, or a list of names", report),
        };
        let parsed: Vec<_> = values
            .iter()
            .filter_map(|value| Some((Name.parse(key, value, report)?, value.location)))
            .collect();
        (parsed.len() == values.len()).then_some(parsed)
    }

    fn show(&self, value: &Self::Value) -> Json {
        match value.as_slice() {
            [(only, _)] => Json::from(only.as_str()),
            several => several.iter().map(|(name, _)| Json::from(name.as_str())).collect(),
        }
    }

    fn schema(&self) -> Json {
        schema::one_or_list(Name.schema())
    }
}
