//! What a listener does to responses.

use crate::config;
use crate::policy::header_edits::HeaderEdits;
use crate::snapshot::responses::ResponsePolicy;
use crate::snapshot::rules::Rules;

/// None if the listener and its rules leave all responses as they are.
pub(super) fn policy(http: &config::HttpListener, rules: Option<&Rules>) -> Option<ResponsePolicy> {
    let headers = HeaderEdits::new(http.response_headers.iter().cloned());
    let of_rules = rules.into_iter().flat_map(Rules::iter).map(|rule| &rule.response_headers);
    let mut is_idle = true;
    let mut system_values = Vec::new();
    for edits in std::iter::once(&headers).chain(of_rules) {
        is_idle &= edits.is_empty();
        for value in edits.system_values() {
            if !system_values.contains(&value) {
                system_values.push(value);
            }
        }
    }
    (!is_idle).then(|| ResponsePolicy { headers, system_values: system_values.into() })
}
