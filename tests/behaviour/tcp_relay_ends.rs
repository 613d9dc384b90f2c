//! How relayed connections end: by one side or both, by silence, by a drain, and not by a reload.

use crate::support::{Backend, Client, Relayed, Ringway, echo, echo_all, eventually, log_entries, now};
use std::io::{ErrorKind, Read};
use std::time::Duration;

fn connect(ringway: &Ringway) -> Client {
    Client::connect_in_the_clear(ringway.address())
}

/// A connection through which something has gone.
fn in_use(ringway: &Ringway) -> Client {
    let mut client = connect(ringway);
    client.send("x");
    assert_eq!(client.read_exactly(1), b"x");
    client
}

/// Closes by a reset.
fn reset(client: Client) {
    let socket = socket2::SockRef::from(client.stream());
    socket.set_linger(Some(Duration::ZERO)).expect("it can be set");
}

#[test]
fn the_end_of_one_side_leaves_the_other_its_time() {
    // The backend answers when it has heard the end, as `sort` does.
    let backend = Backend::script(|peer| {
        let mut all = Vec::new();
        loop {
            match peer.read_some()? {
                bytes if bytes.is_empty() => break,
                bytes => all.extend(bytes),
            }
        }
        std::thread::sleep(Duration::from_millis(300));
        all.reverse();
        peer.write(&all)
    });
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let mut client = connect(&ringway);
    client.send("abc");
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"cba");
}

#[test]
fn the_end_of_the_backend_leaves_the_client_its_time() {
    let (sender, received) = std::sync::mpsc::channel();
    let backend = Backend::script(move |peer| {
        peer.write(b"bye")?;
        peer.finish_sending()?;
        let mut all = Vec::new();
        loop {
            match peer.read_some()? {
                bytes if bytes.is_empty() => break,
                bytes => all.extend(bytes),
            }
        }
        sender.send(all).map_err(|_| ErrorKind::BrokenPipe.into())
    });
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let mut client = connect(&ringway);
    assert_eq!(client.read_to_end(), b"bye");
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(100));
        client.send("late");
    }
    client.finish_sending();
    assert_eq!(received.recv().expect("the backend hears the end"), b"latelatelate");
}

#[test]
fn a_reset_of_the_client_becomes_one_of_the_backend() {
    let (sender, received) = std::sync::mpsc::channel();
    let backend = Backend::script(move |peer| {
        let bytes = peer.read_some()?;
        peer.write(&bytes)?;
        let end = peer.stream().read(&mut [0; 10]).map_err(|error| error.kind());
        sender.send(end).map_err(|_| ErrorKind::BrokenPipe.into())
    });
    let ringway = Relayed::tcp(&[backend.address()]).start();
    reset(in_use(&ringway));
    assert_eq!(received.recv().expect("the backend hears of it"), Err(ErrorKind::ConnectionReset));
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!((&line["reason"], &line["status"]), (&"client_closed".into(), &499.into()), "{line}");
}

