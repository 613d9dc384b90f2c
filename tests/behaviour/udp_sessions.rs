//! Sessions of UDP: how they begin, what they may be, and how they end.

use crate::support::{Relayed, Ringway, UdpBackend, UdpClient, eventually, log_entries};
use std::net::IpAddr;
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(300);

fn sessions(ringway: &Ringway) -> usize {
    let lines = std::fs::read_to_string(ringway.folder().join("access.log")).unwrap_or_default();
    lines.lines().count()
}

#[test]
fn a_question_with_its_answer_can_be_a_session() {
    let backend = UdpBackend::echo("");
    let ringway =
        Relayed::udp(&[backend.address()]).listener("requests = 1").listener("responses = 1").start();
    let client = UdpClient::connect(ringway.address());
    assert_eq!([client.ask("a"), client.ask("b")], ["a", "b"]);
    let entries = log_entries(&ringway, 2);
    assert!(
        entries.iter().all(|entry| entry["reason"] == "-" && entry["datagrams_sent"] == 1),
        "{entries:?}"
    );
    // Questions that are not answered yet have sessions of their own.
    client.send("c");
    client.send("d");
    let mut answers = [client.receive_text(), client.receive_text()];
    answers.sort();
    assert_eq!(answers, ["c", "d"]);
    assert_eq!(log_entries(&ringway, 4).len(), 4);
}

#[test]
fn a_session_lasts_until_all_answers_have_come() {
    let backend = UdpBackend::answering(|came| vec![came.to_vec(), came.to_vec()]);
    let ringway = Relayed::udp(&[backend.address()]).listener("responses = 2").start();
    let client = UdpClient::connect(ringway.address());
    assert_eq!([client.ask("a"), client.receive_text()], ["a", "a"]);
    assert_eq!(log_entries(&ringway, 1)[0]["datagrams_sent"], 2);
}

#[test]
fn what_wants_no_answer_is_a_session_at_once() {
    let backend = UdpBackend::answering(|_| Vec::new());
    let ringway = Relayed::udp(&[backend.address()]).listener("responses = 0").start();
    let client = UdpClient::connect(ringway.address());
    (0..5).for_each(|_| client.send("line"));
    eventually("all have come", || backend.received() == 5);
    let entries = log_entries(&ringway, 5);
    assert!(entries.iter().all(|entry| entry["datagrams_received"] == 1), "{entries:?}");
}

#[test]
fn a_backend_that_refuses_gives_way_to_another() {
    let (first, second) = (UdpBackend::echo("1:"), UdpBackend::echo("2:"));
    let ringway = Relayed::udp(&[first.address(), second.address()]).start();
    let clients = [UdpClient::connect(ringway.address()), UdpClient::connect(ringway.address())];
    let mut answers = clients.each_ref().map(|client| client.ask("x"));
    answers.sort();
    assert_eq!(answers, ["1:x", "2:x"]);
    drop(first);
    // The first datagram is lost: its host says that nobody receives it, and the next one goes elsewhere.
    for client in &clients {
        assert_eq!(client.ask_again_and_again("y"), "2:y");
        assert_eq!(client.ask("z"), "2:z");
    }
}

#[test]
fn backends_that_refuse_are_taken_out_of_service() {
    let (first, second) = (UdpBackend::echo("1:"), UdpBackend::echo("2:"));
    let ringway = Relayed::udp(&[first.address(), second.address()])
        .table("[server_group.passive_check]\nconsecutive_failures = 1\nejection_time = \"60s\"")
        .start();
    drop(first);
    let client = || UdpClient::connect(ringway.address());
    (0..2).for_each(|_| assert_eq!(client().ask_again_and_again("x"), "2:x"));
    ringway.wait_for_line("is ejected");
    assert!((0..6).all(|_| client().ask("y") == "2:y"));
}

