//! `[tracing]`: what is told of the traces that requests belong to, and to whom.

use std::time::Duration;

use crate::config::named_file::NamedFile;
use crate::policy::overrides::Sample;
use crate::policy::trace::TraceSource;

#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// Headers of traces are read, made and passed on.
    pub propagate: bool,
    /// Whose headers are believed.
    pub accept_from: TraceSource,
    /// Of the traces that begin here.
    pub sample: Sample,
    /// None: nobody gets spans.
    pub collector: Option<Collector>,
}

/// Who gets the spans of sampled requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Collector {
    pub url: CollectorUrl,
    /// Who has signed its certificate. None: one of the CAs of this host.
    pub ca_file: Option<NamedFile>,
    /// Of each request to it. Names are tokens of visible ASCII, values have no line ends.
    pub headers: Vec<(String, String)>,
    /// More of them, which are secret.
    pub headers_file: Option<NamedFile>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Requests are compressed with gzip.
    pub gzip: bool,
    /// What spans call this process.
    pub service_name: String,
}

/// Where a collector listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectorUrl {
    /// As it was written.
    pub text: String,
    pub is_secure: bool,
    /// A name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
    /// With its query.
    pub path: String,
}

/// Headers that say how a request to a collector is sent, which nobody else may set.
const FRAMING_HEADERS: [&str; 6] =
    ["host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection"];

/// Whether a header says how a request to a collector is sent.
pub fn frames_requests(name: &str) -> bool {
    FRAMING_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own))
}

impl CollectorUrl {
    /// What a Host field says: the port only where it is not the usual one.
    pub fn authority(&self) -> String {
        let usual = if self.is_secure { 443 } else { 80 };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}