#[test]
fn a_reset_of_the_backend_becomes_one_of_the_client() {
    let backend = Backend::script(|peer| {
        peer.read_some()?;
        let socket = socket2::SockRef::from(peer.stream());
        socket.set_linger(Some(Duration::ZERO))
    });
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let mut client = connect(&ringway);
    client.send("x");
    let end = client.stream().read(&mut [0; 10]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!((&line["reason"], &line["status"]), (&"upstream_closed".into(), &502.into()), "{line}");
}

/// So much is not copied any more.
const LONG_STREAM: usize = 8_000_000;

#[test]
fn a_reset_of_the_client_behind_a_long_stream_is_none_of_its_end() {
    let (sender, received) = std::sync::mpsc::channel();
    let backend = Backend::script(move |peer| {
        peer.stream().set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut piece = vec![0; 65_536];
        let end = loop {
            match peer.stream().read(&mut piece) {
                Ok(0) => break Ok(0),
                Ok(_) => {}
                Err(error) => break Err(error.kind()),
            }
        };
        sender.send(end).map_err(|_| ErrorKind::BrokenPipe.into())
    });
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let mut client = connect(&ringway);
    client.send("x".repeat(LONG_STREAM));
    // All of it is on its way.
    std::thread::sleep(Duration::from_millis(500));
    reset(client);
    assert_eq!(received.recv().expect("the backend hears of it"), Err(ErrorKind::ConnectionReset));
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!((&line["reason"], &line["status"]), (&"client_closed".into(), &499.into()), "{line}");
}

#[test]
fn a_reset_of_the_backend_behind_a_long_stream_is_none_of_its_end() {
    let backend = Backend::script(|peer| {
        peer.write(&vec![b'x'; LONG_STREAM])?;
        std::thread::sleep(Duration::from_millis(500));
        socket2::SockRef::from(peer.stream()).set_linger(Some(Duration::ZERO))
    });
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let client = connect(&ringway);
    let mut piece = vec![0; 65_536];
    let end = loop {
        match client.stream().read(&mut piece) {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error.kind()),
        }
    };
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!((&line["reason"], &line["status"]), (&"upstream_closed".into(), &502.into()), "{line}");
}

#[test]
fn an_urgent_byte_ends_no_long_stream() {
    const BEHIND: usize = 100_000;
    let (sender, received) = std::sync::mpsc::channel();
    let backend = Backend::script(move |peer| {
        socket2::SockRef::from(peer.stream()).set_recv_buffer_size(65_536)?;
        std::thread::sleep(Duration::from_secs(1));
        peer.stream().set_read_timeout(Some(Duration::from_secs(10)))?;
        let (mut count, mut piece) = (0, vec![0; 65_536]);
        loop {
            match peer.stream().read(&mut piece)? {
                0 => break,
                some => count += some,
            }
        }
        sender.send(count).map_err(|_| ErrorKind::BrokenPipe.into())
    });
    let ringway = Relayed::tcp(&[backend.address()]).start();
    let mut client = connect(&ringway);
    client.send("x".repeat(LONG_STREAM));
    socket2::SockRef::from(client.stream()).send_out_of_band(b"!").expect("it is taken");
    client.send("y".repeat(BEHIND));
    client.finish_sending();
    // TCP does not pass the urgent byte on.
    assert_eq!(received.recv().expect("the backend hears the end"), LONG_STREAM + BEHIND);
}

#[test]
fn a_reload_ends_no_connection() {
    let (old, new) = (echo(), echo());
    let before = Relayed::tcp(&[old.address()]);
    let ringway = before.start();
    let mut client = in_use(&ringway);
    ringway.reload(&Relayed::tcp(&[new.address(), old.address()]).text());
    client.send("y");
    assert_eq!(client.read_exactly(1), b"y");
    // Another protocol at the same address, too: what was accepted for one is not served by the other.
    let text = before.text().replace("\"tcp\"", "\"http\"");
    ringway.reload(&text);
    client.send("z");
    assert_eq!(client.read_exactly(1), b"z");
    let mut http = Client::connect_in_the_clear(ringway.address());
    http.send("not a request\r\n\r\n");
    assert!(http.read_some().starts_with(b"HTTP/1.1 400"));
}