#[test]
fn sessions_leave_a_backend_that_fails_its_checks() {
    let (first, second) = (UdpBackend::echo("1:"), UdpBackend::echo("2:"));
    let check = "[server_group.health_check]\ninterval = \"1s\"\ntimeout = \"1s\"\nhealthy_threshold = 1\n\
                 unhealthy_threshold = 1\npayload = \"hex:00 01\"\nexpect_payload = \"hex:0001\"";
    let ringway = Relayed::udp(&[first.address(), second.address()]).table(check).start();
    let clients: Vec<_> = (0..4).map(|_| UdpClient::connect(ringway.address())).collect();
    let before: Vec<_> = clients.iter().map(|client| client.ask("x")).collect();
    // It takes datagrams and says nothing any more.
    let address = first.address();
    drop(first);
    let silent = UdpBackend::at(address, |_| Vec::new());
    ringway.wait_for_line("unhealthy");
    for (client, before) in clients.iter().zip(before) {
        assert_eq!(client.ask_again_and_again("y"), "2:y", "{before}");
    }
    assert!(silent.received() > 0);
}

#[test]
fn silence_is_no_failure_of_a_check_that_expects_nothing() {
    let silent = UdpBackend::answering(|_| Vec::new());
    let nobody = UdpBackend::echo("").address();
    let check = "[server_group.health_check]\ninterval = \"1s\"\ntimeout = \"1s\"\nhealthy_threshold = 1\n\
                 unhealthy_threshold = 1\ninitial = \"down\"";
    let ringway = Relayed::udp(&[silent.address(), nobody]).table(check).start();
    ringway.wait_for_line("CONNECT_REFUSED");
    eventually("the silent one is probed and serves", || {
        let client = UdpClient::connect(ringway.address());
        let before = silent.received();
        client.send("x");
        std::thread::sleep(Duration::from_millis(50));
        silent.received() > before
    });
}

#[test]
fn clients_without_a_backend_have_lines_but_not_each_datagram() {
    let backend = UdpBackend::echo("");
    let ringway = Relayed::udp(&[backend.address()]).process("workers = 1").group("enabled = false").start();
    let client = UdpClient::connect(ringway.address());
    // More than a line for each would be in one second, and then some more in the next.
    (0..200).for_each(|_| client.send("x"));
    let entries = log_entries(&ringway, 10);
    let port = client.local_address().port();
    assert!(
        entries.iter().all(|entry| {
            (&entry["reason"], &entry["status"]) == (&"group_disabled".into(), &503.into())
                && (&entry["server_group"], &entry["client_port"]) == (&"app".into(), &port.into())
                && entry["datagrams_received"] == 0
        }),
        "{entries:?}"
    );
    std::thread::sleep(MOMENT);
    assert!((10..=20).contains(&sessions(&ringway)), "{}", sessions(&ringway));
    assert_eq!(backend.received(), 0);
}

#[test]
fn who_may_not_gets_no_session() {
    let backend = UdpBackend::echo("");
    let ringway = Relayed::udp(&[backend.address()])
        .listener("deny = [\"banned\"]")
        .table("[[ip_group]]\nname = \"banned\"\nentries = [\"127.0.0.66\"]")
        .start();
    let from = |host: &str| UdpClient::connect_from(host.parse().expect("an address"), ringway.address());
    assert_eq!(from("127.0.0.65").ask("x"), "x");
    let banned = from("127.0.0.66");
    banned.send("x");
    assert_eq!((banned.receive_within(MOMENT), backend.received()), (None, 1));
    ringway.wait_for_line("127.0.0.66 gets no session at listener \"relay\" (allow, deny)");
}

#[test]
fn sessions_are_limited() {
    let backend = UdpBackend::echo("");
    for (line, of_process) in [
        ("max_connections = 3", ""),
        ("per_client = { max_connections = 3 }", ""),
        ("connections_per_second = 3", ""),
        ("", "max_connections = 3"),
    ] {
        let ringway = Relayed::udp(&[backend.address()])
            .listener(line)
            .process(of_process)
            .listener("idle_timeout = \"2s\"")
            .start();
        let clients: Vec<_> = (0..5).map(|_| UdpClient::connect(ringway.address())).collect();
        clients.iter().for_each(|client| client.send("x"));
        let served: Vec<_> = clients.iter().map(|client| client.receive_within(MOMENT).is_some()).collect();
        assert_eq!(served, [true, true, true, false, false], "{line}{of_process}");
        // Sessions go on at the limit, and make room when they are over.
        assert_eq!(clients[0].ask("y"), "y");
        let next = UdpClient::connect(ringway.address());
        assert_eq!(next.ask_again_and_again("z"), "z", "{line}{of_process}");
    }
}

