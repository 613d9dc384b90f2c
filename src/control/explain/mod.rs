//! Why a request, or a connection, goes where it goes: the rules of a snapshot asked on behalf of one that nobody made.
//!
//! What decides is the code of the data path: the router, the rewriting and the redirects of `policy/`, the groups and
//! tables of `snapshot/`. Here is only what they are asked with and how it reads.

pub mod answer;
mod details;
mod disabled;
mod groups;
pub mod offline;
pub mod question;
mod request;
mod response;
mod stream;

use std::sync::Arc;

use crate::control::explain::answer::Explanation;
use crate::control::explain::answer::ResponseExplanation;
use crate::control::explain::answer::RuleExplanation;
use crate::control::explain::answer::explained;
use crate::control::explain::question::Question;
use crate::control::explain::request::AskedRequest;
use crate::policy::cors::CorsQuestion;
use crate::policy::redirect::RequestedUrl;
use crate::policy::redirect::UrlScheme;
use crate::policy::router::Captures;
use crate::policy::router::Condition;
use crate::policy::router::RuleVerdict;
use crate::policy::router::normalize::is_normal;
use crate::policy::router::normalize::normalize;
use crate::policy::router::target::split_target;
use crate::policy::template::RequestValues;
use crate::snapshot::Listener;
use crate::snapshot::Snapshot;
use crate::snapshot::maintenance::Maintenance;
use crate::snapshot::rules::FinalAction;
use crate::snapshot::rules::RouterMemory;
use crate::snapshot::rules::Rule;
use crate::snapshot::rules::Rules;

/// Explains what becomes of a request, or of a connection.
///
/// # Errors
/// A sentence that says why it cannot be told.
pub fn explain(snapshot: &Snapshot, question: &Question) -> Result<Explanation, String> {
    let listener = listener(snapshot, question)?;
    let name = &listener.name;
    let http = match (listener.http(), question.is_of_connection()) {
        (None, true) => return stream::explain(listener, question),
        (Some(http), false) => http,
        (None, false) => {
            return Err(format!(
                "the listener \"{name}\" takes no requests: ask without method and URL what becomes of a connection"
            ));
        }
        (Some(_), true) => {
            return Err(format!(
                "the listener \"{name}\" takes requests: name method and URL, as in GET https://www.example.com/"
            ));
        }
    };
    let mut headers = request::headers(question)?;
    let asked = AskedRequest::new(question, (listener, http), &mut headers);
    let mut explanation = Explanation {
        listener: listener.name.clone(),
        protocol: listener.protocol_name().to_owned(),
        http3: http.quic.is_some(),
        quic_listener: http.quic_listener.clone(),
        client: asked.client.address.to_string(),
        host: text(&asked.host),
        ..Explanation::default()
    };
    if listener.access.as_ref().is_some_and(|access| !access.admits(question.source)) {
        explanation.action = "refuse".to_owned();
        explanation.reason = Some("access_denied".to_owned());
        explanation.why = "the address may not connect to the listener (allow, deny)".to_owned();
        return Ok(explanation);
    }
    if let Some(health) = asked.health() {
        explanation.action = "respond".to_owned();
        explanation.status = Some(if health.is_ready() { 200 } else { 503 });
        explanation.reason = Some("health_path".to_owned());
        explanation.why = "the path is the health_path of the listener".to_owned();
    } else if let Err(status) = asked.admit() {
        explanation.action = "refuse".to_owned();
        explanation.status = Some(status);
        explanation.why = match status {
            421 => "the certificate of this connection does not cover the host (over HTTP/1.1: with host_unlike_sni = \"reject\")"
                .to_owned(),
            _ => "the method is not served".to_owned(),
        };
    } else if !redirected(&asked, &mut explanation) {
        routed(&asked, &mut explanation);
    }
    response::explain(&asked, question, &mut explanation)?;
    Ok(explanation)
}

