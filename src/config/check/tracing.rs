//! `[tracing]`: what is told of the traces that requests belong to, and to whom.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::time::Duration;

use serde_json::Value as Json;

use crate::config::Collector;
use crate::config::CollectorUrl;
use crate::config::Tracing;
use crate::config::check::address::is_dns_name;
use crate::config::check::file_path::File;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Choice;
use crate::config::check::kind::FieldValue;
use crate::config::check::kind::Kind;
use crate::config::check::kind::SampleFraction;
use crate::config::check::kind::Time;
use crate::config::check::kind::is_token;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::frames_requests;
use crate::config::in_order;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

use crate::policy::overrides::Sample;
use crate::policy::trace::TraceSource;

/// Has no line shown that may hold a password or a token, whatever is wrong with it.
pub(super) fn conceal_secrets(roots: &[raw::Table], report: &mut Report) {
    for entry in roots.iter().filter_map(|root| root.find("tracing")) {
        match &entry.value.kind {
            raw::Kind::Table(table) => {
                let is_secret = |entry: &&raw::Entry| match &entry.value.kind {
                    raw::Kind::Text(text) => entry.key == "headers" || text.contains('@'),
                    raw::Kind::Array(_) | raw::Kind::Table(_) => true,
                    _ => entry.key == "headers",
                };
                table.entries.iter().filter(is_secret).for_each(|entry| conceal(entry, report));
            }
            _ => conceal(entry, report),
        }
    }
}

/// Recursion is bounded: the parser refuses deep nesting.
fn conceal(entry: &raw::Entry, report: &mut Report) {
    report.conceal(entry.key_location);
    report.conceal(entry.value.location);
    if let raw::Kind::Table(table) = &entry.value.kind {
        table.entries.iter().for_each(|entry| conceal(entry, report));
    }
}

pub(super) fn tracing(table: Option<&raw::Table>, output: &mut Output) -> Tracing {
    let mut section = Section::single("tracing", table, output);
    let tracing = Tracing {
        propagate: section.read("propagate", &Boolean, false),
        accept_from: section.read("accept_from", &SOURCES, TraceSource::Everyone),
        sample: section.read("sample", &SampleFraction, Sample::ALL),
        collector: collector(&mut section),
    };
    if tracing.collector.is_some()
        && !tracing.propagate
        && !section.is_refused("propagate")
        && let Some(location) = section.place_of_value("otlp")
    {
        let message =
            "the spans of Ringway stand alone: traces of clients are not read, and backends get none";
        section.report().warning(location, message, "write propagate = true");
    }
    section.close();
    tracing
}

const SOURCES: Choice<TraceSource> = Choice {
    words: &[("everyone", TraceSource::Everyone), ("trusted_proxies", TraceSource::TrustedProxies)],
    aliases: &[],
    later: &[],
};

const COMPRESSIONS: Choice<bool> =
    Choice { words: &[("none", false), ("gzip", true)], aliases: &[], later: &[] };

/// How long a request to a collector may take: OpenTelemetry's exporters wait as long.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);

fn collector(section: &mut Section<'_, '_>) -> Option<Collector> {
    let url = section.read_optional("otlp", &Url, "no collector gets spans");
    let is_absent = url.is_none() && !section.is_refused("otlp");
    let idle = is_absent.then_some("without `otlp`, no collector gets spans");
    let is_plain = url.as_ref().is_some_and(|(url, _)| !url.is_secure);
    let ca_file = section.read_optional("ca_file", &File, "the CAs of this host are trusted");
    section.warn_idle("ca_file", idle.or(is_plain.then_some("`otlp` does not begin with https")));
    let headers = section.read_unless(idle, "headers", &HeaderFields, Vec::new());
    let headers_file = section.read_optional("headers_file", &File, "no secret headers are sent");
    section.warn_idle("headers_file", idle);
    let timeout = Time(Duration::from_millis(100)..=Duration::from_secs(60));
    let timeout = section.read_unless(idle, "timeout", &timeout, USUAL_TIMEOUT);
    let gzip = section.read_unless(idle, "compression", &COMPRESSIONS, false);
    let service_name = section.read_unless(idle, "service_name", &FieldValue, "ringway".to_owned());
    warn_of_secrets(&headers, section);
    let (url, _) = url?;
    Some(Collector {
        url,
        ca_file: ca_file.map(|(file, _)| file),
        headers,
        headers_file: headers_file.map(|(file, _)| file),
        timeout,
        gzip,
        service_name,
    })
}

/// Names of headers that carry passwords and tokens.
const SECRET_WORDS: [&str; 4] = ["auth", "key", "token", "secret"];

