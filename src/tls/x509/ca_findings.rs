//! What may be wrong with the files of a `[[ca]]`, in words, each with its fix.

/// Something about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaFinding {
    /// As the operator knows it.
    pub file: String,
    pub problem: Problem,
}

/// Names are distinguished names as text. Numbers count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    // Errors.
    NotPem,
    /// Binary where PEM is wanted.
    Der,
    BrokenPem {
        number: usize,
    },
    PrivateKey,
    NoCertificate,
    BadCertificate {
        number: usize,
    },
    NotACa {
        subject: String,
    },
    NoCrl,
    BadCrl,
    UnsupportedCrl,
    CrlOfStranger {
        issuer: String,
    },
    CrlBadSignature {
        issuer: String,
    },
    CrlSignedWithSha1 {
        issuer: String,
    },
    // Warnings.
    CaExpired {
        subject: String,
        date: String,
    },
    CaNotYetValid {
        subject: String,
        date: String,
    },
    WeakKey {
        subject: String,
        bits: usize,
    },
    CaSignedWithSha1 {
        subject: String,
    },
    CaRevoked {
        subject: String,
    },
    CaWithoutCrl {
        subject: String,
    },
    StaleCrl {
        issuer: String,
        date: String,
    },
}

impl Problem {
    /// Whether nobody can be verified with these files.
    pub fn is_error(&self) -> bool {
        !matches!(
            self,
            Problem::CaExpired { .. }
                | Problem::CaNotYetValid { .. }
                | Problem::WeakKey { .. }
                | Problem::CaSignedWithSha1 { .. }
                | Problem::CaRevoked { .. }
                | Problem::CaWithoutCrl { .. }
                | Problem::StaleCrl { .. }
        )
    }
}

impl CaFinding {
    pub fn message(&self) -> String {
        let file = &self.file;
        match &self.problem {
            Problem::NotPem => format!("{file} is not a PEM file"),
            Problem::Der => format!("{file} is binary, not PEM"),
            Problem::BrokenPem { number } => format!("piece {number} of {file} is broken PEM"),
            Problem::PrivateKey => format!("there is a private key in {file}"),
            Problem::NoCertificate => format!("there is no certificate in {file}"),
            Problem::BadCertificate { number } => {
                format!("certificate {number} of {file} cannot be read")
            }
            Problem::NotACa { subject } => format!("\"{subject}\" in {file} is not a CA certificate"),
            Problem::NoCrl => format!("there is no CRL in {file}"),
            Problem::BadCrl => format!("the CRL in {file} cannot be read"),
            Problem::UnsupportedCrl => {
                format!("the CRL in {file} is a delta, or one for some certificates of its CA only")
            }
            Problem::CrlOfStranger { issuer } => {
                format!("the CRL in {file} is of \"{issuer}\", which is not in the bundle")
            }
            Problem::CrlBadSignature { issuer } => {
                format!("the CRL in {file} is not signed with the key of \"{issuer}\" in the bundle")
            }
            Problem::CrlSignedWithSha1 { issuer } => {
                format!("the CRL of \"{issuer}\" in {file} is signed with SHA-1")
            }
            Problem::CaExpired { subject, date } => format!("\"{subject}\" in {file} has expired on {date}"),
            Problem::CaNotYetValid { subject, date } => {
                format!("\"{subject}\" in {file} is not valid before {date}")
            }
            Problem::WeakKey { subject, bits } => {
                format!("\"{subject}\" in {file} has an RSA key of {bits} bits only")
            }
            Problem::CaSignedWithSha1 { subject } => format!("\"{subject}\" in {file} is signed with SHA-1"),
            Problem::CaRevoked { subject } => format!("\"{subject}\" in {file} is revoked by its own CA"),
            Problem::CaWithoutCrl { subject } => {
                format!("\"{subject}\" in {file} has no CRL, while others of this [[ca]] have one")
            }
            Problem::StaleCrl { issuer, date } => {
                format!("the CRL of \"{issuer}\" in {file} has expired: its nextUpdate was {date}")
            }
        }
    }

    pub fn fix(&self) -> String {
        let file = &self.file;
        match &self.problem {
            Problem::NotPem | Problem::NoCertificate => {
                "name the file that begins with -----BEGIN CERTIFICATE-----".to_owned()
            }
            Problem::Der => format!("convert it: openssl x509 -inform DER -in {file} -out ca.crt"),
            Problem::BrokenPem { .. } => {
                "a piece is lost or changed: copy the file again, from -----BEGIN to -----END".to_owned()
            }
            Problem::PrivateKey => {
                "keys do not belong to CA certificates: take it out, and think of it as known to others"
                    .to_owned()
            }
            Problem::BadCertificate { .. } => format!("look at it with: openssl x509 -text -in {file}"),
            Problem::NotACa { .. } => "leave only the certificates of the CA in the bundle".to_owned(),
            Problem::NoCrl | Problem::BadCrl => {
                format!("look at it with: openssl crl -text -in {file}")
            }
            Problem::UnsupportedCrl => "give the complete CRL of the CA".to_owned(),
            Problem::CrlOfStranger { .. } => "add the certificate of that CA to the bundle".to_owned(),
            Problem::CrlBadSignature { .. } => {
                "give the CRL and the certificate that the CA uses now".to_owned()
            }
            Problem::CrlSignedWithSha1 { .. } => {
                "let the CA sign with SHA-256: openssl ca -gencrl -md sha256".to_owned()
            }
            Problem::CaExpired { .. } => "its clients are refused: replace it".to_owned(),
            Problem::CaNotYetValid { .. } => {
                "its clients are refused: look at the clock of this host".to_owned()
            }
            Problem::WeakKey { .. } => {
                format!("what it signs is refused: give the CA a key of {} bits", 2048)
            }
            Problem::CaSignedWithSha1 { .. } => {
                "clients' certificates that are signed so are refused: sign them with -sha256".to_owned()
            }
            Problem::CaRevoked { .. } => "it is not trusted: remove it from the bundle".to_owned(),
            Problem::CaWithoutCrl { .. } => "its clients are refused: add its CRL".to_owned(),
            Problem::StaleCrl { .. } => {
                "certificates of this CA are refused: fetch its present CRL".to_owned()
            }
        }
    }
}
