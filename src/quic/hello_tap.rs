//! TLS as quinn-proto drives it, with a look at what clients say first: rustls shows no ClientHello whole.

use std::any::Any;
use std::sync::Arc;

use quinn_proto::ConnectionId;
use quinn_proto::Side;
use quinn_proto::TransportError;
use quinn_proto::crypto::ExportKeyingMaterialError;
use quinn_proto::crypto::HeaderKey;
use quinn_proto::crypto::KeyPair;
use quinn_proto::crypto::Keys;
use quinn_proto::crypto::PacketKey;
use quinn_proto::crypto::ServerConfig;
use quinn_proto::crypto::Session;
use quinn_proto::crypto::UnsupportedVersion;
use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::transport_parameters::TransportParameters;

use crate::tls::quic_hello::QuicHello;

/// Servers that take the fingerprints of clients.
pub(super) struct TappedServer {
    pub(super) inner: Arc<QuicServerConfig>,
}

impl ServerConfig for TappedServer {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.inner.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.inner.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(self: Arc<Self>, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        let inner = Arc::clone(&self.inner).start_session(version, params);
        Box::new(TappedSession { inner, hello: QuicHello::default() })
    }
}

/// The session of one client.
struct TappedSession {
    inner: Box<dyn Session>,
    hello: QuicHello,
}

impl Session for TappedSession {
    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        // The stream of the Initial level comes first and in order; a ClientHello is the first message in it.
        self.hello.look_at(buf);
        self.inner.read_handshake(buf)
    }

    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.inner.write_handshake(buf)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.inner.next_1rtt_keys()
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}
