//! Datagrams that came to the wrong worker, on their way to the right one.
//!
//! The kernel steers by connection ids. Where it cannot, as for an index that no socket has, it hashes addresses instead, and
//! datagrams of a connection may come to any worker. And in a process with more workers than the one that has bound the sockets,
//! some have none: everything that is theirs comes this way.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use bytes::BytesMut;

use crate::net::mailbox::Mailbox;
use crate::net::udp::datagrams::LocalAddress;
use crate::net::wake::Wakeups;
use crate::quic::connection_id::EndpointPlace;

/// Datagrams that may wait for a worker; what finds no room is lost, as it would be in any router.
const MAX_WAITING: usize = 256;

/// The same, where nothing comes in another way: more than what a connection may have on its way to us.
const MAX_WAITING_WITHOUT_SOCKET: usize = 1_024;

/// A datagram as a socket has received it.
#[derive(Clone, Debug)]
pub struct ReceivedDatagram {
    pub bytes: BytesMut,
    pub peer: SocketAddr,
    pub local: Option<LocalAddress>,
    pub ecn: u8,
}

/// The endpoints that share a port, and the mailbox of each, by its index. Cloning gives another hold on the same ones.
#[derive(Clone)]
pub struct SteeredGroup {
    mailboxes: Arc<[Mailbox<ReceivedDatagram>]>,
    sockets: u32,
    /// Endpoints without a socket that have connections, or may have.
    without_socket: Arc<AtomicUsize>,
}

impl SteeredGroup {
    /// `sockets` is how many the kernel steers to, `endpoints` for how many workers.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(sockets: u32, endpoints: u32) -> io::Result<SteeredGroup> {
        let capacity = |index| if index < sockets { MAX_WAITING } else { MAX_WAITING_WITHOUT_SOCKET };
        let mailboxes: io::Result<Vec<_>> =
            (0..endpoints.max(sockets)).map(|index| Mailbox::new(capacity(index))).collect();
        Ok(SteeredGroup { mailboxes: mailboxes?.into(), sockets, without_socket: Arc::default() })
    }

    /// The place of the endpoint with this index.
    pub fn place(&self, index: u32) -> EndpointPlace {
        EndpointPlace { index, sockets: self.sockets, endpoints: self.mailboxes.len() as u32 }
    }

    /// What comes for others.
    pub(super) fn forwarding(&self) -> OnwardDatagrams<'_> {
        OnwardDatagrams { group: self, unrung: None }
    }

    /// The next one for an endpoint.
    pub(super) fn take(&self, index: u32) -> Option<ReceivedDatagram> {
        self.mailboxes.get(index as usize)?.take()
    }

    /// What wakes the worker of an endpoint, on whose thread this is called.
    pub(super) fn listen(&self, index: u32) -> io::Result<Wakeups> {
        let mailbox = self.mailboxes.get(index as usize);
        mailbox.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.listen()
    }

    /// Lets those with sockets receive for one without, as long as what is returned is there.
    pub(super) fn join_without_socket(&self) -> WithoutSocket {
        self.without_socket.fetch_add(1, Ordering::AcqRel);
        WithoutSocket(Arc::clone(&self.without_socket))
    }

    /// Whether there are endpoints that hear by others only.
    pub(super) fn has_some_without_socket(&self) -> bool {
        self.without_socket.load(Ordering::Acquire) > 0
    }
}

/// Datagrams that go on to others. Who gets several in a row is woken once, when that is dropped at the latest.
pub(super) struct OnwardDatagrams<'g> {
    group: &'g SteeredGroup,
    unrung: Option<u32>,
}

impl OnwardDatagrams<'_> {
    /// Hands a datagram to the worker of an endpoint; false if it is lost.
    pub(super) fn forward(&mut self, index: u32, datagram: ReceivedDatagram) -> bool {
        if self.unrung.is_some_and(|unrung| unrung != index) {
            self.ring();
        }
        let mailbox = self.group.mailboxes.get(index as usize);
        let is_put = mailbox.is_some_and(|mailbox| mailbox.put(datagram).is_ok());
        if is_put {
            self.unrung = Some(index);
        }
        is_put
    }

    fn ring(&mut self) {
        let unrung = self.unrung.take().and_then(|index| self.group.mailboxes.get(index as usize));
        unrung.into_iter().for_each(Mailbox::ring);
    }
}

impl Drop for OnwardDatagrams<'_> {
    fn drop(&mut self) {
        self.ring();
    }
}

/// An endpoint that has no socket of its own.
pub(super) struct WithoutSocket(Arc<AtomicUsize>);

impl Drop for WithoutSocket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
