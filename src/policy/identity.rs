//! What a backend learns of the TLS connection and of the client's certificate.

use crate::http::headers::same_for_backends;

/// One thing to tell, in a header of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    SubjectDn,
    IssuerDn,
    Fingerprint,
    ClientVerify,
    SerialNumber,
    Certificate,
    Ciphers,
    End,
    TlsProtocol,
    TlsCipher,
    TlsSni,
    TlsAlpnProtocol,
    TlsResumed,
    TlsJa3,
    TlsJa4,
    /// The name of the certificate that the client is shown.
    TlsCertificateId,
    /// RFC 9440.
    ClientCert,
}

impl Fact {
    /// Whether it is known of clients with a certificate only.
    pub fn is_of_certificate(self) -> bool {
        matches!(
            self,
            Fact::SubjectDn
                | Fact::IssuerDn
                | Fact::Fingerprint
                | Fact::SerialNumber
                | Fact::Certificate
                | Fact::End
                | Fact::ClientCert
        )
    }

    /// The name of the header, unless the configuration gives it another one.
    pub fn usual_name(self) -> &'static str {
        match self {
            Fact::SubjectDn => "X-Forwarded-Clientcert-subjectdn",
            Fact::IssuerDn => "X-Forwarded-Clientcert-issuerdn",
            Fact::Fingerprint => "X-Forwarded-Clientcert-fingerprint",
            Fact::ClientVerify => "X-Forwarded-Clientcert-clientverify",
            Fact::SerialNumber => "X-Forwarded-Clientcert-serialnumber",
            Fact::Certificate => "X-Forwarded-Clientcert",
            Fact::Ciphers => "X-Forwarded-Clientcert-ciphers",
            Fact::End => "X-Forwarded-Clientcert-end",
            Fact::TlsProtocol => "X-Forwarded-TLS-Protocol",
            Fact::TlsCipher => "X-Forwarded-TLS-Cipher",
            Fact::TlsSni => "X-Forwarded-Tls-Sni",
            Fact::TlsAlpnProtocol => "X-Forwarded-Tls-Alpn-Protocol",
            Fact::TlsResumed => "X-Forwarded-Tls-Resumed",
            Fact::TlsJa3 => "X-Forwarded-Tls-Ja3",
            Fact::TlsJa4 => "X-Forwarded-Tls-Ja4",
            Fact::TlsCertificateId => "X-Forwarded-TLS-Certificate-ID",
            Fact::ClientCert => "Client-Cert",
        }
    }
}

/// Which facts are told, each with the name of its header if that is not the usual one.
///
/// Whatever is told or not, a client's own copy of any usual name never passes
/// ([`crate::http::headers::KnownName::ClientIdentity`]), and neither does one of the names given here.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// In the order in which they are written.
    told: Vec<(Fact, Box<str>)>,
    aliases: Vec<Box<str>>,
}

/// What is known of a TLS connection. Absent facts are not told.
#[derive(Clone, Copy, Debug)]
pub struct IdentityFacts<'a> {
    /// `SUCCESS`, `FAILED:reason` or `NONE`.
    pub verify: &'a str,
    /// Only of a certificate that was verified with success: what others say is worth nothing.
    pub certificate: Option<CertificateFacts<'a>>,
    /// The suites that the client offered.
    pub ciphers: Option<&'a str>,
    pub tls_protocol: &'a str,
    pub tls_cipher: &'a str,
    pub tls_sni: Option<&'a str>,
    pub tls_alpn_protocol: Option<&'a str>,
    pub tls_resumed: bool,
    pub tls_ja3: Option<&'a str>,
    pub tls_ja4: Option<&'a str>,
    pub tls_certificate_id: Option<&'a str>,
}

