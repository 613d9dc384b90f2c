//! What carries HTTP: a socket in cleartext, or TLS over one. The operations are the same.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::net::buffer::Buffer;
use crate::net::socket::Pending;
use crate::net::socket::SendError;
use crate::net::socket::Socket;
use crate::net::timer::Deadline;
use crate::net::timer::Elapsed;
use crate::net::traffic::Traffic;
use crate::tls::stream::TlsStream;

/// One receive and one send may be in flight at the same time. Dropping a receive in flight may lose
/// bytes, so it is done only when the connection is given up.
pub enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream>),
}

impl Transport {
    pub fn is_tls(&self) -> bool {
        matches!(self, Transport::Tls(_))
    }

    /// Waits, holding no buffer, until there is something to receive or the connection ended. With
    /// TLS, what there is may turn out to be no content; see [`Transport::pending`].
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Transport::Plain(socket) => socket.readable().await,
            Transport::Tls(stream) => stream.readable().await,
        }
    }

    /// Whether nothing is at hand that was received before, so that its socket is to be waited for.
    pub fn is_silent(&self) -> bool {
        match self {
            Transport::Plain(_) => true,
            Transport::Tls(stream) => stream.is_silent(),
        }
    }

    /// Receives once, behind the filled bytes of `buffer`, which must have room. Zero bytes mean the
    /// peer's orderly end; with TLS, an end without close_notify is an error.
    pub async fn receive(&self, buffer: Buffer) -> (io::Result<usize>, Buffer) {
        match self {
            Transport::Plain(socket) => socket.receive(buffer).await,
            Transport::Tls(stream) => stream.receive(buffer).await,
        }
    }

    /// Sends the filled bytes of `buffer` and returns them untouched, with what was sent of them if
    /// the connection broke.
    pub async fn send(&self, buffer: Buffer) -> (Result<(), SendError>, Buffer) {
        match self {
            Transport::Plain(socket) => socket.send(buffer).await,
            Transport::Tls(stream) => stream.send(buffer).await,
        }
    }

    /// Sends like [`Transport::send`], for as long as the peer takes some of it every `timeout`. Room for more in the
    /// kernel's queue shows only when a third of it has drained, which takes a slow reader minutes.
    pub async fn send_within(
        &self,
        buffer: Buffer,
        deadline: &Deadline,
        timeout: Duration,
    ) -> Result<(Result<(), SendError>, Buffer), Elapsed> {
        deadline.set(timeout);
        let mut sending = pin!(self.send(buffer));
        loop {
            match deadline.guard(sending.as_mut()).await {
                Err(Elapsed) if self.extend(deadline, timeout) => {}
                outcome => return outcome,
            }
        }
    }

    /// Moves a deadline that has passed while something waits to be sent, if the peer took some of it within
    /// `timeout`; false if it did not.
    pub fn extend(&self, deadline: &Deadline, timeout: Duration) -> bool {
        let silence = self.socket().send_silence().filter(|silence| *silence < timeout);
        if let Some(silence) = silence {
            deadline.set(timeout - silence);
        }
        silence.is_some()
    }

    /// What could be received without waiting.
    pub fn pending(&self) -> Pending {
        match self {
            Transport::Plain(socket) => socket.pending(),
            Transport::Tls(stream) => stream.pending(),
        }
    }

    /// Tells the peer that nothing more will be sent; receiving goes on.
    pub fn finish_sending(&self) {
        match self {
            Transport::Plain(socket) => socket.finish_sending(),
            Transport::Tls(stream) => stream.finish_sending(),
        }
    }

    /// Says good-bye where the protocol has a word for it, before the connection is dropped.
    pub fn close(&self) {
        if let Transport::Tls(stream) = self {
            stream.close();
        }
    }

    /// Lets the close reset the connection, so that the peer does not take it for an orderly end.
    pub fn reset_on_close(&self) {
        match self {
            Transport::Plain(socket) => socket.reset_on_close(),
            Transport::Tls(stream) => stream.reset_on_close(),
        }
    }

    /// Whether something that was sent has not arrived at the peer.
    pub fn has_unsent(&self) -> bool {
        self.socket().has_unsent()
    }

    /// The smoothed round-trip time that TCP measured, in microseconds; `None` on unix sockets.
    pub fn round_trip_us(&self) -> Option<u32> {
        self.socket().round_trip_us()
    }

    /// Counts from now on what the socket receives and sends there.
    pub fn count_in(&mut self, traffic: Option<Arc<Traffic>>) {
        match self {
            Transport::Plain(socket) => socket.count_in(traffic),
            Transport::Tls(stream) => stream.count_in(traffic),
        }
    }

    /// What lies below, for those who only throw away what still comes.
    pub fn socket(&self) -> &Socket {
        match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.socket(),
        }
    }
}
