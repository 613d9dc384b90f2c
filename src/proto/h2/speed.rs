//! How long a small request and its response take a server's codec, with warm tables.
//!
//! `cargo test --release --lib h2::speed -- --ignored --nocapture`

use std::hint::black_box;
use std::time::Instant;

use crate::http::headers::Headers;
use crate::proto::h2::connection::Connection;
use crate::proto::h2::connection::Event;
use crate::proto::h2::settings::Local;
use crate::proto::h2::stream::StreamId;

const REQUEST: [(&[u8], &[u8]); 8] = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"www.example.com"),
    (b":path", b"/assets/images/logo.svg?v=20240512"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"accept", b"image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
];

const RESPONSE: [(&[u8], &[u8]); 5] = [
    (b":status", b"200"),
    (b"server", b"nginx"),
    (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
    (b"content-type", b"text/plain"),
    (b"content-length", b"128"),
];

/// Rounds of as many requests as may be open at a time.
const ROUNDS: usize = 2000;
const REQUESTS: usize = 100;

/// A client's bytes are made beforehand and answered by a server; the client's own work is measured apart.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock itself")]
fn small_requests() {
    let mut client = Connection::client(Local::default());
    let mut server = Connection::server(Local::default());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let (mut client_ns, mut server_ns) = (u128::MAX, u128::MAX);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..REQUESTS {
            client.open(black_box(REQUEST), true).unwrap();
        }
        client.poll_output(&mut up);
        let asked = start.elapsed();
        let start = Instant::now();
        serve(&mut server, &up);
        server.poll_output(&mut down);
        server_ns = server_ns.min(start.elapsed().as_nanos());
        let start = Instant::now();
        receive(&mut client, &down);
        client_ns = client_ns.min((asked + start.elapsed()).as_nanos());
        up.clear();
        down.clear();
    }
    let each = |ns: u128| ns as f64 / REQUESTS as f64;
    println!("server: {:.0} ns, client: {:.0} ns per request", each(server_ns), each(client_ns));
    println!("memory: {} and {} bytes", server.capacity(), client.capacity());
    println!("itself: {} bytes, each stream {}", size_of::<Connection>(), size_of::<super::stream::Stream>());
}

fn serve(server: &mut Connection, input: &[u8]) {
    let mut rest = input;
    loop {
        let received = server.handle_bytes(rest, 1);
        rest = rest.split_at(received.consumed).1;
        match received.event {
            None => return,
            Some(Event::Head { stream, .. }) => answer(server, stream),
            Some(_) => {}
        }
    }
}

fn answer(server: &mut Connection, stream: StreamId) {
    {
        let mut headers = Headers::new();
        black_box(server.request(&mut headers).head.method);
    }
    server.send_head(stream, black_box(RESPONSE), false).unwrap();
    server.send_content(stream, black_box(&[b'x'; 128]), true, 1).unwrap();
}

fn receive(client: &mut Connection, input: &[u8]) {
    let mut rest = input;
    loop {
        let received = client.handle_bytes(rest, 1);
        let (_, after) = rest.split_at(received.consumed);
        rest = after;
        match received.event {
            None => return,
            Some(Event::Head { .. }) => {
                let mut headers = Headers::new();
                black_box(client.response(&mut headers).status);
            }
            Some(Event::Content { stream, content, .. }) => {
                client.release(stream, content.len() as u32);
            }
            Some(_) => {}
        }
    }
}
