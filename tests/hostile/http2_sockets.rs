//! Floods, stalls and bombs of HTTP/2 over real connections: the one that does it ends with GOAWAY and a reason
//! in the log, memory stays bounded, and who shares the worker is served all the while.

use crate::http2_end::{
    CONTINUATION, DATA, END, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, SETTINGS, frame, setting,
    window_update,
};
use crate::support::h2::INITIAL_WINDOW_SIZE;
use crate::support::{Backend, Http2, PATIENCE, Ringway, Scenario, Wire, log_lines, now};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const NO_ERROR: u32 = 0;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;
/// What an attacker may cost: buffers, tables and windows of one connection, and what the allocator makes of them.
const MAX_GROWTH_KIB: usize = 6 * 1024;
/// On a busy machine, without optimization.
const MAX_DELAY: Duration = Duration::from_millis(1500);

/// A Ringway with one worker, which an honest client asks again and again.
struct Scene {
    ringway: Ringway,
    before_kib: usize,
    stop: Arc<AtomicBool>,
    bystander: Option<JoinHandle<Duration>>,
    /// Dropped last.
    _backend: Backend,
}

impl Scene {
    fn new() -> Scene {
        let backend = Backend::per_request(|peer, head, _| {
            let size = if head.start_line.contains("/long") { 1 << 20 } else { 10 };
            peer.respond("200 OK", &vec![b'x'; size])
        });
        let scenario = Scenario::of(&backend).secured().logged("json");
        let ringway = scenario.listener("client_body_timeout = \"2s\"").start();
        let address = ringway.address();
        // The stocks of the worker are filled once.
        let mut warm: Vec<Http2> = (0..4).map(|_| Http2::connect(address)).collect();
        warm.iter_mut().for_each(|client| drop(client.get("/long")));
        drop(warm);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let bystander = std::thread::spawn(move || {
            let mut client = Http2::connect(address);
            let mut slowest = Duration::ZERO;
            while !stopped.load(Ordering::SeqCst) {
                let start = now();
                assert_eq!(client.get("/").status, 200);
                slowest = slowest.max(start.elapsed());
                std::thread::sleep(Duration::from_millis(2));
            }
            slowest
        });
        let before_kib = memory_kib(&ringway, "VmRSS");
        Scene { ringway, before_kib, stop, bystander: Some(bystander), _backend: backend }
    }

    fn attacker(&self) -> Http2 {
        let mut client = Http2::connect(self.ringway.address());
        client.settle();
        client
    }

    /// The attack ends with ENHANCE_YOUR_CALM and this reason.
    fn calms(&self, reason: &str, attack: impl FnMut(&mut Http2) -> io::Result<()>) {
        let mut client = self.attacker();
        let code = ends(&mut client, 5000, attack);
        assert_eq!(code, Some(ENHANCE_YOUR_CALM), "{reason}");
        self.has_logged(reason);
    }

    /// Fails unless the honest client was served in time and little memory was taken.
    fn assert_open(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let bystander = self.bystander.take().expect("it runs");
        let slowest = bystander.join().expect("an honest client is served throughout");
        assert!(slowest < MAX_DELAY, "{slowest:?}");
        let growth = memory_kib(&self.ringway, "VmHWM").saturating_sub(self.before_kib);
        assert!(growth < MAX_GROWTH_KIB, "{growth} KiB");
        assert_eq!(self.attacker().get("/").status, 200);
    }

