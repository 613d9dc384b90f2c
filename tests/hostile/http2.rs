//! Floods and stalls of HTTP/2, against the codec: each limit ends the connection with ENHANCE_YOUR_CALM
//! before it has cost much, and honest peers never meet it.

use ringway::proto::h2::connection::Event;
use ringway::proto::h2::fault::ErrorCode;
use ringway::proto::h2::fault::Fault;
use ringway::proto::h2::frame::FrameKind;
use ringway::proto::h2::limits::Limit;
use ringway::proto::h2::limits::REMEMBERED_RESETS;
use ringway::proto::h2::settings::Local;

use crate::http2_end::{
    CONTINUATION, DATA, END, END_STREAM, End, GET, HEADERS, PING, PRIORITY, SETTINGS, frame, get, id, post,
    rst_stream, setting, window_update,
};

/// Sends what `attack` makes for 1, 2, 3, … until the connection ends, which must be for this limit and in
/// this round; once a second, twice as many do no harm.
fn floods(attack: impl Fn(u32) -> Vec<u8>, limit: Limit, round: u32) {
    let mut end = End::server();
    end.feed(&post(1, &[]));
    let ended = (1..=2 * round).find_map(|number| {
        let last = end.feed(&attack(number)).pop();
        end.codec.settled();
        matches!(last, Some(Event::Failed(_))).then_some((number, last))
    });
    assert_eq!(ended, Some((round, Some(Event::Failed(Fault::Limit(limit))))));
    let (_, go_away) = end.sent().pop().expect("GOAWAY is sent");
    assert_eq!(go_away[4..8], ErrorCode::EnhanceYourCalm.to_wire().to_be_bytes());
    let mut end = End::server();
    end.feed(&post(1, &[]));
    for number in 1..=2 * round {
        end.now += 1000;
        let events = end.feed(&attack(number));
        assert!(!matches!(events.last(), Some(Event::Failed(_))), "{limit:?} at leisure: {events:?}");
        end.codec.settled();
        end.sent();
    }
}

/// CVE-2023-44487.
#[test]
fn rapid_resets() {
    floods(|n| [get(2 * n + 1), rst_stream(2 * n + 1)].concat(), Limit::Resets, 101);
}

/// CVE-2025-8671: every way to make us reset a stream.
#[test]
fn provoked_resets() {
    let stream = |n: u32| 2 * n + 1;
    floods(|n| [get(stream(n)), window_update(stream(n), 0)].concat(), Limit::Resets, 101);
    floods(|n| [get(stream(n)), frame(DATA, 0, stream(n), b"a")].concat(), Limit::Resets, 101);
    floods(|n| [get(stream(n)), frame(HEADERS, END, stream(n), GET)].concat(), Limit::Resets, 101);
    floods(|n| [get(stream(n)), frame(PRIORITY, 0, stream(n), b"")].concat(), Limit::Resets, 101);
    floods(|n| frame(HEADERS, END, stream(n), &GET[1..]), Limit::Resets, 101);
    let short = |n| [post(stream(n), &[("content-length", "2")]), frame(DATA, END_STREAM, stream(n), b"a")];
    floods(|n| short(n).concat(), Limit::Resets, 101);
    let overflow = |n| [get(stream(n)), window_update(stream(n), (1 << 31) - 1)].concat();
    floods(overflow, Limit::Resets, 101);
}

/// A stream whose answer is complete has cost no more than any other: how it ends does not matter.
#[test]
fn resets_behind_the_answer_cost_nothing() {
    let mut end = End::server();
    for stream in (1..2001).step_by(2) {
        end.feed(&post(stream, &[]));
        end.codec.send_head(id(stream), [(&b":status"[..], &b"200"[..])], true).expect("the stream is open");
        let events = end.feed(&rst_stream(stream));
        assert!(matches!(events[..], [Event::Reset { .. }]), "{events:?}");
        end.codec.settled();
        end.sent();
    }
    // The same with a fault.
    end.feed(&post(2001, &[]));
    end.codec.send_head(id(2001), [(&b":status"[..], &b"200"[..])], true).expect("the stream is open");
    end.resets(&window_update(2001, 0), 2001, ErrorCode::ProtocolError);
}

