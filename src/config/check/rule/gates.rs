//! `basic_auth` and `forward_auth`: what a request has to pass before it is served.

use std::time::Duration;

use serde_json::Value as Json;

use crate::config::Actions;
use crate::config::BasicAuth;
use crate::config::check::file_path::File;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Name;
use crate::config::check::kind::TOKEN;
use crate::config::check::kind::Time;
use crate::config::check::kind::is_token;
use crate::config::check::kind::refuse_kind;
use crate::config::check::kind::seconds;
use crate::config::check::names::Names;
use crate::config::check::rule::texts;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;
use crate::http::headers::same_for_backends;
use crate::policy::forward_auth::ForwardAuth;
use crate::policy::header_edits::HeaderEdit;

/// A group's name, which is not looked up yet, and its place.
pub(super) type GroupName = (String, Location);

/// Groups that requests are not forwarded to, but that are asked about them.
#[derive(Default)]
pub(super) struct SideGroups {
    pub forward_auth: Option<GroupName>,
    /// Gets copies.
    pub mirror: Option<GroupName>,
}

impl SideGroups {
    /// Looks them up.
    pub(super) fn resolve(self, actions: &mut Actions, names: &Names<'_>, report: &mut Report) {
        if let (Some((name, location)), Some(auth)) = (self.forward_auth, &mut actions.gates.forward_auth) {
            auth.group = names.find("group", (&name, location), report).unwrap_or_default();
        }
        if let (Some((name, location)), Some(mirror)) = (self.mirror, &mut actions.mirror) {
            mirror.group = names.find("group", (&name, location), report).unwrap_or_default();
        }
    }
}

/// Bytes of a realm, which browsers show.
const MAX_REALM: usize = 128;

const BASIC_AUTH_KEYS: [&str; 3] = ["realm", "file", "pass_authorization"];

/// What [`basic_auth`] takes.
pub(super) fn basic_auth_schema() -> Json {
    let values = [schema::pattern(&format!("^[^\"\\\\]{{1,{MAX_REALM}}}$")), File.schema(), Boolean.schema()];
    schema::table(BASIC_AUTH_KEYS.into_iter().zip(values), &["file"])
}

/// Reads the table; None after reporting what is wrong.
pub(super) fn basic_auth(key: &str, raw: &raw::Value, report: &mut Report) -> Option<BasicAuth> {
    let raw::Kind::Table(table) = &raw.kind else {
        let expected = "a table such as { realm = \"staff\", file = \"users.htpasswd\" }";
        return refuse_kind(key, raw, expected, report);
    };
    report_unknown(&table.entries, &BASIC_AUTH_KEYS, &format!("`{key}`"), report);
    let Some(entry) = table.find("file") else {
        report.error(raw.location, format!("`file` is missing in `{key}`"), "add file = \"users.htpasswd\"");
        return None;
    };
    let file = File.parse("file", &entry.value, report)?;
    let realm = match table.find("realm") {
        Some(entry) => realm(&entry.value, report)?,
        None => "restricted".to_owned(),
    };
    let passes_authorization = match table.find("pass_authorization") {
        Some(entry) => Boolean.parse("pass_authorization", &entry.value, report)?,
        None => false,
    };
    Some(BasicAuth { realm, file, passes_authorization })
}

fn realm(raw: &raw::Value, report: &mut Report) -> Option<String> {
    let text = texts::text("realm", raw, report)?;
    let is_plain = |byte: u8| (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.len() > MAX_REALM || !text.bytes().all(is_plain) {
        let help = "up to 128 ASCII characters, without quotes, backslashes and line ends";
        report.error(raw.location, "`realm` cannot be sent as it is", help);
        return None;
    }
    Some(text.to_owned())
}

/// Fields that belong to one hop or frame a message, and those that Ringway writes itself.
const RESERVED: [&str; 20] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-lb-trace",
    "x-request-id",
];

/// Names of fields that one list may have.
const MAX_NAMES: usize = 32;

const ON_FAILURE: Choice<bool> =
    Choice { words: &[("deny", false), ("pass", true)], aliases: &[], later: &[] };

