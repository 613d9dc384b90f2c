//! A socket that clients send to, of one worker and address.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use crate::net::timer::Deadline;
use crate::net::udp::listening::ListeningUdp;
use crate::worker::Worker;

/// Only its end wakes a wait earlier; it is just far away.
const UNTIL_END: Duration = Duration::from_secs(24 * 3600);

/// See the module. Sessions hold it, because their answers leave from it.
pub struct DatagramSocket {
    pub(super) socket: ListeningUdp,
    /// No other socket of this process has or had it.
    pub(super) number: u64,
    /// The slot of the listener; a reload may hand the socket to another one.
    listener: Cell<usize>,
    /// What tells the socket from all others of the host, whichever process has it; 0 where the kernel does not say.
    pub(super) cookie: u64,
    /// Where it is bound.
    pub(super) address: SocketAddr,
    /// The one that clients send to.
    pub(super) port: u16,
    state: Cell<SocketState>,
    /// What its queue had lost when that was last counted.
    lost: Cell<u32>,
    pub(super) deadline: Deadline,
}

/// What becomes of what a socket receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketState {
    Serving,
    /// Clients without a session get none.
    Draining,
    /// Nothing is received for now: another process is about to do so.
    Paused,
    /// Nothing is received any more: another process does, or nobody.
    Closed,
}

impl DatagramSocket {
    pub fn new(
        socket: ListeningUdp,
        number: u64,
        (listener, port): (usize, u16),
        worker: &Worker,
    ) -> Rc<DatagramSocket> {
        let (lost, address) = (Cell::new(socket.dropped()), socket.address());
        let cookie = socket.cookie().unwrap_or(0);
        let deadline = worker.timers.deadline();
        deadline.set(UNTIL_END);
        let (listener, state) = (Cell::new(listener), Cell::new(SocketState::Serving));
        Rc::new(DatagramSocket { socket, number, listener, cookie, address, port, state, lost, deadline })
    }

    pub fn hand_to(&self, listener: usize) {
        self.listener.set(listener);
    }

    pub(super) fn listener(&self) -> usize {
        self.listener.get()
    }

    /// Another descriptor of the socket, for a process that is to receive on it.
    pub fn lend(&self) -> io::Result<OwnedFd> {
        self.socket.lend()
    }

    pub(super) fn state(&self) -> SocketState {
        self.state.get()
    }

    /// From now on sessions go on and none begins.
    pub fn drain(&self) {
        self.state.set(SocketState::Draining);
    }

    /// From now on nothing is received here. Answers of sessions can still leave.
    pub fn close(&self) {
        self.state.set(SocketState::Closed);
        self.deadline.set(Duration::ZERO);
    }

    /// Receives nothing until it is served again.
    pub(super) fn pause(&self) {
        if self.state() == SocketState::Serving {
            self.state.set(SocketState::Paused);
        }
    }

    pub(super) fn resume(&self) {
        if self.state() == SocketState::Paused {
            self.state.set(SocketState::Serving);
        }
    }

    /// What its queue had lost when that was last counted.
    pub(super) fn counted_lost(&self) -> u32 {
        self.lost.get()
    }

    /// Another process has counted what its queue had lost by then.
    pub(super) fn continue_lost(&self, lost: u32) {
        self.lost.set(lost);
    }

    /// Datagrams that found its queue full since this was last asked.
    pub(super) fn newly_lost(&self) -> u32 {
        let now = self.socket.dropped();
        now.wrapping_sub(self.lost.replace(now))
    }

    /// Waits on; what ends the wait early is set by [`DatagramSocket::close`].
    pub(super) fn renew(&self) {
        if self.state() != SocketState::Closed && self.deadline.has_passed() {
            self.deadline.set(UNTIL_END);
        }
    }
}
