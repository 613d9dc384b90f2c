//! `[[tls_policy]]`: which versions and cipher suites an operator wants.

use serde_json::Value as Json;

use crate::config::CipherSuite;
use crate::config::Listener;
use crate::config::TlsPolicy;
use crate::config::TlsVersion;
use crate::config::check::annotations;
use crate::config::check::kind::Kind;
use crate::config::check::kind::list;
use crate::config::check::kind::refuse_kind;
use crate::config::check::names::Known;
use crate::config::check::names::Names;
use crate::config::check::nearest::nearest;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::cipher_suites;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;
use crate::config::tls_policies;
use crate::config::tls_policies::Predefined;

pub(super) fn tls_policy(table: &raw::Table, output: &mut Output) -> TlsPolicy {
    let mut section = Section::element("tls_policy", table, output);
    let name = section.read_required("name", &PolicyName, "name = \"edge\"");
    let versions = section.read_required("versions", &VersionRange, "versions = [\"1.2\", \"1.3\"]");
    let suites = section.read_required("cipher_suites", &CipherSuites, SUITES_EXAMPLE);
    if let Some((name, location)) = name.as_ref().filter(|(name, _)| Predefined::named(name).is_some()) {
        let message = format!("\"{name}\" is the name of a predefined policy");
        section.report().error(*location, message, "give it another name");
    }
    let policy = TlsPolicy {
        location: name.as_ref().map_or(table.location, |(_, location)| *location),
        name: name.map(|(name, _)| name).unwrap_or_default(),
        is_predefined: false,
        versions: versions.map(|(versions, _)| versions).unwrap_or_default(),
        cipher_suites: suites.as_ref().map(|(suites, _)| each_once(suites)).unwrap_or_default(),
    };
    if let Some((suites, _)) = suites.filter(|_| !policy.versions.is_empty()) {
        check_suites(&policy.versions, &suites, section.report());
    }
    annotations::description(&mut section);
    section.close();
    policy
}

const SUITES_EXAMPLE: &str =
    "cipher_suites = [\"TLS_AES_128_GCM_SHA256\", \"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\"]";

/// The defined policies; a predefined one needs no table.
pub(super) fn names<'p>(policies: &'p [TlsPolicy], report: &Report) -> Names<'p> {
    let predefined = tls_policies::ALL.iter().map(|policy| policy.name);
    let defined = policies.iter().map(|policy| policy.name.as_str());
    Names::new("[[tls_policy]]", defined.chain(predefined), report)
}

/// The policy of a listener.
pub(super) fn choose(listener: &mut Section<'_, '_>, known: &Known<'_>) -> TlsPolicy {
    let named = listener.place_of_value("tls_policy");
    let name = listener.read("tls_policy", &PolicyName, tls_policies::DEFAULT.to_owned());
    let location = named.unwrap_or_else(|| listener.location());
    if listener.is_refused("tls_policy") {
        return predefined(tls_policies::DEFAULT, location);
    }
    let found = known.tls_policies.find("tls_policy", (&name, location), listener.report());
    match found.and_then(|index| known.defined_policies.get(index)) {
        Some(policy) => policy.clone(),
        None => predefined(&name, location),
    }
}

/// The default where there is none of the name; that has been reported.
fn predefined(name: &str, location: Location) -> TlsPolicy {
    let policy = Predefined::named(name).unwrap_or_else(|| {
        Predefined::named(tls_policies::DEFAULT).expect("the default is one of the predefined policies")
    });
    TlsPolicy {
        name: policy.name.to_owned(),
        is_predefined: true,
        versions: policy.versions.to_vec(),
        cipher_suites: policy.cipher_suites().collect(),
        location,
    }
}

/// Warns about policies that no listener names.
pub(super) fn check_use(policies: &[TlsPolicy], listeners: &[Listener], report: &mut Report) {
    if report.has_errors() {
        return;
    }
    for policy in policies {
        let mut used = listeners.iter().filter_map(|listener| listener.tls.as_ref());
        if !used.any(|tls| tls.policy.name == policy.name) {
            let message = format!("the TLS policy \"{}\" is not used", policy.name);
            report.warning(policy.location, message, "name it as `tls_policy` of a listener, or remove it");
        }
    }
}

