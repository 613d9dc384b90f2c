//! What a task that serves a connection has hold of.

use std::future::poll_fn;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use quinn_proto::Dir;
use quinn_proto::VarInt;

use crate::net::clock::instant_now;
use crate::quic::end::QuicEnd;
use crate::quic::shared::QuicShared;
use crate::quic::streams::RecvHalf;
use crate::quic::streams::SendHalf;
use crate::tls::accept::Facts;

/// One connection. It is closed when this is dropped; streams do not keep it open.
///
/// One task at a time may wait for each of: the handshake, a stream of each direction to be accepted or opened, what was finished
/// to be delivered, and the end.
pub struct QuicConnection {
    shared: Rc<QuicShared>,
}

/// What was counted of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounters {
    pub received_datagrams: u64,
    pub received_bytes: u64,
    pub sent_datagrams: u64,
    pub sent_bytes: u64,
    pub lost_packets: u64,
    /// Frames with data of streams, those that were sent again included.
    pub sent_pieces: u64,
    /// The time to the peer and back.
    pub round_trip: Duration,
}

impl QuicConnection {
    pub(super) fn new(shared: Rc<QuicShared>) -> QuicConnection {
        QuicConnection { shared }
    }

    /// Waits until the handshake is done, and gives what it told; to be called once.
    ///
    /// # Errors
    /// It failed, or its time is over.
    pub async fn handshake(&self) -> Result<Box<Facts>, QuicEnd> {
        poll_fn(|cx| {
            let mut state = self.shared.state.borrow_mut();
            match (state.end, state.is_established) {
                (Some(end), _) => Poll::Ready(Err(end)),
                (None, true) => Poll::Ready(Ok(state.facts.take().unwrap_or_default())),
                (None, false) => {
                    state.handshake.register(cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The next stream that the peer has opened for both directions.
    pub fn poll_accept_both(&self, cx: &Context<'_>) -> Poll<Result<(SendHalf, RecvHalf), QuicEnd>> {
        self.poll_accept(Dir::Bi, cx).map_ok(|id| {
            (SendHalf::new(Rc::clone(&self.shared), id), RecvHalf::new(Rc::clone(&self.shared), id))
        })
    }

    /// The next stream that the peer has opened to send on.
    pub fn poll_accept_one(&self, cx: &Context<'_>) -> Poll<Result<RecvHalf, QuicEnd>> {
        self.poll_accept(Dir::Uni, cx).map_ok(|id| RecvHalf::new(Rc::clone(&self.shared), id))
    }

    fn poll_accept(&self, dir: Dir, cx: &Context<'_>) -> Poll<Result<quinn_proto::StreamId, QuicEnd>> {
        let mut state = self.shared.state.borrow_mut();
        if let Some(end) = state.end {
            return Poll::Ready(Err(end));
        }
        match state.connection.streams().accept(dir) {
            Some(id) => {
                state.served_streams += u32::from(dir == Dir::Bi);
                drop(state);
                // The peer may open another one.
                self.shared.touch();
                Poll::Ready(Ok(id))
            }
            None => {
                state.wait_accept(dir, cx);
                Poll::Pending
            }
        }
    }

    /// Opens a stream to send on, as soon as the peer allows another one.
    pub fn poll_open_one(&self, cx: &Context<'_>) -> Poll<Result<SendHalf, QuicEnd>> {
        self.poll_open(Dir::Uni, cx).map_ok(|id| SendHalf::new(Rc::clone(&self.shared), id))
    }

    fn poll_open(&self, dir: Dir, cx: &Context<'_>) -> Poll<Result<quinn_proto::StreamId, QuicEnd>> {
        let mut state = self.shared.state.borrow_mut();
        if let Some(end) = state.end {
            return Poll::Ready(Err(end));
        }
        match state.connection.streams().open(dir) {
            Some(id) => Poll::Ready(Ok(id)),
            None => {
                state.wait_open(dir, cx);
                Poll::Pending
            }
        }
    }

    /// See [`QuicConnection::poll_accept_both`].
    pub async fn accept_both(&self) -> Result<(SendHalf, RecvHalf), QuicEnd> {
        poll_fn(|cx| self.poll_accept_both(cx)).await
    }

    /// See [`QuicConnection::poll_accept_one`].
    pub async fn accept_one(&self) -> Result<RecvHalf, QuicEnd> {
        poll_fn(|cx| self.poll_accept_one(cx)).await
    }

    /// See [`QuicConnection::poll_open_one`].
    pub async fn open_one(&self) -> Result<SendHalf, QuicEnd> {
        poll_fn(|cx| self.poll_open_one(cx)).await
    }

    #[cfg(test)]
    pub(super) async fn open_both(&self) -> Result<(SendHalf, RecvHalf), QuicEnd> {
        let id = poll_fn(|cx| self.poll_open(Dir::Bi, cx)).await?;
        Ok((SendHalf::new(Rc::clone(&self.shared), id), RecvHalf::new(Rc::clone(&self.shared), id)))
    }

    /// Asks the peer for a sign of life, which is one to it, too (RFC 9000 §19.2).
    pub fn ping(&self) {
        self.shared.state.borrow_mut().connection.ping();
        self.shared.touch();
    }

    /// Closes it at once with a code of the application (RFC 9000 §10.2). What was written and not received may be lost.
    pub fn close(&self, code: u32, reason: &'static [u8]) {
        self.shared.close(VarInt::from_u32(code), reason, instant_now());
    }

    /// Waits until it is over.
    pub fn poll_closed(&self, cx: &Context<'_>) -> Poll<QuicEnd> {
        let state = self.shared.state.borrow();
        state.end.map_or_else(
            || {
                state.closed.register(cx);
                Poll::Pending
            },
            Poll::Ready,
        )
    }

    /// See [`QuicConnection::poll_closed`].
    pub async fn closed(&self) -> QuicEnd {
        poll_fn(|cx| self.poll_closed(cx)).await
    }

    /// Why it is over, if it is.
    pub fn end(&self) -> Option<QuicEnd> {
        self.shared.state.borrow().end
    }

    /// Where the peer is now; it may move (RFC 9000 §9).
    pub fn peer_address(&self) -> SocketAddr {
        self.shared.state.borrow().connection.remote_address()
    }

    /// The address that the peer has asked; None where the socket has one alone.
    pub fn local_address(&self) -> Option<IpAddr> {
        self.shared.state.borrow().connection.local_ip()
    }

    /// Bytes that it keeps at most until the peer has them.
    pub fn set_send_window(&self, bytes: u64) {
        self.shared.state.borrow_mut().connection.set_send_window(bytes);
    }

    /// Waits until the peer has all streams whole that were finished.
    pub fn poll_delivered(&self, cx: &Context<'_>) -> Poll<()> {
        let state = self.shared.state.borrow();
        if state.finishing.is_empty() {
            return Poll::Ready(());
        }
        state.delivered.register(cx);
        Poll::Pending
    }

    /// Whether it does not have them yet.
    pub fn is_delivering(&self) -> bool {
        !self.shared.state.borrow().finishing.is_empty()
    }

    /// What was counted so far.
    pub fn counters(&self) -> ConnectionCounters {
        let stats = self.shared.state.borrow().connection.stats();
        ConnectionCounters {
            received_datagrams: stats.udp_rx.datagrams,
            received_bytes: stats.udp_rx.bytes,
            sent_datagrams: stats.udp_tx.datagrams,
            sent_bytes: stats.udp_tx.bytes,
            lost_packets: stats.path.lost_packets,
            sent_pieces: stats.frame_tx.stream,
            round_trip: stats.path.rtt,
        }
    }
}

impl Drop for QuicConnection {
    fn drop(&mut self) {
        if self.end().is_none() {
            let code = self.shared.state.borrow().abandoned;
            self.shared.close(code, b"", instant_now());
        }
    }
}
