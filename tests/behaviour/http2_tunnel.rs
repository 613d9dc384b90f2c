//! WebSocket over both versions of HTTP: an upgrade (RFC 9110 §7.8) and an extended CONNECT (RFC 8441).

use crate::support::h2::ENABLE_CONNECT_PROTOCOL;
use crate::support::{
    Backend, BackendVersion, Client, Http2, PATIENCE, Pair, Scenario, Version, eventually, now,
};
use aws_lc_rs::digest;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const ASK: &str = "GET /chat?x HTTP/1.1\r\nHost: test.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// The answer to that key (RFC 6455 §1.3).
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const FAREWELL: &[u8] = b"farewell";

/// Echoes what comes and says farewell when the client has ended its half; tells what it heard.
fn echoing(pair: Pair) -> (Backend, Receiver<Vec<u8>>) {
    let (sender, heard) = channel();
    let backend = match pair.backend {
        BackendVersion::Http1 => Backend::script(move |peer| {
            let Some(head) = peer.read_head()? else { return Ok(()) };
            assert_eq!(head.field("upgrade"), Some("websocket"));
            assert_eq!(head.field("sec-websocket-version"), Some("13"));
            assert!(head.start_line.starts_with("GET /chat?x "), "{}", head.start_line);
            let key = head.field("sec-websocket-key").expect("RFC 8441 §5 has none, RFC 6455 §4.1 has");
            let accept = accept_of(key);
            peer.write(
                format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: {accept}\r\n\r\n"
                )
                .as_bytes(),
            )?;
            loop {
                let bytes = peer.read_some()?;
                let _ = sender.send(bytes.clone());
                if bytes.is_empty() {
                    return peer.write(FAREWELL);
                }
                peer.write(&bytes)?;
            }
        }),
        BackendVersion::Http2 => Backend::script(move |peer| {
            let mut end = peer.http2(&[(ENABLE_CONNECT_PROTOCOL, 1)])?;
            while let Some(stream) = end.next_request()? {
                match echo_stream(&mut end, stream, &sender) {
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                    result => result?,
                }
            }
            Ok(())
        }),
    };
    (backend, heard)
}

fn echo_stream(end: &mut Http2, stream: u32, sender: &Sender<Vec<u8>>) -> io::Result<()> {
    let its = end.stream(stream);
    let said = [":method", ":protocol", ":path", "sec-websocket-version"].map(|name| its.field(name));
    assert_eq!(said, [Some("CONNECT"), Some("websocket"), Some("/chat?x"), Some("13")]);
    end.send_fields(stream, &[(":status", "200")], false)?;
    loop {
        let heard = end.receive_until(|end| {
            let content = end.take_content(stream);
            let its = end.stream(stream);
            (!content.is_empty() || its.ended || its.reset.is_some()).then_some(content)
        })?;
        let bytes = heard.unwrap_or_default();
        let _ = sender.send(bytes.clone());
        if bytes.is_empty() {
            return end.send_content(stream, FAREWELL, true);
        }
        end.send_content(stream, &bytes, false)?;
    }
}

/// RFC 6455 §4.2.2: the digest of the key and a fixed text, in base 64.
fn accept_of(key: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let mut accept = String::new();
    for piece in digest.as_ref().chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|place| piece.get(place).copied().unwrap_or(0));
        let bits = u32::from_be_bytes([0, a, b, c]);
        let letters = [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift) as usize & 63] as char);
        accept.extend(&letters[..=piece.len()]);
    }
    accept + &"=".repeat((3 - digest.as_ref().len() % 3) % 3)
}

/// The client's half of a tunnel.
enum Tunnel {
    Http1(Client),
    Http2(Box<Http2>, u32),
}

