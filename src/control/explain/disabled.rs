//! Rules that are not asked because they are disabled, in their places among those that are.

use crate::config::in_order;
use crate::control::explain::answer::Explanation;
use crate::control::explain::answer::ResponseExplanation;
use crate::control::explain::answer::RuleExplanation;
use crate::control::explain::request::AskedRequest;
use crate::policy::router::RuleVerdict;
use crate::snapshot::rules::DisabledRules;
use crate::snapshot::rules::RouterMemory;

/// Adds the disabled rules for requests, each with the condition that would not hold if it were asked.
pub(super) fn add_rules(
    asked: &AskedRequest<'_, '_>,
    (path, query): (&[u8], &[u8]),
    explanation: &mut Explanation,
) {
    let Some(disabled) = asked.http.disabled_rules.as_deref() else { return };
    let router = disabled.asked.router();
    let facts = asked.facts(path, query);
    let verdicts = router.explain(&facts, RouterMemory::default().scratch(&disabled.asked));
    for (index, ((name, priority), verdict)) in disabled.rules.iter().zip(&verdicts).enumerate() {
        let missed = match verdict {
            RuleVerdict::Holds => None,
            RuleVerdict::Misses(condition) => {
                router.conditions(index).get(*condition).map(|condition| condition.describe())
            }
        };
        explanation.rules.push(RuleExplanation { missed, ..explained(name, *priority) });
    }
    in_order::sort_by_key(&mut explanation.rules, |rule| rule.priority);
}

/// Adds the disabled rules for responses.
pub(super) fn add_response_rules(asked: &AskedRequest<'_, '_>, response: &mut ResponseExplanation) {
    let Some(DisabledRules { of_responses, .. }) = asked.http.disabled_rules.as_deref() else {
        return;
    };
    response.rules.extend(of_responses.iter().map(|(name, priority)| explained(name, *priority)));
    in_order::sort_by_key(&mut response.rules, |rule| rule.priority);
}

fn explained(name: &str, priority: u32) -> RuleExplanation {
    let (name, verdict) = (name.to_owned(), "disabled".to_owned());
    RuleExplanation { name, priority, verdict, missed: None }
}
