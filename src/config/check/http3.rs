//! HTTP/3: listeners that have it at their own addresses, that are nothing else, and that tell of one that is.

use crate::config::Carriers;
use crate::config::Listener;
use crate::config::ListenerProtocol;
use crate::config::ProxyProtocol;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Name;
use crate::config::check::listener_tls::Scheme;
use crate::config::check::names::Names;
use crate::config::check::references::Reference;
use crate::config::check::references::Wanted;
use crate::config::check::section::Section;
use crate::config::cipher_suites::TlsVersion;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;

/// Of no use to listeners of QUIC.
pub(super) const OF_TCP: [&str; 8] = [
    "http2",
    "http3",
    "quic_listener",
    "half_close",
    "proxy_protocol",
    "redirect_to",
    "redirect_spares_acme",
    "tunnel_idle_timeout",
];

/// What the keys say.
pub(super) struct Http3Keys {
    pub(super) carriers: Carriers,
    pub(super) listener: Option<Reference>,
    /// What asks for HTTP/3.
    place: Option<Location>,
}

pub(super) fn read(section: &mut Section<'_, '_>, table: &raw::Table, scheme: Scheme) -> Http3Keys {
    let place_of_protocol = section.place_of("protocol");
    match scheme {
        Scheme::Quic => Http3Keys { carriers: Carriers::Udp, listener: None, place: place_of_protocol },
        Scheme::Https => {
            let has_it = section.read("http3", &Boolean, false);
            let listener = quic_listener(section, table);
            let place = section.place_of("http3").filter(|_| has_it);
            if let Some(location) = section.place_of("quic_listener").filter(|_| has_it) {
                let message =
                    "`quic_listener` names another listener for HTTP/3, which `http3` has here already";
                section.report().error(location, message, "remove one of the two");
            }
            let carriers = if has_it { Carriers::TcpAndUdp } else { Carriers::Tcp };
            Http3Keys { carriers, listener, place }
        }
        _ => Http3Keys { carriers: Carriers::Tcp, listener: None, place: None },
    }
}

fn quic_listener(section: &mut Section<'_, '_>, table: &raw::Table) -> Option<Reference> {
    let name =
        section.read_optional("quic_listener", &Name, "clients are told of no other listener for HTTP/3");
    let entry = table.find("quic_listener")?;
    Some(Reference { name: name.map(|(name, _)| name), location: entry.value.location })
}

/// Refuses what HTTP/3 cannot be had with.
pub(super) fn check_tls(keys: &Http3Keys, listener: &Listener, report: &mut Report) {
    let (Some(place), Some(tls)) = (keys.place, &listener.tls) else { return };
    if !tls.policy.versions.contains(&TlsVersion::Tls13) {
        let message = format!(
            "HTTP/3 needs TLS 1.3 (RFC 9001), which the policy \"{}\" does not offer",
            tls.policy.name
        );
        report.error(
            place,
            message,
            "choose a `tls_policy` with TLS 1.3, such as \"tls_cipher_policy_1_2_strict_with_1_3\"",
        );
    }
    if listener.proxy_protocol == ProxyProtocol::Accept {
        let message = "datagrams have no PROXY header: of clients that come by HTTP/3, the address is that of who sends the datagrams";
        report.warning(place, message, "have them sent here as clients send them, or use no HTTP/3");
    }
}

/// Looks up the listeners that others tell of; certificates and authorities are known.
pub(super) fn resolve(listeners: &mut [Listener], wanted: &[Wanted], report: &mut Report) {
    if wanted.iter().all(|wanted| wanted.quic_listener.is_none()) {
        return;
    }
    let is_refused = report.has_errors();
    let known = listeners.to_vec();
    let names = Names::new("[[listener]]", known.iter().map(|listener| listener.name.as_str()), report);
    for (listener, wanted) in listeners.iter_mut().zip(wanted) {
        let Some(Reference { name: Some(name), location }) = &wanted.quic_listener else { continue };
        let Some(index) = names.find("quic_listener", (name, *location), report) else { continue };
        let Some(target) = known.get(index) else { continue };
        // What was refused says nothing about what goes together.
        let refusal = if is_refused { None } else { unfit(listener, target) };
        if let Some((what, help)) = refusal {
            let message = format!("`quic_listener` \"{name}\" {what}");
            report.error(*location, message, help);
            continue;
        }
        if listener.enabled && !target.enabled {
            let message = format!("`quic_listener` \"{name}\" is disabled: clients are not told of it");
            report.warning(*location, message, "enable it, or remove `quic_listener`");
        }
        if let ListenerProtocol::Http(http) = &mut listener.protocol {
            http.quic_listener = target.enabled.then_some(index);
        }
    }
}

