//! RFC 9110 §7.6 to §7.8, what an intermediary removes, keeps and switches; §6.5, trailers.

use crate::scene::{MOMENT, Scene, Watched, get, relayed};
use crate::support::Backend;

/// "Intermediaries MUST parse a received Connection header field before a message is forwarded and, for each
/// connection-option in this field, remove any header or trailer field(s) from the message with the same name as
/// the connection-option, and then remove the Connection header field itself (or replace it with the
/// intermediary's own control options for the forwarded message)." (§7.6.1)
#[test]
fn must_remove_what_connection_names() {
    let lines = "X-Hop: 1\r\nConnection: x-hop, close\r\nx-other: 2\r\nX-HOP: 3\r\nconnection: X-Other\r\nX-End: 4\r\n";
    let head = Watched::new().forwards_fields(lines);
    for name in ["connection", "x-other", "close"] {
        assert_eq!(head.field(name), None, "{name}");
    }
    assert!(head.all("x-hop").is_empty());
    assert_eq!(head.field("x-end"), Some("4"));
    let response = relayed(&format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n"));
    assert_eq!((response.field("connection"), response.field("x-other")), (None, None));
    assert!(response.head.all("x-hop").is_empty());
    assert_eq!(response.field("x-end"), Some("4"));
}

/// The same where Ringway itself reads the field, for its log or for a date. (§7.6.1)
#[test]
fn must_remove_known_fields_that_connection_names() {
    let watched = Watched::new();
    let lines = "Referer: /a\r\nUser-Agent: b\r\nConnection: referer, user-agent\r\n";
    let head = watched.forwards_fields(lines);
    assert_eq!((head.field("referer"), head.field("user-agent")), (None, None));
    let lines = "Server: a\r\nTrailer: X\r\nConnection: server, trailer\r\n";
    let response = relayed(&format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n"));
    assert_eq!((response.field("server"), response.field("trailer")), (None, None));
}

/// "A sender MUST NOT send a connection option corresponding to a field that is intended for all recipients of the
/// content": what a backend relies on cannot be named away. (§7.6.1)
#[test]
fn what_the_message_rests_on_cannot_be_named() {
    let watched = Watched::new();
    let head = watched.forwards(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\
         Connection: host, content-length, x-forwarded-for, transfer-encoding\r\n\r\nhi",
    );
    assert_eq!((head.0.field("host"), &head.1[..]), (Some("a"), &b"hi"[..]));
    assert_eq!(head.0.field("x-forwarded-for"), Some("127.0.0.1"));
}

/// "… remove any header or trailer field(s) …": the trailers of a request. (§7.6.1)
#[test]
fn must_remove_trailers_that_connection_names() {
    let scene = Scene::new(Backend::script(|peer| {
        let Some(head) = peer.read_head()? else { return Ok(()) };
        let mut rest = Vec::new();
        while !rest.ends_with(b"\r\n\r\n") {
            rest.extend(peer.read_some()?);
        }
        assert!(head.field("connection").is_none());
        peer.respond("200 OK", &rest)
    }));
    let response = scene.ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: x-hop\r\n\r\n\
         1\r\na\r\n0\r\nX-Hop: 1\r\n\r\n",
    );
    assert!(!response.text().contains("Hop"), "{}", response.text());
}

/// The same for the trailers of a response. (§7.6.1)
#[test]
fn must_remove_trailers_of_responses_that_connection_names() {
    let response = relayed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-hop\r\n\r\n1\r\na\r\n0\r\nX-Hop: 1\r\n\r\n",
    );
    assert_eq!((response.text().as_str(), &response.trailers[..]), ("a", &[][..]));
}

