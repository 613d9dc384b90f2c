//! TLS that is slow, too much, or wrong.

use crate::support::tls::{Issuer, ask, client_config, versioned_config};
use crate::support::{Backend, Client, Ringway, Scenario, Wire, eventually, log_entries, now};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, ConnectionTrafficSecrets, ExtractedSecrets};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const NAME: &str = "site.example";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: site.example\r\n\r\n";

struct Scene {
    config: Arc<ClientConfig>,
    scenario: Scenario,
    issuer: Issuer,
    _backend: Backend,
}

impl Scene {
    fn new() -> Scene {
        let issuer = Issuer::new("sites");
        let backend = Backend::echo_head();
        let scenario = Scenario::of(&backend).certificate("site", &issuer.server(&[NAME])).logged("json");
        let config = Arc::new(client_config(&[&issuer.pem]));
        Scene { config, scenario, issuer, _backend: backend }
    }

    fn is_served(&self, ringway: &Ringway) {
        let (response, _) = ask(ringway.address(), &self.config, NAME).expect("it is served");
        assert_eq!(response.status, 200);
    }

    fn hello(&self) -> Vec<u8> {
        let mut session = crate::support::tls::session(&self.config, NAME);
        let mut hello = Vec::new();
        session.write_tls(&mut hello).expect("it is written");
        hello
    }

    /// A Ringway with one suite only, so that records are easily made.
    fn start_with_one_suite(&self) -> Ringway {
        let policy = "[[tls_policy]]\nname = \"one\"\nversions = [\"1.3\"]\n\
                      cipher_suites = [\"TLS_AES_128_GCM_SHA256\"]";
        self.scenario.clone().listener("tls_policy = \"one\"").table(policy).start()
    }

    /// A connection in the midst of HTTP, and the keys of its client.
    fn opened(&self, ringway: &Ringway) -> (Wire, Sealer) {
        let mut config = versioned_config(&[&self.issuer.pem], &[&TLS13], None);
        config.enable_secret_extraction = true;
        let wire = Wire::connect_in_the_clear(ringway.address());
        let mut session = crate::support::tls::session(&Arc::new(config), NAME);
        let mut tcp = wire.tcp();
        let mut stream = rustls::Stream::new(&mut session, &mut tcp);
        stream.write_all(GET).expect("it is taken");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("it is answered");
        assert_eq!(&answer, b"HTTP/1.1 200");
        let sealer = Sealer::new(session);
        (wire, sealer)
    }
}

/// Makes records of TLS 1.3 as the client of a connection.
struct Sealer {
    key: LessSafeKey,
    iv: [u8; 12],
    number: u64,
}

impl Sealer {
    fn new(session: ClientConnection) -> Sealer {
        let ExtractedSecrets { tx: (number, secrets), .. } =
            session.dangerous_extract_secrets().expect("it is allowed");
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else { panic!("another suite") };
        let key = UnboundKey::new(&AES_128_GCM, key.as_ref()).expect("the key is good");
        Sealer { key: LessSafeKey::new(key), iv: iv.as_ref().try_into().expect("12 bytes"), number }
    }

    /// A record of this type (RFC 8446 §5.2).
    fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut nonce = self.iv;
        for (byte, of_number) in nonce[4..].iter_mut().zip(self.number.to_be_bytes()) {
            *byte ^= of_number;
        }
        self.number += 1;
        let length = u16::try_from(content.len() + 17).expect("it fits").to_be_bytes();
        let header = [23, 3, 3, length[0], length[1]];
        let mut sealed = [content, &[kind]].concat();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, Aad::from(header), &mut sealed).expect("it is sealed");
        [&header[..], &sealed].concat()
    }
}

const HANDSHAKE: u8 = 22;
const CONTENT: u8 = 23;

/// What comes until the peer closes.
fn rest(mut wire: &std::net::TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match wire.read_to_end(&mut bytes) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("it stays open: {error}"),
        _ => bytes,
    }
}

/// The description in an alert that is not sealed.
fn alert(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [21, 3, _, 0, 2, 2, description] => Some(*description),
        _ => None,
    }
}

