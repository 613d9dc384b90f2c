//! What to say about a word that is not known where it stands: it may be known elsewhere, be the word of another
//! server for something of ours, or be misspelt.

use crate::config::check::nearest::nearest;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::report::Source;

/// Every key there is, in its table.
const COMPLETE_EXAMPLE: &str = include_str!("../../../config/ringway.toml");

/// Keys and tables that later versions will know, by the title of their table.
const LATER: [(&str, &[&str]); 7] = [
    ("", &["defaults", "error_page", "ip_group", "metrics", "rule"]),
    (
        "[process]",
        &["balance_connections", "shutdown_delay", "state_folder", "upgrade_drain_timeout", "user"],
    ),
    ("[admin]", &["audit", "elb_api", "hosts", "tls", "tokens_file"]),
    (
        "[[listener]]",
        &[
            "bandwidth_bytes_per_second",
            "deletion_protection",
            "enabled",
            "hsts",
            "modification_protection",
            "path_normalization",
            "per_client",
            "redirect_to",
            "requests_per_second",
            "unknown_sni",
        ],
    ),
    ("[[server_group]]", &["retry_on", "source_address"]),
    ("[[server_group.backend]]", &["enabled", "max_connections"]),
    ("[server_group.health_check]", &["expect_payload", "payload"]),
];

/// Keys of nginx, HAProxy and others, and what to write instead.
const FOREIGN_KEYS: [(&str, &str); 42] = [
    ("allow", "who may connect is not decided here: use the firewall of the host"),
    ("backend", "write [[server_group.backend]] below the [[server_group]] that it belongs to"),
    ("backup", "write role = \"standby\""),
    ("balance", "write algorithm = \"…\" in [[server_group]]"),
    ("bind", "write address = \"0.0.0.0:8080\" in [[listener]]"),
    ("brotli", "write compression = true in [[listener]]"),
    ("check", "write [server_group.health_check]"),
    ("client_max_body_size", "write max_body_bytes = \"10MiB\" in [[listener]]"),
    ("default_backend", "write default_group = \"…\" in [[listener]]"),
    ("deny", "who may connect is not decided here: use the firewall of the host"),
    ("down", "write weight = 0"),
    ("error_log", "messages go to standard error; [access_log] is for requests"),
    ("fail_timeout", "write ejection_time in [server_group.passive_check]"),
    ("fall", "write unhealthy_threshold in [server_group.health_check]"),
    ("frontend", "write [[listener]]"),
    ("gzip", "write compression = true in [[listener]]"),
    ("inter", "write interval in [server_group.health_check]"),
    ("keepalive", "write keepalive_connections in [[server_group]]"),
    ("keepalive_requests", "write keepalive_requests in [[listener]]"),
    ("least_conn", "write algorithm = \"weighted_least_connections\" in [[server_group]]"),
    ("listen", "write address = \"0.0.0.0:8080\" in [[listener]]"),
    ("location", "requests are not routed by path in this version; a listener has one default_group"),
    ("max_conns", "connections to a backend are not limited; keepalive_connections bounds idle ones"),
    ("max_fails", "write consecutive_failures in [server_group.passive_check]"),
    ("maxconn", "write max_connections in [[listener]] or [process]"),
    ("mode", "write protocol in [[listener]] and [[server_group]]"),
    ("nbthread", "write workers in [process]"),
    ("option", "each option is a key of its own: see docs/configuration.md"),
    ("proxy_connect_timeout", "write connect_timeout in [[server_group]]"),
    ("proxy_pass", "write default_group = \"…\" in [[listener]]"),
    ("proxy_read_timeout", "write response_timeout in [[server_group]]"),
    ("real_ip_from", "write trusted_proxies in [[listener]]"),
    ("rise", "write healthy_threshold in [server_group.health_check]"),
    (
        "server",
        "write [[server_group.backend]] for a server to send requests to, [[listener]] for one to listen at",
    ),
    ("server_name", "names are those of the certificates; requests are not routed by host in this version"),
    ("servers", "write a [[server_group.backend]] for each of them"),
    ("set_real_ip_from", "write trusted_proxies in [[listener]]"),
    ("ssl_certificate", "write chain in [[certificate]], and certificates = [\"…\"] in [[listener]]"),
    ("ssl_certificate_key", "write key in [[certificate]]"),
    ("ssl_ciphers", "write a [[tls_policy]] with cipher_suites"),
    (
        "ssl_protocols",
        "write tls_policy = \"…\" in [[listener]], or a [[tls_policy]] of your own with versions",
    ),
    ("upstream", "write [[server_group]]"),
];

