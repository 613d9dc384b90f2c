//! What connections of QUIC outlive, and what they are resumed with.

use crate::support::tls::{Issuer, Pair, own_pair, revocation_list};
use crate::support::{
    Backend, Http3, Http3Options, QuicOptions, QuicTls, Ringway, Scenario, eventually, log_entries, recording,
};
use std::net::SocketAddr;
use std::time::Duration;

#[test]
fn a_client_that_moves_stays_connected_and_is_known_by_the_address_that_it_has_shown() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend)
        .http3()
        .workers(3)
        .forwarded("x_forwarded_client_srcport = true")
        .logged("json")
        .start();
    let mut clients: Vec<_> = (0..4).map(|_| Http3::connect(ringway.address())).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let port = client.quic.local_address().port();
        let mut heads = Vec::new();
        for is_known in [true, false, true, false] {
            client.quic.move_to_another_port(is_known).expect("there is a port");
            assert_eq!(client.get(&format!("/{number}")).status, 200);
            let (head, _) = received.try_iter().next().expect("the backend has it");
            heads.push(head.text());
        }
        // One datagram makes QUIC change its way, and may be forged.
        for head in heads {
            let line = format!("x-forwarded-client-srcport: {port}\r\n");
            assert!(head.to_ascii_lowercase().contains(&line), "{line} in {head}");
        }
    }
    let entries = log_entries(&ringway, 16);
    let mut workers: Vec<_> = entries.iter().map(|entry| (&entry["request_uri"], &entry["worker"])).collect();
    workers.sort_by_key(|(path, _)| path.to_string());
    workers.dedup();
    assert_eq!(workers.len(), clients.len(), "a connection stays with its worker: {workers:?}");
}

/// What was sent on the old way and is on its way back is not lost.
#[test]
fn a_download_goes_on_while_its_client_moves() {
    const SIZE: usize = 6 << 20;
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", &vec![b'x'; SIZE]));
    let ringway = Scenario::of(&backend).http3().workers(2).start();
    let mut client = Http3::with_windows(ringway.address(), 256 << 10, 256 << 10);
    let stream = client.request("GET", "/", &[], true);
    for part in 1..6 {
        let arrived = client
            .receive_until(|client| (client.stream(stream).body.len() > part * (SIZE >> 3)).then_some(()));
        assert!(matches!(arrived, Ok(Some(()))), "{arrived:?}");
        client.quic.move_to_another_port(part % 2 == 0).expect("there is a port");
    }
    assert_eq!(client.response(stream).body.len(), SIZE);
}

#[test]
fn keys_are_updated_under_way() {
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).http3().start();
    let mut client = Http3::connect(ringway.address());
    for round in 0..5 {
        client.quic.update_keys();
        let content = vec![b'k'; 100_000];
        assert!(client.post("/", &content).body == content, "round {round}");
    }
}

fn ask(address: SocketAddr, tls: &QuicTls) -> (String, bool) {
    let before = tls.full_handshakes();
    let mut client = Http3::secured(address, tls, "test.example").expect("the handshake succeeds");
    let answer = client.get("/");
    // The server's tickets come with its first packets behind the handshake.
    assert_eq!(answer.status, 200);
    assert!(!client.quic.has_early_data(), "what comes early could come again");
    (answer.text(), tls.full_handshakes() == before)
}

#[test]
fn every_worker_resumes_sessions_but_takes_no_early_data() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().workers(3).logged("json").start();
    let tls = QuicTls::of_the_kit();
    assert!(!ask(ringway.address(), &tls).1);
    for turn in 0..12 {
        assert!(ask(ringway.address(), &tls).1, "connection {turn}");
    }
    let entries = log_entries(&ringway, 13);
    let resumed = entries.iter().filter(|entry| entry["tls_resumed"] == true).count();
    assert_eq!(resumed, 12);
    let mut workers: Vec<_> = entries.iter().map(|entry| entry["worker"].to_string()).collect();
    workers.sort();
    workers.dedup();
    assert!(workers.len() > 1, "all went to {workers:?}");
}

#[test]
fn a_listener_without_a_lifetime_issues_no_tickets() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().listener("session_ticket_lifetime = \"0s\"").start();
    let tls = QuicTls::of_the_kit();
    for _ in 0..3 {
        assert!(!ask(ringway.address(), &tls).1, "no ticket is issued");
    }
}

const REVOKED: u64 = 4711;

fn authenticating(backend: &Backend, clients: &Issuer, mode: &str) -> Ringway {
    Scenario::of(backend)
        .http3()
        .authority("clients", &clients.pem, Some(&revocation_list(clients, &[REVOKED])))
        .client_auth(mode, "clients")
        .forwarded("clientcert_clientverify = true")
        .forwarded("clientcert_subjectdn = true")
        .logged("json")
        .start()
}

fn showing(pair: Option<&Pair>) -> QuicTls {
    QuicTls::trusting(&own_pair().certificate, pair, &["h3"])
}

