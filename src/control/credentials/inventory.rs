//! What is known of the certificates and CAs in service, for `ringway status`.

use std::time::Duration;

/// Everything that is read from files and may end or break.
#[derive(Debug, Default)]
pub struct Inventory {
    pub certificates: Vec<CertificateEntry>,
    pub authorities: Vec<AuthorityEntry>,
}

/// A `[[certificate]]`, as it serves.
#[derive(Clone, Debug)]
pub struct CertificateEntry {
    pub name: String,
    /// What it is good for.
    pub names: Vec<String>,
    /// In seconds since the Unix epoch.
    pub not_after: i64,
    /// Since when it is in service, since the Unix epoch.
    pub since: Duration,
    /// The listeners that show it.
    pub listeners: Vec<String>,
    pub broken: Option<Broken>,
}

/// A `[[ca]]`, as it serves.
#[derive(Clone, Debug)]
pub struct AuthorityEntry {
    pub name: String,
    /// The nextUpdate of the revocation list that ends first, in seconds since the Unix epoch.
    pub lists_end: Option<i64>,
    /// Since when it is in service, since the Unix epoch.
    pub since: Duration,
    pub broken: Option<Broken>,
}

/// Files that cannot take the place of what serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Since when, since the Unix epoch.
    pub since: Duration,
    pub errors: Vec<String>,
}
