//! TLS 1.2 and 1.3 by rustls, over our own buffers: the only module that sees keys and handshakes.
//!
//! rustls does the protocol and never any I/O; what it must remember of a connection is about 2 KiB.

pub mod client_verifier;
pub mod client_error;
pub mod authorities;
pub mod ca_files;
pub mod ca_findings;
pub mod client_certificate;
pub mod cipher_names;
pub mod x509_v1;
mod distinguished_name;
mod revocation;
mod x509;
mod der;
