//! The blind byte relay: the lower bound of what an epoll proxy can cost.
//!
//! It parses nothing. Every downstream connection gets one upstream connection when it is accepted, and bytes go
//! both ways until both sides have closed.

use ringway_bench::epoll::{Epoll, Interest, Ready};
use ringway_bench::event_loop::{self, EventLoop, Server};
use ringway_bench::options::Options;
use ringway_bench::process;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

fn main() {
    if let Err(message) = start() {
        eprintln!("bench-relay: {message}");
        eprintln!("usage: bench-relay --listen ADDR --to ADDR [--cpu N]");
        std::process::exit(2);
    }
}

fn start() -> Result<(), String> {
    let mut options = Options::of_process();
    let (mut listen, mut to) = (None, None);
    while let Some(name) = options.next_name()? {
        match name.as_str() {
            "listen" => listen = Some(options.value(&name)?),
            "to" => to = Some(options.value(&name)?),
            "cpu" => process::pin_to_cpu(options.value(&name)?).map_err(|e| format!("pinning: {e}"))?,
            _ => return Err(format!("unknown option --{name}")),
        }
    }
    let listen = listen.ok_or("--listen is missing")?;
    let to = to.ok_or("--to is missing")?;
    process::raise_descriptor_limit().map_err(|e| format!("raising the descriptor limit: {e}"))?;
    let mut events = EventLoop::listen(listen).map_err(|e| format!("listening on {listen}: {e}"))?;
    let mut relay = Relay { to, ends: Vec::new(), scratch: vec![0; SCRATCH_BYTES] };
    events.run(&mut relay).map_err(|e| format!("waiting for events: {e}"))
}

struct Relay {
    to: SocketAddr,
    /// Indexed by descriptor.
    ends: Vec<Option<End>>,
    scratch: Vec<u8>,
}

/// One of the two sockets of a relayed connection.
struct End {
    stream: TcpStream,
    peer: RawFd,
    /// Bytes from the peer that this socket did not take yet; the peer is not read while there are any.
    unsent: Vec<u8>,
    /// The last byte from this socket has been read.
    finished: bool,
    interest: Interest,
}

/// Bytes moved by one read.
const SCRATCH_BYTES: usize = 64 * 1024;

impl Server for Relay {
    /// Joins the connection to one to the backend.
    fn begin(&mut self, downstream: TcpStream, epoll: &Epoll) -> io::Result<()> {
        // A blocking connect to a loopback backend ends at once: the kernel completes the handshake alone.
        let upstream = TcpStream::connect(self.to)?;
        let (down_fd, up_fd) = (downstream.as_raw_fd(), upstream.as_raw_fd());
        event_loop::prepare(&upstream)?;
        for (stream, peer) in [(downstream, up_fd), (upstream, down_fd)] {
            let fd = stream.as_raw_fd();
            epoll.add(fd, Interest::READ)?;
            let index = fd as usize;
            if self.ends.len() <= index {
                self.ends.resize_with(index + 1, || None);
            }
            let end = End { stream, peer, unsent: Vec::new(), finished: false, interest: Interest::READ };
            self.ends[index] = Some(end);
        }
        Ok(())
    }

    fn serve(&mut self, event: &Ready, epoll: &Epoll) {
        // A descriptor closed earlier in this batch of events is gone.
        let Some(mut end) = self.ends.get_mut(event.fd as usize).and_then(Option::take) else { return };
        let Some(mut peer) = self.ends.get_mut(end.peer as usize).and_then(Option::take) else { return };
        let result = self.exchange((&mut end, &mut peer), event, epoll);
        let done = end.finished && peer.finished && end.unsent.is_empty() && peer.unsent.is_empty();
        if result.is_ok() && !done {
            let (end_fd, peer_fd) = (event.fd as usize, end.peer as usize);
            self.ends[end_fd] = Some(end);
            self.ends[peer_fd] = Some(peer);
        }
        // Otherwise both ends are dropped here, which closes them.
    }
}

impl Relay {
    fn exchange(
        &mut self,
        (end, peer): (&mut End, &mut End),
        event: &Ready,
        epoll: &Epoll,
    ) -> io::Result<()> {
        if event.writable && !end.unsent.is_empty() {
            let sent = accept_would_block(end.stream.write(&end.unsent))?.unwrap_or(0);
            end.unsent.drain(..sent);
            if end.unsent.is_empty() && peer.finished {
                end.stream.shutdown(Shutdown::Write)?;
            }
        }
        if event.readable && peer.unsent.is_empty() && !end.finished {
            match accept_would_block(end.stream.read(&mut self.scratch))? {
                None => {}
                Some(0) => {
                    end.finished = true;
                    peer.stream.shutdown(Shutdown::Write)?;
                }
                Some(length) => {
                    let bytes = &self.scratch[..length];
                    let sent = accept_would_block(peer.stream.write(bytes))?.unwrap_or(0);
                    peer.unsent.extend_from_slice(&bytes[sent..]);
                }
            }
        }
        end.listen(peer, epoll)?;
        peer.listen(end, epoll)
    }
}

impl End {
    /// Sets what this end waits for, without a system call when nothing changes.
    fn listen(&mut self, peer: &End, epoll: &Epoll) -> io::Result<()> {
        let interest =
            Interest { read: !self.finished && peer.unsent.is_empty(), write: !self.unsent.is_empty() };
        if interest != self.interest {
            self.interest = interest;
            epoll.change(self.stream.as_raw_fd(), interest)?;
        }
        Ok(())
    }
}

/// The result of a socket call, where "would block" is `None` and not an error.
fn accept_would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
