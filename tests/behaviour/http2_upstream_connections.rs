//! Connections of HTTP/2 to backends: who shares which, when another is opened, and how they end.

use crate::support::frames::{GOAWAY, PING, RST_STREAM, SETTINGS, frame};
use crate::support::h2::MAX_CONCURRENT_STREAMS;
use crate::support::{Backend, Client, Http2, Ringway, Scenario, eventually, log_entries, log_lines};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

fn h2c(backend: &Backend) -> Scenario {
    Scenario::of(backend).group_protocol("h2c").logged("json")
}

fn client_of(ringway: &Ringway) -> Client {
    Client::connect(ringway.address())
}

/// A backend that hands each connection, with these settings, to `script`.
fn settled(
    settings: &'static [(u16, u32)],
    script: impl Fn(&mut Http2, usize) -> io::Result<()> + Send + Sync + 'static,
) -> Backend {
    Backend::script(move |peer| {
        let number = peer.number;
        script(&mut peer.http2(settings)?, number)
    })
}

/// Waits for the next request and reads it to its end.
fn next_whole(end: &mut Http2) -> io::Result<u32> {
    let stream = end.next_request()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    end.message(stream)?;
    Ok(stream)
}

/// Receives until the peer closes, and tells what it said.
fn tell_rest(end: &mut Http2, sender: &Sender<Vec<(u8, u32)>>) {
    while let Ok(Some(_)) = end.receive() {}
    let seen = end.seen.iter().map(|frame| (frame.kind, frame.stream)).collect();
    let _ = sender.send(seen);
}

#[test]
fn exchanges_share_a_connection() {
    // Nobody is answered before all have asked.
    let backend = Backend::http2(|end| {
        let streams = (0..20).map(|_| next_whole(end)).collect::<io::Result<Vec<_>>>()?;
        streams.iter().rev().try_for_each(|&stream| end.respond(stream, "200", b"together"))?;
        while end.receive()?.is_some() {}
        Ok(())
    });
    let ringway = h2c(&backend).start();
    let mut clients: Vec<_> = (0..20).map(|_| client_of(&ringway)).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "together");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn what_a_backend_allows_is_respected_and_more_waits_its_turn() {
    // Each connection has one stream at a time; the ninth request at once must wait.
    let backend = settled(&[(MAX_CONCURRENT_STREAMS, 1)], |end, _| {
        loop {
            let stream = next_whole(end)?;
            assert!(end.take_new_streams().is_empty(), "a second stream");
            std::thread::sleep(Duration::from_millis(200));
            end.respond(stream, "200", b"alone")?;
        }
    });
    let ringway = h2c(&backend).start();
    let mut clients: Vec<_> = (0..20).map(|_| client_of(&ringway)).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "alone");
    }
    assert_eq!(backend.connections(), 8);
}

#[test]
fn all_who_wait_are_served_when_a_backend_allows_more() {
    // Connections begin with one stream. Nobody is answered before all have asked.
    let asked = Arc::new(AtomicUsize::new(0));
    let backend = settled(&[(MAX_CONCURRENT_STREAMS, 1)], move |end, _| {
        let mut streams = vec![next_whole(end)?];
        asked.fetch_add(1, Ordering::SeqCst);
        eventually("all connections are in use", || asked.load(Ordering::SeqCst) >= 8);
        end.send(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]))?;
        while asked.load(Ordering::SeqCst) < 40 {
            // Its answer comes, if nothing else does.
            end.send(&frame(PING, 0, 0, &[0; 8]))?;
            end.receive()?;
            std::thread::sleep(Duration::from_millis(50));
            for stream in end.take_new_streams() {
                asked.fetch_add(1, Ordering::SeqCst);
                streams.push(stream);
            }
        }
        streams.iter().try_for_each(|&stream| end.respond(stream, "200", b"served"))?;
        while end.receive()?.is_some() {}
        Ok(())
    });
    let ringway = h2c(&backend).start();
    let mut clients: Vec<_> = (0..40).map(|_| client_of(&ringway)).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "served");
    }
    assert_eq!(backend.connections(), 8);
}

#[test]
fn a_backend_may_allow_no_stream_at_first() {
    let backend = settled(&[(MAX_CONCURRENT_STREAMS, 0)], |end, _| {
        std::thread::sleep(Duration::from_millis(300));
        end.send(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]))?;
        loop {
            let stream = next_whole(end)?;
            end.respond(stream, "200", b"now")?;
        }
    });
    let ringway = h2c(&backend).start();
    assert_eq!(client_of(&ringway).get("/").text(), "now");
    assert_eq!(backend.connections(), 1);
}

