//! Limits mean the same in both versions of HTTP, and cost a stream rather than its connection.

use crate::support::frames::{DATA, PING, frame};
use crate::support::h2::{INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS};
use crate::support::{
    Ask, Backend, BackendVersion, Content, EitherClient, Frame, Http2, Pair, Scenario, Version, eventually,
    log_lines, now,
};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::mpsc::channel;
use std::time::Duration;

#[test]
fn a_body_beyond_the_limit_is_413() {
    Pair::each(|pair| {
        let (sender, received) = channel();
        let backend = pair.backend(move |exchange| {
            let body = exchange.read_all()?;
            if exchange.method() == "POST" {
                let _ = sender.send(body.len());
            }
            exchange.respond(200, b"ok")
        });
        let ringway = pair.scenario(&backend).listener("max_body_bytes = 1000").start();
        for (content, size, status) in [
            (Content::Sized(1000), 1000, 200),
            (Content::Sized(1001), 0, 413),
            (Content::Open, 1000, 200),
            (Content::Open, 1001, 413),
            (Content::Open, 60_000, 413),
        ] {
            let mut client = pair.connect(ringway.address());
            let call = client.begin(Ask::post("/", content));
            for piece in vec![b'x'; size].chunks(700) {
                // Who was refused need not go on.
                let _ = client.write(call, piece);
            }
            if content == Content::Open || status == 200 {
                let _ = client.end(call, &[]);
            }
            assert_eq!(client.response(call).status, status, "{content:?} of {size}");
            if pair.client.is_multiplexed() {
                assert_eq!(client.get("/").status, 200, "only the stream is over");
            }
        }
        let whole: Vec<usize> = received.try_iter().collect();
        assert_eq!(whole, [1000, 1000], "nothing beyond the limit looked whole");
    });
}

#[test]
fn heads_beyond_the_limits_are_400_and_the_connection_goes_on() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| exchange.respond(200, b"ok"));
        let scenario = pair.scenario(&backend);
        let ringway = scenario.listener("max_headers = 10").listener("max_header_bytes = \"2KiB\"").start();
        let mut client = pair.connect(ringway.address());
        let names: Vec<String> = (0..30).map(|number| format!("x-{number}")).collect();
        let filler = |size: usize| "z".repeat(size);
        for (count, size, status) in
            [(4, 10, 200), (30, 1, 400), (1, 1500, 200), (1, 2100, 400), (1, 12_000, 400), (3, 1, 200)]
        {
            let value = filler(size);
            let fields: Vec<_> =
                names.iter().take(count).map(|name| (name.as_str(), value.as_str())).collect();
            if pair.client == Version::Http1 {
                client = pair.connect(ringway.address());
            }
            let call = client.begin(Ask::get("/").fields(&fields));
            let answer = client.response(call);
            let is_expected = answer.status == status || (status == 400 && answer.status == 431);
            assert!(is_expected, "{count} fields of {size} bytes: {}", answer.status);
        }
    });
}

/// Heads are read on as far as eight times the limit, so that the others on the connection do not pay for it.
#[test]
fn heads_far_beyond_the_limits_cost_their_stream_alone() {
    let backend = Backend::per_request(|peer, head, _| {
        if head.start_line.contains("/slow") {
            std::thread::sleep(Duration::from_millis(300));
        }
        peer.respond("200 OK", b"ok")
    });
    for scenario in [Scenario::of(&backend).secured(), Scenario::of(&backend).prior_knowledge()] {
        let ringway = scenario.logged("json").start();
        let mut client = Http2::connect(ringway.address());
        let slow = client.request("GET", "/slow", &[], true);
        for (size, method) in [(34_000, "GET"), (60_000, "POST"), (150_000, "HEAD")] {
            let value = "&Z".repeat(size / 2);
            // What the block says to the table counts for the next one.
            let more = [("x-before", "1"), ("x-big", value.as_str()), ("x-after", "2")];
            let stream = client.request(method, "/big", &more, method != "POST");
            assert_eq!(client.response(stream).status, 400, "{size}");
        }
        assert_eq!(client.response(slow).status, 200);
        let stream = client.request("GET", "/", &[("x-before", "1"), ("x-after", "2")], true);
        assert_eq!(client.response(stream).status, 200);
        assert_eq!(client.go_away, None);
        let lines = log_lines(&ringway, 5);
        assert_eq!(lines.iter().filter(|line| line.contains("header_too_large")).count(), 3, "{lines:?}");
    }
}

