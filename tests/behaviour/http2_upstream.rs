//! HTTP/2 towards backends: what they see, and what becomes of their answers.

use crate::support::tls::{Issuer, server_config};
use crate::support::{Backend, Client, Http2, Ringway, Scenario, eventually, log_entries, now};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConnection};
use rustls::sign::CertifiedKey;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const NO_ERROR: u32 = 0;

fn h2c(backend: &Backend) -> Scenario {
    Scenario::of(backend).group_protocol("h2c").logged("json")
}

fn client_of(ringway: &Ringway) -> Client {
    Client::connect(ringway.address())
}

/// Waits for the next request and reads it to its end.
fn next_whole(end: &mut Http2) -> io::Result<u32> {
    let stream = end.next_request()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    end.message(stream)?;
    Ok(stream)
}

#[test]
fn a_request_of_http1_becomes_one_of_http2() {
    let backend = Backend::http2_echo_head();
    let ringway = h2c(&backend).start();
    let mut client = client_of(&ringway);
    client.send(
        "GET /a?b=c HTTP/1.1\r\nHost: app.example\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\
         X-Kept: Yes\r\nCookie: a=b; c=d\r\nUpgrade: other\r\n\r\n",
    );
    let response = client.read_response();
    assert_eq!(response.status, 200);
    let lines: Vec<_> = response.text().lines().map(str::to_owned).collect();
    let method_to_authority = [":method: GET", ":scheme: http", ":path: /a?b=c", ":authority: app.example"];
    assert_eq!(lines[..4], method_to_authority);
    assert!(lines.contains(&"x-kept: Yes".to_owned()), "{lines:?}");
    assert!(lines.contains(&"cookie: a=b; c=d".to_owned()), "{lines:?}");
    for gone in ["host", "connection", "x-hop", "te", "upgrade", "content-length", "transfer-encoding"] {
        assert!(!lines.iter().any(|line| line.starts_with(&format!("{gone}:"))), "{gone} in {lines:?}");
    }
}

#[test]
fn bodies_of_any_length_pass_both_ways() {
    let backend = Backend::http2_echo_body();
    let ringway = h2c(&backend).start();
    let mut client = client_of(&ringway);
    for length in [0, 1, 4000, 65_535, 65_536, 1_000_000] {
        let body = "x".repeat(length);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"));
        let response = client.read_response();
        assert_eq!((response.status, response.body.len()), (200, length));
        let chunked =
            if length == 0 { "0\r\n\r\n".to_owned() } else { format!("{length:x}\r\n{body}\r\n0\r\n\r\n") };
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"));
        let response = client.read_response();
        assert_eq!((response.status, response.body.len()), (200, length));
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn trailers_pass_both_ways() {
    let backend = Backend::http2_per_request(|end, stream, request| {
        let got = format!("{:?}", request.trailers);
        end.send_fields(stream, &[(":status", "200")], false)?;
        end.send_content(stream, got.as_bytes(), false)?;
        end.send_fields(stream, &[("x-checksum", "abc"), ("content-length", "9")], true)
    });
    let ringway = h2c(&backend).start();
    let mut client = client_of(&ringway);
    for body in ["5\r\nhello\r\n", ""] {
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\nX-Sum:  1\r\n\r\n"
        ));
        let response = client.read_response();
        assert_eq!(response.text(), "[(\"x-sum\", \"1\")]");
        assert_eq!(response.trailers, [("x-checksum".to_owned(), "abc".to_owned())]);
    }
}

