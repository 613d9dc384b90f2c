//! Floods and traps for HTTP/3, most of them by clients that never show where they are.

use crate::support::tls::Issuer;
use crate::support::{
    Backend, Http3, Http3Options, PATIENCE, QuicOptions, Ringway, Scenario, eventually, first_flight,
    log_lines, now,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Beyond so many handshakes that are not done, a worker wants to know who is there.
const RETRY_THRESHOLD: usize = 100;

/// What a hundred handshakes that are not done may hold, and what the allocator makes of it.
const MAX_GROWTH_KIB: usize = 40 * 1024;

fn memory(ringway: &Ringway, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ringway.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Clients that begin from addresses all over the loopback network and never answer.
struct Flood {
    target: SocketAddr,
    options: QuicOptions,
    sockets: Vec<UdpSocket>,
    begun: u32,
    retried: usize,
}

impl Flood {
    fn of(target: SocketAddr, first_word: Option<u32>) -> Flood {
        let options = QuicOptions { first_word, ..QuicOptions::default() };
        Flood { target, options, sockets: Vec::new(), begun: 0, retried: 0 }
    }

    /// Lets so many more begin, each from an address of its own.
    fn begin(&mut self, count: usize) {
        for _ in 0..count {
            self.begun += 1;
            let [.., high, low] = self.begun.to_be_bytes();
            let socket = UdpSocket::bind((IpAddr::from([127, 9, high, low]), 0)).expect("a socket");
            socket.set_nonblocking(true).expect("it can be");
            let flight = first_flight(&self.options).expect("it is made");
            socket.send_to(&flight[0], self.target).expect("it is taken");
            self.sockets.push(socket);
        }
        self.count_retries();
    }

    /// Counts those that were asked to show where they are.
    fn count_retries(&mut self) {
        let mut datagram = [0; 2048];
        let sockets = self.sockets.len();
        self.sockets.retain(|socket| match socket.recv(&mut datagram) {
            // A long header of the type of Retry (RFC 9000 §17.2.5).
            Ok(1..) => datagram[0] & 0b1011_0000 != 0b1011_0000,
            _ => true,
        });
        self.retried += sockets - self.sockets.len();
    }

    /// Goes on until newcomers are asked where they are.
    fn until_retry(&mut self) {
        eventually("newcomers have to show where they are", || {
            if self.sockets.len() < 4 * RETRY_THRESHOLD {
                self.begin(40);
            }
            self.count_retries();
            self.retried >= 40
        });
    }
}

fn connect(address: SocketAddr, first_word: Option<u32>) -> Http3 {
    let quic = QuicOptions { first_word, ..QuicOptions::default() };
    let client = Http3::with(address, &Http3Options { quic, ..Http3Options::default() });
    client.unwrap_or_else(|error| panic!("QUIC with {address}: {error}"))
}

#[test]
fn clients_that_never_answer_keep_nobody_out() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().workers(1).start();
    let mut before = Http3::connect(ringway.address());
    assert_eq!(before.get("/").status, 200);
    let resident = memory(&ringway, "VmRSS");
    let mut flood = Flood::of(ringway.address(), None);
    flood.until_retry();
    // Others would have been served without that.
    assert!(flood.begun as usize > RETRY_THRESHOLD / 2, "{}", flood.begun);
    let start = now();
    assert_eq!(Http3::connect(ringway.address()).get("/").status, 200);
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    assert_eq!(before.get("/").status, 200);
    let growth = memory(&ringway, "VmHWM").saturating_sub(resident);
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB");
}

/// The ID that a client chooses says which worker it comes to.
#[test]
fn a_flood_for_one_worker_harms_no_other_and_that_one_serves() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().workers(2).start();
    let mut flood = Flood::of(ringway.address(), Some(0));
    flood.until_retry();
    let start = now();
    for word in [1, 0, 3, 2] {
        assert_eq!(connect(ringway.address(), Some(word)).get("/").status, 200, "word {word}");
    }
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    // Nobody else is asked for more than its own.
    let mut other = Flood::of(ringway.address(), Some(1));
    other.begun = 40_000;
    other.begin(10);
    std::thread::sleep(Duration::from_millis(300));
    other.count_retries();
    assert_eq!(other.retried, 0);
}

