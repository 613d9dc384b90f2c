//! What of a host's network is in the way.

use std::net::SocketAddr;

use crate::config::Config;
use crate::config::Report;
use crate::control::build::binding::kinds_of;
use crate::control::doctor::finding::Finding;
use crate::control::doctor::host::HostFacts;
use crate::control::doctor::host::Needs;
use crate::control::doctor::host::NetworkCard;
use crate::control::doctor::listening::ListeningSocket;
use crate::net::address::TransportKind;

/// What kernels since 5.4 have; fewer is a setting that nobody remembers.
const USUAL_BACKLOG: u64 = 4_096;

/// With less, a client that is far away gets less than its line could carry: 100 Mbit/s over 80 ms.
const FAR_BYTES: u64 = 1 << 20;

/// What kernels have.
const USUAL_SOCKET_MEMORY: u64 = 212_992;

/// So full a table of tracked connections, in hundredths, soon drops new ones.
const FULL: u64 = 80;

/// Processes of this name are Ringway itself, whose ports are no surprise.
const OWN_NAME: &str = "ringway";

/// What the network of the host lacks for these needs.
pub fn judge(facts: &HostFacts, needs: &Needs) -> Vec<Finding> {
    let most = clients(facts, needs);
    let single = [
        backlog(facts),
        far(facts),
        socket_memory(facts),
        local_ports(facts, needs, most),
        conntrack(facts, most),
    ];
    single.into_iter().flatten().chain(facts.cards.iter().filter_map(|card| spread(card, needs))).collect()
}

/// Clients at a time.
fn clients(facts: &HostFacts, needs: &Needs) -> Option<u64> {
    let allowed = facts.descriptors.map(|limit| needs.clients_within(limit));
    match needs.connections {
        Some(wanted) => Some(allowed.map_or(wanted, |allowed| wanted.min(allowed))),
        None => allowed,
    }
}

fn backlog(facts: &HostFacts) -> Option<Finding> {
    let backlog = facts.somaxconn.filter(|backlog| *backlog < USUAL_BACKLOG)?;
    let message = format!(
        "net.core.somaxconn is {backlog}: of clients that come in a burst, no more wait for each worker, and others try again \
         after a second"
    );
    let cure = "sysctl -w net.core.somaxconn=65535, and the same in /etc/sysctl.d/";
    Some(Finding::warning("somaxconn", message, cure))
}

fn far(facts: &HostFacts) -> Option<Finding> {
    let (receive, send) = facts.socket_memory.filter(|(receive, send)| receive.min(send) < &FAR_BYTES)?;
    let message = format!(
        "net.ipv4.tcp_rmem and tcp_wmem end at {receive} and {send} bytes: downloads and uploads over long ways are slow"
    );
    let cure = "sysctl -w net.ipv4.tcp_rmem='4096 131072 6291456' net.ipv4.tcp_wmem='4096 16384 4194304'";
    Some(Finding::warning("tcp_memory", message, cure))
}

fn socket_memory(facts: &HostFacts) -> Option<Finding> {
    let (receive, send) =
        facts.socket_memory_max.filter(|(receive, send)| receive.min(send) < &USUAL_SOCKET_MEMORY)?;
    let message = format!(
        "net.core.rmem_max and wmem_max are {receive} and {send}, less than kernels have by themselves"
    );
    let cure = "sysctl -w net.core.rmem_max=212992 net.core.wmem_max=212992";
    Some(Finding::note("socket_memory", message, cure))
}

/// A connection to a backend takes one of the local ports, which each address of a backend has anew.
fn local_ports(facts: &HostFacts, needs: &Needs, clients: Option<u64>) -> Option<Finding> {
    let (first, last) = facts.local_ports?;
    let ports = last.checked_sub(first)? + 1;
    let smallest =
        needs.groups.iter().filter(|(_, addresses)| *addresses > 0).min_by_key(|(_, addresses)| *addresses);
    let (group, addresses) = smallest?;
    let most = ports.saturating_mul(*addresses);
    let clients = clients.filter(|clients| *clients > most)?;
    let message = format!(
        "{ports} local ports for each of {addresses} addresses of group {group} make {most} connections to it over HTTP/1.1, \
         and {clients} clients may come at once; those beyond get 503"
    );
    let cure =
        "sysctl -w net.ipv4.ip_local_port_range='1024 65535', more addresses, or a smaller max_connections";
    Some(match needs.connections {
        Some(_) => Finding::warning("local_ports", message, cure),
        // Nobody said that so many would come.
        None => Finding::note("local_ports", message, cure),
    })
}