#[test]
fn who_waits_for_a_stream_in_vain_is_told_so() {
    let backend = settled(&[(MAX_CONCURRENT_STREAMS, 1)], |end, _| {
        while end.receive()?.is_some() {}
        Ok(())
    });
    let ringway = h2c(&backend).group("connect_timeout = \"300ms\"").start();
    let mut clients: Vec<_> = (0..9).map(|_| client_of(&ringway)).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "upstream_busy");
}

#[test]
fn a_refused_stream_is_asked_for_again_whatever_the_method() {
    let backend = settled(&[], |end, number| {
        loop {
            let stream = next_whole(end)?;
            match number {
                // The first request is served, so that the connection counts as one that works.
                0 if stream > 1 => end.reset(stream, REFUSED_STREAM)?,
                _ => end.respond(stream, "200", b"served")?,
            }
        }
    });
    let ringway = h2c(&backend).group("max_retries = 0").start();
    let mut client = client_of(&ringway);
    for retries in [0, 1] {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.read_response().text(), "served");
        assert_eq!(log_entries(&ringway, retries + 1)[retries]["retry_count"], retries);
    }
    assert_eq!(backend.connections(), 2);
}

#[test]
fn a_backend_that_refuses_everything_is_not_asked_for_ever() {
    let backend = Backend::http2(|end| {
        loop {
            let stream = next_whole(end)?;
            end.reset(stream, REFUSED_STREAM)?;
        }
    });
    let ringway = h2c(&backend).start();
    assert_eq!(client_of(&ringway).get("/").status, 502);
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "upstream_refused");
    assert!(backend.requests() <= 3, "{} times", backend.requests());
}

#[test]
fn what_a_going_backend_did_not_look_at_goes_to_a_new_connection() {
    let backend = settled(&[], |end, number| {
        if number == 0 {
            let first = next_whole(end)?;
            let second = next_whole(end)?;
            // It has looked at the first only, and ends it in order.
            end.send_go_away(first, NO_ERROR)?;
            end.respond(first, "200", b"old")?;
            assert!(second > first);
            while end.receive()?.is_some() {}
            return Ok(());
        }
        loop {
            let stream = next_whole(end)?;
            end.respond(stream, "200", b"new")?;
        }
    });
    let ringway = h2c(&backend).start();
    let mut clients = [client_of(&ringway), client_of(&ringway)];
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    clients.iter_mut().for_each(|client| client.send(post));
    let mut texts = clients.each_mut().map(|client| client.read_response().text());
    texts.sort();
    assert_eq!(texts, ["new", "old"]);
    eventually("the old connection is gone", || backend.open_connections() == 1);
}

