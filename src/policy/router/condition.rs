//! Conditions of rules: what they ask of a request.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::http::headers::Headers;
use crate::policy::balance::cookies;
use crate::policy::network_set::NetworkSet;
use crate::policy::router::pattern::Pattern;
use crate::policy::router::query;
use crate::policy::router::regex::RegexText;

/// What rules look at in a request.
#[derive(Clone, Copy)]
pub struct RoutingFacts<'r, 'b> {
    /// In lower case, without the port; empty if it is longer than a host can be.
    pub host: &'r [u8],
    /// Without the query, normalized if the listener does that.
    pub path: &'r [u8],
    /// Behind the `?`; empty without.
    pub query: &'r [u8],
    pub method: &'r [u8],
    pub headers: &'r Headers<'b>,
    /// The client, as trusted proxies tell it.
    pub source: IpAddr,
    /// What the client of a relayed connection offers, each protocol behind a byte that tells its length (RFC 7301 §3.1).
    pub alpn: &'r [u8],
}

/// One condition. Its values are alternatives.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// In lower case.
    Host(Vec<TextTest>),
    Path(Vec<TextTest>),
    Method(Vec<String>),
    Header(NamedTest),
    Query(NamedTest),
    Cookie(NamedTest),
    SourceIp(SourceTest),
    /// The name that the client of a relayed connection asks for in its TLS handshake; in lower case.
    Sni(Vec<TextTest>),
    /// One of the protocols that it offers there.
    Alpn(Vec<Pattern>),
}

/// The client is in one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceTest {
    pub networks: NetworkSet,
    pub groups: Vec<SourceGroup>,
}

/// Networks that have a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceGroup {
    /// Which of all it is.
    pub index: usize,
    pub name: Arc<str>,
    /// Empty until it is known what is in it.
    pub networks: Arc<NetworkSet>,
}

/// Something with a name has one of these values; if it is there more than once, one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTest {
    pub name: String,
    pub values: Vec<Pattern>,
}

/// What a host or a path may have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextTest {
    Pattern(Pattern),
    /// This path, or one below it: `/api` covers `/api` and `/api/users`, but not `/apis`.
    Subtree(String),
    Regex(Regex),
}

/// A regular expression, and its number in the set of its router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regex {
    pub text: RegexText,
    pub(super) number: u32,
}

impl Regex {
    pub fn new(text: RegexText) -> Regex {
        Regex { text, number: 0 }
    }
}

impl Condition {
    /// Its key in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Condition::Host(_) => "host",
            Condition::Path(_) => "path",
            Condition::Method(_) => "method",
            Condition::Header(_) => "header",
            Condition::Query(_) => "query",
            Condition::Cookie(_) => "cookie",
            Condition::SourceIp(_) => "source_ip",
            Condition::Sni(_) => "sni",
            Condition::Alpn(_) => "alpn",
        }
    }

    /// What it asks for, as it stands in a configuration.
    pub fn describe(&self) -> String {
        let list = |values: Vec<String>| values.join(" or ");
        let quoted = |text: &str| format!("\"{text}\"");
        let values = match self {
            Condition::Host(tests) | Condition::Path(tests) | Condition::Sni(tests) => {
                list(tests.iter().map(|test| quoted(&test.to_string())).collect())
            }
            Condition::Method(methods) => list(methods.iter().map(|method| quoted(method)).collect()),
            Condition::Header(test) | Condition::Query(test) | Condition::Cookie(test) => test.to_string(),
            Condition::SourceIp(test) => test.to_string(),
            Condition::Alpn(protocols) => {
                list(protocols.iter().map(|protocol| quoted(protocol.as_str())).collect())
            }
        };
        format!("{} {values}", self.as_str())
    }

    /// Whether a request fulfils it. `is_match` tells which regular expressions match its host and its path;
    /// `scratch` is room to decode in.
    pub(super) fn holds(
        &self,
        facts: &RoutingFacts<'_, '_>,
        is_match: impl Fn(&Condition, u32) -> bool,
        scratch: &mut Vec<u8>,
    ) -> bool {
        let regex = |number| is_match(self, number);
        match self {
            Condition::Host(tests) | Condition::Sni(tests) => {
                tests.iter().any(|test| test.holds(facts.host, regex))
            }
            Condition::Path(tests) => tests.iter().any(|test| test.holds(facts.path, regex)),
            Condition::Method(methods) => methods.iter().any(|method| method.as_bytes() == facts.method),
            Condition::Header(test) => test.holds(facts.headers),
            Condition::Query(test) => query::parameters(facts.query).any(|(name, value)| {
                query::decode(name, scratch) == test.name.as_bytes()
                    && test.allows(query::decode(value, scratch))
            }),
            Condition::Cookie(test) => {
                cookies::all(facts.headers, &test.name).any(|value| test.allows(value))
            }
            Condition::SourceIp(test) => test.holds(facts.source),
            Condition::Alpn(allowed) => {
                protocols(facts.alpn).any(|protocol| allowed.iter().any(|one| one.matches(protocol)))
            }
        }
    }
}

/// The texts of a list, each behind a byte that tells its length.
fn protocols(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first()?;
        let (protocol, behind) = behind.split_at_checked(usize::from(*length))?;
        rest = behind;
        Some(protocol)
    })
}

impl SourceTest {
    pub fn holds(&self, source: IpAddr) -> bool {
        self.networks.contains(source) || self.groups.iter().any(|group| group.networks.contains(source))
    }
}