/// The listener that the question is about.
fn listener<'s>(snapshot: &'s Snapshot, question: &Question) -> Result<&'s Listener, String> {
    let listeners = snapshot.listeners.iter().flatten().filter(|listener| !listener.is_leaving());
    if let Some(name) = &question.listener {
        let is_disabled = snapshot.disabled_listeners.iter().any(|listener| listener.name == *name);
        let found = listeners.clone().find(|listener| listener.name == *name);
        return found.map(|listener| &**listener).ok_or_else(|| {
            let known: Vec<&str> = listeners.map(|listener| listener.name.as_str()).collect();
            let name = name.escape_debug();
            match is_disabled {
                true => format!("the listener is disabled: \"{name}\""),
                false => format!("there is no listener: \"{name}\"; there are \"{}\"", known.join("\", \"")),
            }
        });
    }
    let speaks =
        |listener: &&&Arc<Listener>| listener.http().is_some() && listener.tls.is_some() == question.is_https;
    let fits: Vec<&Arc<Listener>> = listeners.filter(|listener| speaks(&listener)).collect();
    let port = question.port();
    let is_at_port = |listener: &&Arc<Listener>| listener.addresses.iter().any(|it| it.port() == port);
    let at_port: Vec<&Arc<Listener>> = fits.iter().copied().filter(is_at_port).collect();
    match (by_tcp(at_port).as_slice(), by_tcp(fits).as_slice()) {
        ([one], _) | ([], [one]) => Ok(one),
        (_, []) => Err("no listener speaks the scheme of this URL".to_owned()),
        (_, several) => {
            let names: Vec<&str> = several.iter().map(|listener| listener.name.as_str()).collect();
            Err(format!("several listeners fit: name one of {} with --listener", names.join(", ")))
        }
    }
}

/// Those that a client reaches that knows nothing but a URL: it comes by TCP, where that is listened at.
fn by_tcp(listeners: Vec<&Arc<Listener>>) -> Vec<&Arc<Listener>> {
    let has_tcp = |listener: &&Arc<Listener>| listener.http().is_some_and(|http| http.has_tcp);
    let over_tcp: Vec<&Arc<Listener>> = listeners.iter().copied().filter(has_tcp).collect();
    if over_tcp.is_empty() { listeners } else { over_tcp }
}

/// Explains the redirect of all requests, if the listener has one.
fn redirected(asked: &AskedRequest<'_, '_>, explanation: &mut Explanation) -> bool {
    let Some(to) = &asked.http.redirect_to else { return false };
    let target = asked.head.target.path_and_query;
    if to.spares(target) {
        return false;
    }
    let port = if to.port == 443 { String::new() } else { format!(":{}", to.port) };
    if to.hosts.contain(&asked.host) {
        explanation.action = "redirect".to_owned();
        explanation.status = Some(301);
        explanation.location = Some(format!("https://{}{port}{}", text(&asked.host), text(target)));
        explanation.why = "the listener redirects every request (redirect_to)".to_owned();
    } else {
        refuse(
            explanation,
            421,
            "misdirected",
            "no certificate of the listener that redirect_to names covers the host",
        );
    }
    true
}

fn refuse(explanation: &mut Explanation, status: u16, reason: &str, why: &str) {
    explanation.action = "refuse".to_owned();
    explanation.status = Some(status);
    explanation.reason = Some(reason.to_owned());
    explanation.why = why.to_owned();
}

