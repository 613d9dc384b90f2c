//! The client's side of a handshake: TLS to backends.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use rustls::AlertDescription;
use rustls::CertificateError;
use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::DigitallySignedStruct;
use rustls::Error;
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::Resumption;
use rustls::client::UnbufferedClientConnection;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::IpAddr;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::sign::SingleCertAndKey;

use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::net::socket::Socket;
use crate::net::work_budget::WorkBudget;
use crate::tls::blocking;
use crate::tls::blocking::BlockingStream;
use crate::tls::session::HTTP2;
use crate::tls::session::Session;
use crate::tls::stream::TlsStream;
use crate::tls::transport::Transport;
use crate::tls::x509::ca::Ca;
use crate::tls::x509::ca::algorithms;

/// Sessions that a worker remembers for each backend, one per server name.
const REMEMBERED_SESSIONS: usize = 64;

/// How the backends of a group are spoken to.
pub struct UpstreamTls {
    template: ClientConfig,
    /// None: the host that the request is for.
    server_name: Option<ServerName<'static>>,
    alpn: Alpn,
}

/// In ALPN (RFC 7301 §6).
const HTTP1: &[u8] = b"http/1.1";

/// What backends are offered (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    Http1,
    /// A backend that does not choose it is not spoken to.
    Http2,
    Both,
    /// What is spoken is not ours to know.
    None,
}

/// Whose certificates backends may show.
pub enum Trust {
    /// Anybody's: the connection is encrypted, but who answers is not known.
    Anybody,
    /// Those that chain up to a CA of this host's own store.
    System(SystemRoots),
    /// Those that chain up to this CA and that its revocation lists do not name.
    Ca(Arc<Ca>),
}

/// The CAs that this host trusts.
#[derive(Clone)]
pub struct SystemRoots(Arc<RootCertStore>);

/// The roots of this host's own store cannot be used.
#[derive(Debug)]
pub struct NoSystemRoots(pub String);

/// Reads this host's own store.
pub fn system_roots() -> Result<SystemRoots, NoSystemRoots> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(NoSystemRoots(reasons.join("; ")));
    }
    Ok(SystemRoots(Arc::new(roots)))
}

impl UpstreamTls {
    /// `server_name` is sent as SNI and is the name that the backend's certificate must be for;
    /// `certificate` is shown to backends that ask for one.
    pub fn new(
        trust: Trust,
        server_name: Option<&str>,
        certificate: Option<Arc<CertifiedKey>>,
        alpn: Alpn,
    ) -> Result<UpstreamTls, Error> {
        let provider = Arc::new(default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match trust {
            Trust::Anybody => Arc::new(AnyCertificate { provider: Arc::clone(&provider) }),
            Trust::Ca(authority) => Arc::new(ByCa { authority }),
            Trust::System(SystemRoots(roots)) => {
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .build()
                    .map_err(|error| Error::General(error.to_string()))?
            }
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut template = match certificate {
            Some(certificate) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certificate)))
            }
            None => builder.with_no_client_auth(),
        };
        template.alpn_protocols = match alpn {
            Alpn::Http1 => vec![HTTP1.to_vec()],
            Alpn::Http2 => vec![HTTP2.to_vec()],
            Alpn::Both => vec![HTTP2.to_vec(), HTTP1.to_vec()],
            Alpn::None => Vec::new(),
        };
        // Records of TLS 1.3 are ours.
        template.enable_secret_extraction = true;
        let server_name = server_name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        Ok(UpstreamTls { template, server_name, alpn })
    }

    /// Whether the name depends on the request.
    pub fn follows_host(&self) -> bool {
        self.server_name.is_none()
    }

    /// A connection for a thread that may wait, to `host`, which may have a port.
    ///
    /// # Errors
    /// There is no handshake with these terms.
    pub fn block_on<'s>(
        &self,
        host: &str,
        stream: impl BlockingStream + 's,
    ) -> Result<Box<dyn BlockingStream + 's>, String> {
        let name = self.server_name.clone().unwrap_or_else(|| name_of(host.as_bytes()));
        let connection = ClientConnection::new(Arc::new(self.template.clone()), name);
        let connection = connection.map_err(|error| error.to_string())?;
        Ok(blocking::secure(connection, stream))
    }

    /// A client of one backend, to be used by one worker: it remembers sessions.
    pub fn client(&self) -> TlsClient {
        let mut config = self.template.clone();
        config.resumption = Resumption::in_memory_sessions(REMEMBERED_SESSIONS);
        let (server_name, alpn) = (self.server_name.clone(), self.alpn);
        TlsClient { config: Arc::new(config), server_name, alpn, over_http1: OnceCell::new() }
    }
}

#[cfg(any(test, fuzzing))]
impl TlsClient {
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

/// TLS to one backend.
pub struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    alpn: Alpn,
    /// Made when it is first asked for.
    over_http1: OnceCell<Rc<TlsClient>>,
}

/// A connection that was made secure.
pub struct Secured {
    pub transport: Transport,
    /// The backend chose HTTP/2.
    pub is_http2: bool,
}

