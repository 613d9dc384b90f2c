//! The client's side of what is relayed.

use std::net::SocketAddr;

use crate::net::buffer::Buffer;
use crate::net::socket::Socket;
use crate::snapshot::client_connections::ClientShare;
use crate::tls::client_hello::HelloNames;
use crate::tls::transport::Transport;
use crate::upstream::proxied_client::ProxiedTls;
use crate::upstream::proxied_client::ToldClient;
use crate::worker::counted::CountedConnection;

/// A connection of a client that is ready to be relayed.
pub struct ClientConnection {
    pub transport: Transport,
    /// What was received already.
    pub input: Option<Buffer>,
    pub who: RelayedClient,
    /// What backends are told of it, where they want that; gone once one is connected to.
    pub told: Option<Box<ToldClient>>,
    /// By which names the client wants to go on, in TLS; None in cleartext.
    pub names: Option<Box<HelloNames>>,
}

/// Who it is, and what it counts for.
pub struct RelayedClient {
    /// The TCP peer, or who its PROXY header says it speaks for.
    pub peer: SocketAddr,
    /// The port that the client connected to.
    pub port: u16,
    /// What lines of the logs tell of TLS; empty in cleartext.
    pub tls_log_fields: Box<[u8]>,
    pub counted: CountedConnection,
    /// What the client counts for, where connections of each are limited.
    pub share: Option<Box<ClientShare>>,
}

impl ClientConnection {
    /// One that has rested.
    pub(super) fn resumed(who: RelayedClient, socket: Socket) -> Box<ClientConnection> {
        let transport = Transport::Plain(socket);
        Box::new(ClientConnection { transport, input: None, told: None, names: None, who })
    }

    /// What backends are told. `tls` is None in cleartext; `tlvs` came in front of the connection.
    pub fn told(
        client: SocketAddr,
        destination: SocketAddr,
        tls: Option<Box<ProxiedTls>>,
        tlvs: Box<[u8]>,
    ) -> Box<ToldClient> {
        Box::new(ToldClient { client, destination, tls, passed_name: Box::default(), received: tlvs })
    }
}
