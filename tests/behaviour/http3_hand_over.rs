//! HTTP/3 after upgrades that change the number of workers: all of them serve by the sockets that there are.

use crate::admin::status;
use crate::hand_over::{upgraded, with_socket};
use crate::support::{Backend, Http3, PATIENCE, Ringway, Scenario, eventually, log_entries, within};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// More than is kept until a client has it, so that it takes as long as the client likes.
const SIZE: usize = 4 << 20;
/// Enough for each of three workers to get some.
const CLIENTS: usize = 40;
/// Long enough for workers without connections to end.
const LINGERING: Duration = Duration::from_millis(1500);

fn with_workers(backend: &Backend, workers: usize) -> Scenario {
    with_socket(Scenario::of(backend).http3().workers(workers).logged("json"))
}

fn downloads() -> Backend {
    Backend::per_request(|peer, head, _| {
        let content = if head.text().contains("/large") { vec![b'x'; SIZE] } else { b"ok".to_vec() };
        peer.respond("200 OK", &content)
    })
}

/// The worker that has answered a request to this path, which was the only one.
fn worker_of(ringway: &Ringway, path: &str) -> u64 {
    let worker = within(PATIENCE, || {
        let entries = log_entries(ringway, 1);
        let entry = entries.iter().find(|entry| entry["request_uri"] == path)?;
        entry["worker"].as_u64()
    });
    worker.unwrap_or_else(|| panic!("no line of {path}"))
}

/// A client of this worker of the newest process. `round` tells paths of one process from those of others.
fn client_of(ringway: &Ringway, worker: u64, round: &str) -> Http3 {
    for attempt in 0..100 {
        let mut client = Http3::with_windows(ringway.address(), 64 << 10, 64 << 10);
        let path = format!("/{round}/{worker}/{attempt}");
        assert_eq!(client.get(&path).status, 200);
        if worker_of(ringway, &path) == worker {
            return client;
        }
    }
    panic!("worker {worker} gets no client")
}

/// A download that goes on for as long as the test does not read on.
fn begun(mut client: Http3) -> (Http3, u64) {
    let stream = client.request("GET", "/large", &[], true);
    let has_some = |client: &mut Http3| (!client.stream(stream).body.is_empty()).then_some(());
    assert!(matches!(client.receive_until(has_some), Ok(Some(()))));
    (client, stream)
}

fn finish((mut client, stream): (Http3, u64)) {
    assert_eq!(client.response(stream).body.len(), SIZE);
}

/// Upgrades to a process with so many workers: all clients that come then are served, and by all of them.
fn upgraded_to(ringway: &Ringway, backend: &Backend, workers: usize, round: &str) {
    ringway.replace_configuration(&with_workers(backend, workers).text());
    upgraded(ringway);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Http3::connect(ringway.address())).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.get(&format!("/{round}/{number}")).status, 200);
    }
    let served = (0..CLIENTS).map(|number| worker_of(ringway, &format!("/{round}/{number}")));
    let expected: BTreeSet<_> = (0..workers as u64).collect();
    assert_eq!(served.collect::<BTreeSet<_>>(), expected, "{round}");
    // A connection stays with its worker when its client comes from elsewhere.
    for (number, client) in clients.iter_mut().enumerate().take(10) {
        client.quic.move_to_another_port(number % 2 == 0).expect("there is a port");
        assert_eq!(client.get(&format!("/{round}/{number}/moved")).status, 200);
        let workers = ["", "/moved"].map(|end| worker_of(ringway, &format!("/{round}/{number}{end}")));
        assert_eq!(workers[0], workers[1]);
    }
}

fn old_ones_have_ended(ringway: &Ringway) {
    eventually("old ones have ended", || {
        status(ringway)["predecessors"].as_array().is_some_and(Vec::is_empty)
    });
}

#[test]
fn all_workers_serve_when_there_are_more_than_sockets() {
    let backend = downloads();
    let ringway = with_workers(&backend, 1).start();
    let first = begun(client_of(&ringway, 0, "first"));
    upgraded_to(&ringway, &backend, 3, "more");
    // Those who hear by the socket of worker 0, which has nothing to do itself.
    let others = [1, 2].map(|worker| begun(client_of(&ringway, worker, "others")));
    upgraded_to(&ringway, &backend, 2, "fewer");
    let last = begun(client_of(&ringway, 1, "last"));
    std::thread::sleep(LINGERING);
    finish(first);
    others.into_iter().for_each(finish);
    old_ones_have_ended(&ringway);
    upgraded_to(&ringway, &backend, 1, "one");
    std::thread::sleep(LINGERING);
    finish(last);
}

#[test]
fn all_workers_serve_when_there_are_fewer_than_sockets_and_more_again() {
    let backend = downloads();
    let ringway = with_workers(&backend, 2).start();
    let first = [0, 1].map(|worker| begun(client_of(&ringway, worker, "first")));
    upgraded_to(&ringway, &backend, 1, "one");
    first.into_iter().for_each(finish);
    old_ones_have_ended(&ringway);
    upgraded_to(&ringway, &backend, 3, "more");
}

#[test]
fn a_worker_without_a_socket_finishes_what_it_has_at_a_stop() {
    static IS_OPEN: AtomicBool = AtomicBool::new(false);
    let backend = Backend::per_request(|peer, head, _| {
        while head.text().contains("/slow") && !IS_OPEN.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        peer.respond("200 OK", b"served")
    });
    let ringway = with_workers(&backend, 1).start();
    ringway.replace_configuration(&with_workers(&backend, 2).text());
    let new = upgraded(&ringway).to_string();
    let mut client = client_of(&ringway, 1, "new");
    let stream = client.request("POST", "/slow", &[], false);
    client.send_content(stream, b"a part", false).expect("the server takes it");
    eventually("it is under way", || status(&ringway)["groups"][0]["in_flight"] == 1);
    let told = std::process::Command::new("kill").args(["-s", "TERM", &new]).status();
    assert!(told.expect("`kill` runs").success());
    std::thread::sleep(LINGERING);
    client.send_content(stream, b" and another", true).expect("the server takes it");
    IS_OPEN.store(true, Ordering::SeqCst);
    assert_eq!(client.response(stream).body, b"served");
}
