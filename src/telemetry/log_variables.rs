//! The `$variables` of templates for the access log.

/// What a variable stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogVariable {
    Request(RequestVariable),
    /// A field of the request, by its name in lower case and with underscores.
    Header(Box<[u8]>),
    /// A cookie of the request, by its name.
    Cookie(Box<[u8]>),
    /// A field of the response as the client gets it, by its name as above.
    SentHeader(Box<[u8]>),
    /// A field of the response as the backend sent it, by its name as above.
    UpstreamHeader(Box<[u8]>),
    Tls(TlsVariable),
    End(EndVariable),
}

/// Known when a request's head has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestVariable {
    Time,
    TimeIso8601,
    TimeLocal,
    Msec,
    ClientIp,
    ClientPort,
    /// Address and port, IPv6 in brackets.
    ClientEndpoint,
    PeerIp,
    User,
    Line,
    Method,
    Uri,
    PathAndQuery,
    Query,
    Protocol,
    Scheme,
    Https,
    Host,
    HttpHost,
    Referer,
    UserAgent,
    XForwardedFor,
    XRealIp,
    TraceId,
    SpanId,
}

/// Known when a connection's handshake is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVariable {
    Protocol,
    Cipher,
    Sni,
    Alpn,
    ClientVerify,
    Resumed,
    /// `r` or `.`, as nginx writes it.
    Reused,
    Ja3,
    Ja4,
    ClientSubject,
    ClientIssuer,
    ClientSerial,
    ClientFingerprint,
}

/// Known when the exchange is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndVariable {
    Status,
    RequestLength,
    BodyBytesSent,
    BytesSent,
    RequestTime,
    ReadRequestTime,
    WriteResponseTime,
    UpstreamAddr,
    UpstreamStatus,
    UpstreamConnectTime,
    UpstreamHeaderTime,
    UpstreamResponseTime,
    GrpcStatus,
    Rtt,
    Listener,
    Rule,
    Group,
    Retries,
    DatagramsReceived,
    DatagramsSent,
    Reason,
    Worker,
    RequestId,
    ServerAddr,
    ServerPort,
    ServerEndpoint,
    InstanceId,
}

