//! Forms of the request target, and methods that are not for a load balancer.

use crate::support::{Backend, Client, Ringway, recording};

#[test]
fn absolute_form_becomes_origin_form_and_its_authority_the_host() {
    let (backend, received) = recording();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for (target, path, host) in [
        ("http://b.example/x?y=1", "/x?y=1", "b.example"),
        ("http://b.example", "/", "b.example"),
        ("HTTP://b.example:81/x", "/x", "b.example:81"),
    ] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        assert_eq!(client.read_response().status, 200, "{target}");
        let (head, _) = received.recv().expect("a request");
        assert_eq!(
            (head.start_line.clone(), head.fields[0].1.as_str()),
            (format!("GET {path} HTTP/1.1"), host)
        );
        assert_eq!(head.all("host").len(), 1);
    }
}

#[test]
fn options_for_the_server_passes() {
    let (backend, received) = recording();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for target in ["*", "http://a.example"] {
        client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        assert_eq!(client.read_response().status, 200);
        assert_eq!(received.recv().expect("a request").0.start_line, "OPTIONS * HTTP/1.1");
    }
}

#[test]
fn connect_and_trace_are_not_allowed() {
    let backend = Backend::echo_head();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    for request in [
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = Client::connect(ringway.address());
        client.send(request);
        let response = client.read_response();
        assert_eq!((response.status, response.field("server")), (405, Some("ringway")), "{request}");
        let allowed = response.field("allow").expect("RFC 9110 wants Allow");
        assert!(allowed.contains("GET") && !allowed.contains("TRACE"), "{allowed}");
        assert!(response.body.len() <= 512, "{}", response.text());
    }
    assert_eq!(backend.requests(), 0);
}

#[test]
fn a_refused_connect_does_not_tunnel_what_follows() {
    let (backend, received) = recording();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response().status, 405);
    match client.try_read_response() {
        Ok(response) => assert_eq!(response.text(), "ok"),
        Err(_) => assert!(received.try_recv().is_err(), "a request without its answer"),
    }
}

#[test]
fn unusual_methods_and_targets_pass_as_they_are() {
    let (backend, received) = recording();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for line in [
        "PROPFIND /a HTTP/1.1",
        "M-SEARCH //a//b/../c?%00&&#!".trim_end_matches("#!"),
        "get /%2e%2e/ HTTP/1.1",
    ] {
        let line = if line.ends_with("HTTP/1.1") { line.to_owned() } else { format!("{line} HTTP/1.1") };
        client.send(format!("{line}\r\nHost: a\r\n\r\n"));
        assert_eq!(client.read_response().status, 200, "{line}");
        assert_eq!(received.recv().expect("a request").0.start_line, line);
    }
}
