//! The keys of `[[listener]]` that are about TLS.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::ListenerTls;
use crate::config::SniMatch;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Choice;
use crate::config::check::kind::seconds;
use crate::config::check::names::Known;
use crate::config::check::names::NameList;
use crate::config::check::section::Section;
use crate::config::check::tls_policy;
use crate::config::raw;
use crate::config::report::Location;

/// Of use with https alone.
pub(super) const KEYS: [&str; 7] = [
    "certificates",
    "sni_match",
    "unknown_sni",
    "host_unlike_sni",
    "tls_policy",
    "session_ticket_lifetime",
    "tls_handshake_timeout",
];

/// The same, about HTTP/3, which connections that are relayed have none of.
pub(super) const HTTP3_KEYS: [&str; 2] = ["http3", "quic_listener"];

/// What the word `protocol` says of a listener: what is spoken, and whether within TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    /// Connections that are relayed.
    Tcp,
    /// The same, of clients that speak TLS with the listener.
    Tls,
    /// The same, of clients that speak TLS with a backend.
    Passthrough,
    /// Datagrams that are relayed.
    Udp,
    /// HTTP/3.
    Quic,
}

impl Scheme {
    pub(super) fn is_secure(self) -> bool {
        matches!(self, Scheme::Https | Scheme::Tls | Scheme::Quic)
    }

    pub(super) fn is_http(self) -> bool {
        matches!(self, Scheme::Http | Scheme::Https | Scheme::Quic)
    }

    /// What it is, to be read behind "where".
    pub(super) fn clause(self) -> &'static str {
        match self {
            Scheme::Http => "the protocol is http",
            Scheme::Https => "the protocol is https",
            Scheme::Tcp => "the protocol is tcp",
            Scheme::Tls => "the protocol is tls",
            Scheme::Passthrough => "TLS is passed through",
            Scheme::Udp => "the protocol is udp",
            Scheme::Quic => "the protocol is quic",
        }
    }
}

/// What is spoken where `passthrough` says that TLS goes on to the backends.
pub(super) fn passed(section: &mut Section<'_, '_>, table: &raw::Table, scheme: Scheme) -> Scheme {
    if scheme == Scheme::Udp || (scheme != Scheme::Tls && table.find("passthrough").is_none()) {
        return scheme;
    }
    let is_passed = section.read("passthrough", &Boolean, false) || section.is_refused("passthrough");
    if let Some(location) = section.place_of("passthrough")
        && scheme != Scheme::Tls
        && !section.is_refused("protocol")
    {
        let message = format!("`passthrough` has no effect where {}", scheme.clause());
        let help = "write protocol = \"tls\" to pass TLS on as it comes, or remove it";
        section.report().error(location, message, help);
    }
    // Whoever asks for it means the rest for it, too.
    if is_passed { Scheme::Passthrough } else { scheme }
}

/// None unless the listener speaks https; then these keys must not be there.
pub(super) fn listener_tls(
    section: &mut Section<'_, '_>,
    scheme: Scheme,
    known: &Known<'_>,
) -> Option<ListenerTls> {
    match scheme {
        Scheme::Https | Scheme::Tls | Scheme::Quic => {}
        // It may be meant for one that has them.
        Scheme::Http if section.is_refused("protocol") && section.place_of("certificates").is_some() => {}
        Scheme::Http => {
            refuse_keys(section);
            return None;
        }
        // Whatever it does not know is refused in the end.
        Scheme::Tcp | Scheme::Udp | Scheme::Passthrough => return None,
    }
    let example = match scheme {
        Scheme::Tls => "certificates = [\"site\"]; or passthrough = true, where TLS ends at the backends",
        _ => "certificates = [\"site\"]",
    };
    let list = section.read_required("certificates", &CERTIFICATES, example);
    let (wanted, location) = list.unwrap_or_default();
    Some(ListenerTls {
        certificates: certificates(&wanted, section, known),
        sni_match: section.read("sni_match", &SNI_MATCHES, SniMatch::Wildcard),
        refuses_unknown_sni: section.read("unknown_sni", &UNKNOWN_SNI, false),
        refuses_other_hosts: scheme.is_http() && section.read("host_unlike_sni", &HOST_UNLIKE_SNI, false),
        policy: tls_policy::choose(section, known),
        session_ticket_lifetime: section.read(
            "session_ticket_lifetime",
            &seconds(0, 86_400),
            Duration::from_secs(300),
        ),
        handshake_timeout: section.read("tls_handshake_timeout", &seconds(1, 120), Duration::from_secs(10)),
        location,
    })
}

const CERTIFICATES: NameList = NameList { example: "[\"site\"]" };

const UNKNOWN_SNI: Choice<bool> =
    Choice { words: &[("default", false), ("reject", true)], aliases: &[], later: &[] };

const HOST_UNLIKE_SNI: Choice<bool> =
    Choice { words: &[("pass", false), ("reject", true)], aliases: &[], later: &[] };

const SNI_MATCHES: Choice<SniMatch> = Choice {
    words: &[("wildcard", SniMatch::Wildcard), ("longest_suffix", SniMatch::LongestSuffix)],
    aliases: &[],
    later: &[],
};

fn refuse_keys(section: &mut Section<'_, '_>) {
    let is_unclear = section.is_refused("protocol");
    for key in KEYS.into_iter().chain(HTTP3_KEYS) {
        let Some(location) = section.place_of(key).filter(|_| !is_unclear) else { continue };
        let message = format!("`{key}` has no effect where the protocol is http");
        section.report().error(location, message, "write protocol = \"https\", or remove it");
    }
}

/// The indices of the wanted certificates, each once.
fn certificates(
    wanted: &[(String, Location)],
    section: &mut Section<'_, '_>,
    known: &Known<'_>,
) -> Vec<usize> {
    let mut places: HashMap<usize, Location> = HashMap::with_capacity(wanted.len());
    let mut indices = Vec::with_capacity(wanted.len());
    for (name, location) in wanted {
        let report = section.report();
        let Some(index) = known.certificates.find("certificates", (name, *location), report) else {
            continue;
        };
        if places.insert(index, *location).is_none() {
            indices.push(index);
            continue;
        }
        let message = format!("`certificates` names \"{name}\" twice");
        report.warning(*location, message, "name it once");
    }
    indices
}
