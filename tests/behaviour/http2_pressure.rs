//! Streams that stand still cost nothing, and the others go on.

use crate::support::h2::INITIAL_WINDOW_SIZE;
use crate::support::{
    Backend, BackendVersion, EitherClient, Exchange, Http2, PATIENCE, Pair, Ringway, Scenario, Version,
    eventually, now,
};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const SIZE: usize = 64 << 20;
/// What the kernel's buffers of both connections may hold.
const MAX_UNDERWAY: usize = 24 << 20;
/// Buffers, windows, and what the allocator makes of them.
const MAX_GROWTH_KIB: usize = 4096;

fn pairs() -> impl Iterator<Item = Pair> {
    Pair::ALL.into_iter().filter(|pair| pair.client == Version::Http2)
}

fn memory(ringway: &Ringway, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ringway.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Answers `/small` at once; of everything else, counts what it could write.
fn counting(pair: Pair, written: Arc<AtomicUsize>) -> Backend {
    match pair.backend {
        BackendVersion::Http1 => pair.backend(move |exchange| download(exchange, &written)),
        BackendVersion::Http2 => Backend::http2(move |end| downloads(end, &written)),
    }
}

fn download(exchange: &mut dyn Exchange, written: &AtomicUsize) -> io::Result<()> {
    if exchange.path() == "/small" {
        return exchange.respond(200, b"small");
    }
    exchange.head(200, &[], Some(SIZE))?;
    for _ in 0..SIZE >> 16 {
        exchange.write(&[b'x'; 1 << 16])?;
        written.fetch_add(1 << 16, Ordering::SeqCst);
    }
    exchange.end(&[])
}

/// Several streams at a time: each gets what its window allows.
fn downloads(end: &mut Http2, written: &AtomicUsize) -> io::Result<()> {
    let piece = [b'x'; 1 << 16];
    let mut left: Vec<(u32, usize)> = Vec::new();
    loop {
        for stream in end.take_new_streams() {
            if end.stream(stream).field(":path") == Some("/small") {
                end.respond(stream, "200", b"small")?;
                continue;
            }
            end.send_fields(stream, &[(":status", "200"), ("content-length", &SIZE.to_string())], false)?;
            left.push((stream, SIZE));
        }
        let mut progress = 0;
        for (stream, left) in &mut left {
            let next = (*left).min(piece.len());
            let sent = end.try_send_content(*stream, &piece[..next], next == *left)?;
            *left -= sent;
            progress += sent;
        }
        written.fetch_add(progress, Ordering::SeqCst);
        left.retain(|(_, left)| *left > 0);
        if progress == 0 && end.receive()?.is_none() {
            return Ok(());
        }
    }
}

/// Waits until nothing was written for a while.
fn settled(written: &AtomicUsize) -> usize {
    let mut last = usize::MAX;
    eventually("the backend stops writing", || {
        std::thread::sleep(Duration::from_millis(150));
        let now = written.load(Ordering::SeqCst);
        std::mem::replace(&mut last, now) == now && now > 0
    });
    last
}

fn http2(client: EitherClient) -> Http2 {
    match client {
        EitherClient::Http2(end) => *end,
        EitherClient::Http1(_) | EitherClient::Http3(_) => panic!("the pair's client speaks HTTP/2"),
    }
}

#[test]
fn a_stream_that_is_not_read_stops_its_backend_and_no_other_stream() {
    for pair in pairs() {
        let written = Arc::new(AtomicUsize::new(0));
        let backend = counting(pair, written.clone());
        let ringway = pair.start(&backend);
        let mut client = http2(pair.connect(ringway.address()));
        assert_eq!(client.get("/small").text(), "small");
        let before = memory(&ringway, "VmRSS");
        let held: Vec<u32> = (0..4).map(|_| client.request("GET", "/", &[], true)).collect();
        held.iter().for_each(|stream| client.hold(*stream));
        for _ in 0..20 {
            assert_eq!(client.get("/small").text(), "small");
        }
        let underway = settled(&written);
        assert!(underway < 4 * MAX_UNDERWAY, "{pair:?}: {underway} bytes were written");
        let growth = memory(&ringway, "VmHWM").saturating_sub(before);
        assert!(growth < MAX_GROWTH_KIB, "{pair:?}: {growth} KiB");
        assert_eq!(client.get("/small").text(), "small");
        let stalled = client.stream(held[0]).body.len();
        assert_eq!(stalled, 65_535, "{pair:?}: the window is used and not more");
        client.open_window(held[0], SIZE as u32).expect("it is taken");
        assert_eq!(client.response(held[0]).body.len(), SIZE);
    }
}

#[test]
fn a_connection_that_is_not_read_stops_its_backend() {
    for pair in pairs() {
        let written = Arc::new(AtomicUsize::new(0));
        let backend = counting(pair, written.clone());
        let ringway = pair.start(&backend);
        let wire_settings = [(INITIAL_WINDOW_SIZE, 1 << 30)];
        let mut client = Http2::connect_with(ringway.address(), &wire_settings);
        client.open_window(0, 1 << 30).expect("it is taken");
        assert_eq!(client.get("/small").text(), "small");
        let before = memory(&ringway, "VmRSS");
        let stream = client.request("GET", "/", &[], true);
        let underway = settled(&written);
        assert!(underway < MAX_UNDERWAY, "{pair:?}: {underway} bytes were written");
        let growth = memory(&ringway, "VmHWM").saturating_sub(before);
        assert!(growth < MAX_GROWTH_KIB, "{pair:?}: {growth} KiB");
        assert_eq!(client.response(stream).body.len(), SIZE);
    }
}

#[test]
fn a_long_download_does_not_delay_what_is_small() {
    for pair in pairs() {
        let backend = counting(pair, Arc::default());
        let ringway = pair.start(&backend);
        let mut client = Http2::connect_with(ringway.address(), &[(INITIAL_WINDOW_SIZE, 1 << 30)]);
        client.open_window(0, 1 << 30).expect("it is taken");
        let long = client.request("GET", "/", &[], true);
        client
            .receive_until(|end| (end.stream(long).body.len() > 1 << 20).then_some(()))
            .expect("bytes arrive");
        for _ in 0..3 {
            let before = client.stream(long).body.len();
            let start = now();
            assert_eq!(client.get("/small").text(), "small");
            // The kernel's buffers stand between the two.
            let waited = client.stream(long).body.len() - before;
            assert!(waited < 12 << 20, "{pair:?}: behind {waited} bytes, {:?}", start.elapsed());
        }
        assert!(!client.stream(long).ended, "{pair:?}: the download should outlive them");
    }
}

/// Answers with the length of what it got; reads `/slow` once `/release` was asked for.
fn reading_late(pair: Pair) -> Backend {
    if pair.backend == BackendVersion::Http2 {
        return Backend::http2(read_late);
    }
    let released = AtomicBool::new(false);
    pair.backend(move |exchange| {
        match exchange.path().as_str() {
            "/release" => released.store(true, Ordering::SeqCst),
            "/slow" => eventually("it is released", || released.load(Ordering::SeqCst)),
            _ => {}
        }
        let length = exchange.read_all()?.len();
        exchange.respond(200, length.to_string().as_bytes())
    })
}

fn read_late(end: &mut Http2) -> io::Result<()> {
    let (mut slow, mut waiting) = (0, Vec::new());
    loop {
        for stream in end.take_new_streams() {
            match end.stream(stream).field(":path") {
                Some("/slow") => {
                    end.hold(stream);
                    slow = stream;
                }
                Some("/release") => end.open_window(slow, SIZE as u32)?,
                _ => {}
            }
            waiting.push(stream);
        }
        let ended: Vec<u32> = waiting.extract_if(.., |stream| end.stream(*stream).ended).collect();
        for stream in ended {
            let length = end.stream(stream).body.len();
            end.respond(stream, "200", length.to_string().as_bytes())?;
        }
        if end.receive()?.is_none() {
            return Ok(());
        }
    }
}

#[test]
fn an_upload_that_nobody_reads_stands_still_and_no_other_does() {
    for pair in pairs() {
        let backend = reading_late(pair);
        let ringway = pair.start(&backend);
        let mut client = http2(pair.connect(ringway.address()));
        assert_eq!(client.get("/small").text(), "0");
        let before = memory(&ringway, "VmRSS");
        let slow = client.request("POST", "/slow", &[("content-length", &SIZE.to_string())], false);
        let content = vec![b'x'; SIZE];
        let mut sent = 0;
        loop {
            sent += client.try_send_content(slow, &content[sent..], true).expect("it is taken");
            if client.receive_within(Duration::from_millis(300)).expect("it is open").is_none() {
                break;
            }
        }
        assert!(sent < MAX_UNDERWAY, "{pair:?}: {sent} bytes were taken");
        let growth = memory(&ringway, "VmHWM").saturating_sub(before);
        assert!(growth < MAX_GROWTH_KIB, "{pair:?}: {growth} KiB");
        assert_eq!(client.post("/quick", &content[..200_000]).text(), "200000");
        assert_eq!(client.get("/release").status, 200);
        client.send_content(slow, &content[sent..], true).expect("it is taken");
        assert_eq!(client.response(slow).text(), SIZE.to_string());
    }
}

/// Content that no backend takes does not use up what the others may send.
#[test]
fn uploads_that_stand_still_leave_room_for_the_others() {
    let backend = Backend::script(|peer| {
        while let Some(head) = peer.read_head()? {
            if head.start_line.starts_with("GET") {
                // It takes the request for a tunnel and never switches.
                while !peer.read_some()?.is_empty() {}
                return Ok(());
            }
            let length = peer.read_body(&head)?.len();
            peer.respond("200 OK", length.to_string().as_bytes())?;
        }
        Ok(())
    });
    for scenario in [Scenario::of(&backend).secured(), Scenario::of(&backend).prior_knowledge()] {
        let ringway = scenario.start();
        let mut client = Http2::connect(ringway.address());
        client.settle();
        for _ in 0..40 {
            let stream = client.connect_protocol("websocket", "/", &[("sec-websocket-version", "13")]);
            let mut sent = 0;
            while sent < 65_535 {
                let more = client.try_send_content(stream, &vec![b'x'; 65_535 - sent], false);
                sent += more.expect("it is taken");
                if sent < 65_535 {
                    client.receive_within(PATIENCE).expect("it is open").expect("a window opens");
                }
            }
        }
        let content = vec![b'x'; 300_000];
        assert_eq!(client.post("/small", &content).text(), "300000");
        assert_eq!(client.go_away, None);
    }
}