const FORWARD_AUTH_KEYS: [&str; 6] =
    ["group", "path", "request_headers", "response_headers", "timeout", "on_failure"];
const TIMEOUT: Time = seconds(1, 900);

/// What [`forward_auth`] takes.
pub(super) fn forward_auth_schema() -> Json {
    let names = || schema::list(schema::pattern(&format!("^{TOKEN}+$")), 0..=MAX_NAMES);
    let path = schema::pattern("^/[!-~]*$");
    let values = [Name.schema(), path, names(), names(), TIMEOUT.schema(), ON_FAILURE.schema()];
    schema::table(FORWARD_AUTH_KEYS.into_iter().zip(values), &["group"])
}

/// Reads the table; None after reporting what is wrong.
pub(super) fn forward_auth(
    key: &str,
    raw: &raw::Value,
    report: &mut Report,
) -> Option<(ForwardAuth, GroupName)> {
    let raw::Kind::Table(table) = &raw.kind else {
        let expected = "a table such as { group = \"auth\", path = \"/verify\" }";
        return refuse_kind(key, raw, expected, report);
    };
    report_unknown(&table.entries, &FORWARD_AUTH_KEYS, &format!("`{key}`"), report);
    let Some(entry) = table.find("group") else {
        report.error(raw.location, format!("`group` is missing in `{key}`"), "add group = \"auth\"");
        return None;
    };
    let group = (Name.parse("group", &entry.value, report)?, entry.value.location);
    let path = match table.find("path") {
        Some(entry) => path(&entry.value, report)?,
        None => "/".to_owned(),
    };
    let names = |word: &str, default: &[&str], report: &mut Report| match table.find(word) {
        Some(entry) => names(word, &entry.value, report),
        None => Some(default.iter().map(|name| (*name).to_owned()).collect()),
    };
    let request_headers = names("request_headers", &["authorization", "cookie"], report)?;
    let response_headers = names("response_headers", &[], report)?;
    let timeout = match table.find("timeout") {
        Some(entry) => TIMEOUT.parse("timeout", &entry.value, report)?,
        None => Duration::from_secs(2),
    };
    let passes_on_failure = match table.find("on_failure") {
        Some(entry) => ON_FAILURE.parse("on_failure", &entry.value, report)?,
        None => false,
    };
    let auth = ForwardAuth { group: 0, path, request_headers, response_headers, timeout, passes_on_failure };
    Some((auth, group))
}

/// Reports an edit of a header that the service sets, or one that takes its value: it would be carried out on what the
/// client sent, before the service has said anything.
pub(super) fn check_edit(edit: &HeaderEdit, auth: &ForwardAuth, location: Location, report: &mut Report) {
    let (name, source) = (edit.name(), edit.source_header());
    let names = [Some(name), source].into_iter().flatten();
    if let Some(name) = names.into_iter().find(|name| auth.withholds(name.as_bytes())) {
        let message =
            format!("`{name}` is what the service of `forward_auth` says, and that comes after edits");
        let help = "remove the edit, or the name from `response_headers`, and let the service say what backends want";
        report.error(location, message, help);
    }
}

fn path(raw: &raw::Value, report: &mut Report) -> Option<String> {
    let text = texts::text("path", raw, report)?;
    if !text.starts_with('/') || !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
        let help = "write \"/verify\": a path of the service, percent-encoded, with its query if it has one";
        report.error(raw.location, format!("`path` {text:?} is no path"), help);
        return None;
    }
    Some(text.to_owned())
}

/// A list of names of fields, which may be empty.
fn names(key: &str, raw: &raw::Value, report: &mut Report) -> Option<Vec<String>> {
    let raw::Kind::Array(values) = &raw.kind else {
        return refuse_kind(key, raw, "a list of names of headers such as [\"x-user\"]", report);
    };
    if values.len() > MAX_NAMES {
        let message = format!("`{key}` has more than {MAX_NAMES} names");
        report.error(raw.location, message, "name those that matter");
        return None;
    }
    let parsed: Vec<String> = values.iter().filter_map(|value| field_name(key, value, report)).collect();
    (parsed.len() == values.len()).then_some(parsed)
}

