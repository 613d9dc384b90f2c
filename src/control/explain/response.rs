//! What becomes of the response: of a backend's, whose status is assumed, or of one of our own.

use crate::control::explain::answer::Explanation;
use crate::control::explain::answer::ResponseExplanation;
use crate::control::explain::answer::RuleExplanation;
use crate::control::explain::disabled;
use crate::control::explain::question::Question;
use crate::control::explain::request::AskedRequest;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::policy::header_edits::SystemValue;
use crate::policy::header_edits::layers::EditLayers;
use crate::policy::router::RuleVerdict;
use crate::policy::router::normalize::is_normal;
use crate::policy::router::normalize::normalize;
use crate::policy::router::target::split_target;
use crate::snapshot::responses::CompiledResponseRule;
use crate::snapshot::responses::ResponseRules;
use crate::snapshot::rules::RouterMemory;
use crate::snapshot::rules::Rule;

/// Explains what is changed about the response to a request, of which the rest is explained.
///
/// # Errors
/// A sentence that says why it cannot be told.
pub(super) fn explain(
    asked: &AskedRequest<'_, '_>,
    question: &Question,
    explanation: &mut Explanation,
) -> Result<(), String> {
    let http = asked.http;
    let is_upstream = explanation.action == "forward";
    let own_status = if is_upstream { Some(question.status) } else { explanation.status };
    let Some(status) = own_status else { return Ok(()) };
    let mut headers = Headers::new();
    for (name, value) in question.response_headers.iter().filter(|_| is_upstream) {
        let field = Field::new(name.as_bytes(), value.as_bytes());
        headers.push(field).map_err(|_| "there are too many headers of the response".to_owned())?;
    }
    // An answer of our own may have brought fields along.
    let mut response = explanation.response.take().unwrap_or_default();
    response.status = status;
    let taking = if is_upstream { taking_rule(asked, (status, &headers), &mut response) } else { None };
    if is_upstream {
        disabled::add_response_rules(asked, &mut response);
    }
    let replacement = taking.and_then(|rule| rule.respond.as_ref());
    if let Some(replacement) = replacement {
        response.status = replacement.status;
    }
    let can_have_page = (explanation.action == "refuse" && !response.is_maintenance_page)
        || (is_upstream && replacement.is_none());
    response.is_error_page = can_have_page
        && http
            .responses
            .as_ref()
            .is_some_and(|policy| policy.error_pages.find(status, is_upstream).is_some());
    let name = explanation.rule.as_deref();
    let mut rules = http.rules.iter().flat_map(|rules| rules.iter());
    let rule = name.and_then(|name| rules.find(|rule| *rule.name == *name));
    edit(asked, (rule, taking), &headers, &mut response);
    explanation.response = Some(response);
    Ok(())
}

/// Tells every rule for responses, and returns the one that takes a response with this status and these fields.
fn taking_rule<'r>(
    asked: &'r AskedRequest<'_, '_>,
    (status, headers): (u16, &Headers<'_>),
    response: &mut ResponseExplanation,
) -> Option<&'r CompiledResponseRule> {
    let rules = asked.http.responses.as_ref()?.rules.as_ref()?;
    let missed_by_request = missed_by_request(asked, rules);
    let mut taking = None;
    for (index, rule) in rules.rules.iter().enumerate() {
        let missed = match missed_by_request.get(index).cloned().flatten() {
            Some(missed) => Some(missed),
            None => rule.response.missed(status, headers),
        };
        let (verdict, missed) = match (&taking, missed) {
            (Some(_), _) => ("not_reached", None),
            (None, None) => ("taken", None),
            (None, missed) => ("missed", missed),
        };
        if verdict == "taken" {
            taking = Some(rule);
            response.rule = Some(rule.name.clone());
        }
        response.rules.push(RuleExplanation {
            name: rule.name.clone(),
            priority: rule.priority,
            verdict: verdict.to_owned(),
            missed,
        });
    }
    taking
}

/// For each rule the first condition on the request that does not hold. Nothing if none asks for anything.
fn missed_by_request(asked: &AskedRequest<'_, '_>, rules: &ResponseRules) -> Vec<Option<String>> {
    let Some(rules) = &rules.asked else { return Vec::new() };
    let (path, query) = split_target(asked.head.target.path_and_query);
    let mut spelled = Vec::new();
    let is_respelled = rules.normalizes && !is_normal(path) && normalize(path, &mut spelled).is_ok();
    let facts = asked.facts(if is_respelled { &spelled } else { path }, query);
    let verdicts = rules.router().explain(&facts, RouterMemory::default().scratch(rules));
    let missed = verdicts.iter().enumerate().map(|(index, verdict)| match verdict {
        RuleVerdict::Holds => None,
        RuleVerdict::Misses(condition) => {
            rules.router().conditions(index).get(*condition).map(|condition| condition.describe())
        }
    });
    missed.collect()
}

/// Tells what is written into the head of the response, and taken out of it.
fn edit(
    asked: &AskedRequest<'_, '_>,
    (rule, taking): (Option<&Rule>, Option<&CompiledResponseRule>),
    headers: &Headers<'_>,
    response: &mut ResponseExplanation,
) {
    if let Some(alt_svc) = asked.http.alt_svc.as_ref().and_then(|known| known.value(false)) {
        let value = String::from_utf8_lossy(alt_svc).into_owned();
        response.set_headers.push(("Alt-Svc".to_owned(), value));
    }
    let Some(policy) = &asked.http.responses else { return };
    let own = rule.map(|rule| &rule.response_headers);
    let all = [Some(&policy.headers), own, taking.map(|rule| &rule.headers)];
    let layers = EditLayers::new(all);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let cors = rule.and_then(|rule| rule.cors.as_deref());
    if let Some(cors) = cors {
        let allowed = cors.allowed_origin(asked.head.headers);
        cors.for_each_added(allowed, headers, |name, value| {
            response.set_headers.push((text(name), text(value)));
        });
    }
    let values: Vec<(SystemValue, Vec<u8>)> =
        policy.system_values.iter().map(|value| (*value, asked.system_value(*value))).collect();
    let system = |value: SystemValue| {
        let known = values.iter().find(|(known, _)| *known == value);
        known.map(|(_, value)| value.as_slice())
    };
    layers.for_each_written(headers, system, |name, value| {
        if cors.is_none_or(|cors| !cors.withholds(name)) {
            response.set_headers.push((text(name), text(value)));
        }
    });
    for name in all.into_iter().flatten().flat_map(|edits| edits.withheld()) {
        let is_written = response.set_headers.iter().any(|(written, _)| written.eq_ignore_ascii_case(name));
        if !is_written && !response.removed_headers.contains(name) {
            response.removed_headers.push(name.clone());
        }
    }
}