/// Why a connection to a backend could not be made secure, in one machine-readable word.
pub type Code = &'static str;

impl TlsClient {
    /// The same, but nothing is offered beside HTTP/1.1.
    pub fn over_http1(&self) -> Rc<TlsClient> {
        let client = self.over_http1.get_or_init(|| {
            let mut config = (*self.config).clone();
            config.alpn_protocols = vec![HTTP1.to_vec()];
            // A session belongs to what was spoken in it.
            config.resumption = Resumption::in_memory_sessions(REMEMBERED_SESSIONS);
            let server_name = self.server_name.clone();
            let (alpn, over_http1) = (Alpn::Http1, OnceCell::new());
            Rc::new(TlsClient { config: Arc::new(config), server_name, alpn, over_http1 })
        });
        Rc::clone(client)
    }

    /// Makes a connection to a backend secure. `host` is the host of the request, with or without a
    /// port. The caller bounds the time.
    pub async fn connect(
        &self,
        socket: Socket,
        host: &[u8],
        buffers: &Buffers,
        budget: &WorkBudget,
    ) -> Result<Secured, Code> {
        let name = self.server_name.clone().unwrap_or_else(|| name_of(host));
        let connection =
            UnbufferedClientConnection::new(Arc::clone(&self.config), name).map_err(|error| code(&error))?;
        let stream = TlsStream::new(socket, Session::client(connection), buffers.clone());
        let mut input = buffers.tiny();
        loop {
            budget.acquire(1).await;
            let advanced = stream.advance(input);
            if !stream.session().borrow().is_handshaking() && advanced.is_ok() {
                // The last message of the handshake leaves with the request.
                let is_http2 = self.agree(&stream)?;
                return Ok(Secured { transport: Transport::Tls(Box::new(stream)), is_http2 });
            }
            if let Some(outgoing) = stream.take_handshake_output() {
                let sent = stream.socket().send(outgoing).await.0;
                if advanced.is_ok() {
                    sent.map_err(|_| BROKEN)?;
                }
            }
            advanced.map_err(|error| code(&error))?;
            // Waiting holds no buffer.
            stream.socket().readable().await.map_err(|_| BROKEN)?;
            input = receive(&stream).await?;
        }
    }

    /// Whether the backend chose HTTP/2; it must where nothing else is spoken.
    fn agree(&self, stream: &TlsStream) -> Result<bool, Code> {
        let is_http2 = stream.session().borrow().has_chosen_http2();
        if self.alpn == Alpn::Http2 && !is_http2 { Err(WITHOUT_HTTP2) } else { Ok(is_http2) }
    }
}

const BROKEN: Code = "upstream_tls_handshake";
const WITHOUT_HTTP2: Code = "upstream_without_http2";

async fn receive(stream: &TlsStream) -> Result<Buffer, Code> {
    match stream.socket().receive(stream.room_for_handshake()).await {
        (Ok(1..), buffer) => Ok(buffer),
        _ => Err(BROKEN),
    }
}

/// The name in an authority. What is no name cannot be sent as one; a certificate can then only be
/// for no address at all, so that nothing but [`Trust::Anybody`] accepts it.
fn name_of(authority: &[u8]) -> ServerName<'static> {
    let nobody = ServerName::IpAddress(IpAddr::V4([0, 0, 0, 0].into()));
    let Ok(text) = std::str::from_utf8(authority) else { return nobody };
    let host = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => text.split(':').next().unwrap_or_default(),
    };
    // One dot at the end is the root's; no certificate has it.
    let host = host.strip_suffix('.').unwrap_or(host);
    ServerName::try_from(host.to_owned()).unwrap_or(nobody)
}

fn code(error: &Error) -> Code {
    match error {
        Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => "upstream_certificate_unknown_ca",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "upstream_certificate_expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "upstream_certificate_not_yet_valid"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "upstream_certificate_wrong_name"
            }
            CertificateError::Revoked => "upstream_certificate_revoked",
            _ => "upstream_certificate_invalid",
        },
        // RFC 7301 §3.2: what a backend says that speaks nothing of what it was offered.
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => WITHOUT_HTTP2,
        Error::AlertReceived(_) => "upstream_tls_alert",
        _ => BROKEN,
    }
}

/// Accepts every certificate. Its signature over the handshake is not looked at either: whoever
/// could forge it could as well show a certificate of their own.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Accepts what leads to one `[[ca]]`.
#[derive(Debug)]
struct ByCa {
    authority: Arc<Ca>,
}

impl ServerCertVerifier for ByCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.authority.verify_server(end_entity, intermediates, now);
        verified.map_err(|error| error.to_rustls())?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_authorities() {
        for (authority, name) in [
            ("example.com", "example.com"),
            ("example.com:8443", "example.com"),
            ("example.com.", "example.com"),
            ("192.0.2.1:443", "192.0.2.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("not_a..name", "0.0.0.0"),
            ("", "0.0.0.0"),
            ("\u{fc}", "0.0.0.0"),
        ] {
            assert_eq!(name_of(authority.as_bytes()).to_str(), name, "{authority}");
        }
    }
}
