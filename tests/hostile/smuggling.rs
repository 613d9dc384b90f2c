//! Every smuggling attempt of the corpus, through the whole process to a backend that remembers.

use crate::smuggling_corpus::{Attempt, Expected, SMUGGLED, attempts};
use crate::support::{Backend, Client, Ringway};
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A backend that answers with the target and tells it.
fn reporting_backend() -> (Backend, Receiver<String>) {
    let (sender, received) = channel();
    let backend = Backend::per_request(move |peer, head, _| {
        let _ = sender.send(head.start_line.clone());
        peer.respond("200 OK", head.start_line.as_bytes())
    });
    (backend, received)
}

/// Sends the attempt and the smuggled request in these pieces and tells what is wrong with the answers.
fn verdict(
    attempt: &Attempt,
    ringway: &Ringway,
    received: &Receiver<String>,
    piece: usize,
) -> Option<String> {
    let mut client = Client::connect(ringway.address());
    client.stream().set_read_timeout(Some(Duration::from_secs(3))).expect("it can");
    for bytes in [&attempt.bytes[..], SMUGGLED].concat().chunks(piece) {
        // An early answer may have ended the connection.
        let _ = client.try_send(bytes);
    }
    let mut statuses = Vec::new();
    let end = loop {
        match client.try_read_response() {
            Ok(response) => statuses.push(response.status),
            Err(error) => break error.kind(),
        }
        if attempt.expected == Expected::Forwarded && statuses.len() == 2 {
            break ErrorKind::UnexpectedEof;
        }
    };
    let seen: Vec<_> = received.try_iter().collect();
    let smuggled = seen.iter().filter(|line| line.contains("smuggled")).count();
    let is_fine = match attempt.expected {
        Expected::Forwarded => statuses == [200, 200] && smuggled == 1 && seen.len() == 2,
        Expected::Refused(status) => {
            let is_closed = matches!(end, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset);
            statuses == [status] && smuggled == 0 && is_closed
        }
    };
    (!is_fine).then(|| {
        format!("{} in pieces of {piece}: {statuses:?}, then {end:?}; the backend saw {seen:?}", attempt.name)
    })
}

fn check(piece: usize) {
    let (backend, received) = reporting_backend();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let all = attempts();
    let wrong: Vec<_> =
        all.iter().filter_map(|attempt| verdict(attempt, &ringway, &received, piece)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

#[test]
fn attempts_in_one_piece() {
    check(usize::MAX);
}

#[test]
fn attempts_in_pieces() {
    check(7);
}

/// A backend that takes Transfer-Encoding and Content-Length as it pleases must never see both.
#[test]
fn what_reaches_a_backend_has_one_framing_and_one_host() {
    let backend = Backend::echo_head();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    for attempt in attempts().iter().filter(|attempt| attempt.expected == Expected::Forwarded) {
        let mut client = Client::connect(ringway.address());
        client.send(&attempt.bytes);
        let seen = client.read_response().text().to_ascii_lowercase();
        let count = |name: &str| seen.matches(&format!("\n{name}:")).count();
        assert_eq!(count("host"), 1, "{}: {seen}", attempt.name);
        assert!(count("content-length") + count("transfer-encoding") <= 1, "{}: {seen}", attempt.name);
    }
}