/// Values of nginx, HAProxy and Envoy, and ours.
const FOREIGN_VALUES: [(&str, &str); 13] = [
    ("hash", "consistent_hash"),
    ("ip_hash", "source_ip_hash"),
    ("iphash", "source_ip_hash"),
    ("least_conn", "weighted_least_connections"),
    ("least_request", "weighted_least_connections"),
    ("leastconn", "weighted_least_connections"),
    ("maglev", "consistent_hash"),
    ("p2c", "power_of_two"),
    ("ring_hash", "consistent_hash"),
    ("roundrobin", "weighted_round_robin"),
    ("source", "source_ip_hash"),
    ("static-rr", "weighted_round_robin"),
    ("uri", "consistent_hash"),
];

/// What nginx and HAProxy call fields of their logs, and what to write instead.
const FOREIGN_FIELDS: [(&str, &str); 22] = [
    ("args", "write \"request_uri\", which has the query, too"),
    ("bytes_sent", "write \"body_bytes_sent\"; bytes of heads are not told"),
    ("client", "write \"client_ip\""),
    ("connection", "connections have no number here; write \"client_ip\" and \"client_port\""),
    ("method", "write \"request_method\""),
    ("path", "write \"request_uri\""),
    ("protocol", "write \"server_protocol\""),
    ("query_string", "write \"request_uri\", which has the query, too"),
    ("remote_addr", "write \"client_ip\""),
    ("remote_port", "write \"client_port\""),
    ("remote_user", "only format = \"combined\" tells the user"),
    ("request", "write \"request_method\", \"request_uri\" and \"server_protocol\""),
    ("server_name", "write \"host\" for the host of a request, \"sni\" for the name of a TLS handshake"),
    ("ssl_alpn_protocol", "write \"alpn\""),
    ("ssl_client_verify", "write \"client_verify\""),
    ("ssl_server_name", "write \"sni\""),
    ("ssl_session_reused", "write \"tls_resumed\""),
    ("time_iso8601", "write \"time\""),
    ("time_local", "write \"time\", which is in UTC"),
    ("timestamp", "write \"time\""),
    ("uri", "write \"request_uri\""),
    ("user_agent", "write \"http_user_agent\""),
];

/// Whether a later version will know this key in the table with this title.
pub(super) fn comes_later(key: &str, title: &str) -> bool {
    LATER.iter().any(|(table, keys)| *table == title && keys.contains(&key))
}

/// How to cure a key that the table with this title, such as `[listener.forwarded]`, does not have.
pub(super) fn advice(key: &str, title: &str, known: &[&str]) -> String {
    let homes = homes(key);
    let parent = title.trim_matches(['[', ']']).rsplit_once('.').map(|(parent, _)| parent);
    let is_parent = |home: &&String| Some(home.trim_matches(['[', ']'])) == parent;
    // Nearly everything has a name.
    if let Some(home) = homes.iter().find(is_parent).filter(|_| key != "name") {
        return format!("it belongs to {home}: write it above {title}");
    }
    if let Some((_, cure)) = FOREIGN_KEYS.iter().find(|(word, _)| word.eq_ignore_ascii_case(key)) {
        return (*cure).to_owned();
    }
    match (nearest(key, known), homes.as_slice()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, [home]) => format!("it belongs to {home}"),
        (None, [home, other]) => format!("it belongs to {home} or {other}"),
        _ => format!("known here: {}", known.join(", ")),
    }
}

