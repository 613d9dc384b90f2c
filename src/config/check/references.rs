//! What only shows when all tables are read: names and references.

use std::collections::HashMap;

use crate::config::FinalAction;
use crate::config::GroupProtocol;
use crate::config::Listener;
use crate::config::ListenerProtocol;
use crate::config::Rule;
use crate::config::ServerGroup;
use crate::config::check::names::Names;
use crate::config::check::nearest::nearest;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::policy::router::Condition;

/// A name that must be the name of something.
pub(super) struct Reference {
    /// None where what stands there is no name; that has been reported.
    pub name: Option<String>,
    pub location: Location,
}

/// What a listener names. Whether it is there shows when all tables are read.
#[derive(Default)]
pub(super) struct Wanted {
    pub default_group: Option<Reference>,
    pub authorities: Vec<Reference>,
    /// The listener that requests are redirected to.
    pub redirect_to: Option<Reference>,
    /// The one that clients are told of, for HTTP/3.
    pub quic_listener: Option<Reference>,
}

/// `thing` is the table the names belong to.
pub(super) fn check_names<'n>(
    thing: &str,
    names: impl Iterator<Item = (&'n str, Location)>,
    report: &mut Report,
) {
    let mut first_places = HashMap::new();
    for (name, location) in names.filter(|(name, _)| !name.is_empty()) {
        let first = *first_places.entry(name).or_insert(location);
        if first != location {
            let message =
                format!("the {thing} \"{name}\" is defined twice, first at {}", report.place(first));
            report.error(location, message, "rename or remove one of the two");
        }
    }
}

/// Fills in the default groups. `wanted` runs beside `listeners`.
pub(super) fn resolve_default_groups(
    listeners: &mut [Listener],
    wanted: &[Wanted],
    groups: &[ServerGroup],
    report: &mut Report,
) {
    // A group whose own name was refused may be the one that is meant.
    let may_be_hidden = report.is_broken_anywhere() || groups.iter().any(|group| group.name.is_empty());
    let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    for (listener, wanted) in listeners.iter_mut().zip(wanted) {
        let Some(Reference { name: Some(name), location }) = &wanted.default_group else { continue };
        listener.default_group = names.iter().position(|known| known == name);
        if listener.default_group.is_some() || may_be_hidden {
            continue;
        }
        let help = match nearest(name, &names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if names.is_empty() => "add a [[server_group]] of this name".to_owned(),
            None => format!("defined are \"{}\"", names.join("\", \"")),
        };
        report.error(*location, format!("`default_group` \"{name}\" is not defined"), help);
    }
}

/// Looks up the listeners that others redirect to.
pub(super) fn resolve_redirects(listeners: &mut [Listener], wanted: &[Wanted], report: &mut Report) {
    let known: Vec<(String, bool)> = listeners
        .iter()
        .map(|listener| (listener.name.clone(), listener.protocol_name() == "https"))
        .collect();
    let names = Names::new("[[listener]]", known.iter().map(|(name, _)| name.as_str()), report);
    for (listener, wanted) in listeners.iter_mut().zip(wanted) {
        let Some(Reference { name: Some(name), location }) = &wanted.redirect_to else { continue };
        if listener.tls.is_some() {
            let message = "`redirect_to` is for listeners with protocol = \"http\"";
            report.error(*location, message, "remove it, or write a [[rule]] with redirect = { … }");
            continue;
        }
        let target = names.find("redirect_to", (name, *location), report);
        if target.is_some_and(|target| known.get(target).is_some_and(|(_, is_secure)| !is_secure)) {
            let message = format!("`redirect_to` \"{name}\" is a listener without TLS");
            report.error(*location, message, "name one with protocol = \"https\"");
            continue;
        }
        if let ListenerProtocol::Http(http) = &mut listener.protocol {
            http.redirect_to = target;
        }
    }
}

