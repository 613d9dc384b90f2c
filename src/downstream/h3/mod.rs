//! HTTP/3 on a client's connection (RFC 9114): each request is a task of its own, which reads its stream and writes to it.
//!
//! QUIC keeps the streams apart, so that nothing has to be driven here but the connection itself (`driver.rs`): who may open
//! what, and when it ends. What the tasks have in common is in `shared.rs`; `head.rs` reads heads, `unidirectional.rs` the
//! client's control stream, `control.rs` writes ours; a stream as an exchange sees it is in `stream.rs`, `body.rs` and `reply.rs`.

mod body;
mod control;
mod driver;
mod halves;
mod head;
mod listener;
mod reply;
mod shared;
pub mod socket;
mod socket_counts;
mod stream;
mod unidirectional;