/// In the forms that `docs/client_certificates.md` lists.
#[derive(Clone, Copy, Debug)]
pub struct CertificateFacts<'a> {
    pub subject_dn: &'a str,
    pub issuer_dn: &'a str,
    pub fingerprint: &'a str,
    pub serial_number: &'a str,
    /// PEM, percent-encoded.
    pub certificate: &'a str,
    pub end: &'a str,
    /// RFC 9440.
    pub client_cert: &'a str,
}

impl Identity {
    pub fn new(told: Vec<(Fact, Option<String>)>) -> Identity {
        let aliases = told.iter().filter_map(|(_, alias)| alias.as_deref().map(Box::from)).collect();
        let name = |fact: Fact, alias: Option<String>| {
            (fact, alias.map_or_else(|| fact.usual_name().into(), String::into_boxed_str))
        };
        Identity { told: told.into_iter().map(|(fact, alias)| name(fact, alias)).collect(), aliases }
    }

    /// Whether nothing is told, so that no facts need be gathered.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// What is told.
    pub fn facts(&self) -> impl Iterator<Item = Fact> {
        self.told.iter().map(|(fact, _)| *fact)
    }

    /// Whether trailers could forge a fact: their names are compared with the usual ones only.
    pub fn has_aliases(&self) -> bool {
        !self.aliases.is_empty()
    }

    /// Whether the client's own field of this name must not pass, because it would be taken for ours.
    pub fn withholds(&self, name: &[u8]) -> bool {
        self.aliases.iter().any(|alias| same_for_backends(name, alias.as_bytes()))
    }

