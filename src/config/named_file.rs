//! Files that a configuration names, and what is read from them.

use std::path::Path;
use std::path::PathBuf;

use crate::config::report::Location;

/// A file that the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedFile {
    /// Absolute, or relative to the working folder.
    pub path: PathBuf,
    pub location: Location,
}

impl NamedFile {
    /// Whether the service manager made it (`credential:NAME`) and sees to it that nobody else reads it.
    pub fn is_credential(&self) -> bool {
        is_credential(&self.path)
    }
}

/// Whether a file is where the service manager puts credentials.
pub fn is_credential(path: &Path) -> bool {
    path.starts_with(credentials_folder())
}

/// Where systemd puts what the unit names with `LoadCredential=`. Outside of the service, which alone knows the variable, it is
/// where the service named ringway has it, so that root can check its configuration while it runs.
pub(super) fn credentials_folder() -> PathBuf {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty());
    folder.map_or_else(|| PathBuf::from("/run/credentials/ringway.service"), PathBuf::from)
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
    /// Those of its names by which clients get it, and where they stand; None: all.
    pub names: Option<(Vec<String>, Location)>,
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
