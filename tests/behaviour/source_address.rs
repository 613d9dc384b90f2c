//! Where connections, datagrams and probes to backends come from.

use crate::admin::status;
use crate::support::{Backend, Client, Relayed, Scenario, UdpClient, echo_all, eventually, log_entries};
use std::net::{IpAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};

type Seen = Receiver<IpAddr>;

/// A server of HTTP that notes who connects.
fn noting() -> (Backend, Seen) {
    let (sender, seen) = channel();
    let backend = Backend::script(move |peer| {
        // The test may be over.
        let _ = sender.send(peer.stream().peer_addr()?.ip());
        while peer.read_request()?.is_some() {
            peer.respond("200 OK", b"")?;
        }
        Ok(())
    });
    (backend, seen)
}

fn taken(seen: &Seen) -> Vec<String> {
    let mut seen: Vec<_> = seen.try_iter().map(|address| address.to_string()).collect();
    seen.sort();
    seen.dedup();
    seen
}

#[test]
fn requests_and_probes_come_from_it() {
    let (backend, seen) = noting();
    let from = |source: &str| {
        Scenario::of(&backend)
            .group(&format!("source_address = \"{source}\""))
            .group_table("[server_group.health_check]\ninterval = \"1s\"\nhealthy_threshold = 1")
            .table("[admin]\nsocket = \"admin.sock\"")
    };
    let ringway = from("127.0.0.9").start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    eventually("a probe has come", || status(&ringway)["groups"][0]["backends"][0]["state"] == "healthy");
    assert_eq!(taken(&seen), ["127.0.0.9"]);
    // The connection that is kept does not go on under another source.
    ringway.reload(&from("127.0.0.10").text());
    assert_eq!(client.get("/").status, 200);
    assert!(taken(&seen).contains(&"127.0.0.10".to_owned()));
    ringway.reload(&from("lo").text());
    assert_eq!(client.get("/").status, 200);
    assert!(taken(&seen).contains(&"127.0.0.1".to_owned()));
}

#[test]
fn what_is_relayed_comes_from_it() {
    let (sender, seen) = channel();
    let backend = Backend::script(move |peer| {
        // The test may be over.
        let _ = sender.send(peer.stream().peer_addr()?.ip());
        echo_all(peer)
    });
    let ringway = Relayed::tcp(&[backend.address()]).group("source_address = \"127.0.0.9\"").start();
    let mut client = Client::connect_in_the_clear(ringway.address());
    client.send("x");
    assert_eq!(client.read_exactly(1), b"x");
    assert_eq!(taken(&seen), ["127.0.0.9"]);

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("its address");
    let ringway = Relayed::udp(&[address]).group("source_address = \"127.0.0.9\"").start();
    UdpClient::connect(ringway.address()).send("x");
    let (_, from) = socket.recv_from(&mut [0; 10]).expect("a datagram");
    assert_eq!(from.ip().to_string(), "127.0.0.9");
}

#[test]
fn one_that_is_not_there_is_told_and_no_fault_of_the_backend() {
    let (backend, seen) = noting();
    for (source, problem) in
        [("203.0.113.9", "is no address of this host"), ("nowhere0", "is no network interface of this host")]
    {
        let ringway = Scenario::of(&backend)
            .group(&format!("source_address = \"{source}\""))
            .group_table("[server_group.health_check]\ninterval = \"1s\"\nunhealthy_threshold = 1")
            .table("[access_log]\npath = \"access.log\"\n[admin]\nsocket = \"admin.sock\"")
            .start();
        ringway.wait_for_line(&format!("the source_address {source} of \"app\" {problem}"));
        assert_eq!(Client::connect(ringway.address()).get("/").status, 503);
        assert_eq!(log_entries(&ringway, 1)[0]["reason"], "no_source_address");
        ringway.wait_for_line(&format!("cannot be spoken to: the source {source} {problem}"));
        ringway
            .wait_for_line(&format!("backends cannot be probed: source_address of group \"app\" {problem}"));
        let backend = &status(&ringway)["groups"][0]["backends"][0];
        assert_eq!((&backend["state"], &backend["failures"]), (&"initial".into(), &0.into()), "{backend}");
    }
    assert_eq!(taken(&seen), [""; 0]);
}
