//! TLS 1.2 and 1.3 by rustls, over our own buffers: the only module that sees keys and handshakes.
//!
//! rustls does handshakes, and all of TLS 1.2; the records of TLS 1.3 are sealed and opened here. None of
//! it does any I/O but [`stream`].

pub mod accept;
pub mod blocking;
pub mod cipher_names;
pub mod client_hello;
pub mod client_verifier;
pub mod connect;
pub mod fingerprint;
mod framing;
pub mod quic;
pub mod quic_hello;
pub mod quic_keys;
mod record;
mod server_configs;
mod session;
pub mod sni;
pub mod stream;
pub mod sticky_key;
pub mod tickets;
pub mod tls_policy;
pub mod transport;
pub mod x509;
mod zero_rtt;

use std::sync::Arc;

use arc_swap::ArcSwap;

/// Something that the slow side replaces while workers read it. Neither waits for the other.
pub struct SwapCell<T>(ArcSwap<T>);

impl<T> SwapCell<T> {
    pub fn new(first: T) -> SwapCell<T> {
        SwapCell(ArcSwap::from_pointee(first))
    }

    pub fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    pub fn publish(&self, next: T) {
        self.0.store(Arc::new(next));
    }
}

/// Any bytes as records, and as orders to the two ends of a connection.
#[cfg(any(test, fuzzing))]
pub fn fuzz_records(bytes: &[u8]) {
    session::fuzz::fuzz_records(bytes);
}
