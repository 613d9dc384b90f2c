//! An `[[ip_group]]`: addresses under a name.

use ipnet::IpNet;

use crate::config::named_file::NamedFile;
use crate::config::report::Location;

#[derive(Clone, Debug, PartialEq)]
pub struct IpGroup {
    /// Unique among IP groups.
    pub name: String,
    /// No host bits are set.
    pub entries: Vec<IpNet>,
    /// Further entries, one a line.
    pub file: Option<NamedFile>,
    /// Where the name stands.
    pub location: Location,
}

/// Who may connect to a listener. Indices in [`crate::config::Config::ip_groups`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// None: everybody. Never an empty list.
    pub allow: Option<Vec<usize>>,
    pub deny: Vec<usize>,
    /// Where `allow` stands, if it does.
    pub location: Location,
}
