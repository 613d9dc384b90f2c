//! What one client can make Ringway keep by not reading, by sending what nobody reads, or by going quiet.

use crate::support::h2::INITIAL_WINDOW_SIZE;
use crate::support::{Backend, Http2, Ringway, Scenario, eventually, within};
use socket2::SockRef;
use std::io::{self, Read};
use std::time::Duration;

const CONNECTIONS: usize = 3;
const STREAMS: usize = 100;
/// For each connection, beyond what so many requests cost that wait for their backend: twice of what it is without
/// optimization on a quiet machine, and a third of what a large buffer for each stream would be.
const MAX_KIB: usize = 4096;

fn memory_kib(ringway: &Ringway, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ringway.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// In use.
const RESIDENT: &str = "VmRSS";
/// Asked for, be it used or not.
const ASKED_FOR: &str = "VmData";

/// A Ringway and how much memory it has at first.
struct Scene {
    ringway: Ringway,
    kind: &'static str,
    before_kib: usize,
}

impl Scene {
    fn new(backend: &Backend, kind: &'static str) -> Scene {
        let ringway = Scenario::of(backend).prior_knowledge().start();
        let before_kib = memory_kib(&ringway, kind);
        Scene { ringway, kind, before_kib }
    }

    fn growth_kib(&self) -> usize {
        memory_kib(&self.ringway, self.kind).saturating_sub(self.before_kib) / CONNECTIONS
    }

    fn is_modest(&self) {
        let due = cost_of_waiting_kib(self.kind);
        std::thread::sleep(Duration::from_millis(300));
        // A peak of the stocks is forgotten within seconds.
        let settled = within(Duration::from_secs(4), || (self.growth_kib() < due + MAX_KIB).then_some(()));
        assert!(settled.is_some(), "{} KiB for each connection, {due} KiB are due", self.growth_kib());
    }
}

/// What requests cost, each with a task and a connection to a backend.
fn cost_of_waiting_kib(kind: &'static str) -> usize {
    let backend = Backend::silent();
    let scene = Scene::new(&backend, kind);
    let _clients: Vec<Http2> = (0..CONNECTIONS).map(|_| greedy(&scene.ringway)).collect();
    eventually("the backend has them", || backend.open_connections() == CONNECTIONS * STREAMS);
    std::thread::sleep(Duration::from_millis(300));
    scene.growth_kib()
}

/// Answers each request without end, with little memory of the kernel's between.
fn endless() -> Backend {
    Backend::script(|peer| {
        SockRef::from(peer.stream()).set_send_buffer_size(16 << 10)?;
        peer.read_head()?;
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
        loop {
            peer.write(&[b'z'; 1 << 16])?;
        }
    })
}

/// Asks for so much that nothing fits anywhere.
fn greedy(ringway: &Ringway) -> Http2 {
    let mut client = Http2::connect_with(ringway.address(), &[(INITIAL_WINDOW_SIZE, 1 << 30)]);
    client.open_window(0, 1 << 30).expect("it is taken");
    for _ in 0..STREAMS {
        client.request("GET", "/", &[], true);
    }
    client
}

#[test]
fn downloads_that_nobody_reads() {
    let backend = endless();
    let scene = Scene::new(&backend, RESIDENT);
    let _clients: Vec<Http2> = (0..CONNECTIONS).map(|_| greedy(&scene.ringway)).collect();
    eventually("the backend has them", || backend.requests() == CONNECTIONS * STREAMS);
    scene.is_modest();
}

/// By then each stream has a piece that is on its way.
#[test]
fn downloads_that_nobody_reads_any_more() {
    let backend = endless();
    let scene = Scene::new(&backend, RESIDENT);
    let clients: Vec<Http2> = (0..CONNECTIONS).map(|_| greedy(&scene.ringway)).collect();
    for client in &clients {
        // What it says is of no interest.
        let mut wire = client.wire().clone();
        let read = io::copy(&mut wire.by_ref().take(32 << 20), &mut io::sink());
        assert_eq!(read.ok(), Some(32 << 20));
    }
    scene.is_modest();
}

/// Each stream sends little, in pieces, into a tunnel that does not open.
#[test]
fn uploads_that_nobody_reads() {
    let backend = Backend::silent();
    let scene = Scene::new(&backend, ASKED_FOR);
    let mut clients: Vec<Http2> = (0..CONNECTIONS).map(|_| Http2::connect(scene.ringway.address())).collect();
    for client in &mut clients {
        client.settle();
        for _ in 0..STREAMS {
            let stream = client.connect_protocol("websocket", "/", &[("sec-websocket-version", "13")]);
            for bytes in [3000, 1, 2000] {
                client.send_content(stream, &vec![b'x'; bytes], false).expect("it is taken");
            }
        }
    }
    eventually("the backend has them", || backend.open_connections() == CONNECTIONS * STREAMS);
    scene.is_modest();
}

/// A connection that was in a hurry costs no more than another once it is idle.
#[test]
fn connections_that_go_quiet() {
    const IDLE: usize = 40;
    const MAX_IDLE_KIB: usize = 32;
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", b"ok"));
    let ringway = Scenario::of(&backend).prior_knowledge().start();
    let mut warm = Http2::connect(ringway.address());
    let upload = vec![b'u'; 60_000];
    assert_eq!(warm.post("/", &upload).status, 200);
    let before = memory_kib(&ringway, RESIDENT);
    let clients: Vec<Http2> = (0..IDLE)
        .map(|_| {
            let mut client = Http2::connect(ringway.address());
            for _ in 0..6 {
                assert_eq!(client.post("/", &upload).status, 200);
            }
            client
        })
        .collect();
    let growth = || memory_kib(&ringway, RESIDENT).saturating_sub(before) / clients.len();
    let shrunk = within(Duration::from_secs(6), || (growth() < MAX_IDLE_KIB).then_some(()));
    assert!(shrunk.is_some(), "{} KiB for each connection", growth());
}
