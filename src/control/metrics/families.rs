//! Every metric that there is.

use crate::control::metrics::exposition::Family;
use crate::control::metrics::exposition::Kind;

const OF_ROUTE: &[&str] = &["listener", "rule", "group"];
const OF_BACKEND: &[&str] = &["group", "backend"];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help, labels }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help, labels }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Histogram, help, labels }
}

macro_rules! families {
    ($($name:ident = $family:expr;)*) => {
        $(pub(super) static $name: Family = $family;)*

        /// All of them, in the order in which they are written.
        pub static ALL: &[&Family] = &[$(&$name),*];
    };
}

families! {
    BUILD = Family {
        name: "ringway_build_info",
        kind: Kind::Info,
        help: "The version of Ringway",
        labels: &["version"],
    };
    START_TIME = gauge("ringway_start_time_seconds", &[], "When the process started, in seconds since the Unix epoch");
    WORKERS = gauge("ringway_workers", &[], "Worker threads");
    WORKER_CPU = counter(
        "ringway_worker_cpu_seconds_total",
        &["worker"],
        "CPU time that a worker has used, in user space and in the kernel",
    );
    WORKER_CONNECTIONS = gauge("ringway_worker_connections", &["worker"], "Connections of clients that a worker has");
    HANDED_OVER = counter(
        "ringway_worker_handed_over_connections_total",
        &["worker"],
        "Connections that a worker has accepted and handed to one with fewer",
    );
    STALLED = gauge(
        "ringway_worker_stalled",
        &["worker"],
        "1 while a worker has stood still for three seconds or longer, and its connections with it",
    );
    STALLS = counter("ringway_worker_stalls_total", &["worker"], "How often a worker has stood still so long");
    LOOP_LAG = histogram(
        "ringway_worker_loop_lag_seconds",
        &["worker"],
        "How much later than it should a worker noticed each tenth of a second that passed",
    );
    IS_READY = gauge("ringway_ready", &[], "1 while the process takes new connections, 0 once it has begun to stop");
    EPOCH = gauge("ringway_configuration_epoch", &[], "The number of the configuration in service");
    RELOADS = counter("ringway_reloads_total", &["result"], "Reloads that succeeded or were refused");
    LAST_RELOAD_SUCCEEDED = gauge("ringway_last_reload_succeeded", &[], "1 if the last reload succeeded, 0 if it was refused");
    LAST_RELOAD = gauge(
        "ringway_last_reload_timestamp_seconds",
        &[],
        "When the last reload ended, in seconds since the Unix epoch",
    );
    LOG_LINES = counter("ringway_access_log_lines_total", &["log"], "Lines that an access log has taken");
    LOG_LINES_DROPPED = counter(
        "ringway_access_log_lines_dropped_total",
        &["log"],
        "Lines that are lost because an access log was slower than the traffic, full or away",
    );
    TRACE_SPANS = counter(
        "ringway_trace_spans_total",
        &["result"],
        "Spans that a collector has taken, and those that were lost: because a queue was full, because they were \
         refused, or because no collector was there in time",
    );
    PROCESS_CONNECTIONS = gauge("ringway_process_connections", &[], "Connections of clients at present");
    PROCESS_CONNECTION_LIMIT = gauge(
        "ringway_process_connections_limit",
        &[],
        "The most connections of clients that there may be at a time",
    );
    CONNECTIONS = gauge("ringway_connections", &["listener"], "Connections of clients at present");
    IN_FLIGHT = gauge("ringway_http_requests_in_flight", &["listener"], "Requests under way at present, tunnels included");
    CLIENT_BYTES = counter(
        "ringway_client_bytes_total",
        &["listener", "direction"],
        "Bytes received from clients and sent to them on the wire, so with TLS, handshakes left out, save those of QUIC",
    );
    DATAGRAMS = counter(
        "ringway_datagrams_total",
        &["listener", "direction"],
        "Datagrams received from clients and sent to them",
    );
    DATAGRAMS_DROPPED = counter(
        "ringway_datagrams_dropped_total",
        &["listener", "reason"],
        "Datagrams of clients or backends that were lost here",
    );
    QUIC_DATAGRAMS = counter(
        "ringway_quic_datagrams_total",
        &["listener", "direction"],
        "Datagrams of QUIC received from clients and sent to them",
    );
    QUIC_HANDED_ON = counter(
        "ringway_quic_datagrams_handed_on_total",
        &["listener", "to"],
        "Datagrams of QUIC that came at a socket whose worker does not have their connection, and went on to the worker or process that does",
    );
    QUIC_LOST = counter(
        "ringway_quic_datagrams_lost_total",
        &["listener", "reason"],
        "Datagrams of QUIC that were lost here",
    );
    QUIC_HANDSHAKES = counter(
        "ringway_quic_handshakes_total",
        &["listener", "outcome"],
        "Attempts of clients of QUIC to begin, by what became of them: accepted, retried with proof of their address, refused, ignored, \
         or rejected for their first message",
    );
    ACCEPTED = counter("ringway_connections_accepted_total", &["listener"], "Connections that were accepted");
    REFUSED = counter(
        "ringway_connections_refused_total",
        &["listener", "reason"],
        "Connections that were turned away before a request",
    );
    HANDSHAKES = counter(
        "ringway_tls_handshakes_total",
        &["listener", "version", "resumed"],
        "Handshakes with clients that succeeded",
    );
    HANDSHAKE_DURATION = histogram(
        "ringway_tls_handshake_duration_seconds",
        &["listener"],
        "Time from the first byte of a handshake with a client until it had succeeded",
    );
    HANDSHAKE_BYTES = counter(
        "ringway_tls_handshake_bytes_total",
        &["listener", "direction"],
        "Bytes received from clients and sent to them on the wire until their handshake was over, with what came along with its last message",
    );
    TICKET_KEY = gauge(
        "ringway_tls_ticket_key_created_timestamp_seconds",
        &["listener"],
        "When the key that seals session tickets came into use, in seconds since the Unix epoch",
    );
    FAILED_HANDSHAKES = counter(
        "ringway_tls_handshake_failures_total",
        &["listener", "reason"],
        "Handshakes with clients that failed",
    );
    REQUESTS = counter(
        "ringway_http_requests_total",
        &["listener", "rule", "group", "code", "protocol"],
        "Requests that have ended",
    );
    CALLS = counter(
        "ringway_grpc_calls_total",
        &["listener", "rule", "group", "grpc_status"],
        "Calls of gRPC that have ended, by their status; `none` stands for those without one, or with one that is not defined",
    );
    REASONS = counter(
        "ringway_http_request_reasons_total",
        &["listener", "reason"],
        "Requests that ended otherwise than by the whole response of a backend, by the reason in the access log",
    );
    REQUEST_DURATION = histogram(
        "ringway_http_request_duration_seconds",
        OF_ROUTE,
        "Time from the first byte of a request to the last byte of its response",
    );
    TIME_TO_FIRST_BYTE = histogram(
        "ringway_http_time_to_first_byte_seconds",
        OF_ROUTE,
        "Time from the first byte of a request to the head of its response",
    );
    UPSTREAM_DURATION = histogram(
        "ringway_http_upstream_duration_seconds",
        OF_ROUTE,
        "Time from the choice of a backend to the end of its response, retries included",
    );
    REQUEST_BYTES = counter("ringway_http_request_bytes_total", OF_ROUTE, "Bytes of requests, heads included");
    RESPONSE_BYTES = counter("ringway_http_response_bytes_total", OF_ROUTE, "Bytes of content of responses");
    RETRIES = counter("ringway_http_retries_total", OF_ROUTE, "Attempts at backends beyond the first of a request");
    RELAYED = counter(
        "ringway_relayed_connections_total",
        &["listener", "rule", "group", "reason"],
        "Relayed connections and sessions of UDP that have ended, by the reason in the access log",
    );
    RELAYED_BYTES = counter(
        "ringway_relayed_bytes_total",
        &["listener", "rule", "group", "direction"],
        "Bytes received from clients and passed on, and those sent to them, of relayed connections and sessions of UDP: \
         within TLS where that ends here",
    );
    RELAYED_RETRIES = counter(
        "ringway_relayed_retries_total",
        OF_ROUTE,
        "Backends that were asked for relayed connections and sessions of UDP beyond the first of each",
    );
    RELAYED_DURATION = histogram(
        "ringway_relayed_connection_duration_seconds",
        OF_ROUTE,
        "How long relayed connections and sessions of UDP lasted",
    );
    CONNECT_DURATION = histogram(
        "ringway_upstream_connect_duration_seconds",
        &["group"],
        "How long it took to open connections to backends of a group",
    );
    UPSTREAM_RESPONSES = counter(
        "ringway_upstream_responses_total",
        &["group", "code"],
        "Responses of backends by the class of their status, such as 5xx; those of attempts that were tried again, too",
    );
    FAILED_CONNECTIONS = counter(
        "ringway_upstream_connection_failures_total",
        &["group", "reason"],
        "Connections to backends that could not be opened or secured",
    );
    UPSTREAM_BYTES = counter(
        "ringway_upstream_bytes_total",
        &["group", "direction"],
        "Bytes received from backends and sent to them on the wire, so with TLS",
    );
    UPSTREAM_DATAGRAMS = counter(
        "ringway_upstream_datagrams_total",
        &["group", "direction"],
        "Datagrams received from backends and sent to them",
    );
    IDLE_CONNECTIONS = gauge(
        "ringway_upstream_idle_connections",
        &["group"],
        "Connections to backends that wait for a request and serve one at a time",
    );
    HTTP2_CONNECTIONS = gauge(
        "ringway_upstream_http2_connections",
        &["group"],
        "Connections to backends that speak HTTP/2",
    );
    HTTP2_STREAMS = gauge("ringway_upstream_http2_streams", &["group"], "Requests on connections to backends that speak HTTP/2");
    UPSTREAM_HANDSHAKE_DURATION = histogram(
        "ringway_upstream_tls_handshake_duration_seconds",
        &["group"],
        "How long TLS handshakes with backends of a group took",
    );
    QUEUE_DURATION = histogram(
        "ringway_upstream_queue_duration_seconds",
        &["group"],
        "How long requests waited in the queue of a group until a backend had room",
    );
    BACKEND_UP = gauge("ringway_backend_up", OF_BACKEND, "1 for a backend that gets new requests, else 0");
    BACKEND_WEIGHT = gauge("ringway_backend_weight", OF_BACKEND, "The weight of a backend, as configured or by command");
    BACKEND_IN_FLIGHT = gauge("ringway_backend_requests_in_flight", OF_BACKEND, "Requests that a backend has at present");
    BACKEND_REQUESTS = counter("ringway_backend_requests_total", OF_BACKEND, "Requests that were sent to a backend");
    BACKEND_FAILURES = counter("ringway_backend_failures_total", OF_BACKEND, "Requests that a backend failed");
    BACKEND_CHANGES = counter(
        "ringway_backend_health_changes_total",
        OF_BACKEND,
        "How often a backend went into or out of service",
    );
    BACKEND_EJECTED = gauge("ringway_backend_ejected", OF_BACKEND, "1 while real requests keep a backend out of service");
    GROUP_AVAILABLE = gauge(
        "ringway_group_available_backends",
        &["group"],
        "Backends of a group that get new requests",
    );
    CERTIFICATE_END = gauge(
        "ringway_certificate_not_after_timestamp_seconds",
        &["certificate"],
        "When a certificate expires, in seconds since the Unix epoch",
    );
    CRL_END = gauge(
        "ringway_crl_next_update_timestamp_seconds",
        &["ca"],
        "When the first revocation list of a CA has to be renewed, in seconds since the Unix epoch",
    );
    FILES_BROKEN = gauge(
        "ringway_files_broken",
        &["kind", "name"],
        "1 while changed files of a certificate or CA cannot take the place of what serves, else 0",
    );
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_labels_are_as_prometheus_wants_them() {
        let names: HashSet<_> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        for Family { name, kind, help, labels } in ALL {
            assert!(
                name.starts_with("ringway_")
                    && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_' | b'2'))
            );
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_info"), *kind == Kind::Info, "{name}");
            assert!(!help.ends_with('.') && !help.contains('\\'), "{help}");
            assert!(labels.iter().all(|label| *label != "le"));
        }
    }

    /// The page has a row for each family, made of this table; `UPDATE_DOCS=1` writes them.
    #[test]
    fn the_page_of_metrics_has_them_all() {
        const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        const HEAD: &str = "| Name | Type | Labels | Meaning |\n|---|---|---|---|\n";
        let page = std::fs::read_to_string(PAGE).unwrap();
        let (before, _) = page.split_once(HEAD).unwrap();
        let row = |family: &&Family| {
            let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            format!(
                "| `{}` | {} | {} | {}. |\n",
                family.name,
                family.kind.as_str(),
                labels.join(", "),
                family.help
            )
        };
        let rows: String = ALL.iter().map(row).collect();
        let expected = format!("{before}{HEAD}{rows}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(PAGE, &expected).unwrap();
        }
        assert!(std::fs::read_to_string(PAGE).unwrap() == expected, "run the tests with UPDATE_DOCS=1");
    }

    /// Pages, alerts and dashboards name no series that is not there.
    #[test]
    fn what_others_name_is_there() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders =
            ["docs", "config/monitoring"].map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
        let mut seen = 0;
        for file in folders.into_iter().flatten().map(|entry| entry.unwrap().path()) {
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            // Packages are called after the program and its version.
            let is_name = |word: &&str| {
                word.strip_prefix("ringway_")
                    .is_some_and(|rest| !rest.starts_with(|first: char| first.is_ascii_digit()))
            };
            for word in words.filter(is_name) {
                let endings = ["", "_bucket", "_count", "_sum"].iter();
                let is_known = endings
                    .filter_map(|ending| word.strip_suffix(ending))
                    .any(|name| ALL.iter().any(|family| family.name == name));
                assert!(is_known, "{}: {word} is no metric", file.display());
                seen += 1;
            }
        }
        assert!(seen > 100, "{seen}");
    }
}
