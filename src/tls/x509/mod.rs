//! Certificates: X.509 with its names, keys, revocation lists and OCSP responses, from the bytes of PEM and DER
//! to what handshakes need. Nothing here knows of a connection.

pub mod algorithms;
pub mod ca;
pub mod ca_files;
pub mod ca_findings;
pub mod certificate_faults;
pub mod certificates;
pub mod client_certificate;
pub mod client_error;
mod der;
mod distinguished_name;
mod extensions;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub(super) mod name_pattern;
mod ocsp;
pub(super) mod parsed;
mod pem;
mod private_key;
mod revocation;
pub mod self_signed;
pub(super) mod version_1;
