//! `[[ca]]`: trust anchors for client certificates.

use crate::config::Authority;
use crate::config::check::annotations;
use crate::config::check::file_path::File;
use crate::config::check::file_path::FilePaths;
use crate::config::check::kind::Name;
use crate::config::check::names::Names;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Report;

pub(super) fn ca(table: &raw::Table, output: &mut Output) -> Authority {
    let mut section = Section::element("ca", table, output);
    let name = section.read_required("name", &Name, "name = \"clients\"");
    let bundle = section.read_required("bundle", &File, "bundle = \"tls/clients-ca.crt\"");
    let authority = Authority {
        location: name.as_ref().map_or(table.location, |(_, location)| *location),
        name: name.map(|(name, _)| name).unwrap_or_default(),
        bundle: bundle.map(|(bundle, _)| bundle).unwrap_or_default(),
        crl: section.read("crl", &FilePaths, Vec::new()),
    };
    annotations::description(&mut section);
    section.close();
    authority
}

/// The names that keys may refer to.
pub(super) fn names<'n>(authorities: &'n [Authority], report: &Report) -> Names<'n> {
    Names::new("[[ca]]", authorities.iter().map(|ca| ca.name.as_str()), report)
}