fn check_suites(versions: &[TlsVersion], suites: &[(&'static CipherSuite, Location)], report: &mut Report) {
    for (position, (suite, location)) in suites.iter().enumerate() {
        if suites[..position].iter().any(|(earlier, _)| earlier.id == suite.id) {
            report.warning(*location, format!("{} is listed twice", suite.name), "list it once");
        }
        if versions.iter().any(|version| suite.is_of(*version)) {
            continue;
        }
        let fix = match suite.newest {
            version if suite.oldest == version => format!("add \"{}\" to `versions`", version.as_str()),
            version => format!("add \"{}\" to `versions`, where it still exists", version.as_str()),
        };
        let message = format!("{} belongs to none of the versions of this policy", suite.name);
        report.error(*location, message, format!("{fix}, or remove the suite"));
    }
}

fn each_once(suites: &[(&'static CipherSuite, Location)]) -> Vec<&'static CipherSuite> {
    let mut once: Vec<&'static CipherSuite> = Vec::new();
    for (suite, _) in suites {
        if !once.contains(suite) {
            once.push(suite);
        }
    }
    once
}

/// As the cloud products want it.
struct PolicyName;

impl Kind for PolicyName {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if !(2..=128).contains(&text.len()) || !begins_well || !text.chars().all(is_plain) {
            let help = "it has 2 to 128 characters: a letter, then ASCII letters, digits, `-`, `_` and `.`";
            report.error(raw.location, format!("`{key}` is not a valid name of a policy"), help);
            return None;
        }
        Some(text.clone())
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::pattern("^[A-Za-z][A-Za-z0-9._-]{1,127}$")
    }
}

/// A list of versions; ascending, each once.
struct VersionRange;

impl Kind for VersionRange {
    type Value = Vec<TlsVersion>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let values = list(key, raw, "a list such as [\"1.2\", \"1.3\"]", report)?;
        let parsed: Vec<_> = values.iter().filter_map(|value| version(key, value, report)).collect();
        let is_complete = parsed.len() == values.len();
        let mut versions = parsed;
        versions.sort_unstable();
        versions.dedup();
        is_complete.then_some(versions)
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.iter().map(|version| Json::from(version.as_str())).collect()
    }

    fn schema(&self) -> Json {
        schema::list(schema::pattern("^(TLSv)?1([.][0-3])?$"), 1..=usize::MAX)
    }
}

fn version(key: &str, raw: &raw::Value, report: &mut Report) -> Option<TlsVersion> {
    let raw::Kind::Text(text) = &raw.kind else {
        return refuse_kind(key, raw, "a list of strings such as [\"1.2\", \"1.3\"]", report);
    };
    let version = match text.strip_prefix("TLSv").unwrap_or(text) {
        "1" | "1.0" => Some(TlsVersion::Tls10),
        "1.1" => Some(TlsVersion::Tls11),
        "1.2" => Some(TlsVersion::Tls12),
        "1.3" => Some(TlsVersion::Tls13),
        _ => None,
    };
    if version.is_none() {
        let message = format!("invalid value \"{}\" for `{key}`", text.escape_debug());
        report.error(raw.location, message, "allowed are \"1.2\", \"1.3\"; \"1.0\" and \"1.1\" are dropped");
    }
    version
}

/// A list of cipher suites, each with its place.
struct CipherSuites;

impl Kind for CipherSuites {
    type Value = Vec<(&'static CipherSuite, Location)>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let values = list(key, raw, "a list such as [\"TLS_AES_128_GCM_SHA256\"]", report)?;
        let parsed: Vec<_> = values
            .iter()
            .filter_map(|value| Some((cipher_suite(key, value, report)?, value.location)))
            .collect();
        (parsed.len() == values.len()).then_some(parsed)
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.iter().map(|(suite, _)| Json::from(suite.name)).collect()
    }

    fn schema(&self) -> Json {
        let names = cipher_suites::ALL.iter().flat_map(|suite| [suite.name, suite.openssl]);
        schema::list(schema::words(names), 1..=usize::MAX)
    }
}

fn cipher_suite(key: &str, raw: &raw::Value, report: &mut Report) -> Option<&'static CipherSuite> {
    let raw::Kind::Text(text) = &raw.kind else {
        return refuse_kind(key, raw, "a list of strings such as [\"TLS_AES_128_GCM_SHA256\"]", report);
    };
    let suite = CipherSuite::named(text);
    if suite.is_none() {
        let names: Vec<&str> =
            cipher_suites::ALL.iter().flat_map(|suite| [suite.name, suite.openssl]).collect();
        let help = match nearest(text, &names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "docs/tls_policies.md lists the names".to_owned(),
        };
        report.error(raw.location, format!("invalid value \"{}\" for `{key}`", text.escape_debug()), help);
    }
    suite
}
