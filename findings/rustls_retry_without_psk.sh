#!/usr/bin/env bash
# A TLS 1.3 session of one server, shown to another one after a migration, where the second asks for another key share.
#
# Seen: rustls 0.23.46 (feature ring) as a server, with TLS13_AES_128_GCM_SHA256 and group P-384 alone; OpenSSL 3 as the
# client, with a session whose hash is SHA-384 and a first key share for X448.
#   1. The ClientHello offers the session. rustls asks for a P-384 key share (HelloRetryRequest) and has chosen a suite
#      with SHA-256 by then.
#   2. OpenSSL drops the session from its second ClientHello, because its hash does not fit that suite. RFC 8446 §4.1.2
#      names this among the changes that a second ClientHello may have: removing PSKs that are incompatible with the
#      server's indicated cipher suite.
#   3. rustls answers with the alert missing_extension and the handshake fails. Without the old session it succeeds.
# Expected: a full handshake, as with OpenSSL's own server (also tried here).
#
# Needs cargo and openssl. Fails when what is seen changes.
set -euo pipefail
folder=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$folder"
}
trap cleanup EXIT
cd "$folder"

mkdir -p server/src
cat >server/Cargo.toml <<'TOML'
[package]
name = "server"
version = "0.0.0"
edition = "2021"

[dependencies]
rustls = { version = "=0.23.46", default-features = false, features = ["ring", "std"] }
TOML
cat >server/src/main.rs <<'RUST'
use rustls::crypto::ring;
use rustls::pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer};
use std::io::Write;
use std::sync::Arc;

/// Serves handshakes one by one, and prints how each ended.
fn main() {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![ring::kx_group::SECP384R1];
    let chain = vec![CertificateDer::from_pem_file("cert.pem").unwrap()];
    let key = PrivateKeyDer::from_pem_file("key.pem").unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    std::fs::write("port.new", listener.local_addr().unwrap().port().to_string()).unwrap();
    std::fs::rename("port.new", "port").unwrap();
    for socket in listener.incoming() {
        let mut socket = socket.unwrap();
        let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let outcome = loop {
            match connection.complete_io(&mut socket) {
                Ok(_) if connection.is_handshaking() => {}
                Ok(_) => break "handshake complete".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        println!("rustls: {outcome}");
        std::io::stdout().flush().unwrap();
    }
}
RUST
cargo build --quiet --manifest-path server/Cargo.toml

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 \
  -subj /CN=localhost 2>/dev/null
ask() { timeout 10 openssl s_client -connect "127.0.0.1:$1" -tls1_3 "${@:2}" </dev/null 2>&1 || true; }

# The first server, whose sessions have the hash SHA-384.
openssl s_server -accept 127.0.0.1:0 -cert cert.pem -key key.pem -tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384 -www \
  >first.log 2>&1 &
pids+=($!)
# The second one: OpenSSL's own, as rustls will be set up.
openssl s_server -accept 127.0.0.1:0 -cert cert.pem -key key.pem -tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256 \
  -groups P-384 -www >second.log 2>&1 &
pids+=($!)
server/target/debug/server >rustls.log 2>&1 &
pids+=($!)
port_of() { sed -n 's/^ACCEPT .*:\([0-9]*\).*/\1/p' "$1" | head -1; }
for _ in $(seq 50); do
  [ -e port ] && [ -n "$(port_of first.log)" ] && [ -n "$(port_of second.log)" ] && break
  sleep 0.1
done
printf 'GET / HTTP/1.0\r\n\r\n' | timeout 10 openssl s_client -connect "127.0.0.1:$(port_of first.log)" -tls1_3 \
  -sess_out session.pem -ign_eof >/dev/null 2>&1
[ -s session.pem ] || { echo "no session from the first server"; exit 1; }

groups=(-groups X448:P-384)
openssl version
echo "rustls 0.23.46"
own=$(ask "$(port_of second.log)" "${groups[@]}" -sess_in session.pem)
grep -q "New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256" <<<"$own" && echo "OpenSSL's server, old session: handshake complete"
ask "$(cat port)" "${groups[@]}" >/dev/null
ask "$(cat port)" "${groups[@]}" -sess_in session.pem >old.log
sleep 0.5
cat rustls.log
grep -o "alert missing extension" old.log | head -1 | sed 's/^/client, old session: /'

grep -q "New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256" <<<"$own"
[ "$(sed -n 1p rustls.log)" = "rustls: handshake complete" ]
sed -n 2p rustls.log | grep -qi "extension"
grep -q "alert missing extension" old.log
echo "seen as described"
