//! The cipher suites that a policy may name. Most are history: what is really offered is decided
//! where the keys are.

#[derive(Debug, PartialEq, Eq)]
pub struct CipherSuite {
    /// The number of the IANA registry.
    pub id: u16,
    /// The name of the IANA registry.
    pub name: &'static str,
    /// The name that OpenSSL and the cloud products use.
    pub openssl: &'static str,
    pub oldest: TlsVersion,
    pub newest: TlsVersion,
}

impl CipherSuite {
    /// The suite of a number, if the table has it.
    pub fn of(id: u16) -> Option<&'static CipherSuite> {
        ALL.iter().find(|suite| suite.id == id)
    }

    /// The suite of a name in any of its forms: IANA, OpenSSL, or rustls with `TLS13_`.
    pub fn named(name: &str) -> Option<&'static CipherSuite> {
        let iana = name.strip_prefix("TLS13_").map(|rest| format!("TLS_{rest}"));
        let name = iana.as_deref().unwrap_or(name);
        ALL.iter().find(|suite| {
            let is_known = suite.name.eq_ignore_ascii_case(name) || suite.openssl.eq_ignore_ascii_case(name);
            is_known && (iana.is_none() || suite.oldest == TlsVersion::Tls13)
        })
    }

    pub fn is_of(&self, version: TlsVersion) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }
}

const fn suite(
    id: u16,
    name: &'static str,
    openssl: &'static str,
    oldest: TlsVersion,
    newest: TlsVersion,
) -> CipherSuite {
    CipherSuite { id, name, openssl, oldest, newest }
}

const fn old(id: u16, name: &'static str, openssl: &'static str) -> CipherSuite {
    suite(id, name, openssl, TlsVersion::Tls10, TlsVersion::Tls12)
}

const fn tls12(id: u16, name: &'static str, openssl: &'static str) -> CipherSuite {
    suite(id, name, openssl, TlsVersion::Tls12, TlsVersion::Tls12)
}

const fn tls13(id: u16, name: &'static str) -> CipherSuite {
    suite(id, name, name, TlsVersion::Tls13, TlsVersion::Tls13)
}

pub(super) static ALL: [CipherSuite; 48] = [
    tls13(0x1301, "TLS_AES_128_GCM_SHA256"),
    tls13(0x1302, "TLS_AES_256_GCM_SHA384"),
    tls13(0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    tls13(0x1304, "TLS_AES_128_CCM_SHA256"),
    tls13(0x1305, "TLS_AES_128_CCM_8_SHA256"),
    tls12(0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    tls12(0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    tls12(0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    tls12(0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    tls12(0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    tls12(0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
    tls12(0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256"),
    tls12(0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"),
    tls12(0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "ECDHE-ECDSA-AES256-SHA384"),
    tls12(0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE-RSA-AES256-SHA384"),
    old(0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"),
    old(0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"),
    old(0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"),
    old(0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"),
    tls12(0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
    tls12(0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
    tls12(0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256"),
    tls12(0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256", "AES256-SHA256"),
    old(0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"),
    old(0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"),
    old(0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "DES-CBC3-SHA"),
    tls12(0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "DHE-RSA-AES128-GCM-SHA256"),
    tls12(0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "DHE-RSA-AES256-GCM-SHA384"),
    tls12(0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "DHE-RSA-CHACHA20-POLY1305"),
    tls12(0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", "DHE-RSA-AES128-SHA256"),
    tls12(0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", "DHE-RSA-AES256-SHA256"),
    old(0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", "DHE-RSA-AES128-SHA"),
    old(0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", "DHE-RSA-AES256-SHA"),
    old(0x0032, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA", "DHE-DSS-AES128-SHA"),
    old(0x0038, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA", "DHE-DSS-AES256-SHA"),
    old(0x0041, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA", "CAMELLIA128-SHA"),
    old(0x0084, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA", "CAMELLIA256-SHA"),
    old(0x0045, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA", "DHE-RSA-CAMELLIA128-SHA"),
    old(0x0088, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA", "DHE-RSA-CAMELLIA256-SHA"),
    old(0x0044, "TLS_DHE_DSS_WITH_CAMELLIA_128_CBC_SHA", "DHE-DSS-CAMELLIA128-SHA"),
    old(0x0087, "TLS_DHE_DSS_WITH_CAMELLIA_256_CBC_SHA", "DHE-DSS-CAMELLIA256-SHA"),
    old(0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", "EDH-RSA-DES-CBC3-SHA"),
    old(0x0013, "TLS_DHE_DSS_WITH_3DES_EDE_CBC_SHA", "EDH-DSS-DES-CBC3-SHA"),
    old(0xc008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", "ECDHE-ECDSA-DES-CBC3-SHA"),
    old(0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", "ECDHE-RSA-DES-CBC3-SHA"),
    old(0xc007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", "ECDHE-ECDSA-RC4-SHA"),
    old(0xc011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA", "ECDHE-RSA-RC4-SHA"),
    old(0x0005, "TLS_RSA_WITH_RC4_128_SHA", "RC4-SHA"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

impl TlsVersion {
    /// As operators write it.
    pub fn as_str(self) -> &'static str {
        match self {
            TlsVersion::Tls10 => "1.0",
            TlsVersion::Tls11 => "1.1",
            TlsVersion::Tls12 => "1.2",
            TlsVersion::Tls13 => "1.3",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_means_one_suite() {
        for (index, suite) in ALL.iter().enumerate() {
            assert_eq!(CipherSuite::of(suite.id), Some(suite));
            assert_eq!(CipherSuite::named(suite.name), Some(suite));
            assert_eq!(CipherSuite::named(suite.openssl), Some(suite));
            assert!(ALL[..index].iter().all(|other| other.id != suite.id), "{}", suite.name);
        }
        let rustls = CipherSuite::named("TLS13_AES_128_GCM_SHA256").map(|suite| suite.id);
        assert_eq!(rustls, Some(0x1301));
        assert_eq!(CipherSuite::named("TLS13_RSA_WITH_AES_128_CBC_SHA"), None);
    }
}
