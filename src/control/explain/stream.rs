//! Why a connection, or the datagrams of a client, go where they go.

use crate::control::explain::answer::Explanation;
use crate::control::explain::answer::RuleExplanation;
use crate::control::explain::answer::explained;
use crate::control::explain::groups;
use crate::control::explain::question::Question;
use crate::snapshot::Listener;
use crate::snapshot::Protocol;
use crate::snapshot::stream::StreamFacts;
use crate::snapshot::stream::StreamRule;
use crate::snapshot::stream::StreamRules;

/// Explains what becomes of a connection, or of a session of UDP.
///
/// # Errors
/// A sentence that says why it cannot be told.
pub(super) fn explain(listener: &Listener, question: &Question) -> Result<Explanation, String> {
    let protocol = listener.protocol_name();
    let names_something = question.sni.is_some() || !question.alpn.is_empty();
    if names_something && protocol != "tls" {
        return Err(format!(
            "the listener \"{}\" looks into no TLS handshake (protocol = \"{protocol}\"): leave sni and alpn out",
            listener.name
        ));
    }
    let named = question.sni.as_deref().unwrap_or_default();
    // As in the names that clients ask for, the dot of the root makes no difference.
    let host = named.strip_suffix('.').unwrap_or(named).to_ascii_lowercase();
    let mut explanation = Explanation {
        listener: listener.name.clone(),
        protocol: protocol.to_owned(),
        client: question.source.to_string(),
        host,
        ..Explanation::default()
    };
    if listener.access.as_ref().is_some_and(|access| !access.admits(question.source)) {
        refuse(
            &mut explanation,
            "access_denied",
            "the address may not connect to the listener (allow, deny)",
        );
        return Ok(explanation);
    }
    let rules = match &listener.protocol {
        Protocol::Http(_) => return Err(format!("the listener \"{}\" takes requests", listener.name)),
        Protocol::Stream(stream) => stream.rules.as_ref(),
        Protocol::Datagram(_) => None,
    };
    let alpn = question.alpn_on_the_wire()?;
    let name = explanation.host.clone();
    let facts = StreamFacts { server_name: &name, alpn: &alpn, source: question.source };
    let taken = rules.and_then(|rules| Some((rules, rules.find(&facts)?)));
    if let Some(rules) = rules {
        explanation.rules = rule_list(rules, &facts, taken.map(|(_, index)| index));
    }
    route(listener, question, taken.and_then(|(rules, index)| rules.get(index)), &mut explanation);
    Ok(explanation)
}

/// Explains where it goes by this rule, or without one.
fn route(listener: &Listener, question: &Question, rule: Option<&StreamRule>, explanation: &mut Explanation) {
    match rule {
        Some(rule) => {
            explanation.rule = Some(rule.name.to_string());
            let total: u32 = rule.targets.weights().map(|(_, weight)| weight).sum();
            let shares = rule.targets.weights().map(|(group, weight)| (group, weight * 100 / total.max(1)));
            forward(listener, question, shares, explanation);
            explanation.why = "the rule forwards".to_owned();
        }
        None => match listener.default_group {
            Some(group) => {
                forward(listener, question, std::iter::once((group, 100)), explanation);
                explanation.why = match explanation.rules.is_empty() {
                    false => "no rule takes it: it goes to the default_group".to_owned(),
                    true => "it goes to the default_group".to_owned(),
                };
            }
            None => {
                refuse(explanation, "no_route", "no rule takes it, and the listener has no default_group");
            }
        },
    }
}

fn refuse(explanation: &mut Explanation, reason: &str, why: &str) {
    explanation.action = "refuse".to_owned();
    explanation.reason = Some(reason.to_owned());
    explanation.why = why.to_owned();
}

/// Explains the groups, each with its share of what comes in per cent.
fn forward(
    listener: &Listener,
    question: &Question,
    shares: impl Iterator<Item = (usize, u32)>,
    explanation: &mut Explanation,
) {
    explanation.action = "forward".to_owned();
    let groups = shares.filter_map(|(index, percent)| Some((listener.group(index)?, percent)));
    explanation.groups =
        groups.map(|(group, percent)| groups::of_connection(group, percent, question.source)).collect();
}

fn rule_list(rules: &StreamRules, facts: &StreamFacts<'_>, taken: Option<usize>) -> Vec<RuleExplanation> {
    let names = rules.iter().map(|rule| (&*rule.name, rule.priority));
    explained(names, &rules.explain(facts), taken, |rule, condition| rules.describe(rule, condition))
}
