//! Connections that are relayed from within TLS.

use crate::support::tls::{Issuer, client_config, server_config};
use crate::support::{Backend, Client, Relayed, Ringway, echo, echo_all, log_entries};
use rustls::ClientConfig;
use std::sync::Arc;

const NAME: &str = "mail.example";

fn client_of(issuer: &Issuer, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut config = client_config(&[&issuer.pem]);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn said(ringway: &Ringway, config: &Arc<ClientConfig>) -> Option<String> {
    let mut client = Client::secured(ringway.address(), config, NAME).ok()?;
    client.send("hello");
    assert_eq!(client.read_exactly(5), b"hello");
    let alpn = client.wire().session(|session| session.alpn_protocol().map(<[u8]>::to_vec));
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"");
    Some(String::from_utf8(alpn.unwrap_or_default()).expect("it is ASCII"))
}

#[test]
fn backends_get_what_is_within() {
    let (issuer, backend) = (Issuer::new("CA"), echo());
    let ringway = Relayed::tls(&[backend.address()], ("site", &issuer.server(&[NAME]))).start();
    assert_eq!(said(&ringway, &client_of(&issuer, &[])).as_deref(), Some(""));
    let line = &log_entries(&ringway, 1)[0];
    for (field, value) in [
        ("scheme", "tls"),
        ("sni", NAME),
        ("ssl_protocol", "TLSv1.3"),
        ("reason", "-"),
        ("server_group", "app"),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
    assert_eq!((&line["request_length"], &line["bytes_sent"]), (&5.into(), &5.into()), "{line}");
}

#[test]
fn much_goes_through_in_both_directions() {
    let (issuer, backend) = (Issuer::new("CA"), echo());
    let ringway = Relayed::tls(&[backend.address()], ("site", &issuer.server(&[NAME]))).start();
    let config = client_of(&issuer, &[]);
    let mut client = Client::secured(ringway.address(), &config, NAME).expect("a handshake");
    for round in 0..64_u8 {
        let block = vec![round; 100_000];
        client.send(&block);
        assert!(client.read_exactly(block.len()) == block, "round {round}");
    }
}

#[test]
fn protocols_are_agreed_on_where_the_listener_names_some() {
    let (issuer, backend) = (Issuer::new("CA"), echo());
    let pair = issuer.server(&[NAME]);
    let plain = Relayed::tls(&[backend.address()], ("site", &pair)).start();
    assert_eq!(said(&plain, &client_of(&issuer, &["imap"])).as_deref(), Some(""));
    let ringway =
        Relayed::tls(&[backend.address()], ("site", &pair)).listener("alpn = [\"h2\", \"imap\"]").start();
    for (offered, agreed) in [(&["imap"][..], "imap"), (&["imap", "h2"], "h2"), (&[], "")] {
        assert_eq!(said(&ringway, &client_of(&issuer, offered)).as_deref(), Some(agreed), "{offered:?}");
    }
    assert_eq!(said(&ringway, &client_of(&issuer, &["pop3"])), None);
}

#[test]
fn what_goes_on_can_be_encrypted_again() {
    let (issuer, inner) = (Issuer::new("CA"), Issuer::new("Inner CA"));
    let (sender, received) = std::sync::mpsc::channel();
    let mut config = server_config(&inner.server(&[NAME]), None);
    config.alpn_protocols = Vec::new();
    let backend = Backend::secured(Arc::new(config), move |peer| {
        let asked = peer.session(|session| match session {
            rustls::Connection::Server(session) => session.server_name().map(str::to_owned),
            rustls::Connection::Client(_) => None,
        });
        sender.send(asked).map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        echo_all(peer)
    });
    let ringway = Relayed::tls(&[backend.address()], ("site", &issuer.server(&[NAME])))
        .group_protocol("tls")
        .file("inner.crt", &inner.pem)
        .table("[[ca]]\nname = \"inner\"\nbundle = \"inner.crt\"")
        .group("max_retries = 0")
        .of_backend("[server_group.tls]\nverify = \"ca\"\nca = \"inner\"")
        .start();
    assert_eq!(said(&ringway, &client_of(&issuer, &[])).as_deref(), Some(""));
    assert_eq!(received.recv().expect("a connection").as_deref(), Some(NAME));
}

#[test]
fn a_client_that_is_cut_off_is_no_orderly_end() {
    let (sender, received) = std::sync::mpsc::channel();
    let backend = Backend::script(move |peer| {
        peer.read_exactly(5)?;
        let end = std::io::Read::read(&mut peer.stream(), &mut [0; 10]).map_err(|error| error.kind());
        sender.send(end).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    });
    let issuer = Issuer::new("CA");
    let ringway = Relayed::tls(&[backend.address()], ("site", &issuer.server(&[NAME]))).start();
    let config = client_of(&issuer, &[]);
    let mut client = Client::secured(ringway.address(), &config, NAME).expect("a handshake");
    client.send("hello");
    // The connection ends without a close_notify.
    client.stream().shutdown(std::net::Shutdown::Both).expect("it is open");
    let end = received.recv().expect("the backend hears of it");
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "client_closed");
}

#[test]
fn clients_in_the_clear_are_turned_away() {
    let (issuer, backend) = (Issuer::new("CA"), echo());
    let ringway = Relayed::tls(&[backend.address()], ("site", &issuer.server(&[NAME]))).start();
    let mut client = Client::connect_in_the_clear(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect_closed();
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!((&line["reason"], &line["status"]), (&"not_tls".into(), &400.into()), "{line}");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_client_that_is_cut_off_is_no_orderly_end_to_a_backend_that_speaks_tls() {
    let issuer = Issuer::new("CA");
    let (sender, received) = std::sync::mpsc::channel();
    let mut config = server_config(&issuer.server(&[NAME]), None);
    config.alpn_protocols = Vec::new();
    let backend = Backend::secured(Arc::new(config), move |peer| {
        peer.read_exactly(5)?;
        let end = peer.read_some().map_err(|error| error.kind());
        sender.send(end).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    });
    let ringway = Relayed::tcp(&[backend.address()]).group_protocol("tls").start();
    let mut client = Client::connect_in_the_clear(ringway.address());
    client.send("hello");
    let socket = socket2::SockRef::from(client.stream());
    socket.set_linger(Some(std::time::Duration::ZERO)).expect("it can be set");
    drop(client);
    // An orderly end of TLS is a close_notify, which would be no error.
    let end = received.recv().expect("the backend hears of it");
    assert!(end.is_err(), "{end:?}");
}