#[test]
fn responses_without_content() {
    let backend = Backend::http2_per_request(|end, stream, request| {
        let status = request.field(":path").unwrap_or_default().trim_start_matches('/').to_owned();
        let mut fields = vec![(":status", status.as_str())];
        if request.field(":method") == Some("HEAD") {
            fields.push(("content-length", "12"));
        }
        end.send_fields(stream, &fields, true)
    });
    let ringway = h2c(&backend).start();
    let mut client = client_of(&ringway);
    for (status, length) in [(200, Some("0")), (204, None), (304, None)] {
        let response = client.get(&format!("/{status}"));
        assert_eq!((response.status, response.field("content-length")), (status, length));
    }
    client.send("HEAD /200 HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.read_response_to("HEAD");
    assert_eq!((response.status, response.field("content-length")), (200, Some("12")));
    assert_eq!(client.get("/200").status, 200);
}

#[test]
fn interim_responses_pass_and_a_100_lets_the_client_go_on() {
    let backend = Backend::http2(|end| {
        while let Some(stream) = end.next_request()? {
            end.send_fields(stream, &[(":status", "103"), ("link", "</a>")], false)?;
            end.send_fields(stream, &[(":status", "100")], false)?;
            let body = end.message(stream)?.body;
            end.respond(stream, "200", &body)?;
        }
        Ok(())
    });
    let ringway = h2c(&backend).listener("early_hints = \"pass\"").start();
    let mut client = client_of(&ringway);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let hint = client.read_response();
    assert_eq!((hint.status, hint.field("link")), (103, Some("</a>")));
    assert_eq!(client.read_response().status, 100);
    client.send("hello");
    assert_eq!(client.read_response().text(), "hello");
}

#[test]
fn an_answer_before_the_end_of_an_upload_is_whole() {
    let backend = Backend::http2(|end| {
        while let Some(stream) = end.next_request()? {
            end.respond(stream, "413", b"too much")?;
            // RFC 9113 §8.1: a server may ask the client to stop sending, without error.
            end.reset(stream, NO_ERROR)?;
        }
        Ok(())
    });
    let ringway = h2c(&backend).start();
    for _ in 0..3 {
        let mut client = client_of(&ringway);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        let _ = client.try_send("x".repeat(200_000));
        let response = client.read_response();
        assert_eq!((response.status, response.text().as_str()), (413, "too much"));
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_backend_of_http1_is_found_out() {
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", b"what?"));
    let ringway = h2c(&backend).start();
    let mut client = client_of(&ringway);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.read_response().status, 502);
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "upstream_not_http2");
}

#[test]
fn malformed_responses_are_not_passed_on() {
    let backend = Backend::http2_per_request(|end, stream, _| {
        end.send_fields(stream, &[(":status", "200"), ("connection", "close")], true)
    });
    let ringway = h2c(&backend).start();
    assert_eq!(client_of(&ringway).get("/").status, 502);
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "h2_connection_field");
}

#[test]
fn a_secured_backend_chooses_the_version() {
    let issuer = Issuer::new("backends");
    let config = server_config(&issuer.server(&["app.example"]), None);
    let modern = Backend::http2_secured(&config, |end| {
        loop {
            let stream = next_whole(end)?;
            let scheme = end.stream(stream).field(":scheme").map(str::to_owned).unwrap_or_default();
            end.respond(stream, "200", format!("2 {scheme}").as_bytes())?;
        }
    });
    let old = Backend::secured(Arc::new(config), |peer| {
        while let Some((_, body)) = peer.read_request()? {
            peer.respond("200 OK", &[b"1 ", &body[..]].concat())?;
        }
        Ok(())
    });
    for (backend, expected) in [(&modern, "2 https"), (&old, "1 hello")] {
        let ringway = Scenario::of(backend).group("http2 = true").group_tls("verify = \"off\"").start();
        let mut client = client_of(&ringway);
        for _ in 0..3 {
            client.send(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            );
            assert_eq!(client.read_response().text(), expected);
        }
        assert_eq!(backend.connections(), 1);
    }
    let ringway = Scenario::of(&modern).group_tls("verify = \"off\"").start();
    assert_eq!(client_of(&ringway).get("/").status, 502);
}

/// Takes its time for the handshake under one name.
#[derive(Debug)]
struct SlowName(Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for SlowName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello.server_name() == Some("slow.example") {
            std::thread::sleep(Duration::from_secs(2));
        }
        self.0.resolve(hello)
    }
}