#[test]
fn a_long_target_is_414() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| exchange.respond(200, b"ok"));
        let ringway = pair.scenario(&backend).listener("max_uri_bytes = \"1KiB\"").start();
        let target = |length: usize| format!("/{}", "a".repeat(length - 1));
        let mut client = pair.connect(ringway.address());
        assert_eq!(client.get(&target(1024)).status, 200);
        assert_eq!(client.get(&target(1025)).status, 414);
        if pair.client.is_multiplexed() {
            assert_eq!(client.get("/").status, 200, "only the stream is over");
        }
    });
}

#[test]
fn http2_max_concurrent_streams_is_what_clients_are_told_and_may_use() {
    let backend = Backend::silent();
    for most in [3, 250] {
        let line = format!("http2_max_concurrent_streams = {most}");
        let ringway = Scenario::of(&backend).prior_knowledge().listener(&line).start();
        let mut client = Http2::connect(ringway.address());
        client.settle();
        assert_eq!(client.settings[&MAX_CONCURRENT_STREAMS], most);
        let open: Vec<u32> = (0..most).map(|_| client.request("GET", "/", &[], true)).collect();
        let extra = client.request("GET", "/", &[], true);
        client.message(extra).expect_err("the stream is refused");
        assert!(open.iter().all(|stream| client.stream(*stream).reset.is_none()), "{most}");
    }
}

#[test]
fn streams_beyond_the_limit_are_refused_and_may_come_again() {
    let backend = Backend::silent();
    let ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    client.settle();
    let most = client.settings[&MAX_CONCURRENT_STREAMS];
    assert!((64..=1024).contains(&most), "{most}");
    let open: Vec<u32> = (0..most).map(|_| client.request("GET", "/", &[], true)).collect();
    let extra = client.request("GET", "/", &[], true);
    let error = client.message(extra).expect_err("the stream is refused");
    const REFUSED_STREAM: u32 = 7;
    assert_eq!(client.stream(extra).reset, Some(REFUSED_STREAM), "{error}");
    assert!(open.iter().all(|stream| client.stream(*stream).reset.is_none()));
    client.reset(open[0], 8).expect("it is taken");
    // The place is free when the exchange has come to its end.
    eventually("there is a place again", || {
        let again = client.request("GET", "/", &[], true);
        let refused = client.receive_within(Duration::from_millis(100)).expect("the connection is open");
        refused.is_none() && client.stream(again).reset.is_none()
    });
}

/// An upload that was answered early and is then cancelled gives its place back.
#[test]
fn streams_that_are_cancelled_behind_their_answer_take_no_place() {
    let backend = Backend::script(|peer| match peer.read_head()? {
        Some(_) => peer.respond("200 OK", b"early"),
        None => Ok(()),
    });
    let ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    client.settle();
    for _ in 0..client.settings[&MAX_CONCURRENT_STREAMS] {
        let upload = client.request("POST", "/", &[], false);
        assert_eq!(client.response(upload).status, 200);
        client.reset(upload, 8).expect("it is taken");
    }
    // This many resets at once are just about allowed.
    until_all_is_seen(&mut client);
    assert_eq!(client.get("/").status, 200);
}

