//! What the access log tells of requests that are refused, and of connections on which none came.

use crate::support::{Backend, Client, Http2, Scenario, log_entries, over_tls};

#[test]
fn a_refused_request_is_told_as_far_as_it_can_be_read() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend)
        .listener("max_header_bytes = \"4KiB\"")
        .listener("client_header_timeout = \"1s\"")
        .logged("json");
    let ringway = scenario.start();
    let long = format!("GET /long HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\nX: {}\r\n\r\n", "y".repeat(5000));
    let cases = [
        ("GET /a?b HTTP/1.1\r\nUser-Agent: u\r\n\r\n", "missing_host", "GET", "/a?b", "-"),
        ("GET /a b HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\n\r\n", "http_version", "GET", "/a b", "a"),
        ("GET a HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\n\r\n", "bad_target", "GET", "a", "a"),
        ("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\nX y: z\r\n\r\n", "bad_header_name", "GET", "/", "a"),
        (
            "POST /p HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\nContent-Length: x\r\n\r\n",
            "bad_content_length",
            "POST",
            "/p",
            "a",
        ),
        (&long, "header_too_large", "GET", "/long", "a"),
        ("GET /late HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\n", "client_header_timeout", "GET", "/late", "a"),
    ];
    for (text, ..) in cases {
        let mut client = Client::connect(ringway.address());
        client.send(text);
        assert!((400..=431).contains(&client.read_response().status), "{text}");
    }
    let entries = log_entries(&ringway, cases.len());
    for (text, reason, method, target, host) in cases {
        let entry = entries.iter().find(|entry| entry["reason"] == reason);
        let entry = entry.unwrap_or_else(|| panic!("no line for {text}: {entries:?}"));
        let told =
            ["request_method", "request_uri", "host", "http_user_agent"].map(|name| entry[name].clone());
        assert_eq!(told, [method, target, host, "u"], "{text}");
        assert_eq!(entry["server_protocol"], "HTTP/1.1", "{text}");
        assert_eq!(entry["ssl_protocol"].is_string(), over_tls());
    }
}

#[test]
fn hostile_bytes_are_escaped() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).logged("combined").start();
    let mut client = Client::connect(ringway.address());
    client.send("GET /\x1b[31m\"\\ HTTP/1.1\r\nUser-Agent: \x07\r\n\r\n");
    assert_eq!(client.read_response().status, 400);
    let lines = crate::support::log_lines(&ringway, 1);
    assert!(lines[0].contains(r#""GET /\x1B[31m\x22\x5C HTTP/1.1" 400 "#), "{}", lines[0]);
}

/// The preface of HTTP/2 where the listener does not speak it.
#[test]
fn a_client_of_http2_that_is_not_wanted_can_be_told() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).logged("json").start();
    let mut client = Client::connect(ringway.address());
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.read_response().status, 400);
    let entry = &log_entries(&ringway, 1)[0];
    let told = ["request_method", "request_uri", "server_protocol", "reason"].map(|name| entry[name].clone());
    assert_eq!(told, ["PRI", "*", "HTTP/2.0", "http_version"]);
}

#[test]
fn a_refused_request_of_http2_is_told_as_well() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).secured().listener("max_header_bytes = \"4KiB\"").logged("json");
    let ringway = scenario.start();
    let mut end = Http2::connect(ringway.address());
    let fields = |name: &'static str, value: &'static str| [("user-agent", "u"), (name, value)];
    let long: &'static str = "y".repeat(5000).leak();
    for (path, more) in [
        ("/long", fields("x", long)),
        ("/bad", fields("connection", "close")),
        ("/expect", fields("expect", "miracles")),
    ] {
        let stream = end.request("GET", path, &more, true);
        let _ = end.message(stream);
    }
    let entries = log_entries(&ringway, 3);
    for (path, reason) in
        [("/long", "header_too_large"), ("/bad", "h2_connection_field"), ("/expect", "unknown_expectation")]
    {
        let entry = entries.iter().find(|entry| entry["reason"] == reason);
        let entry = entry.unwrap_or_else(|| panic!("no line for {path}: {entries:?}"));
        let told = ["request_method", "request_uri", "http_user_agent", "server_protocol"];
        assert_eq!(told.map(|name| entry[name].clone()), ["GET", path, "u", "HTTP/2.0"]);
    }
}

#[test]
fn a_missing_or_broken_proxy_header_has_a_line() {
    let backend = Backend::echo_head();
    let mut ringway = Scenario::of(&backend)
        .listener("proxy_protocol = \"accept\"")
        .listener("client_header_timeout = \"1s\"")
        .logged("json")
        .start();
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "proxy_no_signature"),
        ("PROXY TCP4 nonsense\r\n", "proxy_bad_line"),
        ("PROXY ", "proxy_timeout"),
    ];
    for (bytes, _) in cases {
        let mut client = Client::connect_in_the_clear(ringway.address());
        client.send(bytes);
        client.expect_closed();
    }
    let mut leaving = Client::connect_in_the_clear(ringway.address());
    leaving.send("PROXY TCP4");
    leaving.finish_sending();
    leaving.expect_closed();
    // Checks of load balancers look like that.
    drop(Client::connect_in_the_clear(ringway.address()));
    let entries = log_entries(&ringway, 4);
    for reason in cases.map(|(_, reason)| reason).into_iter().chain(["proxy_client_closed"]) {
        let entry = entries.iter().find(|entry| entry["reason"] == reason);
        let entry = entry.unwrap_or_else(|| panic!("no line for {reason}: {entries:?}"));
        assert_eq!((&entry["status"], &entry["request_uri"]), (&400.into(), &"-".into()));
    }
    // At its end it has written all that it ever will.
    ringway.terminate();
    assert_eq!(log_entries(&ringway, 4).len(), 4);
}
