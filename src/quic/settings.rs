//! What endpoints and connections of QUIC are set to.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::EndpointConfig;
use quinn_proto::IdleTimeout;
use quinn_proto::ServerConfig;
use quinn_proto::TransportConfig;
use quinn_proto::ValidationTokenConfig;
use quinn_proto::VarInt;
use quinn_proto::crypto;
use quinn_proto::crypto::rustls::QuicServerConfig;

use crate::quic::congestion::CubicFactory;
use crate::quic::connection_id::ConnectionIds;
use crate::quic::hello_tap::TappedServer;
use crate::tls::quic::QuicTls;
use crate::tls::quic_keys::QuicKeys;

/// Bytes of one stream that a client may send before they are read. quinn-proto closes a connection with more than 1,024
/// pieces that do not join, which a window of 512 KiB cannot reach with datagrams of 1,200 bytes where every other is lost.
const STREAM_WINDOW: u32 = 256 << 10;

/// The same, of all streams.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes of a connection that are kept until the client has them.
const SEND_WINDOW: u64 = 1 << 20;

/// Streams that a client may have open in each direction; beyond 112 together, tables of quinn-proto double.
pub const MAX_BIDIRECTIONAL_STREAMS: u32 = 100;
/// Those of them that it may open at first. A client that opens a quarter of these may open all: with as few, tables are a
/// quarter as large, which is 4 KB of each connection that is idle.
const FIRST_BIDIRECTIONAL_STREAMS: u32 = 20;
pub const MAX_UNIDIRECTIONAL_STREAMS: u32 = 8;

/// What every way must carry (RFC 9000 §14.1); more is found out.
const INITIAL_MTU: u16 = 1200;

/// Clients whose handshake has not begun, and what each and all of them may have waiting.
const MAX_INCOMING: usize = 256;
const INCOMING_BYTES: u64 = 16 << 10;
const ALL_INCOMING_BYTES: u64 = 4 << 20;

const VERSION_1: u32 = 1;

/// What can be chosen for a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicLimits {
    /// A connection on which nothing happens for as long is over.
    pub idle_timeout: Duration,
    /// Streams that a client may open before earlier ones are over, in both directions; at most
    /// [`MAX_BIDIRECTIONAL_STREAMS`].
    pub max_streams: u32,
    /// From so many unfinished handshakes of one socket on, new clients have to show that they receive at their address
    /// (RFC 9000 §8.1.2).
    pub retry_threshold: usize,
    /// From so many on, they are refused.
    pub refuse_threshold: usize,
    /// The code of the application for connections that nobody serves any more.
    pub abandoned_connection: u32,
    /// The same, for streams.
    pub abandoned_stream: u32,
}

/// How many streams for both directions a client may have open.
#[derive(Clone, Copy, Default)]
pub(super) struct StreamLimit {
    /// Now.
    pub(super) allowed: u32,
    /// As soon as it opens many.
    pub(super) most: u32,
}

impl QuicLimits {
    pub(super) fn streams(&self) -> StreamLimit {
        let most = self.max_streams.min(MAX_BIDIRECTIONAL_STREAMS);
        StreamLimit { allowed: most.min(FIRST_BIDIRECTIONAL_STREAMS), most }
    }
}

impl Default for QuicLimits {
    fn default() -> QuicLimits {
        QuicLimits {
            idle_timeout: Duration::from_secs(30),
            max_streams: MAX_BIDIRECTIONAL_STREAMS,
            retry_threshold: 100,
            refuse_threshold: 1_000,
            abandoned_connection: 0,
            abandoned_stream: 0,
        }
    }
}

/// What a listener offers now; None: nobody may begin. Asked for each new client, so that new certificates hold at once.
pub type ServerOffer = Box<dyn Fn() -> Option<QuicServer>>;

/// What a listener offers to new clients.
#[derive(Clone)]
pub struct QuicServer {
    pub config: Arc<ServerConfig>,
    pub tls: Arc<QuicTls>,
    pub limits: QuicLimits,
}

impl QuicServer {
    /// None if this build of rustls cannot seal first packets.
    pub fn new(tls: Arc<QuicTls>, keys: &QuicKeys, limits: QuicLimits) -> Option<QuicServer> {
        let suite = QuicTls::initial_suite()?;
        let inner = Arc::new(QuicServerConfig::with_initial(tls.config(), suite).ok()?);
        let crypto: Arc<dyn crypto::ServerConfig> =
            if tls.tls().wants_fingerprints() { Arc::new(TappedServer { inner }) } else { inner };
        let mut config = ServerConfig::new(crypto, keys.retry.clone());
        let mut tokens = ValidationTokenConfig::default();
        // Who used which would have to be known to all workers and processes.
        tokens.sent(0);
        config
            .transport_config(Arc::new(transport(&limits)))
            .validation_token_config(tokens)
            .max_incoming(MAX_INCOMING)
            .incoming_buffer_size(INCOMING_BYTES)
            .incoming_buffer_size_total(ALL_INCOMING_BYTES)
            .migration(true);
        Some(QuicServer { config: Arc::new(config), tls, limits })
    }
}

/// What connections are set to.
fn transport(limits: &QuicLimits) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.streams().allowed))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_UNIDIRECTIONAL_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        .initial_mtu(INITIAL_MTU)
        .congestion_controller_factory(Arc::new(CubicFactory))
        .allow_spin(false)
        .max_idle_timeout(IdleTimeout::try_from(limits.idle_timeout).ok());
    transport
}

/// What the endpoint of one socket is set to.
pub fn endpoint_config(ids: &ConnectionIds, keys: &QuicKeys) -> EndpointConfig {
    let mut config = EndpointConfig::new(keys.reset.clone());
    let ids = ids.clone();
    config.cid_generator(move || Box::new(ids.clone())).supported_versions(vec![VERSION_1]);
    config
}

#[cfg(test)]
mod tests {
    use quinn_proto::crypto::rustls::QuicClientConfig;

    use super::*;
    use crate::quic::connection_id::EndpointPlace;
    use crate::tls::quic::kit;

    #[test]
    fn a_listener_for_https_can_have_quic() {
        let keys = QuicKeys::new(None);
        let server = QuicServer::new(kit::server(None), &keys, QuicLimits::default()).unwrap();
        assert_eq!(server.tls.config().alpn_protocols, [kit::ALPN]);
        assert_eq!(server.tls.config().max_early_data_size, 0);
        let set = format!("{:?}", server.config);
        for expected in [
            "max_concurrent_bidi_streams: 20",
            "max_concurrent_uni_streams: 8",
            "stream_receive_window: 262144",
            "receive_window: 1048576",
            "send_window: 1048576",
            "initial_mtu: 1200",
            "allow_spin: false",
            "datagram_receive_buffer_size: None",
            "max_incoming: 256",
            "incoming_buffer_size: 16384",
            "sent: 0",
        ] {
            assert!(set.contains(expected), "{expected}: {set}");
        }
        // The same version and suites on the other side.
        assert!(QuicClientConfig::try_from(kit::client(kit::ALPN, true)).is_ok());
        let ids = ConnectionIds::new(EndpointPlace { index: 0, sockets: 1, endpoints: 1 }, 0, &keys);
        assert!(format!("{:?}", endpoint_config(&ids, &keys)).contains("supported_versions: [1]"));
    }
}
