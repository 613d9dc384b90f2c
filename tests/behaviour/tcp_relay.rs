//! Connections that are relayed: bytes both ways, and which backend they go to.

use crate::support::{Backend, Client, Relayed, Ringway, echo, eventually, expect_refused, log_entries};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

fn connect(ringway: &Ringway) -> Client {
    Client::connect_in_the_clear(ringway.address())
}

/// What a backend says that greets its clients by its name.
fn greeting(name: &'static str) -> Backend {
    Backend::script(move |peer| {
        peer.write(name.as_bytes())?;
        peer.read_some().map(drop)
    })
}

#[test]
fn bytes_go_both_ways_and_the_line_tells_of_them() {
    let backend = echo();
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let mut client = connect(&ringway);
    for text in ["a", "bc", &"d".repeat(100_000), "e"] {
        client.send(text);
        assert_eq!(client.read_exactly(text.len()), text.as_bytes());
    }
    let port = client.local_address().port();
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"");
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!(line["request_length"], 100_004, "{line}");
    assert_eq!(line["bytes_sent"], 100_004, "{line}");
    for (field, value) in [
        ("client_ip", "127.0.0.1"),
        ("scheme", "tcp"),
        ("server_protocol", "TCP"),
        ("listener", "relay"),
        ("server_group", "app"),
        ("reason", "-"),
        ("upstream_addr", &backend.address().to_string()),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
    assert_eq!((&line["client_port"], &line["status"]), (&port.into(), &200.into()), "{line}");
    assert!(line.get("request_method").is_none() && line.get("http_host").is_none(), "{line}");
}

#[test]
fn servers_may_speak_first() {
    let backend = greeting("220 mail.example ESMTP\r\n");
    let ringway = Relayed::tcp(&[backend.address()]).start();
    assert_eq!(connect(&ringway).read_some(), b"220 mail.example ESMTP\r\n");
}

#[test]
fn much_goes_through_in_both_directions_at_once() {
    let backend = echo();
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let mut client = TcpStream::connect(ringway.address()).expect("it listens");
    let sent: Vec<u8> = (0..32 * 1024 * 1024_u32).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect();
    let mut sender = client.try_clone().expect("it can be cloned");
    let to_send = sent.clone();
    let sending = std::thread::spawn(move || {
        sender.write_all(&to_send).expect("it is taken");
        sender.shutdown(Shutdown::Write).expect("it is open");
    });
    let mut received = Vec::new();
    client.read_to_end(&mut received).expect("it ends in order");
    sending.join().expect("it sends");
    assert!(received == sent, "{} of {} bytes, or others", received.len(), sent.len());
}

/// How many descriptors of the process are ends of pipes.
fn pipe_ends(ringway: &Ringway) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", ringway.id())).expect("it runs").flatten();
    let is_pipe = |at: &fs::DirEntry| {
        fs::read_link(at.path()).is_ok_and(|to| to.to_string_lossy().starts_with("pipe:"))
    };
    descriptors.filter(|at| is_pipe(at)).count()
}

#[test]
fn a_long_stream_is_not_copied_and_short_exchanges_go_on_behind_it() {
    const BYTES: usize = 32 * 1024 * 1024;
    let backend = Backend::script(|peer| {
        peer.write(&vec![b'x'; BYTES])?;
        loop {
            match peer.read_some()? {
                text if text.is_empty() => return Ok(()),
                text => peer.write(&text)?,
            }
        }
    });
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let before = pipe_ends(&ringway);
    let mut client = TcpStream::connect(ringway.address()).expect("it listens");
    let mut received = vec![0; BYTES];
    client.read_exact(&mut received).expect("all of it comes");
    assert!(pipe_ends(&ringway) > before, "{before} ends of pipes, as before");
    for text in ["short", "shorter"] {
        client.write_all(text.as_bytes()).expect("it is open");
        let mut answer = vec![0; text.len()];
        client.read_exact(&mut answer).expect("it comes back");
        assert_eq!(answer, text.as_bytes());
    }
    eventually("pipes that nobody needs are closed", || pipe_ends(&ringway) == before);
}

