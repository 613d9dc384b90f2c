//! Peers that mean harm, against the real binary.

#[path = "../support/smuggling_corpus.rs"]
mod smuggling_corpus;
#[path = "../support/mod.rs"]
mod support;

mod floods;
mod oversize;
mod slow_peers;
mod smuggling;
mod tls_floods;
