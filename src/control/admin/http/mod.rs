//! HTTP/1.1 for metrics, health, the management API and the console: bounded in clients, sizes and times.

mod connection;
mod names;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;

use std::io;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use crate::control::admin::access::ApiClient;
use crate::control::admin::client_slots::ClientSlots;
use crate::control::admin::http::connection::HttpConversation;
use crate::control::admin::http::names::OwnNames;
use crate::control::admin::http::response::AdminResponse;
use crate::control::admin::http::response::SentPart;
use crate::control::admin::http::stream::BoundedSocket;
use crate::control::admin::http::stream::ClientStream;
use crate::control::admin::pages::Pages;
use crate::control::handover::succession::Succession;
use crate::net::packet_socket::peer_user;
use crate::net::wake::Doorbell;

/// Clients that are connected at a time: a scraper or two, a router that probes, and people.
const MAX_CLIENTS: usize = 16;

/// How long a client may say nothing between two requests; Prometheus scrapes each 15 s to a minute.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The same over the unix socket, where commands wait for one of few threads.
const SOCKET_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The address, before and after it is served.
pub(super) struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    names: Arc<OwnNames>,
}

impl HttpServer {
    pub(super) fn bind(address: SocketAddr, hosts: &[String]) -> io::Result<HttpServer> {
        let listener = TcpListener::bind(address)?;
        Ok(HttpServer { address: listener.local_addr()?, ..HttpServer::new(address, listener, hosts) })
    }

    /// The listening socket of the process before.
    pub(super) fn inherit(address: SocketAddr, socket: OwnedFd, hosts: &[String]) -> io::Result<HttpServer> {
        Ok(HttpServer::new(address, TcpListener::from(socket), hosts))
    }

    fn new(address: SocketAddr, listener: TcpListener, hosts: &[String]) -> HttpServer {
        let names = Arc::new(OwnNames::Known { address: address.ip(), hosts: hosts.to_vec() });
        HttpServer { listener, address, names }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers, in threads of its own, once what is returned is sent anything; they live as long as the process, until a successor does.
    pub(super) fn serve(&self, pages: &Arc<Pages>, succession: &Succession) -> io::Result<Sender<()>> {
        // A successor accepts on the same socket, and may be the quicker one.
        self.listener.set_nonblocking(true)?;
        let listener = self.listener.try_clone()?;
        let bell = Doorbell::new()?;
        // This is the only place that sets them.
        drop(succession.admin_bell.set(bell.clone()));
        drop(succession.admin_address.set((self.address, self.listener.try_clone()?.into())));
        let (pages, names) = (Arc::clone(pages), Arc::clone(&self.names));
        // A client that went away gets no more.
        let serve = move |(stream, peer)| drop(serve_tcp(stream, peer, &names, &pages));
        let slots = ClientSlots::start(MAX_CLIENTS, "ringway-http", serve)?;
        let accept = move || loop {
            if !bell.wait_unless_rung(listener.as_fd())? {
                return Ok(None);
            }
            match listener.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                accepted => return accepted.map(Some),
            }
        };
        let (door, opened) = mpsc::channel();
        let body = move || {
            // Whoever holds the door ends with the process.
            opened.recv().unwrap_or_default();
            slots.fill(accept, |(stream, _)| drop(refuse(&stream)));
        };
        thread::Builder::new().name("ringway-http".to_owned()).spawn(body)?;
        Ok(door)
    }
}

/// Tells a client that there are too many, without waiting for it.
fn refuse(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let answer = AdminResponse::text(503, "too many clients at a time, try again").with("Retry-After", "1");
    io::Write::write_all(&mut stream, &answer.written(SentPart::Whole, true))?;
    stream.shutdown(Shutdown::Write)
}

fn serve_tcp(stream: TcpStream, peer: SocketAddr, names: &OwnNames, pages: &Pages) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (generation, access) = pages.channels().admin_access.load();
    let socket = BoundedSocket::tcp(stream, HANDSHAKE_TIMEOUT);
    let (mut stream, client) = match &access.tls {
        None if access.is_closed => return Ok(()),
        None => (ClientStream::Clear(socket), ApiClient::Clear(peer)),
        Some(tls) => {
            let secured = tls.accept(socket)?;
            let subject = secured.client_subject();
            (
                ClientStream::Secured(Box::new(secured)),
                ApiClient::Secured { address: peer, subject, generation },
            )
        }
    };
    HttpConversation { names, client, idle_timeout: IDLE_TIMEOUT, pages }.serve(&mut stream, Vec::new())
}

/// Serves a client of the unix socket that speaks HTTP; `received` is what came so far.
pub(super) fn serve_unix(stream: UnixStream, received: Vec<u8>, pages: &Pages) -> io::Result<()> {
    let client = ApiClient::Socket(peer_user(&stream).ok());
    let mut stream = ClientStream::Clear(BoundedSocket::unix(stream, SOCKET_IDLE_TIMEOUT));
    let names = &OwnNames::Any;
    HttpConversation { names, client, idle_timeout: SOCKET_IDLE_TIMEOUT, pages }.serve(&mut stream, received)
}