#[test]
fn a_client_that_reads_nothing_holds_its_backend_back() {
    let backend = Backend::script(|peer| {
        let block = vec![b'x'; 64 * 1024];
        let mut sent = 0_u64;
        peer.stream().set_write_timeout(Some(Duration::from_millis(300)))?;
        while peer.write(&block).is_ok() && sent < 1024 {
            sent += 1;
        }
        // 64 MiB are more than all buffers on the way.
        assert!(sent < 1024, "the backend was never held back");
        Ok(())
    });
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let client = connect(&ringway);
    eventually("the backend gives up", || backend.connections() == 1 && backend.open_connections() == 0);
    drop(client);
}

#[test]
fn a_backend_that_refuses_gives_way_to_another_one() {
    let backend = echo();
    let ringway = Relayed::tcp(&[Backend::refused_address(), backend.address()]).start();
    for number in 1..=4 {
        let mut client = connect(&ringway);
        client.send("x");
        assert_eq!(client.read_exactly(1), b"x");
        assert_eq!(backend.connections(), number);
    }
}

#[test]
fn a_connection_that_no_backend_takes_is_reset_with_a_reason() {
    let ringway = Relayed::tcp(&[Backend::refused_address()]).start();
    expect_refused(ringway.address());
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!((&line["status"], &line["reason"]), (&502.into(), &"connect_refused".into()), "{line}");
}

#[test]
fn clients_stay_with_their_backend_by_address() {
    let backends = [greeting("a"), greeting("b"), greeting("c")];
    let addresses = backends.each_ref().map(Backend::address);
    for lines in ["algorithm = \"source_ip_hash\"", "[server_group.sticky]\nmode = \"source_ip\""] {
        let relayed = match lines.starts_with('[') {
            true => Relayed::tcp(&addresses).table(lines),
            false => Relayed::tcp(&addresses).group(lines),
        };
        let ringway = relayed.start();
        let first = connect(&ringway).read_some();
        for _ in 0..8 {
            assert_eq!(connect(&ringway).read_some(), first, "{lines}");
        }
    }
}

#[test]
fn connections_of_one_client_spread_by_their_ports() {
    let backends = [greeting("a"), greeting("b")];
    let key = "algorithm = \"consistent_hash\"\nhash_key = { tuple = true }";
    let ringway = Relayed::tcp(&backends.each_ref().map(Backend::address)).group(key).start();
    let found: BTreeSet<_> = (0..40).map(|_| connect(&ringway).read_some()).collect();
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_backend_with_a_limit_makes_others_wait() {
    let backend = echo();
    let ringway = Relayed::tcp(&[backend.address()])
        .of_backend("max_connections = 1")
        .group("queue = { size = 1, timeout = \"30s\" }")
        .start();
    let mut first = connect(&ringway);
    first.send("1");
    assert_eq!(first.read_exactly(1), b"1");
    let mut second = connect(&ringway);
    second.send("2");
    second.expect_silence(Duration::from_millis(300));
    expect_refused(ringway.address());
    drop(first);
    assert_eq!(second.read_exactly(1), b"2");
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "queue_full");
}

#[test]
fn the_address_of_a_proxy_header_counts() {
    let backend = echo();
    let ringway = Relayed::tcp(&[backend.address()]).listener("proxy_protocol = \"accept\"").start();
    let mut client = connect(&ringway);
    client.send("PROXY TCP4 192.0.2.7 192.0.2.1 4660 5432\r\nhello");
    assert_eq!(client.read_exactly(5), b"hello");
    drop(client);
    let mut other = connect(&ringway);
    other.send("no header at all\r\n");
    other.expect_closed();
    let lines = log_entries(&ringway, 2);
    let of = |reason: &str| lines.iter().find(|line| line["reason"] == reason).expect("a line");
    assert_eq!(of("-")["client_ip"], "192.0.2.7");
    assert_eq!(of("proxy_no_signature")["status"], 400);
}

#[test]
fn who_may_not_connect_does_not() {
    let backend = echo();
    let ringway = Relayed::tcp(&[backend.address()])
        .listener("deny = [\"here\"]")
        .table("[[ip_group]]\nname = \"here\"\nentries = [\"127.0.0.0/8\"]")
        .start();
    expect_refused(ringway.address());
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "access_denied");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn bandwidth_is_limited() {
    let backend = echo();
    let ringway = Relayed::tcp(&[backend.address()]).listener("bandwidth_bytes_per_second = \"1MB\"").start();
    let begun = crate::support::now();
    let mut client = connect(&ringway);
    for _ in 0..8 {
        client.send(vec![0; 100_000]);
        client.read_exactly(100_000);
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(400), "800 kB each way took {took:?}");
}