#[test]
fn a_backend_that_is_removed_keeps_its_connections_until_its_drain_is_over() {
    let (old, new) = (echo(), echo());
    let ringway = Relayed::tcp(&[old.address()]).group("drain_timeout = \"2s\"").start();
    let mut client = in_use(&ringway);
    let begun = now();
    ringway.reload(&Relayed::tcp(&[new.address()]).group("drain_timeout = \"2s\"").text());
    // A busy one, too.
    while begun.elapsed() < Duration::from_millis(1_500) {
        client.send("y");
        assert_eq!(client.read_exactly(1), b"y");
        std::thread::sleep(Duration::from_millis(20));
    }
    let end = client.stream().read(&mut [0; 10]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!(line["reason"], "drain_timeout", "{line}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    in_use(&ringway);
    assert_eq!(new.connections(), 1);
}

#[test]
fn a_stop_waits_for_connections_and_takes_no_new_ones() {
    let backend = Backend::script(echo_all);
    let mut ringway = Relayed::tcp(&[backend.address()]).process("shutdown_timeout = \"20s\"").start();
    let mut client = in_use(&ringway);
    ringway.signal("TERM");
    eventually("nobody listens any more", || std::net::TcpStream::connect(ringway.address()).is_err());
    client.send("y");
    assert_eq!(client.read_exactly(1), b"y");
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"");
    assert!(ringway.wait_for_exit(Duration::from_secs(10)).success());
}

#[test]
fn what_a_stop_cuts_off_is_reset_and_logged() {
    let backend = echo();
    let mut ringway = Relayed::tcp(&[backend.address()]).process("shutdown_timeout = \"1s\"").start();
    let resting = in_use(&ringway);
    // Until it is kept at the least cost.
    std::thread::sleep(Duration::from_secs(3));
    let mut busy = in_use(&ringway);
    ringway.signal("TERM");
    let end = loop {
        busy.send("y");
        match busy.stream().read(&mut [0; 10]) {
            Ok(0) => break Ok(()),
            Ok(_) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => break Err(error.kind()),
        }
    };
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    let end = resting.stream().read(&mut [0; 10]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert!(ringway.wait_for_exit(Duration::from_secs(10)).success());
    ringway.wait_for_line("shutdown_timeout is over: 2 client connections cut off");
    for line in log_entries(&ringway, 2) {
        assert_eq!((&line["reason"], &line["status"]), (&"shutdown_timeout".into(), &503.into()), "{line}");
    }
}

#[test]
fn silence_ends_both_sides() {
    let backend = echo();
    let ringway = Relayed::tcp(&[backend.address()]).listener("idle_timeout = \"10s\"").start();
    let mut client = in_use(&ringway);
    client.expect_silence(Duration::from_secs(6));
    // What is said by one side counts for both.
    client.send("y");
    assert_eq!(client.read_exactly(1), b"y");
    let begun = now();
    client.expect_silence(Duration::from_secs(8));
    client.expect_closed();
    assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!((&line["reason"], &line["status"]), (&"idle_timeout".into(), &200.into()), "{line}");
    eventually("the backend hears of it", || backend.open_connections() == 0);
}

#[test]
fn silence_with_undelivered_bytes_is_no_end_of_them() {
    let backend = Backend::script(|peer| {
        peer.read_some()?;
        // Far more than all buffers on the way take.
        let _ = peer.write(&vec![b'x'; 64 << 20]);
        Ok(())
    });
    let ringway = Relayed::tcp(&[backend.address()]).listener("idle_timeout = \"10s\"").start();
    let mut client = Client::connect_in_the_clear(ringway.address());
    client.send("all");
    // The client takes nothing, until its time is over.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "idle_timeout");
    let mut stream = client.stream();
    let end = std::io::copy(&mut stream, &mut std::io::sink()).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}

#[test]
fn whoever_takes_bytes_slowly_is_not_silent() {
    let backend = Backend::script(|peer| {
        peer.read_some()?;
        let _ = peer.write(&vec![b'x'; 64 << 20]);
        Ok(())
    });
    let ringway = Relayed::tcp(&[backend.address()]).listener("idle_timeout = \"10s\"").start();
    let mut client = connect(&ringway);
    client.send("all");
    let begun = now();
    // Room for more in the queue of the kernel shows only when a third of it has drained.
    while begun.elapsed() < Duration::from_secs(14) {
        client.read_exactly(2_000);
        std::thread::sleep(Duration::from_millis(100));
    }
}