    /// Appends the lines of a request head that tell these facts. They are the same for all requests of a
    /// connection.
    pub fn render(&self, facts: &IdentityFacts<'_>, out: &mut Vec<u8>) {
        for (fact, name) in &self.told {
            if let Some(value) = facts.value(*fact) {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b": ");
                push_escaped(out, value.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

impl<'a> IdentityFacts<'a> {
    /// None: it is not known, or nobody may be told.
    pub fn value(&self, fact: Fact) -> Option<&'a str> {
        let certificate = self.certificate.filter(|_| self.verify == SUCCESS);
        match fact {
            Fact::SubjectDn => Some(certificate?.subject_dn),
            Fact::IssuerDn => Some(certificate?.issuer_dn),
            Fact::Fingerprint => Some(certificate?.fingerprint),
            Fact::SerialNumber => Some(certificate?.serial_number),
            Fact::Certificate => Some(certificate?.certificate),
            Fact::End => Some(certificate?.end),
            Fact::ClientCert => Some(certificate?.client_cert),
            Fact::ClientVerify => Some(self.verify),
            Fact::Ciphers => self.ciphers,
            Fact::TlsProtocol => Some(self.tls_protocol),
            Fact::TlsCipher => Some(self.tls_cipher),
            Fact::TlsSni => self.tls_sni,
            Fact::TlsAlpnProtocol => self.tls_alpn_protocol,
            Fact::TlsResumed => Some(if self.tls_resumed { "true" } else { "false" }),
            Fact::TlsJa3 => self.tls_ja3,
            Fact::TlsJa4 => self.tls_ja4,
            Fact::TlsCertificateId => self.tls_certificate_id,
        }
    }
}

const SUCCESS: &str = "SUCCESS";

/// Some of it comes from clients: nothing but visible ASCII and spaces may stand in the line.
pub(super) fn push_escaped(out: &mut Vec<u8>, value: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in value {
        match byte {
            b' '..=b'~' => out.push(byte),
            _ => {
                let digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
                out.extend_from_slice(&[b'\\', digits[0], digits[1]]);
            }
        }
    }
}

/// Why a header may not have this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasError {
    /// Not 1 to 40 lower-case letters, digits, `-` and `_`.
    Form,
    /// One of [`RESERVED_ALIASES`], or a field that means something to every recipient.
    Reserved,
}

/// Whether a client could do without a header of its own of this name, and no other meaning goes with it.
pub fn check_alias(alias: &str) -> Result<(), AliasError> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if !(1..=MAX_ALIAS_LENGTH).contains(&alias.len()) || !alias.bytes().all(is_plain) {
        return Err(AliasError::Form);
    }
    let is_reserved = |name: &&str| same_for_backends(alias.as_bytes(), name.as_bytes());
    let mut reserved = RESERVED_ALIASES.iter().chain(&STANDARD_NAMES);
    if reserved.any(is_reserved) { Err(AliasError::Reserved) } else { Ok(()) }
}

/// Characters of an alias.
pub const MAX_ALIAS_LENGTH: usize = 40;

/// What the cloud products reserve.
pub const RESERVED_ALIASES: [&str; 28] = [
    "slb-id",
    "slb-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-eip",
    "x-forwarded-port",
    "x-forwarded-client-srcport",
    "x-forwarded-host",
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
    "keep-alive",
    "te",
    "host",
    "cookie",
    "remoteip",
    "authority",
    "x-forwarded-for-port",
    "x-forwarded-tls-certificate-id",
    "x-forwarded-tls-protocol",
    "x-forwarded-tls-cipher",
    "x-forwarded-elb-ip",
    "x-forwarded-elb-id",
    "x-forwarded-elb-vip",
    "x-real-ip",
    "x-nuwa-trace-ne-in",
    "x-nuwa-trace-ne-out",
];

/// Fields that requests cannot do without, or that mean something else already.
const STANDARD_NAMES: [&str; 31] = [
    "accept",
    "accept-encoding",
    "alicloud-alb-trace",
    "authorization",
    "cache-control",
    "client-cert",
    "client-cert-chain",
    "content-encoding",
    "content-range",
    "content-type",
    "date",
    "expect",
    "forwarded",
    "http2-settings",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "server",
    "set-cookie",
    "trailer",
    "user-agent",
    "via",
    "x-request-id",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::KnownName;

    const FACTS: [Fact; 17] = [
        Fact::SubjectDn,
        Fact::IssuerDn,
        Fact::Fingerprint,
        Fact::ClientVerify,
        Fact::SerialNumber,
        Fact::Certificate,
        Fact::Ciphers,
        Fact::End,
        Fact::TlsProtocol,
        Fact::TlsCipher,
        Fact::TlsSni,
        Fact::TlsAlpnProtocol,
        Fact::TlsResumed,
        Fact::TlsJa3,
        Fact::TlsJa4,
        Fact::TlsCertificateId,
        Fact::ClientCert,
    ];

    fn facts() -> IdentityFacts<'static> {
        IdentityFacts {
            verify: "SUCCESS",
            certificate: Some(CertificateFacts {
                subject_dn: "CN=www.test.com,O=ELB",
                issuer_dn: "CN=ca",
                fingerprint: "00ff",
                serial_number: "0A",
                certificate: "-----BEGIN%20",
                end: "Dec 31 23:59:59 2030 GMT",
                client_cert: ":AAAA:",
            }),
            ciphers: Some("TLS_AES_128_GCM_SHA256:0x1a1a"),
            tls_protocol: "TLSv1.3",
            tls_cipher: "TLS_AES_128_GCM_SHA256",
            tls_sni: Some("a.example"),
            tls_alpn_protocol: None,
            tls_resumed: false,
            tls_ja3: Some("0a"),
            tls_ja4: None,
            tls_certificate_id: None,
        }
    }