/// Each answer that was taken lets one more be given up.
#[test]
fn answers_give_resets_back() {
    let mut end = End::server();
    for stream in (1..4001).step_by(4) {
        end.feed(&[get(stream), get(stream + 2)].concat());
        end.codec.send_head(id(stream), [(&b":status"[..], &b"200"[..])], true).expect("the stream is open");
        let events = end.feed(&rst_stream(stream + 2));
        assert!(matches!(events[..], [Event::Reset { .. }]), "{events:?}");
        end.codec.settled();
        // It crossed the end of the answer.
        assert_eq!(end.feed(&rst_stream(stream)), []);
        end.sent();
    }
}

/// What comes late on streams that we ended early is not the client's fault, be it in small pieces.
#[test]
fn late_content_is_no_flood() {
    let mut end = End::server();
    for stream in (1..2001).step_by(2) {
        end.feed(&post(stream, &[]));
        end.codec.send_head(id(stream), [(&b":status"[..], &b"200"[..])], true).expect("the stream is open");
        end.codec.reset(id(stream), ErrorCode::NoError);
        let late: Vec<u8> = (0..10).flat_map(|_| frame(DATA, 0, stream, b"late")).collect();
        assert_eq!(end.feed(&[late, rst_stream(stream)].concat()), []);
        end.sent();
    }
}