#[test]
fn names_do_not_wait_for_one_another() {
    let issuer = Issuer::new("backends");
    let mut config = server_config(&issuer.server(&["slow.example", "quick.example"]), None);
    config.cert_resolver = Arc::new(SlowName(config.cert_resolver.clone()));
    let backend = Backend::http2_secured(&config, |end| {
        loop {
            let stream = next_whole(end)?;
            end.respond(stream, "200", b"here")?;
        }
    });
    let ringway = Scenario::of(&backend).group("http2 = true").group_tls("verify = \"off\"").start();
    let mut slow = client_of(&ringway);
    slow.send("GET / HTTP/1.1\r\nHost: slow.example\r\n\r\n");
    eventually("the handshake has begun", || backend.connections() == 1);
    let begin = now();
    let mut quick = client_of(&ringway);
    quick.send("GET / HTTP/1.1\r\nHost: quick.example\r\n\r\n");
    assert_eq!(quick.read_response().text(), "here");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(slow.read_response().text(), "here");
}

#[test]
fn connections_of_many_names_are_kept_and_the_oldest_makes_room() {
    let issuer = Issuer::new("backends");
    let config = server_config(&issuer.server(&["app.example"]), None);
    for (max_idle, expected) in [("", 12), ("keepalive_connections = 9", 12 + 3)] {
        let backend = Backend::http2_secured(&config, |end| {
            loop {
                let stream = next_whole(end)?;
                end.respond(stream, "200", b"here")?;
            }
        });
        let scenario = Scenario::of(&backend).group("http2 = true").group_tls("verify = \"off\"");
        let ringway = scenario.group(max_idle).start();
        let mut client = client_of(&ringway);
        let mut ask = |names: &[usize]| {
            for name in names {
                client.send(format!("GET / HTTP/1.1\r\nHost: {name}.example\r\n\r\n").as_bytes());
                assert_eq!(client.read_response().text(), "here");
            }
        };
        ask(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        // Where there is room for nine, those of the first three names are gone.
        ask(&[3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2]);
        assert_eq!(backend.connections(), expected, "{max_idle}");
        // Those that were in use at a time make room as soon as they are not.
        let mut clients: Vec<_> = (0..12).map(|_| client_of(&ringway)).collect();
        for (name, client) in clients.iter_mut().enumerate() {
            client.send(format!("GET / HTTP/1.1\r\nHost: {name}.example\r\n\r\n").as_bytes());
        }
        clients.iter_mut().for_each(|client| assert_eq!(client.read_response().text(), "here"));
        eventually("idle ones make room", || max_idle.is_empty() || backend.open_connections() <= 9);
    }
}

#[test]
fn a_backend_that_changes_to_http2_gets_no_more_connections_than_others() {
    let issuer = Issuer::new("backends");
    let config = server_config(&issuer.server(&["app.example"]), None);
    let backend = Backend::script(move |peer| {
        let protocol: &[u8] = if peer.number == 0 { b"http/1.1" } else { b"h2" };
        let mut config = config.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        let session = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
        peer.secure(session.into())?;
        if peer.number == 0 {
            peer.read_request()?;
            return peer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1");
        }
        let mut end = peer.http2(&[])?;
        loop {
            let stream = next_whole(&mut end)?;
            end.respond(stream, "200", b"2")?;
        }
    });
    let ringway = Scenario::of(&backend).group("http2 = true").group_tls("verify = \"off\"").start();
    let mut clients: Vec<_> = (0..30).map(|_| client_of(&ringway)).collect();
    let ask = |client: &mut Client| client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
    ask(&mut clients[0]);
    assert_eq!(clients[0].read_response().text(), "1");
    clients.iter_mut().for_each(ask);
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "2");
    }
    eventually("the others are closed", || backend.open_connections() <= 8);
}