/// "Intermediaries SHOULD remove or replace fields that are known to require removal before forwarding, whether or
/// not they appear as a connection-option": Proxy-Connection, Keep-Alive, TE, Transfer-Encoding, Upgrade. (§7.6.1)
#[test]
fn removes_what_belongs_to_one_hop() {
    let lines = "Proxy-Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nUpgrade: x\r\n";
    let head = Watched::new().forwards_fields(lines);
    let response = relayed(&format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n"));
    for name in ["proxy-connection", "keep-alive", "te", "upgrade"] {
        assert_eq!((head.field(name), response.field(name)), (None, None), "{name}");
    }
}

/// "The Via header field …": Ringway adds none, see docs/conformance.md. What other hops wrote stays: "A sender
/// SHOULD NOT combine multiple list members unless they are all under the same organizational control". (§7.6.3)
#[test]
fn via_passes_as_it_is() {
    let lines = "Via: 1.0 fred\r\nVia: 1.1 p.example.net (x), 1.1 q\r\n";
    let head = Watched::new().forwards_fields(lines);
    assert_eq!(head.all("via"), ["1.0 fred", "1.1 p.example.net (x), 1.1 q"]);
    let response = relayed(&format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n"));
    assert_eq!(response.head.all("via"), ["1.0 fred", "1.1 p.example.net (x), 1.1 q"]);
}

/// "A proxy MUST NOT modify the "absolute-path" and "query" parts of the received target URI when forwarding it to
/// the next inbound server". (§7.7)
#[test]
fn must_not_modify_path_and_query() {
    let watched = Watched::new();
    for target in
        ["/a//b/../c/./%7e%2F%2f?x=%zz&&y", "/?", "//a", "/;a=b?c;d", "/a?b?c/../d", "/%", "/a|b^c\"{}"]
    {
        let (head, _) = watched.forwards(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(head.start_line, format!("GET {target} HTTP/1.1"));
        let Some(path) = target.strip_prefix("//").is_none().then_some(target) else { continue };
        let (head, _) = watched.forwards(format!("GET http://a{path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(head.start_line, format!("GET {path} HTTP/1.1"));
    }
}

/// "A proxy MUST NOT transform the content … of a response message that contains a no-transform cache directive":
/// Ringway transforms no content, unless a listener compresses. (§7.7)
#[test]
fn must_not_transform_content() {
    let body = "\u{0}\r\n\u{ff}0\r\n\r\n".repeat(3000);
    let scene = Scene::new(Backend::echo_body());
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nCache-Control: no-transform\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(scene.ask(request).text(), body);
}

/// "A sender of Upgrade MUST also send an "Upgrade" connection option in the Connection header field", in the
/// request and in the 101. (§7.8)
#[test]
fn must_send_upgrade_as_a_connection_option() {
    let scene = Scene::new(Backend::script(|peer| {
        let Some(head) = peer.read_head()? else { return Ok(()) };
        peer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")?;
        peer.write(&head.bytes)
    }));
    let mut client = scene.client();
    client.send(get("Upgrade: x, y/2\r\nConnection: keep-alive, upgrade\r\n"));
    let response = client.read_response();
    assert_eq!((response.status, response.field("upgrade")), (101, Some("x")));
    assert!(response.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
    let seen = String::from_utf8(client.read_to_end()).expect("a head").to_ascii_lowercase();
    assert!(
        seen.contains("\r\nconnection: upgrade\r\n") && seen.contains("\r\nupgrade: x, y/2\r\n"),
        "{seen}"
    );
}

/// "A server that receives an Upgrade header field in an HTTP/1.0 request MUST ignore that Upgrade field." (§7.8)
#[test]
fn must_ignore_upgrade_of_http10() {
    let (head, _) =
        Watched::new().forwards("GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!((head.field("upgrade"), head.field("connection")), (None, None));
}

/// "A server MUST NOT switch to a protocol that was not indicated by the client in the corresponding request's
/// Upgrade header field": a 101 that nobody asked for does not reach the client. (§7.8)
#[test]
fn must_not_forward_an_unasked_101() {
    let answer = relayed("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(answer.status, 502);
    let answer = relayed("HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_eq!(answer.status, 502);
}

/// "A server that sends a 426 response MUST send an Upgrade header field". (§7.8, §15.5.22)
#[test]
fn must_send_upgrade_with_426() {
    let scene = Scene::answering(
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: HTTP/3.0\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno",
    );
    let mut client = scene.client();
    for _ in 0..2 {
        client.send(get(""));
        let response = client.read_response();
        assert_eq!((response.status, response.field("upgrade")), (426, Some("HTTP/3.0")));
        assert!(response.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
        assert_eq!((response.text().as_str(), response.is_close_delimited), ("no", false));
    }
}

/// "A server MAY send an Upgrade header field in any other response to advertise that it implements support for
/// upgrading": it is meant for Ringway, and changes nothing about the message. (§7.8)
#[test]
fn an_advertised_upgrade_changes_nothing() {
    for status in ["200 OK", "404 Not Found"] {
        let scene = Scene::answering(&format!(
            "HTTP/1.1 {status}\r\nUpgrade: h2,h2c\r\nConnection: Upgrade, Keep-Alive\r\nContent-Length: 2\r\n\r\nok"
        ));
        let mut client = scene.client();
        for _ in 0..2 {
            client.send(get(""));
            let response = client.read_response();
            assert_eq!((response.field("upgrade"), response.field("connection")), (None, None));
            assert_eq!((response.text().as_str(), response.is_close_delimited), ("ok", false));
        }
        client.expect_silence(MOMENT);
        assert_eq!(scene.backend.connections(), 1);
    }
}

/// The bytes behind a 101 belong to the new protocol, in both directions. (§7.8)
#[test]
fn a_switched_connection_carries_bytes() {
    let scene = Scene::new(Backend::script(|peer| {
        peer.read_head()?;
        peer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello")?;
        loop {
            let bytes = peer.read_some()?;
            if bytes.is_empty() {
                return peer.write(b"bye");
            }
            peer.write(&bytes)?;
        }
    }));
    let mut client = scene.client();
    client.send(get("Connection: upgrade\r\nUpgrade: x\r\n"));
    assert_eq!(client.read_response().status, 101);
    assert_eq!(client.read_exactly(5), b"hello");
    client.send(get(""));
    assert_eq!(client.read_exactly(get("").len()), get("").as_bytes());
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"bye");
}

/// "Trailer fields ought to be processed and stored separately from the fields in the header section": those that
/// speak of framing, routing or authentication are dropped. "A sender MUST NOT generate a trailer field unless the
/// sender knows the corresponding header field name's definition permits sending it in trailers". (§6.5.1)
#[test]
fn must_not_generate_forbidden_trailers() {
    let scene = Scene::new(Backend::script(|peer| {
        peer.read_head()?;
        let mut rest = Vec::new();
        while !rest.ends_with(b"\r\n\r\n") {
            rest.extend(peer.read_some()?);
        }
        peer.respond("200 OK", &rest)
    }));
    let trailers = "Content-Length: 5\r\nTransfer-Encoding: x\r\nHost: b\r\nAuthorization: c\r\nX-Sum: d\r\n\
                    Max-Forwards: 1\r\nX-Forwarded-For: e\r\nCookie: f\r\nConnection: close\r\n";
    let response = scene.ask(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n{trailers}\r\n"
    ));
    assert!(response.text().ends_with("0\r\nX-Sum: d\r\n\r\n"), "{}", response.text());
}
