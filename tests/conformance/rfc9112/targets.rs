//! RFC 9112 §3, request lines, and the Host field beside them.

use crate::scene::{MOMENT, Scene, Watched};
use crate::support::{Client, Ringway, configuration_for};

fn scene() -> Scene {
    Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
}

/// "Recipients of an invalid request-line SHOULD respond with either a 400 (Bad Request) error or a 301 …
/// SHOULD NOT attempt to autocorrect and then process the request without a redirect". (§3.2)
#[test]
fn does_not_correct_an_invalid_target() {
    let scene = scene();
    for target in ["a", "/a b", "/\u{e4}", "/a#b", "*", "http:/a/", "ftp://a/", "http://a b/"] {
        scene.refuses(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    }
}

/// "A server that receives a request-target longer than any URI it wishes to parse MUST respond with a 414 (URI
/// Too Long) status code". (§3)
#[test]
fn must_answer_a_long_target_with_414() {
    let scene = scene();
    let target = "a".repeat(40 * 1024);
    scene.refuses(format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
}

/// "A client MUST send a Host header field in all HTTP/1.1 request messages." (§3.2)
#[test]
fn must_send_host_to_backends() {
    let watched = Watched::new();
    let address = watched.scene.backend.address().to_string();
    for (request, host) in [
        ("GET / HTTP/1.0\r\n\r\n", &address[..]),
        ("GET / HTTP/1.1\r\nHost: a:8080\r\n\r\n", "a:8080"),
        ("GET / HTTP/1.1\r\nhOST: [::1]:80\r\n\r\n", "[::1]:80"),
    ] {
        let (head, _) = watched.forwards(request);
        assert_eq!(head.field("host"), Some(host), "{request:?}");
    }
}

/// "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a Host
/// header field". (§3.2)
#[test]
fn must_refuse_a_request_without_host() {
    scene().refuses("GET / HTTP/1.1\r\nX: y\r\n\r\n", 400);
}

/// "… and to any request message that contains more than one Host header field line". (§3.2)
#[test]
fn must_refuse_a_request_with_two_hosts() {
    let scene = scene();
    scene.refuses("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    scene.refuses("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", 400);
    scene.refuses("GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
}

/// "… or a Host header field with an invalid field value." (§3.2)
#[test]
fn must_refuse_an_invalid_host() {
    let scene = scene();
    for host in
        ["", "a, b", "a b", "u@a", "a/", "http://a", "a:b", "a:65536", "[::1", "[1.2.3.4]", "a\tb", "a?"]
    {
        scene.refuses(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400);
    }
}

/// "a server MUST accept the absolute-form in requests". (§3.2.2)
#[test]
fn must_accept_the_absolute_form() {
    let watched = Watched::new();
    for (target, seen) in [
        ("http://a/b?c", "/b?c"),
        ("HTTP://A:8080/", "/"),
        ("http://a", "/"),
        ("http://a/?", "/?"),
        ("http://a?q=1", "/?q=1"),
    ] {
        let (head, _) = watched.forwards(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(head.start_line, format!("GET {seen} HTTP/1.1"), "{target}");
    }
}

/// "When a proxy receives a request with an absolute-form of request-target, the proxy MUST ignore the received
/// Host header field (if any) and instead replace it with the host information of the request-target. A proxy
/// that forwards such a request MUST generate a new Host field value based on the received request-target".
/// (§3.2.2)
#[test]
fn must_replace_host_by_an_absolute_target() {
    let watched = Watched::new();
    for (target, host) in [("http://b:81/", "b:81"), ("http://[::1]/", "[::1]")] {
        let (head, _) = watched.forwards(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(head.field("host"), Some(host));
        let (head, _) = watched.forwards(format!("GET {target} HTTP/1.0\r\n\r\n"));
        assert_eq!(head.field("host"), Some(host));
    }
}

/// "When making a request directly to an origin server, other than a CONNECT or server-wide OPTIONS request, a
/// client MUST send only the absolute path and query components of the target URI as the request-target. If the
/// target URI's path component is empty, the client MUST send "/"". (§3.2.1)
#[test]
fn must_send_the_origin_form() {
    let watched = Watched::new();
    let (head, _) = watched.forwards("POST http://a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(head.start_line, "POST / HTTP/1.1");
}

/// "The asterisk-form of request-target is only used for a server-wide OPTIONS request". (§3.2.4)
#[test]
fn forwards_the_asterisk_form() {
    let watched = Watched::new();
    let (head, _) = watched.forwards("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.start_line, "OPTIONS * HTTP/1.1");
}

/// "If a proxy receives an OPTIONS request with an absolute-form of request-target in which the URI has an empty
/// path and no query component, then the last proxy on the request chain MUST send a request-target of "*"".
/// (§3.2.4)
#[test]
fn must_send_an_asterisk_for_options_without_path() {
    let watched = Watched::new();
    let (head, _) = watched.forwards("OPTIONS http://b:8001 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.start_line, "OPTIONS * HTTP/1.1");
    assert_eq!(head.field("host"), Some("b:8001"));
    let (head, _) = watched.forwards("OPTIONS http://b/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.start_line, "OPTIONS / HTTP/1.1");
}

/// The 414 comes at the limit that is configured, for HTTP/1.0 as well. (§3)
#[test]
fn a_configured_limit_of_targets_holds() {
    let scene = scene();
    let configuration = configuration_for(&[scene.backend.address()]);
    let limit = "default_group = \"app\"\nmax_uri_bytes = 64\n";
    let configuration = configuration.replacen("default_group = \"app\"\n", limit, 1);
    let ringway = Ringway::start(&configuration);
    let mut client = Client::connect(ringway.address());
    client.send(format!("GET /{} HTTP/1.0\r\n\r\n", "a".repeat(64)));
    assert_eq!(client.read_response().status, 414);
    let mut client = Client::connect(ringway.address());
    client.send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(63)));
    assert_eq!(client.read_response().status, 200);
    client.expect_silence(MOMENT);
}
