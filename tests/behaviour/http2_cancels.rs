//! Clients that cancel much lose nothing but what they cancel.

use crate::support::frames::{GOAWAY, rst_stream};
use crate::support::{Backend, Http2, Ringway, Scenario, eventually, log_lines};
use std::time::Duration;

const CANCEL: u32 = 8;
const NO_ERROR: u32 = 0;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Answers `/early` before it has read the request's body and closes; `/slow` after more than a second; everything
/// else never.
fn backend() -> Backend {
    Backend::script(|peer| {
        while let Some(head) = peer.read_head()? {
            if head.start_line.contains("/early") {
                return peer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
            }
            if head.start_line.contains("/slow") {
                std::thread::sleep(Duration::from_millis(1300));
                peer.respond("200 OK", b"slow")?;
            }
        }
        Ok(())
    })
}

/// A client with a slow request under way, which is innocent of all that follows.
fn client_with_slow_request(ringway: &Ringway) -> (Http2, u32) {
    let mut client = Http2::connect(ringway.address());
    client.settle();
    let slow = client.request("GET", "/slow", &[], true);
    // What is younger could be a part of what follows.
    std::thread::sleep(Duration::from_millis(150));
    (client, slow)
}

fn ask_and_cancel(client: &mut Http2, count: usize, pause: Duration) {
    let streams: Vec<u32> = (0..count).map(|_| client.request("GET", "/never", &[], true)).collect();
    std::thread::sleep(pause);
    for stream in streams {
        client.reset(stream, CANCEL).expect("it is taken");
    }
    while let Ok(Some(_)) = client.receive_within(Duration::from_millis(1)) {}
}

#[test]
fn requests_by_the_hundred_may_be_cancelled() {
    let backend = backend();
    for scenario in [Scenario::of(&backend).secured(), Scenario::of(&backend).prior_knowledge()] {
        let ringway = scenario.start();
        let (mut client, slow) = client_with_slow_request(&ringway);
        for _ in 0..5 {
            ask_and_cancel(&mut client, 80, Duration::from_millis(200));
            assert_eq!(client.go_away, None);
        }
        assert_eq!(client.response(slow).body, b"slow");
        assert_eq!(client.go_away, None);
    }
}

#[test]
fn what_was_answered_may_be_cancelled_without_end() {
    let backend = backend();
    let scenario = Scenario::of(&backend).secured().listener("http2_max_resets = 10");
    let ringway = scenario.listener("http2_resets_per_second = 1").start();
    let (mut client, slow) = client_with_slow_request(&ringway);
    for _ in 0..12 {
        let calls: Vec<u32> = (0..5).map(|_| client.request("POST", "/early", &[], false)).collect();
        for &call in &calls {
            client.send_content(call, b"a part of it", false).expect("it is taken");
        }
        for &call in &calls {
            assert_eq!(client.response(call).body, b"ok");
            client.reset(call, CANCEL).expect("it is taken");
        }
    }
    assert_eq!(client.response(slow).body, b"slow");
    assert_eq!(client.go_away, None);
}

#[test]
fn a_client_that_cancels_too_much_is_asked_to_leave_before_it_is_made_to() {
    let backend = backend();
    let scenario = Scenario::of(&backend).secured().logged("json").listener("http2_max_resets = 20");
    let ringway = scenario.listener("http2_resets_per_second = 1").start();
    let (mut client, slow) = client_with_slow_request(&ringway);
    ask_and_cancel(&mut client, 15, Duration::ZERO);
    let told = client.receive_until(|end| end.seen.iter().find(|frame| frame.kind == GOAWAY).cloned());
    let told = told.ok().flatten().expect("GOAWAY comes");
    assert_eq!(told.payload, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], "streams in flight go on");
    assert_eq!(client.response(slow).body, b"slow");
    client.receive_to_end();
    assert_eq!(client.go_away.map(|(_, code)| code), Some(NO_ERROR));

    let (mut client, _) = client_with_slow_request(&ringway);
    // Who does not hear that either.
    client.auto_replies.answers_pings = false;
    for _ in 0..30 {
        let Ok(stream) = client.try_request("GET", "/never", &[], true) else { break };
        if client.reset(stream, CANCEL).is_err() {
            break;
        }
    }
    client.receive_to_end();
    assert_eq!(client.go_away.map(|(_, code)| code), Some(ENHANCE_YOUR_CALM));
    let told = client.seen.iter().filter(|frame| frame.kind == GOAWAY).count();
    assert_eq!(told, 2, "the first one lets go on what is in flight");
    // What was lost with the connection is told by its cause.
    let is_told =
        |line: &String| line.contains("/slow") && line.contains("499") && line.contains("h2_reset_flood");
    eventually("the log tells it of the innocent", || log_lines(&ringway, 1).iter().any(is_told));
    eventually("the log tells it", || {
        log_lines(&ringway, 1).iter().any(|line| line.contains("h2_reset_flood"))
    });
}

/// Nothing is begun for a request that is cancelled in the same breath.
#[test]
fn what_is_cancelled_at_once_does_not_reach_a_backend() {
    let backend = Backend::silent();
    let ringway = Scenario::of(&backend).prior_knowledge().logged("json").start();
    let mut client = Http2::connect(ringway.address());
    client.settle();
    let mut burst = Vec::new();
    for _ in 0..10 {
        let stream = client.next_id();
        burst.extend(crate::support::frames::get(stream));
        burst.extend(rst_stream(stream));
    }
    client.send(&burst).expect("it is taken");
    let lines = log_lines(&ringway, 10);
    assert!(lines.iter().all(|line| line.contains("client_closed")), "{lines:?}");
    assert_eq!(backend.connections(), 0);
}
