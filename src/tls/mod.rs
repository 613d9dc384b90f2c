//! TLS 1.2 and 1.3 by rustls, over our own buffers: the only module that sees keys and handshakes.
//!
//! rustls does the protocol and never any I/O; what it must remember of a connection is about 2 KiB.

pub mod certificate_faults;
pub mod certificates;
mod ocsp;
mod pem;
mod private_key;
pub mod self_signed;
pub mod sni;
pub mod tls_policy;
