//! Servers and clients that trust anybody, for tests of who carries TLS.

use std::time::Duration;

use rustls::ClientConfig;
use rustls::quic::ClientConnection;
use rustls::quic::Version;

use super::*;
use crate::net::clock::wall_now;
use crate::tls::accept::ClientAuth;
use crate::tls::client_verifier::ClientAuthMode;
use crate::tls::connect::Alpn;
use crate::tls::connect::Trust;
use crate::tls::connect::UpstreamTls;
use crate::tls::fingerprint::ClientFingerprints;
use crate::tls::fingerprint::HelloCarrier;
use crate::tls::sni::CertificateIndex;
use crate::tls::sni::Resolver;
use crate::tls::sni::SniMatch;
use crate::tls::tickets::TicketKeys;
use crate::tls::tls_policy;
use crate::tls::x509::ca::Ca;
use crate::tls::x509::ca::TrustedCas;
use crate::tls::x509::ca_files::CaFile;
use crate::tls::x509::certificates;
use crate::tls::x509::certificates::Certificate;
use crate::tls::x509::certificates::CertificateFile;
use crate::tls::x509::certificates::CertificateFiles;
use crate::tls::x509::self_signed;

/// What the protocols are called in tests.
pub(crate) const ALPN: &[u8] = b"h3";

fn made(name: &str) -> (Certificate, String) {
    let now = wall_now().as_secs();
    let (chain, key) = self_signed::for_names(&[name], now).unwrap();
    let files = CertificateFiles {
        chain: CertificateFile { name: "chain", bytes: chain.as_bytes() },
        key: CertificateFile { name: "key", bytes: key.as_bytes() },
        staple: None,
    };
    (certificates::read(&files, i64::try_from(now).unwrap()).unwrap().certificate, chain)
}

/// A server for `localhost` alone, with tickets; it asks clients for certificates that nobody has, if it asks.
pub(crate) fn server(mode: Option<ClientAuthMode>) -> Arc<QuicTls> {
    Arc::new(QuicTls::new(Arc::new(downstream(mode)), &[ALPN]).unwrap())
}

/// The same for anybody, taking the fingerprints of clients.
pub(crate) fn fingerprinting_server() -> Arc<QuicTls> {
    let tls = downstream(None).with_fingerprints(true);
    Arc::new(QuicTls::new(Arc::new(tls), &[ALPN]).unwrap())
}

fn downstream(mode: Option<ClientAuthMode>) -> DownstreamTls {
    let (index, _) = CertificateIndex::new(&[Arc::new(made("localhost").0)], SniMatch::Wildcard);
    let resolver = Arc::new(Resolver { index: Arc::new(index), refuses_unknown: true });
    let tickets = Some(Arc::new(TicketKeys::new(Duration::from_secs(300), None)));
    let client_auth = mode.map(|mode| {
        let chain = made("ca").1;
        let (ca, _) = Ca::load(CaFile { name: "ca", bytes: chain.as_bytes() }, &[]);
        ClientAuth { mode, authorities: Arc::new(TrustedCas::new(vec![Arc::new(ca.unwrap())])) }
    });
    let offer = tls_policy::everything();
    DownstreamTls::new(&offer, resolver, tickets, client_auth, &[]).unwrap()
}

/// A client that offers this protocol, and has a certificate of its own or none.
pub(crate) fn client(alpn: &[u8], has_certificate: bool) -> Arc<ClientConfig> {
    let certificate = has_certificate.then(|| made("client").0.certified);
    let tls = UpstreamTls::new(Trust::Anybody, None, certificate, Alpn::None).unwrap();
    let mut config = ClientConfig::clone(&tls.client().config());
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

/// What a client says first, without its header, and the fingerprints of it.
pub(crate) fn hello_of(client: Arc<ClientConfig>) -> (Vec<u8>, ClientFingerprints) {
    let name = "localhost".try_into().unwrap();
    let mut client = ClientConnection::new(client, Version::V1, name, Vec::new()).unwrap();
    let mut message = Vec::new();
    client.write_hs(&mut message);
    let hello = message.split_off(4);
    let fingerprints = ClientFingerprints::of(&hello, HelloCarrier::Quic).unwrap();
    (hello, fingerprints)
}

/// A listener that offers TLS 1.2 alone.
pub(crate) fn old_tls() -> Arc<DownstreamTls> {
    let offer = tls_policy::intersect(&[0x0303], &[0xc02b, 0x1301]).offer.unwrap();
    let (index, _) = CertificateIndex::new(&[Arc::new(made("localhost").0)], SniMatch::Wildcard);
    let resolver = Arc::new(Resolver { index: Arc::new(index), refuses_unknown: true });
    Arc::new(DownstreamTls::new(&offer, resolver, None, None, &[]).unwrap())
}
