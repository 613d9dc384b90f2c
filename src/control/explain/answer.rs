//! Why a request, or a connection, goes where it goes: the form from which JSON and text are made.

use serde::Deserialize;
use serde::Serialize;

use crate::policy::router::RuleVerdict;

/// What becomes of a request, or of a connection that is relayed, and why.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Explanation {
    pub listener: String,
    /// What is spoken there: `http`, `https`, `quic`, `tcp`, `tls` or `udp`.
    pub protocol: String,
    /// HTTP/3 is served at its addresses: beside `https`, or alone with `quic`.
    pub http3: bool,
    /// The QUIC listener to which clients may change over, and whose rules then hold.
    pub quic_listener: Option<String>,
    /// The client, as trusted proxies tell it.
    pub client: String,
    /// As rules compare them. Of a connection, the name that its TLS handshake asks for, and no path.
    pub host: String,
    pub path: String,
    /// Every rule of the listener, in the order in which they are asked.
    pub rules: Vec<RuleExplanation>,
    /// The name of the rule that takes the request.
    pub rule: Option<String>,
    /// `forward`, `redirect`, `respond` or `refuse`.
    pub action: String,
    /// What the client gets, where no backend is asked.
    pub status: Option<u16>,
    /// The reason code in the access log, where no backend is asked.
    pub reason: Option<String>,
    pub location: Option<String>,
    /// Groups that share the requests.
    pub groups: Vec<GroupExplanation>,
    /// What is asked of the request first, and what is done beside it: `limit`, `basic_auth`, `forward_auth`, `mirror`,
    /// `cors`.
    pub besides: Vec<String>,
    /// Path and query as backends get them.
    pub target: Option<String>,
    /// The host that backends get.
    pub forwarded_host: Option<String>,
    /// Fields that the rule writes, and names of those that it takes away.
    pub set_headers: Vec<(String, String)>,
    pub removed_headers: Vec<String>,
    /// What `besides` and the listener's limit say, each with its key.
    pub details: Vec<(String, String)>,
    /// What becomes of the response; of a backend's, if its status is the one that was asked with.
    pub response: Option<ResponseExplanation>,
    /// In words.
    pub why: String,
}

/// What becomes of a response.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ResponseExplanation {
    /// What the client gets.
    pub status: u16,
    /// Every rule for responses, in the order in which they are asked.
    pub rules: Vec<RuleExplanation>,
    /// The name of the one that takes the response.
    pub rule: Option<String>,
    /// An error page takes the place of the content.
    pub is_error_page: bool,
    /// The content is the page of `maintenance`.
    pub is_maintenance_page: bool,
    /// Fields that the listener, rules and their maintenance write, and names of those that they take away.
    pub set_headers: Vec<(String, String)>,
    pub removed_headers: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct RuleExplanation {
    pub name: String,
    pub priority: u32,
    /// `taken`, `missed`, `not_reached` or `disabled`.
    pub verdict: String,
    /// The first condition that does not hold; also of a disabled rule for requests.
    pub missed: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct GroupExplanation {
    pub name: String,
    /// The share of requests, 0 to 100.
    pub percent: u32,
    pub algorithm: String,
    /// As `ringway status` says it.
    pub availability: String,
    /// Those that new requests can go to.
    pub candidates: Vec<String>,
    /// The one that this request goes to, where the algorithm does not take turns.
    pub backend: Option<String>,
    /// How the backend is chosen.
    pub why: String,
}

/// What became of each rule, in the order in which they are asked. `describe` tells what a condition of a rule asks for.
pub(super) fn explained<'r>(
    rules: impl Iterator<Item = (&'r str, u32)>,
    verdicts: &[RuleVerdict],
    taken: Option<usize>,
    describe: impl Fn(usize, usize) -> Option<String>,
) -> Vec<RuleExplanation> {
    let explained = rules.zip(verdicts).enumerate().map(|(index, ((name, priority), verdict))| {
        let (word, missed) = match verdict {
            _ if taken == Some(index) => ("taken", None),
            _ if taken.is_some_and(|taken| taken < index) => ("not_reached", None),
            RuleVerdict::Holds => ("taken", None),
            RuleVerdict::Misses(condition) => ("missed", describe(index, *condition)),
        };
        RuleExplanation { name: name.to_owned(), priority, verdict: word.to_owned(), missed }
    });
    explained.collect()
}
