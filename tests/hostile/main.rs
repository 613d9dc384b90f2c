//! Peers that mean harm, against the real binary.

#[path = "../support/smuggling_corpus.rs"]
mod smuggling_corpus;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/http2.rs"]
mod http2_end;

mod floods;
mod http2;
mod http2_memory;
mod http2_sockets;
mod http3;
mod oversize;
mod slow_peers;
mod smuggling;
mod tls_floods;
