//! The names that `fields` of `[access_log]` knows, in the order of a line.

pub const ALL: [&str; 49] = [
    "time",
    "client_ip",
    "client_port",
    "scheme",
    "server_protocol",
    "request_method",
    "host",
    "http_host",
    "request_uri",
    "http_referer",
    "http_user_agent",
    "http_x_forwarded_for",
    "http_x_real_ip",
    "trace_id",
    "span_id",
    "ssl_protocol",
    "ssl_cipher",
    "sni",
    "alpn",
    "client_verify",
    "tls_resumed",
    "tls_ja3",
    "tls_ja4",
    "clientcert_subjectdn",
    "clientcert_issuerdn",
    "clientcert_serialnumber",
    "clientcert_fingerprint",
    "status",
    "request_length",
    "body_bytes_sent",
    "bytes_sent",
    "request_time",
    "read_request_time",
    "write_response_time",
    "upstream_addr",
    "upstream_status",
    "upstream_connect_time",
    "upstream_response_time",
    "grpc_status",
    "tcpinfo_rtt",
    "listener",
    "rule",
    "server_group",
    "retry_count",
    "datagrams_received",
    "datagrams_sent",
    "reason",
    "worker",
    "request_id",
];

/// Fingerprints of clients.
pub const FINGERPRINTS: [&str; 2] = ["tls_ja3", "tls_ja4"];

/// What certificates of clients say.
const CERTIFICATE: [&str; 4] =
    ["clientcert_subjectdn", "clientcert_issuerdn", "clientcert_serialnumber", "clientcert_fingerprint"];

/// What a line has unless fields are named. The others cost something at each handshake.
pub fn usual() -> Vec<&'static str> {
    let costs = |name: &&str| FINGERPRINTS.contains(name) || CERTIFICATE.contains(name);
    ALL.into_iter().filter(|name| !costs(name)).collect()
}

/// `time` begins each line, whether it is listed or not.
pub const ALWAYS: &str = ALL[0];
