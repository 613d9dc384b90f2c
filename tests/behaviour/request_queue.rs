//! Backends that may have so many requests at a time, and the queue before them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::admin::status;
use crate::support::{
    Ask, Backend, BackendVersion, Client, PATIENCE, Pair, Ringway, Scenario, Version, eventually, log_entries,
};

/// Holds requests until they are let go, and counts them.
#[derive(Default)]
struct Gate {
    is_open: AtomicBool,
    inside: AtomicUsize,
}

impl Gate {
    fn pass(&self) {
        self.inside.fetch_add(1, Ordering::SeqCst);
        while !self.is_open.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }
}

/// What is behind a gate must not hang when a test fails.
impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

struct Opened<'g>(&'g Gate);

/// A backend whose requests pass this gate.
fn gated(gate: &Arc<Gate>) -> Backend {
    let gate = Arc::clone(gate);
    Backend::per_request(move |peer, _, _| {
        gate.pass();
        peer.respond("200 OK", b"ok")
    })
}

/// The same in the version of the pair.
fn gated_of(pair: Pair, gate: &Arc<Gate>) -> Backend {
    let gate = Arc::clone(gate);
    pair.backend(move |exchange| {
        gate.pass();
        exchange.respond(200, b"ok")
    })
}

/// In front of one backend with this limit, which speaks the version of the pair.
fn in_front_of(pair: Pair, backend: &Backend, limit: usize) -> Scenario {
    let scenario = Scenario::new().group_table(&limited(backend, limit));
    let scenario = match pair.client {
        Version::Http1 => scenario,
        Version::Http2 => scenario.secured(),
        Version::Http3 => scenario.http3(),
    };
    if pair.backend == BackendVersion::Http2 { scenario.group_protocol("h2c") } else { scenario }
}

fn with_socket(scenario: Scenario) -> Scenario {
    scenario.table("[admin]\nsocket = \"admin.sock\"")
}

/// A backend of the group with this limit.
fn limited(backend: &Backend, limit: usize) -> String {
    let address = backend.address();
    format!("[[server_group.backend]]\naddress = \"{address}\"\nmax_connections = {limit}")
}

/// How many requests wait.
fn waiting(ringway: &Ringway) -> u64 {
    status(ringway)["groups"][0]["queue"]["in_use"].as_u64().expect("a number")
}

#[test]
fn a_full_backend_gets_no_more_and_others_take_over() {
    let (gate, other_gate) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let (backend, other) = (gated(&gate), gated(&other_gate));
    let scenario = Scenario::new().group_table(&limited(&backend, 2)).group_table(&limited(&other, 3));
    let ringway = scenario.workers(2).logged("json").start();
    let address = ringway.address();
    std::thread::scope(|scope| {
        let _opened = (Opened(&gate), Opened(&other_gate));
        for _ in 0..5 {
            scope.spawn(move || assert_eq!(Client::connect(address).get("/").status, 200));
        }
        eventually("both are full", || (gate.inside(), other_gate.inside()) == (2, 3));
        // Without a queue, who finds no room is refused at once.
        assert_eq!(Client::connect(address).get("/").status, 503);
        gate.open();
        other_gate.open();
    });
    let entries = log_entries(&ringway, 6);
    assert!(entries.iter().any(|entry| entry["reason"] == "queue_full"), "{entries:?}");
    assert_eq!(Client::connect(address).get("/").status, 200);
}

#[test]
fn requests_wait_in_their_order() {
    Pair::each(|pair| {
        let (sender, served) = channel();
        let gate = Arc::new(Gate::default());
        let backend = {
            let gate = Arc::clone(&gate);
            pair.backend(move |exchange| {
                gate.pass();
                drop(sender.send(exchange.path()));
                exchange.respond(200, b"ok")
            })
        };
        let scenario = in_front_of(pair, &backend, 1).group("queue = { size = 10, timeout = \"60s\" }");
        let ringway = with_socket(scenario).start();
        let address = ringway.address();
        std::thread::scope(|scope| {
            let _opened = Opened(&gate);
            let ask = |path: String| {
                scope.spawn(move || assert_eq!(pair.connect(address).get(&path).status, 200));
            };
            ask("/0".to_owned());
            eventually("the first is served", || gate.inside() == 1);
            for number in 1..=4_u64 {
                ask(format!("/{number}"));
                eventually("it waits", || waiting(&ringway) == number);
            }
            gate.open();
        });
        let served: Vec<_> = (0..5).map(|_| served.recv_timeout(PATIENCE).expect("all are served")).collect();
        assert_eq!(served, ["/0", "/1", "/2", "/3", "/4"]);
        assert_eq!(waiting(&ringway), 0);
    });
}

