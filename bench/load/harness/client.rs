//! Connections to proxies and to the origin, plain or with TLS 1.3. A proxy that prefers other suites or groups than the
//! clients' fails.

use ringway_bench::site::{NAME, Site};
use rustls::client::{ClientConfig, ClientConnection};
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, NamedGroup, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A connection of the bench, plain or with TLS.
pub(crate) enum Stream {
    Plain(TcpStream),
    Secure(Box<Secure>),
}

pub(crate) type Secure = StreamOwned<ClientConnection, TcpStream>;

/// How long one read or write may take.
const BOUND: Duration = Duration::from_secs(5);

impl Stream {
    /// With a site, the handshake is complete.
    pub(crate) fn open(address: SocketAddr, site: Option<&Site>) -> io::Result<Stream> {
        match site {
            None => Ok(Stream::Plain(connect(address)?)),
            Some(site) => Ok(Stream::Secure(Box::new(handshake(address, &site.client)?))),
        }
    }
}

impl Stream {
    /// A TLS connection that has agreed on HTTP/2.
    pub(crate) fn open_http2(address: SocketAddr, site: &Site) -> io::Result<Stream> {
        let secure = handshake(address, &site.http2_client)?;
        if secure.conn.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("the proxy did not choose HTTP/2"));
        }
        Ok(Stream::Secure(Box::new(secure)))
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(into),
            Stream::Secure(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Secure(stream) => stream.flush(),
        }
    }
}

/// Connects and completes a handshake that must end with the agreed suite and group.
pub(crate) fn handshake(address: SocketAddr, client: &Arc<ClientConfig>) -> io::Result<Secure> {
    let mut stream = connect(address)?;
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(client.clone(), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    let group = connection.negotiated_key_exchange_group().map(|group| group.name());
    if suite != Some(CipherSuite::TLS13_AES_128_GCM_SHA256) || group != Some(NamedGroup::X25519) {
        return Err(io::Error::other(format!("the proxy chose {suite:?} and {group:?}")));
    }
    Ok(StreamOwned::new(connection, stream))
}

/// Asks once over a connection of its own and returns the body.
pub(crate) fn get(address: SocketAddr, site: Option<&Site>, path: &str) -> Result<String, String> {
    let ask = || -> io::Result<String> {
        let mut stream = Stream::open(address, site)?;
        stream.write_all(
            format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|e| format!("GET {path}: {e}"))?;
    if !answer.starts_with("HTTP/1.1 200") {
        let status = answer.lines().next().unwrap_or("nothing");
        return Err(format!("GET {path} was answered with `{status}`"));
    }
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, BOUND)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(BOUND))?;
    stream.set_write_timeout(Some(BOUND))?;
    Ok(stream)
}
