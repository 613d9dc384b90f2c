//! Who decides whether a client may begin, and who serves it.

use std::net::IpAddr;
use std::net::SocketAddr;

use crate::quic::connection::QuicConnection;
use crate::tls::accept::HandshakeError;

/// A client that wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newcomer {
    pub peer: SocketAddr,
    /// The address that it has asked; None where the socket has one alone.
    pub local: Option<IpAddr>,
    /// It has shown that it receives at its address.
    pub is_validated: bool,
}

/// What serves a connection, or hears that there is none after all: its first message was not good enough. It begins a task
/// and does nothing else.
pub type Serve = Box<dyn FnOnce(Result<QuicConnection, HandshakeError>)>;

/// What becomes of a newcomer.
pub enum Admission {
    Serve(Serve),
    /// It has to show that it receives at its address, and is asked for again then (RFC 9000 §8.1.2).
    Retry,
    /// It is told so, and may try something else at once.
    Refuse,
    /// It hears nothing.
    Ignore,
}

/// Asked once for each connection, before anything of its handshake is calculated; of who is ignored, for each attempt. It may
/// not call the endpoint.
pub type Admit = Box<dyn Fn(&Newcomer) -> Admission>;
