//! Warnings of headers that can never have a value: what they tell is of a TLS connection that is not there.

use crate::config::ClientAuthMode;
use crate::config::Listener;
use crate::config::ResponseRule;
use crate::config::Rule;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::policy::header_edits::HeaderEdit;
use crate::policy::header_edits::SYSTEM_VALUES;
use crate::policy::header_edits::SystemValue;

/// Looks at the edits of listeners and rules; names are looked up already.
pub(super) fn check(
    listeners: &[Listener],
    rules: &[Rule],
    response_rules: &[ResponseRule],
    report: &mut Report,
) {
    for listener in listeners {
        let Some(http) = listener.http() else { continue };
        warn(&http.response_headers, &[listener], listener.location, report);
    }
    let of = |indices: &[usize]| -> Vec<&Listener> {
        indices.iter().filter_map(|index| listeners.get(*index)).collect()
    };
    for rule in rules {
        let own = of(&rule.listeners);
        warn(&rule.actions.request_headers, &own, rule.location, report);
        warn(&rule.actions.response_headers, &own, rule.location, report);
    }
    for rule in response_rules {
        warn(&rule.headers, &of(&rule.listeners), rule.location, report);
    }
}

/// Warns of edits that write nothing at any of these listeners.
fn warn(edits: &[HeaderEdit], listeners: &[&Listener], location: Location, report: &mut Report) {
    if listeners.is_empty() {
        return;
    }
    let is_plain = listeners.iter().all(|listener| listener.tls.is_none());
    let asks_nobody = listeners.iter().all(|listener| listener.client_auth.mode == ClientAuthMode::Off);
    for fact in edits.iter().filter_map(HeaderEdit::connection_fact) {
        let is_it = |(_, value): &&(&str, SystemValue)| *value == SystemValue::Connection(fact);
        let word = SYSTEM_VALUES.iter().find(is_it).map_or("", |(word, _)| *word);
        if is_plain {
            let message =
                format!("{{ system = \"{word}\" }} is always empty: there is no TLS on this listener");
            report.warning(location, message, "write protocol = \"https\", or remove the header");
        } else if fact.is_of_certificate() && asks_nobody {
            let message =
                format!("{{ system = \"{word}\" }} is always empty: no client is asked for a certificate");
            report.warning(location, message, "add [listener.client_auth] with mode = \"require\"");
        }
    }
}
