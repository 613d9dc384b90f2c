//! WebSocket to backends that speak HTTP/2 (RFC 8441).

use crate::support::h2::ENABLE_CONNECT_PROTOCOL;
use crate::support::tls::{Issuer, server_config};
use crate::support::{Backend, Client, Http2, Peer, Scenario, log_entries};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A backend that takes tunnels and hands each to `script`.
fn taking(script: impl Fn(&mut Http2, u32) -> io::Result<()> + Send + Sync + 'static) -> Backend {
    Backend::script(move |peer| {
        let mut end = peer.http2(&[(ENABLE_CONNECT_PROTOCOL, 1)])?;
        while let Some(stream) = end.next_request()? {
            script(&mut end, stream)?;
        }
        Ok(())
    })
}

fn scenario(backend: &Backend) -> Scenario {
    Scenario::of(backend).group_protocol("h2c").logged("json")
}

/// Sends back what comes until its end, then its own.
fn echo(end: &mut Http2, stream: u32) -> io::Result<()> {
    loop {
        let found = end.receive_until(|end| {
            let its = end.stream(stream);
            (!its.body.is_empty() || its.ended).then_some(its.ended)
        })?;
        let bytes = end.take_content(stream);
        end.send_content(stream, &bytes, found == Some(true))?;
        if found != Some(false) {
            return Ok(());
        }
    }
}