fn conntrack(facts: &HostFacts, clients: Option<u64>) -> Option<Finding> {
    let (count, most) = facts.conntrack?;
    let cure = format!(
        "sysctl -w net.netfilter.nf_conntrack_max={}, or a rule of the packet filter without tracking (notrack) for these ports",
        most.saturating_mul(4)
    );
    if most > 0 && count.saturating_mul(100) / most >= FULL {
        let message = format!(
            "{count} of {most} connections are tracked (nf_conntrack): beyond it, new ones are dropped"
        );
        return Some(Finding::error("conntrack", message, cure));
    }
    // Each client has one connection here, and perhaps one to a backend.
    let wanted = clients?.saturating_mul(2);
    (wanted > most).then(|| {
        let message = format!(
            "nf_conntrack tracks {most} connections, and there may be {wanted}, with those to backends"
        );
        Finding::note("conntrack", message, cure)
    })
}

/// Whether all packets of an interface come by one CPU, while workers are on several.
fn spread(card: &NetworkCard, needs: &Needs) -> Option<Finding> {
    let NetworkCard { name, receive_queues, spread_queues, interrupt_cpus, interrupts } = card;
    if needs.workers < 2 || *receive_queues == 0 {
        return None;
    }
    if *receive_queues == 1 && *spread_queues == 0 {
        let message = format!("{name} has one receive queue: one CPU handles all its packets");
        let cure = format!(
            "ethtool -L {name} combined {}, or spread them: echo ffffffff > /sys/class/net/{name}/queues/rx-0/rps_cpus",
            needs.workers
        );
        return Some(Finding::note("interrupts", message, cure));
    }
    match interrupt_cpus[..] {
        [cpu] if *interrupts > 1 && *spread_queues == 0 => {
            let pinned = if needs.pin { ", to which a worker is pinned" } else { "" };
            let message = format!("all {interrupts} interrupts of {name} go to CPU {cpu}{pinned}");
            let cure =
                "systemctl enable --now irqbalance, or write CPUs into /proc/irq/NUMBER/smp_affinity_list";
            Some(Finding::warning("interrupts", message, cure))
        }
        _ => None,
    }
}

/// Ports of listeners that another process has. `report` knows where addresses stand.
pub fn judge_ports(listening: &[ListeningSocket], config: &Config, report: &Report) -> Vec<Finding> {
    let of_listeners = config.bound_addresses().flat_map(|(listener, one)| {
        let of_kind = |kind: &TransportKind| (*kind, listener.name.as_str(), one.address, one.location);
        kinds_of(listener).iter().map(of_kind)
    });
    let of_admin =
        config.admin.address.map(|(address, location)| (TransportKind::Tcp, "[admin]", address, location));
    let wanted = of_listeners.chain(of_admin);
    let found = wanted.filter_map(|(kind, name, address, location)| {
        Some(taken(listening, name, (kind, address))?.at(&report.place(location)))
    });
    found.collect()
}

fn taken(
    listening: &[ListeningSocket],
    name: &str,
    (kind, wanted): (TransportKind, SocketAddr),
) -> Option<Finding> {
    let in_the_way = |socket: &&ListeningSocket| {
        socket.kind.is_over_udp() == kind.is_over_udp() && overlaps(socket.address, wanted)
    };
    let in_the_way: Vec<_> = listening.iter().filter(in_the_way).collect();
    let flags = if kind.is_over_udp() { "-lunp" } else { "-ltnp" };
    let port = wanted.port();
    let foreign = in_the_way
        .iter()
        .find_map(|socket| socket.owner.as_ref().filter(|(owner, _)| !owner.starts_with(OWN_NAME)));
    if let Some((owner, process)) = foreign {
        let message = format!("{owner} (process {process}) listens at {wanted}, which {name} wants");
        let cure = format!("stop it, or change the address: ss {flags} sport = :{port}");
        return Some(Finding::error("port", message, cure));
    }
    in_the_way.iter().any(|socket| socket.owner.is_none()).then(|| {
        let message = format!("a process that this user may not see listens at {wanted}, which {name} wants");
        Finding::note("port", message, format!("see whether it is Ringway: sudo ss {flags} sport = :{port}"))
    })
}

