//! A security policy: the versions and cipher suites of TLS that listeners offer.

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::CipherSuite;
use crate::config::TlsVersion;
use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields::DESCRIPTION;
use crate::control::elb::fields::ENTERPRISE_PROJECT;
use crate::control::elb::fields::ElbField;
use crate::control::elb::fields::ElbForm;
use crate::control::elb::fields::ElbPresence;
use crate::control::elb::fields::NAME;
use crate::control::elb::fields::field;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::tls::tls_policy;

pub(in crate::control::elb) const FIELDS: &[ElbField] = &[
    NAME,
    DESCRIPTION,
    ENTERPRISE_PROJECT,
    field("protocols", ElbForm::Words(PROTOCOLS), ElbPresence::Required),
    field("ciphers", ElbForm::Words(CIPHERS), ElbPresence::Required),
];

const PROTOCOLS: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// The same with their numbers on the wire.
const VERSIONS: [(&str, TlsVersion, u16); 4] = [
    ("TLSv1", TlsVersion::Tls10, 0x0301),
    ("TLSv1.1", TlsVersion::Tls11, 0x0302),
    ("TLSv1.2", TlsVersion::Tls12, 0x0303),
    ("TLSv1.3", TlsVersion::Tls13, TLS_1_3),
];

const TLS_1_3: u16 = 0x0304;

const CIPHERS: &[&str] = &[
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "AES128-SHA256",
    "AES256-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "AES128-SHA",
    "AES256-SHA",
    "CAMELLIA128-SHA",
    "DES-CBC3-SHA",
    "CAMELLIA256-SHA",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
];

/// What a policy names, each once: versions of TLS, and those of its suites that one of them has. The API takes others
/// besides, and the configuration does not.
pub(in crate::control::elb) struct NamedTls {
    pub(in crate::control::elb) versions: Vec<&'static str>,
    pub(in crate::control::elb) suites: Vec<&'static str>,
    /// What is offered of it, as on the wire.
    offered: Vec<u16>,
}

impl NamedTls {
    pub(in crate::control::elb) fn new(attributes: &Map<String, Json>) -> NamedTls {
        let texts = |name: &str| {
            let list = attributes.get(name).and_then(Json::as_array);
            list.into_iter().flatten().filter_map(Json::as_str)
        };
        let is_named = |(word, ..): &&(&str, TlsVersion, u16)| texts("protocols").any(|text| text == *word);
        let versions: Vec<_> = VERSIONS.iter().filter(is_named).collect();
        let of_one = |suite: &&CipherSuite| versions.iter().any(|(_, version, _)| suite.is_of(*version));
        let mut suites: Vec<&CipherSuite> = Vec::new();
        for suite in texts("ciphers").filter_map(CipherSuite::named).filter(of_one) {
            if !suites.contains(&suite) {
                suites.push(suite);
            }
        }
        let numbers: Vec<u16> = versions.iter().map(|(.., number)| *number).collect();
        let ids: Vec<u16> = suites.iter().map(|suite| suite.id).collect();
        let offer = tls_policy::intersect(&numbers, &ids).offer;
        NamedTls {
            versions: versions.iter().map(|(word, ..)| *word).collect(),
            suites: suites.iter().map(|suite| suite.openssl).collect(),
            offered: offer.map(|offer| offer.version_numbers()).unwrap_or_default(),
        }
    }
}

/// Whether anything of it can be offered.
///
/// # Errors
/// It names the attribute.
pub(in crate::control::elb) fn settle(attributes: &Map<String, Json>) -> Result<(), ElbFault> {
    let named = NamedTls::new(attributes);
    if !named.offered.is_empty() {
        return Ok(());
    }
    if !named.versions.iter().any(|version| ["TLSv1.2", "TLSv1.3"].contains(version)) {
        return Err(ElbFault::attribute("protocols", "needs TLSv1.2 or TLSv1.3: older ones are not offered"));
    }
    let why = "needs a cipher suite of its protocols that is offered, such as ECDHE-ECDSA-AES128-GCM-SHA256 and \
               ECDHE-RSA-AES128-GCM-SHA256 for TLSv1.2, TLS_AES_128_GCM_SHA256 for TLSv1.3";
    Err(ElbFault::attribute("ciphers", why))
}

