//! Sessions of UDP on their way to the process that goes on with them.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The sessions of one socket that clients send to.
#[derive(Debug, Default)]
pub struct HandedSessions {
    /// What tells the socket from all others of the host, in whichever process it is.
    pub socket: u64,
    /// The worker of this process that gave them away.
    pub worker: usize,
    /// What the queue of the socket has lost, as far as it was counted.
    pub lost: u32,
    pub sessions: Vec<HandedSession>,
    /// It is a socket of QUIC, whose connections stay where they are.
    pub quic: Option<HandedQuic>,
}

/// How another process gets what comes for its connections of QUIC.
#[derive(Debug)]
pub struct HandedQuic {
    /// The end of a socket that keeps packets apart.
    pub way: OwnedFd,
    /// The IDs that clients have chosen for connections that were begun a moment ago.
    pub beginnings: Vec<Vec<u8>>,
}

/// One session, and what was counted of it.
#[derive(Debug)]
pub struct HandedSession {
    pub client: SocketAddr,
    /// The address that the client sends to and the index of its interface, where the socket has several.
    pub local: Option<(IpAddr, u32)>,
    /// None: its next datagram chooses a backend.
    pub upstream: Option<HandedUpstream>,
    /// The lower half of the identity of the backend that refused last.
    pub refused_by: Option<u32>,
    /// How often another backend took the place of one.
    pub moves: u32,
    /// When it began, on the clock that all workers share.
    pub began_ns: u64,
    /// Since the last datagram of either side.
    pub silent: Duration,
    /// Datagrams and their bytes.
    pub from_client: (u64, u64),
    pub from_backend: (u64, u64),
    /// It waits for answers alone: the next datagram of its client begins another one.
    pub has_all_requests: bool,
}

/// Where a session goes.
#[derive(Debug)]
pub struct HandedUpstream {
    /// The name of the group.
    pub group: String,
    /// That of the backend.
    pub identity: u64,
    /// Connected to the backend.
    pub socket: OwnedFd,
}
