//! Certificates as tables and files of the configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::control::elb::mapping::names::ElbTerms;
use crate::control::elb::mapping::tables::Tables;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;

/// A file that the text names.
#[derive(Debug, PartialEq, Eq)]
pub struct ElbFile {
    pub path: PathBuf,
    pub text: String,
}

/// The files of the certificates that listeners name.
pub fn files(objects: &ElbObjects, terms: &ElbTerms<'_>) -> Vec<ElbFile> {
    let used = used(objects);
    let certificates = objects.of_kind(ElbKind::Certificate);
    let of_one = |certificate: &ElbObject| {
        let parts = [("certificate", "crt"), ("private_key", "key")];
        parts.map(|(attribute, ending)| {
            let text = certificate.text(attribute);
            let end = if text.ends_with('\n') { "" } else { "\n" };
            let path = file_path(certificate, ending, terms);
            (!text.is_empty()).then(|| ElbFile { path, text: format!("{text}{end}") })
        })
    };
    let used = certificates.filter(|certificate| used.contains(certificate.id.as_str()));
    used.flat_map(of_one).flatten().collect()
}

/// Another name for each content: a file never changes under a configuration that names it.
fn file_path(certificate: &ElbObject, ending: &str, terms: &ElbTerms<'_>) -> PathBuf {
    let content = format!("{} {}", certificate.text("certificate"), certificate.text("private_key"));
    let mark = crate::policy::balance::hash_key::hash(content.as_bytes());
    terms.folder.join(format!("{}-{mark:016x}.{ending}", certificate.id))
}

/// The ids of certificates that listeners name.
fn used(objects: &ElbObjects) -> BTreeSet<&str> {
    let listeners = || objects.of_kind(ElbKind::Listener);
    let single = listeners().flat_map(|listener| {
        [listener.text("default_tls_container_ref"), listener.text("client_ca_tls_container_ref")]
    });
    single.chain(listeners().flat_map(|listener| listener.texts("sni_container_refs"))).collect()
}

pub(super) fn tables(objects: &ElbObjects, terms: &ElbTerms<'_>, tables: &mut Tables) {
    let used = used(objects);
    let certificates = objects.of_kind(ElbKind::Certificate);
    for certificate in certificates.filter(|certificate| used.contains(certificate.id.as_str())) {
        let path = |ending| file_path(certificate, ending, terms).display().to_string();
        let is_authority = certificate.text("type") == "client";
        tables.header(if is_authority { "[[ca]]" } else { "[[certificate]]" });
        tables.key("name", certificate.id.as_str());
        if is_authority {
            tables.key("bundle", path("crt"));
        } else {
            tables.key("chain", path("crt"));
            tables.key("key", path("key"));
        }
    }
}
