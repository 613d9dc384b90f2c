//! TLS for threads that may wait: over anything that reads and writes.

use std::io;
use std::io::Read;
use std::io::Write;
use std::sync::Arc;

use rustls::ClientConnection;
use rustls::Error;
use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::StreamOwned;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::sign::SingleCertAndKey;

use crate::tls::client_verifier::ClientAuthMode;
use crate::tls::client_verifier::ClientVerifier;
use crate::tls::x509::ca::TrustedCas;
use crate::tls::x509::certificates::Certificate;
use crate::tls::x509::client_certificate::ClientCertificate;
use crate::tls::x509::client_certificate::FingerprintHash;

/// What a thread reads from and writes to.
pub trait BlockingStream: Read + Write {}

impl<S: Read + Write> BlockingStream for S {}

/// A client's end of a connection. The handshake is made with the first bytes, and takes as long as `stream` lets it.
pub(super) fn secure<'s>(
    connection: ClientConnection,
    stream: impl BlockingStream + 's,
) -> Box<dyn BlockingStream + 's> {
    Box::new(StreamOwned::new(connection, stream))
}

/// What a server that may wait makes handshakes with.
#[derive(Clone)]
pub struct BlockingServer {
    config: Arc<ServerConfig>,
}

/// The server's end of a connection.
pub struct SecuredClient<S: Read + Write> {
    stream: StreamOwned<ServerConnection, S>,
}

impl BlockingServer {
    /// Serves HTTP/1.1 with this certificate. With `authorities`, clients have to show one that these have issued.
    ///
    /// # Errors
    /// The key is of no kind that handshakes can be made with.
    pub fn new(
        certificate: &Certificate,
        authorities: Option<Arc<TrustedCas>>,
    ) -> Result<BlockingServer, Error> {
        let verifier: Arc<dyn ClientCertVerifier> = match authorities {
            Some(authorities) => Arc::new(ClientVerifier::new(ClientAuthMode::Require, authorities)),
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let certified = CertifiedKey::clone(&certificate.certified);
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(BlockingServer { config: Arc::new(config) })
    }

    /// Makes the handshake, which takes as long as `stream` lets it.
    pub fn accept<S: Read + Write>(&self, stream: S) -> io::Result<SecuredClient<S>> {
        let connection = ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(SecuredClient { stream })
    }
}

impl<S: Read + Write> SecuredClient<S> {
    /// Whom the client's certificate names (RFC 2253): `CN=ops,O=Example`.
    pub fn client_subject(&self) -> Option<String> {
        let leaf = self.stream.conn.peer_certificates()?.first()?;
        ClientCertificate::parse(leaf, FingerprintHash::Sha256).map(|certificate| certificate.subject)
    }

    /// What is read from and written to below.
    pub fn below(&mut self) -> &mut S {
        &mut self.stream.sock
    }

    /// Announces the end of what is sent (RFC 8446 §6.1).
    pub fn end_output(&mut self) -> io::Result<()> {
        self.stream.conn.send_close_notify();
        self.stream.flush()
    }
}

impl<S: Read + Write> Read for SecuredClient<S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.read(bytes)
    }
}

impl<S: Read + Write> Write for SecuredClient<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