    fn rendered(told: Vec<(Fact, Option<String>)>, facts: &IdentityFacts<'_>) -> String {
        let mut out = Vec::new();
        Identity::new(told).render(facts, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn everything() -> Vec<(Fact, Option<String>)> {
        FACTS.map(|fact| (fact, None)).to_vec()
    }

    #[test]
    fn every_fact_in_its_usual_name() {
        assert_eq!(
            rendered(everything(), &facts()),
            "X-Forwarded-Clientcert-subjectdn: CN=www.test.com,O=ELB\r\n\
             X-Forwarded-Clientcert-issuerdn: CN=ca\r\n\
             X-Forwarded-Clientcert-fingerprint: 00ff\r\n\
             X-Forwarded-Clientcert-clientverify: SUCCESS\r\n\
             X-Forwarded-Clientcert-serialnumber: 0A\r\n\
             X-Forwarded-Clientcert: -----BEGIN%20\r\n\
             X-Forwarded-Clientcert-ciphers: TLS_AES_128_GCM_SHA256:0x1a1a\r\n\
             X-Forwarded-Clientcert-end: Dec 31 23:59:59 2030 GMT\r\n\
             X-Forwarded-TLS-Protocol: TLSv1.3\r\n\
             X-Forwarded-TLS-Cipher: TLS_AES_128_GCM_SHA256\r\n\
             X-Forwarded-Tls-Sni: a.example\r\n\
             X-Forwarded-Tls-Resumed: false\r\n\
             X-Forwarded-Tls-Ja3: 0a\r\n\
             Client-Cert: :AAAA:\r\n"
        );
    }

    #[test]
    fn what_was_not_verified_is_not_told() {
        for (verify, certificate) in [("NONE", None), ("FAILED:certificate has expired", facts().certificate)]
        {
            let lines = rendered(everything(), &IdentityFacts { verify, certificate, ..facts() });
            assert_eq!(lines.lines().count(), 7, "{lines}");
            assert!(lines.contains(&format!("clientverify: {verify}\r\n")), "{lines}");
            assert!(!lines.contains("CN="), "{lines}");
        }
    }

    #[test]
    fn no_value_can_end_its_line() {
        let facts = IdentityFacts { tls_sni: Some("a\r\nHost: b\0\u{e4}"), ..facts() };
        let lines = rendered(vec![(Fact::TlsSni, Some("x-sni".to_owned()))], &facts);
        assert_eq!(lines, "x-sni: a\\0D\\0AHost: b\\00\\C3\\A4\r\n");
    }

    #[test]
    fn no_copy_of_a_client_passes() {
        for fact in FACTS {
            let name = fact.usual_name();
            for spelling in [name.to_owned(), name.to_lowercase(), name.to_uppercase().replace('-', "_")] {
                assert_eq!(KnownName::of(spelling.as_bytes()), KnownName::ClientIdentity, "{spelling}");
            }
        }
        let identity = Identity::new(vec![(Fact::SubjectDn, Some("x-client_subject".to_owned()))]);
        assert!(identity.has_aliases() && !identity.is_empty());
        for spelling in ["x-client_subject", "X-Client-Subject", "X_CLIENT_SUBJECT"] {
            assert!(identity.withholds(spelling.as_bytes()), "{spelling}");
        }
        assert!(!identity.withholds(b"x-client-subjects"));
        assert!(!Identity::new(everything()).has_aliases());
    }

    #[test]
    fn aliases() {
        let longest = "a".repeat(MAX_ALIAS_LENGTH);
        for alias in ["x-client-subject", "a", "x_1", &longest, "x-forwarded-clientcert-dn"] {
            assert_eq!(check_alias(alias), Ok(()), "{alias}");
        }
        for alias in ["", "X-Client", "a b", "a:", "a\u{e4}", &format!("{longest}a")] {
            assert_eq!(check_alias(alias), Err(AliasError::Form), "{alias}");
        }
        for alias in
            ["slb_id", "user-agent", "date", "expect", "trailer", "referer", "server", "max-forwards"]
        {
            assert_ne!(KnownName::of(alias.as_bytes()), KnownName::Other);
            assert_eq!(check_alias(alias), Err(AliasError::Reserved), "{alias}");
        }
        for alias in
            ["host", "te", "x_forwarded_for", "x-real-ip", "authorization", "client_cert", "x-request-id"]
        {
            assert_eq!(check_alias(alias), Err(AliasError::Reserved), "{alias}");
        }
    }
}
