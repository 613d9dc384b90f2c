//! RFC 9110 §5, fields, §6.6.1, Date, and the fields whose definitions bind whoever forwards them.

use crate::scene::{Scene, Watched, get, relayed};
use crate::support::{Backend, Client, Ringway};

/// "A proxy MUST forward unrecognized header fields unless the field name is listed in the Connection header
/// field". (§5.1)
#[test]
fn must_forward_unknown_fields() {
    let watched = Watched::new();
    let head =
        watched.forwards_fields("X-New: 1\r\nno_such.field!: 2\r\nX-Empty:\r\nX-Upper: LOWER upper\r\n");
    let text = head.text();
    assert!(
        text.contains("X-New: 1\r\nno_such.field!: 2\r\nX-Empty: \r\nX-Upper: LOWER upper\r\n"),
        "{text}"
    );
    let response = relayed("HTTP/1.1 200 OK\r\nX-New: 1\r\nContent-Length: 0\r\nX-Empty:\r\n\r\n");
    assert_eq!((response.field("x-new"), response.field("x-empty")), (Some("1"), Some("")));
}

/// "The order in which header fields with the same name are received is … significant to the interpretation of the
/// combined field value; a proxy MUST NOT change the order of these field values when forwarding a message." (§5.3)
#[test]
fn must_keep_the_order_of_fields_of_one_name() {
    let watched = Watched::new();
    let head =
        watched.forwards_fields("A: 1\r\nB: x\r\na: 2, 3\r\nA:\r\nA: 4\r\nCookie: a=b\r\nCookie: c=d\r\n");
    assert_eq!(head.all("a"), ["1", "2, 3", "", "4"]);
    assert_eq!(head.all("cookie"), ["a=b", "c=d"]);
    let response = relayed(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\nSet-Cookie: b=2\r\nset-cookie: c=3\r\n\r\n",
    );
    assert_eq!(response.head.all("set-cookie"), ["a=1", "b=2", "c=3"]);
}

/// A list that Ringway extends itself keeps the order of what came, over all lines. (§5.3)
#[test]
fn must_keep_the_order_of_forwarded_addresses() {
    let head = Watched::new()
        .forwards_fields("X-Forwarded-For: 192.0.2.1\r\nA: b\r\nX-Forwarded-For: 192.0.2.2\r\n");
    assert_eq!(head.field("x-forwarded-for"), Some("192.0.2.1, 192.0.2.2, 127.0.0.1"));
}

/// "A server that receives a request header field line, field value, or set of fields larger than it wishes to
/// process MUST respond with an appropriate 4xx (Client Error) status code." (§5.4)
#[test]
fn must_answer_large_fields_with_4xx() {
    let scene = Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    scene.refuses(get(&format!("X: {}\r\n", "y".repeat(200 * 1024))), 400);
    scene.refuses(get(&"X: y\r\n".repeat(1000)), 400);
}

/// "Field values containing CR, LF, or NUL characters are invalid and dangerous …; a recipient of CR, LF, or NUL
/// within a field value MUST either reject the message or replace each of those characters with SP". (§5.5)
#[test]
fn must_refuse_line_ends_and_nul_in_values() {
    let scene = Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for value in ["a\0b", "a\rb", "\0", "a\nb"] {
        scene.refuses(get(&format!("X: {value}\r\n")), 400);
        let answer = relayed(&format!("HTTP/1.1 200 OK\r\nX: {value}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(answer.status, 502, "{value:?}");
    }
}

/// "A recipient MUST parse and ignore a reasonable number of empty list elements". (§5.6.1.2)
#[test]
fn must_ignore_empty_list_elements() {
    let watched = Watched::new();
    let head = watched.forwards_fields("Connection: , ,X-Hop,\t,\r\nX-Hop: 1\r\nX-End: 2\r\n");
    assert_eq!((head.field("x-hop"), head.field("x-end")), (None, Some("2")));
    let request = get("Connection: ,close,,\r\n");
    assert_eq!(watched.forwards(request).0.field("connection"), None);
}

/// "An origin server with a clock … MUST generate a Date header field in all 2xx (Successful), 3xx (Redirection),
/// and 4xx (Client Error) responses". (§6.6.1)
#[test]
fn must_generate_a_date() {
    let scene = Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for request in ["BAD\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        expect_date(scene.ask(request).field("date"));
    }
    let ringway = Ringway::in_front_of(&[Backend::refused_address()]);
    expect_date(Client::connect(ringway.address()).get("/").field("date"));
}

/// "A recipient with a clock that receives a response message without a Date header field MUST record the time it
/// was received and append a corresponding Date header field to the message's header section if it is cached or
/// forwarded downstream." (§6.6.1)
#[test]
fn must_append_a_date_to_a_response_without() {
    for status in ["200 OK", "304 Not Modified", "500 Oops", "404 Not Found"] {
        expect_date(relayed(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).field("date"));
    }
}

/// "The Date header field represents the date and time at which the message was originated". (§6.6.1)
#[test]
fn keeps_the_date_of_a_response() {
    let date = "Tue, 15 Nov 1994 08:12:31 GMT";
    let response = relayed(&format!("HTTP/1.1 200 OK\r\nDATE: {date}\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(response.field("date"), Some(date));
}

/// "A proxy MUST NOT modify the Allow header field": it and the others of which the like is said pass as they are.
/// (§10.2.1; §11.6.1, WWW-Authenticate; §11.6.2, Authorization; §7.7, what no-transform protects)
#[test]
fn must_not_modify_what_belongs_to_the_ends() {
    let request = "Authorization: Basic  QTpC==\r\nRange: bytes=0-1\r\nIf-None-Match: W/\"a\" , \"b\"\r\n\
                   Accept-Encoding: gzip;q=0.5,,br\r\nReferer: http://x/\r\nUser-Agent: a (b)\r\nFrom: c@d\r\n";
    let text = Watched::new().forwards_fields(request).text();
    assert!(text.contains(request), "{text}");
    let lines = "Allow: GET,,HEAD\r\nWWW-Authenticate: Basic realm=\"a, b\", Digest x=y\r\nServer: b/1\r\n\
                 Cache-Control: no-transform\r\nContent-Encoding: gzip\r\nContent-Type: a/b\r\nVary: *\r\n\
                 ETag: W/\"x\"\r\nContent-Location: /y\r\nLast-Modified: never\r\nRetry-After: 1\r\nLocation: z\r\n\
                 Accept-Ranges: none\r\nContent-Range: bytes 0-1/2\r\nAge: 7\r\nDate: now\r\n";
    let response = relayed(&format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n"));
    assert!(response.head.text().contains(lines), "{}", response.head.text());
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (§5.6.7)
fn expect_date(value: Option<&str>) {
    let value = value.expect("a date");
    let (day, rest) = value.split_once(", ").expect("a day");
    assert!(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&day), "{value}");
    let parts: Vec<&str> = rest.split([' ', ':']).collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    assert_eq!((&lengths[..], parts.last()), (&[2, 3, 4, 2, 2, 2, 3][..], Some(&"GMT")), "{value}");
}