fn field_name(key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
    let name = texts::text(key, raw, report)?;
    let problem = if !is_token(name) {
        "is no name of a header"
    } else if RESERVED.iter().any(|reserved| same_for_backends(reserved.as_bytes(), name.as_bytes())) {
        "is a header that belongs to one connection or message, or that Ringway writes itself"
    } else {
        return Some(name.to_ascii_lowercase());
    };
    report.error(raw.location, format!("{name:?} in `{key}` {problem}"), "remove it");
    None
}

#[cfg(test)]
mod tests {
    use crate::config::tests::report_of_rule as report;

    #[test]
    fn mistakes_in_basic_auth_are_named() {
        assert_eq!(report("basic_auth = { file = \"users\" }"), "");
        for (table, said) in [
            ("{ realm = \"a\" }", "`file` is missing in `basic_auth`"),
            ("{ file = \"u\", realm = 'a\"b' }", "`realm` cannot be sent as it is"),
            ("{ file = \"u/\" }", "`file` is not the path of a file"),
            ("{ file = \"u\", pass_authorization = 1 }", "`pass_authorization`"),
            ("{ file = \"u\", user = \"a\" }", "`user`"),
        ] {
            let report = report(&format!("basic_auth = {table}"));
            assert!(report.contains(said), "{table}: {report}");
            assert!(report.starts_with("ringway.toml:16:"), "{table}: {report}");
        }
    }

    #[test]
    fn mistakes_in_forward_auth_are_named() {
        assert_eq!(report("forward_auth = { group = \"app\" }"), "");
        for (table, said) in [
            ("{ path = \"/\" }", "`group` is missing in `forward_auth`"),
            ("{ group = \"ap\" }", "did you mean \"app\"?"),
            ("{ group = \"app\", path = \"verify\" }", "`path` \"verify\" is no path"),
            ("{ group = \"app\", path = \"/a b\" }", "is no path"),
            ("{ group = \"app\", timeout = \"0s\" }", "`timeout`"),
            ("{ group = \"app\", on_failure = \"allow\" }", "allowed are \"deny\", \"pass\""),
            ("{ group = \"app\", request_headers = \"cookie\" }", "a list of names of headers"),
            ("{ group = \"app\", response_headers = [\"Host\"] }", "\"Host\" in `response_headers`"),
            ("{ group = \"app\", response_headers = [\"x y\"] }", "is no name of a header"),
            ("{ group = \"app\", header = [] }", "`header`"),
        ] {
            let report = report(&format!("forward_auth = {table}"));
            assert!(report.contains(said), "{table}: {report}");
            assert!(report.starts_with("ringway.toml:16:"), "{table}: {report}");
        }
        let auth = "forward_auth = { group = \"app\", response_headers = [\"x-user\"] }";
        for (edit, is_refused) in [
            ("set_header = { name = \"X-User\", value = \"a\" }", true),
            ("insert_header = { name = \"x_user\", value = \"a\" }", true),
            ("set_header = { name = \"x-remote\", value = { header = \"x-user\" } }", true),
            ("set_header = { name = \"x-remote\", value = { header = \"x-users\" } }", false),
            ("set_response_header = { name = \"x-user\", value = \"a\" }", false),
        ] {
            let report = report(&format!("{auth}\n{edit}"));
            assert_eq!(
                report.contains("is what the service of `forward_auth` says"),
                is_refused,
                "{edit}: {report}"
            );
            assert_eq!(report.is_empty(), !is_refused, "{edit}: {report}");
        }
        for name in ["transfer_encoding", "X_Forwarded_For"] {
            let report =
                report(&format!("forward_auth = {{ group = \"app\", response_headers = [\"{name}\"] }}"));
            assert!(report.contains("in `response_headers` is a header that"), "{name}: {report}");
        }
        let twice =
            report("forward_auth = { group = \"app\" }\nactions = [{ forward_auth = { group = \"app\" } }]");
        assert!(twice.contains("a rule asks one service"), "{twice}");
    }
}
