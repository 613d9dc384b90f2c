//! HTTPS on the way to backends: whom Ringway trusts, what it shows, and what becomes of failures.

use crate::support::tls::{Issuer, server_config};
use crate::support::{Backend, Client, Peer, Scenario, eventually, log_entries};
use rustls::{Connection, HandshakeKind};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

const NAME: &str = "app.example";
const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";

/// Answers each request with what TLS says of the connection: name, kind of handshake, certificate.
fn tell(peer: &mut Peer) -> io::Result<()> {
    while let Some((head, _)) = peer.read_request()? {
        let said = peer.session(|session| {
            let Connection::Server(session) = session else { panic!("a server") };
            let name = session.server_name().unwrap_or("-").to_owned();
            let is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
            let shown = session.peer_certificates().map_or(0, <[_]>::len);
            let alpn = String::from_utf8_lossy(session.alpn_protocol().unwrap_or(b"-")).into_owned();
            format!("name={name} resumed={is_resumed} certificates={shown} alpn={alpn}")
        });
        peer.respond("200 OK", said.as_bytes())?;
        if head.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            break;
        }
    }
    Ok(())
}

fn backend(issuer: &Issuer, names: &[&str]) -> Backend {
    Backend::secured(Arc::new(server_config(&issuer.server(names), None)), tell)
}

fn verifying(backend: &Backend, authority: &Issuer) -> Scenario {
    Scenario::of(backend)
        .authority("backends", &authority.pem, None)
        .group_tls("verify = \"ca\"")
        .group_tls("ca = \"backends\"")
        .logged("json")
}

/// The answer to one request: status and body.
fn ask(scenario: &Scenario) -> (u16, String, String) {
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    client.send(GET);
    let response = client.read_response();
    let reason = log_entries(&ringway, 1)[0]["reason"].as_str().expect("a word").to_owned();
    (response.status, response.text(), reason)
}

#[test]
fn whose_certificate_is_good_depends_on_verify() {
    let (good, stranger) = (Issuer::new("backends"), Issuer::new("strangers"));
    let at = |from, to| {
        let pair = good.sign(&[NAME], |params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        });
        Backend::secured(Arc::new(server_config(&pair, None)), tell)
    };
    for (name, backend, reason) in [
        ("good", backend(&good, &[NAME]), "-"),
        ("of a stranger", backend(&stranger, &[NAME]), "upstream_certificate_unknown_ca"),
        ("of another name", backend(&good, &["other.example"]), "upstream_certificate_wrong_name"),
        ("expired", at(2001, 2002), "upstream_certificate_expired"),
        ("not yet valid", at(2090, 2091), "upstream_certificate_not_yet_valid"),
    ] {
        let (status, text, said) = ask(&verifying(&backend, &good));
        assert_eq!(
            (status, said.as_str()),
            (if reason == "-" { 200 } else { 502 }, reason),
            "{name}: {text}"
        );
        assert!(reason == "-" || !text.contains("upstream"), "{text}");
        // Without verification all of them are good.
        let lax = Scenario::of(&backend).group_tls("verify = \"off\"").logged("json");
        assert_eq!(ask(&lax).0, 200, "{name}");
    }
}

#[test]
fn the_systems_roots_do_not_know_a_private_ca() {
    let backend = backend(&Issuer::new("backends"), &[NAME]);
    let scenario = Scenario::of(&backend).group_tls("verify = \"system\"").logged("json");
    let mut ringway = scenario.spawn();
    ringway.wait_for_listeners_or_exit(1);
    if !ringway.is_running() {
        // A machine may have no roots; that is told at the start.
        ringway.wait_for_line("system");
        return;
    }
    let mut client = Client::connect(ringway.address());
    client.send(GET);
    assert_eq!(client.read_response().status, 502);
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "upstream_certificate_unknown_ca");
}

