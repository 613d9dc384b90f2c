//! What can be wrong with the files of a certificate, in words, each with its fix.

use crate::tls::x509::ocsp::StapleFault;
use crate::tls::x509::pem::PemError;

/// Which of the files of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Chain,
    Key,
    Staple,
    /// What the configuration says of its names.
    Names,
}

/// One thing that was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFinding {
    pub part: Part,
    /// As it is shown to the operator.
    pub file: String,
    pub fault: CertificateFault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    File(FileFault),
    Chain(ChainFault),
    Key(KeyFault),
    Staple(StapleFault),
    /// What stands among the names that were chosen and is none of its own.
    ForeignName {
        name: String,
        own: Vec<String>,
    },
    /// It works, but perhaps not as meant.
    Remark(Remark),
}

/// What is wrong before anything is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFault {
    Unreadable(String),
    TooLarge,
    Empty,
    /// Binary: DER, or PKCS#12.
    Binary,
    /// Text without any `-----BEGIN`.
    NoPem,
    Pem(PemError),
    DhParameters {
        line: usize,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainFault {
    /// There is a private key instead.
    HoldsKey,
    HoldsRequest,
    /// With the label of what there is.
    NoCertificate(String),
    /// It has this many.
    TooMany(usize),
    Malformed {
        line: usize,
    },
    /// The leaf is the certificate with this number.
    LeafNotFirst(usize),
    /// This certificate did not issue the one before it.
    NotIssuer {
        number: usize,
        wanted: String,
        found: String,
    },
    /// This certificate has the name of the issuer of the one before it, but another key.
    OtherIssuer(usize),
    /// This certificate is a second leaf.
    SecondLeaf(usize),
    WeakRsa(usize),
    LongRsa(usize),
    UnknownKeyType(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    HoldsCertificate,
    /// With the label of what there is.
    NoKey(String),
    Several(usize),
    Encrypted,
    Malformed {
        line: usize,
    },
    /// What the certificate has, what the key is, and the file of the certificate.
    OfAnotherCertificate {
        certificate: String,
        key: String,
        chain: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// The certificate with this number, since when.
    Expired(usize, String),
    NotYetValid(usize, String),
    NoNames,
    /// Only the common name says whose it is.
    CommonNameAlone,
    /// A name that no client can ask for.
    UselessName(String),
    Sha1,
    StapleExpired,
    StapleRevoked,
}

impl CertificateFinding {
    pub fn is_warning(&self) -> bool {
        matches!(self.fault, CertificateFault::Remark(_))
    }

    /// Whether it matters only where the certificate is shown to clients by its names.
    pub fn is_about_names(&self) -> bool {
        matches!(
            self.fault,
            CertificateFault::Remark(Remark::NoNames | Remark::CommonNameAlone | Remark::UselessName(_))
        )
    }

    /// Whether it is right for some clients, so that the operator may have meant it.
    pub fn is_note(&self) -> bool {
        matches!(self.fault, CertificateFault::Remark(Remark::CommonNameAlone))
    }

    /// One sentence that names the file.
    pub fn message(&self) -> String {
        let file = &self.file;
        match &self.fault {
            CertificateFault::File(fault) => file_words(file, fault).0,
            CertificateFault::Chain(fault) => chain_words(file, fault).0,
            CertificateFault::Key(fault) => key_words(file, fault).0,
            CertificateFault::Staple(fault) => staple_words(file, fault).0,
            CertificateFault::ForeignName { name, own } => name_words(file, name, own).0,
            CertificateFault::Remark(remark) => remark_words(file, remark).0,
        }
    }

    /// What to do about it.
    pub fn fix(&self) -> String {
        let file = &self.file;
        match &self.fault {
            CertificateFault::File(fault) => file_words(file, fault).1,
            CertificateFault::Chain(fault) => chain_words(file, fault).1,
            CertificateFault::Key(fault) => key_words(file, fault).1,
            CertificateFault::Staple(fault) => staple_words(file, fault).1,
            CertificateFault::ForeignName { name, own } => name_words(file, name, own).1,
            CertificateFault::Remark(remark) => remark_words(file, remark).1,
        }
    }
}

/// Names of a certificate that are told where another one is asked for.
const MAX_NAMES_TOLD: usize = 20;

/// The message and the fix.
type Words = (String, String);

fn words(message: String, fix: impl Into<String>) -> Words {
    (message, fix.into())
}

fn name_words(file: &str, name: &str, own: &[String]) -> Words {
    let shown = own.iter().take(MAX_NAMES_TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    let fix = match own.len().checked_sub(MAX_NAMES_TOLD) {
        _ if own.is_empty() => "it has no names; remove `names`".to_owned(),
        Some(more @ 1..) => format!("its names are {shown} and {more} more"),
        _ => format!("its names are {shown}"),
    };
    words(format!("\"{}\" is no name of the certificate in {file}", name.escape_debug()), fix)
}

fn file_words(file: &str, fault: &FileFault) -> Words {
    match fault {
        FileFault::Unreadable(reason) => {
            words(format!("cannot read {file}: {reason}"), "name a file that ringway may read")
        }
        FileFault::TooLarge => words(
            format!("{file} is larger than 1 MiB"),
            "name the file of this certificate alone: the leaf, then its intermediates",
        ),
        FileFault::Empty => words(format!("{file} is empty"), "write the PEM text into it"),
        FileFault::Binary => words(
            format!("{file} is binary, but must be PEM text"),
            format!(
                "convert it: openssl x509 -inform DER -in {file} (a certificate), openssl pkey -inform DER -in {file} \
                 (a key), openssl pkcs12 -nodes -in {file} (a .p12 or .pfx file with both)"
            ),
        ),
        FileFault::NoPem => words(
            format!("{file} is not PEM: it has no -----BEGIN line"),
            "name the file whose text begins with -----BEGIN",
        ),
        FileFault::Pem(error) => pem_words(file, error),
        FileFault::DhParameters { line } => words(
            format!("{file} has DH PARAMETERS in line {line}, which Ringway never uses"),
            "remove the lines from -----BEGIN DH PARAMETERS----- to its END: all key exchange is ECDHE or hybrid",
        ),
    }
}

fn pem_words(file: &str, error: &PemError) -> Words {
    match error {
        PemError::NoLineEnds { line } => words(
            format!("{file}: there is more in line {line} than a -----BEGIN or -----END line has"),
            "line ends got lost when the text was copied, often in a variable; copy it again with all of them",
        ),
        PemError::NoEnd { line, label } => words(
            format!("{file}: -----BEGIN {label}----- in line {line} has no -----END {label}-----"),
            "the text was cut when it was copied; copy it whole, with its last line",
        ),
        PemError::WrongEnd { line } => words(
            format!("{file}: the -----END line {line} belongs to no -----BEGIN line"),
            "the text was mixed up when it was copied; copy each part whole",
        ),
        PemError::NotBase64 { line } => words(
            format!("{file}: line {line} is not base64"),
            "copy the text again, without anything between the -----BEGIN and -----END lines",
        ),
        PemError::CutShort { line } => words(
            format!("{file}: what begins in line {line} is cut short"),
            "copy the text again; some of its characters are missing",
        ),
    }
}

fn chain_words(file: &str, fault: &ChainFault) -> Words {
    match fault {
        ChainFault::HoldsKey => words(
            format!("{file} holds a private key, but no certificate"),
            "are `chain` and `key` swapped? `chain` names the certificate",
        ),
        ChainFault::HoldsRequest => words(
            format!("{file} holds a certificate request, but no certificate"),
            "name the certificate that the authority made of the request",
        ),
        ChainFault::NoCertificate(label) => words(
            format!("{file} holds no certificate, but {label}"),
            "name the file with -----BEGIN CERTIFICATE-----",
        ),
        ChainFault::TooMany(count) => words(
            format!("{file} holds {count} certificates; a chain has at most 11"),
            "keep the leaf and the intermediates that issued it; this looks like a bundle of roots",
        ),
        ChainFault::Malformed { line } => words(
            format!("{file}: the certificate in line {line} is not a valid X.509 certificate"),
            format!("get it again from its authority; openssl x509 -noout -text -in {file} shows what it is"),
        ),
        ChainFault::LeafNotFirst(number) => words(
            format!("{file}: the key belongs to certificate {number}, which must stand first"),
            "put the certificate of the site first, then the one that issued it, and so on",
        ),
        ChainFault::NotIssuer { number, wanted, found } => words(
            format!(
                "{file}: certificate {number} (\"{found}\") did not issue the one before it, which \"{wanted}\" issued"
            ),
            "order them so that each is issued by the next, and remove what does not belong",
        ),
        ChainFault::OtherIssuer(number) => words(
            format!(
                "{file}: certificate {number} has the right name, but not the key that signed the one before it"
            ),
            "the authority has several certificates of this name; get the chain that came with this certificate",
        ),
        ChainFault::SecondLeaf(number) => words(
            format!("{file}: certificate {number} is a second certificate of a site"),
            "a chain has one leaf; write a [[certificate]] for each",
        ),
        ChainFault::WeakRsa(bits) => words(
            format!("{file}: an RSA key of {bits} bits is too weak; clients refuse it, and so does Ringway"),
            "get a certificate with an RSA key of 2048 bits or an ECDSA key (P-256)",
        ),
        ChainFault::LongRsa(bits) => words(
            format!("{file}: an RSA key of {bits} bits is longer than the 8192 that are supported"),
            "get a certificate with an RSA key of 2048 to 8192 bits or an ECDSA key (P-256)",
        ),
        ChainFault::UnknownKeyType(kind) => words(
            format!("{file}: keys of the type {kind} are not supported"),
            "get a certificate with an ECDSA key (P-256, P-384, P-521), Ed25519, or RSA of 2048 to 8192 bits",
        ),
    }
}

fn key_words(file: &str, fault: &KeyFault) -> Words {
    match fault {
        KeyFault::HoldsCertificate => words(
            format!("{file} holds a certificate, but no private key"),
            "are `chain` and `key` swapped? `key` names the private key",
        ),
        KeyFault::NoKey(label) => words(
            format!("{file} holds no private key, but {label}"),
            "name the file with -----BEGIN PRIVATE KEY-----, RSA PRIVATE KEY or EC PRIVATE KEY",
        ),
        KeyFault::Several(count) => words(
            format!("{file} holds {count} private keys"),
            "keep the one that belongs to the certificate",
        ),
        KeyFault::Encrypted => words(
            format!("{file} is encrypted with a passphrase, which nobody can type at a start"),
            format!(
                "decrypt it: openssl pkey -in {file} -out {file}.plain; protect the new file by its mode (0600)"
            ),
        ),
        KeyFault::Malformed { line } => words(
            format!("{file}: the key in line {line} is damaged, or of a type that is not supported"),
            format!(
                "see what it is: openssl pkey -noout -text -in {file}; supported are RSA of 2048 to 8192 bits, ECDSA P-256, P-384, P-521, and Ed25519"
            ),
        ),
        KeyFault::OfAnotherCertificate { certificate, key, chain } => words(
            format!("{file} ({key}) is not the key of the certificate in {chain} ({certificate})"),
            format!(
                "name the key that the certificate was requested with; these must print the same: openssl pkey -pubout -in {file} and openssl x509 -noout -pubkey -in {chain}"
            ),
        ),
    }
}

fn staple_words(file: &str, fault: &StapleFault) -> Words {
    let again = "get a fresh response: openssl ocsp -issuer ISSUER -cert CERT -url URL -respout FILE";
    match fault {
        StapleFault::Pem => words(format!("{file} is PEM text, but a staple is binary (DER)"), again),
        StapleFault::Malformed => words(format!("{file} is not an OCSP response"), again),
        StapleFault::Refused(status) => {
            words(format!("{file}: the responder refused to answer (status {status})"), again)
        }
        StapleFault::OtherCertificate => {
            words(format!("{file} says nothing of this certificate: it has another serial number"), again)
        }
    }
}

fn remark_words(file: &str, remark: &Remark) -> Words {
    let which = |number: &usize| match number {
        1 => "the certificate".to_owned(),
        _ => format!("certificate {number}"),
    };
    match remark {
        Remark::Expired(number, when) => words(
            format!("{file}: {} expired on {when}; clients will refuse it", which(number)),
            "renew it; it serves as it is until then",
        ),
        Remark::NotYetValid(number, when) => words(
            format!("{file}: {} is not valid before {when}; clients will refuse it", which(number)),
            "look at the clock of this host, or wait; it serves as it is until then",
        ),
        Remark::NoNames => words(
            format!("{file}: the certificate names no host; it can only be the default of a listener"),
            "get a certificate whose subjectAltName lists the names of the site",
        ),
        Remark::CommonNameAlone => words(
            format!("{file}: the certificate has no subjectAltName; browsers and others refuse it"),
            "get one with the names of the site (openssl: -addext subjectAltName=DNS:www.example.com)",
        ),
        Remark::UselessName(name) => words(
            format!("{file}: \"{name}\" is no name that a client can ask for, and is ignored"),
            "one `*` may stand at the very left: *.example.com or *test.example.com",
        ),
        Remark::Sha1 => words(
            format!("{file}: the certificate is signed with SHA-1; clients will refuse it"),
            "have it signed again with SHA-256 (openssl: -sha256)",
        ),
        Remark::StapleExpired => words(
            format!("{file}: the OCSP response has expired; clients will not accept it"),
            "get a fresh response: openssl ocsp -issuer ISSUER -cert CERT -url URL -respout FILE",
        ),
        Remark::StapleRevoked => words(
            format!("{file}: the OCSP response says that the certificate is revoked"),
            "get another certificate, with another key",
        ),
    }
}
