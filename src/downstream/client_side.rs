//! The client of a connection, whatever carries its requests.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use crate::downstream::admission::Share;
use crate::downstream::coverage::Coverage;
use crate::exchange::client_tls::ClientTls;
use crate::exchange::message::Origin;
use crate::exchange::proxied::ClientAddresses;
use crate::exchange::proxied::ProxiedCell;
use crate::exchange::proxied::ReceivedHeader;
use crate::snapshot::HttpListener;
use crate::snapshot::Listener;
use crate::worker::Worker;
use crate::worker::counted::CountedConnection;

/// Who it is, by which listener it came, and what it counts for.
pub(super) struct ClientSide {
    /// The peer, or who its PROXY header says it speaks for.
    pub(super) peer: SocketAddr,
    /// The port that the client connected to.
    pub(super) port: u16,
    /// What the handshake told; None in cleartext.
    pub(super) tls: Option<Box<ClientTls>>,
    /// With several requests at a time over TLS, and with HTTP/1.1 where the listener wants that: for whom the connection was
    /// opened.
    pub(super) coverage: Option<Box<Coverage>>,
    /// What a PROXY header told besides.
    pub(super) received: Option<Box<ReceivedHeader>>,
    /// For backends that are told of it.
    proxied: ProxiedCell,
    /// What it counts for, where connections of each client are limited.
    pub(super) share: Share,
    pub(super) counted: CountedConnection,
}

impl ClientSide {
    pub(super) fn new(peer: SocketAddr, port: u16, counted: CountedConnection) -> ClientSide {
        ClientSide {
            peer,
            port,
            tls: None,
            coverage: None,
            received: None,
            proxied: ProxiedCell::default(),
            share: None,
            counted,
        }
    }

    /// The listener's slot.
    pub(super) fn listener(&self) -> usize {
        self.counted.listener()
    }

    /// Where its requests come from; `own` is the address that it connected to, if that is known. None where the listener
    /// serves no HTTP.
    pub(super) fn origin<'o>(
        &'o self,
        listener: &'o Listener,
        own: impl FnOnce() -> Option<SocketAddr>,
    ) -> Option<Origin<'o>> {
        let http = listener.http()?;
        let client_tls = self.tls.as_deref();
        let proxied = listener.writes_proxy_headers.then(|| {
            let told = (client_tls, self.received.as_deref());
            self.proxied.client(|| self.addresses(own), told, self.counted.worker())
        });
        Some(Origin { listener, http, peer: self.peer, port: self.port, client_tls, proxied })
    }

    /// `own` as with [`ClientSide::origin`].
    pub(super) fn addresses(&self, own: impl FnOnce() -> Option<SocketAddr>) -> ClientAddresses {
        let client = self.peer;
        // What the kernel cannot tell is as if nothing was known of it but its port.
        let unknown = || match client {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, self.port).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, self.port).into(),
        };
        let received = self.received.as_ref().and_then(|header| header.destination);
        let destination = received.unwrap_or_else(|| own().unwrap_or_else(unknown));
        ClientAddresses { client, destination }
    }

    /// A term of its listener that is about HTTP, as the configuration in service has it.
    pub(super) fn http_term<T>(&self, worker: &Worker, term: impl FnOnce(&HttpListener) -> T) -> Option<T> {
        let snapshot = worker.snapshot();
        snapshot.listener(self.listener())?.http().map(term)
    }

    /// A term of its listener, as the configuration in service has it.
    pub(super) fn term<T>(&self, worker: &Worker, term: impl FnOnce(&Listener) -> T) -> Option<T> {
        worker.snapshot().listener(self.listener()).map(term)
    }

    /// Whether the configuration in service still lets it make requests that needs what its handshake has shown.
    pub(super) fn is_still_admitted(&self, listener: &Listener) -> bool {
        listener.still_admits(self.tls.as_ref().map(|tls| tls.client_auth_mark()))
    }
}
