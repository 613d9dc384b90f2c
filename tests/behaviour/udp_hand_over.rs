//! Sessions of UDP go on in the process that takes over, or in their own where that fails.

use crate::admin::status;
use crate::bad_successors::{channel, say};
use crate::hand_over::{metric, upgraded};
use crate::support::{
    Backend, Http3, PATIENCE, Relayed, Ringway, Scenario, UdpBackend, UdpClient, eventually, log_entries,
    within,
};
use crate::systemd::message_with_descriptors;
use std::time::Duration;

const ADMIN: &str = "[admin]\nsocket = \"admin.sock\"\naddress = \"127.0.0.1:0\"";

fn relayed(backends: &[&UdpBackend]) -> Relayed {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address()).collect();
    Relayed::udp(&addresses).table(ADMIN)
}

/// Clients whose sessions are spread over both backends, with the one that each has.
fn spread(ringway: &Ringway, count: usize) -> Vec<(UdpClient, String)> {
    let clients = (0..count).map(|_| {
        let client = UdpClient::connect(ringway.address());
        let backend = client.ask("");
        (client, backend)
    });
    let clients: Vec<_> = clients.collect();
    assert!(["1:", "2:"].iter().all(|name| clients.iter().any(|(_, backend)| backend == name)));
    clients
}

#[test]
fn sessions_go_on_in_the_new_process() {
    let (first, second) = (UdpBackend::echo("1:"), UdpBackend::echo("2:"));
    let mut ringway = relayed(&[&first, &second]).listener("idle_timeout = \"10s\"").start();
    let clients = spread(&ringway, 100);
    for round in 0..2 {
        upgraded(&ringway);
        for (client, backend) in &clients {
            assert_eq!(client.ask(round.to_string()), format!("{backend}{round}"));
        }
        // An old process has nothing to wait for.
        eventually("it has ended", || status(&ringway)["predecessors"].as_array().is_some_and(Vec::is_empty));
    }
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    // All have been there from the beginning, and each is told once.
    let accepted = "ringway_connections_accepted_total{listener=\"relay\"}";
    assert_eq!(metric(&ringway, accepted), 100);
    let in_flight = || status(&ringway)["groups"][0]["in_flight"].as_u64();
    assert_eq!(in_flight(), Some(100));
    let entries = log_entries(&ringway, 100);
    for entry in &entries {
        assert_eq!(
            (&entry["datagrams_received"], &entry["datagrams_sent"]),
            (&3.into(), &3.into()),
            "{entry}"
        );
        assert_eq!(entry["reason"], "idle_timeout");
        assert!(entry["request_time"].as_f64().is_some_and(|seconds| seconds >= 10.0), "{entry}");
    }
    eventually("nothing is left", || in_flight() == Some(0));
}

#[test]
fn an_answer_reaches_its_client_whichever_process_is_there() {
    let backend = UdpBackend::answering(|came| {
        std::thread::sleep(Duration::from_millis(2_000));
        vec![came.to_vec()]
    });
    let ringway = relayed(&[&backend]).listener("requests = 1").listener("responses = 1").start();
    let client = UdpClient::connect(ringway.address());
    client.send("one");
    eventually("it has come", || backend.received() == 1);
    upgraded(&ringway);
    // The first question has its session still, and another begins.
    client.send("two");
    assert_eq!([client.receive_text(), client.receive_text()], ["one", "two"]);
    let entries = log_entries(&ringway, 2);
    assert!(entries.iter().all(|entry| entry["reason"] == "-"), "{entries:?}");
}

#[test]
fn what_the_new_configuration_does_not_have_is_chosen_anew() {
    let (first, second) = (UdpBackend::echo("1:"), UdpBackend::echo("2:"));
    let ringway = relayed(&[&first, &second]).start();
    let clients = spread(&ringway, 20);
    ringway.replace_configuration(&relayed(&[&second]).text());
    upgraded(&ringway);
    for (client, _) in &clients {
        assert_eq!(client.ask("x"), "2:x");
    }
    // What limits do not allow any more is lost, and told.
    ringway.replace_configuration(&relayed(&[&second]).listener("max_connections = 5").text());
    upgraded(&ringway);
    ringway.wait_for_line("UDP sessions (see max_connections)");
    let lost = "ringway_relayed_connections_total{listener=\"relay\",rule=\"\",group=\"app\",reason=\"not_taken_over\"}";
    eventually("they are counted", || metric(&ringway, lost) == 15);
    let answered = clients.iter().filter(|(client, _)| {
        client.send("y");
        client.receive_within(Duration::from_millis(100)).is_some()
    });
    assert_eq!(answered.count(), 5);
}

