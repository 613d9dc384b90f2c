//! What is measured, and the load for it.

use crate::origin::Service;
use crate::session;
use ringway_bench::now;
use ringway_bench::site::{NAME, Site};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scenario {
    /// New connections, each with one exchange of 128 bytes.
    Connect,
    /// Exchanges of 128 bytes on kept connections.
    Exchange,
    /// One long answer.
    Bulk,
    /// One long question.
    Upload,
    /// One long answer, in TLS that ends at the proxy.
    Tls,
    /// New connections that begin with the ClientHello of rustls, which comes back.
    Passthrough,
    /// Silent connections; see `main.rs`.
    Idle,
}

/// Connections under way at a time where there are many.
const CONCURRENT: usize = 32;
const MIB: usize = 1 << 20;

impl Scenario {
    pub(crate) const ALL: [Scenario; 7] = [
        Scenario::Connect,
        Scenario::Exchange,
        Scenario::Bulk,
        Scenario::Upload,
        Scenario::Tls,
        Scenario::Passthrough,
        Scenario::Idle,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Scenario::Connect => "connect",
            Scenario::Exchange => "exchange",
            Scenario::Bulk => "bulk",
            Scenario::Upload => "upload",
            Scenario::Tls => "tls",
            Scenario::Passthrough => "passthrough",
            Scenario::Idle => "idle",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Scenario, String> {
        Scenario::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| format!("no scenario `{name}`"))
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Scenario::Connect | Scenario::Passthrough | Scenario::Idle => "connection",
            Scenario::Exchange => "exchange",
            Scenario::Bulk | Scenario::Upload | Scenario::Tls => "MiB",
        }
    }

    /// What the proxy's backend does.
    pub(crate) fn service(self) -> Service {
        match self {
            Scenario::Bulk | Scenario::Tls => Service::Source,
            Scenario::Upload => Service::Sink,
            _ => Service::Echo,
        }
    }

    /// Loads the proxy at this address for so long; gives how many units that were.
    pub(crate) fn load(self, address: SocketAddr, site: &Site, time: Duration) -> Result<f64, String> {
        let loaded = match self {
            Scenario::Connect | Scenario::Idle => connections(address, &[b'q'; 128], time),
            Scenario::Passthrough => first_message(site).and_then(|hello| connections(address, &hello, time)),
            Scenario::Exchange => exchanges(address, time),
            Scenario::Bulk => TcpStream::connect(address).and_then(|stream| receive(stream, time)),
            Scenario::Tls => tls(address, site).and_then(|stream| receive(stream, time)),
            Scenario::Upload => upload(address, time),
        };
        loaded.map_err(|e| e.to_string())
    }
}

fn connections(address: SocketAddr, question: &[u8], time: Duration) -> io::Result<f64> {
    let (mut count, end) = (0, now() + time);
    while now() < end {
        let streams = session::opened(address, CONCURRENT)?;
        session::exchange(&streams, question)?;
        count += streams.len();
    }
    Ok(count as f64)
}

fn exchanges(address: SocketAddr, time: Duration) -> io::Result<f64> {
    let streams = session::opened(address, CONCURRENT)?;
    let (mut count, end) = (0, now() + time);
    while now() < end {
        session::exchange(&streams, &[b'q'; 128])?;
        count += streams.len();
    }
    Ok(count as f64)
}

/// Takes what comes for so long; gives how many MiB came.
fn receive(mut stream: impl Read, time: Duration) -> io::Result<f64> {
    let mut buffer = vec![0; 256 * 1024];
    let (mut bytes, end) = (0, now() + time);
    while now() < end {
        match stream.read(&mut buffer)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended")),
            count => bytes += count,
        }
    }
    Ok(bytes as f64 / MIB as f64)
}

fn upload(address: SocketAddr, time: Duration) -> io::Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    let buffer = vec![0; 256 * 1024];
    let (mut bytes, end) = (0, now() + time);
    while now() < end {
        stream.write_all(&buffer)?;
        bytes += buffer.len();
    }
    stream.shutdown(Shutdown::Write)?;
    // The origin ends when all has come to it.
    stream.read_to_end(&mut Vec::new())?;
    Ok(bytes as f64 / MIB as f64)
}

fn client(site: &Site) -> io::Result<ClientConnection> {
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let mut configuration = rustls::ClientConfig::clone(&site.client);
    configuration.alpn_protocols.clear();
    ClientConnection::new(configuration.into(), name).map_err(io::Error::other)
}

fn tls(address: SocketAddr, site: &Site) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    Ok(StreamOwned::new(client(site)?, TcpStream::connect(address)?))
}

fn first_message(site: &Site) -> io::Result<Vec<u8>> {
    let mut hello = Vec::new();
    client(site)?.write_tls(&mut hello)?;
    Ok(hello)
}
