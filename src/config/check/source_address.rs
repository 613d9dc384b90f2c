//! `source_address` and `source` of `[[server_group]]`: where what is sent to backends comes from.

use std::net::IpAddr;

use serde_json::Value as Json;

use crate::config::BackendAddress;
use crate::config::GroupProtocol;
use crate::config::ServerGroup;
use crate::config::SourceAddress;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;

/// IFNAMSIZ of netdevice(7), its end mark left out.
const MAX_INTERFACE_NAME: usize = 15;
/// An address of IPv6 in full, with one of IPv4 at its end.
const MAX_LENGTH: usize = 45;

pub(super) fn source_address(section: &mut Section<'_, '_>) -> Option<SourceAddress> {
    let unset = "the kernel chooses by its routes";
    section.read_optional("source_address", &SourceAddressKind, unset).map(|(source, _)| source)
}

const SOURCES: Choice<bool> = Choice { words: &[("client", true)], aliases: &[], later: &[] };

/// Where it is said that what is relayed comes from the address of its client. To be read behind `source_address`.
pub(super) fn keeps_client_address(
    section: &mut Section<'_, '_>,
    protocol: GroupProtocol,
) -> Option<Location> {
    let (_, location) = section.read_optional("source", &SOURCES, "backends see addresses of this host")?;
    if protocol.is_http() && !section.is_refused("protocol") {
        let message = "`source` = \"client\" is for connections that are relayed: those for requests are shared by clients";
        let help = "remove it: backends find clients in X-Forwarded-For, or write proxy_protocol = \"v2\"";
        section.report().error(location, message, help);
        return None;
    }
    if let Some(other) = section.place_of("source_address") {
        let place = section.report().place(other);
        let message = format!("`source` = \"client\" and `source_address` ({place}) exclude each other");
        section.report().error(location, message, "remove one of the two");
    }
    Some(location)
}

/// An IP address, or the name of a network interface.
struct SourceAddressKind;

impl Kind for SourceAddressKind {
    type Value = SourceAddress;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<SourceAddress> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "an IP address or the name of a network interface", report);
        };
        match parse(text) {
            Ok(source) => Some(source),
            Err(problem) => {
                let message = format!("`{key}` \"{}\" {problem}", text.escape_debug());
                let help = "write an IP address of this host such as \"192.0.2.10\", or the name of an interface such as \"eth1\"";
                report.error(raw.location, message, help);
                None
            }
        }
    }

    fn show(&self, value: &SourceAddress) -> Json {
        Json::String(value.to_string())
    }

    fn schema(&self) -> Json {
        schema::text_of(1..=MAX_LENGTH)
    }
}

/// The problem completes "`source_address` "x" …".
fn parse(text: &str) -> Result<SourceAddress, &'static str> {
    let Ok(ip) = text.parse::<IpAddr>() else { return interface(text) };
    match ip {
        _ if ip.is_unspecified() => Err("is every address of this host"),
        _ if ip.is_multicast() => Err("is a multicast address"),
        IpAddr::V4(ip) if ip.is_broadcast() => Err("is a broadcast address"),
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => Err("is an IPv4 address written as IPv6"),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            Err("means something on one interface only: name that")
        }
        _ => Ok(SourceAddress::Ip(ip)),
    }
}

fn interface(text: &str) -> Result<SourceAddress, &'static str> {
    let has_port = text
        .rsplit_once(':')
        .is_some_and(|(host, _)| host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok());
    match text.len() {
        _ if has_port => Err("has a port: the kernel chooses it"),
        _ if text.contains('%') => Err("has a zone: name the interface alone"),
        1..=MAX_INTERFACE_NAME
            if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':') =>
        {
            Ok(SourceAddress::Interface(text.to_owned()))
        }
        _ => Err("is neither an IP address nor can an interface be called so"),
    }
}

/// Tells which backends cannot be reached from the address.
pub(super) fn check_use(group: &ServerGroup, section: &mut Section<'_, '_>) {
    let key = match (&group.source_address, group.keeps_client_address.is_some()) {
        (Some(_), _) => "source_address",
        (None, true) => "source",
        (None, false) => return,
    };
    let is_unix = |address: &BackendAddress| matches!(address, BackendAddress::Unix(_));
    let is_idle =
        !group.backends.is_empty() && group.backends.iter().all(|backend| is_unix(&backend.address));
    section.warn_idle(key, is_idle.then_some("all backends are unix sockets"));
    match group.source_address {
        Some(SourceAddress::Ip(source)) => check_family(group, source, section.report()),
        Some(SourceAddress::Interface(_)) => {}
        None => warn_of_both_families(group, section.report()),
    }
}

/// A client of IPv4 can be itself to backends of IPv4 only, and one of IPv6 to those of IPv6.
fn warn_of_both_families(group: &ServerGroup, report: &mut Report) {
    let mut addresses = group.backends.iter().filter_map(|backend| match &backend.address {
        BackendAddress::Ip(address) => Some((address, backend.location)),
        _ => None,
    });
    let Some((first, _)) = addresses.next() else { return };
    if let Some((other, location)) = addresses.find(|(address, _)| address.is_ipv4() != first.is_ipv4()) {
        let message = format!(
            "\"{}\" has source = \"client\" and backends of both families, {first} and {other}: a client that is sent to one of the other family fails",
            group.name
        );
        let help = "give IPv4 and IPv6 a listener and a group each";
        report.warning(location, message, help);
    }
}

fn check_family(group: &ServerGroup, source: IpAddr, report: &mut Report) {
    for backend in &group.backends {
        let BackendAddress::Ip(address) = &backend.address else { continue };
        if address.is_ipv4() != source.is_ipv4() {
            let message = format!(
                "the backend \"{}\" cannot be reached from the source_address {source} of \"{}\": one is of IPv4 and the other of IPv6",
                backend.address, group.name
            );
            let help = "give it a group of its own, or remove source_address";
            report.error(backend.location, message, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_an_interface() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("eth0", "eth0"),
            ("eth0.100", "eth0.100"),
            ("wlp0s20f3", "wlp0s20f3"),
        ] {
            assert_eq!(parse(text).map(|source| source.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for (text, problem) in [
            ("", "neither"),
            ("0.0.0.0", "every address"),
            ("::", "every address"),
            ("224.0.0.1", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("::ffff:1.2.3.4", "written as IPv6"),
            ("fe80::1", "one interface only"),
            ("fe80::1%eth0", "zone"),
            ("192.0.2.1:80", "has a port"),
            ("[::1]:80", "has a port"),
            ("an interface", "neither"),
            ("a/b", "neither"),
            ("sixteen-letters!", "neither"),
        ] {
            let told = parse(text).expect_err(text);
            assert!(told.contains(problem), "{text}: {told}");
        }
    }
}
