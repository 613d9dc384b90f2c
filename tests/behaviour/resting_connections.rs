//! Relayed connections that have been silent for long, which cost less memory then, and nobody notices.

use crate::support::{Backend, Client, PATIENCE, Relayed, Ringway, echo, eventually, log_entries};
use std::fs;
use std::io::{ErrorKind, Read};
use std::time::Duration;

/// Silences after which connections rest.
const LONG: Duration = Duration::from_secs(4);

/// A connection through which something has gone.
fn in_use(ringway: &Ringway) -> Client {
    let mut client = Client::connect_in_the_clear(ringway.address());
    expect_echo(&mut client);
    client
}

fn expect_echo(client: &mut Client) {
    client.send("x");
    assert_eq!(client.read_exactly(1), b"x");
}

/// Sockets that wait in an epoll set for input alone, as no other set of the process has them.
fn resting(ringway: &Ringway) -> usize {
    let folder = format!("/proc/{}/fdinfo", ringway.id());
    let infos = fs::read_dir(folder).expect("the process is there").flatten();
    let texts = infos.filter_map(|info| fs::read_to_string(info.path()).ok());
    texts.map(|text| text.lines().filter(|line| line.contains(" events: 40002019 ")).count()).sum()
}

fn wait_until_resting(ringway: &Ringway, sockets: usize) {
    eventually(&format!("{sockets} sockets rest"), || resting(ringway) == sockets);
}

#[test]
fn what_a_client_says_after_a_rest_arrives_and_is_answered() {
    let backend = echo();
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let mut clients = [in_use(&ringway), in_use(&ringway)];
    for _ in 0..2 {
        wait_until_resting(&ringway, 4);
        expect_echo(&mut clients[0]);
        wait_until_resting(&ringway, 2);
        expect_echo(&mut clients[1]);
    }
    drop(clients);
    eventually("the backend hears of it", || backend.open_connections() == 0);
    assert_eq!(resting(&ringway), 0);
}

#[test]
fn what_a_backend_says_after_a_rest_arrives() {
    let backend = Backend::script(|peer| {
        peer.write(b"x")?;
        std::thread::sleep(LONG);
        peer.write(b"late")
    });
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let mut client = Client::connect_in_the_clear(ringway.address());
    assert_eq!(client.read_exactly(1), b"x");
    wait_until_resting(&ringway, 2);
    assert_eq!(client.read_to_end(), b"late");
}

#[test]
fn a_side_that_has_ended_disturbs_no_rest() {
    let backend = Backend::script(|peer| {
        while !peer.read_some()?.is_empty() {}
        std::thread::sleep(LONG);
        peer.write(b"late")
    });
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let mut client = Client::connect_in_the_clear(ringway.address());
    client.send("abc");
    client.finish_sending();
    wait_until_resting(&ringway, 1);
    assert_eq!(client.read_to_end(), b"late");
}

#[test]
fn resets_arrive_during_a_rest() {
    let (sender, received) = std::sync::mpsc::channel();
    let backend = Backend::script(move |peer| {
        let bytes = peer.read_some()?;
        peer.write(&bytes)?;
        peer.stream().set_read_timeout(Some(2 * LONG))?;
        let end = peer.stream().read(&mut [0; 10]).map_err(|error| error.kind());
        sender.send(end).map_err(|_| ErrorKind::BrokenPipe.into())
    });
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let client = in_use(&ringway);
    wait_until_resting(&ringway, 2);
    socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("it can be set");
    drop(client);
    assert_eq!(received.recv().expect("the backend hears of it"), Err(ErrorKind::ConnectionReset));
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!((&line["reason"], &line["status"]), (&"client_closed".into(), &499.into()), "{line}");
}

#[test]
fn a_rest_ends_with_the_backend_that_is_taken_away() {
    let (old, new) = (echo(), echo());
    let of = |backend: &Backend| Relayed::tcp(&[backend.address()]).group("on_drain = \"reset\"");
    let ringway = of(&old).start();
    let client = in_use(&ringway);
    wait_until_resting(&ringway, 2);
    ringway.reload(&of(&new).text());
    client.stream().set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let end = client.stream().read(&mut [0; 10]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "drain_timeout");
    eventually("the backend hears of it", || old.open_connections() == 0);
}

#[test]
fn a_limited_backend_keeps_its_room_through_silences() {
    let backend = echo();
    let ringway = Relayed::tcp(&[backend.address()])
        .group("queue = { size = 4, timeout = \"60s\" }")
        .of_backend("max_connections = 1")
        .start();
    let mut client = in_use(&ringway);
    client.expect_silence(LONG);
    let mut second = Client::connect_in_the_clear(ringway.address());
    second.send("y");
    second.expect_silence(Duration::from_secs(1));
    expect_echo(&mut client);
    drop(client);
    assert_eq!(second.read_exactly(1), b"y");
}