#[test]
fn a_new_process_that_fails_late_leaves_sessions_where_they_were() {
    let (first, second) = (UdpBackend::echo("1:"), UdpBackend::echo("2:"));
    let ringway = relayed(&[&first, &second]).start();
    let clients = spread(&ringway, 20);
    let channel = channel(&ringway);
    say(&channel, "{\"hello\":{\"protocol\":1,\"version\":\"0\",\"pid\":1}}");
    say(&channel, "\"prepared\"");
    let hear = |word: &str| {
        let heard = within(PATIENCE, || message_with_descriptors(&channel).0.contains(word).then_some(()));
        assert!(heard.is_some(), "{word}");
    };
    hear("state");
    say(&channel, "{\"ready\":{\"sockets\":[0],\"warnings\":\"\",\"takes_sessions\":true}}");
    hear("sessions");
    drop(channel);
    // What comes meanwhile waits.
    for (client, backend) in &clients {
        assert_eq!(client.ask("x"), format!("{backend}x"));
    }
    ringway.wait_for_line("the upgrade is refused");
    assert_eq!(status(&ringway)["groups"][0]["in_flight"], 20);
    upgraded(&ringway);
    for (client, backend) in &clients {
        assert_eq!(client.ask("y"), format!("{backend}y"));
    }
}

/// A new process that fails when it was told of QUIC, too: the old one receives again.
#[test]
fn a_new_process_that_fails_late_leaves_connections_of_quic_where_they_were() {
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).http3().workers(2).table(ADMIN).start();
    let mut clients: Vec<_> = (0..6).map(|_| Http3::connect(ringway.address())).collect();
    let channel = channel(&ringway);
    say(&channel, "{\"hello\":{\"protocol\":1,\"version\":\"0\",\"pid\":1}}");
    say(&channel, "\"prepared\"");
    let hear = |word: &str| {
        let heard = within(PATIENCE, || message_with_descriptors(&channel).0.contains(word).then_some(()));
        assert!(heard.is_some(), "{word}");
    };
    hear("state");
    say(&channel, "{\"ready\":{\"sockets\":[0,1],\"warnings\":\"\",\"takes_sessions\":true}}");
    hear("beginnings");
    drop(channel);
    ringway.wait_for_line("the upgrade is refused");
    clients.iter_mut().for_each(|client| assert_eq!(client.post("/", b"old").text(), "old"));
    clients.push(Http3::connect(ringway.address()));
    upgraded(&ringway);
    clients.push(Http3::connect(ringway.address()));
    clients.iter_mut().for_each(|client| assert_eq!(client.post("/", b"new").text(), "new"));
}

/// The process between has nothing left of its own, and stays for the sake of the first.
#[test]
fn a_download_by_quic_outlives_two_upgrades() {
    const SIZE: usize = 4 << 20;
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", &vec![b'x'; SIZE]));
    let ringway = Scenario::of(&backend).http3().workers(2).table(ADMIN).start();
    let mut client = Http3::with_windows(ringway.address(), 64 << 10, 64 << 10);
    let stream = client.request("GET", "/", &[], true);
    for part in 1..3 {
        let arrived = client
            .receive_until(|client| (client.stream(stream).body.len() > part * (SIZE >> 3)).then_some(()));
        assert!(matches!(arrived, Ok(Some(()))), "{arrived:?}");
        upgraded(&ringway);
        assert_eq!(Http3::connect(ringway.address()).get("/").status, 200);
    }
    // Long enough for a process without connections to end.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(client.response(stream).body.len(), SIZE);
}

#[test]
fn a_socket_that_the_new_process_does_not_have_is_in_nobodys_way() {
    let backend = UdpBackend::echo("1:");
    let free = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("its address").port();
    drop(free);
    let at = |ip: &str| relayed(&[&backend]).address(&format!("{ip}:{port}"));
    let ringway = at("127.0.0.1").start();
    let asked = ([127, 0, 0, 1], port).into();
    let old = UdpClient::connect(asked);
    assert_eq!(old.ask("x"), "1:x");
    // The socket of the old process is more specific.
    ringway.replace_configuration(&at("0.0.0.0").text());
    upgraded(&ringway);
    assert_eq!(old.ask_again_and_again("y"), "1:y");
    for _ in 0..10 {
        assert_eq!(UdpClient::connect(asked).ask_again_and_again("z"), "1:z");
    }
}

#[test]
fn sessions_of_several_sockets_of_one_worker_go_on() {
    let (first, second) = (UdpBackend::echo("1:"), UdpBackend::echo("2:"));
    let with = |workers: &str| relayed(&[&first, &second]).process(workers);
    let ringway = with("workers = 4").start();
    let clients = spread(&ringway, 100);
    // One worker gets all four sockets, and hands them on, in the end to one worker each.
    for (round, workers) in [1, 1, 4].into_iter().enumerate() {
        ringway.replace_configuration(&with(&format!("workers = {workers}")).text());
        upgraded(&ringway);
        for (client, backend) in &clients {
            assert_eq!(client.ask(round.to_string()), format!("{backend}{round}"));
        }
        eventually("it has ended", || status(&ringway)["predecessors"].as_array().is_some_and(Vec::is_empty));
    }
    assert_eq!(status(&ringway)["groups"][0]["in_flight"], 100);
}
