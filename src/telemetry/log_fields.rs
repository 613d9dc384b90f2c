//! The fields of a JSON line of the access log, and which of them an operator wants.

/// A field, in the order of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogField {
    Time,
    ClientIp,
    ClientPort,
    Scheme,
    ServerProtocol,
    RequestMethod,
    Host,
    HttpHost,
    RequestUri,
    HttpReferer,
    HttpUserAgent,
    HttpXForwardedFor,
    HttpXRealIp,
    TraceId,
    SpanId,
    SslProtocol,
    SslCipher,
    Sni,
    Alpn,
    ClientVerify,
    TlsResumed,
    TlsJa3,
    TlsJa4,
    ClientSubject,
    ClientIssuer,
    ClientSerial,
    ClientFingerprint,
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
    UpstreamResponseTime,
    GrpcStatus,
    TcpinfoRtt,
    Listener,
    Rule,
    ServerGroup,
    RetryCount,
    DatagramsReceived,
    DatagramsSent,
    Reason,
    Worker,
    RequestId,
}

/// Each with its name in a line. Operators have written these names down: none may change.
const NAMES: [(LogField, &str); 49] = [
    (LogField::Time, "time"),
    (LogField::ClientIp, "client_ip"),
    (LogField::ClientPort, "client_port"),
    (LogField::Scheme, "scheme"),
    (LogField::ServerProtocol, "server_protocol"),
    (LogField::RequestMethod, "request_method"),
    (LogField::Host, "host"),
    (LogField::HttpHost, "http_host"),
    (LogField::RequestUri, "request_uri"),
    (LogField::HttpReferer, "http_referer"),
    (LogField::HttpUserAgent, "http_user_agent"),
    (LogField::HttpXForwardedFor, "http_x_forwarded_for"),
    (LogField::HttpXRealIp, "http_x_real_ip"),
    (LogField::TraceId, "trace_id"),
    (LogField::SpanId, "span_id"),
    (LogField::SslProtocol, "ssl_protocol"),
    (LogField::SslCipher, "ssl_cipher"),
    (LogField::Sni, "sni"),
    (LogField::Alpn, "alpn"),
    (LogField::ClientVerify, "client_verify"),
    (LogField::TlsResumed, "tls_resumed"),
    (LogField::TlsJa3, "tls_ja3"),
    (LogField::TlsJa4, "tls_ja4"),
    (LogField::ClientSubject, "clientcert_subjectdn"),
    (LogField::ClientIssuer, "clientcert_issuerdn"),
    (LogField::ClientSerial, "clientcert_serialnumber"),
    (LogField::ClientFingerprint, "clientcert_fingerprint"),
    (LogField::Status, "status"),
    (LogField::RequestLength, "request_length"),
    (LogField::BodyBytesSent, "body_bytes_sent"),
    (LogField::BytesSent, "bytes_sent"),
    (LogField::RequestTime, "request_time"),
    (LogField::ReadRequestTime, "read_request_time"),
    (LogField::WriteResponseTime, "write_response_time"),
    (LogField::UpstreamAddr, "upstream_addr"),
    (LogField::UpstreamStatus, "upstream_status"),
    (LogField::UpstreamConnectTime, "upstream_connect_time"),
    (LogField::UpstreamResponseTime, "upstream_response_time"),
    (LogField::GrpcStatus, "grpc_status"),
    (LogField::TcpinfoRtt, "tcpinfo_rtt"),
    (LogField::Listener, "listener"),
    (LogField::Rule, "rule"),
    (LogField::ServerGroup, "server_group"),
    (LogField::RetryCount, "retry_count"),
    (LogField::DatagramsReceived, "datagrams_received"),
    (LogField::DatagramsSent, "datagrams_sent"),
    (LogField::Reason, "reason"),
    (LogField::Worker, "worker"),
    (LogField::RequestId, "request_id"),
];

impl LogField {
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// All fields, in the order of a line.
    pub fn all() -> impl Iterator<Item = LogField> {
        NAMES.into_iter().map(|(field, _)| field)
    }

    const fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// A set of fields. `time` is in each of them: what reads logs needs it, and a line begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFields(u64);

impl LogFields {
    pub const ALL: LogFields = LogFields((1 << NAMES.len()) - 1);

    /// What the certificates of clients say.
    pub const CERTIFICATE: LogFields = LogFields(
        LogField::ClientSubject.bit()
            | LogField::ClientIssuer.bit()
            | LogField::ClientSerial.bit()
            | LogField::ClientFingerprint.bit(),
    );

    /// What lines have unless fields are chosen: fingerprints and certificates cost something at each handshake.
    pub const USUAL: LogFields = LogFields(
        LogFields::ALL.0 & !LogField::TlsJa3.bit() & !LogField::TlsJa4.bit() & !LogFields::CERTIFICATE.0,
    );

    /// The fields of these names; what is no name of a field is passed over.
    pub fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> LogFields {
        let bit = |name| NAMES.iter().find(|(_, known)| *known == name).map_or(0, |(field, _)| field.bit());
        LogFields(names.into_iter().map(bit).fold(LogField::Time.bit(), |bits, bit| bits | bit))
    }

    /// Whether one of these is in it.
    pub const fn has_any(self, fields: LogFields) -> bool {
        self.0 & fields.0 != 0
    }

    pub const fn has(self, field: LogField) -> bool {
        self.0 & field.bit() != 0
    }
}

impl Default for LogFields {
    fn default() -> LogFields {
        LogFields::USUAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_fields() {
        for (index, field) in LogField::all().enumerate() {
            assert_eq!(field as usize, index, "{}", field.name());
        }
    }

    #[test]
    fn a_set_has_what_is_named_and_the_time() {
        let chosen = LogFields::named(["status", "request_uri", "quux"]);
        let names: Vec<&str> =
            LogField::all().filter(|field| chosen.has(*field)).map(LogField::name).collect();
        assert_eq!(names, ["time", "request_uri", "status"]);
        assert_eq!(LogFields::named(LogField::all().map(LogField::name)), LogFields::ALL);
        assert!(LogField::all().all(|field| LogFields::ALL.has(field)));
    }
}
