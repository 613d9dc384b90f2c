//! The backend that every measured proxy forwards to: a single-threaded HTTP/1.1 server that costs very little.
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /` | 128 bytes |
//! | `GET /bytes/N` | N bytes with Content-Length |
//! | `GET /chunked/N` | N bytes in chunks |
//! | `GET /served` | how many requests, and how many probes, were answered so far, these not counted |
//! | `GET /health`, `HEAD /health` | an empty body; it counts as a probe and not as a request |
//! | any request with a body | the body is read and discarded, then as above |
//!
//! It is tolerant and understands only what proxies and wrk send. It is no example of a correct server.

#[path = "origin/connection.rs"]
mod connection;
#[path = "origin/request.rs"]
mod request;

use connection::{Connection, Scratch};
use ringway_bench::epoll::{Epoll, Interest, Ready};
use ringway_bench::event_loop::{EventLoop, Server};
use ringway_bench::options::Options;
use ringway_bench::process;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

fn main() {
    if let Err(message) = start() {
        eprintln!("bench-origin: {message}");
        eprintln!("usage: bench-origin --listen ADDR [--cpu N]");
        std::process::exit(2);
    }
}

fn start() -> Result<(), String> {
    let mut options = Options::of_process();
    let mut listen = None;
    while let Some(name) = options.next_name()? {
        match name.as_str() {
            "listen" => listen = Some(options.value(&name)?),
            "cpu" => process::pin_to_cpu(options.value(&name)?).map_err(|e| format!("pinning: {e}"))?,
            _ => return Err(format!("unknown option --{name}")),
        }
    }
    let listen = listen.ok_or("--listen is missing")?;
    process::raise_descriptor_limit().map_err(|e| format!("raising the descriptor limit: {e}"))?;
    let mut events = EventLoop::listen(listen).map_err(|e| format!("listening on {listen}: {e}"))?;
    let mut origin = Origin { connections: Vec::new(), scratch: Scratch::new() };
    events.run(&mut origin).map_err(|e| format!("waiting for events: {e}"))
}

struct Origin {
    /// Indexed by descriptor.
    connections: Vec<Option<Connection>>,
    scratch: Scratch,
}

impl Server for Origin {
    fn begin(&mut self, stream: TcpStream, epoll: &Epoll) -> io::Result<()> {
        epoll.add(stream.as_raw_fd(), Interest::READ)?;
        let index = stream.as_raw_fd() as usize;
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, || None);
        }
        self.connections[index] = Some(Connection::new(stream));
        Ok(())
    }

    /// Closes the connection at its end or at an error.
    fn serve(&mut self, event: &Ready, epoll: &Epoll) {
        let Some(slot) = self.connections.get_mut(event.fd as usize) else { return };
        let Some(connection) = slot.as_mut() else { return };
        let waited_for = connection.interest();
        let open = connection.make_progress(event.readable, &mut self.scratch).unwrap_or(false);
        if !open {
            *slot = None;
            return;
        }
        let interest = connection.interest();
        if interest != waited_for && epoll.change(event.fd, interest).is_err() {
            *slot = None;
        }
    }
}
