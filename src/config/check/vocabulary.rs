//! What to say about a word that is not known where it stands: it may be known elsewhere, be the word of another
//! server for something of ours, or be misspelt.

use std::sync::LazyLock;

use crate::config::check::nearest::nearest;
use crate::config::embedded::EmbeddedFile;
use crate::config::embedded::embedded;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::report::Source;

/// Every key there is, in its table.
pub(super) static COMPLETE_EXAMPLE: EmbeddedFile = embedded!("config/ringway.toml");

/// Keys and tables that later versions will know, by the title of their table.
const LATER: [(&str, &[&str]); 1] = [("[process]", &["upgrade_drain_timeout"])];

/// Keys of nginx, HAProxy and others, and what to write instead.
const FOREIGN_KEYS: [(&str, &str); 117] = [
    ("accept_proxy", "write proxy_protocol = \"accept\" in [[listener]]"),
    (
        "access_log",
        "write [[access_log]] at the top level, with listener = \"…\" for the logs of one listener",
    ),
    ("acl", "write [[rule]] with conditions such as host = \"…\" and path_prefix = \"…\""),
    (
        "add_header",
        "write response_headers = [{ set_header = { name = \"…\", value = \"…\" } }] in [[listener]], or set_response_header in [[rule]]",
    ),
    ("allow", "write allow = [\"…\"] in [[listener]], with the addresses in an [[ip_group]]"),
    ("auth_basic", "write basic_auth = { realm = \"…\", file = \"…\" } in a [[rule]]"),
    ("auth_request", "write forward_auth = { group = \"…\", path = \"…\" } in a [[rule]]"),
    ("backend", "write [[server_group.backend]] below the [[server_group]] that it belongs to"),
    ("backup", "write role = \"standby\""),
    (
        "any_port_enable",
        "write the address of each backend without a port, in a group with protocol = \"tcp\", \"tls\" or \"udp\"",
    ),
    ("balance", "write algorithm = \"…\" in [[server_group]]"),
    ("bandwidth", "write bandwidth_bytes_per_second = \"1MB\" in [[listener]] or [[rule]], or in per_client"),
    ("bind", "write address = \"0.0.0.0:8080\" in [[listener]]"),
    ("brotli", "write compression = true in [[listener]], or a table with brotli_level"),
    ("buffering", "responses are sent on as they come, so there is nothing to switch off"),
    ("cert", "write chain and key in [[certificate]], and certificates = [\"…\"] in [[listener]]"),
    ("check", "write [server_group.health_check]"),
    (
        "client_body_buffer_size",
        "write request_buffer in [[server_group]], if content is to be received before it is sent on",
    ),
    ("client_max_body_size", "write max_body_bytes = \"10MiB\" in [[listener]]"),
    ("compression_types", "write compression = { types = [\"text/*\"] } in [[listener]]"),
    (
        "daemon",
        "Ringway stays in the foreground: let a service manager start it, as config/ringway.service does",
    ),
    ("default_backend", "write default_group = \"…\" in [[listener]]"),
    ("deny", "write deny = [\"…\"] in [[listener]], with the addresses in an [[ip_group]]"),
    ("disabled", "write enabled = false"),
    ("down", "write enabled = false"),
    ("error_log", "messages go to standard error; [access_log] is for requests"),
    (
        "error_page",
        "write [[error_page]] with status = [502, 503] and file = \"pages/503.html\" at the top level",
    ),
    ("events", "there is nothing to set; [process] has max_connections"),
    ("fail_timeout", "write ejection_time in [server_group.passive_check]"),
    ("fall", "write unhealthy_threshold in [server_group.health_check]"),
    ("frontend", "write [[listener]]"),
    ("gzip", "write compression = true in [[listener]]"),
    ("gzip_comp_level", "write compression = { gzip_level = 5 } in [[listener]]"),
    ("gzip_min_length", "write compression = { min_bytes = 1000 } in [[listener]]"),
    ("gzip_types", "write compression = { types = [\"text/*\"] } in [[listener]]"),
    (
        "headers",
        "write keys of [listener.forwarded], or [[rule]] with set_header = { name = \"…\", value = \"…\" }",
    ),
    ("geo", "write [[ip_group]], and source_ip = \"…\" in a [[rule]]"),
    ("health_check", "write [server_group.health_check] below the [[server_group]] that it belongs to"),
    ("hostname", "write [[rule]] with host = \"…\""),
    ("http", "write [[listener]] and [[server_group]] at the top level"),
    ("http3", "HTTP/3 is not there in this version"),
    ("include", "name a folder with -c, or repeat -c: all files make one configuration"),
    ("inter", "write interval in [server_group.health_check]"),
    ("ip_hash", "write algorithm = \"source_ip_hash\" in [[server_group]]"),
    ("keepalive", "write keepalive_connections in [[server_group]]"),
    ("keepalive_requests", "write keepalive_requests in [[listener]]"),
    ("large_client_header_buffers", "write max_header_bytes and max_uri_bytes in [[listener]]"),
    ("least_conn", "write algorithm = \"weighted_least_connections\" in [[server_group]]"),
    (
        "limit_conn",
        "write per_client = { max_connections = 20 } in [[listener]], or max_connections for all clients together",
    ),
    (
        "limit_rate",
        "write bandwidth_bytes_per_second = \"1MB\" in [[listener]] or [[rule]], or in per_client of [[listener]]",
    ),
    (
        "limit_req",
        "write limit = { per_client_requests_per_second = 10, burst = 20 } in [[rule]], or per_client in [[listener]]",
    ),
    ("listen", "write address = \"0.0.0.0:8080\" in [[listener]]"),
    ("location", "write [[rule]] with path_prefix = \"/…\" and group = \"…\""),
    ("log", "write [access_log] for requests; messages go to standard error"),
    (
        "log_format",
        "write format = \"json\" or \"combined\" in [access_log], with fields for a shorter line of json",
    ),
    ("log_level", "messages have no level: all go to standard error"),
    ("logging", "write [access_log] for requests; messages go to standard error"),
    (
        "map",
        "write a [[rule]] for each value, with host, header, query or cookie: thousands cost what one does",
    ),
    ("max_conns", "write max_connections in [[server_group.backend]]"),
    ("max_fails", "write consecutive_failures in [server_group.passive_check]"),
    ("maxconn", "write max_connections in [[listener]], [process] or [[server_group.backend]]"),
    ("mode", "write protocol in [[listener]] and [[server_group]]"),
    ("nbthread", "write workers in [process]"),
    ("option", "each option is a key of its own: see docs/configuration.md"),
    (
        "pid",
        "there is no such file: the service manager knows the process, and ringway status tells its number",
    ),
    ("otel_exporter", "write otlp = \"http://127.0.0.1:4318/v1/traces\" in [tracing]"),
    ("otel_trace", "write [tracing] with propagate, otlp and sample"),
    (
        "on_marked_down",
        "write on_drain = \"reset\" in [[server_group]]: connections end when their backend fails its checks",
    ),
    ("otel_trace_context", "write propagate = true in [tracing]"),
    ("proxy_buffering", "responses are sent on as they come, so there is nothing to switch off"),
    ("proxy_connect_timeout", "write connect_timeout in [[server_group]]"),
    ("port_range", "write ports = \"8000-8010\" in [[listener]]"),
    ("port_ranges", "write ports = [\"8000-8010\", \"9000\"] in [[listener]]"),
    (
        "proxy_bind",
        "write source_address = \"…\" in [[server_group]], or source = \"client\" for the address of each client",
    ),
    (
        "proxy_http_version",
        "backends get HTTP/1.1; for HTTP/2 write protocol = \"h2c\", or http2 = true beside \"https\", in [[server_group]]",
    ),
    ("proxy_next_upstream", "write retry_on = [\"connect\", \"closed\", 503] in [[server_group]]"),
    ("proxy_pass", "write default_group = \"…\" in [[listener]]"),
    ("proxy_read_timeout", "write response_timeout in [[server_group]]"),
    ("proxy_request_buffering", "write request_buffer in [[server_group]]"),
    ("proxy_send_timeout", "write response_timeout in [[server_group]]"),
    (
        "proxy_set_header",
        "write keys of [listener.forwarded], or [[rule]] with set_header = { name = \"…\", value = \"…\" }",
    ),
    ("real_ip_from", "write trusted_proxies in [[listener]]"),
    ("redirect", "write [[rule]] with redirect = { … }, or redirect_to = \"…\" in [[listener]]"),
    ("return", "write [[rule]] with respond = { code = 200, body = \"…\" } or redirect = { … }"),
    ("rewrite", "write [[rule]] with rewrite = { path = \"…\" }"),
    ("rise", "write healthy_threshold in [server_group.health_check]"),
    ("root", "files are not served: requests go to the default_group of their listener"),
    ("send_proxy", "write proxy_protocol = \"v1\" or \"v2\" in [[server_group]]"),
    ("send_timeout", "write client_body_timeout in [[listener]]"),
    (
        "server",
        "write [[server_group.backend]] for a server to send requests to, [[listener]] for one to listen at",
    ),
    ("server_name", "names are those of the certificates; to route by host write [[rule]] with host = \"…\""),
    (
        "server_names",
        "names are those of the certificates; to route by host write [[rule]] with host = \"…\"",
    ),
    ("session_timeout", "write idle_timeout in [[listener]]"),
    ("servers", "write a [[server_group.backend]] for each of them"),
    ("set_real_ip_from", "write trusted_proxies in [[listener]]"),
    (
        "ssl",
        "write protocol = \"https\" in [[listener]], with certificates = [\"…\"], or in [[server_group]]",
    ),
    ("ssl_certificate", "write chain in [[certificate]], and certificates = [\"…\"] in [[listener]]"),
    ("ssl_certificate_key", "write key in [[certificate]]"),
    ("ssl_ciphers", "write a [[tls_policy]] with cipher_suites"),
    ("ssl_client_certificate", "write bundle in [[ca]], and ca = [\"…\"] in [listener.client_auth]"),
    (
        "ssl_protocols",
        "write tls_policy = \"…\" in [[listener]], or a [[tls_policy]] of your own with versions",
    ),
    (
        "ssl_preread",
        "write protocol = \"tls\" and passthrough = true in [[listener]], and sni = \"…\" in [[rule]]",
    ),
    ("ssl_verify_client", "write mode = \"require\" in [listener.client_auth]"),
    ("sticky", "write [server_group.sticky] with mode = \"insert\""),
    ("stream", "write [[listener]] and [[server_group]] with protocol = \"tcp\" or \"udp\" in each"),
    ("threads", "write workers in [process]"),
    (
        "tls",
        "write protocol = \"https\" in [[listener]], with certificates = [\"…\"], or in [[server_group]]",
    ),
    ("transparent", "write source = \"client\" in [[server_group]]: backends see the addresses of clients"),
    ("udp_timeout", "write idle_timeout in [[listener]]"),
    ("upgrade", "WebSocket and other upgrades pass without a key"),
    ("upstream", "write [[server_group]]"),
    ("websocket", "WebSocket and other upgrades pass without a key"),
    ("usesrc", "write source = \"client\" in [[server_group]]: backends see the addresses of clients"),
    ("worker_connections", "write max_connections in [process]"),
    ("worker_processes", "write workers in [process]"),
    ("worker_rlimit_nofile", "set LimitNOFILE= of systemd, or ulimit -n: Ringway takes what it may have"),
    ("zone", "workers know of each other without a key"),
];

