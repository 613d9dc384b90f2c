//! Successors that speak out of turn on the channel of a hand-over.

use crate::admin::socket_of;
use crate::hand_over::{upgraded, with_socket};
use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario, within};
use crate::systemd::message_with_descriptors;
use rustix::net::SendFlags;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// The end of the channel that a process gets which wants to take over.
pub(crate) fn channel(ringway: &Ringway) -> OwnedFd {
    // The one before may be about to be let go.
    let given = within(PATIENCE, || {
        let mut stream = UnixStream::connect(socket_of(ringway)).expect("it listens");
        stream.write_all(b"take-over\n").expect("it is taken");
        message_with_descriptors(&stream).1.pop()
    });
    given.expect("a descriptor")
}

pub(crate) fn say(channel: &OwnedFd, word: &str) {
    // It may have been refused by the word before.
    let _ = rustix::net::send(channel, word.as_bytes(), SendFlags::NOSIGNAL);
}

#[test]
fn a_successor_that_speaks_out_of_turn_is_refused() {
    let backend = Backend::echo_head();
    let mut ringway = with_socket(Scenario::of(&backend)).start();
    let hello = "{\"hello\":{\"protocol\":1,\"version\":\"0\",\"pid\":1}}";
    let ready = "{\"ready\":{\"sockets\":[0,7],\"warnings\":\"\"}}";
    let other = "{\"hello\":{\"protocol\":999,\"version\":\"9\",\"pid\":1}}";
    for (words, reason) in [
        (&[ready][..], "out of turn"),
        (&[hello, ready], "out of turn"),
        (&[hello, hello], "out of turn"),
        (&["\"settled\""], "out of turn"),
        (&["\"prepared\""], "out of turn"),
        (&[other], "version 999 of the protocol"),
        (&["nonsense"], "not understood"),
        // What terminals act on is told as text.
        (&[hello, "{\"refused\":{\"reason\":\"\\u001b[2Jgone\"}}"], "\\\\u{1b}[2Jgone"),
        (&["{\"\\u001b[2J\":{}}"], "\\\\u{1b}[2J"),
    ] {
        let channel = channel(&ringway);
        for word in words {
            say(&channel, word);
        }
        let refusal = within(PATIENCE, || {
            let (text, _) = message_with_descriptors(&channel);
            text.contains("refused").then_some(text)
        });
        assert!(refusal.as_ref().is_some_and(|text| text.contains(reason)), "{words:?}: {refusal:?}");
        assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    }
    ringway.wait_for_line("error: \\u{1b}[2Jgone");
    assert!(ringway.is_running());
    upgraded(&ringway);
}
