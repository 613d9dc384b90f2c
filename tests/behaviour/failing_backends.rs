//! Backends that die, hang, flap and lie under constant load, while others are well.

use crate::support::{Backend, Client, Ringway, Scenario, eventually, log_entries};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const CLIENTS: usize = 6;

/// How a backend behaves at present.
#[derive(Clone, Copy)]
enum Mood {
    Well,
    /// Takes requests and says nothing, as a stopped process does.
    Silent,
    /// Answers after its time is over.
    Slow,
    /// Answers 503.
    Refusing,
    /// Takes requests and closes the connection.
    Closing,
}

struct Moody {
    backend: Backend,
    mood: Arc<AtomicU8>,
}

impl Moody {
    fn on(address: &str) -> Moody {
        let mood = Arc::new(AtomicU8::new(Mood::Well as u8));
        let shared = Arc::clone(&mood);
        let backend = Backend::script_on(address, move |peer| {
            while peer.read_request()?.is_some() {
                match shared.load(Ordering::SeqCst) {
                    mood if mood == Mood::Silent as u8 => {
                        while !peer.read_some()?.is_empty() {}
                        return Ok(());
                    }
                    mood if mood == Mood::Slow as u8 => {
                        std::thread::sleep(Duration::from_millis(1_500));
                        peer.respond("200 OK", b"late")?;
                    }
                    mood if mood == Mood::Refusing as u8 => peer.respond("503 Busy", b"")?,
                    mood if mood == Mood::Closing as u8 => return Ok(()),
                    _ => peer.respond("200 OK", b"well")?,
                }
            }
            Ok(())
        });
        Moody { backend, mood }
    }

    fn turn(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }
}

/// Clients that ask without end, and how they fared.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<io::Result<()>>>,
}

impl Load {
    fn on(address: SocketAddr) -> Load {
        let (stop, served, failed) = <(Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let client = |_| {
            let (stop, served, failed) = (Arc::clone(&stop), Arc::clone(&served), Arc::clone(&failed));
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::SeqCst) {
                    client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
                    let counter = if client.try_read_response()?.status == 200 { &served } else { &failed };
                    counter.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Load { stop, served, failed, clients }
    }

    /// Waits until so many more requests were served.
    fn go_on(&self, requests: usize) {
        let goal = self.served.load(Ordering::SeqCst) + requests;
        eventually("requests are served", || self.served.load(Ordering::SeqCst) >= goal);
    }

    fn failed(&self) -> usize {
        self.failed.load(Ordering::SeqCst)
    }

    /// Ends it; no client's connection may have broken.
    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().expect("no panic").expect("no connection breaks");
        }
    }
}

fn in_front_of(addresses: &[SocketAddr]) -> Ringway {
    let mut scenario = Scenario::new().workers(2).group("response_timeout = \"1s\"").group_table(
        "[server_group.health_check]\ninterval = \"1s\"\ntimeout = \"1s\"\nhealthy_threshold = 1\n\
         unhealthy_threshold = 2",
    );
    for address in addresses {
        scenario = scenario.backend(*address);
    }
    let ringway = scenario.start();
    for address in addresses {
        ringway.wait_for_line(&format!("backend {address} of group \"app\" is healthy"));
    }
    ringway
}

#[test]
fn a_backend_that_fails_costs_at_most_what_it_had_been_sent() {
    for (mood, max_failures) in [
        // Each client can have one request there when it falls silent, and one more until it is left out:
        // not all of them run out of patience in the same tick.
        (Mood::Silent, 2 * CLIENTS),
        (Mood::Slow, 2 * CLIENTS),
        // These answers are the backend's own, and are passed on until it is left out: by the health checker, which
        // other processes may keep from its CPU for a moment. Clients make hundreds of requests a second.
        (Mood::Refusing, 5 + 8 * CLIENTS),
        (Mood::Closing, 0),
    ] {
        let (moody, well) = (Moody::on("127.0.0.1:0"), Backend::fixed(WELL));
        let ringway = in_front_of(&[moody.backend.address(), well.address()]);
        let load = Load::on(ringway.address());
        load.go_on(100);
        moody.turn(mood);
        let line = ringway.wait_for_line("is ejected");
        assert!(line.contains(&moody.backend.address().to_string()), "{line}");
        ringway.wait_for_line("is unhealthy");
        load.go_on(100);
        assert!(load.failed() <= max_failures, "{} of {max_failures}", load.failed());
        // The first probe that succeeds brings it back.
        moody.turn(Mood::Well);
        ringway.wait_for_line("is healthy again");
        let before = moody.backend.requests();
        load.go_on(100);
        eventually("it serves again", || moody.backend.requests() >= before + 20);
        load.end();
    }
}

const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell";

#[test]
fn backends_die_one_after_the_other_and_come_back() {
    let backends: Vec<_> = (0..3).map(|_| Moody::on("127.0.0.1:0")).collect();
    let addresses: Vec<_> = backends.iter().map(|moody| moody.backend.address()).collect();
    let ringway = in_front_of(&addresses);
    let load = Load::on(ringway.address());
    let mut alive: Vec<_> = backends.into_iter().map(Some).collect();
    for (place, address) in addresses.iter().enumerate() {
        load.go_on(50);
        drop(alive[place].take());
        ringway.wait_for_line(&format!("backend {address} of group \"app\" is unhealthy"));
        load.go_on(50);
        let returned = Moody::on(&address.to_string());
        ringway.wait_for_line(&format!("backend {address} of group \"app\" is healthy again"));
        eventually("it serves again", || returned.backend.requests() >= 10);
        alive[place] = Some(returned);
    }
    assert_eq!(load.failed(), 0);
    load.end();
}

