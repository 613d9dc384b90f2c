//! A client that backends are told of by the PROXY protocol, and the connections to them that serve it alone.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::rc::Weak;

use crate::net::clock::Clock;
use crate::net::clock::Moment;
use crate::policy::proxy_header::ProxyHeaderTerms;
use crate::proto::proxy_protocol::write::HeaderBytes;
use crate::proto::proxy_protocol::write::HeaderFacts;
pub use crate::proto::proxy_protocol::write::ProxiedTls;
use crate::proto::proxy_protocol::write::ProxiedTransport;
use crate::snapshot::group::Group;
use crate::upstream::client_pool::ClientPool;
use crate::upstream::h2::pool::OwnConnections;
use crate::upstream::lease::Lease;
use crate::upstream::pool::Pool;
use crate::upstream::proxy_header;
use crate::upstream::stream::UpstreamStream;
use crate::upstream::want::Proxied;

/// A client's connection. Whoever makes a request on its behalf holds it; with the last holder, the connections end.
pub struct ProxiedClient {
    told: ToldClient,
    idle: ClientPool,
    streams: OwnConnections,
}

/// What backends are told of a client.
pub struct ToldClient {
    pub client: SocketAddr,
    /// The address that it connected to.
    pub destination: SocketAddr,
    /// None: the client came without TLS.
    pub tls: Option<Box<ProxiedTls>>,
    /// The name that it asks for in TLS that is passed on; empty without.
    pub passed_name: Box<str>,
    /// TLVs of the header in front of its connection.
    pub received: Box<[u8]>,
}

impl ToldClient {
    fn facts<'f>(&'f self, unique_id: &'f [u8]) -> HeaderFacts<'f> {
        let ToldClient { client, destination, tls, passed_name, received } = self;
        HeaderFacts {
            client: *client,
            destination: *destination,
            transport: ProxiedTransport::Tcp,
            tls: tls.as_deref(),
            passed_name,
            unique_id,
            received,
        }
    }
}

/// What a connection to a backend of this group begins with that serves this client alone, and is known by no name.
pub fn preface(told: Option<&ToldClient>, group: &Group) -> HeaderBytes {
    match (group.proxy_header, told) {
        (Some(terms), Some(told)) => proxy_header::write(terms, &told.facts(b"")),
        (Some(terms), None) => terms.version.header_of_nobody().iter().copied().collect(),
        (None, _) => HeaderBytes::new(),
    }
}

/// What stands before each datagram of a client to a backend of a group with these terms.
pub fn header_of_datagram(
    terms: ProxyHeaderTerms,
    client: SocketAddr,
    destination: SocketAddr,
) -> HeaderBytes {
    let facts = HeaderFacts {
        client,
        destination,
        transport: ProxiedTransport::Udp,
        tls: None,
        passed_name: "",
        unique_id: b"",
        received: b"",
    };
    proxy_header::write(terms, &facts)
}

impl ProxiedClient {
    pub fn idle(&self) -> &ClientPool {
        &self.idle
    }

    pub fn streams(&self) -> &OwnConnections {
        &self.streams
    }

    /// What a connection is wanted with. `unique_id` is empty, or what the request is known by in our logs.
    pub fn wanted<'w>(&'w self, unique_id: &'w [u8]) -> Proxied<'w> {
        Proxied { facts: self.told.facts(unique_id), idle: &self.idle }
    }

    /// Ends the loan of a connection on which request and response were completed.
    pub fn give_back(&self, lease: Lease<'_>, pool: &Pool, clock: &Clock) {
        // Of a connection of HTTP/2, only the stream was on loan.
        if let UpstreamStream::Http1(connection) = lease.stream {
            self.idle.give_back((lease.group, lease.backend), connection, pool, clock);
        }
    }
}

/// The clients of one worker that backends are told of.
#[derive(Default)]
pub struct ProxiedClients {
    clients: RefCell<Vec<Weak<ProxiedClient>>>,
}

impl ProxiedClients {
    pub fn begin(&self, told: ToldClient, pool: &Pool) -> Rc<ProxiedClient> {
        let (idle, streams) = (ClientPool::new(pool), OwnConnections::default());
        let client = Rc::new(ProxiedClient { told, idle, streams });
        self.clients.borrow_mut().push(Rc::downgrade(&client));
        client
    }

    /// The work of each second.
    pub fn sweep(&self, now: Moment) {
        self.clients.borrow_mut().retain(|client| {
            let Some(client) = client.upgrade() else { return false };
            client.idle.sweep(now);
            client.streams.sweep();
            true
        });
    }

    /// How many connections of HTTP/2 there are to the backends of a group, and streams on them.
    pub fn open_to(&self, group: &Group) -> (usize, usize) {
        let clients = self.clients.borrow();
        let open = clients.iter().filter_map(Weak::upgrade).map(|client| client.streams.open_to(group));
        open.fold((0, 0), |(connections, streams), more| (connections + more.0, streams + more.1))
    }
}
