//! The loop of a program that accepts connections and serves them on one thread.

use crate::epoll::{Epoll, Interest, Ready};
use crate::process;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// What a program does with its connections.
pub trait Server {
    /// Takes a connection over, which does not block. After an error it is closed.
    fn begin(&mut self, stream: TcpStream, epoll: &Epoll) -> io::Result<()>;

    /// Lets the connection that is ready make what progress it can.
    fn serve(&mut self, event: &Ready, epoll: &Epoll);
}

/// A listening socket and the set of what is waited for.
pub struct EventLoop {
    epoll: Epoll,
    listener: TcpListener,
}

impl EventLoop {
    pub fn listen(address: SocketAddr) -> io::Result<EventLoop> {
        let listener = process::listen(address)?;
        let epoll = Epoll::new()?;
        epoll.add(listener.as_raw_fd(), Interest::READ)?;
        Ok(EventLoop { epoll, listener })
    }

    /// Where connections are accepted.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until waiting fails.
    pub fn run(&mut self, server: &mut impl Server) -> io::Result<()> {
        let mut ready = Vec::new();
        loop {
            self.epoll.wait(None, &mut ready)?;
            for event in &ready {
                if event.fd == self.listener.as_raw_fd() {
                    self.accept_all(server);
                } else {
                    server.serve(event, &self.epoll);
                }
            }
        }
    }

    /// Takes every waiting connection; one that the program cannot begin with is dropped.
    fn accept_all(&self, server: &mut impl Server) {
        while let Ok((stream, _)) = self.listener.accept() {
            let prepared = prepare(&stream).and_then(|()| server.begin(stream, &self.epoll));
            if let Err(error) = prepared {
                eprintln!("accepting a connection: {error}");
            }
        }
    }
}

/// Sets what every connection of the bench has: it does not block, and sends at once.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)
}
