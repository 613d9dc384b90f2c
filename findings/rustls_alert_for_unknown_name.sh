#!/usr/bin/env bash
# A TLS server that has no certificate for the name that a client asks for may refuse the handshake, and there is an
# alert for exactly that: unrecognized_name, 112 (RFC 6066 §3, RFC 8446 §6.2).
#
# Seen: a server of rustls 0.23.46 with the resolver that rustls itself has for this, ResolvesServerCertUsingSni, refuses
# an unknown name with access_denied, 49: "A valid certificate or PSK was received, but when access control was applied,
# the sender decided not to proceed with negotiation" (RFC 8446 §6.2). No certificate was received, and no client can
# tell from it that the name was the fault; openssl says "tlsv1 alert access denied". The name that is known is served.
# nginx 1.22.1 with ssl_reject_handshake says unrecognized_name.
# Expected: unrecognized_name.
#
# What follows: whoever looks for the cause of alert 49 from a server of rustls looks at the name first; and a server that
# wants clients to know must refuse by itself, before rustls does.
#
# Needs cargo, a C compiler and openssl. Fails when what is seen changes.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=known.example \
  -addext subjectAltName=DNS:known.example -keyout key.pem -out cert.pem 2>/dev/null
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "case"
version = "0.0.0"
edition = "2021"
[dependencies]
rustls = { version = "=0.23.46", default-features = false, features = ["ring", "std", "tls12"] }
TOML
cat >src/main.rs <<'RS'
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use std::net::TcpListener;
use std::sync::Arc;

fn main() {
    let chain = vec![CertificateDer::from_pem_file("cert.pem").unwrap()];
    let key = default_provider().key_provider.load_private_key(PrivateKeyDer::from_pem_file("key.pem").unwrap()).unwrap();
    let mut resolver = ResolvesServerCertUsingSni::new();
    resolver.add("known.example", CertifiedKey::new(chain, key)).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut connection = ServerConnection::new(config.clone()).unwrap();
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut stream) {
                eprintln!("server: {error}");
                break;
            }
        }
        connection.send_close_notify();
        let _ = connection.complete_io(&mut stream);
    }
}
RS
cargo build --quiet
./target/debug/case >port 2>said &
server=$!
for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
ask() {
  timeout 10 openssl s_client -connect "127.0.0.1:$(cat port)" -servername "$1" "$2" </dev/null 2>&1 |
    grep -aoE 'SSL alert number [0-9]+|Protocol *: TLSv1\.[23]|New, TLSv1\.[23]' | sort -u | tr "\n" " " || true
}
for version in -tls1_3 -tls1_2; do
  known=$(ask known.example $version) unknown=$(ask unknown.example $version)
  echo "rustls 0.23.46, openssl $version: known name: $known; unknown name: $unknown"
  case $known in *alert*) exit 1 ;; *TLSv1*) ;; *) exit 1 ;; esac
  case $unknown in *"alert number 49"*) ;; *) exit 1 ;; esac
done
echo "seen as described"