impl Tunnel {
    fn open(pair: Pair, address: SocketAddr) -> Tunnel {
        match pair.client {
            Version::Http1 => {
                let mut client = Client::connect(address);
                client.send(ASK);
                let response = client.read_response();
                assert_eq!((response.status, response.field("upgrade")), (101, Some("websocket")));
                assert_eq!(response.field("sec-websocket-accept"), Some(ACCEPT));
                Tunnel::Http1(client)
            }
            Version::Http2 => {
                let mut end = Http2::connect(address);
                end.settle();
                assert_eq!(end.settings.get(&ENABLE_CONNECT_PROTOCOL), Some(&1));
                let stream = end.connect_protocol("websocket", "/chat?x", &[("sec-websocket-version", "13")]);
                let answered = end.receive_until(|end| (!end.stream(stream).fields.is_empty()).then_some(()));
                answered.expect("an answer comes").expect("the connection is open");
                assert_eq!(end.stream(stream).field(":status"), Some("200"));
                assert_eq!(end.stream(stream).field("sec-websocket-accept"), None, "RFC 8441 §5");
                Tunnel::Http2(Box::new(end), stream)
            }
            Version::Http3 => panic!("Ringway offers no tunnels to clients of HTTP/3"),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        match self {
            Tunnel::Http1(client) => client.send(bytes),
            Tunnel::Http2(end, stream) => end.send_content(*stream, bytes, false).expect("it is taken"),
        }
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        match self {
            Tunnel::Http1(client) => client.read_exactly(count),
            Tunnel::Http2(end, stream) => {
                let mut all = Vec::new();
                while all.len() < count {
                    all.extend(end.take_content(*stream));
                    if all.len() < count {
                        end.receive().expect("bytes arrive").expect("the connection is open");
                    }
                }
                all
            }
        }
    }

    fn finish(&mut self) {
        match self {
            Tunnel::Http1(client) => client.finish_sending(),
            Tunnel::Http2(end, stream) => end.send_content(*stream, b"", true).expect("it is taken"),
        }
    }

    fn read_to_end(&mut self) -> Vec<u8> {
        match self {
            Tunnel::Http1(client) => client.read_to_end(),
            Tunnel::Http2(end, stream) => end.response(*stream).body,
        }
    }

    /// Leaves without an end; a connection of HTTP/2 stays.
    fn abort(self) -> Option<Http2> {
        match self {
            Tunnel::Http1(client) => {
                drop(client);
                None
            }
            Tunnel::Http2(mut end, stream) => {
                end.reset(stream, 8).expect("it is taken");
                Some(*end)
            }
        }
    }
}

#[test]
fn bytes_pass_both_ways_and_either_half_ends_alone() {
    Pair::each_of(Pair::over_tcp(), |pair| {
        let (backend, heard) = echoing(pair);
        let ringway = pair.start(&backend);
        let mut tunnel = Tunnel::open(pair, ringway.address());
        let long = vec![b'l'; 40_000];
        for words in [&b"one"[..], b"\0\r\n\r\n", &long] {
            tunnel.send(words);
            assert_eq!(tunnel.read(words.len()), words);
        }
        tunnel.finish();
        assert_eq!(tunnel.read_to_end(), FAREWELL);
        let all: Vec<u8> = heard.try_iter().flatten().collect();
        assert_eq!(all.len(), 3 + 5 + long.len());
    });
}

#[test]
fn a_client_that_leaves_ends_the_tunnel() {
    Pair::each_of(Pair::over_tcp(), |pair| {
        let (backend, heard) = echoing(pair);
        let ringway = pair.start(&backend);
        let mut tunnel = Tunnel::open(pair, ringway.address());
        tunnel.send(b"x");
        assert_eq!(tunnel.read(1), b"x");
        assert_eq!(heard.recv_timeout(PATIENCE).as_deref(), Ok(&b"x"[..]));
        let _kept = tunnel.abort();
        match pair.backend {
            BackendVersion::Http1 => {
                eventually("the backend's side ends", || backend.open_connections() == 0)
            }
            BackendVersion::Http2 => assert_eq!(heard.recv_timeout(PATIENCE).as_deref(), Ok(&b""[..])),
        }
    });
}

#[test]
fn a_refused_upgrade_is_a_normal_response() {
    Pair::each_of(Pair::over_tcp(), |pair| {
        let backend = pair.backend(|exchange| exchange.respond(403, b"no chat"));
        let ringway = pair.start(&backend);
        match pair.client {
            Version::Http1 if pair.backend == BackendVersion::Http1 => {
                let mut client = Client::connect(ringway.address());
                client.send(ASK);
                assert_eq!(client.read_response().text(), "no chat");
            }
            // Without the backend's setting nobody may ask it for a tunnel.
            _ if pair.backend == BackendVersion::Http2 => {}
            _ => {
                let mut end = Http2::connect(ringway.address());
                end.settle();
                let stream = end.connect_protocol("websocket", "/", &[("sec-websocket-version", "13")]);
                let response = end.response(stream);
                assert_eq!((response.status, response.text().as_str()), (403, "no chat"));
                assert_eq!(end.get("/").status, 403, "the connection goes on");
            }
        }
    });
}

/// What a backend of HTTP/1.1 says to an upgrade.
fn words(path: &str, key: &str) -> String {
    let accept = accept_of(if path == "/another-key" { ACCEPT } else { key });
    let upgrade = match path {
        "/another-protocol" => "Upgrade: other\r\n",
        "/no-protocol" => "",
        _ => "Upgrade: websocket\r\n",
    };
    match path {
        "/200" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "/204" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        _ => format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{upgrade}\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ),
    }
}