#[test]
fn the_name_is_that_of_the_request_unless_one_is_configured() {
    let issuer = Issuer::new("backends");
    let backend = backend(&issuer, &[NAME, "fixed.example", "third.example"]);
    let ringway = verifying(&backend, &issuer).start();
    let mut client = Client::connect(ringway.address());
    for (host, connections) in [(NAME, 1), ("third.example", 2), (NAME, 2), ("third.example:8443", 3)] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let text = client.read_response().text();
        let name = host.split(':').next().unwrap_or_default();
        assert!(text.starts_with(&format!("name={name} ")), "{host}: {text}");
        assert!(text.ends_with(" alpn=http/1.1"), "{text}");
        // A connection made for one host serves no other.
        assert_eq!(backend.connections(), connections, "{host}");
    }
    let (status, text, _) = ask(&verifying(&backend, &issuer).group_tls("sni = \"fixed.example\""));
    assert_eq!(status, 200);
    assert!(text.starts_with("name=fixed.example "), "{text}");
}

#[test]
fn a_certificate_is_shown_to_backends_that_ask() {
    let issuer = Issuer::new("backends");
    let config = server_config(&issuer.server(&[NAME]), Some(&issuer));
    let backend = Backend::secured(Arc::new(config), tell);
    let with = verifying(&backend, &issuer)
        .known_certificate("own", &issuer.client("ringway"))
        .group_tls("client_certificate = \"own\"");
    let (status, text, _) = ask(&with);
    assert_eq!(status, 200);
    assert!(text.contains("certificates=1"), "{text}");
    let (status, _, reason) = ask(&verifying(&backend, &issuer));
    assert_eq!(status, 502);
    // In TLS 1.3 the refusal comes behind the handshake.
    assert!(["upstream_tls_alert", "upstream_closed"].contains(&reason.as_str()), "{reason}");
}

#[test]
fn connections_are_kept_and_sessions_resumed() {
    let issuer = Issuer::new("backends");
    let mut config = server_config(&issuer.server(&[NAME]), None);
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().expect("there is randomness");
    let backend = Backend::secured(Arc::new(config), tell);
    let ringway = verifying(&backend, &issuer).start();
    let mut client = Client::connect(ringway.address());
    let mut get = |more: &str| {
        client.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n{more}\r\n"));
        client.read_response().text()
    };
    for _ in 0..5 {
        assert!(get("").contains("resumed=false"));
    }
    assert_eq!(backend.connections(), 1);
    let again = verifying(&backend, &issuer).group("keepalive_timeout = \"0s\"").start();
    let mut client = Client::connect(again.address());
    let texts: Vec<_> = (0..4)
        .map(|_| {
            client.send(GET);
            client.read_response().text()
        })
        .collect();
    assert!(texts[0].contains("resumed=false"), "{texts:?}");
    assert!(texts[1..].iter().all(|text| text.contains("resumed=true")), "{texts:?}");
}

