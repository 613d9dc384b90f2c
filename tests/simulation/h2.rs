//! HTTP/2 between two codecs, over a wire that cuts and delays.

use std::collections::BTreeMap;

use ringway::http::headers::Headers;
use ringway::proto::h2::connection::Connection;
use ringway::proto::h2::connection::Event;
use ringway::proto::h2::settings::Local;
use ringway::proto::h2::stream::StreamId;

const REQUESTS: usize = 12;
const RUNS: u64 = 20;

/// What one side of a stream has yet to send.
struct Outgoing {
    content: Vec<u8>,
    sent: usize,
}

/// One side with what lies on the wire before it.
struct Side {
    is_client: bool,
    codec: Connection,
    /// Bytes that the other side sent and that have not arrived.
    wire: Vec<u8>,
    /// Bytes that have arrived and were not consumed.
    received: Vec<u8>,
    outgoing: BTreeMap<u32, Outgoing>,
    content: BTreeMap<u32, Vec<u8>>,
    ended: Vec<u32>,
    /// Content that was received and is released later.
    unread: Vec<(StreamId, u32)>,
}

impl Side {
    fn new(is_client: bool, codec: Connection) -> Side {
        Side {
            is_client,
            codec,
            wire: Vec::new(),
            received: Vec::new(),
            outgoing: BTreeMap::new(),
            content: BTreeMap::new(),
            ended: Vec::new(),
            unread: Vec::new(),
        }
    }

