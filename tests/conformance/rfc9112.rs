//! RFC 9112, HTTP/1.1.

mod connections;
mod fields;
mod framing;
mod messages;
mod targets;
