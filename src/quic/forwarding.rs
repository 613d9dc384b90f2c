//! Datagrams that came to the wrong worker, on their way to the right one.
//!
//! The kernel steers by connection ids. Where it cannot, as for an index that no socket has, it hashes addresses instead, and
//! datagrams of a connection may come to any worker.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;

use crate::net::mailbox::Mailbox;
use crate::net::udp::datagrams::LocalAddress;
use crate::net::wake::Wakeups;

/// Datagrams that may wait for a worker; what finds no room is lost, as it would be in any router.
const MAX_WAITING: usize = 256;

/// A datagram as a socket has received it.
#[derive(Clone, Debug)]
pub struct ReceivedDatagram {
    pub bytes: BytesMut,
    pub peer: SocketAddr,
    pub local: Option<LocalAddress>,
    pub ecn: u8,
}

/// The mailboxes of the sockets that share a port, by their index. Cloning gives another hold on the same ones.
#[derive(Clone)]
pub struct SteeredGroup {
    mailboxes: Arc<[Mailbox<ReceivedDatagram>]>,
}

impl SteeredGroup {
    /// # Errors
    /// No descriptor is left.
    pub fn new(count: u32) -> io::Result<SteeredGroup> {
        let mailboxes: io::Result<Vec<_>> = (0..count).map(|_| Mailbox::new(MAX_WAITING)).collect();
        Ok(SteeredGroup { mailboxes: mailboxes?.into() })
    }

    /// How many sockets there are.
    pub fn count(&self) -> u32 {
        self.mailboxes.len() as u32
    }

    /// Hands a datagram to the worker of a socket; false if it is lost.
    pub(super) fn forward(&self, index: u32, datagram: ReceivedDatagram) -> bool {
        self.mailboxes.get(index as usize).is_some_and(|mailbox| mailbox.send(datagram).is_ok())
    }

    /// The next one for a socket.
    pub(super) fn take(&self, index: u32) -> Option<ReceivedDatagram> {
        self.mailboxes.get(index as usize)?.take()
    }

    /// What wakes the worker of a socket, on whose thread this is called.
    pub(super) fn listen(&self, index: u32) -> io::Result<Wakeups> {
        let mailbox = self.mailboxes.get(index as usize);
        mailbox.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.listen()
    }
}
