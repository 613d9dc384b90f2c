//! The end of a TLS connection: whoever only cuts the TCP connection must not pass for it.

use crate::support::tls::{Issuer, client_config, session};
use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario, Wire, eventually, log_entries};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

const NAME: &str = "site.example";

/// A backend that tells for each request whether it came in full.
fn judging() -> (Backend, Receiver<bool>) {
    let (sender, judged) = channel();
    let backend = Backend::script(move |peer| {
        while let Some(head) = peer.read_head()? {
            let body = peer.read_body(&head);
            // The test may be over already.
            let _ = sender.send(body.is_ok());
            body?;
            peer.respond("200 OK", b"ok")?;
        }
        Ok(())
    });
    (backend, judged)
}

struct Site {
    issuer: Issuer,
    ringway: Ringway,
}

impl Site {
    fn of(backend: &Backend, shape: impl Fn(Scenario) -> Scenario) -> Site {
        let issuer = Issuer::new("sites");
        let scenario = Scenario::of(backend).certificate("site", &issuer.server(&[NAME])).logged("json");
        Site { ringway: shape(scenario).start(), issuer }
    }

    fn client(&self) -> Client {
        let config = Arc::new(client_config(&[&self.issuer.pem]));
        Client::secured(self.ringway.address(), &config, NAME).expect("it is secured")
    }
}

#[test]
fn a_request_cut_off_without_notice_is_not_completed() {
    let (backend, judged) = judging();
    let site = Site::of(&backend, |scenario| scenario);
    for (lines, body) in
        [("Content-Length: 9\r\n", "hello"), ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n")]
    {
        for notice in [false, true] {
            let mut client = site.client();
            let before = backend.requests();
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}"));
            eventually("the head arrives", || backend.requests() > before);
            if notice {
                client.wire().close_session().expect("it is open");
            }
            client.wire().close_without_notify();
            client.stream().shutdown(Shutdown::Write).expect("it is open");
            assert_eq!(judged.recv_timeout(PATIENCE), Ok(false), "{lines} {notice}");
        }
    }
    let entries = log_entries(&site.ringway, 4);
    assert!(entries.iter().all(|entry| entry["reason"] == "client_closed"), "{entries:?}");
}

#[test]
fn a_head_cut_off_without_notice_reaches_nobody() {
    let (backend, _judged) = judging();
    let site = Site::of(&backend, |scenario| scenario);
    let mut client = site.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    client.wire().close_without_notify();
    client.stream().shutdown(Shutdown::Write).expect("it is open");
    let _ = client.try_read_response();
    assert_eq!(backend.requests(), 0);
}

/// Fails unless close_notify comes before the end of the TCP connection.
fn expect_notice(client: &mut Client) {
    // Without it, rustls tells an unexpected end.
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn every_orderly_end_is_announced() {
    let (backend, _judged) = judging();
    let site = Site::of(&backend, |scenario| scenario.listener("idle_timeout = \"1s\""));
    let mut idle = site.client();
    assert_eq!(idle.get("/").status, 200);
    let mut told = site.client();
    told.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(told.read_response().status, 200);
    expect_notice(&mut told);
    let mut refused = site.client();
    refused.send("NONSENSE\r\n\r\n");
    assert_eq!(refused.read_response().status, 400);
    expect_notice(&mut refused);
    let mut finished = site.client();
    finished.finish_sending();
    expect_notice(&mut finished);
    let mut old = site.client();
    old.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.read_response().text(), "ok");
    expect_notice(&mut old);
    expect_notice(&mut idle);
}

#[test]
fn a_stop_is_announced_to_idle_clients() {
    let (backend, _judged) = judging();
    let mut site = Site::of(&backend, |scenario| scenario);
    let mut client = site.client();
    assert_eq!(client.get("/").status, 200);
    site.ringway.signal("TERM");
    expect_notice(&mut client);
    assert_eq!(site.ringway.wait_for_exit(PATIENCE).code(), Some(0));
}

#[test]
fn a_response_that_breaks_off_is_not_announced_as_whole() {
    let backend =
        Backend::closes_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 99);
    let site = Site::of(&backend, |scenario| scenario);
    let mut client = site.client();
    // For this version, only the end of the connection ends the body.
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let error = client.try_read_response().expect_err("it is cut off");
    assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}");
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_answer() {
    let (backend, _judged) = judging();
    let site = Site::of(&backend, |scenario| scenario);
    let mut client = site.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.finish_sending();
    assert_eq!(client.read_response().status, 200);
    expect_notice(&mut client);
}

#[test]
fn a_request_may_come_with_the_end_of_the_handshake() {
    let (backend, _judged) = judging();
    let site = Site::of(&backend, |scenario| scenario);
    let config = Arc::new(client_config(&[&site.issuer.pem]));
    for (bytes, answers) in
        [("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1), ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 2)]
    {
        let wire = Wire::connect_in_the_clear(site.ringway.address());
        let mut tcp = wire.tcp();
        let mut session = session(&config, NAME);
        // What is written before the handshake leaves with its last message.
        session.writer().write_all(bytes.repeat(answers).as_bytes()).expect("it is kept");
        let mut stream = rustls::Stream::new(&mut session, &mut tcp);
        let mut text = String::new();
        while text.matches("\r\n\r\nok").count() < answers {
            let mut piece = [0; 1000];
            let count = stream.read(&mut piece).expect("an answer");
            assert!(count > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
    }
}
