//! The certificate that all proxies serve HTTPS with, made for one run.

use crate::tls_client;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
use rustls::pki_types::CertificateDer;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name in the certificate, which every client asks for.
pub const NAME: &str = "bench.example";

/// A P-256 certificate signed by a P-256 CA, in the files that the proxies read.
pub struct Site {
    /// The certificate and that of the CA.
    pub chain: PathBuf,
    pub key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pub chain_and_key: PathBuf,
    /// The first of the chain: clients take no other.
    pub certificate: CertificateDer<'static>,
    /// A client that prefers AES-256, as wrk does, and resumes nothing.
    pub client: Arc<ClientConfig>,
    /// The same for HTTP/2.
    pub http2_client: Arc<ClientConfig>,
}

impl Site {
    pub fn create(folder: &Path) -> Result<Site, String> {
        let made = make().map_err(|e| format!("making a certificate: {e}"))?;
        let write = |name: &str, text: &str| -> Result<PathBuf, String> {
            let file = folder.join(name);
            fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
            Ok(file)
        };
        let suites = vec![TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256];
        let client = tls_client::configuration(&made.certificate, suites, Resumption::disabled())?;
        let mut http2_client = ClientConfig::clone(&client);
        http2_client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Site {
            chain: write("chain.pem", &made.chain)?,
            key: write("key.pem", &made.key)?,
            chain_and_key: write("chain_and_key.pem", &format!("{}{}", made.chain, made.key))?,
            client,
            http2_client: Arc::new(http2_client),
            certificate: made.certificate,
        })
    }
}

struct Made {
    chain: String,
    key: String,
    certificate: CertificateDer<'static>,
}

/// rcgen signs with ECDSA on P-256 unless told otherwise.
fn make() -> Result<Made, rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "Bench CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let mut site = CertificateParams::new(vec![NAME.to_owned()])?;
    site.distinguished_name.push(DnType::CommonName, NAME);
    let key = KeyPair::generate()?;
    let certificate = site.signed_by(&key, &issuer)?;
    Ok(Made {
        chain: format!("{}{authority_pem}", certificate.pem()),
        key: key.serialize_pem(),
        certificate: certificate.der().clone(),
    })
}
