//! Many connections of HTTP/3 on one socket and one thread.

use crate::datagrams::Datagrams;
use crate::session::{Counters, Session, Work};
use bytes::BytesMut;
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, Transmit, TransportConfig,
};
use ringway_bench::now;
use ringway_bench::site::{NAME, Site};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs of datagrams that are taken before anything is sent.
const RUNS: usize = 16;
/// Datagrams that leave in one system call.
const BATCH: usize = 10;
/// No wait is longer, so that the end of a load is seen.
const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// The same where requests have a rate.
const PACED_WAIT: Duration = Duration::from_micros(100);

pub(crate) struct Client {
    remote: SocketAddr,
    datagrams: Datagrams,
    endpoint: Endpoint,
    configuration: ClientConfig,
    /// Indexed by handle.
    sessions: Vec<Option<Session>>,
    /// Handles of those that something has happened to.
    listed: Vec<ConnectionHandle>,
    outgoing: Vec<u8>,
    work: Work,
    pub(crate) counters: Counters,
    /// Since when requests have a rate.
    began: Instant,
    /// Of those that are asked to send one, by turns.
    next: usize,
}

impl Client {
    /// `loss` is the share of datagrams that the client drops each way, in per cent.
    pub(crate) fn new(remote: SocketAddr, site: &Site, work: Work, loss: f64) -> Result<Client, String> {
        let mut tls = rustls::ClientConfig::clone(&site.client);
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let tls = QuicClientConfig::try_from(tls).map_err(|e| format!("configuring the TLS client: {e}"))?;
        let mut transport = TransportConfig::default();
        // Who ends silent connections is the proxy.
        transport.max_idle_timeout(None);
        let mut configuration = ClientConfig::new(Arc::new(tls));
        configuration.transport_config(Arc::new(transport));
        Ok(Client {
            remote,
            datagrams: Datagrams::connect(remote, loss).map_err(|e| format!("opening a socket: {e}"))?,
            endpoint: Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None),
            configuration,
            sessions: Vec::new(),
            listed: Vec::new(),
            outgoing: Vec::new(),
            work,
            counters: Counters::default(),
            began: now(),
            next: 0,
        })
    }

    pub(crate) fn connect(&mut self) -> Result<(), String> {
        let connected = self.endpoint.connect(now(), self.configuration.clone(), self.remote, NAME);
        let (handle, quic) = connected.map_err(|e| format!("connecting: {e}"))?;
        if self.sessions.len() <= handle.0 {
            self.sessions.resize_with(handle.0 + 1, || None);
        }
        self.sessions[handle.0] = Some(Session::new(quic));
        self.list(handle);
        Ok(())
    }

    /// Loads until then. With `replace`, who is done is closed, and another takes its place.
    pub(crate) fn run(&mut self, end: Instant, replace: bool) -> Result<(), String> {
        while now() < end {
            self.turn(replace)?;
        }
        Ok(())
    }

    /// Loads until so many connections are done.
    pub(crate) fn run_until_done(&mut self, count: u64, within: Duration) -> Result<(), String> {
        let end = now() + within;
        while self.counters.done < count {
            if now() > end {
                return Err(format!("{} of {count} connections were served", self.counters.done));
            }
            self.turn(false)?;
        }
        Ok(())
    }

    /// Tells the peer that all is over.
    pub(crate) fn close(mut self) {
        let now = now();
        for index in 0..self.sessions.len() {
            if let Some(session) = &mut self.sessions[index] {
                session.close(now);
                self.transmit(ConnectionHandle(index), now);
            }
        }
    }

    fn turn(&mut self, replace: bool) -> Result<(), String> {
        let now = now();
        let mut runs = 0;
        while runs < RUNS && self.receive(now)? {
            runs += 1;
        }
        let next = self.expire(now);
        self.list_due(now);
        let idle = runs == 0 && self.listed.is_empty();
        for handle in std::mem::take(&mut self.listed) {
            self.drive(handle, now, replace)?;
        }
        if idle {
            let longest = if self.work.rate.is_some() { PACED_WAIT } else { LONGEST_WAIT };
            let until = next.map_or(longest, |next| next.saturating_duration_since(now));
            self.datagrams.wait(until.min(longest));
        }
        Ok(())
    }

    /// Lists as many connections as requests are due, by turns.
    fn list_due(&mut self, now: Instant) {
        let Some(rate) = self.work.rate else { return };
        self.counters.due = (rate * now.saturating_duration_since(self.began).as_secs_f64()) as u64;
        let due = self.counters.due.saturating_sub(self.counters.asked);
        for _ in 0..due.min(self.sessions.len() as u64) {
            self.next = (self.next + 1) % self.sessions.len();
            self.list(ConnectionHandle(self.next));
        }
    }

    fn receive(&mut self, now: Instant) -> Result<bool, String> {
        let Client { datagrams, endpoint, sessions, listed, outgoing, remote, .. } = self;
        let received = datagrams.receive(|datagram| {
            outgoing.clear();
            let event = endpoint.handle(now, *remote, None, None, BytesMut::from(datagram), outgoing);
            let Some(DatagramEvent::ConnectionEvent(handle, event)) = event else { return };
            let Some(Some(session)) = sessions.get_mut(handle.0) else { return };
            session.quic.handle_event(event);
            if !std::mem::replace(&mut session.listed, true) {
                listed.push(handle);
            }
        });
        received.map_err(|e| format!("receiving: {e}"))
    }

    fn list(&mut self, handle: ConnectionHandle) {
        let Some(Some(session)) = self.sessions.get_mut(handle.0) else { return };
        if !std::mem::replace(&mut session.listed, true) {
            self.listed.push(handle);
        }
    }

    /// Lists those whose time has come; gives the next time.
    fn expire(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for index in 0..self.sessions.len() {
            let Some(session) = &mut self.sessions[index] else { continue };
            let Some(time) = session.quic.poll_timeout() else { continue };
            if time <= now {
                session.quic.handle_timeout(now);
                self.list(ConnectionHandle(index));
            } else {
                next = Some(next.map_or(time, |next| next.min(time)));
            }
        }
        next
    }

    fn drive(&mut self, handle: ConnectionHandle, now: Instant, replace: bool) -> Result<(), String> {
        let Some(Some(session)) = self.sessions.get_mut(handle.0) else { return Ok(()) };
        session.listed = false;
        let was_done = session.done;
        session.take_events(&self.work, &mut self.counters)?;
        let ends = replace && session.done && !was_done;
        if ends {
            session.close(now);
        }
        while let Some(event) = session.quic.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                session.quic.handle_event(event);
            }
        }
        let drained = session.quic.is_drained();
        self.transmit(handle, now);
        if drained {
            self.sessions[handle.0] = None;
        }
        if ends { self.connect() } else { Ok(()) }
    }

    fn transmit(&mut self, handle: ConnectionHandle, now: Instant) {
        let Some(Some(session)) = self.sessions.get_mut(handle.0) else { return };
        self.outgoing.clear();
        while let Some(transmit) = session.quic.poll_transmit(now, BATCH, &mut self.outgoing) {
            let Transmit { size, segment_size, .. } = transmit;
            self.datagrams.send(&self.outgoing[..size], segment_size.unwrap_or(size));
            self.outgoing.clear();
        }
    }
}