fn overlaps(taken: SocketAddr, wanted: SocketAddr) -> bool {
    let is_everywhere = |address: SocketAddr| address.ip().is_unspecified();
    taken.port() == wanted.port()
        && wanted.port() != 0
        && (taken.ip() == wanted.ip()
            || is_everywhere(taken) && (taken.is_ipv6() || wanted.is_ipv4())
            || is_everywhere(wanted) && (wanted.is_ipv6() || taken.is_ipv4()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::config::Source;

    fn needs() -> Needs {
        let groups = vec![("app".to_owned(), 2), ("api".to_owned(), 10)];
        Needs { workers: 4, pin: true, listening: 4, connections: Some(50_000), groups, wants_ring: false }
    }

    fn found(facts: HostFacts) -> Vec<(&'static str, &'static str)> {
        judge(&facts, &needs()).iter().map(|found| (found.check, found.severity.as_str())).collect()
    }

    #[test]
    fn what_is_unknown_or_good_is_not_found() {
        assert_eq!(found(HostFacts::default()), []);
        let good = HostFacts {
            descriptors: Some(1_048_576),
            somaxconn: Some(4_096),
            socket_memory: Some((6_291_456, 4_194_304)),
            socket_memory_max: Some((212_992, 212_992)),
            local_ports: Some((32_768, 60_999)),
            conntrack: Some((100, 262_144)),
            ..HostFacts::default()
        };
        assert_eq!(found(good), []);
    }

    #[test]
    fn each_setting_is_found() {
        let cases = [
            (HostFacts { somaxconn: Some(128), ..HostFacts::default() }, ("somaxconn", "warning")),
            (
                HostFacts { socket_memory: Some((6_291_456, 65_536)), ..HostFacts::default() },
                ("tcp_memory", "warning"),
            ),
            (
                HostFacts { socket_memory_max: Some((65_536, 65_536)), ..HostFacts::default() },
                ("socket_memory", "note"),
            ),
            (
                HostFacts { local_ports: Some((60_000, 60_999)), ..HostFacts::default() },
                ("local_ports", "warning"),
            ),
            (HostFacts { conntrack: Some((60_000, 65_536)), ..HostFacts::default() }, ("conntrack", "error")),
            (HostFacts { conntrack: Some((10, 65_536)), ..HostFacts::default() }, ("conntrack", "note")),
        ];
        for (facts, expected) in cases {
            assert_eq!(found(facts), [expected]);
        }
    }

    #[test]
    fn interfaces_whose_packets_one_cpu_handles_are_found() {
        let card = |receive_queues, spread_queues, interrupt_cpus: &[u64], interrupts| {
            let interrupt_cpus = interrupt_cpus.to_vec();
            let name = "eth0".to_owned();
            let card = NetworkCard { name, receive_queues, spread_queues, interrupt_cpus, interrupts };
            found(HostFacts { cards: vec![card], ..HostFacts::default() })
        };
        assert_eq!(card(1, 0, &[2], 1), [("interrupts", "note")]);
        assert_eq!(card(1, 1, &[2], 1), []);
        assert_eq!(card(4, 0, &[2], 4), [("interrupts", "warning")]);
        assert_eq!(card(4, 0, &[0, 1, 2, 3], 4), []);
        assert_eq!(card(0, 0, &[], 0), []);
    }

    #[test]
    fn ports_that_others_have_are_found() {
        let text = "config_version = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:80\"\n[[listener]]\n\
                    name = \"dns\"\nprotocol = \"udp\"\naddress = \"127.0.0.1:53\"\ndefault_group = \"dns\"\n\
                    [[server_group]]\nname = \"dns\"\nprotocol = \"udp\"\n[[server_group.backend]]\n\
                    address = \"192.0.2.1:53\"\n";
        let loaded = config::load(vec![Source::made_up("<test>", text.to_owned())]);
        let config = loaded.config.unwrap();
        let seen = |kind, address: &str, owner: Option<&str>| {
            let owner = owner.map(|name| (name.to_owned(), 7));
            let socket = ListeningSocket { kind, address: address.parse().unwrap(), owner };
            judge_ports(&[socket], &config, &loaded.report)
        };
        let of = |address: &str, owner: Option<&str>| {
            let found = seen(TransportKind::Tcp, address, owner);
            assert!(found.iter().all(|found| found.message.starts_with("<test>:4: ")), "{found:?}");
            found.iter().map(|found| found.severity.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of("0.0.0.0:53", Some("named")), Vec::<&str>::new());
        let [found] = &seen(TransportKind::Udp, "0.0.0.0:53", Some("named"))[..] else { panic!() };
        assert!(found.cure.contains("ss -lunp sport = :53"), "{found:?}");
        assert_eq!(of("0.0.0.0:80", Some("nginx")), ["error"]);
        assert_eq!(of("[::]:80", Some("nginx")), ["error"]);
        assert_eq!(of("127.0.0.1:80", None), ["note"]);
        assert_eq!(of("127.0.0.1:80", Some("ringway")), Vec::<&str>::new());
        assert_eq!(of("127.0.0.2:80", Some("nginx")), Vec::<&str>::new());
        assert_eq!(of("127.0.0.1:81", Some("nginx")), Vec::<&str>::new());
    }
}