#[test]
fn half_open_handshakes_delay_nobody_and_end_with_their_timeout() {
    let scene = Scene::new();
    let ringway = scene.scenario.clone().listener("tls_handshake_timeout = \"1s\"").start();
    let hello = scene.hello();
    let held: Vec<_> = (0..300)
        .map(|number| {
            let mut wire = Wire::connect_in_the_clear(ringway.address());
            wire.write_all(&hello[..number * hello.len() / 300]).expect("it is taken");
            wire
        })
        .collect();
    let start = now();
    scene.is_served(&ringway);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    held.iter().for_each(|wire| drop(rest(wire.tcp())));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let entries = log_entries(&ringway, 200);
    assert!(entries.iter().any(|entry| entry["reason"] == "tls_handshake_timeout"), "{entries:?}");
    scene.is_served(&ringway);
}

/// Sends every byte for itself.
struct Dripping(Wire);

impl Read for Dripping {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.tcp().read(buffer)
    }
}

impl Write for Dripping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.tcp().write(bytes.get(..1).unwrap_or_default())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn dripped_bytes_are_put_together() {
    let scene = Scene::new();
    let ringway = scene.scenario.start();
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(versioned_config(&[&scene.issuer.pem], &[version], None));
        let mut session = crate::support::tls::session(&config, NAME);
        let mut drip = Dripping(Wire::connect_in_the_clear(ringway.address()));
        let mut stream = rustls::Stream::new(&mut session, &mut drip);
        stream.write_all(GET).expect("it is taken");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("it is answered");
        assert_eq!(&answer, b"HTTP/1.1 200", "{version:?}");
    }
}

#[test]
fn many_handshakes_at_once_do_not_starve_who_is_there() {
    let scene = Scene::new();
    let ringway = scene.scenario.start();
    let mut client = Client::secured(ringway.address(), &scene.config, NAME).expect("it is secured");
    let is_over = AtomicBool::new(false);
    let (address, root) = (ringway.address(), scene.issuer.pem.as_str());
    let handshakes = || {
        for _ in 0..125 {
            let config = Arc::new(client_config(&[root]));
            Client::secured(address, &config, NAME).expect("it is secured");
        }
    };
    let worst = std::thread::scope(|scope| {
        let flood: Vec<_> = (0..4).map(|_| scope.spawn(handshakes)).collect();
        let watch = scope.spawn(|| {
            let mut worst = Duration::ZERO;
            while !is_over.load(Ordering::SeqCst) {
                let start = now();
                assert_eq!(client.get("/").status, 200);
                worst = worst.max(start.elapsed());
            }
            worst
        });
        flood.into_iter().for_each(|thread| thread.join().expect("they are served"));
        is_over.store(true, Ordering::SeqCst);
        watch.join().expect("it is served")
    });
    assert!(worst < Duration::from_secs(1), "{worst:?} for one request");
}

#[test]
fn records_that_are_none_get_an_alert() {
    let scene = Scene::new();
    let ringway = scene.scenario.start();
    let empty = [22, 3, 1, 0, 0].repeat(100);
    for (name, bytes) in [
        ("an oversized record", &[22, 3, 1, 0xff, 0xff, 1, 0, 0, 0][..]),
        ("an unknown version", &[22, 9, 9, 0, 1, 0]),
        ("an unknown type", &[5, 3, 3, 0, 1, 0]),
        ("content before a handshake", &[23, 3, 3, 0, 1, 0]),
        ("a ServerHello", &[22, 3, 3, 0, 4, 2, 0, 0, 0]),
        ("empty records without end", &empty),
    ] {
        let mut wire = Wire::connect_in_the_clear(ringway.address());
        wire.write_all(bytes).expect("it is taken");
        wire.tcp().shutdown(std::net::Shutdown::Write).expect("it is open");
        let answer = rest(wire.tcp());
        assert!(alert(&answer).is_some(), "{name}: {answer:?}");
    }
    let reasons = log_entries(&ringway, 6);
    assert!(reasons.iter().all(|entry| entry["reason"] == "tls_malformed"), "{reasons:?}");
    scene.is_served(&ringway);
}