#[test]
fn a_response_cut_off_without_notice_is_broken() {
    let issuer = Issuer::new("backends");
    let config = Arc::new(server_config(&issuer.server(&[NAME]), None));
    for (notice, head) in [
        (true, "HTTP/1.1 200 OK\r\n\r\n"),
        (false, "HTTP/1.1 200 OK\r\n\r\n"),
        (false, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
    ] {
        let backend = Backend::secured(config.clone(), move |peer| {
            peer.read_request()?;
            peer.write(head.as_bytes())?;
            peer.write(b"some of it")?;
            if !notice {
                // An attacker on the way can end the TCP connection, but not speak TLS.
                peer.close_without_notify();
            }
            Ok(())
        });
        let ringway = verifying(&backend, &issuer).start();
        let mut client = Client::connect(ringway.address());
        client.send(GET);
        let result = client.try_read_response();
        if notice {
            assert_eq!(result.expect("it is whole").text(), "some of it");
            continue;
        }
        let text = result.map(|response| response.text());
        assert!(text.is_err(), "{head:?}: {text:?}");
        let entry = &log_entries(&ringway, 1)[0];
        assert!(["upstream_closed", "truncated_body"].map(Into::into).contains(&entry["reason"]), "{entry}");
    }
}

#[test]
fn a_failed_handshake_is_retried_on_another_backend() {
    let (good, stranger) = (Issuer::new("backends"), Issuer::new("strangers"));
    let (bad, fine) = (backend(&stranger, &[NAME]), backend(&good, &[NAME]));
    let ringway = verifying(&bad, &good).backend(fine.address()).start();
    for turn in 0..4 {
        let mut client = Client::connect(ringway.address());
        // Nothing of it was sent, so that even this may be sent again.
        client.send("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!(client.read_response().status, 200, "{turn}");
    }
    let entries = log_entries(&ringway, 4);
    assert!(entries.iter().any(|entry| entry["retry_count"] == 1), "{entries:?}");
    assert_eq!(bad.requests(), 0);
}

#[test]
fn a_backend_that_speaks_no_tls_is_502() {
    let plain = Backend::script(|peer| {
        peer.read_some()?;
        peer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    });
    let closes = Backend::script(|peer| peer.read_some().map(drop));
    for backend in [plain, closes] {
        let scenario = Scenario::of(&backend).group_tls("verify = \"off\"").logged("json");
        let (status, _, reason) = ask(&scenario);
        assert_eq!((status, reason.as_str()), (502, "upstream_tls_handshake"));
    }
}

#[test]
fn a_backend_that_is_silent_in_its_handshake_is_504() {
    let (sender, accepted) = channel();
    let backend = Backend::script(move |peer| {
        let _ = sender.send(());
        while !peer.read_some()?.is_empty() {}
        Ok(())
    });
    let scenario = Scenario::of(&backend)
        .group_tls("verify = \"off\"")
        .group("connect_timeout = \"300ms\"")
        .logged("json");
    let (status, _, reason) = ask(&scenario);
    assert_eq!((status, reason.as_str()), (504, "connect_timeout"));
    accepted.recv_timeout(Duration::from_secs(1)).expect("it was connected to");
    eventually("it is let go", || backend.open_connections() == 0);
}

#[test]
fn names_that_come_once_do_not_fill_the_pool() {
    let backend = backend(&Issuer::new("backends"), &[NAME]);
    let scenario = Scenario::of(&backend).group_tls("verify = \"off\"");
    let ringway = scenario.group("keepalive_connections = 4").start();
    let mut client = Client::connect(ringway.address());
    for number in 0..8 {
        client.send(format!("GET / HTTP/1.1\r\nHost: once-{number}.example\r\n\r\n"));
        assert_eq!(client.read_response().status, 200);
    }
    for _ in 0..5 {
        client.send(GET);
        assert_eq!(client.read_response().status, 200);
    }
    assert_eq!(backend.connections(), 9, "one for each name, kept for the last one");
}

#[test]
fn a_connection_that_was_trusted_less_is_not_used_after_a_reload() {
    let (issuer, stranger) = (Issuer::new("backends"), Issuer::new("strangers"));
    let backend = backend(&stranger, &[NAME]);
    let bundles = |scenario: Scenario| scenario.authority("backends", &issuer.pem, None);
    let lax = bundles(Scenario::of(&backend)).group_tls("verify = \"off\"");
    let ringway = lax.start();
    let mut client = Client::connect(ringway.address());
    let mut ask = || {
        client.send(GET);
        client.read_response().status
    };
    assert_eq!([ask(), ask()], [200, 200]);
    // What has not changed keeps its connections.
    ringway.reload(&lax.clone().listener("idle_timeout = \"20s\"").text());
    assert_eq!((ask(), backend.connections()), (200, 1));
    let strict = bundles(Scenario::of(&backend)).group_tls("verify = \"ca\"").group_tls("ca = \"backends\"");
    ringway.reload(&strict.text());
    assert_eq!(ask(), 502);
    ringway.reload(&lax.text());
    assert_eq!(ask(), 200);
}
