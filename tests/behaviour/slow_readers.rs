//! A peer that reads slowly but steadily is not stalled: progress is what it acknowledged.

use crate::support::h2::INITIAL_WINDOW_SIZE;
use crate::support::{Backend, Client, Http2, PATIENCE, Scenario, now};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// More than all buffers on the way hold.
const SIZE: usize = 24 << 20;
/// How long a peer reads slowly: several times the timeout of a second.
const SLOW: Duration = Duration::from_millis(2500);
const LARGEST_WINDOW: u32 = 0x7fff_ffff;

/// Reads so little at a time that a third of a send buffer takes longer than the timeout to drain, and after `SLOW`
/// the rest. Gives the number of bytes.
fn read_slowly(stream: &mut impl Read) -> io::Result<usize> {
    let (start, mut total) = (now(), 0);
    let mut piece = vec![0; 1 << 20];
    while total < SIZE {
        let is_slow = start.elapsed() < SLOW;
        let count = stream.read(&mut piece[..if is_slow { 8 << 10 } else { 1 << 20 }])?;
        if count == 0 {
            break;
        }
        total += count;
        if is_slow {
            std::thread::sleep(Duration::from_millis(40));
        }
    }
    Ok(total)
}

/// Reads what is left: closing with bytes unread would reset the connection, and the answer could get lost.
fn read_rest(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut piece = vec![0; 1 << 20];
    // It ends, or nothing more comes.
    while stream.read(&mut piece).is_ok_and(|count| count > 0) {}
    Ok(())
}

/// Sends a long answer, or opens a tunnel and sends as much through it.
fn generous() -> Backend {
    Backend::script(|peer| {
        let Some(head) = peer.read_head()? else { return Ok(()) };
        peer.write(match head.field("upgrade") {
            Some(_) => b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n",
            None => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        })?;
        let piece = vec![b'x'; 1 << 20];
        let chunk = [b"100000\r\n", &piece[..], b"\r\n"].concat();
        let bytes = if head.field("upgrade").is_some() { piece } else { chunk };
        // One more than is read.
        (0..=SIZE >> 20).try_for_each(|_| peer.write(&bytes))?;
        peer.read_some().map(drop)
    })
}

#[test]
fn a_client_that_takes_a_response_slowly_gets_all_of_it() {
    let backend = generous();
    let ringway = Scenario::of(&backend).listener("client_body_timeout = \"1s\"").start();
    for upgrade in ["", "Connection: upgrade\r\nUpgrade: tcp\r\n"] {
        let mut client = Client::connect(ringway.address());
        client.stream().set_read_timeout(Some(PATIENCE)).expect("it can be set");
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n"));
        let taken = read_slowly(&mut client.wire()).expect("bytes arrive");
        assert!(taken >= SIZE, "{upgrade}: {taken} of {SIZE}");
    }
}

#[test]
fn a_client_of_http2_that_takes_a_response_slowly_gets_all_of_it() {
    let backend = generous();
    let ringway = Scenario::of(&backend).secured().listener("client_body_timeout = \"1s\"").start();
    let mut end = Http2::connect_with(ringway.address(), &[(INITIAL_WINDOW_SIZE, LARGEST_WINDOW)]);
    end.settle();
    end.open_window(0, LARGEST_WINDOW - 65_535).expect("it is taken");
    end.request("GET", "/", &[], true);
    let taken = read_slowly(&mut end.wire().clone()).expect("bytes arrive");
    assert!(taken >= SIZE, "{taken} of {SIZE}");
}

#[test]
fn a_backend_that_takes_a_request_slowly_gets_all_of_it() {
    let backend = Backend::script(|peer| {
        peer.read_head()?;
        let mut stream = peer.stream().try_clone()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        assert!(read_slowly(&mut stream)? >= SIZE);
        peer.respond("200 OK", b"ok")?;
        read_rest(&mut stream)
    });
    let ringway = Scenario::of(&backend).group("response_timeout = \"1s\"").start();
    let mut client = Client::connect(ringway.address());
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", SIZE + (1 << 20)));
    let mut sending = client.wire();
    let piece = vec![b'x'; 1 << 20];
    (0..=SIZE >> 20).for_each(|_| sending.write_all(&piece).expect("it is taken"));
    assert_eq!(client.read_response().text(), "ok");
}

#[test]
fn a_backend_of_http2_that_takes_a_request_slowly_gets_all_of_it() {
    let backend = Backend::script(|peer| {
        let mut end = peer.http2(&[(INITIAL_WINDOW_SIZE, LARGEST_WINDOW)])?;
        end.open_window(0, LARGEST_WINDOW - 65_535)?;
        let Some(stream) = end.next_request()? else { return Ok(()) };
        let mut wire = peer.stream().try_clone()?;
        wire.set_read_timeout(Some(PATIENCE))?;
        assert!(read_slowly(&mut wire)? >= SIZE);
        // Frames were skipped, so that only this much can be said.
        end.respond(stream, "200", b"ok")?;
        read_rest(&mut wire)
    });
    let ringway = Scenario::of(&backend).group_protocol("h2c").group("response_timeout = \"1s\"").start();
    let mut client = Client::connect(ringway.address());
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", SIZE + (1 << 20)));
    let mut sending = client.wire();
    let piece = vec![b'x'; 1 << 20];
    (0..=SIZE >> 20).for_each(|_| sending.write_all(&piece).expect("it is taken"));
    assert_eq!(client.read_response().text(), "ok");
}

/// Reading some and then nothing is no progress.
#[test]
fn a_client_that_stops_reading_is_let_go() {
    let backend = generous();
    let ringway = Scenario::of(&backend).listener("client_body_timeout = \"1s\"").start();
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_exactly(1 << 20);
    let start = now();
    crate::support::eventually("the backend is let go", || backend.open_connections() == 0);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}
