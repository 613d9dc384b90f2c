//! The thread of a client of QUIC: what comes in goes to the connection, what it has to say goes out, in time.

use super::clock::now;
use super::quic::Shared;
use bytes::BytesMut;
use quinn_proto::{
    Connection, ConnectionError, ConnectionHandle, DatagramEvent, Dir, Endpoint, Event, StreamEvent, StreamId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection and what happened to it.
pub(super) struct Driven {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    pub(super) connection: Connection,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) is_connected: bool,
    pub(super) lost: Option<ConnectionError>,
    /// Streams of which something may have come.
    pub(super) readable: BTreeSet<StreamId>,
    /// Streams that the peer has stopped, with its codes.
    pub(super) stopped: BTreeMap<StreamId, u64>,
    /// How much has happened.
    pub(super) changes: u64,
    /// The thread sleeps until then, if nothing comes.
    sleeps_until: Option<Instant>,
    pub(super) is_over: bool,
}

impl Driven {
    pub(super) fn new(
        endpoint: Endpoint,
        handle: ConnectionHandle,
        connection: Connection,
        socket: UdpSocket,
    ) -> Driven {
        Driven {
            endpoint,
            handle,
            connection,
            socket: Arc::new(socket),
            is_connected: false,
            lost: None,
            readable: BTreeSet::new(),
            stopped: BTreeMap::new(),
            changes: 0,
            sleeps_until: None,
            is_over: false,
        }
    }

    /// Does what is due, sends what is to be sent and notes what happened.
    pub(super) fn turn(&mut self, now: Instant) {
        if self.connection.poll_timeout().is_some_and(|due| due <= now) {
            self.connection.handle_timeout(now);
        }
        let mut datagram = Vec::new();
        loop {
            while let Some(event) = self.connection.poll_endpoint_events() {
                if let Some(answer) = self.endpoint.handle_event(self.handle, event) {
                    self.connection.handle_event(answer);
                }
            }
            datagram.clear();
            let Some(transmit) = self.connection.poll_transmit(now, 1, &mut datagram) else { break };
            // What the kernel does not take is lost, which QUIC makes good.
            let _ = self.socket.send(&datagram[..transmit.size]);
        }
        while let Some(event) = self.connection.poll() {
            self.note(event);
            self.changes += 1;
        }
    }

    /// Whether the thread sleeps for longer than the connection wants.
    pub(super) fn wants_to_wake_earlier(&mut self) -> bool {
        let due = self.connection.poll_timeout();
        due.is_some_and(|due| self.sleeps_until.is_none_or(|until| due < until))
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Connected => self.is_connected = true,
            Event::ConnectionLost { reason } => self.lost = Some(reason),
            Event::Stream(StreamEvent::Readable { id }) => {
                self.readable.insert(id);
            }
            Event::Stream(StreamEvent::Stopped { id, error_code }) => {
                self.stopped.insert(id, error_code.into_inner());
            }
            Event::Stream(StreamEvent::Opened { .. }) => {
                for direction in [Dir::Uni, Dir::Bi] {
                    while let Some(stream) = self.connection.streams().accept(direction) {
                        self.readable.insert(stream);
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes what has come, some of it at a time.
    fn receive(&mut self, now: Instant) {
        const MAX_DATAGRAMS: usize = 64;
        let mut buffer = [0; 65_536];
        let Ok(peer) = self.socket.peer_addr() else { return };
        for _ in 0..MAX_DATAGRAMS {
            // An error tells of a closed port, among others, which a client of QUIC does not believe.
            let Ok(length) = self.socket.recv(&mut buffer) else { return };
            let datagram = BytesMut::from(&buffer[..length]);
            let mut answer = Vec::new();
            match self.endpoint.handle(now, peer, None, None, datagram, &mut answer) {
                Some(DatagramEvent::ConnectionEvent(_, event)) => self.connection.handle_event(event),
                Some(DatagramEvent::Response(transmit)) => {
                    let _ = self.socket.send(&answer[..transmit.size]);
                }
                Some(DatagramEvent::NewConnection(_)) | None => {}
            }
        }
    }
}

/// Drives the connection to the end of the test.
pub(super) fn run(shared: &Shared, mut woken: UnixStream) {
    loop {
        let (socket, pause) = {
            let mut driven = shared.lock();
            if driven.is_over {
                return;
            }
            let now = now();
            driven.turn(now);
            shared.changed.notify_all();
            driven.sleeps_until = driven.connection.poll_timeout();
            let pause = driven.sleeps_until.map(|until| until.saturating_duration_since(now));
            (Arc::clone(&driven.socket), pause)
        };
        wait_for(&[socket.as_raw_fd(), woken.as_raw_fd()], pause);
        while woken.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        shared.lock().receive(now());
    }
}

/// Waits until one of these can be read, or for `pause`.
fn wait_for(descriptors: &[i32; 2], pause: Option<Duration>) {
    let mut all = descriptors.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    let time = pause.map(|pause| libc::timespec {
        tv_sec: pause.as_secs() as libc::time_t,
        tv_nsec: pause.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the array and the time live as long as the call, and the count is that of the array.
    unsafe { libc::ppoll(all.as_mut_ptr(), all.len() as libc::nfds_t, time, std::ptr::null()) };
}