/// Our word for a value of another server, if it is one of these.
pub(super) fn our_value<'w>(text: &str, words: &[&'w str]) -> Option<&'w str> {
    let (_, ours) = FOREIGN_VALUES.iter().find(|(word, _)| word.eq_ignore_ascii_case(text))?;
    words.iter().copied().find(|word| word == ours)
}

/// What to write for a field of the access log that has another name here. A `$` in front, as in nginx, is passed over.
pub(super) fn our_field(text: &str) -> Option<&'static str> {
    let word = text.strip_prefix('$').unwrap_or(text);
    let (_, cure) = FOREIGN_FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word))?;
    Some(cure)
}

/// The tables that have this key, by their titles.
fn homes(key: &str) -> Vec<String> {
    let source = Source::made_up("example", COMPLETE_EXAMPLE.to_owned());
    let root = raw::read(0, &mut Report::new(vec![source]));
    let mut found = Vec::new();
    collect(&root, "", key, &mut found);
    found.dedup();
    found
}

/// Tables are nested three deep at most, so this ends.
fn collect(table: &raw::Table, path: &str, key: &str, found: &mut Vec<String>) {
    for entry in &table.entries {
        let inner = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        let (tables, title) = match &entry.value.kind {
            raw::Kind::Table(table) => (vec![table], format!("[{inner}]")),
            raw::Kind::Array(values) => {
                (values.iter().filter_map(table_of).collect(), format!("[[{inner}]]"))
            }
            _ => continue,
        };
        for table in tables {
            let has_key =
                table.find(key).is_some_and(|entry| !matches!(entry.value.kind, raw::Kind::Table(_)));
            if has_key && !found.contains(&title) {
                found.push(title.clone());
            }
            collect(table, &inner, key, found);
        }
    }
}

fn table_of(value: &raw::Value) -> Option<&raw::Table> {
    match &value.kind {
        raw::Kind::Table(table) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::log_fields;

    #[test]
    fn a_key_is_told_where_it_belongs() {
        for (key, title, known, expected) in [
            (
                "idle_timeout",
                "[listener.forwarded]",
                &["x_real_ip"][..],
                "it belongs to [[listener]]: write it above",
            ),
            ("weight", "[[server_group]]", &["name"], "it belongs to [[server_group.backend]]"),
            ("workers", "", &["process"], "it belongs to [process]"),
            ("interval", "[[server_group]]", &["name"], "it belongs to [server_group.health_check]"),
            ("idle_timout", "[[listener]]", &["idle_timeout"], "did you mean `idle_timeout`?"),
            ("max_fails", "[[server_group.backend]]", &["weight"], "write consecutive_failures in"),
            ("Gzip", "[[listener]]", &["compression"], "write compression = true"),
            ("quux", "[[listener]]", &["compression"], "known here: compression"),
        ] {
            let said = advice(key, title, known);
            assert!(said.starts_with(expected), "{key} in {title}: {said}");
        }
    }

    #[test]
    fn fields_of_others_have_ours() {
        assert_eq!(our_field("$remote_addr"), Some("write \"client_ip\""));
        assert_eq!(our_field("Timestamp"), Some("write \"time\""));
        assert_eq!(our_field("status"), None);
        for (foreign, _) in FOREIGN_FIELDS {
            assert!(!log_fields::ALL.contains(&foreign), "{foreign} is ours");
        }
    }

    #[test]
    fn values_of_others_have_ours() {
        let words = ["weighted_least_connections", "source_ip_hash"];
        assert_eq!(our_value("least_conn", &words), Some("weighted_least_connections"));
        assert_eq!(our_value("IP_HASH", &words), Some("source_ip_hash"));
        assert_eq!(our_value("hash", &words), None);
    }
}