/// What a client sends when it has taken a piece of content is worth no ban.
#[test]
fn clients_may_acknowledge_every_piece() {
    const EVENTS: usize = 300;
    let backend = Backend::script(|peer| {
        while let Some(head) = peer.read_head()? {
            if !head.start_line.contains("/events") {
                peer.respond("200 OK", &[b'm'; 20_000])?;
                continue;
            }
            peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for _ in 0..EVENTS {
                peer.write(format!("64\r\n{}\r\n", "e".repeat(100)).as_bytes())?;
                std::thread::sleep(Duration::from_millis(2));
            }
            peer.write(b"0\r\n\r\n")?;
        }
        Ok(())
    });
    let ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    let events = client.request("GET", "/events", &[], true);
    acknowledging(&mut client, &[0, events], |client| client.stream(events).ended);
    assert_eq!(client.stream(events).body.len(), 100 * EVENTS);
}

/// What the windows allow comes in ever smaller pieces if each piece opens them by no more than its own size.
#[test]
fn clients_may_acknowledge_the_pieces_of_many_responses() {
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", &[b'm'; 20_000]));
    let ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    let mut open: Vec<u32> = Vec::new();
    let mut answered = 0;
    acknowledging(&mut client, &[0], |client| {
        let before = open.len();
        open.retain(|stream| !client.stream(*stream).ended);
        answered += before - open.len();
        while open.len() < 20 {
            open.push(client.request("GET", "/", &[], true));
        }
        answered >= 120
    });
}

/// Receives until `is_done`, and opens these windows by what came with each DATA frame: one at a time, as long as
/// there is an answer to that.
fn acknowledging(client: &mut Http2, windows: &[u32], mut is_done: impl FnMut(&mut Http2) -> bool) {
    client.auto_replies.opens_connection = false;
    client.auto_replies.opens_streams = false;
    let mut taken = VecDeque::new();
    while !is_done(client) {
        let received = match taken.is_empty() {
            true => client.receive().expect("frames arrive"),
            false => receive_soon(client),
        };
        assert_eq!(client.go_away, None);
        match received {
            Some(frame) if frame.kind != DATA || frame.payload.is_empty() => {}
            Some(frame) => taken.push_back(frame.payload.len() as u32),
            None => {
                let bytes = taken.pop_front().expect("the connection is open");
                for window in windows {
                    client.open_window(*window, bytes).expect("it is taken");
                }
            }
        }
    }
}