/// The same where a word means something in one table that it does not mean elsewhere.
const FOREIGN_HERE: [(&str, &str, &str); 19] = [
    ("[[ca]]", "cert", "write bundle"),
    ("[[certificate]]", "cert", "write chain"),
    ("[[listener]]", "keepalive_timeout", "write idle_timeout"),
    (
        "[[listener]]",
        "limit",
        "write requests_per_second, or per_client = { requests_per_second = 20, burst = 40 }",
    ),
    ("[[listener]]", "port", "it is part of the address: write address = \"0.0.0.0:8080\""),
    ("[[listener]]", "timeout", "write idle_timeout, client_header_timeout or client_body_timeout"),
    ("[[rule]]", "access_log", "write log = \"off\", \"errors\" or \"all\""),
    ("[[rule]]", "client_max_body_size", "write max_body_bytes = \"10MiB\""),
    ("[[rule]]", "max_connections", "it belongs to [[server_group.backend]], [[listener]] or [process]"),
    ("[[rule]]", "per_client", "write limit = { per_client_requests_per_second = 10, burst = 20 }"),
    ("[[rule]]", "proxy_read_timeout", "write response_timeout, or tunnel_idle_timeout for WebSocket"),
    (
        "[[rule]]",
        "server_name",
        "write host = \"…\"; where the listener relays TLS, with protocol = \"tls\", write sni = \"…\"",
    ),
    (
        "[[rule]]",
        "server_names",
        "write host = [\"…\"]; where the listener relays TLS, with protocol = \"tls\", write sni = [\"…\"]",
    ),
    ("[[rule]]", "timeout", "write response_timeout, client_body_timeout or tunnel_idle_timeout"),
    ("[[server_group]]", "max_connections", "write it in each [[server_group.backend]]"),
    ("[[server_group]]", "timeout", "write connect_timeout or response_timeout"),
    ("[[server_group.backend]]", "host", "it is part of the address: write address = \"10.0.0.1:8080\""),
    ("[[server_group.backend]]", "name", "a backend is known by its address"),
    ("[[server_group.backend]]", "port", "it is part of the address: write address = \"10.0.0.1:8080\""),
];

