//! HTTP/3 of a listener, and what its clients are told of it.

use std::sync::Arc;

use crate::tls::quic_keys::QuicKeys;

/// What connections of QUIC are begun with, beside the TLS of the listener.
pub struct QuicTerms {
    pub keys: Arc<QuicKeys>,
    /// Of this process: connection IDs say so.
    pub generation: u8,
}

/// What responses tell of HTTP/3 (RFC 7838 §3).
pub struct AltSvc {
    /// While there is a listener; None: nothing.
    value: Option<Box<str>>,
}

/// In seconds. A browser that has once changed to HTTP/3 begins with it for as long.
const MAX_AGE: u32 = 86_400;

/// "the origin's alternative services are to be invalidated" (RFC 7838 §3).
const NONE: &str = "clear";

impl AltSvc {
    /// HTTP/3 is at this port of the same host.
    pub fn at_port(port: u16) -> AltSvc {
        AltSvc { value: Some(format!("h3=\":{port}\"; ma={MAX_AGE}").into()) }
    }

    /// HTTP/3 was there, and browsers may remember it.
    pub fn no_more() -> AltSvc {
        AltSvc { value: Some(NONE.into()) }
    }

    /// Over HTTP/3 itself, where another listener has told of it: nothing is to be told before the end.
    pub fn at_the_end() -> AltSvc {
        AltSvc { value: None }
    }

    /// The value of the field, if there is to be one; `is_ending`: nobody is to begin any more.
    pub fn value(&self, is_ending: bool) -> Option<&[u8]> {
        if is_ending { Some(NONE.as_bytes()) } else { self.value.as_deref().map(str::as_bytes) }
    }
}
