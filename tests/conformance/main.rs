//! What the RFCs demand of Ringway on the wire: one function per MUST, named after it.
//!
//! `docs/conformance.md` is the table of all sections, with the deliberate deviations.

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/http2.rs"]
mod http2_end;

mod scene;

mod rfc7541;
mod rfc9110;
mod rfc9112;
mod rfc9113;
mod rfc9114;
mod rfc9204;