/// What comes within a round trip or two, if anything; time limits of sockets are too coarse for that.
fn receive_soon(client: &mut Http2) -> Option<Frame> {
    client.wire().tcp().set_nonblocking(true).expect("it can");
    let end = now() + Duration::from_millis(1);
    let received = loop {
        match client.receive() {
            Err(error) if error.kind() == ErrorKind::WouldBlock && now() < end => {
                std::thread::sleep(Duration::from_micros(50));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break None,
            received => break Some(received.expect("frames arrive").expect("the connection is open")),
        }
    };
    client.wire().tcp().set_nonblocking(false).expect("it can");
    received
}

/// A small block can name large fields: what is in flight is bounded as it was meant.
#[test]
fn heads_in_flight_are_bounded() {
    const REFUSED_STREAM: u32 = 7;
    let backend = Backend::silent();
    let ringway = Scenario::of(&backend).secured().listener("http2_max_resets = 1000").start();
    let mut client = Http2::connect(ringway.address());
    client.settle();
    let value = "v".repeat(3000);
    let large = [("x-large", value.as_str()); 10];
    let all: Vec<u32> = (0..100).map(|_| client.request("GET", "/", &large, true)).collect();
    until_all_is_seen(&mut client);
    let (refused, taken): (Vec<u32>, Vec<u32>) =
        all.into_iter().partition(|stream| client.stream(*stream).reset == Some(REFUSED_STREAM));
    assert!((25..50).contains(&taken.len()), "{} of 30 KB each were taken", taken.len());
    assert!(taken.iter().all(|stream| client.stream(*stream).reset.is_none()));
    assert!(refused.iter().min() > taken.iter().max(), "first come, first served");
    client.reset(taken[0], 8).expect("it is taken");
    eventually("there is room again", || {
        let again = client.request("GET", "/", &large, true);
        until_all_is_seen(&mut client);
        client.stream(again).reset.is_none()
    });
}

/// Each costs its decoding, and its client next to nothing.
#[test]
fn heads_for_which_there_is_no_room_are_a_flood() {
    let backend = Backend::silent();
    let lines = "http2_max_resets = 20\nhttp2_resets_per_second = 1";
    // A head that is kept, and one that is too large and refused with a response, for which there is no window.
    for bytes in [30_000, 60_000] {
        let ringway = Scenario::of(&backend).secured().listener(lines).logged("json").start();
        let mut client = Http2::connect_with(ringway.address(), &[(INITIAL_WINDOW_SIZE, 0)]);
        client.settle();
        let value = "v".repeat(bytes / 10);
        let large = [("x-large", value.as_str()); 10];
        for _ in 0..34 + 20 {
            client.request("GET", "/", &large, true);
        }
        until_all_is_seen(&mut client);
        // One too many, besides those for which an answer to another one has made room.
        for _ in 0..21 {
            let _ = client.try_request("GET", "/", &large, true);
        }
        client.receive_to_end();
        const ENHANCE_YOUR_CALM: u32 = 11;
        assert_eq!(client.go_away.map(|(_, code)| code), Some(ENHANCE_YOUR_CALM), "{bytes}");
        let has_told = || log_lines(&ringway, 1).iter().any(|line| line.contains("h2_reset_flood"));
        eventually("the log tells it", has_told);
    }
}

/// PING is answered in its turn.
fn until_all_is_seen(client: &mut Http2) {
    client.seen.clear();
    client.send(&frame(PING, 0, 0, b"all seen")).expect("it is taken");
    let answer = client.receive_until(|end| end.seen.iter().any(|frame| frame.kind == PING).then_some(()));
    assert!(matches!(answer, Ok(Some(()))), "{answer:?}");
}

#[test]
fn heads_that_are_too_large_are_refused_by_the_rules_of_their_method() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).secured().listener("max_header_bytes = \"2KiB\"").start();
    let mut client = Http2::connect(ringway.address());
    for (method, is_empty) in [("GET", false), ("HEAD", true)] {
        let stream = client.request(method, "/", &[("x-large", &"v".repeat(3000))], true);
        let response = client.response(stream);
        assert!(matches!(response.status, 400 | 431), "{}", response.status);
        assert_eq!(response.body.is_empty(), is_empty, "{method}");
    }
}

#[test]
fn a_backend_that_takes_few_streams_serves_many() {
    for pair in Pair::ALL.into_iter().filter(|pair| pair.backend == BackendVersion::Http2) {
        let backend = Backend::script(|peer| {
            let mut end = peer.http2(&[(MAX_CONCURRENT_STREAMS, 2)])?;
            let mut open = Vec::new();
            loop {
                open.extend(end.take_new_streams());
                open.retain(|stream| end.stream(*stream).reset.is_none());
                assert!(open.len() <= 2, "more streams than were allowed");
                if open.len() == 2 || (!open.is_empty() && end.stream(open[0]).field(":path") == Some("/one"))
                {
                    for stream in open.drain(..) {
                        end.respond(stream, "200", b"ok")?;
                    }
                }
                if end.receive()?.is_none() {
                    return Ok(());
                }
            }
        });
        let ringway = pair.start(&backend);
        let mut clients: Vec<EitherClient> = (0..20).map(|_| pair.connect(ringway.address())).collect();
        assert_eq!(clients[0].get("/one").status, 200);
        let calls: Vec<_> = clients.iter_mut().map(|client| client.begin(Ask::get("/one"))).collect();
        for (client, call) in clients.iter_mut().zip(calls) {
            assert_eq!(client.response(call).status, 200);
        }
    }
}