/// Warns about listeners that lead nowhere and groups that nothing leads to.
pub(super) fn check_use(
    (listeners, wanted): (&[Listener], &[Wanted]),
    groups: &[ServerGroup],
    rules: &[Rule],
    report: &mut Report,
) {
    let has_rules = |index: usize| rules.iter().any(|rule| rule.enabled && rule.listeners.contains(&index));
    let leads_nowhere = |(index, wanted): (usize, &Wanted)| {
        wanted.default_group.is_none() && wanted.redirect_to.is_none() && !has_rules(index)
    };
    let is_http = |(listener, _): &(&Listener, bool)| listener.http().is_some();
    let lost = wanted.iter().enumerate().map(leads_nowhere);
    for (listener, _) in listeners.iter().zip(lost).filter(is_http).filter(|(_, is_lost)| *is_lost) {
        let who = match listener.name.as_str() {
            "" => "the listener".to_owned(),
            name => format!("the listener \"{name}\""),
        };
        let message = format!("{who} has no default_group: every request gets 404");
        report.warning(listener.location, message, "add default_group = \"…\"");
    }
    let defaults = || wanted.iter().filter_map(|wanted| wanted.default_group.as_ref());
    if defaults().any(|reference| reference.name.is_none()) {
        return;
    }
    for group in groups.iter().filter(|group| !group.name.is_empty()) {
        let is_wanted = |reference: &Reference| reference.name.as_ref() == Some(&group.name);
        let is_target = |rule: &Rule| {
            rule.actions.groups().any(|index| groups.get(index).is_some_and(|g| g.name == group.name))
        };
        if !defaults().any(is_wanted) && !rules.iter().any(is_target) {
            let message = format!("the server group \"{}\" is not used", group.name);
            report.warning(group.location, message, "name it as a default_group or in a rule, or remove it");
        }
    }
}

/// Refuses default groups that do not speak what the listener brings, and rules for requests where there are none.
pub(super) fn check_protocols(
    (listeners, wanted): (&[Listener], &[Wanted]),
    groups: &[ServerGroup],
    rules: &[Rule],
    report: &mut Report,
) {
    for rule in rules {
        let own: Vec<&Listener> = rule.listeners.iter().filter_map(|index| listeners.get(*index)).collect();
        let finding = match own.iter().find(|listener| listener.http().is_none()) {
            Some(relays) => unfit_for_connections(rule, (relays, &own), groups),
            None => unfit_for_requests(rule, groups),
        };
        if let Some((message, help)) = finding {
            report.error(rule.location, format!("the rule \"{}\" {message}", rule.name), help);
        }
    }
    for (index, (listener, wanted)) in listeners.iter().zip(wanted).enumerate() {
        let Some(reference) = &wanted.default_group else {
            let has_rules = || rules.iter().any(|rule| rule.enabled && rule.listeners.contains(&index));
            if listener.http().is_none() && !has_rules() {
                let message = format!("`default_group` is missing in the listener \"{}\"", listener.name);
                report.error(
                    listener.location,
                    message,
                    "name the [[server_group]] that its connections go to",
                );
            }
            continue;
        };
        let Some(group) = listener.default_group.and_then(|index| groups.get(index)) else { continue };
        let (listener_word, group_word) = (listener.protocol_name(), group.protocol.as_str());
        if !can_send(listener, group) {
            let message = format!(
                "`default_group` \"{}\" speaks {group_word}, which a listener with protocol = \"{listener_word}\" cannot send it",
                group.name
            );
            let help = match &listener.protocol {
                ListenerProtocol::Http(_) if group.protocol == GroupProtocol::Udp => {
                    "write protocol = \"udp\" in the [[listener]], which without it is http; or name a group of HTTP"
                }
                ListenerProtocol::Http(_) => {
                    "write protocol = \"tcp\", or \"tls\", in the [[listener]], which without it is http; or name a group of HTTP"
                }
                ListenerProtocol::Stream(stream) if stream.passthrough => {
                    "TLS passes as it came: write protocol = \"tcp\" in the [[server_group]], and remove [server_group.tls]"
                }
                ListenerProtocol::Stream(_) => {
                    "write protocol = \"tcp\" or \"tls\" in the [[server_group]]; where another listener uses it, make one for each"
                }
                ListenerProtocol::Datagram(_) => {
                    "write protocol = \"udp\" in the [[server_group]]; where another listener uses it, make one for each"
                }
            };
            report.error(reference.location, message, help);
        }
    }
}

/// Whether what comes at a listener can go to a group.
fn can_send(listener: &Listener, group: &ServerGroup) -> bool {
    match &listener.protocol {
        ListenerProtocol::Http(_) => group.protocol.is_http(),
        // TLS that is passed on as it came is not put into TLS again.
        ListenerProtocol::Stream(stream) if stream.passthrough => group.protocol == GroupProtocol::Tcp,
        ListenerProtocol::Stream(_) => matches!(group.protocol, GroupProtocol::Tcp | GroupProtocol::Tls),
        ListenerProtocol::Datagram(_) => group.protocol == GroupProtocol::Udp,
    }
}

