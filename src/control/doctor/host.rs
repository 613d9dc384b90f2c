//! What this host is like, as far as it says so. Everything is read; what cannot be read is None, and nothing is found of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::config::Config;
use crate::config::Workers;
use crate::config::in_order;
use crate::control::doctor::listening;
use crate::control::doctor::listening::ListeningSocket;
use crate::control::process::rlimits;

/// What a configuration wants of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    pub workers: u64,
    pub pin: bool,
    /// Sockets that listen.
    pub listening: u64,
    /// Clients at a time; None: as many as descriptors allow.
    pub connections: Option<u64>,
    /// The name of each group, with how many addresses it has over TCP.
    pub groups: Vec<(String, u64)>,
    /// Rings are a must.
    pub wants_ring: bool,
}

impl Needs {
    /// How many clients there can be with this many descriptors.
    pub fn clients_within(&self, descriptors: u64) -> u64 {
        let listening = usize::try_from(self.listening).unwrap_or(usize::MAX);
        rlimits::connections_beside(rlimits::connections_within(descriptors), listening) as u64
    }

    /// Of a process with so many workers.
    pub fn of_no_configuration(automatic_workers: usize) -> Needs {
        Needs {
            workers: automatic_workers as u64,
            pin: true,
            listening: 0,
            connections: None,
            groups: Vec::new(),
            wants_ring: false,
        }
    }

    /// `automatic_workers`: how many there are unless the configuration says it.
    pub fn of(config: &Config, automatic_workers: usize) -> Needs {
        let workers = match config.process.workers {
            Workers::Auto => automatic_workers as u64,
            Workers::Count(count) => count.into(),
        };
        let is_tcp = |backend: &&crate::config::Backend| {
            let is_unix = matches!(backend.address, crate::config::BackendAddress::Unix(_));
            !is_unix && backend.weight > 0 && backend.enabled
        };
        let group = |group: &crate::config::ServerGroup| {
            (group.name.clone(), group.backends.iter().filter(is_tcp).count() as u64)
        };
        Needs {
            workers,
            pin: config.process.pin,
            listening: config.bound_sockets() as u64 * workers,
            connections: Some(config.process.max_connections.into()).filter(|most| *most > 0),
            groups: config.server_groups.iter().filter(|group| group.enabled).map(group).collect(),
            wants_ring: config.process.io_driver == crate::config::IoDriver::IoUring,
        }
    }
}

/// What the kernel grants of io_uring, which others find out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingFacts {
    /// Why there are no rings; None: there are.
    pub refusal: Option<String>,
    /// How many rings of the size that is wanted there is locked memory for; None: it does not count.
    pub room: Option<u64>,
}

/// A host as it is described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    pub kernel: Option<(u32, u32)>,
    pub ring: RingFacts,
    /// `kernel.io_uring_disabled`.
    pub io_uring_disabled: Option<u64>,
    /// The hard limit of descriptors, of the shell that asks.
    pub descriptors: Option<u64>,
    pub somaxconn: Option<u64>,
    /// The most bytes that a socket of TCP may have to receive, and to send.
    pub socket_memory: Option<(u64, u64)>,
    /// `net.core.rmem_max` and `wmem_max`.
    pub socket_memory_max: Option<(u64, u64)>,
    /// The first and the last local port of connections.
    pub local_ports: Option<(u64, u64)>,
    /// Connections that are tracked, and how many may be.
    pub conntrack: Option<(u64, u64)>,
    pub is_clock_synchronised: Option<bool>,
    /// always, madvise or never.
    pub huge_pages: Option<String>,
    /// CPUs that the process may run on.
    pub usable_cpus: Option<u64>,
    /// CPU time that the control group grants, in thousandths of a CPU.
    pub cpu_quota: Option<u64>,
    pub cards: Vec<NetworkCard>,
    pub listening: Vec<ListeningSocket>,
}

/// A network interface with hardware behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkCard {
    pub name: String,
    pub receive_queues: usize,
    /// Queues whose packets the kernel spreads over CPUs (RPS).
    pub spread_queues: usize,
    /// The CPUs that its interrupts go to, each once.
    pub interrupt_cpus: Vec<u64>,
    pub interrupts: usize,
}

/// Network interfaces that are looked at; hosts with more have them for containers.
const MAX_CARDS: usize = 64;