#[test]
fn the_limit_holds_over_all_workers_and_nobody_is_forgotten() {
    let (most, inside) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let backend = {
        let (most, inside) = (Arc::clone(&most), Arc::clone(&inside));
        Backend::per_request(move |peer, _, _| {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
            inside.fetch_sub(1, Ordering::SeqCst);
            peer.respond("200 OK", b"ok")
        })
    };
    let scenario =
        in_front_of(Pair::ALL[0], &backend, 3).workers(2).group("queue = { size = 100, timeout = \"60s\" }");
    let ringway = scenario.start();
    let address = ringway.address();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(move || {
                let mut client = Client::connect(address);
                for _ in 0..20 {
                    assert_eq!(client.get("/").status, 200);
                }
            });
        }
    });
    let most = most.load(Ordering::SeqCst);
    assert!((2..=3).contains(&most), "{most}");
}

#[test]
fn who_waits_too_long_or_finds_no_place_is_refused() {
    Pair::each(|pair| {
        let gate = Arc::new(Gate::default());
        let backend = gated_of(pair, &gate);
        let scenario =
            in_front_of(pair, &backend, 1).group("queue = { size = 1, timeout = \"2s\" }").logged("json");
        let ringway = with_socket(scenario).start();
        let address = ringway.address();
        std::thread::scope(|scope| {
            let _opened = Opened(&gate);
            scope.spawn(move || assert_eq!(pair.connect(address).get("/").status, 200));
            eventually("the first is served", || gate.inside() == 1);
            scope.spawn(move || assert_eq!(pair.connect(address).get("/late").status, 503));
            eventually("the second waits", || waiting(&ringway) == 1);
            assert_eq!(pair.connect(address).get("/full").status, 503);
            eventually("the second waits no more", || waiting(&ringway) == 0);
            gate.open();
        });
        let entries = log_entries(&ringway, 3);
        let reason = |path: &str| {
            let entry = entries.iter().find(|entry| entry["request_uri"] == path).expect("its line");
            entry["reason"].clone()
        };
        assert_eq!((reason("/full"), reason("/late")), ("queue_full".into(), "queue_timeout".into()));
    });
}

#[test]
fn who_leaves_gives_its_place_up() {
    Pair::each(|pair| {
        let gate = Arc::new(Gate::default());
        let backend = gated_of(pair, &gate);
        let scenario = in_front_of(pair, &backend, 1).group("queue = { size = 1, timeout = \"60s\" }");
        let ringway = with_socket(scenario).start();
        let address = ringway.address();
        std::thread::scope(|scope| {
            let _opened = Opened(&gate);
            scope.spawn(move || assert_eq!(pair.connect(address).get("/").status, 200));
            eventually("the first is served", || gate.inside() == 1);
            let mut leaving = pair.connect(address);
            let call = leaving.begin(Ask::get("/"));
            eventually("the second waits", || waiting(&ringway) == 1);
            drop(leaving.abort(call));
            eventually("its place is free", || waiting(&ringway) == 0);
            scope.spawn(move || assert_eq!(pair.connect(address).get("/").status, 200));
            eventually("the third waits", || waiting(&ringway) == 1);
            gate.open();
        });
    });
}

#[test]
fn a_reload_raises_the_limit_and_a_stop_waits_for_the_queue() {
    let gate = Arc::new(Gate::default());
    let backend = gated(&gate);
    let scenario =
        |limit| in_front_of(Pair::ALL[0], &backend, limit).group("queue = { size = 10, timeout = \"60s\" }");
    let mut ringway = with_socket(scenario(1)).table("# in cleartext").start();
    let address = ringway.address();
    std::thread::scope(|scope| {
        let _opened = Opened(&gate);
        for _ in 0..4 {
            scope.spawn(move || assert_eq!(Client::connect(address).get("/").status, 200));
        }
        eventually("all but one wait", || gate.inside() == 1 && waiting(&ringway) == 3);
        ringway.reload(&with_socket(scenario(2)).table("# in cleartext").text());
        eventually("two are served", || gate.inside() == 2 && waiting(&ringway) == 2);
        ringway.signal("TERM");
        gate.open();
    });
    assert!(ringway.wait_for_exit(Duration::from_secs(10)).success());
}
