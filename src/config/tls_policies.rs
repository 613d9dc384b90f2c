//! The TLS policies that both cloud products know by name.

use crate::config::cipher_suites::CipherSuite;
use crate::config::cipher_suites::TlsVersion;
use crate::config::cipher_suites::TlsVersion::Tls10;
use crate::config::cipher_suites::TlsVersion::Tls11;
use crate::config::cipher_suites::TlsVersion::Tls12;
use crate::config::cipher_suites::TlsVersion::Tls13;
use crate::config::report::Location;

/// What an operator wants to be offered. What can be is decided later.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsPolicy {
    pub name: String,
    /// Whether it is one of [`ALL`].
    pub is_predefined: bool,
    /// At least one, ascending, each once.
    pub versions: Vec<TlsVersion>,
    /// At least one, each once, all valid for one of the versions.
    pub cipher_suites: Vec<&'static CipherSuite>,
    /// Where its own name stands if it is defined, else where it is named; the listener's if it is not named.
    pub location: Location,
}

/// A policy that is known without being defined.
pub struct Predefined {
    pub name: &'static str,
    pub versions: &'static [TlsVersion],
    groups: &'static [&'static [u16]],
}

impl Predefined {
    pub fn named(name: &str) -> Option<&'static Predefined> {
        ALL.iter().find(|policy| policy.name == name)
    }

    pub fn cipher_suites(&self) -> impl Iterator<Item = &'static CipherSuite> {
        self.groups.iter().copied().flatten().filter_map(|id| CipherSuite::of(*id))
    }
}

pub const DEFAULT: &str = "tls_cipher_policy_1_2_strict_with_1_3";

pub static ALL: [Predefined; 16] = [
    policy("tls_cipher_policy_1_0", &[Tls10, Tls11, Tls12], &[GCM, CBC_SHA2, CBC_SHA1, RSA, TRIPLE_DES]),
    policy("tls_cipher_policy_1_1", &[Tls11, Tls12], &[GCM, CBC_SHA2, CBC_SHA1, RSA, TRIPLE_DES]),
    policy("tls_cipher_policy_1_2", &[Tls12], &[GCM, CBC_SHA2, CBC_SHA1, RSA, TRIPLE_DES]),
    policy("tls_cipher_policy_1_2_strict", &[Tls12], &[GCM, CBC_SHA2, CBC_SHA1]),
    policy(DEFAULT, &[Tls12, Tls13], &[GCM, CBC_SHA2, CBC_SHA1, TLS13]),
    policy(
        "tls_cipher_policy_1_0_to_1_3",
        &[Tls10, Tls11, Tls12, Tls13],
        &[GCM, CBC_SHA2, CBC_SHA1, RSA, TRIPLE_DES, TLS13],
    ),
    policy("tls-1-0", &[Tls10, Tls11, Tls12], &[GCM, CBC_SHA2, CBC_SHA1, RSA]),
    policy("tls-1-1", &[Tls11, Tls12], &[GCM, CBC_SHA2, CBC_SHA1, RSA]),
    policy("tls-1-2", &[Tls12], &[GCM, CBC_SHA2, CBC_SHA1, RSA]),
    policy("tls-1-0-inherit", &[Tls10, Tls11, Tls12], &[GCM, CBC_SHA2, CBC_SHA1, RSA, INHERITED]),
    policy("tls-1-2-strict", &[Tls12], &[GCM, CBC_SHA2, RSA_STRICT]),
    policy("tls-1-2-fs", &[Tls12], &[GCM, CBC_SHA2]),
    policy("tls-1-2-strict-no-cbc", &[Tls12], &[GCM]),
    policy("tls-1-0-with-1-3", &[Tls10, Tls11, Tls12, Tls13], &[GCM, CBC_SHA2, CBC_SHA1, RSA, TLS13]),
    policy("tls-1-2-fs-with-1-3", &[Tls12, Tls13], &[GCM, CBC_SHA2, TLS13]),
    // Its versions belie its name; so they are documented.
    policy("hybrid-policy-1-0", &[Tls11, Tls12], &[GCM, CBC_SHA2, CBC_SHA1, RSA]),
];

const fn policy(
    name: &'static str,
    versions: &'static [TlsVersion],
    groups: &'static [&'static [u16]],
) -> Predefined {
    Predefined { name, versions, groups }
}

/// ECDHE with AES-GCM.
const GCM: &[u16] = &[0xc02b, 0xc02f, 0xc02c, 0xc030];
/// ECDHE with AES-CBC and SHA-2.
const CBC_SHA2: &[u16] = &[0xc023, 0xc027, 0xc024, 0xc028];
/// ECDHE with AES-CBC and SHA-1.
const CBC_SHA1: &[u16] = &[0xc009, 0xc013, 0xc00a, 0xc014];
/// RSA key exchange.
const RSA: &[u16] = &[0x009c, 0x009d, 0x003c, 0x003d, 0x002f, 0x0035];
const RSA_STRICT: &[u16] = &[0x009c, 0x009d, 0x003c, 0x003d];
const TRIPLE_DES: &[u16] = &[0x000a];
/// DHE, DSS, Camellia, 3DES and RC4.
const INHERITED: &[u16] = &[
    0x0033, 0x0039, 0x0032, 0x0038, 0x0041, 0x0084, 0x0045, 0x0088, 0x0044, 0x0087, 0x0016, 0x0013, 0x000a,
    0xc011, 0x0005,
];
const TLS13: &[u16] = &[0x1301, 0x1302, 0x1303, 0x1304, 0x1305];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_every_policy_is_known_and_of_its_versions() {
        for policy in &ALL {
            let numbers = policy.groups.iter().map(|group| group.len()).sum::<usize>();
            assert_eq!(policy.cipher_suites().count(), numbers, "{}", policy.name);
            for suite in policy.cipher_suites() {
                let is_valid = policy.versions.iter().any(|version| suite.is_of(*version));
                assert!(is_valid, "{}: {}", policy.name, suite.name);
            }
        }
        assert!(Predefined::named(DEFAULT).is_some());
    }
}
