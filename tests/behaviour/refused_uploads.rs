//! An answer that comes before the end of an upload reaches clients that look for it only behind that end.

use crate::support::{Backend, Client, Ringway, Scenario};
use std::io::Write;
use std::time::Duration;

/// Far more than all buffers on the way hold.
const SIZE: usize = 100 << 20;

fn upload_all(ringway: &Ringway, framing: &str) -> Client {
    let mut client = Client::connect(ringway.address());
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n"));
    let mut wire = client.wire();
    let piece = vec![b'x'; 1 << 20];
    let chunk = [b"100000\r\n", &piece[..], b"\r\n"].concat();
    let piece = if framing.starts_with("Transfer") { chunk } else { piece };
    (0..SIZE >> 20).for_each(|_| wire.write_all(&piece).expect("an upload is taken to its end"));
    client
}

#[test]
fn one_that_is_too_large() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("max_body_bytes = 1000").start();
    for framing in [format!("Content-Length: {SIZE}\r\n"), "Transfer-Encoding: chunked\r\n".to_owned()] {
        let mut client = upload_all(&ringway, &framing);
        assert_eq!(client.read_response().status, 413, "{framing}");
        client.expect_closed();
    }
}

#[test]
fn one_that_its_backend_does_not_want() {
    let backend = Backend::script(|peer| {
        peer.read_head()?;
        // It closes with bytes unread, which resets the connection behind the answer.
        peer.respond("413 Content Too Large", b"no")
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = upload_all(&ringway, &format!("Content-Length: {SIZE}\r\n"));
    assert_eq!(client.read_response().text(), "no");
}

#[test]
fn one_behind_what_is_no_request() {
    let backend = Backend::echo_head();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client =
        upload_all(&ringway, &format!("Content-Length: {SIZE}\r\nTransfer-Encoding: chunked\r\n"));
    assert_eq!(client.read_response().status, 400);
}

#[test]
fn a_client_that_says_nothing_more_is_not_waited_for() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("max_body_bytes = 1000").start();
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nabc");
    assert_eq!(client.read_response().status, 413);
    // The end of Ringway's side comes at once, that of the connection two seconds later.
    client.expect_closed();
    std::thread::sleep(Duration::from_millis(2300));
    // The first of these finds out.
    let _ = client.try_send("x");
    crate::support::eventually("it is reset", || client.try_send("x").is_err());
}
