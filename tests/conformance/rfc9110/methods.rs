//! RFC 9110 §7.2 to §7.4, whom a request is meant for, §7.6.2, Max-Forwards, and §9, methods.

use crate::scene::{Scene, Watched, get};
use crate::support::{Client, Ringway, configuration_for, over_tls};

const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// "The method token is case-sensitive": what looks like a method in another case is another one. (§9.1)
#[test]
fn a_method_passes_as_it_is() {
    let watched = Watched::new();
    for method in ["GET", "get", "PATCH", "PROPFIND", "M-SEARCH", "options", "trace"] {
        let (head, _) = watched.forwards(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(head.start_line, format!("{method} / HTTP/1.1"));
    }
}

/// "The origin server MUST generate an Allow header field in a 405 response". (§15.5.6) CONNECT and TRACE are for
/// proxies that a client has chosen and for debugging.
#[test]
fn must_send_allow_with_405() {
    let scene = Scene::answering(EMPTY);
    for request in ["TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"] {
        let response = scene.ask(request);
        assert_eq!(response.status, 405);
        let allow = response.field("allow").expect("Allow");
        assert!(allow.contains("GET") && !allow.contains("TRACE") && !allow.contains("CONNECT"), "{allow}");
    }
    assert_eq!(scene.backend.requests(), 0);
}

/// "A server MUST NOT send any Transfer-Encoding or Content-Length header fields in a 2xx (Successful) response to
/// CONNECT": none is ever sent. "A server MUST reject a CONNECT request that targets an empty or invalid port
/// number, typically by responding with a 400". (§9.3.6)
#[test]
fn must_refuse_connect_without_a_port() {
    let scene = Scene::answering(EMPTY);
    for target in ["a", "a:", "a:99999", "a:x", ":443", "/", "*"] {
        scene.refuses(format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    }
}

/// "The HEAD method is identical to GET except that the server MUST NOT send content in the response." (§9.3.2)
#[test]
fn must_not_send_content_to_head() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let scene = Scene::closing_after(response);
        let mut client = scene.client();
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nCONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.read_response_to("HEAD");
        assert_eq!(head.status, 200, "{response:?}");
        assert_eq!(head.field("content-length"), response.contains("Length").then_some("5"));
        assert_eq!(client.read_response().status, 405, "{response:?}");
    }
}

/// The same for what Ringway answers itself. (§9.3.2)
#[test]
fn must_not_send_content_of_its_own_to_head() {
    let ringway = Ringway::in_front_of(&[crate::support::Backend::refused_address()]);
    let mut client = Client::connect(ringway.address());
    client.send(format!("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n{}", get("")));
    assert_eq!(client.read_response_to("HEAD").status, 502);
    assert_eq!(client.read_response().status, 502);
}

/// "Although request message framing is independent of the method used, content received in a GET request has no
/// generally defined semantics": it passes. (§9.3.1)
#[test]
fn content_of_any_method_passes() {
    let watched = Watched::new();
    for method in ["GET", "DELETE", "OPTIONS", "HEAD"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        if method == "HEAD" {
            assert_eq!(watched.scene.ask_as(method, request).status, 200);
            continue;
        }
        assert_eq!(watched.forwards(request).1, b"hi", "{method}");
    }
}

/// "Each intermediary that receives a TRACE or OPTIONS request containing a Max-Forwards header field MUST check
/// and update its value prior to forwarding the request. If the received value is zero (0), the intermediary MUST
/// NOT forward the request; instead, the intermediary MUST respond as the final recipient." (§7.6.2)
#[test]
fn must_answer_options_that_may_not_be_forwarded() {
    let scene = Scene::answering(EMPTY);
    for (target, value) in [("*", "0"), ("/a", "0"), ("/", "000")] {
        let mut client = scene.client();
        for _ in 0..2 {
            client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n"));
            let response = client.read_response();
            assert_eq!((response.status, response.field("server")), (204, Some("ringway")));
            assert!(response.field("allow").is_some_and(|allow| allow.contains("OPTIONS")));
        }
    }
    assert_eq!(scene.backend.requests(), 0);
}

/// "If the received Max-Forwards value is greater than zero, the intermediary MUST generate an updated
/// Max-Forwards field in the forwarded message with a field value that is the lesser of a) the received value
/// decremented by one (1) or b) the recipient's maximum supported value for Max-Forwards." (§7.6.2)
#[test]
fn must_decrement_max_forwards_of_options() {
    let watched = Watched::new();
    for (value, seen) in [("1", "0"), ("10", "9"), ("007", "6"), ("4294967295", "4294967294")] {
        let (head, _) =
            watched.forwards(format!("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n"));
        assert_eq!(head.field("max-forwards"), Some(seen), "{value}");
    }
    let huge = "9".repeat(40);
    let (head, _) =
        watched.forwards(format!("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {huge}\r\n\r\n"));
    let seen: u64 = head.field("max-forwards").and_then(|value| value.parse().ok()).expect("a number");
    assert!(seen > 0);
}

/// "A recipient MAY ignore a Max-Forwards header field received with any other request methods": it passes, and
/// so does what is no number. (§7.6.2)
#[test]
fn max_forwards_of_other_methods_passes() {
    let watched = Watched::new();
    assert_eq!(watched.forwards_fields("Max-Forwards: 0\r\n").field("max-forwards"), Some("0"));
    let (head, _) = watched.forwards("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: +1\r\n\r\n");
    assert_eq!(head.field("max-forwards"), Some("+1"));
}

/// TRACE with Max-Forwards is refused like any other: it must not be forwarded either. (§7.6.2)
#[test]
fn must_not_forward_trace_that_may_not_be_forwarded() {
    let scene = Scene::answering(EMPTY);
    assert_eq!(scene.ask("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n").status, 405);
    assert_eq!(scene.backend.requests(), 0);
}

/// "Unless the connection is from a trusted gateway, an origin server MUST reject a request if any scheme-specific
/// requirements for the target URI are not met. In particular, a request for an "https" resource MUST be rejected
/// unless it has been received over a connection that has been secured". (§7.4)
#[test]
fn must_reject_https_on_a_plain_connection() {
    if over_tls() {
        // Such a connection has been secured.
        return;
    }
    let scene = Scene::answering(EMPTY);
    for target in ["https://a/", "HTTPS://a:443/b", "https://a"] {
        let response = scene.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(response.status, 421, "{target}");
    }
    assert_eq!(scene.backend.requests(), 0);
}

/// The trusted gateway is one of `trusted_proxies`. (§7.4)
#[test]
fn accepts_https_from_a_trusted_gateway() {
    let scene = Scene::answering(EMPTY);
    let configuration = configuration_for(&[scene.backend.address()]);
    let trusted = "default_group = \"app\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let ringway = Ringway::start(&configuration.replacen("default_group = \"app\"\n", trusted, 1));
    let mut client = Client::connect(ringway.address());
    client.send("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
}

/// "a recipient of an "http" URI reference with an empty host identifier MUST reject it as invalid". (§4.2.1)
#[test]
fn must_reject_an_empty_host() {
    let scene = Scene::answering(EMPTY);
    scene.refuses("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    scene.refuses("GET http://:80/a HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

/// "Before making use of an "http" or "https" URI reference received from an untrusted source, a recipient SHOULD
/// parse for userinfo and treat its presence as an error". (§4.2.4)
#[test]
fn refuses_user_information() {
    let scene = Scene::answering(EMPTY);
    scene.refuses("GET http://user:password@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}
