//! Another configuration in service: what changes does so at once, and nothing else notices.

use crate::support::tls::own_pair;
use crate::support::{Backend, Client, Scenario, eventually, now};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Echoes after a 101, and answers everything else with its name.
fn backend(name: &'static str) -> Backend {
    Backend::script(move |peer| {
        while let Some((head, _)) = peer.read_request()? {
            if head.field("upgrade").is_none() {
                peer.respond("200 OK", name.as_bytes())?;
                continue;
            }
            peer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            )?;
            loop {
                let bytes = peer.read_some()?;
                if bytes.is_empty() {
                    return Ok(());
                }
                peer.write(&bytes)?;
            }
        }
        Ok(())
    })
}

/// A second listener on a free port, for the same group.
fn second_listener(name: &str) -> String {
    format!(
        "[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\nprotocol = \"http\"\ndefault_group = \"app\"\n"
    )
}

#[test]
fn backends_change_under_open_connections() {
    let (one, two) = (backend("one"), backend("two"));
    let ringway = Scenario::of(&one).workers(2).start();
    let address = ringway.address();
    let mut clients: Vec<_> = (0..8).map(|_| Client::connect(address)).collect();
    assert!(clients.iter_mut().all(|client| client.get("/").text() == "one"));
    ringway.reload(&Scenario::of(&two).workers(2).text());
    assert!(clients.iter_mut().all(|client| client.get("/").text() == "two"));
    assert_eq!(Client::connect(address).get("/").text(), "two");
}

#[test]
fn listeners_come_and_go() {
    let app = backend("app");
    let scenario = Scenario::of(&app).workers(2);
    let ringway = scenario.start();
    let first = ringway.address();
    ringway.reload(&scenario.clone().table(&second_listener("other")).text());
    let second = ringway.address_of("other");
    let mut client = Client::connect(second);
    assert_eq!(client.get("/").text(), "app");
    assert_eq!(Client::connect(first).get("/").text(), "app");

    let mut idle = Client::connect(second);
    assert_eq!(idle.get("/").text(), "app");
    ringway.reload(&scenario.text());
    // What is on its way is answered, and told that it was the last.
    let last = client.get("/");
    assert_eq!((last.text().as_str(), last.field("connection")), ("app", Some("close")));
    client.expect_closed();
    let began = now();
    idle.expect_closed();
    assert!(began.elapsed() < Duration::from_secs(5));
    eventually("nobody listens there", || std::net::TcpStream::connect(second).is_err());
    assert_eq!(Client::connect(first).get("/").text(), "app");
    // It may come back.
    ringway.reload(&scenario.table(&second_listener("other")).text());
    eventually("somebody listens again", || {
        ringway.listeners().iter().filter(|(name, _)| name == "other").count() == 2
    });
}

#[test]
fn a_listeners_terms_change_for_the_next_request() {
    let app = backend("app");
    let scenario = Scenario::of(&app);
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    client.send(post);
    assert_eq!(client.read_response().status, 200);
    ringway.reload(&scenario.listener("max_body_bytes = 4").text());
    client.send(post);
    assert_eq!(client.read_response().status, 413);
}

#[test]
fn a_broken_file_changes_nothing_and_says_why() {
    let app = backend("app");
    let scenario = Scenario::of(&app);
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    for (broken, says) in [
        (scenario.clone().group("algorithm = \"best\"").text(), "invalid value \"best\""),
        ("nonsense".to_owned(), "ringway.toml:1:"),
        (scenario.clone().address("\"192.0.2.1:80\"").text(), "no interface of this host has that address"),
        (scenario.clone().backend_at("no-such-host.invalid:80", 100).text(), "no-such-host.invalid"),
    ] {
        ringway.replace_configuration(&broken);
        ringway.signal("HUP");
        let line = ringway.wait_for_line(says);
        assert!(line.contains("error"), "{line}");
        eventually("the refusal is told", || ringway.stderr().matches("the reload is refused").count() > 0);
        assert_eq!(client.get("/").text(), "app");
        assert_eq!(Client::connect(ringway.address()).get("/").text(), "app");
    }
    ringway.reload(&scenario.text());
    assert_eq!(client.get("/").text(), "app");
}

