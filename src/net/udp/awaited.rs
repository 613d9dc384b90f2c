//! A connected socket of one task, which waits for the next answer.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use monoio::net::UnixStream;

use crate::net::address::ConnectSource;
use crate::net::connect::ConnectError;
use crate::net::udp::connected::ConnectedUdp;
use crate::net::udp::connected::PeerError;
use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::send::SendOutcome;

/// See the module.
pub struct AwaitedUdp {
    connected: ConnectedUdp,
    /// Another descriptor, which the driver polls.
    watched: UnixStream,
}

impl AwaitedUdp {
    /// A socket from a source with a port of its own, which is the peer's only partner there.
    ///
    /// # Errors
    /// No descriptor or no port is left, or there is no way to the address.
    pub fn connect(peer: SocketAddr, source: ConnectSource) -> Result<AwaitedUdp, ConnectError> {
        let connected = ConnectedUdp::connect(peer, source)?;
        let watched = UnixStream::from_std(StdUnixStream::from(connected.lend()?))?;
        Ok(AwaitedUdp { connected, watched })
    }

    /// Sends what the kernel takes at once.
    pub fn send(&self, datagrams: &Datagrams<'_>) -> SendOutcome {
        self.connected.send(datagrams)
    }

    /// Waits for a datagram and gives its length; of a longer one, as much as there is room for is received.
    ///
    /// # Errors
    /// The network reports of what was sent before.
    pub async fn receive(&self, room: &mut [u8]) -> Result<usize, PeerError> {
        loop {
            // SAFETY: `room` is valid for its length for the duration of the call, and the descriptor is open as long as
            // `self` is.
            let count = unsafe {
                let (start, length) = (room.as_mut_ptr().cast(), room.len());
                libc::recv(self.watched.as_raw_fd(), start, length, libc::MSG_DONTWAIT)
            };
            match usize::try_from(count).map_err(|_| io::Error::last_os_error()) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            self.watched.readable(false).await?;
        }
    }
}
