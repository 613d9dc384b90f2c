//! Idle upstream connections: lent again while they live, and never when they do not.

use crate::support::{Backend, Client, PATIENCE, Peer, Ringway, Scenario, eventually};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Answers with the number of the connection.
fn numbering() -> Backend {
    Backend::per_request(|peer, head, _| {
        if head.start_line.contains("/slow") {
            std::thread::sleep(Duration::from_millis(200));
        }
        let number = peer.number.to_string();
        peer.respond("200 OK", number.as_bytes())
    })
}

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Runs `end` on each connection after its first response. Later connections are served for ever.
fn ending(end: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Backend {
    Backend::script(move |peer| {
        while let Some((_, body)) = peer.read_request()? {
            peer.respond("200 OK", &body)?;
            if peer.number == 0 {
                return end(peer);
            }
        }
        Ok(())
    })
}

#[test]
fn the_last_used_connection_is_lent_first() {
    let backend = numbering();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(ringway.address())).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually("the backend has it", || backend.requests() > index);
        // The responses come as far apart.
        std::thread::sleep(Duration::from_millis(20));
    }
    let numbers: Vec<_> = clients.iter_mut().map(|client| client.read_response().text()).collect();
    assert_eq!(numbers, ["0", "1", "2"]);
    for _ in 0..5 {
        assert_eq!(clients[0].get("/").text(), "2", "the last one that came back");
    }
    assert_eq!(backend.connections(), 3);
}

#[test]
fn a_connection_that_its_backend_closed_is_not_lent() {
    let closed = Backend::script(|peer| {
        let Some((_, body)) = peer.read_request()? else { return Ok(()) };
        peer.respond("200 OK", &body)
    });
    let reset = ending(|peer| socket2::SockRef::from(peer.stream()).set_linger(Some(Duration::ZERO)));
    for (backend, is_kept) in [(closed, false), (reset, true)] {
        let ringway = Ringway::in_front_of(&[backend.address()]);
        let mut client = Client::connect(ringway.address());
        for n in 0..3 {
            client.send(post("x"));
            assert_eq!(client.read_response().status, 200, "request {n}");
            // Of the backend that resets, only the first connection ends.
            eventually("the connection is closed", || {
                backend.open_connections() == usize::from(n > 0 && is_kept)
            });
        }
    }
}

#[test]
fn a_closed_idle_connection_is_noticed_without_any_request() {
    let backend = ending(|_| Ok(()));
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    let count = || std::fs::read_dir(format!("/proc/{}/fd", ringway.id())).expect("the process runs").count();
    let before = count();
    eventually("the descriptor of the dead connection is closed", || count() < before);
}

#[test]
fn unasked_bytes_poison_an_idle_connection() {
    let (sender, sent) = channel();
    let backend = Backend::script(move |peer| {
        while peer.read_request()?.is_some() {
            peer.respond("200 OK", b"good")?;
            // By then the connection is idle.
            std::thread::sleep(Duration::from_millis(20));
            peer.respond("200 OK", b"evil")?;
            let _ = sender.send(());
        }
        Ok(())
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "good");
        sent.recv_timeout(PATIENCE).expect("the backend has said more");
    }
    assert_eq!(backend.connections(), 5);
}

/// Reads a request on a used connection and closes without an answer.
fn dying() -> Backend {
    Backend::script(|peer| {
        while let Some((_, body)) = peer.read_request()? {
            if peer.number == 0 && body != b"first" {
                return Ok(());
            }
            peer.respond("200 OK", &body)?;
        }
        Ok(())
    })
}

#[test]
fn a_request_that_hits_a_dying_connection_is_repeated_only_if_that_is_safe() {
    for (method, body, status) in [
        ("GET", "", 200),
        ("PUT", "again", 200),
        ("DELETE", "", 200),
        ("POST", "again", 502),
        ("PATCH", "x", 502),
    ] {
        let backend = dying();
        // max_retries bounds further backends; this retry goes to the same one.
        let ringway = Scenario::of(&backend).group("max_retries = 0").start();
        let mut client = Client::connect(ringway.address());
        client.send(post("first"));
        assert_eq!(client.read_response().status, 200);
        client
            .send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let response = client.read_response();
        assert_eq!(response.status, status, "{method}");
        if status == 200 {
            assert_eq!(response.text(), body);
        }
    }
}