#[test]
fn a_stream_that_a_backend_gives_up_fails_its_exchange_alone() {
    let backend = Backend::http2_per_request(|end, stream, request| match request.field(":path") {
        Some("/before") => end.reset(stream, INTERNAL_ERROR),
        Some("/within") => {
            end.send_fields(stream, &[(":status", "200"), ("content-length", "9")], false)?;
            end.send_content(stream, b"half", false)?;
            end.reset(stream, INTERNAL_ERROR)
        }
        _ => end.respond(stream, "200", b"whole"),
    });
    let ringway = h2c(&backend).group("max_retries = 0").start();
    assert_eq!(client_of(&ringway).get("/before").status, 502);
    let mut client = client_of(&ringway);
    client.send("GET /within HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_read_response().is_err());
    assert_eq!(client_of(&ringway).get("/").text(), "whole");
    let entries = log_entries(&ringway, 3);
    assert_eq!([&entries[0]["reason"], &entries[1]["reason"]], ["upstream_reset", "upstream_reset"]);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn who_leaves_cancels_only_the_own_stream() {
    let (sender, seen) = channel();
    let backend = Backend::http2(move |end| {
        let given_up = next_whole(end)?;
        let other = next_whole(end)?;
        let code = end.receive_until(|end| end.stream(given_up).reset)?;
        end.respond(other, "200", b"undisturbed")?;
        let _ = sender.send(code);
        while end.receive()?.is_some() {}
        Ok(())
    });
    let ringway = h2c(&backend).start();
    let mut leaving = client_of(&ringway);
    leaving.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the backend has it", || backend.requests() == 1);
    let mut staying = client_of(&ringway);
    staying.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the backend has both", || backend.requests() == 2);
    drop(leaving);
    assert_eq!(staying.read_response().text(), "undisturbed");
    assert_eq!(seen.recv_timeout(Duration::from_secs(5)), Ok(Some(CANCEL)));
}

#[test]
fn a_silent_stream_times_out_and_the_others_go_on() {
    let backend = Backend::http2_per_request(|end, stream, request| match request.field(":path") {
        Some("/silent") => Ok(()),
        _ => end.respond(stream, "200", b"fine"),
    });
    let ringway = h2c(&backend).group("response_timeout = \"500ms\"").start();
    assert_eq!(client_of(&ringway).get("/silent").status, 504);
    // Until the PING is answered, others would get a connection of their own.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(client_of(&ringway).get("/").text(), "fine");
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "response_timeout");
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_connection_whose_peer_answers_no_ping_is_given_up() {
    let (sender, seen) = channel();
    let backend = settled(&[], move |end, number| {
        if number == 0 {
            end.auto_replies.answers_pings = false;
            tell_rest(end, &sender);
            return Ok(());
        }
        loop {
            let stream = next_whole(end)?;
            end.respond(stream, "200", b"alive")?;
        }
    });
    let ringway = h2c(&backend).group("response_timeout = \"500ms\"").start();
    assert_eq!(client_of(&ringway).get("/").status, 504);
    // The suspect gets nothing new meanwhile.
    assert_eq!(client_of(&ringway).get("/").text(), "alive");
    let seen = seen.recv_timeout(Duration::from_secs(9)).expect("the connection was given up");
    assert!(seen.contains(&(PING, 0)) && seen.contains(&(RST_STREAM, 1)), "{seen:?}");
    eventually("only the other is left", || backend.open_connections() == 1);
}

#[test]
fn an_idle_connection_is_ended_in_order() {
    let (sender, seen) = channel();
    let backend = Backend::http2(move |end| {
        let stream = next_whole(end)?;
        end.respond(stream, "200", b"once")?;
        tell_rest(end, &sender);
        Ok(())
    });
    let ringway = h2c(&backend).group("keepalive_timeout = \"1s\"").start();
    assert_eq!(client_of(&ringway).get("/").text(), "once");
    let seen = seen.recv_timeout(Duration::from_secs(5)).expect("the connection ended");
    assert_eq!(seen.last(), Some(&(GOAWAY, 0)));
}

#[test]
fn a_window_that_stays_shut_holds_up_nobody_else() {
    let backend = Backend::http2(|end| {
        let stuck = end.next_request()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        end.hold(stuck);
        end.receive_until(|end| (end.stream(stuck).body.len() == 65_535).then_some(()))?;
        for _ in 0..5 {
            let stream = next_whole(end)?;
            let body = end.stream(stream).body.clone();
            end.respond(stream, "200", &body)?;
        }
        end.open_window(stuck, 1 << 20)?;
        let length = end.message(stuck)?.body.len().to_string();
        end.respond(stuck, "200", length.as_bytes())
    });
    let ringway = h2c(&backend).start();
    let mut stuck = client_of(&ringway);
    stuck
        .send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n{}", "x".repeat(200_000)));
    eventually("it is under way", || backend.requests() == 1);
    let body = "y".repeat(100_000);
    for _ in 0..5 {
        let mut other = client_of(&ringway);
        other.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{body}"));
        assert_eq!(other.read_response().body.len(), 100_000);
    }
    assert_eq!(stuck.read_response().text(), "200000");
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_else() {
    let total = Arc::new(AtomicUsize::new(0));
    let sent = total.clone();
    let backend = Backend::http2(move |end| {
        let slow = next_whole(end)?;
        end.send_fields(slow, &[(":status", "200")], false)?;
        let piece = [b'x'; 16_000];
        loop {
            // As much as the windows allow, while others are served.
            let count = end.try_send_content(slow, &piece, false)?;
            total.fetch_add(count, Ordering::SeqCst);
            if count < piece.len() {
                if let Some(stream) = end.take_new_streams().first() {
                    end.respond(*stream, "200", b"quick")?;
                }
                end.receive()?;
            }
        }
    });
    let ringway = h2c(&backend).start();
    let mut slow = client_of(&ringway);
    slow.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the windows are full", || {
        let before = sent.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(200));
        before > 0 && before == sent.load(Ordering::SeqCst)
    });
    assert!(sent.load(Ordering::SeqCst) < 16 << 20, "{} bytes", sent.load(Ordering::SeqCst));
    for _ in 0..5 {
        assert_eq!(client_of(&ringway).get("/").text(), "quick");
    }
}

#[test]
fn a_backend_that_leaves_gets_no_new_streams() {
    let (one, two) = (Backend::http2_echo_body(), Backend::http2_echo_body());
    let ringway = h2c(&one).start();
    assert_eq!(client_of(&ringway).get("/").status, 200);
    ringway.reload(&h2c(&two).text());
    let before = one.requests();
    for _ in 0..5 {
        assert_eq!(client_of(&ringway).get("/").status, 200);
    }
    assert_eq!(one.requests(), before);
    eventually("its connection ends", || one.open_connections() == 0);
}

