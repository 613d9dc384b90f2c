//! `forward` of a rule: the groups that share its requests.

use serde_json::Value as Json;

use crate::config::GroupSticky;
use crate::config::check::kind::Integer;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Name;
use crate::config::check::kind::refuse_kind;
use crate::config::check::rule::group_sticky;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;

/// Groups that one rule may forward to.
const MAX_GROUPS: usize = 5;

const WEIGHT: Integer = Integer(0..=100);

#[derive(Clone)]
pub(super) struct ForwardTarget {
    pub name: String,
    pub location: Location,
    pub weight: u32,
}

/// What [`forward`] takes.
pub(super) fn forward_schema() -> Json {
    let target = schema::table([("group", Name.schema()), ("weight", WEIGHT.schema())], &["group"]);
    let targets = schema::list(target, 1..=MAX_GROUPS);
    let keys = [("groups", targets.clone()), ("sticky", group_sticky::group_sticky_schema())];
    schema::any_of([targets, schema::table(keys, &["groups"])])
}

/// Groups with their weights, and whether clients stay with theirs.
pub(super) fn forward(
    key: &str,
    raw: &raw::Value,
    report: &mut Report,
) -> Option<(Vec<ForwardTarget>, Option<GroupSticky>)> {
    let raw::Kind::Table(table) = &raw.kind else { return Some((targets(key, raw, report)?, None)) };
    report_unknown(&table.entries, &["groups", "sticky"], &format!("`{key}`"), report);
    let Some(entry) = table.find("groups") else {
        let help = "add groups = [{ group = \"…\", weight = 50 }, …]";
        report.error(raw.location, format!("`groups` is missing in `{key}`"), help);
        return None;
    };
    let targets = targets("groups", &entry.value, report);
    let sticky = table.find("sticky").map(|entry| group_sticky::group_sticky("sticky", &entry.value, report));
    match sticky {
        Some(sticky) => targets.zip(sticky).map(|(targets, sticky)| (targets, Some(sticky))),
        None => Some((targets?, None)),
    }
}

/// A list of groups with their weights.
fn targets(key: &str, raw: &raw::Value, report: &mut Report) -> Option<Vec<ForwardTarget>> {
    let expected = "a list such as [{ group = \"app\", weight = 90 }, { group = \"canary\", weight = 10 }]";
    let raw::Kind::Array(values) = &raw.kind else { return refuse_kind(key, raw, expected, report) };
    let is_only = values.len() == 1;
    let all: Vec<Option<ForwardTarget>> =
        values.iter().map(|value| target((key, expected), value, is_only, report)).collect();
    let targets: Vec<ForwardTarget> = all.into_iter().collect::<Option<_>>()?;
    if targets.is_empty() || targets.len() > MAX_GROUPS {
        let message = format!("`{key}` must name 1 to {MAX_GROUPS} groups");
        report.error(raw.location, message, "write [{ group = \"app\" }]");
        return None;
    }
    if targets.iter().all(|target| target.weight == 0) {
        report.error(raw.location, "all groups have weight 0", "give one of them a weight from 1 to 100");
        return None;
    }
    Some(targets)
}

/// One group with its weight; `expected` is what its list could be.
fn target(
    (key, expected): (&str, &str),
    value: &raw::Value,
    is_only: bool,
    report: &mut Report,
) -> Option<ForwardTarget> {
    let raw::Kind::Table(table) = &value.kind else { return refuse_kind(key, value, expected, report) };
    report_unknown(&table.entries, &["group", "weight"], &format!("`{key}`"), report);
    let Some(entry) = table.find("group") else {
        report.error(value.location, format!("`group` is missing in `{key}`"), "add group = \"…\"");
        return None;
    };
    let name = Name.parse("group", &entry.value, report);
    let weight = match table.find("weight") {
        Some(entry) => WEIGHT.parse("weight", &entry.value, report),
        None if !is_only => {
            let message = "`weight` is missing: it says how the groups share the requests";
            report.error(value.location, message, "add weight = 50");
            None
        }
        None => Some(100),
    };
    Some(ForwardTarget { name: name?, location: entry.value.location, weight: weight? })
}