/// Explains what rules make of a request.
fn routed(asked: &AskedRequest<'_, '_>, explanation: &mut Explanation) {
    let (path, query) = split_target(asked.head.target.path_and_query);
    explanation.path = text(path);
    let mut spelled = Vec::new();
    let http = asked.http;
    let Some(rules) = &http.rules else {
        disabled::add_rules(asked, (path, query), explanation);
        explanation.details = details::details(asked.listener, None);
        return defaulted(asked, asked.head.target.path_and_query, explanation);
    };
    if rules.normalizes && !is_normal(path) && normalize(path, &mut spelled).is_err() {
        let why = "the path means different things to different servers (path_normalization)";
        return refuse(explanation, 400, "ambiguous_path", why);
    }
    let path = if spelled.is_empty() { path } else { &spelled };
    explanation.path = text(path);
    let facts = asked.facts(path, query);
    let mut memory = RouterMemory::default();
    let verdicts = rules.router().explain(&facts, memory.scratch(rules));
    let taken = verdicts.iter().position(|verdict| *verdict == RuleVerdict::Holds);
    explanation.rules = rule_list(rules, &verdicts, taken);
    disabled::add_rules(asked, (path, query), explanation);
    match taken.and_then(|index| Some((index, rules.get(index)?))) {
        Some((index, rule)) => {
            explanation.rule = Some(rule.name.to_string());
            let captures = rules.router().captures(index, path, memory.scratch(rules));
            explanation.details = details::details(asked.listener, Some(rule));
            acted(asked, rule, &asked.values(path, query, &captures), explanation);
        }
        None => {
            explanation.details = details::details(asked.listener, None);
            defaulted(asked, &asked.target(path), explanation);
        }
    }
}

fn rule_list(rules: &Rules, verdicts: &[RuleVerdict], taken: Option<usize>) -> Vec<RuleExplanation> {
    let names = rules.iter().map(|rule| (&*rule.name, rule.priority));
    explained(names, verdicts, taken, |rule, condition| {
        rules.router().conditions(rule).get(condition).map(Condition::describe)
    })
}

/// Explains the actions of the rule that takes a request.
fn acted(
    asked: &AskedRequest<'_, '_>,
    rule: &Rule,
    values: &RequestValues<'_>,
    explanation: &mut Explanation,
) {
    let http = asked.http;
    explanation.besides = besides(rule);
    if preflight(asked, rule, explanation) {
        return;
    }
    if rule.maintenance.keeps_out(asked.client.address) {
        return in_maintenance(&rule.maintenance, "the rule is in maintenance", explanation);
    }
    match &rule.last {
        FinalAction::Respond(response) => {
            explanation.action = "respond".to_owned();
            explanation.status = Some(response.status);
            explanation.reason = Some("fixed_response".to_owned());
            explanation.why = "the rule has the answer".to_owned();
        }
        FinalAction::Redirect(redirect) => {
            let names_host = redirect.host.is_some() || rule.knows_host && !asked.host.is_empty();
            if !names_host && !http.certified_hosts.contain(&asked.host) {
                let why =
                    "the redirect would repeat a host that neither a condition nor a certificate covers";
                return refuse(explanation, 421, "misdirected", why);
            }
            let mut location = Vec::new();
            let protocol = if asked.client.scheme == "https" { UrlScheme::Https } else { UrlScheme::Http };
            redirect.write(
                &RequestedUrl { protocol, authority: asked.client.host, values: *values },
                &mut location,
            );
            explanation.action = "redirect".to_owned();
            explanation.status = Some(redirect.status);
            explanation.reason = Some("redirect".to_owned());
            explanation.location = Some(text(&location));
            explanation.why = "the rule redirects".to_owned();
        }
        FinalAction::Forward(targets) => {
            let shares = groups::shares(asked, targets);
            explanation.groups = groups::explain(asked, shares.percents.iter().copied());
            explanation.action = "forward".to_owned();
            explanation.why = shares.why;
            if kept_out(asked, shares.percents.iter().map(|(group, _)| *group), explanation) {
                return;
            }
            let (mut target, mut host) = (Vec::new(), Vec::new());
            match &rule.rewrite {
                Some(rewrite) => {
                    rewrite.write_target(values, &mut target);
                    rewrite.write_host(values, &mut host);
                }
                None => target = asked.target(values.path),
            }
            explanation.target = Some(text(&target));
            explanation.forwarded_host = Some(text(if host.is_empty() { asked.client.host } else { &host }));
            explanation.removed_headers = rule.request_headers.withheld().to_vec();
            explanation.set_headers = asked.written(&rule.request_headers);
        }
    }
}