impl HostFacts {
    /// Reads what the host says below `root`, which is `/` but in tests.
    pub fn survey(root: &Path, ring: RingFacts, cpu_quota: Option<u64>) -> HostFacts {
        let sysctl = |name: &str| number(&root.join("proc/sys").join(name.replace('.', "/")));
        let pair = |first: &str, second: &str| Some((sysctl(first)?, sysctl(second)?));
        HostFacts {
            kernel: version(&rlimits::kernel_release()),
            ring,
            io_uring_disabled: sysctl("kernel.io_uring_disabled"),
            descriptors: rlimits::most_descriptors(),
            somaxconn: sysctl("net.core.somaxconn"),
            socket_memory: last_number(&root.join("proc/sys/net/ipv4/tcp_rmem"))
                .zip(last_number(&root.join("proc/sys/net/ipv4/tcp_wmem"))),
            socket_memory_max: pair("net.core.rmem_max", "net.core.wmem_max"),
            local_ports: local_ports(root),
            conntrack: pair("net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"),
            is_clock_synchronised: rlimits::is_clock_synchronised(),
            huge_pages: huge_pages(&text(&root.join("sys/kernel/mm/transparent_hugepage/enabled"))),
            usable_cpus: None,
            cpu_quota,
            cards: cards(root),
            listening: listening::survey(root),
        }
    }
}

/// Empty where it cannot be read.
fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(path: &Path) -> Option<u64> {
    text(path).trim().parse().ok()
}

fn last_number(path: &Path) -> Option<u64> {
    text(path).split_whitespace().last()?.parse().ok()
}

fn local_ports(root: &Path) -> Option<(u64, u64)> {
    let range = text(&root.join("proc/sys/net/ipv4/ip_local_port_range"));
    let mut ports = range.split_whitespace().map_while(|port| port.parse().ok());
    Some((ports.next()?, ports.next()?))
}

/// Of a release such as `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The word in brackets.
fn huge_pages(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

fn cards(root: &Path) -> Vec<NetworkCard> {
    let folder = root.join("sys/class/net");
    let names = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    in_order::sort_by(&mut names, String::cmp);
    let with_hardware = names.into_iter().filter(|name| folder.join(name).join("device").exists());
    with_hardware.take(MAX_CARDS).map(|name| card(root, name)).collect()
}

fn card(root: &Path, name: String) -> NetworkCard {
    let folder = root.join("sys/class/net").join(&name);
    let queues = fs::read_dir(folder.join("queues")).into_iter().flatten().flatten();
    let receiving: Vec<_> =
        queues.filter(|queue| queue.file_name().as_encoded_bytes().starts_with(b"rx-")).collect();
    let is_spread = |queue: &&fs::DirEntry| {
        text(&queue.path().join("rps_cpus")).chars().any(|digit| digit.is_ascii_hexdigit() && digit != '0')
    };
    let mut cpus = BTreeMap::new();
    let interrupts = fs::read_dir(folder.join("device/msi_irqs")).into_iter().flatten().flatten();
    let numbers: Vec<_> = interrupts.map(|entry| entry.file_name()).collect();
    for number in &numbers {
        let list = text(&root.join("proc/irq").join(number).join("effective_affinity_list"));
        for cpu in list.trim().split([',', '-']).filter_map(|cpu| cpu.parse::<u64>().ok()) {
            cpus.insert(cpu, ());
        }
    }
    NetworkCard {
        receive_queues: receiving.len(),
        spread_queues: receiving.iter().filter(is_spread).count(),
        interrupt_cpus: cpus.into_keys().collect(),
        interrupts: numbers.len(),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.15.167.4-microsoft"), Some((5, 15)));
        assert_eq!(version(""), None);
        assert_eq!(huge_pages("always [madvise] never\n"), Some("madvise".to_owned()));
        assert_eq!(huge_pages(""), None);
    }

    #[test]
    fn a_host_that_says_nothing_is_described_as_unknown() {
        let root = tempfile::tempdir().unwrap();
        let facts = HostFacts::survey(root.path(), RingFacts::default(), None);
        assert_eq!((facts.somaxconn, facts.local_ports), (None, None));
        assert_eq!((facts.cards, facts.listening), (Vec::new(), Vec::new()));
    }

    #[test]
    fn queues_and_interrupts_of_a_card_are_counted() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("sys/class/net/eth0/queues/rx-0/rps_cpus", "00000000,00000000\n");
        put("sys/class/net/eth0/queues/rx-1/rps_cpus", "f\n");
        put("sys/class/net/eth0/queues/tx-0/xps_cpus", "f\n");
        put("sys/class/net/eth0/device/msi_irqs/33", "msix\n");
        put("sys/class/net/eth0/device/msi_irqs/34", "msix\n");
        put("sys/class/net/lo/queues/rx-0/rps_cpus", "0\n");
        put("proc/irq/33/effective_affinity_list", "1\n");
        put("proc/irq/34/effective_affinity_list", "1\n");
        let expected = NetworkCard {
            name: "eth0".to_owned(),
            receive_queues: 2,
            spread_queues: 1,
            interrupt_cpus: vec![1],
            interrupts: 2,
        };
        assert_eq!(cards(root.path()), [expected]);
    }
}
