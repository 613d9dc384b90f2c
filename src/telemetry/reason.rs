//! Why an exchange ended as it did, in one machine-readable word.

/// The reason of a locally generated response, or of an exchange that did not complete.
///
/// The word is in the access log; the status is what the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The backend's response was passed on in full.
    None,
    /// The request is not acceptable; word and status come from the codec.
    BadRequest(&'static str, u16),
    /// HTTP in cleartext on a port for HTTPS.
    PlainHttp,
    /// A limit on requests per second; the word says which, the status is that of the listener.
    RateLimited(&'static str, u16),
    /// A limit on connections of one client; the word says which. Only logged.
    ConnectionsLimited(&'static str),
    /// The client's address may not connect. Only logged.
    AccessDenied,
    /// A client's TLS handshake failed; the word says why. Only logged.
    ClientTls(&'static str),
    /// The PROXY header of a client is missing or broken; the word says how. Only logged.
    ClientProxy(&'static str),
    /// A client broke the rules of HTTP/2 or HTTP/3, or went beyond their limits; the word says how. Only logged.
    ClientProtocol(&'static str),
    MethodNotAllowed,
    /// An OPTIONS request that may go no further was answered.
    FinalRecipient,
    /// A resource of https was asked for on a connection that is not secured, or one of a host that the
    /// connection was not opened for.
    Misdirected,
    BodyTooLarge,
    /// The request has been here before, or has passed too many load balancers.
    LoopDetected,
    HeaderTimeout,
    BodyTimeout,
    /// The client went away before the response was complete. Only logged.
    ClientClosed,
    /// A fault of the client ended its stream, or with the connection also those that were innocent of it; the word
    /// says which. Only logged.
    ClientFault(&'static str),
    /// The client did not take the response in time. Only logged.
    ClientStalled,
    /// No rule and no default group takes the request.
    NoRoute,
    /// The group has no backend that takes new requests.
    NoBackend,
    /// The group is disabled.
    GroupDisabled,
    /// No backend of the group is healthy, and the group does not forward then.
    NoHealthyBackend,
    /// Every backend has as many requests as it may have, and no place is left to wait.
    QueueFull,
    /// The same, and none got room in time.
    QueueTimeout,
    /// The backend was taken out of service, and the time for what it had begun is over.
    DrainTimeout,
    /// The time for a graceful stop is over. Only of what is relayed.
    ShutdownTimeout,
    /// The backend of a relayed connection or session failed while others serve. Only logged.
    BackendDown,
    /// Neither side of a relayed connection has said anything for too long. Only logged.
    IdleTimeout,
    /// The listener of a session of UDP was removed. Only logged.
    ListenerClosed,
    /// Limits of the process that took over have no room for a session of UDP. Only counted.
    NotTakenOver,
    /// Every descriptor that this process may have is in use.
    NoDescriptor,
    /// Every local port for connections to the backend is in use.
    NoLocalPort,
    /// Connections to the backend cannot come from the source that its group names.
    NoSource,
    ConnectRefused,
    ConnectTimeout,
    ConnectFailed,
    /// The connection to the backend could not be made secure; the word says why.
    UpstreamTls(&'static str),
    /// The backend closed or reset the connection before its response was complete.
    UpstreamClosed,
    ResponseTimeout,
    /// The backend does not speak HTTP/2, though the group says so.
    UpstreamNotHttp2,
    /// The backend allows no further stream on as many connections as may be opened.
    UpstreamBusy,
    /// The backend refused to look at the request.
    UpstreamRefused,
    /// The backend gave the request up.
    UpstreamReset,
    /// WebSocket was asked for, and the backend does not take it over HTTP/2.
    NoTunnels,
    /// The backend sent something that is no response; the word comes from the codec.
    BadResponse(&'static str),
    /// The client was sent elsewhere.
    Redirect,
    /// The client told no user and password.
    PasswordRequired,
    /// It told wrong ones.
    WrongPassword,
    /// Too many passwords wait to be verified.
    PasswordQueueFull,
    /// The service that a rule has asked about the request denied it.
    ForwardAuthDenied,
    /// That service gave no answer, or none that can be understood.
    ForwardAuthFailed,
    /// A rule has the answer.
    FixedResponse,
    /// The rule or the server group is not served for a while; the status is that of its configuration.
    Maintenance(u16),
    /// Somebody asked whether the listener takes new connections; it does, or it does not any more.
    HealthPath {
        is_ready: bool,
    },
    /// A browser was told what pages of another origin may ask for.
    Preflight,
    /// A browser asked on behalf of a page whose origin is not allowed.
    OriginDenied,
    /// The response could not be compressed, which is our fault.
    CompressionFailed,
}

impl Reason {
    /// The word in the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::None => "-",
            Reason::BadRequest(word, _)
            | Reason::RateLimited(word, _)
            | Reason::ConnectionsLimited(word)
            | Reason::BadResponse(word)
            | Reason::ClientTls(word)
            | Reason::ClientProxy(word)
            | Reason::ClientProtocol(word)
            | Reason::ClientFault(word)
            | Reason::UpstreamTls(word) => word,
            Reason::AccessDenied => "access_denied",
            Reason::PlainHttp => "plain_http_to_https_port",
            Reason::MethodNotAllowed => "method_not_allowed",
            Reason::FinalRecipient => "final_recipient",
            Reason::Misdirected => "misdirected",
            Reason::BodyTooLarge => "body_too_large",
            Reason::LoopDetected => "loop_detected",
            Reason::HeaderTimeout => "client_header_timeout",
            Reason::BodyTimeout => "client_body_timeout",
            Reason::ClientClosed => "client_closed",
            Reason::ClientStalled => "client_stalled",
            Reason::NoRoute => "no_route",
            Reason::NoBackend => "no_backend",
            Reason::GroupDisabled => "group_disabled",
            Reason::NoHealthyBackend => "no_healthy_backend",
            Reason::QueueFull => "queue_full",
            Reason::QueueTimeout => "queue_timeout",
            Reason::DrainTimeout => "drain_timeout",
            Reason::ShutdownTimeout => "shutdown_timeout",
            Reason::BackendDown => "backend_down",
            Reason::IdleTimeout => "idle_timeout",
            Reason::ListenerClosed => "listener_closed",
            Reason::NotTakenOver => "not_taken_over",
            Reason::NoDescriptor => "no_descriptor",
            Reason::NoLocalPort => "no_local_port",
            Reason::NoSource => "no_source_address",
            Reason::ConnectRefused => "connect_refused",
            Reason::ConnectTimeout => "connect_timeout",
            Reason::ConnectFailed => "connect_failed",
            Reason::UpstreamClosed => "upstream_closed",
            Reason::ResponseTimeout => "response_timeout",
            Reason::UpstreamNotHttp2 => "upstream_not_http2",
            Reason::UpstreamBusy => "upstream_busy",
            Reason::UpstreamRefused => "upstream_refused",
            Reason::UpstreamReset => "upstream_reset",
            Reason::NoTunnels => "upstream_without_websocket",
            Reason::Redirect => "redirect",
            Reason::PasswordRequired => "password_required",
            Reason::WrongPassword => "wrong_password",
            Reason::PasswordQueueFull => "password_queue_full",
            Reason::ForwardAuthDenied => "forward_auth_denied",
            Reason::ForwardAuthFailed => "forward_auth_failed",
            Reason::FixedResponse => "fixed_response",
            Reason::Maintenance(_) => "maintenance",
            Reason::HealthPath { .. } => "health_path",
            Reason::Preflight => "cors_preflight",
            Reason::OriginDenied => "cors_origin_denied",
            Reason::CompressionFailed => "compression_failed",
        }
    }

    /// The status that the client gets, or that the log shows when no answer is possible.
    pub fn status(self) -> u16 {
        match self {
            // What was to be said was said.
            Reason::IdleTimeout
            | Reason::ListenerClosed
            | Reason::None
            | Reason::FixedResponse
            | Reason::HealthPath { is_ready: true } => 200,
            Reason::Redirect => 302,
            Reason::BadRequest(_, status) | Reason::RateLimited(_, status) | Reason::Maintenance(status) => {
                status
            }
            Reason::PlainHttp | Reason::ClientTls(_) | Reason::ClientProxy(_) | Reason::ClientProtocol(_) => {
                400
            }
            Reason::FinalRecipient | Reason::Preflight => 204,
            Reason::PasswordRequired | Reason::WrongPassword => 401,
            Reason::AccessDenied | Reason::ForwardAuthDenied | Reason::OriginDenied => 403,
            Reason::NoRoute => 404,
            Reason::MethodNotAllowed => 405,
            Reason::HeaderTimeout | Reason::BodyTimeout => 408,
            Reason::BodyTooLarge => 413,
            Reason::LoopDetected => 463,
            Reason::Misdirected => 421,
            Reason::ClientClosed | Reason::ClientFault(_) | Reason::ClientStalled => 499,
            Reason::CompressionFailed => 500,
            Reason::NoTunnels => 501,
            Reason::ConnectRefused
            | Reason::ConnectFailed
            | Reason::UpstreamTls(_)
            | Reason::UpstreamNotHttp2
            | Reason::UpstreamRefused
            | Reason::UpstreamReset
            | Reason::UpstreamClosed
            | Reason::BadResponse(_) => 502,
            Reason::NoBackend
            | Reason::GroupDisabled
            | Reason::NoHealthyBackend
            | Reason::QueueFull
            | Reason::QueueTimeout
            | Reason::DrainTimeout
            | Reason::ShutdownTimeout
            | Reason::BackendDown
            | Reason::UpstreamBusy
            | Reason::ConnectionsLimited(_)
            | Reason::NotTakenOver
            | Reason::NoDescriptor
            | Reason::NoLocalPort
            | Reason::NoSource
            | Reason::PasswordQueueFull
            | Reason::HealthPath { is_ready: false }
            | Reason::ForwardAuthFailed => 503,
            Reason::ConnectTimeout | Reason::ResponseTimeout => 504,
        }
    }

    /// The value of `x-router-code`, which answers with status 503 carry (the numbers are Huawei
    /// ELB's: the default group has no servers; all servers unavailable).
    pub fn router_code(self) -> Option<&'static str> {
        match self {
            Reason::NoBackend | Reason::GroupDisabled => Some("40000"),
            Reason::NoHealthyBackend | Reason::NoDescriptor | Reason::NoLocalPort | Reason::NoSource => {
                Some("50000")
            }
            _ => None,
        }
    }
}
