//! Files that a configuration names, and what is read from them.

use std::path::PathBuf;

use crate::config::report::Location;

/// A file that the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedFile {
    /// Absolute, or relative to the working folder.
    pub path: PathBuf,
    pub location: Location,
}

/// A certificate with its key, both to be read from files.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// Unique among certificates.
    pub name: String,
    pub chain: NamedFile,
    pub key: NamedFile,
    /// An OCSP response to staple.
    pub ocsp: Option<NamedFile>,
    /// Where the name stands.
    pub location: Location,
}

/// A `[[ca]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Authority {
    /// Unique among CAs.
    pub name: String,
    pub bundle: NamedFile,
    pub crl: Vec<NamedFile>,
    /// Where the name stands.
    pub location: Location,
}
