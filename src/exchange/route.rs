//! Where a request goes: by its listener's redirect, by a rule, or to the default group.

use crate::exchange::group_stickiness;
use crate::exchange::group_stickiness::ChosenGroup;
use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::exchange::message::host_for_rules;
use crate::net::buffer::Buffer;
use crate::policy::forwarded::Client;
use crate::policy::redirect::RequestedUrl;
use crate::policy::redirect::UrlScheme;
use crate::policy::router::Captures;
use crate::policy::router::RoutingFacts;
use crate::policy::router::normalize::is_normal;
use crate::policy::router::normalize::normalize;
use crate::policy::router::target::host_name;
use crate::policy::router::target::split_target;
use crate::policy::template::RequestValues;
use crate::snapshot::RedirectTo;
use crate::snapshot::rules::FinalAction;
use crate::snapshot::rules::RouterMemory;
use crate::snapshot::rules::Rule;
use crate::snapshot::rules::Rules;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// What becomes of a request.
pub(super) struct Route {
    /// The index of the rule that took it.
    pub(super) rule: Option<u32>,
    pub(super) action: RouteAction,
}

pub(super) enum RouteAction {
    Forward(Forwarding),
    Redirect {
        status: u16,
        location: Buffer,
    },
    /// The rule has the answer.
    Respond,
}

/// How a request is forwarded.
#[derive(Clone, Copy, Default)]
pub(super) struct Forwarding {
    /// The index in the groups of the listener.
    pub(super) group: usize,
    /// The client is to be told which group it was given.
    pub(super) gives_group: bool,
    /// Path and query are those in the memory, not those that came.
    pub(super) has_target: bool,
    /// So is the host.
    pub(super) has_host: bool,
}

/// Finds out where a request goes. What it is to be forwarded with is left in the memory.
#[inline]
pub(super) fn route(
    request: &Request<'_, '_>,
    client: &Client<'_>,
    origin: &Origin<'_>,
    worker: &Worker,
    memory: &mut RouterMemory,
) -> Result<Route, Reason> {
    if origin.http.rules.is_none() && origin.http.redirect_to.is_none() {
        let group = origin.listener.default_group.ok_or(Reason::NoRoute)?;
        let action = RouteAction::Forward(Forwarding { group, ..Forwarding::default() });
        return Ok(Route { rule: None, action });
    }
    routed(request, client, origin, worker, memory)
}

/// The same where a listener has rules, or redirects every request.
fn routed(
    request: &Request<'_, '_>,
    client: &Client<'_>,
    origin: &Origin<'_>,
    worker: &Worker,
    memory: &mut RouterMemory,
) -> Result<Route, Reason> {
    if let Some(to) = &origin.http.redirect_to
        && let Some(action) = redirect_to(to, request, host_for_rules(client, origin), worker)?
    {
        return Ok(Route { rule: None, action });
    }
    if let Some(rules) = &origin.http.rules
        && let Some(route) = by_rules(rules, (request, client, origin), worker, memory)?
    {
        return Ok(route);
    }
    let group = origin.listener.default_group.ok_or(Reason::NoRoute)?;
    let has_target = origin.http.rules.is_some() && !memory.path.is_empty();
    if has_target {
        let RouterMemory { path, target, .. } = memory;
        write_target(path, request.head.target.path_and_query, target);
    }
    Ok(Route {
        rule: None,
        action: RouteAction::Forward(Forwarding { group, has_target, ..Forwarding::default() }),
    })
}

/// The redirect of all requests to an HTTPS listener; None for one that is spared.
fn redirect_to(
    to: &RedirectTo,
    request: &Request<'_, '_>,
    host: &[u8],
    worker: &Worker,
) -> Result<Option<RouteAction>, Reason> {
    let target = request.head.target.path_and_query;
    if to.spares(target) {
        return Ok(None);
    }
    let host = host_name(host);
    if !to.hosts.contain(&host) {
        return Err(Reason::Misdirected);
    }
    let mut location = worker.buffers.small();
    let out = location.tail();
    out.extend_from_slice(b"https://");
    out.extend_from_slice(&host);
    if to.port != 443 {
        // Writing to a vector cannot fail.
        let _ = std::io::Write::write_fmt(out, format_args!(":{}", to.port));
    }
    // `*` of OPTIONS is no path.
    out.extend_from_slice(if target.starts_with(b"/") { target } else { b"/" });
    Ok(Some(RouteAction::Redirect { status: 301, location }))
}

