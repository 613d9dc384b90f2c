//! RFC 9112 §6, message bodies, §7, transfer codings, and §8, incomplete messages.

use crate::scene::{MOMENT, Scene, Watched, becomes_bad_gateway, get, relayed};
use crate::support::{Backend, Client, PATIENCE, eventually};
use std::io::ErrorKind;
use std::sync::mpsc::channel;

fn scene() -> Scene {
    Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
}

fn post(lines: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}")
}

/// "A recipient MUST be able to parse the chunked transfer coding". (§6.1, §7.1)
#[test]
fn must_parse_chunked_requests() {
    let watched = Watched::new();
    for coding in ["chunked", "CHUNKED", " Chunked\t"] {
        let chunks = "003\r\nabc\r\n0000A\r\n0123456789\r\n1\r\n\n\r\n000\r\n\r\n";
        let (head, body) = watched.forwards(post(&format!("Transfer-Encoding:{coding}\r\n"), chunks));
        assert_eq!(body, b"abc0123456789\n");
        assert_eq!((head.field("transfer-encoding"), head.field("content-length")), (Some("chunked"), None));
    }
}

/// The same for responses. (§6.1, §7.1)
#[test]
fn must_parse_chunked_responses() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
    let response = relayed(&format!("{head}a\r\n0123456789\r\n1;x=y\r\n!\r\n0\r\n\r\n"));
    assert_eq!(response.text(), "0123456789!");
    assert_eq!(response.field("transfer-encoding"), Some("chunked"));
}

/// "A server that receives a request message with a transfer coding it does not understand SHOULD respond with
/// 501 (Not Implemented)." (§6.1)
#[test]
fn answers_an_unknown_coding_with_501() {
    scene().refuses(post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501);
}

/// "If a Transfer-Encoding header field is present in a request and the chunked transfer coding is not the final
/// encoding, the message body length cannot be determined reliably; the server MUST respond with the 400 (Bad
/// Request) status code and then close the connection." (§6.3)
#[test]
fn must_refuse_a_coding_that_does_not_end_with_chunked() {
    let scene = scene();
    for codings in ["gzip", "chunked, gzip", "identity", "", "chunked, chunked", "xchunked", "chunked;q=1"] {
        scene.refuses(post(&format!("Transfer-Encoding: {codings}\r\n"), "0\r\n\r\n"), 400);
    }
}

/// "A server MAY reject a request that contains both Content-Length and Transfer-Encoding …. Regardless, the
/// server MUST close the connection after responding to such a request". (§6.1, §6.3)
#[test]
fn must_close_after_a_length_beside_a_coding() {
    let scene = scene();
    scene.refuses(post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400);
    scene.refuses(post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400);
}