#[test]
fn an_upgrade_becomes_an_extended_connect_and_bytes_pass_both_ways() {
    let backend = taking(|end, stream| {
        let request = end.stream(stream);
        for (name, value) in [
            (":method", Some("CONNECT")),
            (":protocol", Some("websocket")),
            (":scheme", Some("http")),
            (":path", Some("/chat")),
            (":authority", Some("app.example")),
            ("sec-websocket-version", Some("13")),
            ("sec-websocket-key", None),
        ] {
            assert_eq!(request.field(name), value, "{name}");
        }
        assert!(!request.ended);
        // The backend's word on a key that it never saw is dropped.
        let fields =
            [(":status", "200"), ("sec-websocket-protocol", "chat"), ("sec-websocket-accept", "own")];
        end.send_fields(stream, &fields, false)?;
        echo(end, stream)
    });
    let ringway = scenario(&backend).start();
    for _ in 0..2 {
        let mut client = Client::connect(ringway.address());
        client.send(ASK);
        let response = client.read_response();
        assert_eq!((response.status, response.field("upgrade")), (101, Some("websocket")));
        // The example of RFC 6455 §1.3.
        assert_eq!(response.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(response.field("sec-websocket-protocol"), Some("chat"));
        for text in ["one", "GET / HTTP/1.1\r\n\r\n", "\0\0\0"] {
            client.send(text);
            assert_eq!(client.read_exactly(text.len()), text.as_bytes());
        }
        client.send("x".repeat(200_000));
        assert_eq!(client.read_exactly(200_000).len(), 200_000);
        client.finish_sending();
        client.expect_closed();
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_backend_may_say_no() {
    let backend = taking(|end, stream| end.respond(stream, "403", b"not here"));
    let ringway = scenario(&backend).start();
    let mut client = Client::connect(ringway.address());
    client.send(ASK);
    let response = client.read_response();
    assert_eq!((response.status, response.text().as_str()), (403, "not here"));
    assert_eq!((response.field("upgrade"), response.field("sec-websocket-accept")), (None, None));
}

#[test]
fn a_backend_without_tunnels_is_not_asked() {
    let backend = Backend::http2_echo_head();
    let ringway = scenario(&backend).start();
    let mut client = Client::connect(ringway.address());
    client.send(ASK);
    assert_eq!(client.read_response().status, 501);
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "upstream_without_websocket");
    assert_eq!(client.get("/").status, 200);
    assert_eq!(backend.requests(), 1);
}

#[test]
fn the_end_of_a_tunnel_is_passed_on() {
    let backend = taking(|end, stream| {
        end.send_fields(stream, &[(":status", "200")], false)?;
        end.send_content(stream, b"bye", true)
    });
    let ringway = scenario(&backend).start();
    let mut client = Client::connect(ringway.address());
    client.send(ASK);
    assert_eq!(client.read_response().status, 101);
    assert_eq!(client.read_to_end(), b"bye");
}

#[test]
fn what_comes_behind_the_end_of_the_other_side_is_passed_on() {
    let (sender, said) = channel();
    let backend = taking(move |end, stream| {
        end.send_fields(stream, &[(":status", "200")], false)?;
        end.send_content(stream, b"bye", true)?;
        let _ = sender.send(end.message(stream)?.body);
        Ok(())
    });
    let ringway = scenario(&backend).start();
    let mut client = Client::connect(ringway.address());
    client.send(ASK);
    assert_eq!(client.read_response().status, 101);
    assert_eq!(client.read_to_end(), b"bye");
    client.send("so long");
    client.finish_sending();
    assert_eq!(said.recv_timeout(Duration::from_secs(5)).as_deref(), Ok(&b"so long"[..]));
}

/// What a server without RFC 8441 does: it speaks HTTP/2 with whoever chooses it, and WebSocket in HTTP/1.1 alone.
fn http1_tunnel(peer: &mut Peer) -> io::Result<()> {
    let head = peer.read_head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    assert!(head.start_line.starts_with("GET /chat HTTP/1.1"), "{head:?}");
    let key = head.field("sec-websocket-key").expect("it has a key");
    let accept = ringway::policy::websocket::accept(key.as_bytes());
    let accept = String::from_utf8_lossy(&accept);
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    peer.write(head.as_bytes())?;
    loop {
        let bytes = peer.read_some()?;
        if bytes.is_empty() {
            return Ok(());
        }
        peer.write(&bytes)?;
    }
}

#[test]
fn a_backend_that_chooses_http2_gets_a_connection_of_http1_for_websocket() {
    let issuer = Issuer::new("ca");
    let mut config = server_config(&issuer.server(&["backend.example"]), None);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let backend = Backend::secured(Arc::new(config), |peer| {
        let chosen = peer.session(|session| session.alpn_protocol().map(<[u8]>::to_vec));
        if chosen.as_deref() != Some(b"h2") {
            return http1_tunnel(peer);
        }
        let mut end = peer.http2(&[])?;
        while let Some(stream) = end.next_request()? {
            end.message(stream)?;
            end.respond(stream, "200", b"over HTTP/2")?;
        }
        Ok(())
    });
    let ringway =
        Scenario::of(&backend).group("http2 = true").group_tls("verify = \"off\"").secured().start();
    let mut client = Client::connect(ringway.address());
    client.send(ASK);
    let response = client.read_response();
    // The example of RFC 6455 §1.3.
    assert_eq!(response.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(response.status, 101);
    client.send("hello");
    assert_eq!(client.read_exactly(5), b"hello");
    // A client of HTTP/2 has no key of its own.
    let mut client = Http2::connect(ringway.address());
    client.settle();
    let stream = client.connect_protocol("websocket", "/chat", &[("sec-websocket-version", "13")]);
    client.send_content(stream, b"hello", false).expect("it is taken");
    let echo = client.receive_until(|end| (end.stream(stream).body == b"hello").then_some(()));
    assert!(matches!(echo, Ok(Some(()))), "{:?}", client.stream(stream).fields);
    assert_eq!(Client::connect(ringway.address()).get("/").text(), "over HTTP/2");
}

/// `docker exec` and `kubectl exec` through a group that speaks HTTP/2.
#[test]
fn other_upgrades_have_a_connection_of_http1_too() {
    let issuer = Issuer::new("ca");
    let mut config = server_config(&issuer.server(&["backend.example"]), None);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let backend = Backend::secured(Arc::new(config), |peer| {
        let chosen = peer.session(|session| session.alpn_protocol().map(<[u8]>::to_vec));
        if chosen.as_deref() == Some(b"h2") {
            let mut end = peer.http2(&[])?;
            while let Some(stream) = end.next_request()? {
                end.message(stream)?;
                end.respond(stream, "200", b"over HTTP/2")?;
            }
            return Ok(());
        }
        let Some((_, content)) = peer.read_request()? else { return Ok(()) };
        assert_eq!(content, b"{}");
        peer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")?;
        let heard = peer.read_exactly(4)?;
        peer.write(&heard)
    });
    let ringway = Scenario::of(&backend).group("http2 = true").group_tls("verify = \"off\"").start();
    for (framing, body) in
        [("Content-Length: 2", "{}"), ("Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n")]
    {
        let mut client = Client::connect(ringway.address());
        let head = "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n";
        client.send(format!("{head}{framing}\r\n\r\n{body}raw\n"));
        assert_eq!(client.read_response().status, 101, "{framing}");
        assert_eq!(client.read_exactly(4), b"raw\n");
    }
    assert_eq!(Client::connect(ringway.address()).get("/").text(), "over HTTP/2");
}

#[test]
fn a_backend_of_h2c_may_take_websocket_in_http1() {
    let backend = Backend::script(|peer| match peer.number {
        0 => {
            let mut end = peer.http2(&[])?;
            while let Some(stream) = end.next_request()? {
                end.message(stream)?;
                end.respond(stream, "200", b"over HTTP/2")?;
            }
            Ok(())
        }
        _ => http1_tunnel(peer),
    });
    let ringway = scenario(&backend).start();
    let mut client = Client::connect(ringway.address());
    client.send(ASK);
    assert_eq!(client.read_response().status, 101);
    client.send("hello");
    assert_eq!(client.read_exactly(5), b"hello");
    assert_eq!(Client::connect(ringway.address()).get("/").text(), "over HTTP/2");
    assert_eq!(backend.connections(), 2);
}