/// What the first rule makes of a request that takes it; None if none does.
fn by_rules(
    rules: &Rules,
    (request, client, origin): (&Request<'_, '_>, &Client<'_>, &Origin<'_>),
    worker: &Worker,
    memory: &mut RouterMemory,
) -> Result<Option<Route>, Reason> {
    let (path, query) = split_target(request.head.target.path_and_query);
    memory.path.clear();
    if rules.normalizes && !is_normal(path) {
        normalize(path, &mut memory.path).map_err(|_| Reason::BadRequest("ambiguous_path", 400))?;
    }
    // Taken out while the memory is searched with.
    let normalized = std::mem::take(&mut memory.path);
    let is_respelled = !normalized.is_empty();
    let host = host_name(host_for_rules(client, origin));
    let facts = RoutingFacts {
        host: &host,
        path: if is_respelled { &normalized } else { path },
        query,
        method: request.head.method.as_bytes(),
        headers: request.head.headers,
        source: client.address,
        alpn: b"",
    };
    let route =
        memory.find(rules, &facts).and_then(|index| Some((index, rules.get(index)?))).map(|(index, rule)| {
            let target = request.head.target.path_and_query;
            let asked = Asking { rules, index, facts: &facts, target, is_respelled, client, origin };
            Ok(Route { rule: Some(index as u32), action: asked.act(rule, worker, memory)? })
        });
    memory.path = normalized;
    route.transpose()
}

/// A request that a rule has taken.
struct Asking<'a, 'r, 'b> {
    rules: &'a Rules,
    index: usize,
    facts: &'a RoutingFacts<'r, 'b>,
    /// Path and query as they came.
    target: &'a [u8],
    /// The path is not as it came.
    is_respelled: bool,
    client: &'a Client<'a>,
    origin: &'a Origin<'a>,
}

impl Asking<'_, '_, '_> {
    fn act(&self, rule: &Rule, worker: &Worker, memory: &mut RouterMemory) -> Result<RouteAction, Reason> {
        match &rule.last {
            FinalAction::Respond(_) => Ok(RouteAction::Respond),
            FinalAction::Redirect(redirect) => {
                let names_host = redirect.host.is_some() || rule.knows_host && !self.facts.host.is_empty();
                if !names_host && !self.origin.http.certified_hosts.contain(self.facts.host) {
                    return Err(Reason::Misdirected);
                }
                let captures = self.captures(memory);
                let asked = RequestedUrl {
                    protocol: if self.client.scheme == "https" { UrlScheme::Https } else { UrlScheme::Http },
                    authority: host_for_rules(self.client, self.origin),
                    values: self.values(&captures),
                };
                let mut location = worker.buffers.small();
                redirect.write(&asked, location.tail());
                Ok(RouteAction::Redirect { status: redirect.status, location })
            }
            FinalAction::Forward(targets) => {
                let chosen =
                    group_stickiness::choose(targets, self.facts.headers, self.origin.listener, worker);
                let ChosenGroup { index: group, is_news: gives_group } = chosen.ok_or(Reason::NoRoute)?;
                let mut forwarding = Forwarding { group, gives_group, ..Forwarding::default() };
                if let Some(rewrite) = &rule.rewrite {
                    let captures = self.captures(memory);
                    let values = self.values(&captures);
                    memory.target.clear();
                    memory.host.clear();
                    rewrite.write_target(&values, &mut memory.target);
                    rewrite.write_host(&values, &mut memory.host);
                    forwarding.has_target = true;
                    forwarding.has_host = !memory.host.is_empty();
                } else if self.is_respelled {
                    write_target(self.facts.path, self.target, &mut memory.target);
                    forwarding.has_target = true;
                }
                Ok(RouteAction::Forward(forwarding))
            }
        }
    }

    fn captures(&self, memory: &mut RouterMemory) -> Captures<'_> {
        let router = self.rules.router();
        router.captures(self.index, self.facts.path, memory.scratch(self.rules))
    }

    fn values<'v>(&'v self, captures: &'v Captures<'v>) -> RequestValues<'v> {
        RequestValues {
            protocol: self.client.scheme,
            host: self.facts.host,
            port: self.client.listener_port,
            path: self.facts.path,
            query: self.facts.query,
            captures,
        }
    }
}

/// Writes a path in its one spelling with the query that came, as it came.
pub(super) fn write_target(path: &[u8], target: &[u8], out: &mut Vec<u8>) {
    let (before, _) = split_target(target);
    out.clear();
    out.extend_from_slice(path);
    out.extend_from_slice(target.get(before.len()..).unwrap_or_default());
}