#[test]
fn a_flood_of_addresses_stays_within_the_limits() {
    let backend = UdpBackend::echo("");
    let ringway = Relayed::udp(&[backend.address()]).listener("max_connections = 100").start();
    let first = UdpClient::connect(ringway.address());
    assert_eq!(first.ask("x"), "x");
    for host in 0..4_000_u32 {
        let from = IpAddr::from([127, 1, (host >> 8) as u8, host as u8]);
        UdpClient::connect_from(from, ringway.address()).send("flood");
    }
    assert_eq!(first.ask("y"), "y");
    assert!(ringway.descriptors() < 100 + 60, "{}", ringway.descriptors());
}

#[test]
fn a_reload_keeps_sessions() {
    let (first, second) = (UdpBackend::echo("1:"), UdpBackend::echo("2:"));
    let before = Relayed::udp(&[first.address()]).listener("idle_timeout = \"60s\"");
    let ringway = before.start();
    let client = UdpClient::connect(ringway.address());
    assert_eq!(client.ask("x"), "1:x");
    // Another backend joins; the session stays, whatever the weights.
    let text = before.text().replace(
        &format!("address = \"{}\"\n", first.address()),
        &format!(
            "address = \"{}\"\nweight = 1\n[[server_group.backend]]\naddress = \"{}\"\nweight = 100\n",
            first.address(),
            second.address()
        ),
    );
    ringway.reload(&text);
    assert!((0..5).all(|_| client.ask("y") == "1:y"));
    assert_eq!(sessions(&ringway), 0);
    // Its backend goes: it may stay until the drain is over, and then moves.
    let text = Relayed::udp(&[second.address()]).group("drain_timeout = \"2s\"").text();
    ringway.reload(&text);
    assert_eq!(client.ask("z"), "1:z");
    eventually("it moves", || client.ask_again_and_again("w") == "2:w");
}

#[test]
fn a_listener_that_is_removed_ends_its_sessions() {
    let backend = UdpBackend::echo("");
    let kept = "[[listener]]\nname = \"kept\"\naddress = \"127.0.0.1:0\"\nprotocol = \"udp\"\ndefault_group = \"app\"\n";
    let both = Relayed::udp(&[backend.address()]).table(kept);
    let ringway = both.start();
    let client = UdpClient::connect(ringway.address_of("relay"));
    assert_eq!(client.ask("x"), "x");
    let text = both.text();
    let begin = text.find("[[listener]]\nname = \"relay\"").expect("it is there");
    let end = text[begin..].find("[[server_group]]").expect("a group follows") + begin;
    ringway.reload(&format!("{}{}", &text[..begin], &text[end..]));
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "listener_closed");
    assert_eq!(UdpClient::connect(ringway.address_of("kept")).ask("y"), "y");
}

#[test]
fn a_stop_waits_for_answers_and_ends() {
    let backend = UdpBackend::answering(|came| {
        std::thread::sleep(Duration::from_millis(500));
        vec![came.to_vec()]
    });
    let mut ringway = Relayed::udp(&[backend.address()]).start();
    let client = UdpClient::connect(ringway.address());
    client.send("x");
    eventually("it is on its way", || backend.received() == 1);
    ringway.signal("TERM");
    assert_eq!(client.receive_text(), "x");
    assert!(ringway.wait_for_exit(Duration::from_secs(10)).success());
}

#[test]
fn sessions_that_a_stop_cuts_off_are_logged() {
    let backend = UdpBackend::echo("");
    let mut ringway = Relayed::udp(&[backend.address()]).process("shutdown_timeout = \"1s\"").start();
    let client = UdpClient::connect(ringway.address());
    assert_eq!(client.ask("x"), "x");
    ringway.signal("TERM");
    while ringway.is_running() {
        // The socket is closed before the process is gone.
        let _ = client.try_send("y");
        std::thread::sleep(Duration::from_millis(50));
    }
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!((&line["reason"], &line["status"]), (&"shutdown_timeout".into(), &503.into()), "{line}");
}
