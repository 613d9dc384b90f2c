//! What clients and servers of tests say.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use quinn_proto::ClientConfig;
use quinn_proto::TransportConfig;
use quinn_proto::crypto::rustls::QuicClientConfig;

use crate::quic::admission::Admission;
use crate::quic::admission::Admit;
use crate::quic::connection::QuicConnection;
use crate::quic::end::QuicEnd;
use crate::quic::streams::RecvHalf;
use crate::quic::streams::SendHalf;
use crate::tls::quic::kit;

pub(super) type Spawn = Rc<dyn Fn(Pin<Box<dyn Future<Output = ()>>>)>;

/// A client that offers what the server wants.
pub(super) fn client() -> ClientConfig {
    client_offering(kit::ALPN, false)
}

/// One with so much room for what it has not read: of a stream, and of all.
pub(super) fn client_with_room(of_stream: u32, of_all: u32) -> ClientConfig {
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(of_stream.into()).receive_window(of_all.into());
    let mut config = client();
    config.transport_config(Arc::new(transport));
    config
}

pub(super) fn client_offering(alpn: &[u8], has_certificate: bool) -> ClientConfig {
    let crypto = QuicClientConfig::try_from(kit::client(alpn, has_certificate)).unwrap();
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(TransportConfig::default()));
    config
}

/// Serves everybody by sending back what comes on each stream.
pub(super) fn echoing(spawn: &Spawn) -> Admit {
    let spawn = Rc::clone(spawn);
    Box::new(move |_| {
        let spawn = Rc::clone(&spawn);
        Admission::Serve(Box::new(move |begun| {
            let Ok(connection) = begun else { return };
            let inner = Rc::clone(&spawn);
            spawn(Box::pin(async move {
                let _ = echo_all(connection, inner).await;
            }));
        }))
    })
}

/// Until the connection is over.
pub(super) async fn echo_all(connection: QuicConnection, spawn: Spawn) -> QuicEnd {
    loop {
        match connection.accept_both().await {
            Ok((send, receive)) => spawn(Box::pin(echo(send, receive))),
            Err(end) => return end,
        }
    }
}

async fn echo(mut send: SendHalf, mut receive: RecvHalf) {
    while let Ok(Some(bytes)) = receive.read(usize::MAX).await {
        if send.write(bytes).await.is_err() {
            return;
        }
    }
    let _ = send.finish();
}

/// Everything up to the end of a stream.
pub(super) async fn read_all(receive: &mut RecvHalf) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = receive.read(64 * 1024).await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    all
}

/// Bytes that tell their place, for the stream with this number.
pub(super) fn pattern(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|place| (place / 256 + place + number * 7) as u8).collect()
}

/// Sends this much on as many streams at once, and reads it back. The connection has to stay: the last acknowledgement may
/// come later.
pub(super) async fn ask_for_echo(connection: &QuicConnection, streams: usize, length: usize, spawn: &Spawn) {
    let mut readers = Vec::new();
    for number in 0..streams {
        let (mut send, receive) = connection.open_both().await.unwrap();
        spawn(Box::pin(async move {
            send.write(Bytes::from(pattern(number, length))).await.unwrap();
            send.finish().unwrap();
            send.done().await.unwrap();
        }));
        readers.push(receive);
    }
    for (number, receive) in readers.iter_mut().enumerate() {
        assert!(read_all(receive).await == pattern(number, length), "stream {number} came back changed");
    }
}