/// Values of nginx, HAProxy and Envoy, and ours.
const FOREIGN_VALUES: [(&str, &str); 20] = [
    ("backup", "standby"),
    ("cookie", "insert"),
    ("hash", "consistent_hash"),
    ("h2", "h2c"),
    ("http2", "h2c"),
    ("ip_hash", "source_ip"),
    ("ip_hash", "source_ip_hash"),
    ("iphash", "source_ip_hash"),
    ("least_conn", "weighted_least_connections"),
    ("least_request", "weighted_least_connections"),
    ("leastconn", "weighted_least_connections"),
    ("maglev", "consistent_hash"),
    ("on", "accept"),
    ("on", "insert"),
    ("p2c", "power_of_two"),
    ("ring_hash", "consistent_hash"),
    ("roundrobin", "weighted_round_robin"),
    ("source", "source_ip_hash"),
    ("static-rr", "weighted_round_robin"),
    ("uri", "consistent_hash"),
];

const HTTP3_IN_OUR_WORDS: &str = "write protocol = \"quic\" in a [[listener]] for HTTP/3 alone, or http3 = true beside protocol = \"https\"; \
                                  there is none to backends";

/// Values of others that mean what a single word of ours does not, by the key, and what to write.
const FOREIGN_MEANINGS: [(&str, &str, &str); 7] = [
    ("protocol", "http3", HTTP3_IN_OUR_WORDS),
    ("protocol", "HTTP3", HTTP3_IN_OUR_WORDS),
    ("protocol", "h3", HTTP3_IN_OUR_WORDS),
    ("protocol", "HTTP/3", HTTP3_IN_OUR_WORDS),
    ("protocol", "gquic", "gQUIC is dead: QUIC is RFC 9000 since 2021; write protocol = \"quic\""),
    (
        "protocol",
        "TCP_UDP",
        "write a [[listener]] with protocol = \"tcp\" and one with \"udp\" at the same address, and a [[server_group]] for each",
    ),
    (
        "protocol",
        "TCPUDP",
        "write a [[listener]] with protocol = \"tcp\" and one with \"udp\" at the same address",
    ),
];