fn warn_of_secrets(headers: &[(String, String)], section: &mut Section<'_, '_>) {
    let is_secret = |name: &&String| SECRET_WORDS.iter().any(|word| name.to_ascii_lowercase().contains(word));
    let secret = headers.iter().map(|(name, _)| name).find(is_secret);
    if let Some(name) = secret {
        let location = section.location();
        let message = format!("`headers` has what looks like a secret: {name}");
        section.report().warning(location, message, "write it into a file, and name that by `headers_file`");
    }
}

/// The URL of a collector.
struct Url;

/// Where gRPC is spoken, by OpenTelemetry's convention.
const GRPC_PORT: u16 = 4317;

impl Kind for Url {
    type Value = CollectorUrl;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        // Where it ends is not sure in a malformed URL, so whatever else is wrong is not told.
        if text.contains('@') {
            let help = "write a header such as Authorization into a file, and name that by `headers_file`; \
                        an @ of the path is written %40";
            report.error(raw.location, format!("`{key}` has a user or a password in it"), help);
            return None;
        }
        match url(text) {
            Ok(url) => {
                if url.port == GRPC_PORT {
                    let message = format!("`{key}` names port 4317, where collectors speak gRPC");
                    report.warning(raw.location, message, "OTLP over HTTP is usually at port 4318");
                }
                Some(url)
            }
            Err(problem) => {
                let message = format!("`{key}` {problem}");
                report.error(
                    raw.location,
                    message,
                    "write a URL such as \"http://127.0.0.1:4318/v1/traces\"",
                );
                None
            }
        }
    }

    fn show(&self, url: &Self::Value) -> Json {
        Json::from(url.text.as_str())
    }

    fn schema(&self) -> Json {
        schema::pattern("^[hH][tT][tT][pP][sS]?://[^@/?#]+/[^@#]*$")
    }
}

/// A URL without a user in it.
fn url(text: &str) -> Result<CollectorUrl, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("is not a URL")?;
    let is_secure = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return Err("begins neither with http:// nor with https://"),
    };
    if !rest.bytes().all(|byte| matches!(byte, b'!'..=b'~')) || rest.contains('#') {
        return Err("has characters that no URL of a collector has");
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if !path.starts_with('/') {
        return Err("has no path, which is /v1/traces with most collectors");
    }
    let is_bare_v6 = authority.ends_with(']');
    let (host, port) = match authority.rsplit_once(':').filter(|_| !is_bare_v6) {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0).ok_or("has no valid port")?),
        None => (authority, if is_secure { 443 } else { 80 }),
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => is_dns_name(host) || host.parse::<Ipv4Addr>().is_ok(),
    };
    if !is_host {
        return Err("names no host");
    }
    let host = inner.unwrap_or(host).to_owned();
    let text = format!("{scheme}://{authority}{path}");
    Ok(CollectorUrl { text, is_secure, host, port, path: path.to_owned() })
}

/// Headers with their values.
struct HeaderFields;

/// Headers that are sent to the collector of traces.
const MAX_HEADERS: usize = 16;
/// Bytes of the value of one of them.
const MAX_VALUE_BYTES: usize = 4096;

impl Kind for HeaderFields {
    type Value = Vec<(String, String)>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let raw::Kind::Table(table) = &raw.kind else {
            return refuse_kind(key, raw, "a table such as { x-scope-orgid = \"edge\" }", report);
        };
        if table.entries.len() > MAX_HEADERS {
            let message = format!("`{key}` has {} headers", table.entries.len());
            report.error(raw.location, message, format!("allowed are up to {MAX_HEADERS}"));
            return None;
        }
        let mut fields = Vec::new();
        for entry in &table.entries {
            if let Some((message, help)) = refusal_of_name(key, &entry.key) {
                report.error(entry.key_location, message, help);
                return None;
            }
            let raw::Kind::Text(value) = &entry.value.kind else {
                let message =
                    format!("`{key}` must have a string for {}, not {}", entry.key, entry.value.kind_name());
                report.error(entry.value.location, message, "write a quoted string");
                return None;
            };
            if value.len() > MAX_VALUE_BYTES || !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                let message = format!("`{key}` has no valid value for {}", entry.key);
                report.error(
                    entry.value.location,
                    message,
                    "write up to 4096 characters of ASCII in one line",
                );
                return None;
            }
            fields.push((entry.key.clone(), value.trim().to_owned()));
        }
        Some(fields)
    }

    /// The names only, since values may be secret. What stands for them is refused as a value.
    fn show(&self, value: &Self::Value) -> Json {
        Json::Object(in_order::object(value.iter().map(|(name, _)| (name.as_str(), "…"))))
    }

    fn schema(&self) -> Json {
        serde_json::json!({
            "type": "object",
            "maxProperties": MAX_HEADERS,
            "additionalProperties": { "type": "string", "maxLength": MAX_VALUE_BYTES },
        })
    }
}

