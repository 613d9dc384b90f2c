//! Where Ringway listens and where it connects: IPv4, IPv6, both at once, unix sockets.

use crate::support::{Backend, Client, Scenario, recording};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

#[test]
fn a_backend_on_a_unix_socket_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).expect("it binds");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix");
                }
            });
        }
    });
    let address = format!("unix:{}", path.display());
    let ringway = Scenario::new().backend_at(&address, 100).logged("json").start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "unix");
    }
    assert_eq!(crate::support::log_entries(&ringway, 1)[0]["upstream_addr"], address);
}

#[test]
fn a_unix_socket_without_anybody_is_502() {
    let ringway = Scenario::new().backend_at("unix:/nonexistent/app.sock", 100).logged("json").start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 502);
    assert_eq!(crate::support::log_entries(&ringway, 1)[0]["reason"], "connect_refused");
}

#[test]
fn ipv6_on_both_sides() {
    let backend = Backend::script_on("[::1]:0", |peer| {
        while let Some((head, _)) = peer.read_request()? {
            peer.respond("200 OK", head.field("x-forwarded-for").unwrap_or_default().as_bytes())?;
        }
        Ok(())
    });
    let ringway = Scenario::of(&backend).address("\"[::1]:0\"").start();
    assert_eq!(Client::connect(ringway.address()).get("/").text(), "::1");
}

#[test]
fn a_dual_stack_listener_takes_both_and_names_ipv4_clients_as_such() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend).address("\"[::]:0\"").start();
    let port = ringway.address().port();
    for (address, client) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1")] {
        let address = (address.parse::<std::net::IpAddr>().expect("an address"), port).into();
        assert_eq!(Client::connect(address).get("/").status, 200);
        let (head, _) = received.recv().expect("a request");
        assert_eq!(head.field("x-forwarded-for"), Some(client));
    }
}

#[test]
fn every_address_of_a_listener_serves() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).address("[\"127.0.0.1:0\", \"127.0.0.2:0\"]").workers(2).start();
    for host in ["127.0.0.1", "127.0.0.2"] {
        let line = ringway.wait_for_line(&format!("://{host}:"));
        let address = line.split("://").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
        assert_eq!(Client::connect(address.parse().expect("an address")).get("/").status, 200);
    }
}

#[test]
fn a_backend_may_have_a_name() {
    let backend = Backend::echo_head();
    let ringway = Scenario::new().backend_at(&format!("localhost:{}", backend.address().port()), 100).start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..4 {
        // `localhost` may stand for ::1 as well, where nobody listens.
        assert_eq!(client.get("/").status, 200);
    }
}
