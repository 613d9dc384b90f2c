//! The codecs on a bad wire: whatever way the input is cut into reads, the outcome is the same.

#[path = "../support/smuggling_corpus.rs"]
mod smuggling_corpus;

mod wire;

mod h2;
mod h3;
mod proxy_protocol;
mod requests;
mod responses;
