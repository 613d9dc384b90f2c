//! Long bodies through slow readers cost no memory.

use crate::support::{Backend, Client, Ringway};
use std::io::Read;
use std::time::Duration;

const SIZE: usize = 256 << 20;
/// A few buffers of 128 KiB each, and what the allocator makes of them.
const MAX_GROWTH_KIB: usize = 1024;

fn memory(ringway: &Ringway, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ringway.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

fn swallow(stream: &mut impl Read, mut bytes: usize) {
    let mut piece = vec![0; 1 << 20];
    while bytes > 0 {
        let count = stream.read(&mut piece).expect("bytes arrive");
        assert!(count > 0, "{bytes} bytes are missing");
        bytes = bytes.saturating_sub(count);
    }
}

#[test]
fn a_long_response_through_a_slow_reader() {
    let backend = Backend::per_request(|peer, head, _| {
        let size = if head.start_line.contains("/long") { SIZE } else { 10 };
        peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes())?;
        let piece = vec![b'x'; 1 << 20];
        (0..size.div_ceil(1 << 20)).try_for_each(|_| peer.write(&piece[..size.min(1 << 20)]))
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.get("/");
    let before = memory(&ringway, "VmRSS");
    client.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(300));
    swallow(&mut client.wire(), SIZE);
    let growth = memory(&ringway, "VmHWM") - before;
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB");
}

#[test]
fn a_long_request_to_a_slow_reader() {
    let backend = Backend::script(|peer| {
        while let Some(head) = peer.read_head()? {
            let mut left: usize =
                head.field("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
            std::thread::sleep(Duration::from_millis(if left > 100 { 300 } else { 0 }));
            while left > 0 {
                left -= peer.read_some()?.len();
            }
            peer.respond("200 OK", b"ok")?;
        }
        Ok(())
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.get("/");
    let before = memory(&ringway, "VmRSS");
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"));
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..SIZE >> 20 {
        client.send(&piece);
    }
    assert_eq!(client.read_response().text(), "ok");
    let growth = memory(&ringway, "VmHWM") - before;
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB");
}
