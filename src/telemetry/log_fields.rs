//! The fields of a JSON line of the access log, and which of them an operator wants.

/// A field, in the order of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
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
    SslProtocol,
    SslCipher,
    Sni,
    Alpn,
    ClientVerify,
    TlsResumed,
    Status,
    RequestLength,
    BodyBytesSent,
    RequestTime,
    ReadRequestTime,
    WriteResponseTime,
    UpstreamAddr,
    UpstreamStatus,
    UpstreamResponseTime,
    GrpcStatus,
    TcpinfoRtt,
    Listener,
    ServerGroup,
    RetryCount,
    Reason,
    Worker,
    RequestId,
}

/// Each with its name in a line. Operators have written these names down: none may change.
const NAMES: [(Field, &str); 36] = [
    (Field::Time, "time"),
    (Field::ClientIp, "client_ip"),
    (Field::ClientPort, "client_port"),
    (Field::Scheme, "scheme"),
    (Field::ServerProtocol, "server_protocol"),
    (Field::RequestMethod, "request_method"),
    (Field::Host, "host"),
    (Field::HttpHost, "http_host"),
    (Field::RequestUri, "request_uri"),
    (Field::HttpReferer, "http_referer"),
    (Field::HttpUserAgent, "http_user_agent"),
    (Field::HttpXForwardedFor, "http_x_forwarded_for"),
    (Field::HttpXRealIp, "http_x_real_ip"),
    (Field::SslProtocol, "ssl_protocol"),
    (Field::SslCipher, "ssl_cipher"),
    (Field::Sni, "sni"),
    (Field::Alpn, "alpn"),
    (Field::ClientVerify, "client_verify"),
    (Field::TlsResumed, "tls_resumed"),
    (Field::Status, "status"),
    (Field::RequestLength, "request_length"),
    (Field::BodyBytesSent, "body_bytes_sent"),
    (Field::RequestTime, "request_time"),
    (Field::ReadRequestTime, "read_request_time"),
    (Field::WriteResponseTime, "write_response_time"),
    (Field::UpstreamAddr, "upstream_addr"),
    (Field::UpstreamStatus, "upstream_status"),
    (Field::UpstreamResponseTime, "upstream_response_time"),
    (Field::GrpcStatus, "grpc_status"),
    (Field::TcpinfoRtt, "tcpinfo_rtt"),
    (Field::Listener, "listener"),
    (Field::ServerGroup, "server_group"),
    (Field::RetryCount, "retry_count"),
    (Field::Reason, "reason"),
    (Field::Worker, "worker"),
    (Field::RequestId, "request_id"),
];

impl Field {
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// All fields, in the order of a line.
    pub fn all() -> impl Iterator<Item = Field> {
        NAMES.into_iter().map(|(field, _)| field)
    }

    const fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// A set of fields. `time` is in each of them: what reads logs needs it, and a line begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields(u64);

impl Fields {
    pub const ALL: Fields = Fields((1 << NAMES.len()) - 1);

    /// The fields of these names; what is no name of a field is passed over.
    pub fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> Fields {
        let bit = |name| NAMES.iter().find(|(_, known)| *known == name).map_or(0, |(field, _)| field.bit());
        Fields(names.into_iter().map(bit).fold(Field::Time.bit(), |bits, bit| bits | bit))
    }

    pub const fn has(self, field: Field) -> bool {
        self.0 & field.bit() != 0
    }
}

impl Default for Fields {
    fn default() -> Fields {
        Fields::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_fields() {
        for (index, field) in Field::all().enumerate() {
            assert_eq!(field as usize, index, "{}", field.name());
        }
    }

    #[test]
    fn a_set_has_what_is_named_and_the_time() {
        let chosen = Fields::named(["status", "request_uri", "quux"]);
        let names: Vec<&str> = Field::all().filter(|field| chosen.has(*field)).map(Field::name).collect();
        assert_eq!(names, ["time", "request_uri", "status"]);
        assert_eq!(Fields::named(Field::all().map(Field::name)), Fields::ALL);
        assert!(Field::all().all(|field| Fields::ALL.has(field)));
    }
}