impl NamedTest {
    /// Whether a head has a field of this name with one of the values.
    pub fn holds(&self, headers: &Headers<'_>) -> bool {
        let mut fields = headers.iter();
        fields.any(|field| field.name.eq_ignore_ascii_case(self.name.as_bytes()) && self.allows(field.value))
    }

    fn allows(&self, value: &[u8]) -> bool {
        self.values.iter().any(|pattern| pattern.matches(value))
    }
}

impl TextTest {
    fn holds(&self, text: &[u8], is_match: impl Fn(u32) -> bool) -> bool {
        match self {
            TextTest::Pattern(pattern) => pattern.matches(text),
            TextTest::Subtree(root) => is_below(text, root.as_bytes()),
            TextTest::Regex(regex) => is_match(regex.number),
        }
    }
}

/// The name with the values.
impl fmt::Display for NamedTest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.values.iter().map(|value| format!("\"{}\"", value.as_str())).collect();
        write!(out, "{} = {}", self.name, values.join(" or "))
    }
}

/// The networks, and the names of the groups beside them.
impl fmt::Display for SourceTest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.networks.is_empty() || self.groups.is_empty() { "" } else { ", " };
        write!(out, "{}{separator}", self.networks)?;
        let names: Vec<String> = self.groups.iter().map(|group| format!("\"{}\"", group.name)).collect();
        out.write_str(&names.join(", "))
    }
}

/// As it was written, and what was written as a prefix with its slash.
impl fmt::Display for TextTest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextTest::Pattern(pattern) => out.write_str(pattern.as_str()),
            TextTest::Subtree(root) => write!(out, "{}/…", root.trim_end_matches('/')),
            TextTest::Regex(Regex { text, .. }) => {
                write!(out, "~{}{}", if text.ignores_case { "*" } else { "" }, text.text)
            }
        }
    }
}

/// Whether a path is this one or below it. Some backends know no difference between a segment and the same with
/// parameters (`/admin;v=1`), so that counts as below.
fn is_below(path: &[u8], root: &[u8]) -> bool {
    path.strip_prefix(root).is_some_and(|rest| root.ends_with(b"/") || matches!(rest, [] | [b'/' | b';', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &Condition, facts: &RoutingFacts<'_, '_>) -> bool {
        condition.holds(facts, |_, _| false, &mut Vec::new())
    }

    fn named(name: &str, values: &[&str]) -> NamedTest {
        NamedTest { name: name.to_owned(), values: values.iter().map(|value| Pattern::new(value)).collect() }
    }

    #[test]
    fn every_condition() {
        let headers = Headers::of(&[
            ("X-Canary", "1"),
            ("x-canary", "beta-2"),
            ("Cookie", "a=1; beta=yes"),
            ("Cookie", "beta=no"),
        ]);
        let facts = RoutingFacts {
            host: b"www.example.com",
            path: b"/api/v1",
            query: b"v=2&name=a+b%21&v=3&flag",
            method: b"GET",
            headers: &headers,
            source: "10.1.2.3".parse().unwrap(),
            alpn: b"",
        };
        let host = |text: &str| Condition::Host(vec![TextTest::Pattern(Pattern::new(text))]);
        let path = |text: &str| Condition::Path(vec![TextTest::Pattern(Pattern::new(text))]);
        let set = |text: &str| NetworkSet::new([text.parse().unwrap()]);
        let networks =
            |text: &str| Condition::SourceIp(SourceTest { networks: set(text), groups: Vec::new() });
        let group = |text: &str| {
            let group = SourceGroup { index: 0, name: "office".into(), networks: Arc::new(set(text)) };
            Condition::SourceIp(SourceTest { networks: NetworkSet::default(), groups: vec![group] })
        };
        for (condition, expected) in [
            (host("*.example.com"), true),
            (host("example.com"), false),
            (path("/api/*"), true),
            (path("/API/*"), false),
            (Condition::Path(vec![TextTest::Subtree("/api".to_owned())]), true),
            (Condition::Path(vec![TextTest::Subtree("/ap".to_owned())]), false),
            (Condition::Method(vec!["POST".to_owned(), "GET".to_owned()]), true),
            (Condition::Method(vec!["get".to_owned()]), false),
            (Condition::Header(named("x-canary", &["beta-*"])), true),
            (Condition::Header(named("x-canary", &["2"])), false),
            (Condition::Header(named("x-absent", &["*"])), false),
            (Condition::Query(named("v", &["3"])), true),
            (Condition::Query(named("name", &["a b!"])), true),
            (Condition::Query(named("flag", &["*"])), true),
            (Condition::Query(named("V", &["3"])), false),
            (Condition::Cookie(named("beta", &["no"])), true),
            (Condition::Cookie(named("Beta", &["no"])), false),
            (networks("10.0.0.0/8"), true),
            (networks("11.0.0.0/8"), false),
            (group("10.1.0.0/16"), true),
            (group("10.2.0.0/16"), false),
        ] {
            assert_eq!(holds(&condition, &facts), expected, "{condition:?}");
        }
    }

    #[test]
    fn a_subtree_ends_at_a_slash() {
        for (path, root, expected) in [
            ("/api", "/api", true),
            ("/api/", "/api", true),
            ("/api/x", "/api", true),
            ("/apis", "/api", false),
            ("/api;v=1", "/api", true),
            ("/api;v=1/x", "/api", true),
            ("/", "/api", false),
            ("/api/x", "/api/", true),
            ("/api", "/api/", false),
            ("/x", "/", true),
        ] {
            assert_eq!(is_below(path.as_bytes(), root.as_bytes()), expected, "{path} {root}");
        }
    }
}
