//! The client of a connection, for backends that are told of it by the PROXY protocol.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::exchange::client_tls::ClientTls;
use crate::upstream::proxied_client::ProxiedClient;
use crate::upstream::proxied_client::ToldClient;
use crate::worker::Worker;

/// Made when a connection has its first request at a listener with such backends; dropped, at the latest, with the
/// connection.
#[derive(Default)]
pub struct ProxiedCell(OnceCell<Rc<ProxiedClient>>);

/// Addresses of a client's connection.
pub struct ClientAddresses {
    pub client: SocketAddr,
    /// The one that it connected to.
    pub destination: SocketAddr,
}

/// What a PROXY header in front of a connection has told besides the client.
#[derive(Default)]
pub struct ReceivedHeader {
    pub destination: Option<SocketAddr>,
    /// As they came; empty where no backend is told of them.
    pub tlvs: Box<[u8]>,
}

impl ProxiedCell {
    pub fn client(
        &self,
        addresses: impl FnOnce() -> ClientAddresses,
        (client_tls, received): (Option<&ClientTls>, Option<&ReceivedHeader>),
        worker: &Worker,
    ) -> &Rc<ProxiedClient> {
        self.0.get_or_init(|| {
            let ClientAddresses { client, destination } = addresses();
            let told = ToldClient {
                client,
                destination,
                tls: client_tls.map(ClientTls::take_proxied),
                passed_name: Box::default(),
                received: received.map(|header| header.tlvs.clone()).unwrap_or_default(),
            };
            worker.proxied.begin(told, &worker.pool)
        })
    }
}
