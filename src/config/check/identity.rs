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
use crate::config::schema;
use crate::http::headers::same_for_backends;
use crate::policy::identity::AliasError;
use crate::policy::identity::Fact;
use crate::policy::identity::RESERVED_ALIASES;
use crate::policy::identity::check_alias;

/// A header that is on.
pub(super) struct EnabledField {
    key: &'static str,
    fact: Fact,
    location: Location,
}

/// `enabled` gets the places of the headers that are on.
pub(super) fn identity(
    section: &mut Section<'_, '_>,
    table: Option<&raw::Table>,
    enabled: &mut Vec<EnabledField>,
) -> Vec<(Fact, Option<String>)> {
    let mut headers: Vec<(Fact, Option<String>)> = Vec::new();
    for (key, fact) in KEYS {
        let setting = match fact {
            // The standard has no other name for it.
            Fact::ClientCert if section.read(key, &Boolean, false) => FieldSetting::On,
            Fact::ClientCert => FieldSetting::Off,
            _ => section.read(key, &OnOrAlias, FieldSetting::Off),
        };
        let alias = match setting {
            FieldSetting::Off => continue,
            FieldSetting::On => None,
            FieldSetting::As(alias) => Some(alias),
        };
        let entry = table.and_then(|table| table.find(key));
        let location = entry.map_or(Location::default(), |entry| entry.value.location);
        let name = alias.as_deref().unwrap_or(fact.usual_name());
        for ((other, other_alias), other_enabled) in headers.iter().zip(enabled.iter()) {
            let other_name = other_alias.as_deref().unwrap_or(other.usual_name());
            if same_for_backends(name.as_bytes(), other_name.as_bytes()) {
                let message =
                    format!("`{key}` and `{}` would share the header \"{name}\"", other_enabled.key);
                section.report().error(location, message, "give each a name of its own");
            }
        }
        headers.push((fact, alias));
        enabled.push(EnabledField { key, fact, location });
    }
    headers
}

pub(super) const HASHES: Choice<FingerprintHash> = Choice {
    words: &[("sha1", FingerprintHash::Sha1), ("sha256", FingerprintHash::Sha256)],
    aliases: &[],
    later: &[],
};

const KEYS: [(&str, Fact); 16] = [
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
    ("tls_ja3", Fact::TlsJa3),
    ("tls_ja4", Fact::TlsJa4),
    ("tls_certificate_id", Fact::TlsCertificateId),
];

/// Warns about headers that the listener could never send.
pub(super) fn check_use(enabled: &[EnabledField], listener: &Listener, report: &mut Report) {
    let is_plain = listener.tls.is_none();
    let asks_nobody = listener.client_auth.mode == ClientAuthMode::Off;
    for EnabledField { key, fact, location } in enabled {
        if is_plain {
            let message = format!("`{key}` is never sent: there is no TLS on this listener");
            report.warning(*location, message, "write protocol = \"https\", or remove the key");
        } else if fact.is_of_certificate() && asks_nobody {
            let message = format!("`{key}` is never sent: no client is asked for a certificate");
            report.warning(*location, message, "add [listener.client_auth] with mode = \"require\"");
        }
    }
}

enum FieldSetting {
    Off,
    On,
    As(String),
}

/// `true`, `false`, or the name that the header gets.
struct OnOrAlias;

impl Kind for OnOrAlias {
    type Value = FieldSetting;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<FieldSetting> {
        let alias = match &raw.kind {
            raw::Kind::Boolean(true) => return Some(FieldSetting::On),
            raw::Kind::Boolean(false) => return Some(FieldSetting::Off),
            raw::Kind::Text(alias) => alias,
            _ => return refuse_kind(key, raw, "true, false, or the quoted name of a header", report),
        };
        match check_alias(alias) {
            Ok(()) => return Some(FieldSetting::As(alias.clone())),
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

    fn show(&self, value: &FieldSetting) -> Json {
        match value {
            FieldSetting::Off => Json::Bool(false),
            FieldSetting::On => Json::Bool(true),
            FieldSetting::As(alias) => Json::from(alias.as_str()),
        }
    }

    fn schema(&self) -> Json {
        schema::any_of([schema::boolean(), schema::pattern("^[a-z0-9_-]{1,40}$")])
    }
}