#[test]
fn a_forged_record_ends_the_connection_with_an_alert() {
    let scene = Scene::new();
    let ringway = scene.start_with_one_suite();
    let (mut wire, mut sealer) = scene.opened(&ringway);
    let mut record = sealer.record(CONTENT, GET);
    *record.last_mut().expect("a byte") ^= 1;
    wire.write_all(&record).expect("it is taken");
    // The alert is sealed: type, version, length of two bytes, a type and a tag.
    let answer = rest(wire.tcp());
    let last = answer.len().checked_sub(24).and_then(|start| answer.get(start..)).unwrap_or_default();
    assert!(last.starts_with(&[23, 3, 3, 0, 19]), "{last:?}");
    scene.is_served(&ringway);
}

#[test]
fn endless_empty_records_end_the_connection() {
    let scene = Scene::new();
    let ringway = scene.start_with_one_suite();
    let (mut wire, mut sealer) = scene.opened(&ringway);
    let records: Vec<u8> = (0..200).flat_map(|_| sealer.record(CONTENT, b"")).collect();
    let _ = wire.write_all(&records);
    rest(wire.tcp());
    scene.is_served(&ringway);
}

#[test]
fn a_handshake_message_that_comes_in_part_harms_nobody() {
    let scene = Scene::new();
    let mut ringway = scene.start_with_one_suite();
    // A KeyUpdate, RFC 8446 §4.6.3.
    let update = [24, 0, 0, 1, 0];
    for cut in 1..update.len() {
        let (mut wire, mut sealer) = scene.opened(&ringway);
        let request = sealer.record(CONTENT, GET);
        let first = sealer.record(HANDSHAKE, &update[..cut]);
        wire.write_all(&[request, first].concat()).expect("it is taken");
        let mut answer = [0; 1];
        wire.tcp().read_exact(&mut answer).expect("the request is answered");
        let second = sealer.record(HANDSHAKE, &update[cut..]);
        wire.write_all(&second).expect("it is taken");
        std::thread::sleep(Duration::from_millis(20));
    }
    // One that never ends, and keeps requests from being read.
    let (mut wire, mut sealer) = scene.opened(&ringway);
    let pieces = std::iter::once(sealer.record(HANDSHAKE, &[24, 0, 0xff, 0xff]));
    let pieces: Vec<_> = pieces.chain((0..20_000).map(|_| sealer.record(HANDSHAKE, b"x"))).collect();
    let _ = pieces.iter().try_for_each(|piece| wire.write_all(piece));
    rest(wire.tcp());
    eventually("it goes on", || ringway.is_running());
    scene.is_served(&ringway);
}

/// A ClientHello that announces early data, as one record.
fn with_early_data(hello: &[u8]) -> Vec<u8> {
    let mut hello = [hello, &[0, 42, 0, 0]].concat();
    let grow = |hello: &mut [u8], at: usize| {
        let length = u16::from_be_bytes([hello[at], hello[at + 1]]) + 4;
        hello[at..at + 2].copy_from_slice(&length.to_be_bytes());
    };
    // Header of the record and of the message, version and random come before the session identifier; behind
    // it the cipher suites, the methods of compression, and the extensions.
    let suites = 5 + 4 + 2 + 32 + 1 + usize::from(hello[43]);
    let methods = suites + 2 + usize::from(u16::from_be_bytes([hello[suites], hello[suites + 1]]));
    let extensions = methods + 1 + usize::from(hello[methods]);
    for at in [3, 7, extensions] {
        grow(&mut hello, at);
    }
    hello
}

#[test]
fn early_data_without_end_is_not_skipped_for_ever() {
    let scene = Scene::new();
    let ringway = scene.scenario.start();
    let hello = with_early_data(&scene.hello());
    for length in [1_u8, 17, 255] {
        let record = [&[23, 3, 3, 0, length][..], &vec![7; usize::from(length)]].concat();
        let mut wire = Wire::connect_in_the_clear(ringway.address());
        wire.write_all(&hello).expect("it is taken");
        let flood = record.repeat(200_000 / record.len());
        // It may be cut off while it writes.
        let _ = wire.write_all(&flood);
        let mut answer = Vec::new();
        let _ = wire.read_to_end(&mut answer);
        let is_alert = |record: &[u8]| matches!(record, [21, ..] | [23, 3, 3, 0, 19, ..]);
        assert!(answer.windows(5).any(is_alert) || answer.is_empty(), "{length}: {} bytes", answer.len());
    }
    assert_eq!(log_entries(&ringway, 3)[2]["reason"], "tls_malformed");
    scene.is_served(&ringway);
}
