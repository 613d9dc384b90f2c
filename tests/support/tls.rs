//! Certificates that tests make, and sessions with them.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::client::Client;
use super::message::Response;

/// The name that the kit's own certificate is for.
pub(crate) const NAME: &str = "test.example";

/// A certificate and its key as PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pair {
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        let read = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect::<Result<_, _>>();
        read.expect("it is PEM")
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("it is PEM")
    }
}

/// Who signs certificates.
pub(crate) struct Issuer {
    issuer: rcgen::Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    pub(crate) key: String,
}

impl Issuer {
    /// A CA of this common name.
    pub(crate) fn new(name: &str) -> Issuer {
        let mut params = CertificateParams::new(Vec::new()).expect("there are no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let pem = params.self_signed(&key).expect("it can be signed").pem();
        let text = key.serialize_pem();
        Issuer { issuer: rcgen::Issuer::new(params, key), pem, key: text }
    }

    /// A certificate for servers of these names.
    pub(crate) fn server(&self, names: &[&str]) -> Pair {
        self.sign(names, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])
    }

    /// A certificate for a client of this common name.
    pub(crate) fn client(&self, name: &str) -> Pair {
        self.sign(&[], |params| {
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    /// A certificate as `shape` wants it.
    pub(crate) fn sign(&self, names: &[&str], shape: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are good");
        shape(&mut params);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("it can be signed");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// The certificate that the kit gives its listeners, made once.
pub(crate) fn own_pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let key = KeyPair::generate().expect("a key can be made");
        let params = CertificateParams::new(vec![NAME.to_owned()]).expect("the name is good");
        let certificate = params.self_signed(&key).expect("it can be signed");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    })
}

/// A client that trusts these certificates and remembers sessions.
pub(crate) fn client_config(roots: &[&str]) -> ClientConfig {
    versioned_config(roots, rustls::DEFAULT_VERSIONS, None)
}

/// The same with these versions and this certificate.
pub(crate) fn versioned_config(
    roots: &[&str],
    versions: &[&'static rustls::SupportedProtocolVersion],
    pair: Option<&Pair>,
) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut store = RootCertStore::empty();
    for root in roots {
        for certificate in CertificateDer::pem_slice_iter(root.as_bytes()) {
            store.add(certificate.expect("it is PEM")).expect("it is a certificate");
        }
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the versions are there")
        .with_webpki_verifier(verifier.build().expect("there is a root"));
    match pair {
        Some(pair) => {
            let key = any_supported_type(&pair.private_key()).expect("the key is good");
            // Nothing of it is checked: what servers think of bad certificates is to be seen.
            let certified = CertifiedKey::new(pair.chain(), key);
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
        None => builder.with_no_client_auth(),
    }
}

/// A server with this certificate that asks clients for certificates of `clients`, if given.
pub(crate) fn server_config(pair: &Pair, clients: Option<&Issuer>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the versions are there");
    let builder = match clients {
        Some(issuer) => {
            let mut store = RootCertStore::empty();
            let certificate = CertificateDer::from_pem_slice(issuer.pem.as_bytes()).expect("it is PEM");
            store.add(certificate).expect("it is a certificate");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
            builder.with_client_cert_verifier(verifier.build().expect("there is a root"))
        }
        None => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_single_cert(pair.chain(), pair.private_key()).expect("the key is the certificate's");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

pub(crate) fn session(config: &Arc<ClientConfig>, name: &str) -> ClientConnection {
    let name = ServerName::try_from(name.to_owned()).expect("it is a name");
    ClientConnection::new(Arc::clone(config), name).expect("a session can be made")
}

/// A GET on a connection of its own, and what kind of handshake it took.
pub(crate) fn ask(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<(Response, HandshakeKind)> {
    let mut client = Client::secured(address, config, name)?;
    client.try_send(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n"))?;
    let response = client.try_read_response()?;
    let kind = client.wire().session(|session| session.handshake_kind());
    Ok((response, kind.expect("the handshake is over")))
}

/// A revocation list of `issuer` with these serial numbers.
pub(crate) fn revocation_list(issuer: &Issuer, serials: &[u64]) -> String {
    let revoked = serials.iter().map(|serial| rcgen::RevokedCertParams {
        serial_number: (*serial).into(),
        revocation_time: rcgen::date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2024, 1, 1),
        next_update: rcgen::date_time_ymd(2090, 1, 1),
        crl_number: 1u64.into(),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    list.signed_by(&issuer.issuer).and_then(|list| list.pem()).expect("it can be signed")
}

/// A session with a listener of the kit.
pub(super) fn client_session() -> ClientConnection {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| Arc::new(client_config(&[&own_pair().certificate])));
    session(config, NAME)
}

/// The same with this protocol by ALPN.
pub(super) fn client_session_speaking(protocol: &str) -> ClientConnection {
    let mut config = client_config(&[&own_pair().certificate]);
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    session(&Arc::new(config), NAME)
}
