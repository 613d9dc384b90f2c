//! `[[certificate]]`: which files hold a certificate and its key. The files are read elsewhere.

use std::path::PathBuf;

use serde_json::Value as Json;

use crate::config::Admin;
use crate::config::Certificate;
use crate::config::Listener;
use crate::config::NamedFile;
use crate::config::ServerGroup;
use crate::config::check::annotations;
use crate::config::check::file_path::File;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Name;
use crate::config::check::kind::list;
use crate::config::check::kind::refuse_kind;
use crate::config::check::names::Names;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

pub(super) fn certificate(table: &raw::Table, output: &mut Output) -> Certificate {
    let mut section = Section::element("certificate", table, output);
    let nowhere = NamedFile { path: PathBuf::new(), location: table.location };
    let name = section.read_required("name", &Name, "name = \"site\"");
    let chain = section.read_required("chain", &File, "chain = \"tls/site.crt\"");
    let key = section.read_required("key", &File, "key = \"tls/site.key\"");
    let certificate = Certificate {
        location: name.as_ref().map_or(table.location, |(_, location)| *location),
        name: name.map(|(name, _)| name).unwrap_or_default(),
        chain: chain.map_or(nowhere.clone(), |(file, _)| file),
        key: key.map_or(nowhere, |(file, _)| file),
        ocsp: section.read_optional("ocsp", &File, "nothing is stapled").map(|(file, _)| file),
        names: section.read_optional("names", &ServerNames, "it is shown for all of its names"),
    };
    annotations::description_and_tags(&mut section);
    section.close();
    certificate
}

/// Names that stand in a certificate: a host, or a pattern such as `*.example.com`; each once, in lower case.
struct ServerNames;

impl ServerNames {
    const EXAMPLE: &str = "a list of names of the certificate, such as [\"www.example.com\"]";
}

impl Kind for ServerNames {
    type Value = Vec<String>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Vec<String>> {
        let values = list(key, raw, ServerNames::EXAMPLE, report)?;
        let mut names: Vec<String> = Vec::with_capacity(values.len());
        for value in values {
            let raw::Kind::Text(text) = &value.kind else {
                return refuse_kind(key, value, ServerNames::EXAMPLE, report);
            };
            let name = text.to_ascii_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Some(names)
    }

    fn show(&self, value: &Vec<String>) -> Json {
        Json::from(value.as_slice())
    }

    fn schema(&self) -> Json {
        schema::list(schema::text(), 1..=usize::MAX)
    }
}

pub(super) fn names<'c>(certificates: &'c [Certificate], report: &Report) -> Names<'c> {
    Names::new("[[certificate]]", certificates.iter().map(|certificate| certificate.name.as_str()), report)
}

/// Warns about certificates that are shown nowhere.
pub(super) fn check_use(
    certificates: &[Certificate],
    listeners: &[Listener],
    (groups, admin): (&[ServerGroup], &Admin),
    report: &mut Report,
) {
    let shown = listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let client_certificates = groups.iter().filter_map(|group| group.tls.as_ref()?.client_certificate);
    let mut is_used = vec![false; certificates.len()];
    for index in shown.flat_map(|tls| tls.certificates.iter().copied()).chain(client_certificates) {
        is_used[index] = true;
    }
    let of_admin = admin.tls.as_ref().map(|tls| tls.certificate.0.as_str());
    for (is_used, certificate) in is_used.iter_mut().zip(certificates) {
        *is_used |= of_admin == Some(certificate.name.as_str());
    }
    // A reference that was refused may be the one that is missed.
    if report.has_errors() {
        return;
    }
    for (certificate, _) in certificates.iter().zip(is_used).filter(|(_, is_used)| !is_used) {
        let message = format!("the certificate \"{}\" is not used", certificate.name);
        report.warning(
            certificate.location,
            message,
            "name it in `certificates` of a listener, or remove it",
        );
    }
}