/// "an endpoint MUST limit the amount of data it sends to the unvalidated address to three times the amount of data received
/// from that address" (RFC 9000 §8.1).
#[test]
fn nobody_is_sent_more_than_three_times_what_came_from_his_address() {
    let backend = Backend::echo_head();
    let names: Vec<String> = (0..400).map(|number| format!("host-{number}.long-name.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let pair = Issuer::new("sites").server(&names);
    assert!(pair.certificate.len() > 12_000, "it is longer than may be sent");
    let scenario = Scenario::of(&backend).certificate("site", &pair).listener("http3 = true");
    let ringway = scenario.start();
    let flight = first_flight(&QuicOptions::default()).expect("it is made");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.connect(ringway.address()).expect("it can be");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("it can be");
    let (mut sent, mut received) = (0, 0);
    let (end, mut datagram) = (now() + Duration::from_millis(2500), [0; 65_536]);
    let mut left = flight.iter();
    while now() < end {
        if let Some(datagram) = left.next() {
            sent += socket.send(datagram).expect("it is taken");
        }
        while let Ok(length) = socket.recv(&mut datagram) {
            received += length;
        }
        assert!(received <= 3 * sent, "{received} bytes for {sent}");
    }
    // It uses what it may, and would send more.
    assert!(received > 2 * sent, "{received} bytes for {sent}");
}

/// A window of a byte makes a datagram of each byte: it costs the client as much, and nobody's memory.
#[test]
fn tiny_windows_cost_little() {
    const SIZE: usize = 8 << 20;
    let backend = Backend::per_request(|peer, head, _| match head.start_line.contains("/large") {
        true => peer.respond("200 OK", &vec![b'x'; SIZE]),
        false => peer.respond("200 OK", b"small"),
    });
    let scenario = Scenario::of(&backend).http3().workers(1).logged("json");
    let ringway = scenario.listener("client_body_timeout = \"1s\"").start();
    let mut other = Http3::connect(ringway.address());
    assert_eq!(other.get("/").text(), "small");
    let resident = memory(&ringway, "VmRSS");
    let mut slow: Vec<Http3> = (0..3).map(|_| Http3::with_windows(ringway.address(), 1, 1 << 20)).collect();
    // Each reads what it gets, a byte at a time.
    let streams: Vec<u64> =
        slow.iter_mut().map(|client| client.request("GET", "/large", &[], true)).collect();
    let end = now() + Duration::from_millis(1500);
    while now() < end {
        for client in &mut slow {
            client.receive_within(Duration::from_millis(5)).expect("it is open");
        }
        assert_eq!(other.get("/").text(), "small");
    }
    // Who reads nothing at all is not waited for.
    slow.iter_mut().zip(&streams).for_each(|(client, stream)| client.hold(*stream));
    eventually("the log tells it", || {
        let lines = log_lines(&ringway, 0);
        lines.iter().filter(|line| line.contains("client_stalled")).count() == slow.len()
    });
    let growth = memory(&ringway, "VmHWM").saturating_sub(resident);
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB");
    assert_eq!(other.get("/").text(), "small");
}

/// Streams that are opened and given up at once, by clients that come again whenever they are thrown out.
#[test]
fn clients_that_open_and_reset_without_end_are_thrown_out_each_time() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().workers(1).logged("json").start();
    let mut other = Http3::connect(ringway.address());
    assert_eq!(other.get("/").status, 200);
    let resident = memory(&ringway, "VmRSS");
    for round in 0..3 {
        let mut client = Http3::connect(ringway.address());
        let start = now();
        let mut flood = || -> io::Result<()> {
            for _ in 0..20 {
                let stream = client.try_request("GET", "/", &[], false)?;
                client.cancel(stream);
            }
            client.receive_within(Duration::from_millis(1))
        };
        while flood().is_ok() {
            assert!(start.elapsed() < PATIENCE, "round {round}: nobody minds");
        }
        assert_eq!(other.get("/").status, 200);
    }
    let growth = memory(&ringway, "VmHWM").saturating_sub(resident);
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB");
}
