//! Changes that clients would otherwise have to put together: a rule that goes elsewhere among the others, a copy of a
//! listener.

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::json;

use crate::config::Object;
use crate::config::ObjectKind;
use crate::config::ObjectPath;
use crate::config::edit::order::EditAction;
use crate::config::in_order;
use crate::control::admin::api::call::ApiAnswer;
use crate::control::admin::api::call::ApiCall;
use crate::control::admin::api::changes;
use crate::control::admin::api::objects;
use crate::control::admin::api::problem::ApiProblem;
use crate::control::change::order::ObjectChange;

const MAX_PRIORITY: i64 = 10_000;

/// Priorities that are left free between a rule that is moved behind the last one and that.
const STEP: i64 = 10;

/// Where a rule is to stand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum RulePlace {
    Before(String),
    After(String),
    Priority(i64),
}

/// Moves a rule among those that share a listener and a direction with it.
pub(super) fn move_rule(call: &ApiCall<'_>) -> ApiAnswer {
    let place: RulePlace = call.parsed()?;
    let (_, written) = call.channels().written.load();
    let rule = objects::find(&written, ObjectKind::Rule, call.argument(0))?;
    let mut others: Vec<(i64, &Object)> = written
        .of_kind(ObjectKind::Rule)
        .filter(|other| other.name != rule.name && is_beside(other, rule))
        .map(|other| (priority(other), other))
        .collect();
    in_order::sort_by_key(&mut others, |(priority, _)| *priority);
    let position = |name: &str| {
        let position = others.iter().position(|(_, other)| other.name == *name);
        position.ok_or_else(|| no_neighbour(rule, name, written.find(ObjectKind::Rule, name)))
    };
    let moved = match &place {
        RulePlace::Priority(priority) => vec![(rule, *priority)],
        RulePlace::Before(name) => between(rule, &others, position(name)?)?,
        RulePlace::After(name) => between(rule, &others, position(name)? + 1)?,
    };
    let changes = moved.into_iter().map(|(rule, priority)| ObjectChange {
        path: rule.path(),
        action: EditAction::Merge(in_order::object([("priority", priority)])),
        if_match: call
            .request
            .field("if-match")
            .filter(|_| rule.name == call.argument(0))
            .map(|tag| tag.into_owned()),
    });
    changes::apply(call, changes.collect(), Some(rule.path()))
}

/// Why a rule cannot stand before or after what was named.
fn no_neighbour(rule: &Object, name: &str, named: Option<&Object>) -> Box<ApiProblem> {
    let (own, name) = (&rule.name, name.escape_debug());
    let (detail, help) = match named {
        None => (format!("there is no rule \"{name}\""), "GET /api/v1/rules lists them"),
        Some(named) if named.name == rule.name => {
            (format!("the rule \"{name}\" cannot stand before or after itself"), "name another rule")
        }
        Some(_) => (
            format!("the rule \"{name}\" is not asked in one order with \"{own}\""),
            "name a rule that shares a listener with it and has the same `direction`: request, or response",
        ),
    };
    ApiProblem::new(422, detail, help)
}

/// The rules that get other priorities, so that `rule` stands before the one at this position.
fn between<'r>(
    rule: &'r Object,
    others: &[(i64, &'r Object)],
    position: usize,
) -> Result<Vec<(&'r Object, i64)>, Box<ApiProblem>> {
    let before =
        position.checked_sub(1).and_then(|before| others.get(before)).map_or(0, |(priority, _)| *priority);
    let own = match others.get(position) {
        None => (before + STEP).min(MAX_PRIORITY),
        Some((next, _)) if next - before >= 2 => before + (next - before) / 2,
        Some(_) => before + 1,
    };
    let mut moved = vec![(rule, own)];
    let mut taken = own;
    // Those behind make room, as far as they have to.
    for (priority, other) in others.get(position..).unwrap_or_default() {
        if *priority > taken {
            break;
        }
        taken += 1;
        moved.push((other, taken));
    }
    if taken > MAX_PRIORITY || own <= before {
        let detail = format!("there is no priority left up to {MAX_PRIORITY}");
        return Err(ApiProblem::new(409, detail, "give rules lower priorities first"));
    }
    Ok(moved)
}

fn is_beside(one: &Object, other: &Object) -> bool {
    let direction =
        |rule: &Object| rule.settings.get("direction").cloned().unwrap_or_else(|| json!("request"));
    let (one_of, other_of) = (listeners(one), listeners(other));
    direction(one) == direction(other) && one_of.iter().any(|listener| other_of.contains(listener))
}

fn listeners(rule: &Object) -> Vec<&str> {
    match rule.settings.get("listener") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn priority(rule: &Object) -> i64 {
    rule.settings.get("priority").and_then(Json::as_i64).unwrap_or_default()
}

/// Makes another listener out of one: the keys of the content take the place of those that are copied.
pub(super) fn copy_listener(call: &ApiCall<'_>) -> ApiAnswer {
    let (_, written) = call.channels().written.load();
    let listener = objects::find(&written, ObjectKind::Listener, call.argument(0))?;
    let Json::Object(own) = call.json()? else {
        let help = "send {\"name\": \"…\", \"address\": \"…\"}";
        return Err(ApiProblem::new(422, "the document is no object", help));
    };
    let Some(name) = own.get("name").and_then(Json::as_str).map(str::to_owned) else {
        return Err(ApiProblem::new(422, "`name` is missing", "send the name of the copy"));
    };
    let mut settings = listener.settings.clone();
    // What protects one does not have to protect the other.
    settings.retain(|key, _| key != "deletion_protection" && key != "modification_protection");
    settings.extend(own);
    let path = ObjectPath::Named { kind: ObjectKind::Listener, name };
    let change = ObjectChange { path: path.clone(), action: EditAction::Create(settings), if_match: None };
    changes::apply(call, vec![change], Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::config::load;

    fn rules(priorities: &[i64]) -> Vec<Object> {
        let tables = priorities.iter().map(|priority| {
            format!("[[rule]]\nname = \"r{priority}\"\nlistener = \"web\"\npriority = {priority}\n")
        });
        let text =
            tables.collect::<String>() + "[[rule]]\nname = \"new\"\nlistener = \"web\"\npriority = 9\n";
        load(vec![Source::made_up("text", text)]).objects()
    }

    fn moved(priorities: &[i64], position: usize) -> Option<Vec<(String, i64)>> {
        let rules = rules(priorities);
        let (rule, others) = rules.split_last().unwrap();
        let others: Vec<(i64, &Object)> = others.iter().map(|other| (priority(other), other)).collect();
        let moved = between(rule, &others, position).ok()?;
        Some(moved.into_iter().map(|(rule, priority)| (rule.name.clone(), priority)).collect())
    }

    #[test]
    fn a_rule_takes_the_middle_and_others_make_room_only_where_there_is_none() {
        let expect = |list: &[(&str, i64)]| {
            Some(list.iter().map(|(name, priority)| ((*name).to_owned(), *priority)).collect::<Vec<_>>())
        };
        assert_eq!(moved(&[10, 20], 1), expect(&[("new", 15)]));
        assert_eq!(moved(&[10, 20], 0), expect(&[("new", 5)]));
        assert_eq!(moved(&[10, 20], 2), expect(&[("new", 30)]));
        assert_eq!(moved(&[1, 2, 3, 9], 1), expect(&[("new", 2), ("r2", 3), ("r3", 4)]));
        assert_eq!(moved(&[9_999, 10_000], 1), None);
        assert_eq!(moved(&[10_000], 1), None);
    }
}