/// What nginx and HAProxy call fields of their logs, and what to write instead.
const FOREIGN_FIELDS: [(&str, &str); 26] = [
    ("args", "write \"request_uri\", which has the query, too"),
    ("client", "write \"client_ip\""),
    ("connection", "connections have no number here; write \"client_ip\" and \"client_port\""),
    ("ja3", "write \"tls_ja3\""),
    ("ja4", "write \"tls_ja4\""),
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
    ("ssl_client_i_dn", "write \"clientcert_issuerdn\""),
    ("ssl_client_s_dn", "write \"clientcert_subjectdn\""),
    ("ssl_client_serial", "write \"clientcert_serialnumber\""),
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

/// How to fix a key that the table with this title, such as `[listener.forwarded]`, does not have.
pub(super) fn advice(key: &str, title: &str, known: &[&str]) -> String {
    let homes = homes(key);
    let parent = title.trim_matches(['[', ']']).rsplit_once('.').map(|(parent, _)| parent);
    let is_parent = |home: &&String| Some(home.trim_matches(['[', ']'])) == parent;
    // Nearly everything has a name.
    if let Some(home) = homes.iter().find(is_parent).filter(|_| key != "name") {
        return format!("it belongs to {home}: write it above {title}");
    }
    let is_here = |(table, word, _): &&(&str, &str, &str)| *table == title && word.eq_ignore_ascii_case(key);
    if let Some((_, _, fix)) = FOREIGN_HERE.iter().find(is_here) {
        return (*fix).to_owned();
    }
    if let Some((_, fix)) = FOREIGN_KEYS.iter().find(|(word, _)| word.eq_ignore_ascii_case(key)) {
        return (*fix).to_owned();
    }
    // A word that is right elsewhere is no slip of the finger, unless nearly everything has it.
    match (homes.as_slice(), nearest(key, known)) {
        ([home], _) => format!("it belongs to {home}"),
        ([home, other], _) => format!("it belongs to {home} or {other}"),
        (_, Some(near)) => format!("did you mean `{near}`?"),
        _ => format!("valid keys: {}", known.join(", ")),
    }
}

/// Our word for a value of another server, if it is one of these.
pub(super) fn our_value<'w>(text: &str, words: &[&'w str]) -> Option<&'w str> {
    let mut ours = FOREIGN_VALUES.iter().filter(|(word, _)| word.eq_ignore_ascii_case(text));
    ours.find_map(|(_, ours)| words.iter().copied().find(|word| word == ours))
}