    fn arrive(&mut self, bytes: usize, now: u64) {
        self.received.extend(self.wire.drain(..bytes.min(self.wire.len())));
        loop {
            let received = self.codec.handle_bytes(&self.received, now);
            let event = received.event;
            if let Some(event) = &event {
                self.take(event.clone());
            }
            self.received.drain(..received.consumed);
            if event.is_none() {
                break;
            }
        }
        assert!(self.received.len() < 512, "little waits for the rest of its frame");
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Head { stream, end } => self.answer(stream, end),
            Event::Content { stream, content, end } => {
                self.unread.push((stream, content.len() as u32));
                self.content.entry(stream.number()).or_default().extend(&self.received[content]);
                self.ended.extend(end.then(|| stream.number()));
            }
            Event::Trailers { stream } => {
                let name = self.codec.fields().iter().next().map(|decoded| decoded.name.to_vec());
                assert_eq!(name.as_deref(), Some(&b"checksum"[..]));
                self.ended.push(stream.number());
            }
            Event::Settings | Event::WindowOpened { .. } | Event::Interim { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    /// A server answers a request's head at once and sends content of its own.
    fn answer(&mut self, stream: StreamId, end: bool) {
        self.ended.extend(end.then(|| stream.number()));
        if self.is_client {
            let mut headers = Headers::new();
            assert_eq!(self.codec.response(&mut headers).status, 200);
            return;
        }
        let early: [(&[u8], &[u8]); 2] = [(b":status", b"103"), (b"link", b"</a>")];
        self.codec.send_interim(stream, early).expect("the stream is open");
        let head: [(&[u8], &[u8]); 2] = [(b":status", b"200"), (b"server", b"simulation")];
        self.codec.send_head(stream, head, false).expect("the stream is open");
        let content = content_of(stream.number(), 7919);
        self.outgoing.insert(stream.number(), Outgoing { content, sent: 0 });
    }

    /// Sends a piece of every stream that has window, and releases some of what was read.
    fn work(&mut self, piece: usize, now: u64) -> Vec<u8> {
        for (&number, outgoing) in &mut self.outgoing {
            let stream = StreamId::new(number).expect("no stream is 0");
            if !self.codec.is_sending(stream) {
                continue;
            }
            let rest = &outgoing.content[outgoing.sent..];
            let rest = &rest[..piece.min(rest.len())];
            outgoing.sent += self.codec.send_content(stream, rest, false, now).expect("the stream is open");
            if outgoing.sent == outgoing.content.len() {
                let trailers: [(&[u8], &[u8]); 1] = [(b"checksum", b"1")];
                self.codec.send_trailers(stream, trailers).expect("the stream is open");
            }
        }
        for (stream, bytes) in self.unread.drain(..self.unread.len().min(piece)) {
            self.codec.release(stream, bytes);
        }
        let mut out = Vec::new();
        self.codec.poll_output(&mut out);
        out
    }
}

/// Different on each stream, and some of it longer than any window.
fn content_of(number: u32, factor: u32) -> Vec<u8> {
    (0..number * factor).map(|at| (at % 251 + number) as u8).collect()
}

fn converse(seed: u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut below = |limit: usize| {
        // Marsaglia's xorshift64.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % limit
    };
    let local = Local { stall_timeout_ms: None, ..Local::default() };
    let (mut client, mut server) =
        (Side::new(true, Connection::client(local)), Side::new(false, Connection::server(local)));
    for turn in 0..200_000 {
        if client.outgoing.len() < REQUESTS && below(3) == 0 {
            let fields: [(&[u8], &[u8]); 5] = [
                (b":method", b"POST"),
                (b":scheme", b"https"),
                (b":path", b"/upload"),
                (b":authority", b"a.example"),
                (b"Content-Type", b"text/plain"),
            ];
            let number = client.codec.open(fields, false).expect("streams are few").number();
            client.outgoing.insert(number, Outgoing { content: content_of(number, 8009), sent: 0 });
        }
        let now = turn / 10;
        let piece = 1 + below(40_000);
        server.wire.extend(client.work(piece, now));
        client.wire.extend(server.work(piece, now));
        let cut = if below(4) == 0 { below(20) } else { below(60_000) };
        server.arrive(cut, now);
        client.arrive(below(60_000), now);
        if client.ended.len() == REQUESTS && server.ended.len() == REQUESTS {
            break;
        }
    }
    for (number, outgoing) in &client.outgoing {
        assert!(server.content[number] == outgoing.content, "seed {seed}: upload of {number}");
        assert!(client.content[number] == content_of(*number, 7919), "seed {seed}: download of {number}");
    }
    assert_eq!((client.ended.len(), server.ended.len()), (REQUESTS, REQUESTS), "seed {seed}");
    assert_eq!((client.codec.open_streams(), server.codec.open_streams()), (0, 0), "seed {seed}");
}

#[test]
fn both_ways_at_once_over_a_bad_wire() {
    for seed in 1..=RUNS {
        converse(seed);
    }
}

/// A client that uploads on one stream to a server that reads at once; both have said their settings.
fn uploading() -> (Side, Side, StreamId) {
    let local = Local { stall_timeout_ms: None, ..Local::default() };
    let (mut client, mut server) =
        (Side::new(true, Connection::client(local)), Side::new(false, Connection::server(local)));
    let head: [(&[u8], &[u8]); 4] =
        [(b":method", b"PUT"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a")];
    let stream = client.codec.open(head, false).expect("nothing is open");
    for _ in 0..3 {
        server.wire.extend(client.work(0, 0));
        client.wire.extend(server.work(0, 0));
        server.arrive(usize::MAX, 0);
        client.arrive(usize::MAX, 0);
    }
    (client, server, stream)
}

/// On a path with a round trip of 200 ms, the first window alone would take 64 round trips for 4 MiB.
#[test]
fn a_window_grows_on_a_long_path() {
    let (mut client, mut server, stream) = uploading();
    let (content, mut sent) = (vec![7; 4 << 20], 0);
    let mut round_trips = 0;
    while sent < content.len() {
        round_trips += 1;
        let now = round_trips * 200;
        sent += client.codec.send_content(stream, &content[sent..], true, now).expect("the stream is open");
        server.wire.extend(client.work(0, now));
        server.arrive(usize::MAX, now);
        client.wire.extend(server.work(usize::MAX, now));
        client.arrive(usize::MAX, now);
    }
    assert!(server.content[&stream.number()] == content);
    assert!(round_trips < 25, "{round_trips} round trips");
}

/// A stream that nobody reads takes its own window and leaves the rest to the others.
#[test]
fn a_slow_reader_stops_its_own_stream_only() {
    let (mut client, mut server, slow) = uploading();
    assert_eq!(client.codec.send_content(slow, &[1; 100_000], false, 0), Ok(65_535));
    let head: [(&[u8], &[u8]); 4] =
        [(b":method", b"PUT"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a")];
    let fast = client.codec.open(head, false).expect("streams are few");
    let mut sent = 0;
    for now in 1..400 {
        sent += client.codec.send_content(fast, &[2; 30_000], false, now).expect("the stream is open");
        server.wire.extend(client.work(0, now));
        server.arrive(usize::MAX, now);
        server.unread.retain(|(stream, _)| *stream != slow);
        client.wire.extend(server.work(usize::MAX, now));
        client.arrive(usize::MAX, now);
    }
    assert!(sent > 10_000_000, "{sent}");
    assert_eq!(server.content[&slow.number()].len(), 65_535);
}

/// An idle connection gives its memory back and goes on.
#[test]
fn idle_connections_are_small() {
    let (mut client, mut server, stream) = uploading();
    client.codec.send_content(stream, b"a", true, 0).expect("the stream is open");
    for _ in 0..3 {
        server.wire.extend(client.work(usize::MAX, 1));
        client.wire.extend(server.work(usize::MAX, 1));
        server.arrive(usize::MAX, 1);
        client.arrive(usize::MAX, 1);
        for side in [&mut client, &mut server] {
            side.codec.release_memory();
            let bytes = side.codec.capacity() + size_of::<Connection>();
            assert!(bytes < 8 * 1024 || side.codec.open_streams() > 0, "{bytes}");
        }
    }
    assert_eq!(client.content[&stream.number()], content_of(stream.number(), 7919));
    let head: [(&[u8], &[u8]); 4] =
        [(b":method", b"PUT"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a")];
    let next = client.codec.open(head, true).expect("nothing is open");
    server.wire.extend(client.work(0, 2));
    server.arrive(usize::MAX, 2);
    assert!(server.ended.contains(&next.number()));
}
