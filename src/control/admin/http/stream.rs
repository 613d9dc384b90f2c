//! A client's connection, every wait of which ends at one moment.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::time::Instant;

use crate::net::clock::instant_now;
use crate::tls::blocking::SecuredClient;

/// A socket whose reads and writes fail behind a moment, however little comes at a time.
pub(in crate::control) struct BoundedSocket {
    socket: ClientSocket,
    ends: Instant,
}

enum ClientSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What a client is talked to over.
pub(in crate::control) enum ClientStream {
    Clear(BoundedSocket),
    Secured(Box<SecuredClient<BoundedSocket>>),
}

impl BoundedSocket {
    pub(in crate::control) fn tcp(stream: TcpStream, patience: Duration) -> BoundedSocket {
        BoundedSocket { socket: ClientSocket::Tcp(stream), ends: instant_now() + patience }
    }

    pub(in crate::control) fn unix(stream: UnixStream, patience: Duration) -> BoundedSocket {
        BoundedSocket { socket: ClientSocket::Unix(stream), ends: instant_now() + patience }
    }

    fn time_left(&self) -> io::Result<Option<Duration>> {
        let left = self.ends.saturating_duration_since(instant_now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for BoundedSocket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.time_left()?;
        match &mut self.socket {
            ClientSocket::Tcp(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(bytes)
            }
            ClientSocket::Unix(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(bytes)
            }
        }
    }
}

impl Write for BoundedSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.time_left()?;
        match &mut self.socket {
            ClientSocket::Tcp(stream) => {
                stream.set_write_timeout(left)?;
                stream.write(bytes)
            }
            ClientSocket::Unix(stream) => {
                stream.set_write_timeout(left)?;
                stream.write(bytes)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ClientStream {
    /// All that is read and written from now on has to be over by then.
    pub(super) fn end_at(&mut self, ends: Instant) {
        match self {
            ClientStream::Clear(socket) => socket.ends = ends,
            ClientStream::Secured(stream) => stream.below().ends = ends,
        }
    }

    /// Tells the client that nothing more comes.
    pub(super) fn end_output(&mut self) -> io::Result<()> {
        let socket = match self {
            ClientStream::Clear(socket) => socket,
            ClientStream::Secured(stream) => {
                stream.end_output()?;
                stream.below()
            }
        };
        match &socket.socket {
            ClientSocket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            ClientSocket::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Read for ClientStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            ClientStream::Clear(socket) => socket.read(bytes),
            ClientStream::Secured(stream) => stream.read(bytes),
        }
    }
}

impl Write for ClientStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            ClientStream::Clear(socket) => socket.write(bytes),
            ClientStream::Secured(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            ClientStream::Clear(socket) => socket.flush(),
            ClientStream::Secured(stream) => stream.flush(),
        }
    }
}
