//! The backends that every measured proxy relays to, on threads of this process.

use ringway_bench::epoll::{Epoll, Interest, Ready};
use ringway_bench::event_loop::{EventLoop, Server};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// What a backend does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Service {
    /// Sends back what it gets.
    Echo,
    /// Sends without an end.
    Source,
    /// Takes all, then ends.
    Sink,
}

/// Where each service is.
pub(crate) struct Origin {
    echo: SocketAddr,
    source: SocketAddr,
    sink: SocketAddr,
}

impl Origin {
    pub(crate) fn start() -> io::Result<Origin> {
        Ok(Origin { echo: echo()?, source: threads(source)?, sink: threads(sink)? })
    }

    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        match service {
            Service::Echo => self.echo,
            Service::Source => self.source,
            Service::Sink => self.sink,
        }
    }
}

/// Many connections on one thread.
fn echo() -> io::Result<SocketAddr> {
    let mut events = EventLoop::listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = events.address()?;
    std::thread::spawn(move || events.run(&mut Echo { streams: Vec::new() }));
    Ok(address)
}

struct Echo {
    /// Indexed by descriptor.
    streams: Vec<Option<TcpStream>>,
}

impl Server for Echo {
    fn begin(&mut self, stream: TcpStream, epoll: &Epoll) -> io::Result<()> {
        epoll.add(stream.as_raw_fd(), Interest::READ)?;
        let index = stream.as_raw_fd() as usize;
        if self.streams.len() <= index {
            self.streams.resize_with(index + 1, || None);
        }
        self.streams[index] = Some(stream);
        Ok(())
    }

    fn serve(&mut self, event: &Ready, _epoll: &Epoll) {
        let Some(slot) = self.streams.get_mut(event.fd as usize) else { return };
        let Some(stream) = slot.as_mut() else { return };
        let mut piece = [0; 4096];
        let open = match stream.read(&mut piece) {
            Ok(0) => false,
            // Questions are small: they fit into any socket's buffer.
            Ok(count) => stream.write_all(&piece[..count]).is_ok(),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if !open {
            *slot = None;
        }
    }
}

/// A thread for each connection.
fn threads(serve: fn(TcpStream) -> io::Result<()>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // It ends when the client has gone.
            std::thread::spawn(move || drop(serve(stream)));
        }
    });
    Ok(address)
}

fn source(mut stream: TcpStream) -> io::Result<()> {
    let piece = vec![0; 256 * 1024];
    loop {
        stream.write_all(&piece)?;
    }
}

fn sink(mut stream: TcpStream) -> io::Result<()> {
    let mut piece = vec![0; 256 * 1024];
    while stream.read(&mut piece)? > 0 {}
    Ok(())
}
