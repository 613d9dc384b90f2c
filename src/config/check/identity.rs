//! The keys of `[listener.forwarded]` about TLS and certificates: each on, off, or under an alias.

use serde_json::Value as Json;

use crate::config::ClientAuthMode;
use crate::config::FingerprintHash;
use crate::config::Listener;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::http::headers::same_for_backends;
use crate::policy::identity::AliasError;
use crate::policy::identity::Fact;
use crate::policy::identity::RESERVED_ALIASES;
use crate::policy::identity::check_alias;

/// A header that is on.
pub(super) struct Told {
    key: &'static str,
    fact: Fact,
    location: Location,
}

/// `told` gets the places of the headers that are on.
pub(super) fn identity(
    section: &mut Section<'_, '_>,
    table: Option<&raw::Table>,
    told: &mut Vec<Told>,
) -> Vec<(Fact, Option<String>)> {
    let mut headers: Vec<(Fact, Option<String>)> = Vec::new();
    for (key, fact) in KEYS {
        let telling = match fact {
            // The standard has no other name for it.
            Fact::ClientCert if section.read(key, &Boolean, false) => Telling::On,
            Fact::ClientCert => Telling::Off,
            _ => section.read(key, &OnOrAlias, Telling::Off),
        };
        let alias = match telling {
            Telling::Off => continue,
            Telling::On => None,
            Telling::As(alias) => Some(alias),
        };
        let entry = table.and_then(|table| table.find(key));
        let location = entry.map_or(Location::default(), |entry| entry.value.location);
        let name = alias.as_deref().unwrap_or(fact.usual_name());
        for ((other, other_alias), other_told) in headers.iter().zip(told.iter()) {
            let other_name = other_alias.as_deref().unwrap_or(other.usual_name());
            if same_for_backends(name.as_bytes(), other_name.as_bytes()) {
                let message = format!("`{key}` and `{}` would share the header \"{name}\"", other_told.key);
                section.report().error(location, message, "give each a name of its own");
            }
        }
        headers.push((fact, alias));
        told.push(Told { key, fact, location });
    }
    headers
}

pub(super) const HASHES: Choice<FingerprintHash> = Choice {
    words: &[("sha1", FingerprintHash::Sha1), ("sha256", FingerprintHash::Sha256)],
    aliases: &[],
    later: &[],
};

const KEYS: [(&str, Fact); 13] = [
    ("clientcert_subjectdn", Fact::SubjectDn),
    ("clientcert_issuerdn", Fact::IssuerDn),
    ("clientcert_fingerprint", Fact::Fingerprint),
    ("clientcert_clientverify", Fact::ClientVerify),
    ("clientcert_serialnumber", Fact::SerialNumber),
    ("clientcert", Fact::Certificate),
    ("clientcert_ciphers", Fact::Ciphers),
    ("clientcert_end", Fact::End),
    ("client_cert", Fact::ClientCert),
    ("tls_protocol", Fact::TlsProtocol),
    ("tls_cipher", Fact::TlsCipher),
    ("tls_sni", Fact::TlsSni),
    ("tls_alpn_protocol", Fact::TlsAlpnProtocol),
];

/// Warns about headers that the listener could never send.
pub(super) fn check_use(told: &[Told], listener: &Listener, report: &mut Report) {
    let is_plain = listener.tls.is_none();
    let asks_nobody = listener.client_auth.mode == ClientAuthMode::Off;
    for Told { key, fact, location } in told {
        let is_of_certificate = !matches!(
            fact,
            Fact::ClientVerify
                | Fact::Ciphers
                | Fact::TlsProtocol
                | Fact::TlsCipher
                | Fact::TlsSni
                | Fact::TlsAlpnProtocol
        );
        if is_plain {
            let message = format!("`{key}` is never sent: there is no TLS on this listener");
            report.warning(*location, message, "write protocol = \"https\", or remove the key");
        } else if is_of_certificate && asks_nobody {
            let message = format!("`{key}` is never sent: no client is asked for a certificate");
            report.warning(*location, message, "add [listener.client_auth] with mode = \"require\"");
        }
    }
}

enum Telling {
    Off,
    On,
    As(String),
}

/// `true`, `false`, or the name that the header gets.
struct OnOrAlias;

impl Kind for OnOrAlias {
    type Value = Telling;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Telling> {
        let alias = match &raw.kind {
            raw::Kind::Boolean(true) => return Some(Telling::On),
            raw::Kind::Boolean(false) => return Some(Telling::Off),
            raw::Kind::Text(alias) => alias,
            _ => return refuse_kind(key, raw, "true, false, or the quoted name of a header", report),
        };
        match check_alias(alias) {
            Ok(()) => return Some(Telling::As(alias.clone())),
            Err(AliasError::Form) => {
                let help = "a name has 1 to 40 lower-case letters, digits, `-` and `_`: \"x-client-subject\"";
                report.error(raw.location, format!("`{key}` is not a valid name of a header"), help);
            }
            Err(AliasError::Reserved) => {
                let message = format!("`{key}` may not have the name \"{alias}\": it is reserved");
                let help = format!(
                    "reserved are {}, and the fields of HTTP itself; write \"x-client-…\"",
                    RESERVED_ALIASES.join(", ")
                );
                report.error(raw.location, message, help);
            }
        }
        None
    }

    fn show(&self, value: &Telling) -> Json {
        match value {
            Telling::Off => Json::Bool(false),
            Telling::On => Json::Bool(true),
            Telling::As(alias) => Json::from(alias.as_str()),
        }
    }
}
