//! Connections to proxies and to the origin, plain or with TLS 1.3.
//!
//! Every TLS connection agrees on the same suite and group, whatever the proxy: a proxy that prefers others fails.

use crate::site::{NAME, Site};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::crypto::{self, CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, CipherSuite, DigitallySignedStruct, NamedGroup, SignatureScheme, StreamOwned,
    SupportedCipherSuite,
};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A connection of the bench, plain or with TLS.
pub(crate) enum Stream {
    Plain(TcpStream),
    Secure(Box<Secure>),
}

pub(crate) type Secure = StreamOwned<ClientConnection, TcpStream>;

/// How long one read or write may take.
const BOUND: Duration = Duration::from_secs(5);

impl Stream {
    /// With a site, the handshake is complete.
    pub(crate) fn open(address: SocketAddr, site: Option<&Site>) -> io::Result<Stream> {
        match site {
            None => Ok(Stream::Plain(connect(address)?)),
            Some(site) => Ok(Stream::Secure(Box::new(handshake(address, &site.client)?))),
        }
    }
}

impl Stream {
    /// A TLS connection that has agreed on HTTP/2.
    pub(crate) fn open_http2(address: SocketAddr, site: &Site) -> io::Result<Stream> {
        let secure = handshake(address, &site.http2_client)?;
        if secure.conn.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("the proxy did not choose HTTP/2"));
        }
        Ok(Stream::Secure(Box::new(secure)))
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(into),
            Stream::Secure(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Secure(stream) => stream.flush(),
        }
    }
}

/// Connects and completes a handshake that must end with the agreed suite and group.
pub(crate) fn handshake(address: SocketAddr, client: &Arc<ClientConfig>) -> io::Result<Secure> {
    let mut stream = connect(address)?;
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(client.clone(), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    let group = connection.negotiated_key_exchange_group().map(|group| group.name());
    if suite != Some(CipherSuite::TLS13_AES_128_GCM_SHA256) || group != Some(NamedGroup::X25519) {
        return Err(io::Error::other(format!("the proxy chose {suite:?} and {group:?}")));
    }
    Ok(StreamOwned::new(connection, stream))
}

/// Asks once over a connection of its own and returns the body.
pub(crate) fn get(address: SocketAddr, site: Option<&Site>, path: &str) -> Result<String, String> {
    let ask = || -> io::Result<String> {
        let mut stream = Stream::open(address, site)?;
        stream.write_all(
            format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|e| format!("GET {path}: {e}"))?;
    if !answer.starts_with("HTTP/1.1 200") {
        let status = answer.lines().next().unwrap_or("nothing");
        return Err(format!("GET {path} was answered with `{status}`"));
    }
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

/// A client that takes only `certificate`, offers only X25519 and `suites`, the preferred one first.
pub(crate) fn configuration(
    certificate: &CertificateDer<'static>,
    suites: Vec<SupportedCipherSuite>,
    resumption: Resumption,
) -> Result<Arc<ClientConfig>, String> {
    let provider = CryptoProvider {
        cipher_suites: suites,
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let provider = Arc::new(provider);
    let pinned = Pinned { certificate: certificate.clone(), provider: provider.clone() };
    let mut configuration = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| format!("configuring the TLS client: {e}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    configuration.resumption = resumption;
    Ok(Arc::new(configuration))
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, BOUND)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(BOUND))?;
    stream.set_write_timeout(Some(BOUND))?;
    Ok(stream)
}

/// Takes one certificate only. To verify its chain anew each time would keep the load CPU busy and prove nothing.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *certificate == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
