//! A table of requests and where they are expected to go, for `ringway test`.

use crate::config::report::Location;

/// A request, and what should become of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteTest {
    pub method: String,
    pub url: String,
    /// As curl takes them.
    pub headers: Vec<String>,
    /// An IP address.
    pub source: Option<String>,
    pub sni: Option<String>,
    pub listener: Option<String>,
    /// The status that a backend answers with.
    pub upstream_status: Option<String>,
    /// What is expected, by its key: of lists each item. At least one.
    pub expected: Vec<(&'static str, String)>,
    pub location: Location,
}
