//! What is left of a TLS policy: the versions and cipher suites of it that can be offered at all.

use std::sync::Arc;

use rustls::CipherSuite;
use rustls::ProtocolVersion;
use rustls::SupportedCipherSuite;
use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::crypto::aws_lc_rs::kx_group;

use crate::tls::cipher_names::names_of;

/// What a listener offers. Neither list is empty, and each suite belongs to one of the versions.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The newest first.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// In the order of preference. The server's order decides.
    pub suites: Vec<SupportedCipherSuite>,
}

/// An offer, and what of the policy is not in it.
#[derive(Clone, Debug)]
pub struct Intersection {
    /// None when nothing is left.
    pub offer: Option<Offer>,
    /// Versions of the policy that are not offered, as on the wire.
    pub dropped_versions: Vec<u16>,
    /// Cipher suites of the policy that are not offered, by their IANA numbers.
    pub dropped_suites: Vec<u16>,
}

/// The cipher suites there are: elliptic curves, then RSA, then TLS 1.3, in which a client never
/// sees what stands before. Of each, the fastest first.
static SUITES: [SupportedCipherSuite; 9] = [
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];

static VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// The hybrid of ML-KEM and X25519 first: what is recorded today stays secret from tomorrow's machines.
static GROUPS: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// What can be offered of these versions (as on the wire, `0x0303` is TLS 1.2) and cipher suites (IANA
/// numbers). A version without a suite is not offered, nor a suite without its version.
pub fn intersect(versions: &[u16], suites: &[u16]) -> Intersection {
    let is_wanted = |suite: &&SupportedCipherSuite| {
        suites.contains(&u16::from(suite.suite())) && versions.contains(&u16::from(suite.version().version))
    };
    let offered: Vec<SupportedCipherSuite> = SUITES.iter().filter(is_wanted).copied().collect();
    let has_suite = |version: &&&'static SupportedProtocolVersion| {
        offered.iter().any(|suite| suite.version().version == version.version)
    };
    let offered_versions: Vec<_> = VERSIONS.iter().filter(has_suite).copied().collect();
    let is_dropped_version =
        |version: &u16| !offered_versions.iter().any(|offered| u16::from(offered.version) == *version);
    let is_dropped_suite = |suite: &u16| !offered.iter().any(|offered| u16::from(offered.suite()) == *suite);
    Intersection {
        dropped_versions: versions.iter().copied().filter(is_dropped_version).collect(),
        dropped_suites: suites.iter().copied().filter(is_dropped_suite).collect(),
        offer: (!offered.is_empty()).then_some(Offer { versions: offered_versions, suites: offered }),
    }
}

/// The cryptography of a listener with this offer.
pub fn provider(offer: &Offer) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: offer.suites.clone(),
        kx_groups: GROUPS.to_vec(),
        ..aws_lc_rs::default_provider()
    })
}

/// All that there is, for connections to backends.
pub fn everything() -> Offer {
    Offer { versions: VERSIONS.to_vec(), suites: SUITES.to_vec() }
}

impl Offer {
    /// As on the wire, the newest first.
    pub fn version_numbers(&self) -> Vec<u16> {
        self.versions.iter().map(|version| u16::from(version.version)).collect()
    }

    /// IANA numbers, in the order of preference.
    pub fn suite_numbers(&self) -> Vec<u16> {
        self.suites.iter().map(|suite| u16::from(suite.suite())).collect()
    }

    /// The names of the key exchange groups, in the order of preference.
    pub fn group_names(&self) -> Vec<String> {
        GROUPS.iter().map(|group| format!("{:?}", group.name())).collect()
    }

    /// Whether a listener with this offer can use a certificate with such a key. TLS 1.3 takes any.
    pub fn fits(&self, is_ecdsa: bool) -> bool {
        self.suites.iter().any(|suite| {
            suite.version().version == ProtocolVersion::TLSv1_3 || is_for(suite.suite(), is_ecdsa)
        })
    }
}

/// Whether a suite of TLS 1.2 signs with such a key.
fn is_for(suite: CipherSuite, is_ecdsa: bool) -> bool {
    let signs_with_ecdsa = matches!(
        suite,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
    );
    signs_with_ecdsa == is_ecdsa
}

/// What there is, for `ringway version -v`: versions, cipher suites by OpenSSL's names, groups for key
/// exchange.
pub fn built_in() -> [(&'static str, String); 3] {
    let versions = VERSIONS.iter().map(|version| match version.version {
        ProtocolVersion::TLSv1_3 => "TLS 1.3".to_owned(),
        ProtocolVersion::TLSv1_2 => "TLS 1.2".to_owned(),
        other => format!("{other:?}"),
    });
    let suites: Vec<u16> = SUITES.iter().map(|suite| suite.suite().into()).collect();
    let groups = GROUPS.iter().map(|group| format!("{:?}", group.name()));
    [
        ("tls", format!("{}, by rustls with AWS-LC", versions.collect::<Vec<_>>().join(" and "))),
        ("tls_ciphers", names_of(&suites)),
        ("tls_groups", groups.collect::<Vec<_>>().join(" ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLS10: u16 = 0x0301;
    const TLS12: u16 = 0x0303;
    const TLS13: u16 = 0x0304;

    #[test]
    fn what_rustls_cannot_do_is_dropped() {
        // ECDHE-RSA with AES-128-GCM, ECDHE-RSA with CBC, RSA key exchange, a CCM suite, TLS 1.3.
        let found = intersect(&[TLS10, TLS12, TLS13], &[0x1304, 0xc013, 0x1301, 0xc02f, 0x009c]);
        let offer = found.offer.expect("something is left");
        assert_eq!(offer.version_numbers(), [TLS13, TLS12]);
        assert_eq!(offer.suite_numbers(), [0xc02f, 0x1301]);
        assert_eq!(found.dropped_versions, [TLS10]);
        assert_eq!(found.dropped_suites, [0x1304, 0xc013, 0x009c]);
        assert!(offer.fits(false) && offer.fits(true));
    }

    #[test]
    fn a_version_without_a_suite_is_dropped_and_so_is_a_suite_without_its_version() {
        let found = intersect(&[TLS12, TLS13], &[0xc02f]);
        assert_eq!(found.dropped_versions, [TLS13]);
        let offer = found.offer.expect("something is left");
        assert!(offer.fits(false) && !offer.fits(true));
        assert_eq!(intersect(&[TLS13], &[0xc02f, 0x1301]).dropped_suites, [0xc02f]);
    }

    #[test]
    fn nothing_may_be_left() {
        let found = intersect(&[TLS10], &[0xc02f, 0x1301]);
        assert!(found.offer.is_none());
        assert_eq!(found.dropped_suites.len(), 2);
    }

    #[test]
    fn the_server_prefers_elliptic_curves_and_the_fast_suite() {
        let provider = provider(&everything());
        let order: Vec<u16> = provider.cipher_suites.iter().map(|suite| u16::from(suite.suite())).collect();
        assert_eq!(order, [0xc02b, 0xc02c, 0xcca9, 0xc02f, 0xc030, 0xcca8, 0x1301, 0x1302, 0x1303]);
        assert_eq!(everything().group_names(), ["X25519MLKEM768", "X25519", "secp256r1", "secp384r1"]);
    }
}
