//! `[[certificate]]`: which files hold a certificate and its key. The files are read elsewhere.

use std::path::PathBuf;

use serde_json::Value as Json;

use crate::config::Certificate;
use crate::config::Listener;
use crate::config::NamedFile;
use crate::config::ServerGroup;
use crate::config::check::address::resolve;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Name;
use crate::config::check::kind::refuse_kind;
use crate::config::check::names::Names;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Report;

pub(super) fn certificate(table: &raw::Table, output: &mut Output) -> Certificate {
    let mut section = Section::element("certificate", table, output);
    let nowhere = NamedFile { path: PathBuf::new(), location: table.location };
    let name = section.read_required("name", &Name, "name = \"site\"");
    let chain = section.read_required("chain", &FilePath, "chain = \"tls/site.crt\"");
    let key = section.read_required("key", &FilePath, "key = \"tls/site.key\"");
    let certificate = Certificate {
        location: name.as_ref().map_or(table.location, |(_, location)| *location),
        name: name.map(|(name, _)| name).unwrap_or_default(),
        chain: chain.map_or(nowhere.clone(), |(file, _)| file),
        key: key.map_or(nowhere, |(file, _)| file),
        ocsp: section.read_optional("ocsp", &FilePath, "nothing is stapled").map(|(file, _)| file),
    };
    section.close();
    certificate
}

pub(super) fn names<'c>(certificates: &'c [Certificate], report: &Report) -> Names<'c> {
    Names::new("[[certificate]]", certificates.iter().map(|certificate| certificate.name.as_str()), report)
}

/// Warns about certificates that nobody shows.
pub(super) fn check_use(
    certificates: &[Certificate],
    listeners: &[Listener],
    groups: &[ServerGroup],
    report: &mut Report,
) {
    let shown = listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let client_certificates = groups.iter().filter_map(|group| group.tls.as_ref()?.client_certificate);
    let mut is_used = vec![false; certificates.len()];
    for index in shown.flat_map(|tls| tls.certificates.iter().copied()).chain(client_certificates) {
        is_used[index] = true;
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

/// The path of a file, relative to the folder of the file it stands in.
pub(super) struct FilePath;

impl Kind for FilePath {
    type Value = NamedFile;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<NamedFile> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        if text.contains("-----BEGIN") {
            let help = "write the text into a file of its own, and the path of that file here";
            report.error(raw.location, format!("`{key}` holds the PEM text itself, not a path"), help);
            return None;
        }
        let file = resolve(text, report.folder(raw.location));
        let path = file.filter(|path| !text.ends_with('/') && path.file_name().is_some());
        if path.is_none() {
            let message = format!("`{key}` is not the path of a file");
            report.error(raw.location, message, "write the path of a file, such as \"tls/site.pem\"");
        }
        path.map(|path| NamedFile { path, location: raw.location })
    }

    fn show(&self, value: &NamedFile) -> Json {
        Json::String(value.path.display().to_string())
    }
}
