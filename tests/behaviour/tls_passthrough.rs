//! TLS that ends at the backends: where connections go by their first message.

use crate::support::tls::{Issuer, client_config, server_config, session};
use crate::support::{Backend, Client, PATIENCE, Peer, Relayed, Ringway, echo_all, log_entries, now};
use rustls::ClientConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// A backend with a certificate for this name, which it greets with.
fn named(issuer: &Issuer, name: &'static str) -> Backend {
    let mut config = server_config(&issuer.server(&[name]), None);
    config.alpn_protocols = vec![b"h2".to_vec(), b"imap".to_vec()];
    Backend::secured(Arc::new(config), move |peer: &mut Peer| -> io::Result<()> {
        peer.write(format!("{name}\n").as_bytes())?;
        echo_all(peer)
    })
}

fn group(name: &str, backend: SocketAddr) -> String {
    format!(
        "[[server_group]]\nname = \"{name}\"\nprotocol = \"tcp\"\n\
         [[server_group.backend]]\naddress = \"{backend}\"\n"
    )
}

fn rule(name: &str, priority: u32, conditions: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nlistener = \"relay\"\npriority = {priority}\n{conditions}\n\
         group = \"{name}\"\n"
    )
}

fn greeting(ringway: &Ringway, config: &Arc<ClientConfig>, name: &str) -> Option<String> {
    let mut client = Client::secured(ringway.address(), config, name).ok()?;
    let greeting = String::from_utf8(client.read_some()).expect("it is ASCII");
    client.send("ping");
    assert_eq!(client.read_exactly(4), b"ping");
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"");
    Some(greeting.trim_end().to_owned())
}

fn config_with(issuer: &Issuer, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut config = client_config(&[&issuer.pem]);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A Ringway in front of two names, and both backends.
fn two_names(issuer: &Issuer) -> (Ringway, [Backend; 2]) {
    let backends = [named(issuer, "a.example"), named(issuer, "b.example")];
    let ringway = Relayed::passed_through()
        .table(&rule("a", 1, "sni = \"a.example\""))
        .table(&rule("b", 2, "sni = [\"b.example\", \"*.b.example\"]"))
        .table(&group("a", backends[0].address()))
        .table(&group("b", backends[1].address()))
        .start();
    (ringway, backends)
}

#[test]
fn connections_go_where_their_names_say() {
    let issuer = Issuer::new("CA");
    let (ringway, _backends) = two_names(&issuer);
    let config = config_with(&issuer, &[]);
    for name in ["a.example", "b.example", "a.example"] {
        assert_eq!(greeting(&ringway, &config, name).as_deref(), Some(name));
    }
    let lines = log_entries(&ringway, 3);
    let of = |name: &str| lines.iter().find(|line| line["sni"] == name).expect("a line");
    assert_eq!((&of("b.example")["rule"], &of("b.example")["server_group"]), (&"b".into(), &"b".into()));
    assert_eq!((&of("a.example")["scheme"], &of("a.example")["reason"]), (&"tls".into(), &"-".into()));
}

#[test]
fn names_without_a_rule_are_closed_or_go_to_the_default_group() {
    let issuer = Issuer::new("CA");
    let (ringway, backends) = two_names(&issuer);
    let config = config_with(&issuer, &[]);
    assert_eq!(greeting(&ringway, &config, "c.example"), None);
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!((&line["reason"], &line["sni"]), (&"no_route".into(), &"c.example".into()), "{line}");
    let other = named(&issuer, "c.example");
    let ringway = Relayed::passed_through()
        .listener("default_group = \"c\"")
        .table(&rule("a", 1, "sni = \"a.example\""))
        .table(&group("a", backends[0].address()))
        .table(&group("c", other.address()))
        .start();
    assert_eq!(greeting(&ringway, &config, "c.example").as_deref(), Some("c.example"));
    assert_eq!(greeting(&ringway, &config, "a.example").as_deref(), Some("a.example"));
}

#[test]
fn protocols_that_are_offered_decide_too() {
    let issuer = Issuer::new("CA");
    let (first, second) = (named(&issuer, "a.example"), named(&issuer, "a.example"));
    let ringway = Relayed::passed_through()
        .table(&rule("mail", 1, "sni = \"a.example\"\nalpn = \"imap\""))
        .table(&rule("web", 2, "alpn = [\"h2\", \"http/*\"]"))
        .table(&group("mail", first.address()))
        .table(&group("web", second.address()))
        .start();
    for (offered, expected) in [(&["imap"][..], Some([1, 0])), (&["x", "h2"], Some([1, 1])), (&["x"], None)] {
        let outcome = greeting(&ringway, &config_with(&issuer, offered), "a.example");
        assert_eq!(outcome.is_some(), expected.is_some(), "{offered:?}");
        if let Some(counts) = expected {
            assert_eq!([first.connections(), second.connections()], counts, "{offered:?}");
        }
    }
}

/// The first message of a client that asks for this name.
fn client_hello(issuer: &Issuer, name: &str) -> Vec<u8> {
    let mut session = session(&config_with(issuer, &["h2"]), name);
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).expect("it can be written");
    bytes
}

