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
use crate::config::raw;
use crate::config::report::Report;
use crate::policy::overrides::Sample;
use crate::policy::trace::TraceSource;

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
    let is_plain = url.as_ref().is_some_and(|((url, _), _)| !url.is_secure);
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
    let ((url, has_user), _) = url?;
    if has_user {
        // Not at its own line, which would tell the password to whoever reads messages.
        let location = section.location();
        let help = "write a header such as Authorization into a file, and name that by `headers_file`";
        section.report().error(location, "`otlp` has a user or a password in it", help);
    }
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
        // Not at its own line, which would tell it to whoever reads messages.
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
    /// And whether it had a user in it.
    type Value = (CollectorUrl, bool);

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        match url(text) {
            Ok((url, has_user)) => {
                if url.port == GRPC_PORT {
                    let message = format!("`{key}` names port 4317, where collectors speak gRPC");
                    report.warning(raw.location, message, "OTLP over HTTP is usually at port 4318");
                }
                Some((url, has_user))
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

    fn show(&self, (url, _): &Self::Value) -> Json {
        Json::from(url.text.as_str())
    }
}

/// A URL without the user in it, and whether there was one.
fn url(text: &str) -> Result<(CollectorUrl, bool), &'static str> {
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
    let (user, authority) =
        authority.rsplit_once('@').map_or((None, authority), |(user, rest)| (Some(user), rest));
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
    Ok((CollectorUrl { text, is_secure, host, port, path: path.to_owned() }, user.is_some()))
}

/// Headers with their values.
struct HeaderFields;

const MAX_HEADERS: usize = 16;
const MAX_VALUE_BYTES: usize = 4096;

/// Headers that say how a request is sent.
const OWN_HEADERS: [&str; 6] =
    ["host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection"];

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
            let raw::Kind::Text(value) = &entry.value.kind else {
                let message =
                    format!("`{key}` must have a string for {}, not {}", entry.key, entry.value.kind_name());
                report.error(entry.value.location, message, "write a quoted string");
                return None;
            };
            let is_name =
                is_token(&entry.key) && !OWN_HEADERS.contains(&entry.key.to_ascii_lowercase().as_str());
            let is_plain =
                entry.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            if !is_name || !is_plain {
                let message = format!("`{key}` cannot have a header \"{}\"", entry.key.escape_debug());
                let help = "names have letters, digits, - and _, and Ringway frames requests itself";
                report.error(entry.key_location, message, help);
                return None;
            }
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

    fn show(&self, value: &Self::Value) -> Json {
        value.iter().map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect()
    }
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
            let (read, has_user) = url(text).unwrap();
            assert_eq!((read.text.as_str(), has_user), (text, false));
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
        let (read, has_user) = url("http://user:secret@a:1/v1/traces").unwrap();
        assert_eq!((read.text.as_str(), has_user), ("http://a:1/v1/traces", true));
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
    fn secrets_are_not_told() {
        for (lines, expected) in [
            ("otlp = \"http://ada:s3cr3t@a/v1/traces\"", "error: `otlp` has a user or a password in it"),
            (
                "otlp = \"http://a/v1/traces\"\nheaders = { Api-Key = \"s3cr3t\" }",
                "warning: `headers` has what looks like a secret: Api-Key",
            ),
        ] {
            let said = said(&format!("propagate = true\n{lines}"));
            assert!(said.contains(expected) && !said.contains("s3cr3t"), "{said}");
        }
    }
}
