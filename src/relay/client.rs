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
    /// The TCP peer, or who its PROXY header says it speaks for.
    pub peer: SocketAddr,
    /// The port that the client connected to.
    pub port: u16,
    /// What backends are told of it, where they want that; gone once one is connected to.
    pub told: Option<Box<ToldClient>>,
    /// By which names the client wants to go on, in TLS; None in cleartext.
    pub names: Option<Box<HelloNames>>,
    /// What lines of the logs tell of TLS; empty in cleartext.
    pub tls_log_fields: Box<[u8]>,
    pub counted: CountedConnection,
    /// What the client counts for, where connections of each are limited.
    pub share: Option<Box<ClientShare>>,
}

/// What stays of a [`ClientConnection`] while it rests.
pub(super) struct RestingClient {
    peer: SocketAddr,
    port: u16,
    tls_log_fields: Box<[u8]>,
    counted: CountedConnection,
    share: Option<Box<ClientShare>>,
}

impl ClientConnection {
    /// What goes on while the connection rests, but for its socket.
    pub(super) fn into_resting(self) -> RestingClient {
        let ClientConnection { peer, port, tls_log_fields, counted, share, .. } = self;
        RestingClient { peer, port, tls_log_fields, counted, share }
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

impl RestingClient {
    pub(super) fn into_connection(self, socket: Socket) -> Box<ClientConnection> {
        let RestingClient { peer, port, tls_log_fields, counted, share } = self;
        Box::new(ClientConnection {
            transport: Transport::Plain(socket),
            input: None,
            peer,
            port,
            told: None,
            names: None,
            tls_log_fields,
            counted,
            share,
        })
    }
}