/// Whether a listener may use what its attribute names. QUIC has TLS 1.3 (RFC 9001 §4.2).
///
/// # Errors
/// It names the attribute of the listener.
pub(in crate::control::elb) fn check_use(objects: &ElbObjects, listener: &ElbObject) -> Result<(), ElbFault> {
    let name = "security_policy_id";
    if listener.text(name).is_empty() {
        return Ok(());
    }
    let policy = objects.named(ElbKind::SecurityPolicy, listener, name)?;
    match listener.text("protocol") {
        "HTTPS" | "TLS" => Ok(()),
        "QUIC" if offers_newest(policy) => Ok(()),
        "QUIC" => Err(ElbFault::attribute(name, "needs TLSv1.3 with the protocol QUIC")),
        _ => Err(ElbFault::attribute(name, "needs the protocol HTTPS, TLS or QUIC")),
    }
}

/// Whether its listeners may use a policy that was changed.
///
/// # Errors
/// It names the attribute of the policy.
pub(in crate::control::elb) fn check_users(objects: &ElbObjects, policy: &ElbObject) -> Result<(), ElbFault> {
    let mut users =
        objects.of_kind(ElbKind::Listener).filter(|one| one.text("security_policy_id") == policy.id);
    match users.find(|one| one.text("protocol") == "QUIC").filter(|_| !offers_newest(policy)) {
        Some(listener) => {
            let why = format!("needs TLSv1.3, for the listener {} has the protocol QUIC", listener.id);
            Err(ElbFault::attribute("protocols", why))
        }
        None => Ok(()),
    }
}

fn offers_newest(policy: &ElbObject) -> bool {
    NamedTls::new(&policy.attributes).offered.contains(&TLS_1_3)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settled(protocols: Json, ciphers: Json) -> Result<(), String> {
        let attributes = json!({ "protocols": protocols, "ciphers": ciphers });
        settle(attributes.as_object().unwrap()).map_err(|fault| fault.message)
    }

    #[test]
    fn every_name_of_the_api_is_a_suite_here() {
        for name in CIPHERS {
            assert_eq!(CipherSuite::named(name).map(|suite| suite.openssl), Some(*name));
        }
    }

    #[test]
    fn something_must_be_left_that_is_offered() {
        assert_eq!(
            settled(json!(["TLSv1", "TLSv1.2"]), json!(["AES128-SHA", "ECDHE-RSA-AES128-GCM-SHA256"])),
            Ok(())
        );
        assert_eq!(
            settled(json!(["TLSv1.3"]), json!(["TLS_AES_128_CCM_SHA256", "TLS_AES_256_GCM_SHA384"])),
            Ok(())
        );
        for (protocols, ciphers, words) in [
            (json!(["TLSv1", "TLSv1.1"]), json!(["AES128-SHA"]), "`protocols` needs TLSv1.2"),
            (json!(["TLSv1.2"]), json!(["AES128-SHA", "TLS_AES_128_GCM_SHA256"]), "`ciphers` needs"),
            (json!(["TLSv1.3"]), json!(["ECDHE-RSA-AES128-GCM-SHA256"]), "`ciphers` needs"),
        ] {
            let said = settled(protocols, ciphers).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn what_belongs_to_no_version_and_what_comes_twice_is_left_out() {
        let attributes = json!({
            "protocols": ["TLSv1.3", "TLSv1.2", "TLSv1.3"],
            "ciphers": ["TLS_AES_128_GCM_SHA256", "AES128-SHA", "TLS_AES_128_GCM_SHA256"],
        });
        let named = NamedTls::new(attributes.as_object().unwrap());
        assert_eq!(named.versions, ["TLSv1.2", "TLSv1.3"]);
        assert_eq!(named.suites, ["TLS_AES_128_GCM_SHA256", "AES128-SHA"]);
        assert_eq!(named.offered, [TLS_1_3]);
        let attributes =
            json!({ "protocols": ["TLSv1.3"], "ciphers": ["TLS_AES_128_GCM_SHA256", "AES128-SHA"] });
        assert_eq!(NamedTls::new(attributes.as_object().unwrap()).suites, ["TLS_AES_128_GCM_SHA256"]);
    }
}