/// What is wrong with a rule for requests, and what helps.
fn unfit_for_requests(rule: &Rule, groups: &[ServerGroup]) -> Option<(String, &'static str)> {
    let is_of_connections =
        |condition: &&Condition| matches!(condition, Condition::Sni(_) | Condition::Alpn(_));
    if let Some(condition) = rule.conditions.iter().find(is_of_connections) {
        let help = "write host = \"…\", or name a listener with protocol = \"tls\"";
        return Some((
            format!("asks for `{}`, which is for connections that are relayed", condition.as_str()),
            help,
        ));
    }
    let group = rule
        .actions
        .groups()
        .filter_map(|index| groups.get(index))
        .find(|group| !group.protocol.is_http())?;
    let (name, word) = (&group.name, group.protocol.as_str());
    let message = format!("cannot send requests to \"{name}\", whose protocol is {word}");
    Some((message, "name a group that speaks HTTP"))
}

/// The same of a rule of a listener that relays connections, and perhaps of `own` others.
fn unfit_for_connections(
    rule: &Rule,
    (relays, own): (&Listener, &[&Listener]),
    groups: &[ServerGroup],
) -> Option<(String, &'static str)> {
    let (listener, word) = (&relays.name, relays.protocol_name());
    if own.iter().any(|listener| listener.http().is_some()) {
        let message = format!("is of listeners for HTTP and of \"{listener}\", whose protocol is {word}");
        return Some((message, "make two rules of it"));
    }
    if own.iter().any(|listener| matches!(listener.protocol, ListenerProtocol::Datagram(_))) {
        let message = format!("is of \"{listener}\", whose protocol is {word}");
        return Some((message, "name its group as the default_group of the listener, and remove the rule"));
    }
    for condition in &rule.conditions {
        let is_of_tls = matches!(condition, Condition::Sni(_) | Condition::Alpn(_));
        if is_of_tls && own.iter().any(|listener| listener.protocol_name() != "tls") {
            let message = format!("asks for `{}`, which only TLS tells", condition.as_str());
            return Some((message, "name listeners with protocol = \"tls\""));
        }
        if !is_of_tls && !matches!(condition, Condition::SourceIp(_)) {
            let message = format!("asks for `{}`, but \"{listener}\" has no requests", condition.as_str());
            let help = match condition {
                Condition::Host(_) if word == "tls" => {
                    "write sni = \"…\": the name that a client asks for in TLS"
                }
                _ if word == "tls" => "ask for sni, alpn or source_ip",
                _ => "ask for source_ip",
            };
            return Some((message, help));
        }
    }
    let forwards = matches!(&rule.actions.last, FinalAction::Forward(_));
    if !forwards || !rule.actions.only_forwards() || rule.maintenance.is_some() || rule.group_sticky.is_some()
    {
        let message = format!("does more than to forward, but \"{listener}\" has no requests");
        return Some((message, "leave nothing but group = \"…\" or forward = […]"));
    }
    let group =
        rule.actions.groups().filter_map(|index| groups.get(index)).find(|group| !can_send(relays, group))?;
    let message =
        format!("sends connections to \"{}\", whose protocol is {}", group.name, group.protocol.as_str());
    match &relays.protocol {
        ListenerProtocol::Stream(stream) if stream.passthrough => {
            Some((message, "TLS passes as it came: name a group with protocol = \"tcp\""))
        }
        _ => Some((message, "name a group with protocol = \"tcp\" or \"tls\"")),
    }
}

/// Warns about listeners that no caller of gRPC can use, though what is behind them speaks nothing else.
pub(super) fn check_calls(listeners: &[Listener], groups: &[ServerGroup], report: &mut Report) {
    let lacks_http2 = |listener: &&Listener| listener.http().is_some_and(|http| !http.http2);
    for listener in listeners.iter().filter(lacks_http2) {
        let group = listener.default_group.and_then(|index| groups.get(index));
        if let Some(group) = group.filter(|group| group.protocol == GroupProtocol::Grpc) {
            let message = format!(
                "the listener \"{}\" has no http2, without which no call of gRPC reaches \"{}\"",
                listener.name, group.name
            );
            report.warning(listener.location, message, "write http2 = true in this [[listener]]");
        }
    }
}
