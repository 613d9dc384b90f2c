#!/usr/bin/env bash
# A server of QUIC says how many streams a client may open, and says a higher number as streams end (MAX_STREAMS, RFC 9000 §4.6).
#
# Seen: quinn 0.11.11 with quinn-proto 0.11.19 says it only when more than an eighth of the limit has ended since it last did
# (whole numbers: with a limit of 10, two; with 100, thirteen). A client that has all but one of its streams open for long, as
# with server-sent events or gRPC streams, ends a short one and cannot open the next; it can as soon as a second one has ended.
# With a limit of 7 or less, each stream that ends can be followed by another.
# Expected: that 10 concurrent streams are 10 whatever the others do, as with HTTP/2; or a word about it at
# `max_concurrent_bidi_streams`.
#
# What follows: limits of streams of such a server have to be an eighth higher than what clients keep open for long. Who has the
# connection of quinn-proto in hand can set the limit to 1 and back at once, which makes each single stream worth a MAX_STREAMS.
#
# Needs cargo and a C compiler. Fails when what is seen changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "case"
version = "0.0.0"
edition = "2021"
[dependencies]
quinn = { version = "=0.11.11", default-features = false, features = ["runtime-tokio", "rustls-ring"] }
quinn-proto = { version = "=0.11.19", default-features = false }
rcgen = "=0.14.7"
rustls = { version = "=0.23.46", default-features = false, features = ["ring", "std"] }
tokio = { version = "1", features = ["macros", "rt", "time"] }
TOML
cat >src/main.rs <<'RS'
use quinn::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig};
use std::sync::Arc;
use std::time::Duration;

async fn echo(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        let connection = incoming.await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                tokio::spawn(async move {
                    let mut bytes = [0; 16];
                    while let Ok(Some(count)) = receive.read(&mut bytes).await {
                        send.write_all(&bytes[..count]).await.unwrap();
                    }
                    let _ = send.finish();
                });
            }
        });
    }
}

async fn begin(connection: &Connection) -> Option<(SendStream, RecvStream)> {
    let (mut send, mut receive) = tokio::time::timeout(Duration::from_secs(3), connection.open_bi()).await.ok()?.unwrap();
    send.write_all(b"hello").await.unwrap();
    receive.read_exact(&mut [0; 5]).await.unwrap();
    Some((send, receive))
}

async fn end((mut send, mut receive): (SendStream, RecvStream)) {
    send.finish().unwrap();
    receive.read_to_end(16).await.unwrap();
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let limit: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(pair.cert);
    let key = PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
    let mut config = ServerConfig::with_single_cert(vec![certificate.clone()], key.into()).unwrap();
    let mut transport = TransportConfig::default();
    transport.max_concurrent_bidi_streams(limit.into());
    config.transport_config(Arc::new(transport));
    let server = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(echo(server));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    client.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots)).unwrap());
    let connection = client.connect(address, "localhost").unwrap().await.unwrap();
    let mut open = Vec::new();
    for _ in 0..limit {
        open.push(begin(&connection).await.unwrap());
    }
    let mut ended = 0;
    loop {
        end(open.pop().unwrap()).await;
        ended += 1;
        if begin(&connection).await.is_some() {
            return println!("{ended}");
        }
    }
}
RS
cargo build --quiet
few=$(timeout 60 ./target/debug/case 7)
ten=$(timeout 60 ./target/debug/case 10)
echo "quinn 0.11.11, quinn-proto 0.11.19: streams to end before another can be opened: $few of 7, $ten of 10"
[ "$few" = 1 ] && [ "$ten" = 2 ] || exit 1
echo "seen as described"