#[test]
fn who_proved_less_than_is_required_now_is_not_served() {
    let app = backend("app");
    let site = own_pair();
    let in_the_clear = || format!("# in cleartext\n{}", Scenario::of(&app).text());
    let ringway = crate::support::Ringway::start_with(
        &in_the_clear(),
        &[("site.crt".to_owned(), site.certificate.clone()), ("site.key".to_owned(), site.key.clone())],
    );
    let mut client = Client::connect_in_the_clear(ringway.address());
    assert_eq!(client.get("/").text(), "app");
    ringway.reload(&Scenario::of(&app).certificate("site", site).text());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect_closed();
}

/// A client that asks without end, on a connection kept open or on a new one each time.
fn ask_without_end(address: SocketAddr, keeps: bool, stop: &AtomicBool) -> io::Result<usize> {
    let mut asked = 0;
    let mut client = Client::connect(address);
    while !stop.load(Ordering::Relaxed) {
        client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let response = client.try_read_response()?;
        if response.status != 200 {
            return Err(io::Error::other(format!("status {} after {asked} requests", response.status)));
        }
        asked += 1;
        if !keeps || response.field("connection") == Some("close") {
            client = Client::connect(address);
        }
    }
    Ok(asked)
}

#[test]
fn many_reloads_cost_no_request() {
    const RELOADS: usize = 25;
    let backends: Vec<_> = ["one", "two", "three"].map(backend).into();
    let scenario = |number: usize| {
        let mut scenario = Scenario::new().workers(2).backend(backends[0].address());
        if number.is_multiple_of(2) {
            scenario = scenario.backend(backends[1].address());
        }
        if number.is_multiple_of(3) {
            scenario = scenario.backend_at(&backends[2].address().to_string(), 10 + (number % 50) as u8);
        }
        for extra in 0..number % 3 {
            scenario = scenario.table(&second_listener(&format!("extra-{number}-{extra}")));
        }
        scenario
    };
    let ringway = scenario(0).start();
    let address = ringway.address();
    let mut socket = Client::connect(address);
    socket.send(ASK);
    assert_eq!(socket.read_response().status, 101);
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..6)
        .map(|number| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || {
                let asked = ask_without_end(address, number % 2 == 0, &stop)?;
                served.fetch_add(asked, Ordering::Relaxed);
                Ok::<_, io::Error>(())
            })
        })
        .collect();
    for number in 1..=RELOADS {
        if number.is_multiple_of(5) {
            ringway.replace_configuration("config_version = 2");
            ringway.signal("HUP");
            let refused = || ringway.stderr().matches("the reload is refused").count();
            eventually("the refusal is told", || refused() == number / 5);
        } else {
            ringway.reload(&scenario(number).text());
        }
        socket.send(format!("{number:08}"));
        assert_eq!(socket.read_exactly(8), format!("{number:08}").as_bytes());
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("no panic").expect("no request fails");
    }
    assert!(served.load(Ordering::Relaxed) > RELOADS, "{served:?}");
}

#[test]
fn a_process_that_stops_opens_no_listener() {
    let silent = Backend::silent();
    let scenario = Scenario::of(&silent).workers(2);
    let mut ringway = scenario.start();
    let (mut client, mut idle) = (Client::connect(ringway.address()), Client::connect(ringway.address()));
    client.send(ASK);
    eventually("the backend has it", || silent.open_connections() == 1);
    ringway.replace_configuration(&scenario.clone().table(&second_listener("other")).text());
    ringway.signal("TERM");
    idle.expect_closed();
    ringway.signal("HUP");
    ringway.wait_for_line("the reload is refused: the process is stopping");
    drop(client);
    assert!(ringway.wait_for_exit(Duration::from_secs(10)).success());
}
