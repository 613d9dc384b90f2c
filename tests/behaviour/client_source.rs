//! `source = "client"`: backends see the addresses of clients. By hosts of their own: a client, a balancer, and a backend that
//! has the balancer for its gateway.

use crate::privileges::{is_root, let_everybody_read, of_threads};
use crate::support::network::Namespace;
use crate::support::tools::has;
use crate::support::{PATIENCE, Relayed, Ringway, log_entries};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;

const KEY: &str = "source = \"client\"";

/// Three hosts in a row.
struct Hosts {
    client: Namespace,
    balancer: Namespace,
    backend: Namespace,
}

const CLIENT: [&str; 2] = ["10.7.1.2", "fd00:7:1::2"];
const BALANCER: [&str; 2] = ["10.7.1.1", "fd00:7:1::1"];
const BACKEND: [&str; 2] = ["10.7.2.2", "fd00:7:2::2"];

impl Hosts {
    /// None where they cannot be made, which is said.
    fn make() -> Option<Hosts> {
        if !has("ip") || !has("nft") {
            return None;
        }
        let namespaces = [Namespace::new(), Namespace::new(), Namespace::new()].into_iter().collect();
        let namespaces: Vec<Namespace> = match namespaces {
            Ok(namespaces) => namespaces,
            Err(error) => {
                eprintln!("skipped: no network namespace can be made: {error}");
                return None;
            }
        };
        let [client, balancer, backend] = namespaces.try_into().ok()?;
        let edge = |[v4, v6]: [&str; 2], [via4, via6]: [&str; 2]| {
            format!(
                "ip link set lo up; ip link set eth0 up; ip address add {v4}/24 dev eth0; \
                 ip address add {v6}/64 dev eth0 nodad; ip route add default via {via4}; ip route add default via {via6}\n"
            )
        };
        balancer.plug("eth0", (&client, "eth0"));
        balancer.plug("eth1", (&backend, "eth0"));
        balancer.run(
            "ip link set lo up; ip link set eth0 up; ip link set eth1 up
             ip address add 10.7.1.1/24 dev eth0; ip address add fd00:7:1::1/64 dev eth0 nodad
             ip address add 10.7.2.1/24 dev eth1; ip address add fd00:7:2::1/64 dev eth1 nodad",
        );
        client.run(&edge(CLIENT, BALANCER));
        backend.run(&edge(BACKEND, ["10.7.2.1", "fd00:7:2::1"]));
        Some(Hosts { client, balancer, backend })
    }

    /// What docs/layer4.md tells the balancer's administrator to do.
    fn follow_the_recipe(&self) {
        self.run_block_with("socket transparent 1");
    }

    /// And how it is undone.
    fn undo_the_recipe(&self) {
        self.run_block_with("nft delete table inet ringway");
    }

    fn run_block_with(&self, words: &str) {
        let text = include_str!("../../docs/layer4.md");
        let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        let recipe = blocks.into_iter().find(|block| block.contains(words));
        self.balancer.run(recipe.expect("the recipe is there"));
    }