#[test]
fn the_first_message_may_be_cut_anywhere() {
    let issuer = Issuer::new("CA");
    let backend = Backend::script(|peer| {
        let first = peer.read_exactly(5)?;
        let length = usize::from(u16::from_be_bytes([first[3], first[4]]));
        let rest = peer.read_exactly(length)?;
        peer.write(&[first, rest].concat())
    });
    let ringway = Relayed::passed_through()
        .table(&rule("a", 1, "sni = \"a.example\""))
        .table(&group("a", backend.address()))
        .start();
    let hello = client_hello(&issuer, "a.example");
    let step = (hello.len() / 40).max(1);
    for cut in (1..8).chain((8..hello.len()).step_by(step)) {
        let mut client = Client::connect_in_the_clear(ringway.address());
        let (first, second) = hello.split_at(cut);
        client.send(first);
        std::thread::sleep(Duration::from_millis(5));
        client.send(second);
        assert!(client.read_exactly(hello.len()) == hello, "cut at {cut}");
    }
    let mut client = Client::connect_in_the_clear(ringway.address());
    client.send_slowly(hello.chunks(7), Duration::from_millis(1));
    assert!(client.read_exactly(hello.len()) == hello, "in small pieces");
}

#[test]
fn the_first_message_may_come_in_several_records() {
    let issuer = Issuer::new("CA");
    let (ringway, backends) = two_names(&issuer);
    let hello = client_hello(&issuer, "b.example");
    let (header, message) = hello.split_at(5);
    let mut records = Vec::new();
    for piece in message.chunks(message.len().div_ceil(5)) {
        records.extend_from_slice(&header[..3]);
        records.extend_from_slice(&u16::try_from(piece.len()).expect("it is short").to_be_bytes());
        records.extend_from_slice(piece);
    }
    let mut client = Client::connect_in_the_clear(ringway.address());
    client.send(&records);
    // A server hello comes back.
    assert_eq!(client.read_exactly(1), [22]);
    assert_eq!((backends[0].connections(), backends[1].connections()), (0, 1));
}

#[test]
fn what_is_no_first_message_is_closed_with_a_reason() {
    let issuer = Issuer::new("CA");
    let (ringway, backends) = two_names(&issuer);
    let mut malformed = client_hello(&issuer, "a.example");
    // The length of the session identity reaches beyond the end.
    malformed[43] = 255;
    malformed.truncate(5 + 60);
    malformed[3..5].copy_from_slice(&60_u16.to_be_bytes());
    malformed[6..9].copy_from_slice(&[0, 0, 56]);
    let oversized = |_| [&[22, 3, 1, 0x40, 0][..], &[1, 0, 0x80, 0], &[0; 16 * 1024 - 4]].concat();
    let long: Vec<u8> = (0..3).flat_map(oversized).collect();
    for (bytes, reason) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "not_tls"),
        (b"\x16\x05rubbish", "not_tls"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "not_tls"),
        (b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", "client_hello_malformed"),
        (&malformed, "client_hello_malformed"),
        (&long, "client_hello_too_long"),
    ] {
        let mut client = Client::connect_in_the_clear(ringway.address());
        let _ = client.try_send(bytes);
        client.expect_closed();
        let lines = log_entries(&ringway, 1);
        let line = lines.last().expect("a line");
        assert_eq!((&line["reason"], &line["status"]), (&reason.into(), &400.into()), "{line}");
        std::fs::write(ringway.folder().join("access.log"), "").expect("it can be emptied");
    }
    assert_eq!(backends[0].connections() + backends[1].connections(), 0);
}

#[test]
fn a_slow_first_message_is_not_waited_for() {
    let issuer = Issuer::new("CA");
    let (ringway, _backends) = two_names(&issuer);
    let hello = client_hello(&issuer, "a.example");
    let begun = now();
    let mut client = Client::connect_in_the_clear(ringway.address());
    for byte in hello.iter().take(60) {
        if client.try_send([*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    client.expect_closed();
    assert!((5..9).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "client_hello_timeout");
}

#[test]
fn who_says_nothing_has_no_line() {
    let issuer = Issuer::new("CA");
    let (ringway, _backends) = two_names(&issuer);
    drop(Client::connect_in_the_clear(ringway.address()));
    assert_eq!(greeting(&ringway, &config_with(&issuer, &[]), "c.example"), None);
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "no_route");
}

#[test]
fn backends_are_told_the_name_by_the_proxy_protocol() {
    let issuer = Issuer::new("CA");
    let (sender, begun) = channel();
    let backend = Backend::script(move |peer: &mut Peer| -> io::Result<()> {
        let _ = sender.send(peer.read_some()?);
        Ok(())
    });
    let ringway = Relayed::passed_through()
        .table(&rule("a", 1, "sni = \"a.example\""))
        .table(&group("a", backend.address()).replace("\"tcp\"\n", "\"tcp\"\nproxy_protocol = \"v2\"\n"))
        .start();
    // The backend has seen enough and closes.
    assert!(Client::secured(ringway.address(), &config_with(&issuer, &["h2"]), "a.example").is_err());
    let begun = begun.recv_timeout(PATIENCE).expect("a header");
    let length = usize::from(u16::from_be_bytes([begun[14], begun[15]]));
    // Addresses of IPv4 have 12 bytes. What the client has offered by ALPN is not agreed on yet.
    let tlvs = &begun[28..16 + length];
    assert!(tlvs.starts_with(b"\x02\0\x09a.example"), "{}", tlvs.escape_ascii());
    assert!(begun.len() <= 16 + length || begun[16 + length] == 22, "a ClientHello follows");
}
