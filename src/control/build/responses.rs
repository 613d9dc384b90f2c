//! What a listener does to responses.

use std::sync::Arc;

use crate::config;
use crate::config::Config;
use crate::config::in_order;
use crate::control::build::conditions;
use crate::control::build::fixed_response::fixed_response;
use crate::control::credentials::error_pages::LoadedPage;
use crate::control::credentials::ip_groups::LoadedIpGroup;
use crate::policy::header_edits::HeaderEdits;
use crate::policy::router::RegexError;
use crate::policy::router::Router;
use crate::policy::router::RuleText;
use crate::snapshot::error_pages::CompiledErrorPage;
use crate::snapshot::error_pages::ErrorPages;
use crate::snapshot::responses::CompiledResponseRule;
use crate::snapshot::responses::ResponsePolicy;
use crate::snapshot::responses::ResponseRules;
use crate::snapshot::rules::Rules;

/// None if the listener and its rules leave all responses as they are.
pub(super) fn policy(
    http: &config::HttpListener,
    rules: Option<&Rules>,
    response_rules: Option<ResponseRules>,
    error_pages: ErrorPages,
) -> Option<ResponsePolicy> {
    let headers = HeaderEdits::new(http.response_headers.iter().cloned());
    let has_cors = rules.into_iter().flat_map(Rules::iter).any(|rule| rule.cors.is_some());
    let of_rules = rules.into_iter().flat_map(Rules::iter).map(|rule| &rule.response_headers);
    let of_responses = response_rules.iter().flat_map(|rules| &rules.rules).map(|rule| &rule.headers);
    let mut is_idle = response_rules.is_none() && error_pages.is_empty() && !has_cors;
    let mut system_values = Vec::new();
    for edits in std::iter::once(&headers).chain(of_rules).chain(of_responses) {
        is_idle &= edits.is_empty();
        for value in edits.system_values() {
            if !system_values.contains(&value) {
                system_values.push(value);
            }
        }
    }
    (!is_idle).then(|| ResponsePolicy {
        headers,
        system_values: system_values.into(),
        error_pages,
        rules: response_rules,
    })
}

/// The pages of the listener with this index.
pub(super) fn error_pages(config: &Config, loaded: &[LoadedPage], listener: usize) -> ErrorPages {
    let own = config.error_pages.iter().zip(loaded).filter_map(|(page, loaded)| {
        let is_own = page.listeners.as_ref().is_none_or(|listeners| listeners.contains(&listener));
        Some(CompiledErrorPage {
            statuses: page.statuses.clone(),
            replaces_upstream: page.replaces_upstream,
            content: Arc::clone(loaded.content.as_ref().filter(|_| is_own)?),
        })
    });
    ErrorPages::new(own)
}

/// Compiles the rules for responses of the listener with this index.
///
/// # Errors
/// Their regular expressions are too large together.
pub(super) fn compile(
    config: &Config,
    listener: usize,
    (loaded, pages): (&[LoadedIpGroup], &[LoadedPage]),
) -> Result<Option<ResponseRules>, RegexError> {
    let own = config.response_rules.iter().filter(|rule| rule.enabled && rule.listeners.contains(&listener));
    let mut own: Vec<_> = own.collect();
    if own.is_empty() {
        return Ok(None);
    }
    in_order::sort_by_key(&mut own, |rule| rule.priority);
    let conditions: Vec<_> = own.iter().map(|rule| conditions::filled(&rule.conditions, loaded)).collect();
    let texts: Vec<_> =
        conditions.iter().map(|conditions| RuleText { conditions, captures: false }).collect();
    let asked = match own.iter().any(|rule| !rule.conditions.is_empty()) {
        true => {
            let router = Router::new(&texts)?;
            let http = config.listeners.get(listener).and_then(config::Listener::http);
            let normalizes = http.is_some_and(|http| http.normalizes_paths) && router.looks_at_path();
            Some(Rules::new(router, Vec::new(), normalizes))
        }
        false => None,
    };
    let rules = own.into_iter().map(|rule| CompiledResponseRule {
        name: rule.name.clone(),
        priority: rule.priority,
        response: rule.response.clone(),
        headers: HeaderEdits::new(rule.headers.iter().cloned()),
        respond: rule.respond.as_ref().map(|response| fixed_response(response, pages)),
    });
    Ok(Some(ResponseRules { asked, rules: rules.collect() }))
}