#[test]
fn when_all_die_the_first_that_comes_back_serves() {
    let backends: Vec<_> = (0..2).map(|_| Moody::on("127.0.0.1:0")).collect();
    let addresses: Vec<_> = backends.iter().map(|moody| moody.backend.address()).collect();
    let ringway = in_front_of(&addresses);
    let load = Load::on(ringway.address());
    load.go_on(50);
    drop(backends);
    for address in &addresses {
        ringway.wait_for_line(&format!("backend {address} of group \"app\" is unhealthy"));
    }
    assert!(load.failed() > 0);
    let returned = Moody::on(&addresses[1].to_string());
    ringway.wait_for_line(&format!("backend {} of group \"app\" is healthy again", addresses[1]));
    // What was under way when it came back has ended.
    load.go_on(20);
    let failed = load.failed();
    load.go_on(200);
    assert!(returned.backend.requests() >= 200);
    assert_eq!(load.failed(), failed, "with one that is well, nothing fails");
    load.end();
}

#[test]
fn a_want_of_local_ports_is_no_fault_of_the_backend() {
    for protocol in ["http", "h2c"] {
        let backend = Backend::echo_head();
        let scenario = Scenario::of(&backend)
            .group_protocol(protocol)
            .process("# in cleartext")
            .group_table("[server_group.health_check]\ninterval = \"1s\"\nunhealthy_threshold = 1")
            .table("[access_log]\npath = \"access.log\"\n[admin]\nsocket = \"admin.sock\"");
        let ringway = Ringway::start_without_local_ports(&scenario.text());
        let mut client = Client::connect(ringway.address());
        for _ in 0..6 {
            let response = client.get("/");
            assert_eq!((response.status, response.field("x-router-code")), (503, Some("50000")));
        }
        assert!(log_entries(&ringway, 6).iter().all(|entry| entry["reason"] == "no_local_port"));
        let line = ringway.wait_for_line("backends cannot be probed");
        assert!(line.contains("ip_local_port_range"), "{line}");
        let backend = &status(&ringway)["groups"][0]["backends"][0];
        let figures = ["state", "requests", "failures"].map(|key| backend[key].clone());
        assert_eq!(serde_json::json!(figures), serde_json::json!(["initial", 0, 0]), "{backend}");
    }
}

#[test]
fn a_want_of_descriptors_is_no_fault_of_the_backend() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend)
        .group("keepalive_connections = 0")
        .group_table("[server_group.health_check]\ninterval = \"1s\"\nunhealthy_threshold = 1")
        .table("[admin]\nsocket = \"admin.sock\"");
    let ringway = scenario.start();
    ringway.wait_for_line("is healthy");
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    ringway.limit_descriptors(5);
    (0..6).for_each(|_| assert_eq!(client.get("/").status, 503));
    ringway.wait_for_line("backends cannot be probed");
    ringway.limit_descriptors(1_000);
    assert_eq!(client.get("/").status, 200);
    let backend = &status(&ringway)["groups"][0]["backends"][0];
    let figures = ["state", "requests", "failures"].map(|key| backend[key].clone());
    assert_eq!(serde_json::json!(figures), serde_json::json!(["healthy", 2, 0]), "{backend}");
}

/// A kept connection that its backend closes is no failure as long as the client does not notice. A POST is not sent
/// again, so that the client does.
#[test]
fn what_fails_on_a_kept_connection_counts_once_the_client_gets_it() {
    let http1 = || {
        Backend::script(|peer| {
            peer.read_request()?;
            peer.respond("200 OK", b"first")?;
            peer.read_request().map(drop)
        })
    };
    let http2 = || {
        Backend::http2(|end| {
            let first = end.next_request()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            end.message(first)?;
            end.respond(first, "200", b"first")?;
            end.next_request().map(drop)
        })
    };
    for (protocol, backend) in [("http", http1()), ("h2c", http2())] {
        let admin = "[admin]\nsocket = \"admin.sock\"";
        let scenario = Scenario::of(&backend).group_protocol(protocol).group("max_retries = 0").table(admin);
        let ringway = scenario.start();
        let ask = |method: &str| {
            let mut client = Client::connect(ringway.address());
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
            client.read_response().status
        };
        let failures = || status(&ringway)["groups"][0]["backends"][0]["failures"].clone();
        assert_eq!((0..6).map(|_| ask("GET")).collect::<Vec<_>>(), [200; 6], "{protocol}");
        assert_eq!(failures(), 0, "{protocol}");
        let statuses: Vec<_> = (0..6).map(|_| ask("POST")).collect();
        let failed = statuses.iter().filter(|status| **status == 502).count();
        assert!(failed >= 2, "{protocol}: {statuses:?}");
        assert_eq!(failures(), failed, "{protocol}");
    }
}

/// What `ringway status` says.
fn status(ringway: &Ringway) -> serde_json::Value {
    let socket = ringway.folder().join("admin.sock").display().to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["status", "--json", "--socket", &socket])
        .output()
        .expect("it runs");
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}
