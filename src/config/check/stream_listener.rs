//! The keys of `[[listener]]` that are about connections that are relayed.

use std::time::Duration;

use serde_json::Value as Json;

use crate::config::StreamListener;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::kind::seconds;
use crate::config::check::limits::BANDWIDTH;
use crate::config::check::listener_tls::Scheme;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

/// Those of `[defaults.listener]` that are of use to listeners of connections, beside those of every listener.
pub(super) const KEYS: [&str; 3] = ["proxy_protocol", "idle_timeout", "bandwidth_bytes_per_second"];

/// The same of those of them that speak TLS with their clients, beside the keys of TLS.
pub(super) const TLS_KEYS: [&str; 2] = ["alpn", "client_auth"];

/// Protocols that a listener can agree on.
const MAX_PROTOCOLS: usize = 16;

pub(super) fn stream_listener(section: &mut Section<'_, '_>, scheme: Scheme) -> StreamListener {
    StreamListener {
        idle_timeout: section.read("idle_timeout", &seconds(10, 4_000), Duration::from_secs(900)),
        bandwidth_bytes_per_second: section.read("bandwidth_bytes_per_second", &BANDWIDTH, 0),
        passthrough: scheme == Scheme::Passthrough,
        alpn: match scheme {
            Scheme::Tls => section.read("alpn", &ProtocolList, Vec::new()),
            _ => Vec::new(),
        },
    }
}

/// Names of protocols, as RFC 7301 registers them.
struct ProtocolList;

impl Kind for ProtocolList {
    type Value = Vec<String>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Vec<String>> {
        let expected = "a list such as [\"imap\", \"http/1.1\"]";
        let raw::Kind::Array(values) = &raw.kind else { return refuse_kind(key, raw, expected, report) };
        let mut protocols = Vec::with_capacity(values.len());
        for value in values {
            let raw::Kind::Text(text) = &value.kind else {
                return refuse_kind(key, value, expected, report);
            };
            let is_name = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_name || protocols.contains(text) {
                let message =
                    format!("`{key}` has \"{}\", which is no protocol or named twice", text.escape_debug());
                let help = "name each once, in 1 to 255 visible ASCII characters";
                report.error(value.location, message, help);
                return None;
            }
            protocols.push(text.clone());
        }
        if protocols.len() > MAX_PROTOCOLS {
            let message = format!("`{key}` has more than {MAX_PROTOCOLS} protocols");
            report.error(raw.location, message, "name those that the backends speak");
            return None;
        }
        Some(protocols)
    }

    fn show(&self, value: &Vec<String>) -> Json {
        Json::from(value.as_slice())
    }

    fn schema(&self) -> Json {
        schema::list(schema::pattern("^[!-~]{1,255}$"), 0..=MAX_PROTOCOLS)
    }
}