/// What is wrong with the name of a header, and the cure; None: nothing.
fn refusal_of_name(key: &str, name: &str) -> Option<(String, &'static str)> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !is_token(name) || !name.bytes().all(is_plain) {
        // Not with what it is, since a value may have been written into it.
        let message = format!("`{key}` has a name that is no header's");
        return Some((message, "names have letters, digits, - and _"));
    }
    let message = format!("`{key}` cannot have a header \"{name}\"");
    frames_requests(name).then_some((message, "remove it: Ringway frames requests itself"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_collectors() {
        for (text, is_secure, host, port, path, authority) in [
            ("http://127.0.0.1:4318/v1/traces", false, "127.0.0.1", 4318, "/v1/traces", "127.0.0.1:4318"),
            (
                "https://otlp.example.com/otlp/v1/traces?a=b",
                true,
                "otlp.example.com",
                443,
                "/otlp/v1/traces?a=b",
                "otlp.example.com",
            ),
            ("HTTP://[::1]:80/", false, "::1", 80, "/", "[::1]"),
            ("https://[::1]/x", true, "::1", 443, "/x", "[::1]"),
        ] {
            let read = url(text).unwrap();
            assert_eq!(read.text.as_str(), text);
            assert_eq!(
                (read.is_secure, read.host.as_str(), read.port, read.path.as_str()),
                (is_secure, host, port, path)
            );
            assert_eq!(read.authority(), authority);
        }
        for wrong in [
            "127.0.0.1:4318",
            "grpc://127.0.0.1:4317/",
            "http://127.0.0.1:4318",
            "http://:4318/v1/traces",
            "http://a:0/v1/traces",
            "http://a:x/v1/traces",
            "http://a/v1 traces",
            "http://a/v1/traces#a",
            "http://[::1/v1/traces",
            "http://a?b",
        ] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    /// What is said about these lines of `[tracing]`.
    fn said(lines: &str) -> String {
        let text = format!(
            "config_version = 1\n[tracing]\n{lines}\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:1\"\n\
             default_group = \"app\"\n[[server_group]]\nname = \"app\"\n[[server_group.backend]]\n\
             address = \"127.0.0.1:2\"\n"
        );
        crate::config::load(vec![crate::config::Source::made_up("a.toml", text)]).report.to_text(false)
    }

    #[test]
    fn what_will_not_do_is_told() {
        const OTLP: &str = "propagate = true\notlp = \"http://127.0.0.1:4318/v1/traces\"\n";
        assert_eq!(said(OTLP), "");
        for (lines, expected) in [
            ("sample = 1.5", "a.toml:3:10: error: `sample` is out of range"),
            ("sample = -0.1", "a.toml:3:10: error: `sample` is out of range"),
            ("accept_from = \"all\"", "error: invalid value \"all\" for `accept_from`"),
            ("timeout = \"1s\"", "warning: `timeout` has no effect: without `otlp`, no collector gets spans"),
            ("otlp = \"http://a/v1/traces\"", "warning: the spans of Ringway stand alone"),
            ("otlp = \"http://a:4317/v1/traces\"", "warning: `otlp` names port 4317"),
            ("otlp = \"http://a\"", "error: `otlp` has no path"),
            (&format!("{OTLP}ca_file = \"x\""), "warning: `ca_file` has no effect: `otlp` does not begin"),
            (
                &format!("{OTLP}headers = {{ host = \"a\" }}"),
                "error: `headers` cannot have a header \"host\"",
            ),
            (&format!("{OTLP}headers = {{ a = \"b\\n\" }}"), "error: `headers` has no valid value for a"),
            (&format!("{OTLP}timeout = \"61s\""), "error: `timeout` is out of range"),
        ] {
            assert!(said(lines).contains(expected), "{lines}: {}", said(lines));
        }
    }

    #[test]
    fn users_in_urls_are_not_told() {
        for url in [
            "http://ada:s3cr3t@a/v1/traces",
            "http://ada:s3cr3t@a",
            "http://ada:s3cr3t@a:4317/v1/traces",
            "http://ada:s3/s3cr3t@a/v1/traces",
            "http://ada:s3cr3t@a:b/v1/traces",
            "http://ada:s3cr3t @a/v1/traces",
            "http://ada:s3cr3t@/v1/traces",
            "ftp://ada:s3cr3t@a/v1/traces",
            "ada:s3cr3t@a",
        ] {
            for lines in
                [format!("otlp = \"{url}\""), format!("propagate = true\nca_file = \"x\"\notlp = \"{url}\"")]
            {
                let said = said(&lines);
                assert!(said.contains("error: `otlp` has a user or a password in it"), "{lines}: {said}");
                let count = said.matches("error: ").count() + said.matches("warning: ").count();
                assert!(count == 1 && !said.contains("s3cr3t"), "{lines}: {said}");
            }
        }
        for lines in [
            "endpoint = \"http://ada:s3cr3t@a/v1/traces\"",
            "otlp = [\"http://ada:s3cr3t@a/v1/traces\"]",
            "otlp = \"http://a/\"\notlp = \"http://ada:s3cr3t@a/v1/traces\"",
            "otlp = http://ada:s3cr3t@a/v1/traces",
            "otlp = \"http://ada:s3cr3t@a/v1/traces",
            "otlp: \"http://ada:s3cr3t@a/v1/traces\";",
            "[[tracing]]\notlp = \"http://ada:s3cr3t@a/v1/traces\"",
        ] {
            let said = said(lines);
            assert!(said.contains("error: ") && !said.contains("s3cr3t"), "{lines}: {said}");
        }
    }

    #[test]
    fn values_of_headers_are_not_told() {
        const OTLP: &str = "propagate = true\notlp = \"http://a/v1/traces\"\n";
        for (lines, expected) in [
            (
                "headers = { Api-Key = \"s3cr3t\" }",
                "warning: `headers` has what looks like a secret: Api-Key",
            ),
            ("headers = { a = \"s3cr3t\\n\" }", "a.toml:5:17: error: `headers` has no valid value for a"),
            ("headers = { a = \"s3cr3t\", b = 1 }", "must have a string for b"),
            ("headers = { host = \"s3cr3t\" }", "cannot have a header \"host\""),
            ("headers = { \"a: s3cr3t\" = \"\" }", "has a name that is no header's"),
            ("headers = \"a: s3cr3t\"", "`headers` must be a table"),
            ("headers = [\"a: s3cr3t\"]", "`headers` must be a table"),
            ("header = { a = \"s3cr3t\" }", "unknown table `header`"),
            ("headers = { a = \"b\", a = \"s3cr3t\" }", "duplicate key"),
            ("headers = { a = \"b\" }\nheaders = { a = \"s3cr3t\" }", "duplicate key"),
            ("headers = { a = s3cr3t }", "not valid TOML"),
            (
                "[tracing.headers]\na = \"b\"\na = \"s3cr3t\"",
                "a.toml:7:1: error: not valid TOML: duplicate key",
            ),
            ("[tracing.headers]\na = s3cr3t", "a.toml:6:5: error: not valid TOML"),
            (
                "[tracing.headers]\na = \"\"\"\nx\ns3cr3t\"\"\"",
                "a.toml:6:5: error: `headers` has no valid value for a",
            ),
        ] {
            let said = said(&format!("{OTLP}{lines}"));
            assert!(said.contains(expected) && !said.contains("s3cr3t"), "{lines}: {said}");
        }
        let idle = said("headers = { a = \"s3cr3t\" }");
        assert!(idle.contains("warning: `headers` has no effect") && !idle.contains("s3cr3t"), "{idle}");
    }

    #[test]
    fn secrets_stay_away_in_every_form_of_the_table() {
        for text in [
            "tracing = { otlp = \"http://ada:s3cr3t@a/v1/traces\", sample = 2 }",
            "tracing.otlp = \"http://ada:s3cr3t@a/v1/traces\"",
            "tracing.headers.a = \"s3cr3t\\n\"",
            "tracing = { headers = { a = \"b\", a = \"s3cr3t\" } }",
            "tracing = \"http://ada:s3cr3t@a/v1/traces\"",
        ] {
            let text = format!("config_version = 1\n{text}\n");
            let said =
                crate::config::load(vec![crate::config::Source::made_up("a.toml", text.clone())]).report;
            let said = said.to_text(false) + &said.to_json();
            assert!(said.contains("a.toml:2:") && !said.contains("s3cr3t"), "{text}: {said}");
        }
    }

    #[test]
    fn values_of_headers_are_not_shown_as_effective() {
        let text =
            "config_version = 1\n[tracing]\notlp = \"http://a/v1/traces\"\nheaders = { a = \"s3cr3t\" }\n";
        let loaded = crate::config::load(vec![crate::config::Source::made_up("a.toml", text.to_owned())]);
        let shown = loaded.effective.to_toml(&loaded.report);
        assert!(shown.contains("headers = { a = \"…\" }"), "{shown}");
        assert!(!(shown + &loaded.effective.to_json(&loaded.report)).contains("s3cr3t"));
    }
}
