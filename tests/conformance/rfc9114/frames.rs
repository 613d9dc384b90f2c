//! §7: frames, where they may stand and how long they are.

use ringway::proto::h3::event::RequestEvent;
use ringway::proto::h3::event::UnidirectionalEvent;
use ringway::proto::h3::fault::ErrorCode;
use ringway::proto::h3::fault::Fault;
use ringway::proto::h3::fault::Fault::FrameLength;
use ringway::proto::h3::priority::Priority;

use super::*;

/// DATA and HEADERS on a control stream, control frames on a request stream, PUSH_PROMISE from a client, and frames of HTTP/2
/// "MUST be treated as a connection error of type H3_FRAME_UNEXPECTED" (§7.2.1 to §7.2.8).
#[test]
fn must_refuse_frames_in_the_wrong_place() {
    for kind in [DATA, HEADERS, SETTINGS, PUSH_PROMISE, 0x2, 0x6, 0x8, 0x9] {
        let refused = control(&[frame(SETTINGS, b""), frame(kind, b"")]);
        assert_eq!(refused, Err(Fault::UnexpectedFrame), "{kind}");
    }
    for kind in
        [CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID, 0x2, 0x6, 0x8, 0x9, 0xf_0700, 0xf_0701]
    {
        for before in [vec![], request(&[])] {
            assert_eq!(fault(&[before, frame(kind, &[0])].concat()), Some(Fault::UnexpectedFrame), "{kind}");
        }
    }
    assert_eq!(Fault::UnexpectedFrame.code(), ErrorCode::FrameUnexpected);
}

/// "A frame payload that contains additional bytes after the identified fields or a frame payload that terminates before the
/// end of the identified fields MUST be treated as a connection error of type H3_FRAME_ERROR." (§7.1)
#[test]
fn must_refuse_frames_of_another_length() {
    for kind in [CANCEL_PUSH, GOAWAY, MAX_PUSH_ID] {
        for payload in [&b""[..], &[0x40], &[0, 0], &[0; 9]] {
            assert_eq!(control(&[frame(SETTINGS, b""), frame(kind, payload)]), Err(FrameLength), "{kind}");
        }
    }
    for payload in [&b""[..], &[0x40]] {
        assert_eq!(control(&[frame(SETTINGS, b""), frame(0xf_0700, payload)]), Err(FrameLength));
        assert_eq!(control(&[frame(SETTINGS, b""), frame(0xf_0701, payload)]), Err(FrameLength));
    }
    assert_eq!(FrameLength.code(), ErrorCode::FrameError);
}

/// "When a stream terminates cleanly, if the last frame on the stream was truncated, this MUST be treated as a connection error
/// of type H3_FRAME_ERROR." (§7.1)
#[test]
fn must_refuse_a_frame_that_is_cut_off() {
    let whole = [request(&[]), frame(DATA, b"abc"), frame(GREASE, b"de"), frame(HEADERS, b"\0\0")].concat();
    assert_eq!(fault(&whole), None);
    let mut borders = vec![0];
    for part in [request(&[]), frame(DATA, b"abc"), frame(GREASE, b"de"), frame(HEADERS, b"\0\0")] {
        borders.push(borders[borders.len() - 1] + part.len());
    }
    for end in 1..whole.len() {
        let expected = (!borders.contains(&end)).then_some(FrameLength);
        assert_eq!(fault(&whole[..end]), expected, "{end}");
    }
}

/// "Implementations MUST ignore unknown or unsupported values in all extensible protocol elements" (§9): frames of such types
/// may stand anywhere, also before a request (§4.1, §7.2.8).
#[test]
fn must_pass_over_unknown_frames() {
    let grease = || frame(GREASE, b"\x01\x02anything");
    let bytes = [grease(), request(&[]), grease(), frame(DATA, b"abc"), grease()].concat();
    let content = bytes.len() - grease().len();
    let (events, outcome) = request_stream(Local::default(), &bytes);
    assert_eq!(events, [RequestEvent::Head, RequestEvent::Content(content - 3..content)]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(control(&[frame(SETTINGS, b""), grease()]), Ok(vec![UnidirectionalEvent::Settings]));
}

/// They cost something (§10.5), and so do long ones and DATA without content.
#[test]
fn useless_frames_have_a_budget() {
    let many = |frame: Vec<u8>, count: usize| fault(&[request(&[]), frame.repeat(count)].concat());
    for useless in [frame(GREASE, b""), frame(DATA, b"")] {
        assert_eq!(many(useless.clone(), 50), None);
        assert_eq!(many(useless, 5_000).map(Fault::code), Some(ErrorCode::ExcessiveLoad));
    }
    assert_eq!(many(frame(GREASE, &[0; 20_000_000]), 1).map(Fault::code), Some(ErrorCode::ExcessiveLoad));
}

/// "A MAX_PUSH_ID frame cannot reduce the maximum push ID; receipt of a MAX_PUSH_ID frame that contains a smaller value than
/// previously received MUST be treated as a connection error of type H3_ID_ERROR." (§7.2.7) No push can be cancelled, for
/// none is promised (§7.2.3).
#[test]
fn must_refuse_push_ids() {
    let max = |push: u8| frame(MAX_PUSH_ID, &[push]);
    assert_eq!(control(&[frame(SETTINGS, b""), max(0), max(7), max(7)]).map(|events| events.len()), Ok(1));
    assert_eq!(control(&[frame(SETTINGS, b""), max(7), max(6)]), Err(Fault::Id));
    assert_eq!(control(&[frame(SETTINGS, b""), max(7), frame(CANCEL_PUSH, &[3])]), Err(Fault::Id));
    assert_eq!(Fault::Id.code(), ErrorCode::IdError);
}

/// RFC 9218 §7.2: a PRIORITY_UPDATE is for a request stream, and never for a push that was not promised.
#[test]
fn must_refuse_priorities_of_other_streams() {
    let update = |kind: u64, payload: &[u8]| control(&[frame(SETTINGS, b""), frame(kind, payload)]);
    let priority = Priority { urgency: 1, incremental: true };
    let expected = [UnidirectionalEvent::Settings, UnidirectionalEvent::Priority { stream: 4, priority }];
    assert_eq!(update(0xf_0700, b"\x04u=1, i"), Ok(expected.to_vec()));
    for stream in [1, 2, 3, 5] {
        assert_eq!(update(0xf_0700, &[stream]), Err(Fault::Id));
    }
    assert_eq!(update(0xf_0701, &[0]), Err(Fault::Id));
    assert_eq!(update(0xf_0700, &[0; 2_000]).map_err(Fault::code), Err(ErrorCode::ExcessiveLoad));
}