#[test]
fn certificates_of_clients_count_for_new_and_for_resumed_sessions() {
    let clients = Issuer::new("clients");
    let backend = Backend::echo_head();
    let ringway = authenticating(&backend, &clients, "require");
    let known = showing(Some(&clients.client("client-1")));
    for turn in 0..3 {
        let (head, is_resumed) = ask(ringway.address(), &known);
        assert!(head.contains("clientverify: SUCCESS\r\n"), "{head}");
        assert!(head.contains("subjectdn: CN=client-1\r\n"), "{head}");
        assert_eq!(is_resumed, turn > 0);
    }
    let list = ringway.folder().join("clients.crl");
    let revoked = clients.sign(&[], |params| params.serial_number = Some(99u64.into()));
    let revoked = showing(Some(&revoked));
    assert!(!ask(ringway.address(), &revoked).1 && ask(ringway.address(), &revoked).1);
    std::fs::write(&list, revocation_list(&clients, &[REVOKED, 99])).expect("it can be written");
    ringway.wait_for_line("CA \"clients\": in service");
    refused(&ringway, &revoked, 6, "client_certificate_revoked");
    assert!(ask(ringway.address(), &known).0.contains("clientverify: SUCCESS\r\n"));
}

/// With TLS 1.3 a client is done before the server has seen its certificate.
fn refused(ringway: &Ringway, tls: &QuicTls, lines: usize, reason: &str) {
    let client = Http3::secured(ringway.address(), tls, "test.example");
    let served = client.and_then(|mut client| {
        let stream = client.try_request("GET", "/", &[], true)?;
        client.message(stream)
    });
    assert!(served.is_err(), "{reason}: {served:?}");
    let entry = log_entries(ringway, lines).pop().expect("a line");
    assert_eq!((&entry["reason"], &entry["listener"]), (&reason.into(), &"web".into()), "{entry}");
}

#[test]
fn clients_without_a_good_certificate_are_refused_where_one_is_required() {
    let clients = Issuer::new("clients");
    let backend = Backend::echo_head();
    let ringway = authenticating(&backend, &clients, "require");
    let stranger = Issuer::new("strangers").client("client-1");
    let forged = Issuer::new("clients").client("client-1");
    let numbered = clients.sign(&[], |params| params.serial_number = Some(REVOKED.into()));
    for (number, (pair, reason)) in [
        (None, "client_certificate_missing"),
        (Some(&stranger), "client_certificate_unknown_ca"),
        (Some(&forged), "client_certificate_bad_signature"),
        (Some(&numbered), "client_certificate_revoked"),
    ]
    .into_iter()
    .enumerate()
    {
        refused(&ringway, &showing(pair), number + 1, reason);
    }
    assert_eq!(backend.requests(), 0);
}

#[test]
fn optional_certificates_tell_who_is_who() {
    let clients = Issuer::new("clients");
    let backend = Backend::echo_head();
    let ringway = authenticating(&backend, &clients, "optional");
    let stranger = Issuer::new("strangers").client("client-1");
    for (pair, verified) in [
        (None, "NONE"),
        (Some(clients.client("client-1")), "SUCCESS"),
        (Some(stranger), "FAILED:certificate is signed by no configured CA"),
    ] {
        let tls = showing(pair.as_ref());
        for _ in 0..2 {
            let (head, _) = ask(ringway.address(), &tls);
            assert!(head.contains(&format!("clientverify: {verified}\r\n")), "{verified}: {head}");
        }
    }
}

/// What QUIC itself allows a server to say to bytes that belong to nothing is nothing that others could be hit with.
#[test]
fn bytes_that_are_no_quic_are_not_answered() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().start();
    let udp = crate::support::UdpClient::connect(ringway.address());
    let long_header_of_another_version =
        [&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8], &[7; 8][..], &[0, 1, 2]].concat();
    for bytes in
        [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0; 1200], long_header_of_another_version, vec![0x40; 60]]
    {
        udp.send(&bytes);
        assert_eq!(udp.receive_within(Duration::from_millis(60)), None, "{:?}", &bytes[..4]);
    }
    // As large as the first datagram of a client is, another version is answered with those that there are.
    let mut unknown = [&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8], &[7; 8][..], &[0]].concat();
    unknown.resize(1200, 0);
    udp.send(&unknown);
    let answer = udp.receive_within(Duration::from_secs(2)).expect("Version Negotiation");
    assert_eq!(answer[1..5], [0; 4], "Version Negotiation");
    assert!(answer.ends_with(&[0, 0, 0, 1]), "version 1 alone: {answer:?}");
    assert_eq!(Http3::connect(ringway.address()).get("/").status, 200);
}

#[test]
fn a_limited_listener_has_a_place_again_when_a_client_leaves() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().listener("per_client = { max_connections = 2 }").start();
    let mut clients: Vec<_> = (0..2).map(|_| Http3::connect(ringway.address())).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    let extra = crate::support::Quic::begin(ringway.address(), &QuicOptions::default()).expect("a socket");
    assert!(!extra.is_connected_within(Duration::from_millis(400)));
    drop(extra);
    clients.pop();
    let options = Http3Options::default();
    eventually("there is a place", || {
        Http3::with(ringway.address(), &options).is_ok_and(|mut client| client.get("/").status == 200)
    });
}