    /// A backend that says who has connected, and sends back what comes.
    fn serve_tcp(&self, address: &str) -> SocketAddr {
        let listener = self.backend.within(|| TcpListener::bind((address, 0)).expect("a port"));
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let peer = stream.peer_addr().expect("its address").ip();
                // The doctor only looks whether somebody is there.
                if writeln!(stream, "{peer}").is_err() {
                    continue;
                }
                std::thread::spawn(move || {
                    let mut reading = stream.try_clone().expect("a descriptor");
                    let _ = std::io::copy(&mut reading, &mut stream);
                    let _ = stream.shutdown(Shutdown::Write);
                });
            }
        });
        address
    }

    /// A backend that answers each datagram with the address that it came from.
    fn serve_udp(&self, address: &str) -> SocketAddr {
        let socket = self.backend.within(|| UdpSocket::bind((address, 0)).expect("a port"));
        let address = socket.local_addr().expect("its address");
        std::thread::spawn(move || {
            while let Ok((_, from)) = socket.recv_from(&mut [0; 100]) {
                let _ = socket.send_to(from.ip().to_string().as_bytes(), from);
            }
        });
        address
    }

    /// Starts Ringway on the balancer, with a listener at each of its addresses.
    fn start(&self, relayed: &Relayed) -> Ringway {
        self.balancer.within(|| relayed.start())
    }

    /// A connection of the client that begins with these bytes, and whom the backend saw: nobody, if it was reset.
    fn try_to_connect(&self, to: SocketAddr, first: &str) -> io::Result<(TcpStream, String)> {
        let mut stream = self.client.within(|| TcpStream::connect_timeout(&to, PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(first.as_bytes())?;
        let mut line = String::new();
        let mut byte = [0];
        while !line.ends_with('\n') {
            stream.read_exact(&mut byte)?;
            line.push(byte[0].into());
        }
        Ok((stream, line.trim_end().to_owned()))
    }

    fn connect(&self, to: SocketAddr, first: &str) -> (TcpStream, String) {
        self.try_to_connect(to, first).expect("the backend says whom it sees")
    }

    fn is_reset(&self, to: SocketAddr, first: &str) -> bool {
        let error = self.try_to_connect(to, first).map(drop).expect_err("no backend is reached");
        matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
    }

    /// A socket of the client for datagrams.
    fn client_of(&self, listener: SocketAddr) -> UdpSocket {
        let own = if listener.is_ipv4() { CLIENT[0] } else { CLIENT[1] };
        let socket = self.client.within(|| UdpSocket::bind((own, 0)).expect("a port"));
        socket.connect(listener).expect("there is a way");
        socket
    }

    /// Whom the backend saw of a datagram.
    fn ask(&self, to: SocketAddr) -> Option<String> {
        let socket = self.client_of(to);
        socket.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        socket.send(b"who?").expect("it leaves");
        let mut answer = [0; 100];
        let length = socket.recv(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}

/// Sends a lot both ways and waits for all of it.
fn exchange(mut stream: TcpStream) {
    let mut sending = stream.try_clone().expect("a descriptor");
    let content = vec![b'x'; 3 << 20];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sending.write_all(&content).expect("it is taken");
            sending.shutdown(Shutdown::Write).expect("it is connected");
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("an orderly end");
        assert_eq!(back.len(), content.len());
    });
}

#[test]
fn connections_come_from_their_clients() {
    let Some(hosts) = Hosts::make() else { return };
    hosts.follow_the_recipe();
    for (family, own) in CLIENT.iter().enumerate() {
        let backend = hosts.serve_tcp(BACKEND[family]);
        let address = at(BALANCER[family], 0).to_string();
        let relayed = Relayed::tcp(&[backend]).address(&address).group(KEY);
        let ringway = hosts.start(&relayed);
        let (stream, seen) = hosts.connect(ringway.address(), "");
        assert_eq!(seen, *own);
        exchange(stream);

        // Whom a PROXY header names is the client.
        let ringway = hosts.start(&relayed.clone().listener("proxy_protocol = \"accept\""));
        let (named, header) = match family {
            0 => ("198.51.100.9", "PROXY TCP4 198.51.100.9 10.7.1.1 4000 80\r\n"),
            _ => ("2001:db8::9", "PROXY TCP6 2001:db8::9 fd00:7:1::1 4000 80\r\n"),
        };
        let (stream, seen) = hosts.connect(ringway.address(), header);
        assert_eq!(seen, named);
        exchange(stream);
        let header = header.replace(named, if family == 0 { "127.0.0.1" } else { "::1" });
        assert!(hosts.is_reset(ringway.address(), &header));
        assert_eq!(log_entries(&ringway, 2)[1]["reason"], "no_source_address");
        ringway.wait_for_line("under its own address, which is no address that the backend could answer to");
    }
}

#[test]
fn what_the_network_says_comes_back() {
    let Some(hosts) = Hosts::make() else { return };
    hosts.follow_the_recipe();
    for family in 0..2 {
        let address = at(BALANCER[family], 0).to_string();
        let nobody = at(BACKEND[family], 9);
        let ringway = hosts.start(&Relayed::tcp(&[nobody]).address(&address).group(KEY));
        assert!(hosts.is_reset(ringway.address(), ""));
        assert_eq!(log_entries(&ringway, 1)[0]["reason"], "connect_refused");

        let ringway = hosts
            .start(&Relayed::udp(&[nobody]).address(&address).group(KEY).listener("idle_timeout = \"1s\""));
        hosts.client_of(ringway.address()).send(b"who?").expect("it leaves");
        assert_eq!(log_entries(&ringway, 1)[0]["reason"], "connect_refused");
    }
}

#[test]
fn datagrams_come_from_their_clients() {
    let Some(hosts) = Hosts::make() else { return };
    hosts.follow_the_recipe();
    for (family, own) in CLIENT.iter().enumerate() {
        let backend = hosts.serve_udp(BACKEND[family]);
        let address = at(BALANCER[family], 0).to_string();
        let ringway = hosts.start(&Relayed::udp(&[backend]).address(&address).group(KEY));
        for _ in 0..3 {
            assert_eq!(hosts.ask(ringway.address()).as_deref(), Some(*own));
        }
    }
}

#[test]
fn a_client_of_the_other_family_fails_and_no_backend_is_blamed() {
    let Some(hosts) = Hosts::make() else { return };
    hosts.follow_the_recipe();
    // All clients come to the socket of IPv6, and those of IPv4 count as such.
    let (first, second) = (hosts.serve_tcp(BACKEND[0]), hosts.serve_tcp(BACKEND[1]));
    let admin = "[admin]\nsocket = \"admin.sock\"";
    for (backend, served, refused) in [(first, 0, 1), (second, 1, 0)] {
        let ringway = hosts.start(&Relayed::tcp(&[backend]).address("[::]:0").group(KEY).table(admin));
        let to = |family: usize| at(BALANCER[family], ringway.address().port());
        let (stream, seen) = hosts.connect(to(served), "");
        assert_eq!(seen, CLIENT[served]);
        drop(stream);
        for _ in 0..6 {
            assert!(hosts.is_reset(to(refused), ""));
        }
        let entries = log_entries(&ringway, 7);
        let refusals = entries.iter().filter(|entry| entry["reason"] == "no_source_address").count();
        assert_eq!(refusals, 6, "{entries:?}");
        ringway.wait_for_line(&format!(
            "warning: client {} cannot be relayed to backend {backend} under its own address, which is of another family",
            CLIENT[refused]
        ));
        let status = crate::admin::status(&ringway);
        let told = &status["groups"][0]["backends"][0];
        assert_eq!(
            (&told["failures"], &told["ejected_until"]),
            (&0.into(), &serde_json::Value::Null),
            "{told}"
        );
        assert_eq!(hosts.connect(to(served), "").1, CLIENT[served]);
    }
}

/// The neighbours of the backends are no clients that these could answer through their gateway.
#[test]
fn clients_that_cannot_be_answered_eject_no_backend() {
    let Some(hosts) = Hosts::make() else { return };
    hosts.follow_the_recipe();
    let backends = [hosts.serve_tcp(BACKEND[0]), hosts.serve_tcp(BACKEND[0])];
    let tables = "[server_group.passive_check]\nconsecutive_failures = 1\nejection_time = \"60s\"\n\
                  [admin]\nsocket = \"admin.sock\"";
    let relayed = Relayed::tcp(&backends)
        .address("10.7.1.1:0")
        .listener("proxy_protocol = \"accept\"")
        .group(&format!("{KEY}\nconnect_timeout = \"200ms\""))
        .table(tables);
    let ringway = hosts.start(&relayed);
    let header = |client: &str| format!("PROXY TCP4 {client} 10.7.1.1 4000 80\r\n");
    for _ in 0..4 {
        assert!(hosts.is_reset(ringway.address(), &header("10.7.2.77")));
    }
    let entries = log_entries(&ringway, 4);
    assert!(entries.iter().all(|entry| entry["reason"] == "connect_timeout"), "{entries:?}");
    let status = crate::admin::status(&ringway);
    for backend in status["groups"][0]["backends"].as_array().expect("a list") {
        assert_eq!(backend["ejected_until"], serde_json::Value::Null, "{backend}");
    }
    let seen: Vec<String> =
        (0..4).map(|_| hosts.connect(ringway.address(), &header("198.51.100.9")).1).collect();
    assert_eq!(seen, ["198.51.100.9"; 4]);
}

#[test]
fn a_client_of_datagrams_that_gets_no_session_has_a_line() {
    let Some(hosts) = Hosts::make() else { return };
    hosts.follow_the_recipe();
    let backend = hosts.serve_udp(BACKEND[0]);
    let ringway = hosts.start(&Relayed::udp(&[backend]).address("[::]:0").group(KEY));
    let to = |family: usize| at(BALANCER[family], ringway.address().port());
    hosts.client_of(to(1)).send(b"who?").expect("it leaves");
    let entry = log_entries(&ringway, 1).remove(0);
    assert_eq!((&entry["reason"], &entry["status"]), (&"no_source_address".into(), &503.into()), "{entry}");
    assert_eq!(
        (&entry["client_ip"], &entry["datagrams_received"]),
        (&CLIENT[1].into(), &0.into()),
        "{entry}"
    );
    assert_eq!(hosts.ask(to(0)).as_deref(), Some(CLIENT[0]));
}

#[test]
fn the_doctor_misses_rule_and_route() {
    let Some(hosts) = Hosts::make() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("ringway.toml");
    let backends = [hosts.serve_tcp(BACKEND[0]), hosts.serve_tcp(BACKEND[1])];
    fs::write(&file, Relayed::tcp(&backends).address("[::]:389").group(KEY).text())
        .expect("it can be written");
    let found = || {
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_ringway"));
        let doctor = doctor.arg("doctor").arg("-c").arg(&file);
        let said = hosts.balancer.within(|| doctor.output().expect("it runs")).stdout;
        String::from_utf8_lossy(&said).into_owned()
    };
    let missed = |family: &str| format!("no rule of {family} leads to one that is `local default`");
    let before = found();
    assert!(before.contains(&missed("IPv4")) && before.contains(&missed("IPv6")), "{before}");
    hosts.follow_the_recipe();
    let after = found();
    assert!(after.contains("backends of both families") && !after.contains("client_addresses"), "{after}");
    hosts.undo_the_recipe();
    let undone = found();
    assert!(undone.contains(&missed("IPv4")) && undone.contains(&missed("IPv6")), "{undone}");
    hosts.follow_the_recipe();
    hosts.balancer.run("sysctl -w net.ipv4.conf.all.src_valid_mark=1");
    let marked = found();
    assert!(marked.contains("net.ipv4.conf.all.src_valid_mark is 1"), "{marked}");
}

/// Without a log, which the user could not write, and for everybody to read.
fn as_nobody(relayed: &Relayed) -> String {
    let text = relayed.clone().process("user = \"nobody\"").text();
    text.replace("[access_log]\npath = \"access.log\"\n", "")
}

#[test]
fn the_privilege_outlives_those_of_root_and_upgrades() {
    let Some(hosts) = Hosts::make() else { return };
    hosts.follow_the_recipe();
    let relayed = Relayed::tcp(&[hosts.serve_tcp(BACKEND[0])]).address("10.7.1.1:0").group(KEY);
    let mut ringway = hosts.balancer.within(|| Ringway::start(&as_nobody(&relayed)));
    ringway.wait_for_line("started as root, running as nobody");
    assert_eq!(hosts.connect(ringway.address(), "").1, CLIENT[0]);
    // CAP_NET_BIND_SERVICE and CAP_NET_RAW; threads that began before have nothing left.
    let capabilities = of_threads(ringway.id(), "CapPrm");
    assert!(capabilities.iter().all(|one| ["0000000000000000", "0000000000002400"].contains(&one.as_str())));
    assert!(of_threads(ringway.id(), "CapBnd").iter().all(|bound| bound == "0000000000002400"));

    let_everybody_read(&ringway);
    ringway.signal("USR2");
    ringway.wait_for_line("upgraded: process");
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    assert_eq!(hosts.connect(ringway.address(), "").1, CLIENT[0]);
}

#[test]
fn a_privilege_that_was_given_up_is_missed_by_a_reload() {
    if !is_root() {
        return eprintln!("skipped: only root can give its privileges up");
    }
    let relayed = Relayed::tcp(&["127.0.0.1:9".parse().expect("an address")]);
    let ringway = Ringway::start(&as_nobody(&relayed));
    ringway.wait_for_line("started as root, running as nobody");
    ringway.replace_configuration(&as_nobody(&relayed.group(KEY)));
    let_everybody_read(&ringway);
    ringway.signal("HUP");
    ringway.wait_for_line(
        "error: source = \"client\" of \"app\" needs CAP_NET_RAW, which this process does not have",
    );
    ringway.wait_for_line("help: restart: started as root, it keeps CAP_NET_RAW as nobody");
    ringway.wait_for_line("error: the reload is refused; what was in service still is");
}

#[test]
fn without_the_privilege_it_does_not_start() {
    let relayed = Relayed::udp(&["127.0.0.1:9".parse().expect("an address")]).group(KEY);
    let bare = |words: &[&str]| Ringway::spawn_under(words, &relayed.text());
    let mut ringway = match is_root() {
        true => bare(&["setpriv", "--bounding-set", "-net_raw,-net_admin"]),
        false => bare(&["env"]),
    };
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(4));
    ringway.wait_for_line("error: source = \"client\" of \"app\" needs CAP_NET_RAW");
    ringway.wait_for_line("help: systemctl edit ringway, with AmbientCapabilities=CAP_NET_RAW");
}
