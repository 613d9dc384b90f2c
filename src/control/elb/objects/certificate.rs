//! A certificate with its key, or a CA that issues those of clients.

use serde_json::Map;
use serde_json::Value as Json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields::ADMIN_STATE_UP;
use crate::control::elb::fields::DESCRIPTION;
use crate::control::elb::fields::ENTERPRISE_PROJECT;
use crate::control::elb::fields::ElbField;
use crate::control::elb::fields::ElbForm;
use crate::control::elb::fields::ElbPresence;
use crate::control::elb::fields::NAME;
use crate::control::elb::fields::field;
use crate::control::elb::fields::fixed;
use crate::control::elb::fields::refused;
use crate::control::elb::objects::load_balancer::PROTECTION;
use crate::control::elb::utc_time;
use crate::net::clock::wall_now;
use crate::tls::x509::ca::Ca;
use crate::tls::x509::ca_files::CaFile;
use crate::tls::x509::certificates;
use crate::tls::x509::certificates::CertificateFile;
use crate::tls::x509::certificates::CertificateFiles;

pub(in crate::control::elb) const FIELDS: &[ElbField] = &[
    NAME,
    DESCRIPTION,
    ADMIN_STATE_UP,
    ENTERPRISE_PROJECT,
    fixed("type", ElbForm::Word(&["server", "client"]), ElbPresence::Default("\"server\"")),
    field("certificate", ElbForm::Pem, ElbPresence::Required),
    field("private_key", ElbForm::Pem, ElbPresence::Nullable),
    field("domain", ElbForm::Text, ElbPresence::Nullable),
    fixed("source", ElbForm::Text, ElbPresence::Nullable),
    field("protection_status", ElbForm::Word(PROTECTION), ElbPresence::Default("\"nonProtection\"")),
    field("protection_reason", ElbForm::Text, ElbPresence::Nullable),
    refused("enc_certificate", "is not taken: certificates of SM2 are not served"),
    refused("enc_private_key", "is not taken: certificates of SM2 are not served"),
    refused("scm_certificate_id", "is not taken: send `certificate` and `private_key`"),
];

/// Reads what is sent, and adds what it says: names, and when it ends.
///
/// # Errors
/// It names the attribute, or says what is wrong with the certificate or its key.
pub(in crate::control::elb) fn settle(attributes: &mut Map<String, Json>) -> Result<(), ElbFault> {
    let text = |name: &str| attributes.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let (kind, certificate, key, domain) =
        (text("type"), text("certificate"), text("private_key"), text("domain"));
    match (kind.as_str(), key.is_empty()) {
        ("server", true) => {
            return Err(ElbFault::attribute("private_key", "is missing: a server certificate needs it"));
        }
        ("client", false) => {
            return Err(ElbFault::attribute("private_key", "is not taken: a CA needs no key here"));
        }
        ("client", true) => return check_authority(&certificate),
        _ => {}
    }
    let files = CertificateFiles {
        chain: CertificateFile { name: "`certificate`", bytes: certificate.as_bytes() },
        key: CertificateFile { name: "`private_key`", bytes: key.as_bytes() },
        staple: None,
    };
    let now = i64::try_from(wall_now().as_secs()).unwrap_or(i64::MAX);
    let checked = certificates::read(&files, now).map_err(|findings| {
        let words = findings.iter().map(|finding| finding.message());
        ElbFault::certificate(words.collect::<Vec<_>>().join("; "))
    })?;
    let names = checked.certificate.names;
    if let Some(foreign) =
        domain.split(',').find(|name| !name.is_empty() && !names.iter().any(|own| own == name))
    {
        let why = format!("has \"{}\", for which the certificate is not good", foreign.escape_debug());
        return Err(ElbFault::attribute("domain", why));
    }
    attributes
        .insert("common_name".to_owned(), names.first().map_or(Json::Null, |name| Json::from(name.as_str())));
    let end = utc_time::to_text(checked.certificate.not_after);
    attributes.insert("expire_time".to_owned(), Json::from(end));
    attributes.insert("subject_alternative_names".to_owned(), Json::from(names));
    Ok(())
}

fn check_authority(bundle: &str) -> Result<(), ElbFault> {
    let (authority, findings) = Ca::load(CaFile { name: "`certificate`", bytes: bundle.as_bytes() }, &[]);
    let words = || {
        let words = findings.iter().map(|finding| finding.message());
        ElbFault::certificate(words.collect::<Vec<_>>().join("; "))
    };
    authority.map(drop).ok_or_else(words)
}