    /// The fault of a connection is in the log by this name.
    fn has_logged(&self, reason: &str) {
        let is_there = crate::support::within(PATIENCE, || {
            log_lines(&self.ringway, 1).iter().any(|line| line.contains(reason)).then_some(())
        });
        assert!(is_there.is_some(), "{reason} is not in the log");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn memory_kib(ringway: &Ringway, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ringway.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Attacks until the connection ends or `most` rounds are over, and gives the code of the GOAWAY.
fn ends(
    client: &mut Http2,
    most: usize,
    mut attack: impl FnMut(&mut Http2) -> io::Result<()>,
) -> Option<u32> {
    for round in 0..most {
        let is_sent = attack(client).is_ok();
        let listens = round % 16 == 15 || !is_sent;
        while listens && client.go_away.is_none() {
            match client.receive_within(Duration::from_millis(1)) {
                Ok(Some(_)) => {}
                Ok(None) if is_sent => break,
                _ => return client.go_away.map(|(_, code)| code),
            }
        }
        if client.go_away.is_some() {
            break;
        }
    }
    client.receive_to_end();
    client.go_away.map(|(_, code)| code)
}

fn ask(client: &mut Http2) -> io::Result<u32> {
    client.try_request("GET", "/", &[], true)
}

/// CVE-2023-44487.
#[test]
fn rapid_resets() {
    let scene = Scene::new();
    scene.calms("h2_reset_flood", |client| {
        let stream = ask(client)?;
        client.reset(stream, CANCEL)
    });
    scene.assert_open();
}

/// CVE-2025-8671: ways to make the server reset a stream.
#[test]
fn provoked_resets() {
    let scene = Scene::new();
    let provocations: [fn(u32) -> Vec<u8>; 4] = [
        |stream| window_update(stream, 0),
        |stream| frame(DATA, 0, stream, b"behind the end"),
        |stream| window_update(stream, (1 << 31) - 1),
        |stream| frame(PRIORITY, 0, stream, b"shrt"),
    ];
    for provoke in provocations {
        scene.calms("h2_reset_flood", |client| {
            let stream = client.try_request("GET", "/long", &[], true)?;
            client.send(&provoke(stream))
        });
    }
    scene.calms("h2_reset_flood", |client| {
        let stream = client.try_request("POST", "/", &[("content-length", "2")], false)?;
        client.send(&frame(DATA, END_STREAM, stream, b"1"))
    });
    scene.calms("h2_reset_flood", |client| {
        client.try_request("GET", "/", &[("connection", "close")], true).map(drop)
    });
    scene.assert_open();
}

#[test]
fn header_blocks_without_end() {
    let scene = Scene::new();
    scene.calms("h2_header_block", endless_block(vec![0; 16_000]));
    scene.calms("h2_continuation_flood", endless_block(Vec::new()));
    scene.calms("h2_continuation_flood", endless_block(vec![0]));
    scene.assert_open();
}

/// HEADERS, and then CONTINUATION with this payload for ever.
fn endless_block(payload: Vec<u8>) -> impl FnMut(&mut Http2) -> io::Result<()> {
    let mut has_begun = false;
    move |client| {
        if !std::mem::replace(&mut has_begun, true) {
            let stream = client.next_id();
            client.send(&frame(HEADERS, 0, stream, &[0x82, 0x87, 0x84]))?;
        }
        client.send(&frame(CONTINUATION, 0, 1, &payload))
    }
}

#[test]
fn frames_that_cost_their_sender_nothing() {
    let scene = Scene::new();
    scene.calms("h2_settings_flood", |client| client.send(&setting(4, 1)));
    scene.calms("h2_ping_flood", |client| client.send(&frame(PING, 0, 0, &[0; 8])));
    scene.calms("h2_window_update_flood", |client| client.send(&window_update(0, 1)));
    scene.calms("h2_priority_flood", |client| client.send(&frame(PRIORITY, 0, 9, &[0; 5])));
    scene.calms("h2_useless_frame_flood", |client| client.send(&frame(0xbe, 0, 0, b"")));
    scene.calms("h2_useless_frame_flood", |client| client.send(&frame(SETTINGS, 1, 0, b"")));
    let mut stream = 0;
    scene.calms("h2_empty_data_flood", |client| {
        if stream == 0 {
            stream = client.try_request("POST", "/", &[], false)?;
        }
        client.send(&frame(DATA, 0, stream, b""))
    });
    scene.assert_open();
}

/// Answers that nobody reads do not pile up: the flood stands still instead.
#[test]
fn a_flood_that_does_not_read_its_answers() {
    let scene = Scene::new();
    let mut client = scene.attacker();
    client.wire().tcp().set_write_timeout(Some(Duration::from_millis(500))).expect("it can");
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(1000);
    let mut sent = 0;
    while sent < 64 << 20 && client.send(&pings).is_ok() {
        sent += pings.len();
    }
    assert!(sent < 64 << 20, "the flood is taken without end");
    scene.assert_open();
}

/// CVE-2026-49975: a field that fills the table, and references to it of one byte each. The window is shut, so that
/// no answer leaves.
#[test]
fn header_bombs_with_a_shut_window() {
    let scene = Scene::new();
    let mut client = Http2::connect_with(scene.ringway.address(), &[(INITIAL_WINDOW_SIZE, 0)]);
    let head = [&[0x82, 0x87, 0x84, 0x01, 12][..], b"test.example"].concat();
    let large = [&head[..], &[0x40, 1, b'x', 127, 0xf9, 0x11], &[b'y'; 2424]].concat();
    let first = client.next_id();
    client.send(&frame(HEADERS, END, first, &large)).expect("it is taken");
    let bomb = [&head[..], &[0xbe; 12_000]].concat();
    for _ in 0..300 {
        let stream = client.next_id();
        if client.send(&frame(HEADERS, END, stream, &bomb)).is_err() {
            break;
        }
        while let Ok(Some(_)) = client.receive_within(Duration::from_millis(1)) {}
    }
    scene.assert_open();
}

/// Answers that wait for a window hold little and not for ever.
#[test]
fn windows_that_stay_shut() {
    let scene = Scene::new();
    let mut clients: Vec<Http2> =
        (0..4).map(|_| Http2::connect_with(scene.ringway.address(), &[(INITIAL_WINDOW_SIZE, 0)])).collect();
    for client in &mut clients {
        for _ in 0..50 {
            client.request("GET", "/long", &[], true);
        }
    }
    let start = now();
    for client in &mut clients {
        let is_over = client.receive_until(|end| {
            (1..100).step_by(2).all(|stream| end.stream(stream).reset.is_some()).then_some(())
        });
        assert!(is_over.is_ok_and(|over| over.is_some()) || client.go_away.is_some(), "stalled streams end");
    }
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    scene.assert_open();
}

/// A window that opens byte by byte would make a frame for each of them.
#[test]
fn windows_that_open_by_bytes() {
    let scene = Scene::new();
    let mut client = Http2::connect_with(scene.ringway.address(), &[(INITIAL_WINDOW_SIZE, 1)]);
    let stream = client.request("GET", "/long", &[], true);
    let code = ends(&mut client, 5000, |client| client.open_window(stream, 1));
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    assert!(client.stream(stream).body.len() < 1000);
    scene.has_logged("h2_window_update_flood");
    scene.assert_open();
}

#[test]
fn windows_that_open_slowly() {
    let scene = Scene::new();
    let mut client = Http2::connect_with(scene.ringway.address(), &[(INITIAL_WINDOW_SIZE, 0)]);
    let stream = client.request("GET", "/long", &[], true);
    let start = now();
    let ended = loop {
        let _ = client.open_window(stream, 1);
        if client.receive_within(Duration::from_millis(50)).is_err() || client.stream(stream).reset.is_some()
        {
            break start.elapsed();
        }
        assert!(start.elapsed() < PATIENCE, "it is fed for ever");
    };
    assert!(ended < Duration::from_secs(8), "{ended:?}");
    scene.assert_open();
}

/// Who has used up the numbers of streams is asked to reconnect, in order.
#[test]
fn the_last_stream_numbers() {
    let scene = Scene::new();
    let mut client = scene.attacker();
    let head = [&[0x82, 0x87, 0x84, 0x01, 12][..], b"test.example"].concat();
    client.stream_number((1 << 31) - 1001);
    let stream = client.next_id();
    client.send(&frame(HEADERS, END, stream, &head)).expect("it is taken");
    assert_eq!(client.response(stream).status, 200);
    client.receive_to_end();
    assert_eq!(client.go_away.map(|(_, code)| code), Some(NO_ERROR));
    scene.assert_open();
}

/// Nobody listens behind a GOAWAY for a fault, and streams that end with it have nothing to say.
#[test]
fn nothing_follows_the_last_word() {
    let scene = Scene::new();
    let faults: [fn() -> Vec<u8>; 3] =
        [|| frame(SETTINGS, 0, 1, b""), || frame(DATA, 0, 99, b"idle"), || window_update(0, 0)];
    for fault in faults {
        let mut client = scene.attacker();
        let mut bytes = Vec::new();
        for _ in 0..8 {
            // Each is served, and each has content that nobody has read.
            let upload = client.try_request("POST", "/long", &[], false).expect("it is taken");
            bytes.extend(frame(DATA, 0, upload, &[0; 8000]).repeat(8));
        }
        client.request("GET", "/long", &[], true);
        client.send(&[bytes, fault()].concat()).expect("it is taken");
        client.receive_to_end();
        let last = client.seen.last().map(|frame| frame.kind);
        assert_eq!(
            last,
            Some(GOAWAY),
            "{:?}",
            client.seen.iter().map(|frame| frame.kind).collect::<Vec<_>>()
        );
    }
    scene.assert_open();
}

/// Connections that are opened and say nothing, or not enough.
#[test]
fn beginnings_without_end() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).secured().listener("client_header_timeout = \"1s\"").start();
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let start = now();
    let half_settings = [PREFACE, b"\0\0\x06\x04\0\0\0\0\0\0\x03"].concat();
    let beginnings = [b"", &PREFACE[..16], PREFACE, &half_settings];
    let wires = beginnings.map(|first| {
        let mut wire = Wire::connect_speaking(ringway.address(), "h2");
        wire.write_all(first).expect("it is taken");
        (wire, first)
    });
    for (mut wire, first) in wires {
        let ended = wire.read_to_end(&mut Vec::new());
        let is_open = ended.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        assert!(!is_open, "{:?} keeps a connection", String::from_utf8_lossy(first));
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