/// A head of four times the limit is read on, and nothing of it is kept.
#[test]
fn a_response_whose_head_is_too_large_fails_alone() {
    let big = "&Z".repeat(130_000);
    let backend = settled(&[], move |end, _| {
        let (slow, large) = (next_whole(end)?, next_whole(end)?);
        end.send_fields(large, &[(":status", "200"), ("x-a", "1"), ("x-big", &big)], true)?;
        end.respond(slow, "200", b"slow")?;
        let next = next_whole(end)?;
        end.send_fields(next, &[(":status", "200"), ("x-a", "1")], true)?;
        while end.receive()?.is_some() {}
        Ok(())
    });
    let ringway = h2c(&backend).group("max_retries = 0").logged("json").start();
    let mut slow = client_of(&ringway);
    slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    eventually("the backend has it", || backend.requests() == 1);
    assert_eq!(client_of(&ringway).get("/").status, 502);
    assert_eq!(slow.read_response().text(), "slow");
    assert_eq!(client_of(&ringway).get("/").status, 200);
    assert_eq!(backend.connections(), 1);
    let lines = log_lines(&ringway, 3);
    assert!(lines.iter().any(|line| line.contains("h2_fields_too_large")), "{lines:?}");
}

#[test]
fn what_a_broken_connection_did_not_answer_is_asked_for_elsewhere() {
    let broken = settled(&[], |end, _| {
        let streams = [next_whole(end)?, next_whole(end)?];
        end.send_fields(streams[0], &[(":status", "200"), ("content-length", "9")], false)?;
        // SETTINGS never belong to a stream: the whole connection is useless.
        end.send(&frame(SETTINGS, 0, streams[0], &[]))?;
        while end.receive()?.is_some() {}
        Ok(())
    });
    let good = Backend::http2_echo_body();
    let ringway = Scenario::new().backend_at(&broken.address().to_string(), 100).backend(good.address());
    let ringway = ringway.group_protocol("h2c").start();
    let mut clients = [client_of(&ringway), client_of(&ringway)];
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    let answers = clients.each_mut().map(|client| client.try_read_response().map(|answer| answer.status));
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1, "what had begun is cut");
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Ok(200))).count(), 1, "{answers:?}");
    assert_eq!(broken.connections(), 1);
}

/// A connection is shared for our sake, so that its end costs no idempotent request its answer, also where there is
/// nobody else to ask; but nobody is asked over and over.
#[test]
fn what_a_broken_connection_did_not_answer_is_asked_for_again_where_there_is_one_backend() {
    for (retries, ends) in [(0, false), (1, false), (1, true)] {
        let backend = settled(&[], move |end, number| {
            let streams = [next_whole(end)?, next_whole(end)?, next_whole(end)?];
            if number == 0 && ends {
                return Ok(());
            }
            if number == 0 {
                end.send(&frame(SETTINGS, 0, streams[0], &[]))?;
                while end.receive()?.is_some() {}
                return Ok(());
            }
            streams.iter().try_for_each(|&stream| end.respond(stream, "200", b"again"))?;
            while end.receive()?.is_some() {}
            Ok(())
        });
        let ringway = h2c(&backend).group(&format!("max_retries = {retries}")).start();
        let mut clients: Vec<_> = (0..3).map(|_| client_of(&ringway)).collect();
        clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        for client in &mut clients {
            assert_eq!(client.read_response().text(), "again", "{retries}");
        }
        assert_eq!(backend.connections(), 2, "{retries}");
    }
    let broken = settled(&[], |end, _| next_whole(end).map(drop));
    let ringway = h2c(&broken).start();
    assert_eq!(client_of(&ringway).get("/").status, 502);
    assert_eq!(broken.connections(), 2);
}

#[test]
fn a_request_whose_response_has_begun_is_sent_once_whatever_a_backend_says_then() {
    let backends = [(); 2].map(|()| {
        settled(&[], |end, _| {
            let stream = next_whole(end)?;
            end.send_fields(stream, &[(":status", "200")], false)?;
            end.send_content(stream, b"part", false)?;
            // It has looked at the request, and may not say so any more.
            end.send_go_away(0, NO_ERROR)?;
            while end.receive()?.is_some() {}
            Ok(())
        })
    });
    let scenario = h2c(&backends[0]).backend(backends[1].address()).group("max_retries = 3");
    let ringway = scenario.start();
    for _ in 0..4 {
        let before: usize = backends.iter().map(Backend::requests).sum();
        let mut client = client_of(&ringway);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        let mut bytes = Vec::new();
        // Over TLS, the end of a cut response is no orderly one.
        let _ = client.wire().read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        assert!(!text.ends_with("\r\n0\r\n\r\n"), "it is cut off: {text}");
        let after: usize = backends.iter().map(Backend::requests).sum();
        assert_eq!(after - before, 1);
    }
    assert_eq!(log_entries(&ringway, 4)[0]["reason"], "upstream_reset");
}