/// What is asked of requests first, and what is done beside them.
fn besides(rule: &Rule) -> Vec<String> {
    let gates = rule.gates.as_ref();
    let besides = [
        ("limit", rule.limit.is_some()),
        ("basic_auth", gates.is_some_and(|gates| gates.basic_auth.is_some())),
        ("forward_auth", gates.is_some_and(|gates| gates.forward_auth.is_some())),
        ("mirror", rule.mirror.is_some()),
        ("cors", rule.cors.is_some()),
    ];
    besides.into_iter().filter(|(_, is_there)| *is_there).map(|(word, _)| word.to_owned()).collect()
}

/// Explains what a browser is told that asks for permission, if this is such a question.
fn preflight(asked: &AskedRequest<'_, '_>, rule: &Rule, explanation: &mut Explanation) -> bool {
    let Some(cors) = &rule.cors else { return false };
    match cors.question(asked.head.method, asked.head.headers) {
        CorsQuestion::Request => return false,
        CorsQuestion::Preflight { is_allowed: true } => {
            explanation.action = "respond".to_owned();
            explanation.status = Some(204);
            explanation.reason = Some("cors_preflight".to_owned());
            explanation.why = "the rule says what pages of this origin may ask for (cors)".to_owned();
            let mut response = ResponseExplanation::default();
            cors.for_each_permission(|name, value| response.set_headers.push((text(name), text(value))));
            explanation.response = Some(response);
        }
        CorsQuestion::Preflight { is_allowed: false } => {
            refuse(explanation, 403, "cors_origin_denied", "the origin is none of allow_origins (cors)");
        }
    }
    true
}

/// Explains what a client gets in place of what is in maintenance.
fn in_maintenance(maintenance: &Maintenance, why: &str, explanation: &mut Explanation) {
    refuse(explanation, maintenance.status(), "maintenance", why);
    let mut response = ResponseExplanation::default();
    if let Some(terms) = &maintenance.terms {
        response.is_maintenance_page = terms.page.is_some();
        let seconds = terms.retry_after.iter().map(|seconds| ("Retry-After".to_owned(), seconds.clone()));
        response.set_headers.extend(seconds);
    }
    explanation.response = Some(response);
}

/// Explains what the client gets if one of these groups is in maintenance; true if all of them are.
fn kept_out(
    asked: &AskedRequest<'_, '_>,
    groups: impl Iterator<Item = usize>,
    explanation: &mut Explanation,
) -> bool {
    let (mut first, mut is_whole) = (None, true);
    for group in groups {
        let maintenance = asked.listener.maintenance.get(group);
        match maintenance.filter(|maintenance| maintenance.keeps_out(asked.client.address)) {
            Some(maintenance) => first = first.or(Some(maintenance)),
            None => is_whole = false,
        }
    }
    let Some(maintenance) = first else { return false };
    let why = format!("the server group \"{}\" is in maintenance", maintenance.switch.name);
    match is_whole {
        true => in_maintenance(maintenance, &why, explanation),
        false => explanation.why = format!("{}; {why}", explanation.why),
    }
    is_whole
}

/// Explains what becomes of a request that no rule takes.
fn defaulted(asked: &AskedRequest<'_, '_>, target: &[u8], explanation: &mut Explanation) {
    let Some(group) = asked.listener.default_group else {
        return refuse(
            explanation,
            404,
            "no_route",
            "no rule takes it, and the listener has no default_group",
        );
    };
    explanation.action = "forward".to_owned();
    explanation.groups = groups::explain(asked, std::iter::once((group, 100)));
    explanation.target = Some(text(target));
    explanation.forwarded_host = Some(text(asked.client.host));
    explanation.why = "no rule takes it: it goes to the default_group".to_owned();
    kept_out(asked, std::iter::once(group), explanation);
}

/// Bytes as they can be shown.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl AskedRequest<'_, '_> {
    /// What variables of templates stand for.
    fn values<'v>(
        &'v self,
        path: &'v [u8],
        query: &'v [u8],
        captures: &'v Captures<'v>,
    ) -> RequestValues<'v> {
        RequestValues {
            protocol: self.client.scheme,
            host: &self.host,
            port: self.client.listener_port,
            path,
            query,
            captures,
        }
    }
}