/// Every variable with a name of its own. Those of JSON's fields are among them, and those of nginx.
static NAMES: [(&str, LogVariable); 75] = [
    ("time", LogVariable::Request(RequestVariable::Time)),
    ("time_iso8601", LogVariable::Request(RequestVariable::TimeIso8601)),
    ("time_local", LogVariable::Request(RequestVariable::TimeLocal)),
    ("msec", LogVariable::Request(RequestVariable::Msec)),
    ("remote_addr", LogVariable::Request(RequestVariable::ClientIp)),
    ("client_ip", LogVariable::Request(RequestVariable::ClientIp)),
    ("remote_port", LogVariable::Request(RequestVariable::ClientPort)),
    ("client_port", LogVariable::Request(RequestVariable::ClientPort)),
    ("remote_endpoint", LogVariable::Request(RequestVariable::ClientEndpoint)),
    ("realip_remote_addr", LogVariable::Request(RequestVariable::PeerIp)),
    ("remote_user", LogVariable::Request(RequestVariable::User)),
    ("request", LogVariable::Request(RequestVariable::Line)),
    ("request_method", LogVariable::Request(RequestVariable::Method)),
    ("request_uri", LogVariable::Request(RequestVariable::Uri)),
    ("router_request_uri", LogVariable::Request(RequestVariable::PathAndQuery)),
    ("args", LogVariable::Request(RequestVariable::Query)),
    ("query_string", LogVariable::Request(RequestVariable::Query)),
    ("server_protocol", LogVariable::Request(RequestVariable::Protocol)),
    ("scheme", LogVariable::Request(RequestVariable::Scheme)),
    ("https", LogVariable::Request(RequestVariable::Https)),
    ("host", LogVariable::Request(RequestVariable::Host)),
    ("http_host", LogVariable::Request(RequestVariable::HttpHost)),
    ("http_referer", LogVariable::Request(RequestVariable::Referer)),
    ("http_user_agent", LogVariable::Request(RequestVariable::UserAgent)),
    ("http_x_forwarded_for", LogVariable::Request(RequestVariable::XForwardedFor)),
    ("http_x_real_ip", LogVariable::Request(RequestVariable::XRealIp)),
    ("trace_id", LogVariable::Request(RequestVariable::TraceId)),
    ("span_id", LogVariable::Request(RequestVariable::SpanId)),
    ("ssl_protocol", LogVariable::Tls(TlsVariable::Protocol)),
    ("ssl_cipher", LogVariable::Tls(TlsVariable::Cipher)),
    ("sni", LogVariable::Tls(TlsVariable::Sni)),
    ("ssl_server_name", LogVariable::Tls(TlsVariable::Sni)),
    ("alpn", LogVariable::Tls(TlsVariable::Alpn)),
    ("ssl_alpn_protocol", LogVariable::Tls(TlsVariable::Alpn)),
    ("client_verify", LogVariable::Tls(TlsVariable::ClientVerify)),
    ("ssl_client_verify", LogVariable::Tls(TlsVariable::ClientVerify)),
    ("tls_resumed", LogVariable::Tls(TlsVariable::Resumed)),
    ("ssl_session_reused", LogVariable::Tls(TlsVariable::Reused)),
    ("tls_ja3", LogVariable::Tls(TlsVariable::Ja3)),
    ("tls_ja4", LogVariable::Tls(TlsVariable::Ja4)),
    ("clientcert_subjectdn", LogVariable::Tls(TlsVariable::ClientSubject)),
    ("ssl_client_s_dn", LogVariable::Tls(TlsVariable::ClientSubject)),
    ("clientcert_issuerdn", LogVariable::Tls(TlsVariable::ClientIssuer)),
    ("ssl_client_i_dn", LogVariable::Tls(TlsVariable::ClientIssuer)),
    ("clientcert_serialnumber", LogVariable::Tls(TlsVariable::ClientSerial)),
    ("ssl_client_serial", LogVariable::Tls(TlsVariable::ClientSerial)),
    ("clientcert_fingerprint", LogVariable::Tls(TlsVariable::ClientFingerprint)),
    ("status", LogVariable::End(EndVariable::Status)),
    ("request_length", LogVariable::End(EndVariable::RequestLength)),
    ("body_bytes_sent", LogVariable::End(EndVariable::BodyBytesSent)),
    ("bytes_sent", LogVariable::End(EndVariable::BytesSent)),
    ("request_time", LogVariable::End(EndVariable::RequestTime)),
    ("read_request_time", LogVariable::End(EndVariable::ReadRequestTime)),
    ("write_response_time", LogVariable::End(EndVariable::WriteResponseTime)),
    ("upstream_addr", LogVariable::End(EndVariable::UpstreamAddr)),
    ("upstream_status", LogVariable::End(EndVariable::UpstreamStatus)),
    ("upstream_connect_time", LogVariable::End(EndVariable::UpstreamConnectTime)),
    ("upstream_header_time", LogVariable::End(EndVariable::UpstreamHeaderTime)),
    ("upstream_response_time", LogVariable::End(EndVariable::UpstreamResponseTime)),
    ("grpc_status", LogVariable::End(EndVariable::GrpcStatus)),
    ("tcpinfo_rtt", LogVariable::End(EndVariable::Rtt)),
    ("listener", LogVariable::End(EndVariable::Listener)),
    ("rule", LogVariable::End(EndVariable::Rule)),
    ("group", LogVariable::End(EndVariable::Group)),
    ("server_group", LogVariable::End(EndVariable::Group)),
    ("retry_count", LogVariable::End(EndVariable::Retries)),
    ("datagrams_received", LogVariable::End(EndVariable::DatagramsReceived)),
    ("datagrams_sent", LogVariable::End(EndVariable::DatagramsSent)),
    ("reason", LogVariable::End(EndVariable::Reason)),
    ("worker", LogVariable::End(EndVariable::Worker)),
    ("request_id", LogVariable::End(EndVariable::RequestId)),
    ("server_addr", LogVariable::End(EndVariable::ServerAddr)),
    ("server_port", LogVariable::End(EndVariable::ServerPort)),
    ("server_endpoint", LogVariable::End(EndVariable::ServerEndpoint)),
    ("instance_id", LogVariable::End(EndVariable::InstanceId)),
];