/// To a client of HTTP/2 every 2xx would say that there is a tunnel (RFC 8441 §5).
#[test]
fn an_answer_that_opens_no_tunnel_does_not_look_like_one() {
    let backend = Backend::script(|peer| {
        while let Some(head) = peer.read_head()? {
            let path = head.start_line.split(' ').nth(1).unwrap_or_default();
            let key = head.field("sec-websocket-key").unwrap_or_default();
            peer.write(words(path, key).as_bytes())?;
        }
        Ok(())
    });
    let ringway = Scenario::of(&backend).secured().start();
    let mut end = Http2::connect(ringway.address());
    end.settle();
    for (path, status) in [
        ("/tunnel", "200"),
        ("/200", "502"),
        ("/204", "502"),
        ("/another-protocol", "502"),
        ("/no-protocol", "502"),
        ("/another-key", "502"),
    ] {
        let stream = end.connect_protocol("websocket", path, &[("sec-websocket-version", "13")]);
        let answered = end.receive_until(|end| {
            let its = end.stream(stream);
            (!its.fields.is_empty() || its.reset.is_some()).then_some(())
        });
        assert!(matches!(answered, Ok(Some(()))), "{path}: {answered:?}");
        assert_eq!(end.stream(stream).field(":status"), Some(status), "{path}");
    }
}

/// The backend has said farewell, and the client neither speaks nor leaves.
#[test]
fn a_silent_half_of_a_tunnel_ends_once_the_other_has() {
    let backend = Backend::script(|peer| {
        let Some(head) = peer.read_head()? else { return Ok(()) };
        peer.write(words("/", head.field("sec-websocket-key").unwrap_or_default()).as_bytes())?;
        peer.write(FAREWELL)?;
        peer.finish_sending()?;
        while !peer.read_some()?.is_empty() {}
        Ok(())
    });
    let ringway = Scenario::of(&backend).secured().listener("client_body_timeout = \"1s\"").start();
    let mut end = Http2::connect(ringway.address());
    end.settle();
    let stream = end.connect_protocol("websocket", "/", &[("sec-websocket-version", "13")]);
    assert_eq!(end.response(stream).body, FAREWELL);
    let start = now();
    let ended = end.receive_until(|end| end.stream(stream).reset);
    assert!(matches!(ended, Ok(Some(_))), "{ended:?}");
    eventually("the backend's connection ends", || backend.open_connections() == 0);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

/// Neither side ends it, though the client has said Close (RFC 6455 §5.5.1): what a backend that ignores that comes to.
#[test]
fn a_tunnel_that_is_left_open_holds_a_stop_no_longer_than_may_be() {
    const CLOSE: &[u8] = &[0x88, 0x80, 0, 0, 0, 0];
    Pair::each_of(Pair::over_tcp(), |pair| {
        let (backend, heard) = echoing(pair);
        let mut ringway = pair.scenario(&backend).process("shutdown_timeout = \"1s\"").start();
        let mut tunnel = Tunnel::open(pair, ringway.address());
        tunnel.send(CLOSE);
        assert_eq!(heard.recv_timeout(PATIENCE).expect("it comes"), CLOSE);
        let began = now();
        ringway.signal("TERM");
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
        let stopped = began.elapsed();
        assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&stopped), "{stopped:?}");
        ringway.wait_for_line("shutdown_timeout is over: 1 client connection cut off");
    });
}