#[test]
fn a_request_whose_body_is_partly_gone_is_not_repeated_in_part() {
    let backend = dying();
    let ringway = Scenario::of(&backend).group("response_timeout = \"1s\"").start();
    for framing in ["Content-Length: 200000", "Transfer-Encoding: chunked"] {
        let mut client = Client::connect(ringway.address());
        client.send(post("first"));
        assert_eq!(client.read_response().status, 200);
        let body = "x".repeat(200_000);
        let body = if framing.contains("chunked") { format!("30d40\r\n{body}\r\n0\r\n\r\n") } else { body };
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        std::thread::sleep(Duration::from_millis(20));
        client.send(body);
        let response = client.read_response();
        assert!(
            response.status == 502 || response.body.len() == 200_000,
            "{} {}",
            response.status,
            response.text()
        );
    }
}

#[test]
fn keepalive_connections_caps_the_idle_ones() {
    let backend = numbering();
    let ringway = Scenario::of(&backend).group("keepalive_connections = 2").start();
    let mut clients: Vec<_> = (0..6).map(|_| Client::connect(ringway.address())).collect();
    clients.iter_mut().for_each(|client| client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"));
    clients.iter_mut().for_each(|client| assert_eq!(client.read_response().status, 200));
    assert_eq!(backend.connections(), 6);
    eventually("all but two are closed", || backend.open_connections() == 2);
}

#[test]
fn keepalive_connections_of_zero_keeps_none() {
    let backend = numbering();
    let ringway = Scenario::of(&backend).group("keepalive_connections = 0").start();
    let mut client = Client::connect(ringway.address());
    for number in 0..3 {
        assert_eq!(client.get("/").text(), number.to_string());
    }
}

#[test]
fn keepalive_timeout_closes_what_lies_idle() {
    let backend = numbering();
    let ringway = Scenario::of(&backend).group("keepalive_timeout = \"1s\"").start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").text(), "0");
    assert_eq!(backend.open_connections(), 1);
    eventually("the idle connection is closed", || backend.open_connections() == 0);
    assert_eq!(client.get("/").text(), "1");
}

#[test]
fn a_backend_that_says_close_is_taken_at_its_word() {
    let backend = Backend::script(|peer| {
        while peer.read_request()?.is_some() {
            peer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!((response.text().as_str(), response.field("connection")), ("ok", None));
    }
    assert_eq!(backend.connections(), 3);
}

#[test]
fn posts_survive_a_backend_that_closes_without_a_word() {
    // Each connection serves two requests and ends together with its second response.
    let backend = Backend::script(|peer| {
        for _ in 0..2 {
            let Some((_, body)) = peer.read_request()? else { return Ok(()) };
            peer.respond("200 OK", &body)?;
        }
        Ok(())
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let failed = Arc::new(AtomicUsize::new(0));
    let address = ringway.address();
    let load = |_| {
        let failed = failed.clone();
        std::thread::spawn(move || {
            let mut client = Client::connect(address);
            for _ in 0..50 {
                client.send(post("x"));
                failed.fetch_add(usize::from(client.read_response().status != 200), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(3));
            }
        })
    };
    (0..8).map(load).collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().expect("no panic"));
    // The close may always cross a request on its way; that must stay a rarity.
    let failed = failed.load(Ordering::Relaxed);
    assert!(failed <= 8, "{failed} of 400");
}

/// Node announces 5 seconds, Apache and others as they are configured.
#[test]
fn a_connection_is_not_lent_when_its_backend_said_it_is_about_to_close_it() {
    let backend = Backend::script(|peer| {
        while let Some((head, _)) = peer.read_request()? {
            let timeout = if head.start_line.contains("/never") { 0 } else { 1 };
            peer.write(
                format!(
                    "HTTP/1.1 200 OK\r\nKeep-Alive: timeout={timeout}, max=100\r\nContent-Length: 1\r\n\r\n{}",
                    peer.number % 10
                )
                .as_bytes(),
            )?;
        }
        Ok(())
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").text(), "0");
    assert_eq!(client.get("/").text(), "0", "it was idle for no time");
    std::thread::sleep(Duration::from_millis(750));
    assert_eq!(client.get("/").text(), "1");
    assert_eq!(client.get("/never").text(), "1");
    assert_eq!(client.get("/").text(), "2");
    eventually("those that are not lent any more are closed", || backend.open_connections() == 1);
}
