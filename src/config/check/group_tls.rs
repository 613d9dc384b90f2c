//! `[server_group.tls]`: how Ringway speaks TLS to backends.

use serde_json::Value as Json;

use crate::config::GroupProtocol;
use crate::config::GroupTls;
use crate::config::Verify;
use crate::config::check::address::MAX_HOST_NAME;
use crate::config::check::address::is_dns_name;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Name;
use crate::config::check::kind::refuse_kind;
use crate::config::check::names::Known;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;

/// None where the backends are spoken to in cleartext. Where the protocol says so, the table must not be
/// there; with grpc it is the table that decides.
pub(super) fn group_tls(
    group: &mut Section<'_, '_>,
    protocol: GroupProtocol,
    known: &Known<'_>,
) -> Option<GroupTls> {
    let place = group.place_of("tls");
    let (is_plain, word, fix) = match protocol {
        GroupProtocol::Http => (true, "http", "https"),
        GroupProtocol::Tcp => (true, "tcp", "tls"),
        GroupProtocol::Udp => (true, "udp", ""),
        GroupProtocol::H2c => (true, "h2c", "grpc\" or \"https"),
        GroupProtocol::Grpc => (place.is_none(), "grpc", ""),
        GroupProtocol::Https => (false, "https", ""),
        GroupProtocol::Tls => (false, "tls", ""),
    };
    if is_plain {
        if let Some(location) = place.filter(|_| !group.is_refused("protocol")) {
            let message = format!("[server_group.tls] has no effect where the protocol is {word}");
            let help = match protocol {
                GroupProtocol::Udp => "remove the table: datagrams are passed on as they are".to_owned(),
                _ => format!("write protocol = \"{fix}\", or remove the table"),
            };
            group.report().error(location, message, help);
        }
        return None;
    }
    let table = group.table("tls");
    let mut section = Section::single("server_group.tls", table, group.output);
    let word = section.read("verify", &VERIFY, VerifyWord::Off);
    let authority = section.read_optional("ca", &Name, "no [[ca]] is trusted");
    let sni = section.read_optional("sni", &ServerName, "the host that the request asks for");
    let client = section.read_optional("client_certificate", &Name, "backends are shown none");
    let tls = GroupTls {
        verify: verify(word, authority, known, &mut section),
        sni: sni.map(|(name, _)| name),
        client_certificate: client.and_then(|(name, location)| {
            known.certificates.find("client_certificate", (&name, location), section.report())
        }),
    };
    section.close();
    Some(tls)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum VerifyWord {
    Off,
    Ca,
    System,
}

const VERIFY: Choice<VerifyWord> = Choice {
    words: &[("off", VerifyWord::Off), ("ca", VerifyWord::Ca), ("system", VerifyWord::System)],
    aliases: &[],
    later: &[],
};

fn verify(
    word: VerifyWord,
    authority: Option<(String, Location)>,
    known: &Known<'_>,
    section: &mut Section<'_, '_>,
) -> Verify {
    match (word, authority) {
        (VerifyWord::Ca, Some((name, location))) => {
            let found = known.authorities.find("ca", (&name, location), section.report());
            // Without one there was an error, and nothing is built.
            return found.map_or(Verify::Off, Verify::Ca);
        }
        (VerifyWord::Ca, None) if !section.is_refused("ca") => {
            section.missing("ca", "ca = \"backends\", the name of a [[ca]]");
        }
        (VerifyWord::Off | VerifyWord::System, Some((_, location))) if !section.is_refused("verify") => {
            let message = "`ca` has no effect without verify = \"ca\"";
            section.report().error(location, message, "write verify = \"ca\", or remove `ca`");
        }
        _ => {}
    }
    if word == VerifyWord::System { Verify::System } else { Verify::Off }
}

/// A name that a backend is asked for.
struct ServerName;

impl Kind for ServerName {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if !is_dns_name(&name) {
            let message = format!("`{key}` \"{}\" is not a DNS name", text.escape_debug());
            let help =
                "write a name such as \"app.internal\": letters, digits and `-`, no port, no IP address";
            report.error(raw.location, message, help);
            return None;
        }
        Some(name)
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::text_of(1..=MAX_HOST_NAME + 1)
    }
}