/// "A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST treat
/// the message as if the framing is faulty, even if a Content-Length is present, and close the connection after
/// processing the message." (§6.1)
#[test]
fn must_take_a_coding_in_http10_for_faulty() {
    let request =
        "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
    scene().refuses(format!("{request}0\r\n\r\n"), 400);
    becomes_bad_gateway("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

/// "A server MUST NOT send a Transfer-Encoding header field in any response with a status code of 1xx
/// (Informational) or 204 (No Content)." (§6.1)
#[test]
fn must_not_send_a_coding_with_204() {
    let response = relayed("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!((response.status, response.field("transfer-encoding")), (204, None));
}

/// The same for interim responses. (§6.1)
#[test]
fn must_not_send_a_coding_with_1xx() {
    let interim =
        "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\nA: b\r\n\r\n";
    let response = relayed(&format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!((response.status, response.field("a")), (103, Some("b")));
    assert_eq!((response.field("transfer-encoding"), response.field("content-length")), (None, None));
}

/// "A server MUST NOT send a response containing Transfer-Encoding unless the corresponding request indicates
/// HTTP/1.1 (or later minor revisions)." (§6.1)
#[test]
fn must_not_send_a_coding_to_http10() {
    let scene = Scene::closing_after(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n",
    );
    let response = scene.ask("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(response.field("transfer-encoding"), None);
    assert_eq!((response.text().as_str(), response.is_close_delimited), ("abc", true));
    assert_eq!(response.field("connection"), Some("close"));
}

/// "A sender MUST NOT send a Content-Length header field in any message that contains a Transfer-Encoding header
/// field." (§6.2) A backend that did is not believed. (§6.3)
#[test]
fn must_not_forward_a_length_beside_a_coding() {
    for status in ["200 OK", "304 Not Modified"] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n");
        becomes_bad_gateway(&format!("{head}3\r\nabc\r\n0\r\n\r\n"));
    }
}

/// The same where the response to HEAD only tells what there would be. (§6.2, §6.3)
#[test]
fn must_not_forward_a_length_beside_a_coding_to_head() {
    let scene =
        Scene::closing_after("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n");
    let response = scene.ask_as("HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(response.status == 502 || response.field("content-length").is_none(), "{}", response.head.text());
}

/// "Any response to a HEAD request and any response with a 1xx, 204, or 304 status code is always terminated by
/// the first empty line after the header fields". (§6.3)
#[test]
fn a_response_without_content_ends_with_its_head() {
    for status in ["204 No Content", "304 Not Modified"] {
        let scene = Scene::answering(&format!("HTTP/1.1 {status}\r\nETag: \"a\"\r\n\r\n"));
        let mut client = scene.client();
        for _ in 0..2 {
            client.send(get(""));
            assert_eq!(client.read_response().field("etag"), Some("\"a\""));
        }
        client.expect_silence(MOMENT);
        assert_eq!(scene.backend.connections(), 1);
    }
}

/// "If a message is received without Transfer-Encoding and with an invalid Content-Length header field, then the
/// message framing is invalid and the recipient MUST treat it as an unrecoverable error … If the unrecoverable
/// error is in a request message, the server MUST respond with a 400 (Bad Request) status code and then close the
/// connection." (§6.3)
#[test]
fn must_refuse_an_invalid_length() {
    let scene = scene();
    for length in ["", "+5", "-5", "5 5", "5,6", "0x5", "5.0", "five", "18446744073709551616", "5;"] {
        scene.refuses(post(&format!("Content-Length: {length}\r\n"), "hello"), 400);
    }
    scene.refuses(post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), 400);
}

/// "If it is in a response message received by a proxy, the proxy MUST close the connection to the server,
/// discard the received response, and send a 502 (Bad Gateway) response to the client." (§6.3)
#[test]
fn must_answer_an_invalid_length_of_a_response_with_502() {
    for lines in ["Content-Length: x", "Content-Length: 5, 6", "Content-Length: -1", "Content-Length:"] {
        let scene = Scene::answering(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nhello!"));
        assert_eq!(scene.ask(get("")).status, 502, "{lines}");
        eventually("the connection is closed", || scene.backend.open_connections() == 0);
    }
    becomes_bad_gateway("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!");
}

/// "the sender of a message … MUST NOT forward a message with a Content-Length header field value that is known
/// to be incorrect" (RFC 9110 §8.6) holds for HEAD and 304 as well. (§6.3)
#[test]
fn must_not_forward_an_invalid_length_without_content() {
    for lines in ["Content-Length: x", "Content-Length: 5\r\nContent-Length: 6"] {
        let response = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n");
        let answer = Scene::closing_after(&response).ask_as("HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.status, 502, "{lines}");
        becomes_bad_gateway(&format!("HTTP/1.1 304 Not Modified\r\n{lines}\r\n\r\n"));
    }
}

/// "If a valid Content-Length header field is present without Transfer-Encoding, its decimal value defines the
/// expected message body length in octets." (§6.3)
#[test]
fn the_length_delimits_the_body() {
    let watched = Watched::new();
    let (head, body) = watched.forwards(post("Content-Length: 0005\r\n", "hello"));
    assert_eq!((head.field("content-length"), &body[..]), (Some("5"), &b"hello"[..]));
}

/// "If this is a request message and none of the above are true, then the message body length is zero". (§6.3)
#[test]
fn a_request_without_length_has_no_body() {
    let scene = Scene::new(Backend::echo_body());
    let mut client = scene.client();
    client.send(format!("{}{}", post("", ""), post("Content-Length: 1\r\n", "x")));
    assert_eq!(client.read_response().text(), "");
    assert_eq!(client.read_response().text(), "x");
}

/// "Otherwise, this is a response message without a declared message body length, so the message body length is
/// determined by the number of octets received prior to the server closing the connection." (§6.3)
#[test]
fn a_response_without_length_ends_with_the_connection() {
    let response = relayed("HTTP/1.1 200 OK\r\nA: b\r\n\r\nall of it");
    assert_eq!(response.text(), "all of it");
    assert_eq!(response.field("transfer-encoding"), Some("chunked"));
}

/// "If the final response to the last request on a connection has been completely received and there remains
/// additional data to read … A client MUST NOT process, cache, or forward such extra data as a separate
/// response". (§6.3)
#[test]
fn must_not_forward_extra_data_as_a_response() {
    let honest = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1";
    let extra = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let scene = Scene::new(Backend::per_request(move |peer, _, _| {
        let number = peer.number;
        peer.write(if number == 0 { format!("{honest}{extra}") } else { honest.to_owned() }.as_bytes())
    }));
    let mut client = scene.client();
    client.send(format!("{}{}", get(""), get("")));
    assert_eq!(client.read_response().text(), "1");
    assert_eq!(client.read_response().text(), "1");
    assert_eq!(scene.backend.connections(), 2);
}

/// The same where the extra data waits behind a response that fills the memory it is received in. (§6.3)
#[test]
fn must_not_forward_extra_data_behind_a_full_buffer() {
    for size in [4096 - 7, 4096] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX: ", size / 2);
        let padding = size - head.len() - 4 - size / 2;
        let honest = format!("{head}{}\r\n\r\n{}", "x".repeat(padding), "1".repeat(size / 2));
        assert_eq!(honest.len(), size);
        let scene = Scene::new(Backend::script(move |peer| {
            while peer.read_request()?.is_some() {
                let extra = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
                peer.write(format!("{honest}{extra}").as_bytes())?;
            }
            Ok(())
        }));
        let mut client = scene.client();
        client.send(format!("{}{}", get(""), get("")));
        assert_eq!(client.read_response().body.len(), size / 2);
        assert_eq!(client.read_response().body.len(), size / 2, "the extra data became a response");
    }
}

/// "A recipient MUST ignore unrecognized chunk extensions." (§7.1.1)
#[test]
fn must_ignore_unknown_chunk_extensions() {
    let watched = Watched::new();
    let chunks = "3;a;b=c;d=\"e;f\"\r\nabc\r\n0;last\r\n\r\n";
    assert_eq!(watched.forwards(post("Transfer-Encoding: chunked\r\n", chunks)).1, b"abc");
}

/// "Recipients MUST anticipate potentially large hexadecimal numerals and prevent parsing errors due to integer
/// conversion overflows". (§7.1)
#[test]
fn must_not_overflow_on_a_large_chunk_size() {
    let scene = scene();
    for size in ["10000000000000000", "ffffffffffffffffff", "10000000000000003"] {
        let mut client = scene.client();
        client.send(post("Transfer-Encoding: chunked\r\n", &format!("{size}\r\nabc\r\n0\r\n\r\n")));
        assert_eq!(client.read_response().status, 400, "{size}");
        client.expect_closed();
    }
}

/// What breaks the coding ends the exchange and the connection. (§7.1)
#[test]
fn refuses_malformed_chunks() {
    let scene = scene();
    for chunks in ["x\r\n", "3\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n", "3\r\nabc0\r\n\r\n", "-1\r\n\r\n", "\r\n"]
    {
        let mut client = scene.client();
        client.send(post("Transfer-Encoding: chunked\r\n", chunks));
        assert_eq!(client.read_response().status, 400, "{chunks:?}");
        client.expect_closed();
    }
}

/// "A recipient that removes the chunked coding from a message MAY selectively retain or discard the received
/// trailer fields": those that pass, pass behind the body. (§7.1.2)
#[test]
fn trailers_stay_trailers() {
    let scene = Scene::closing_after(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a\r\n\r\n",
    );
    let response = scene.ask(get("TE: trailers\r\nConnection: TE\r\n"));
    assert_eq!(response.trailers, [("X-Sum".to_owned(), "1".to_owned())]);
    assert_eq!(response.field("x-sum"), None);
}

/// "A client that receives an incomplete response message … MUST record the message as incomplete": what was
/// begun ends without its last chunk. (§8)
#[test]
fn a_truncated_chunked_response_stays_incomplete() {
    for body in ["5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n"] {
        let scene =
            Scene::closing_after(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        expect_truncated(scene.client(), get(""));
    }
}

/// The same for a body of known length. (§8)
#[test]
fn a_truncated_response_of_known_length_stays_incomplete() {
    let scene = Scene::closing_after("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    expect_truncated(scene.client(), get(""));
}

/// Where only the end of the connection could end the body, a reset says that it was cut off. (§8, §9.8)
#[test]
fn a_truncated_response_is_reset_for_http10() {
    let scene = Scene::closing_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let mut client = scene.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(client.try_read_response().is_err());
}

/// "A server that receives an incomplete request message … MAY send an error response prior to closing the
/// connection": the backend must not take it for complete. (§8)
#[test]
fn an_incomplete_request_stays_incomplete() {
    let (sender, completed) = channel();
    let scene = Scene::new(Backend::script(move |peer| {
        let Some(head) = peer.read_head()? else { return Ok(()) };
        // The test may be over already.
        let _ = sender.send(peer.read_body(&head).is_ok());
        Ok(())
    }));
    for (lines, body) in
        [("Content-Length: 9\r\n", "hello"), ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n")]
    {
        let before = scene.backend.requests();
        let mut client = scene.client();
        client.send(post(lines, body));
        eventually("the head arrives", || scene.backend.requests() > before);
        drop(client);
        assert_eq!(completed.recv_timeout(PATIENCE), Ok(false), "{lines}");
    }
}

fn expect_truncated(mut client: Client, request: String) {
    client.send(request);
    let error = client.try_read_response().expect_err("a truncated response");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
}