/// Why clients of a listener cannot be sent to another one.
fn unfit(listener: &Listener, target: &Listener) -> Option<(&'static str, &'static str)> {
    if target.protocol_name() != "quic" {
        return Some((
            "is no listener of QUIC",
            "name one with protocol = \"quic\"; or write http3 = true, for HTTP/3 at the same addresses",
        ));
    }
    let certificates = |of: &Listener| of.tls.as_ref().map(|tls| tls.certificates.clone());
    if certificates(listener) != certificates(target) {
        return Some((
            "has other `certificates`: a client that changes over has to find the same ones",
            "name the same ones, in the same order, in both listeners",
        ));
    }
    let (own, other) = (&listener.client_auth, &target.client_auth);
    if (own.mode, &own.ca) != (other.mode, &other.ca) {
        return Some((
            "has another `client_auth`: a client that changes over has to show the same",
            "write the same `client_auth` in both listeners",
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::config::load;

    /// What is said of a listener for https and one for QUIC with these lines.
    fn report(https: &str, quic: &str) -> String {
        let certificates = ["site", "other"]
            .map(|name| format!("[[certificate]]\nname = \"{name}\"\nchain = \"/c\"\nkey = \"/k\"\n"))
            .concat();
        let text = format!(
            "config_version = 1\n{certificates}[[ca]]\nname = \"people\"\nbundle = \"/ca\"\n\
             [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8443\"\nprotocol = \"https\"\n\
             certificates = [\"site\"]\ndefault_group = \"app\"\n{https}\n\
             [[listener]]\nname = \"fast\"\naddress = \"127.0.0.1:8444\"\nprotocol = \"quic\"\ndefault_group = \"app\"\n{quic}\n\
             [[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = \"127.0.0.1:9001\"\n"
        );
        load(vec![Source::made_up("ringway.toml", text)]).report.to_text(false)
    }

    #[test]
    fn listeners_tell_of_those_that_are_like_them() {
        let (named, same) = ("quic_listener = \"fast\"", "certificates = [\"site\"]");
        for (https, quic, said) in [
            (named, same, ""),
            ("http3 = true", same, ""),
            (named, "certificates = [\"other\"]", "`quic_listener` \"fast\" has other `certificates`"),
            (
                named,
                "certificates = [\"site\"]\nclient_auth = { mode = \"require\", ca = [\"people\"] }",
                "`quic_listener` \"fast\" has another `client_auth`",
            ),
            (named, "certificates = [\"site\"]\nenabled = false", "is disabled: clients are not told of it"),
            ("quic_listener = \"web\"", same, "`quic_listener` \"web\" is no listener of QUIC"),
            ("quic_listener = \"fats\"", same, "did you mean \"fast\"?"),
            ("quic_listener = \"fast\"\nhttp3 = true", same, "remove one of the two"),
            (
                "http3 = true\ntls_policy = \"tls_cipher_policy_1_2_strict\"",
                same,
                "HTTP/3 needs TLS 1.3 (RFC 9001)",
            ),
            ("http3 = true\nproxy_protocol = \"accept\"", same, "datagrams have no PROXY header"),
            (
                "",
                "certificates = [\"site\"]\nhttp2 = true",
                "`http2` has no effect where the protocol is quic",
            ),
            (
                "",
                "certificates = [\"site\"]\nhttp3 = true",
                "`http3` has no effect where the protocol is quic",
            ),
        ] {
            let report = report(https, quic);
            assert!(report.contains(said), "{https}; {quic}: {report}");
            assert!(!said.is_empty() || !report.contains("QUIC"), "{https}; {quic}: {report}");
        }
    }

    #[test]
    fn fingerprints_are_taken_over_quic_too() {
        let edit = "response_headers = [{ set_header = { name = \"a\", value = { system = \"tls_ja3\" } } }]";
        let plain = "certificates = [\"site\"]";
        let quic = format!("{plain}\nforwarded = {{ tls_ja4 = true }}\n{edit}");
        assert_eq!(report("", &quic), report("", plain));
    }

    #[test]
    fn words_of_others_are_told_of() {
        let of_protocol = |word: &str| {
            let text = format!(
                "config_version = 1\n[[listener]]\nname = \"old\"\naddress = \"127.0.0.1:8443\"\nprotocol = \"{word}\"\n"
            );
            load(vec![Source::made_up("ringway.toml", text)]).report.to_text(false)
        };
        assert!(of_protocol("gquic").contains("gQUIC is dead: QUIC is RFC 9000"), "{}", of_protocol("gquic"));
        for word in ["http3", "h3", "HTTP/3"] {
            let report = of_protocol(word);
            assert!(
                report.contains("write protocol = \"quic\" in a [[listener]] for HTTP/3 alone"),
                "{report}"
            );
        }
    }
}
