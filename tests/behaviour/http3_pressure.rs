//! Streams of HTTP/3 that stand still cost little, and the others go on.

use crate::support::{BackendVersion, Exchange, Http3, PATIENCE, Pair, Ringway, Version, eventually, now};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const SIZE: usize = 24 << 20;
/// What a backend's connection, Ringway and the client's windows may hold.
const MAX_UNDERWAY: usize = 12 << 20;
/// Buffers, windows, and what the allocator makes of them.
const MAX_GROWTH_KIB: usize = 6 * 1024;

fn pairs() -> impl Iterator<Item = Pair> {
    Pair::ALL.into_iter().filter(|pair| pair.client == Version::Http3)
}

fn memory(ringway: &Ringway, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ringway.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Answers `/small` at once; of everything else, counts what it could write.
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

#[test]
fn a_stream_that_is_not_read_stops_its_backend_and_no_other_stream() {
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let pair = Pair { client: Version::Http3, backend: BackendVersion::Http1 };
    let backend = pair.backend(move |exchange| download(exchange, &counted));
    let ringway = pair.start(&backend);
    let mut client = Http3::with_windows(ringway.address(), 64 << 10, 8 << 20);
    assert_eq!(client.get("/small").text(), "small");
    let before = memory(&ringway, "VmRSS");
    let held: Vec<u64> = (0..4).map(|_| client.request("GET", "/", &[], true)).collect();
    held.iter().for_each(|stream| client.hold(*stream));
    for _ in 0..20 {
        assert_eq!(client.get("/small").text(), "small");
    }
    let underway = settled(&written);
    assert!(underway < 4 * MAX_UNDERWAY, "{underway} bytes were written");
    let growth = memory(&ringway, "VmHWM").saturating_sub(before);
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB");
    assert_eq!(client.get("/small").text(), "small");
    client.read_some(held[0], 1 << 30).expect("it can be read");
    let stalled = client.stream(held[0]).body.len();
    assert!(stalled > 60_000 && stalled <= 64 << 10, "{stalled}: the window is used and not more");
    client.release(held[0]);
    assert_eq!(client.response(held[0]).body.len(), SIZE);
}

/// With the window of the connection used up, nothing goes on, and everything does as soon as something is read.
#[test]
fn a_connection_that_is_not_read_stops_its_backends() {
    for pair in pairs() {
        let written = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&written);
        let backend = pair.backend(move |exchange| download(exchange, &counted));
        let ringway = pair.start(&backend);
        let mut client = Http3::with_windows(ringway.address(), 1 << 30, 1 << 20);
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
        // One after the other is how this backend of HTTP/2 serves.
        if pair.backend == BackendVersion::Http2 {
            continue;
        }
        let backend = pair.backend(|exchange| download(exchange, &AtomicUsize::new(0)));
        let ringway = pair.start(&backend);
        let mut client = Http3::connect(ringway.address());
        let long = client.request("GET", "/", &[], true);
        let arrived = client.receive_until(|end| (end.stream(long).body.len() > 1 << 20).then_some(()));
        assert!(matches!(arrived, Ok(Some(()))), "{arrived:?}");
        for _ in 0..3 {
            let before = client.stream(long).body.len();
            let start = now();
            assert_eq!(client.get("/small").text(), "small");
            let waited = client.stream(long).body.len() - before;
            assert!(waited < 6 << 20, "{pair:?}: behind {waited} bytes, {:?}", start.elapsed());
        }
        assert_eq!(client.response(long).body.len(), SIZE);
    }
}

#[test]
fn an_upload_that_nobody_reads_stands_still_and_no_other_does() {
    let released = Arc::new(AtomicBool::new(false));
    let is_released = Arc::clone(&released);
    let pair = Pair { client: Version::Http3, backend: BackendVersion::Http1 };
    let backend = pair.backend(move |exchange| {
        if exchange.path() == "/slow" {
            eventually("it is released", || is_released.load(Ordering::SeqCst));
        }
        let length = exchange.read_all()?.len();
        exchange.respond(200, length.to_string().as_bytes())
    });
    let ringway = pair.start(&backend);
    let mut client = Http3::connect(ringway.address());
    assert_eq!(client.get("/small").text(), "0");
    let before = memory(&ringway, "VmRSS");
    let slow = client.request("POST", "/slow", &[("content-length", &SIZE.to_string())], false);
    let content = crate::support::h3_frames::frame(0, &vec![b'x'; SIZE]);
    let mut sent = 0;
    loop {
        let more = client.try_send(slow, &content[sent..]).expect("it is taken");
        sent += more;
        client.receive_within(Duration::from_millis(if more == 0 { 300 } else { 5 })).expect("it is open");
        if more == 0 && client.try_send(slow, &content[sent..sent + 1]).expect("it is taken") == 0 {
            break;
        }
        if more == 0 {
            sent += 1;
        }
    }
    assert!(sent < MAX_UNDERWAY, "{sent} bytes were taken");
    let growth = memory(&ringway, "VmHWM").saturating_sub(before);
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB");
    assert_eq!(client.post("/quick", &content[..200_000]).text(), "200000");
    released.store(true, Ordering::SeqCst);
    client.send(slow, &content[sent..]).expect("it is taken");
    client.finish(slow).expect("it can be");
    assert_eq!(client.response(slow).text(), SIZE.to_string());
}

/// A client that takes nothing of a response for `client_body_timeout` loses it, and nothing else.
#[test]
fn a_client_that_takes_nothing_is_not_waited_for_without_end() {
    let pair = Pair { client: Version::Http3, backend: BackendVersion::Http1 };
    let backend = pair.backend(|exchange| download(exchange, &AtomicUsize::new(0)));
    let scenario = pair.scenario(&backend).listener("client_body_timeout = \"1s\"").logged("json");
    let ringway = scenario.start();
    let mut client = Http3::with_windows(ringway.address(), 64 << 10, 8 << 20);
    let held = client.request("GET", "/", &[], true);
    client.hold(held);
    let start = now();
    eventually("the log tells it", || {
        client.receive_within(Duration::from_millis(50)).expect("it is open");
        crate::support::log_lines(&ringway, 0).iter().any(|line| line.contains("client_stalled"))
    });
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    assert_eq!(client.get("/small").text(), "small");
    client.release(held);
    assert!(client.message(held).is_err());
}