/// Beginnings of names that go on with that of a field or cookie.
const HEADER: &str = "http_";
const COOKIE: &str = "cookie_";
const SENT_HEADER: &str = "sent_http_";
const UPSTREAM_HEADER: &str = "upstream_http_";

impl LogVariable {
    /// The name of a variable that tells passwords, tokens or the keys of sessions.
    pub fn secret(&self) -> Option<&'static str> {
        match self {
            LogVariable::Header(name) => match &**name {
                b"authorization" => Some("http_authorization"),
                b"proxy_authorization" => Some("http_proxy_authorization"),
                b"cookie" => Some("http_cookie"),
                _ => None,
            },
            LogVariable::SentHeader(name) if **name == *b"set_cookie" => Some("sent_http_set_cookie"),
            LogVariable::UpstreamHeader(name) if **name == *b"set_cookie" => Some("upstream_http_set_cookie"),
            _ => None,
        }
    }

    /// Finds a variable by its name without the `$`; None if there is none.
    pub fn named(name: &str) -> Option<LogVariable> {
        if let Some((_, variable)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Some(variable.clone());
        }
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let field = |rest: &&str| !rest.is_empty() && rest.bytes().all(is_plain);
        if let Some(rest) = name.strip_prefix(SENT_HEADER).filter(field) {
            return Some(LogVariable::SentHeader(rest.as_bytes().into()));
        }
        if let Some(rest) = name.strip_prefix(UPSTREAM_HEADER).filter(field) {
            return Some(LogVariable::UpstreamHeader(rest.as_bytes().into()));
        }
        let header = name.strip_prefix(HEADER).filter(field);
        let cookie = name.strip_prefix(COOKIE).filter(|rest| !rest.is_empty());
        match (header, cookie) {
            (Some(rest), _) => Some(LogVariable::Header(rest.as_bytes().into())),
            (_, Some(rest)) => Some(LogVariable::Cookie(rest.as_bytes().into())),
            _ => None,
        }
    }

    /// The names of all variables that have one of their own.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::log_fields::LogField;

    #[test]
    fn each_field_of_json_is_a_variable_and_no_name_is_there_twice() {
        for field in LogField::all() {
            assert!(LogVariable::names().any(|name| name == field.name()), "{}", field.name());
        }
        let mut names: Vec<_> = LogVariable::names().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
    }

    #[test]
    fn each_variable_is_in_the_page() {
        let page = include_str!("../../docs/access_log.md");
        for name in LogVariable::names() {
            let is_there = page.contains(&format!("`${name}`")) || page.contains(&format!("`{name}`"));
            assert!(is_there, "{name}");
        }
    }

    #[test]
    fn names_of_fields_and_cookies_are_free_and_secrets_are_known() {
        let header = LogVariable::Header(b"x_tenant"[..].into());
        assert_eq!(LogVariable::named("http_x_tenant"), Some(header));
        assert_eq!(LogVariable::named("cookie_Lang"), Some(LogVariable::Cookie(b"Lang"[..].into())));
        let sent = LogVariable::SentHeader(b"location"[..].into());
        assert_eq!(LogVariable::named("sent_http_location"), Some(sent));
        for secret in
            ["http_authorization", "http_proxy_authorization", "http_cookie", "sent_http_set_cookie"]
        {
            assert_eq!(LogVariable::named(secret).unwrap().secret(), Some(secret));
        }
        assert_eq!(LogVariable::named("cookie_lang").unwrap().secret(), None);
        for unknown in ["", "http_", "cookie_", "sent_http_", "http_X", "quux"] {
            assert_eq!(LogVariable::named(unknown), None, "{unknown}");
        }
    }
}