/// With something in flight that is innocent, a first GOAWAY lets it end; without, there is nobody to spare.
#[test]
fn a_flood_of_resets_is_told_before_it_ends_the_connection() {
    for innocent in [true, false] {
        let mut end = End::server();
        if innocent {
            end.feed(&post(1, &[]));
        }
        end.now = 100;
        let round = |n: u32| [get(2 * n + 1), rst_stream(2 * n + 1)].concat();
        for n in 1..=60 {
            end.feed(&round(n));
            end.codec.settled();
        }
        let kinds: Vec<_> = end.sent().into_iter().map(|(header, payload)| (header.kind, payload)).collect();
        let told = kinds
            .iter()
            .any(|(kind, payload)| *kind == FrameKind::GoAway && payload[..4] == [0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(told, innocent, "{kinds:?}");
    }
}

/// Streams that were reset count until their work has ended.
#[test]
fn resets_do_not_make_room() {
    let mut end = End::server_with(Local { max_concurrent_streams: 10, ..Local::default() });
    for stream in (1..20).step_by(2) {
        end.feed(&[get(stream), rst_stream(stream)].concat());
    }
    assert_eq!(end.codec.open_streams(), 0);
    end.resets(&get(21), 21, ErrorCode::RefusedStream);
    end.codec.settled();
    assert_eq!(end.feed(&get(23)), [Event::Head { stream: id(23), end: true }]);
}

/// Streams that are refused cost a header block each.
#[test]
fn refused_streams() {
    let mut end = End::server_with(Local { max_concurrent_streams: 1, ..Local::default() });
    end.feed(&get(1));
    let flood: Vec<u8> = (1..=101).flat_map(|n| get(2 * n + 1)).collect();
    end.feed(&flood);
    assert_eq!(end.sent().last().unwrap().1[7], 0xb);
}

#[test]
fn frames_that_cost_their_sender_nothing() {
    floods(|_| setting(0xfafa, 1), Limit::Settings, 16);
    floods(|_| setting(4, 1), Limit::Settings, 16);
    floods(|_| frame(PING, 0, 0, &[0; 8]), Limit::Pings, 101);
    floods(|_| frame(DATA, 0, 1, b""), Limit::EmptyContent, 101);
    floods(|_| frame(DATA, 8, 1, &[3, 0, 0, 0]), Limit::EmptyContent, 101);
    floods(|_| window_update(0, 1000), Limit::WindowUpdates, 1001);
    floods(|_| window_update(1, 1000), Limit::WindowUpdates, 1001);
    // Tiny steps cost more where the window is all but shut.
    floods(|_| window_update(1, 1), Limit::WindowUpdates, 1001);
    let crumbs = |n| if n == 1 { setting(4, 0) } else { window_update(1, 1) };
    floods(crumbs, Limit::WindowUpdates, 102);
    floods(|_| frame(PRIORITY, 0, 9, &[0; 5]), Limit::Priorities, 401);
    floods(|_| frame(0xbe, 0, 0, b""), Limit::UselessFrames, 401);
    floods(|_| frame(SETTINGS, 1, 0, b""), Limit::UselessFrames, 401);
    floods(|_| frame(PING, 1, 0, &[0; 8]), Limit::UselessFrames, 401);
}

/// WINDOW_UPDATE frames that a download of this size explains are no flood.
#[test]
fn downloads_earn_window_updates() {
    let mut end = End::server();
    end.feed(&[setting(4, 1 << 20), window_update(0, 1 << 20), get(1)].concat());
    end.codec.send_head(id(1), [(&b":status"[..], &b"200"[..])], false).expect("the stream is open");
    for _ in 0..10_000 {
        assert_eq!(end.codec.send_content(id(1), &[0; 4096], false, 0), Ok(4096));
        let updates = [window_update(0, 4096), window_update(1, 4096)].concat();
        assert_eq!(end.feed(&updates), []);
        end.sent();
    }
}

/// gRPC opens both windows again for each message that it takes, however short that is.
#[test]
fn short_messages_earn_short_window_updates() {
    let mut end = End::server();
    end.feed(&get(1));
    end.codec.send_head(id(1), [(&b":status"[..], &b"200"[..])], false).expect("the stream is open");
    for _ in 0..10_000 {
        assert_eq!(end.codec.send_content(id(1), b"\0\0\0\0\0", false, 0), Ok(5));
        assert_eq!(end.feed(&[window_update(0, 5), window_update(1, 5)].concat()), []);
        end.sent();
    }
}

#[test]
fn continuations() {
    let begun = frame(HEADERS, END_STREAM, 1, b"");
    let empty: Vec<u8> = (0..17).flat_map(|_| frame(CONTINUATION, 0, 1, b"")).collect();
    let fault = End::server().fails(&[begun.clone(), empty].concat(), ErrorCode::EnhanceYourCalm);
    assert_eq!(fault, Fault::Limit(Limit::Continuations));
    let long: Vec<u8> = (0..2).flat_map(|_| frame(CONTINUATION, 0, 1, &[0x82; 9000])).collect();
    let mut end = End::server();
    let fault = end.fails(&[begun.clone(), long].concat(), ErrorCode::EnhanceYourCalm);
    assert_eq!(fault, Fault::Limit(Limit::HeaderBlock));
    let mut end = End::server();
    end.feed(&begun);
    end.now = end.codec.deadline().unwrap();
    let event = end.codec.handle_timeout(end.now);
    assert_eq!(event, Some(Event::Failed(Fault::Limit(Limit::SlowHeaderBlock))));
}

#[test]
fn long_settings() {
    let fault = End::server().fails(&frame(SETTINGS, 0, 0, &[0; 390]), ErrorCode::EnhanceYourCalm);
    assert_eq!(fault, Fault::Limit(Limit::LongSettings));
}

/// References of one byte to a long field (CVE-2026-49975): nothing is stored beyond the limit.
#[test]
fn header_bombs_take_no_memory() {
    let mut end = End::server();
    let mut block = [&[0x40, 1, b'x', 127, 0xf9, 0x11][..], &[b'y'; 2424]].concat();
    block.extend([0xbe; 12_000]);
    let events = end.feed(&frame(HEADERS, END, 1, &block));
    assert_eq!(events, [Event::HeadTooLarge { stream: id(1), end: true }]);
    assert!(end.codec.capacity() < 64 * 1024, "{}", end.codec.capacity());
    end.assert_open();
}

fn stalled() -> End {
    let mut end = End::server();
    end.feed(&get(1));
    end.codec.send_head(id(1), [(&b":status"[..], &b"200"[..])], false).expect("the stream is open");
    let mut sent = 0;
    while end.codec.send_capacity(id(1)) > 0 {
        sent += end.codec.send_content(id(1), &[0; 100_000], false, 0).expect("the stream is open");
    }
    assert_eq!(sent, 65_535);
    assert_eq!(end.codec.send_content(id(1), &[0; 100_000], false, 0), Ok(0));
    end.sent();
    end
}

#[test]
fn windows_that_stay_shut() {
    let mut end = stalled();
    end.now = end.codec.deadline().unwrap();
    let event = end.codec.handle_timeout(end.now);
    assert_eq!(event, Some(Event::Failed(Fault::Limit(Limit::StalledConnection))));
    // A stream alone ends alone.
    let mut end = stalled();
    end.feed(&window_update(0, 10_000));
    end.now = end.codec.deadline().unwrap();
    let event = end.codec.handle_timeout(end.now);
    assert!(matches!(event, Some(Event::Reset { .. })), "{event:?}");
    end.assert_open();
}

/// A window that opens byte by byte is a stall too.
#[test]
fn windows_that_open_by_bytes() {
    let mut end = stalled();
    end.feed(&window_update(0, 10_000));
    let due = end.codec.deadline().unwrap();
    for _ in 0..60 {
        end.now += due / 61;
        end.feed(&window_update(1, 1));
        end.codec.send_content(id(1), &[0; 1000], false, end.now).unwrap();
    }
    assert!(matches!(end.codec.handle_timeout(due), Some(Event::Reset { .. })));
    let mut end = stalled();
    end.feed(&window_update(0, 100_000));
    for round in 1..9 {
        end.feed(&window_update(1, 5000));
        end.codec.send_content(id(1), &[0; 9000], false, round * due / 2).unwrap();
        assert_eq!(end.codec.handle_timeout(round * due / 2), None);
    }
}

/// A client cannot make a connection useless by a jump to the last numbers.
#[test]
fn the_last_stream_numbers() {
    let mut end = End::server();
    end.feed(&get((1 << 31) - 1001));
    assert_eq!(end.sent()[0].1, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
}

/// What is remembered of streams that ended does not grow.
#[test]
fn memory_of_the_past_is_bounded() {
    let mut end = End::server();
    for n in 0..10 * REMEMBERED_RESETS as u32 {
        end.now += 1000;
        end.feed(&post(2 * n + 1, &[("a", "b")]));
        end.codec.reset(id(2 * n + 1), ErrorCode::Cancel);
        end.sent();
    }
    assert!(end.codec.capacity() < 16 * 1024, "{}", end.codec.capacity());
}

/// Answers to a peer that does not read them do not pile up.
#[test]
fn nothing_is_received_while_much_waits_to_be_sent() {
    let mut end = End::server();
    end.feed(&[setting(4, 1 << 20), window_update(0, 1 << 20), get(1)].concat());
    end.codec.send_head(id(1), [(&b":status"[..], &b"200"[..])], false).expect("the stream is open");
    assert_eq!(end.codec.send_content(id(1), &[0; 100_000], true, 0), Ok(100_000));
    let ping = frame(PING, 0, 0, &[0; 8]);
    assert_eq!(end.codec.handle_bytes(&ping, 0).consumed, 0);
    end.sent();
    assert_eq!(end.codec.handle_bytes(&ping, 0).consumed, ping.len());
}