/// What to write for a value of another server that no one word of ours means.
pub(super) fn our_meaning(key: &str, text: &str) -> Option<&'static str> {
    let is_it = |(of, word, _): &&(&str, &str, &str)| *of == key && word.eq_ignore_ascii_case(text);
    FOREIGN_MEANINGS.iter().find(is_it).map(|(_, _, fix)| *fix)
}

/// What to write for a field of the access log that has another name here. A `$` in front, as in nginx, is passed over.
pub(super) fn our_field(text: &str) -> Option<&'static str> {
    let word = text.strip_prefix('$').unwrap_or(text);
    let (_, fix) = FOREIGN_FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word))?;
    Some(fix)
}

/// What to write for a variable of nginx or of a cloud that a template for the log does not have.
pub(super) fn our_variable(name: &str) -> Option<&'static str> {
    let (_, fix) = FOREIGN_VARIABLES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(fix)
}

const FOREIGN_VARIABLES: [(&str, &str); 12] = [
    ("app_lb_id", "write $instance_id"),
    ("backend", "write $upstream_addr"),
    ("connection", "connections have no number here; write $remote_endpoint"),
    ("hostname", "write $instance_id, which is the name of the host unless `instance_id` says otherwise"),
    ("otel_span_id", "write $span_id"),
    ("otel_trace_id", "write $trace_id"),
    ("pool_name", "write $group"),
    (
        "server_name",
        "write $listener, $host for the host of a request, or $sni for the name of a TLS handshake",
    ),
    ("slbid", "write $instance_id"),
    ("ssl_client_cert", "write $clientcert_subjectdn or $clientcert_fingerprint"),
    ("upstream_bytes_received", "write $body_bytes_sent"),
    ("uri", "write $request_uri or $router_request_uri"),
];

/// Whether some tables with this title have this key.
pub(super) fn is_at_home(key: &str, title: &str) -> bool {
    homes(key).iter().any(|home| home == title)
}

/// The tables that have this key, by their titles.
fn homes(key: &str) -> Vec<String> {
    // A text may have very many keys that are not known.
    static EXAMPLE: LazyLock<raw::Table> = LazyLock::new(|| {
        let source = Source::made_up("example", COMPLETE_EXAMPLE.text().to_owned());
        raw::read(0, &mut Report::new(vec![source]))
    });
    let mut found = Vec::new();
    collect(&EXAMPLE, "", key, &mut found);
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
            if table.find(key).is_some() && !found.contains(&title) {
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
            ("connect_timeout", "[[listener]]", &["idle_timeout"], "it belongs to [[server_group]]"),
            ("port", "[[server_group.backend]]", &["address"], "it is part of the address"),
            ("max_connections", "[[server_group]]", &["keepalive_connections"], "write it in each"),
            ("maintenance", "[[listener]]", &["name"], "it belongs to [[server_group]] or [[rule]]"),
            ("cors", "[[listener]]", &["name"], "it belongs to [[rule]]"),
            ("forward_auth", "[[server_group]]", &["name"], "it belongs to [[rule]]"),
            ("limit_rate", "[[rule]]", &["name"], "write bandwidth_bytes_per_second"),
            ("timeout", "[[server_group]]", &["drain_timeout"], "write connect_timeout or response_timeout"),
            ("server_name", "[[rule]]", &["host"], "write host"),
            ("server_name", "[[listener]]", &["name"], "names are those of the certificates"),
            ("transparent", "[[server_group]]", &["name"], "write source = \"client\" in"),
            ("ssl_preread", "[[listener]]", &["name"], "write protocol = \"tls\" and passthrough"),
            ("on_marked_down", "[[server_group.backend]]", &["role"], "write on_drain = \"reset\" in"),
            ("session_timeout", "[[server_group]]", &["response_timeout"], "write idle_timeout in"),
            ("accept_proxy", "[[listener]]", &["name"], "write proxy_protocol = \"accept\" in"),
            ("port_range", "[[listener]]", &["ports"], "write ports = \"8000-8010\" in"),
            ("quux", "[[listener]]", &["compression"], "valid keys: compression"),
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
        assert_eq!(our_value("ip_hash", &["off", "source_ip"]), Some("source_ip"));
    }
}
