//! Streams take turns at the output of their connection, and nobody who waits for one is forgotten.

use crate::support::h2::INITIAL_WINDOW_SIZE;
use crate::support::{Backend, Http2, Ringway, Scenario, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// More than the kernel's buffers take for a client that does not read.
const SIZE: usize = 12 << 20;

/// Answers `/small` at once and everything else at length, without waiting for what is uploaded; counts what it
/// could write.
fn downloads(written: &Arc<AtomicUsize>) -> Backend {
    let written = Arc::clone(written);
    Backend::script(move |peer| {
        while let Some(head) = peer.read_head()? {
            if head.start_line.contains("/small") {
                peer.respond("200 OK", b"small")?;
                continue;
            }
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())?;
            for _ in 0..SIZE >> 16 {
                peer.write(&[b'x'; 1 << 16])?;
                written.fetch_add(1 << 16, Ordering::SeqCst);
            }
        }
        Ok(())
    })
}

/// A client whose windows are open once and for all, so that reading sends nothing.
fn with_open_windows(ringway: &Ringway) -> Http2 {
    let mut client = Http2::connect_with(ringway.address(), &[(INITIAL_WINDOW_SIZE, 1 << 30)]);
    client.open_window(0, 1 << 30).expect("it is taken");
    client.auto_replies.opens_connection = false;
    client.auto_replies.opens_streams = false;
    client.settle();
    client
}

/// Waits until the backend cannot write any more.
fn wait_until_blocked(written: &AtomicUsize) {
    let mut last = usize::MAX;
    eventually("the backend stops writing", || {
        std::thread::sleep(Duration::from_millis(150));
        let now = written.load(Ordering::SeqCst);
        std::mem::replace(&mut last, now) == now && now > 0
    });
}

#[test]
fn a_request_behind_a_full_output_is_answered_without_another_word() {
    let written = Arc::default();
    let backend = downloads(&written);
    let ringway = Scenario::of(&backend).prior_knowledge().start();
    // Whether the output stands still above its limit is a matter of luck.
    let mut clients = [with_open_windows(&ringway), with_open_windows(&ringway)];
    for client in &mut clients {
        for _ in 0..3 {
            client.request("GET", "/", &[], true);
        }
    }
    wait_until_blocked(&written);
    let small = clients.each_mut().map(|client| client.request("GET", "/small", &[], true));
    // They arrive while nothing can leave.
    std::thread::sleep(Duration::from_millis(100));
    for (client, small) in clients.iter_mut().zip(small) {
        for stream in [1, 3, 5] {
            assert_eq!(client.response(stream).body.len(), SIZE);
        }
        assert_eq!(client.response(small).text(), "small");
    }
}

#[test]
fn streams_that_end_while_they_wait_hold_nobody_up() {
    let written = Arc::default();
    let backend = downloads(&written);
    let ringway = Scenario::of(&backend).prior_knowledge().start();
    let mut client = with_open_windows(&ringway);
    let abandoned: Vec<u32> = (0..8).map(|_| client.request("POST", "/", &[], false)).collect();
    eventually("the backend has them", || backend.requests() == abandoned.len());
    let kept = client.request("GET", "/", &[], true);
    eventually("the backend has it", || backend.requests() == abandoned.len() + 1);
    wait_until_blocked(&written);
    for stream in abandoned {
        client.reset(stream, 8).expect("it is taken");
    }
    assert_eq!(client.response(kept).body.len(), SIZE);
}
