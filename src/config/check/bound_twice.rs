//! Which addresses of listeners get in each other's way.

use std::collections::HashMap;
use std::collections::HashSet;
use std::net::SocketAddr;

use crate::config::Admin;
use crate::config::Carriers;
use crate::config::ListenAddress;
use crate::config::Listener;
use crate::config::report::Location;
use crate::config::report::Report;

/// Addresses of all listeners together: each is a socket for each worker.
const MAX_ADDRESSES: usize = 4_096;

/// Refuses addresses of enabled listeners that would take each other's connections or those of `[admin]`, and decides which
/// take both IPv4 and IPv6: `[::]` does, unless `0.0.0.0` has a socket of its own at the port.
pub(super) fn check(listeners: &mut [Listener], admin: &Admin, report: &mut Report) {
    decide_dual_stack(listeners);
    // The ports of TCP and of UDP are others; what is asked of `[admin]` comes by TCP.
    check_transport((Carriers::has_udp, " of UDP"), (listeners, None), report);
    check_transport((Carriers::has_tcp, ""), (listeners, admin.address), report);
    let mut count = 0;
    for listener in listeners.iter().filter(|listener| listener.enabled) {
        let each = if listener.carriers() == Carriers::TcpAndUdp { 2 } else { 1 };
        count += listener.addresses.len() * each;
        if count > MAX_ADDRESSES {
            let message =
                format!("with \"{}\", listeners have {count} addresses and ports together", listener.name);
            let help = format!("allowed are up to {MAX_ADDRESSES}: each is a socket for each worker");
            return report.error(listener.location, message, help);
        }
    }
}

/// Where it has both TCP and UDP, a listener takes the same clients by both.
fn decide_dual_stack(listeners: &mut [Listener]) {
    let is_of_all_ipv4 = |address: &SocketAddr| address.is_ipv4() && address.ip().is_unspecified();
    let own_ipv4 = |is_of: fn(Carriers) -> bool| -> HashSet<u16> {
        let enabled = listeners.iter().filter(|listener| listener.enabled && is_of(listener.carriers()));
        let addresses = enabled.flat_map(|listener| listener.addresses.iter().map(|entry| entry.address));
        addresses.filter(is_of_all_ipv4).map(|address| address.port()).collect()
    };
    let (of_tcp, of_udp) = (own_ipv4(Carriers::has_tcp), own_ipv4(Carriers::has_udp));
    for listener in listeners {
        let carriers = listener.carriers();
        for entry in &mut listener.addresses {
            let (address, port) = (entry.address, entry.address.port());
            let has_own_ipv4 =
                carriers.has_tcp() && of_tcp.contains(&port) || carriers.has_udp() && of_udp.contains(&port);
            entry.dual_stack = address.is_ipv6() && address.ip().is_unspecified() && !has_own_ipv4;
        }
    }
}

/// `transport` is what a message says behind a port.
fn check_transport(
    (is_of, transport): (fn(Carriers) -> bool, &str),
    (listeners, admin): (&[Listener], Option<(SocketAddr, Location)>),
    report: &mut Report,
) {
    let enabled = listeners.iter().filter(|listener| listener.enabled && is_of(listener.carriers()));
    let place = |entry: &ListenAddress| PortPlace {
        address: entry.address,
        location: entry.location,
        dual_stack: entry.dual_stack,
    };
    let mut all: Vec<_> = enabled.flat_map(|listener| listener.addresses.iter().map(place)).collect();
    all.extend(admin.map(|(address, location)| PortPlace { address, location, dual_stack: true }));
    for clash in clashes(&all) {
        let PortPlace { address, location, .. } = clash.later;
        let (other, first) = (clash.earlier.address, report.place(clash.earlier.location));
        let port = address.port();
        let (message, help) = match clash.last_port {
            last if last == port => (
                format!("port {port}{transport} is bound twice: {address} and {other} (at {first}) overlap"),
                "give one of them another port, or remove it",
            ),
            last => (
                format!(
                    "{} of the ports {port} to {last}{transport} are bound twice: {address} and {other} (at {first}) overlap, for one",
                    clash.count
                ),
                "give one of them other ports, or remove it",
            ),
        };
        report.error(location, message, help);
    }
}

/// An address that is listened at, and where that is written.
#[derive(Clone, Copy)]
struct PortPlace {
    address: SocketAddr,
    location: Location,
    /// Whether it takes IPv4, too, where it takes every address of IPv6.
    dual_stack: bool,
}

/// Two places, perhaps of many ports, that overlap.
struct Clash {
    /// The first port of which that is so.
    later: PortPlace,
    earlier: PortPlace,
    last_port: u16,
    /// How many ports overlap.
    count: usize,
}

/// What overlaps, each pair of places once.
fn clashes(all: &[PortPlace]) -> Vec<Clash> {
    let mut found: Vec<Clash> = Vec::new();
    let mut known: HashMap<(Location, Location), usize> = HashMap::new();
    // Few addresses share a port, so that what stands here is soon looked through.
    let mut of_port: HashMap<u16, Vec<PortPlace>> = HashMap::new();
    for later in all.iter().copied() {
        let port = later.address.port();
        let before = of_port.entry(port).or_default();
        let overlaps = |earlier: &&PortPlace| earlier.covers(later.address) || later.covers(earlier.address);
        if let Some(earlier) = before.iter().find(overlaps).copied() {
            let index = *known.entry((later.location, earlier.location)).or_insert(found.len());
            match found.get_mut(index) {
                Some(clash) => {
                    clash.last_port = port;
                    clash.count += 1;
                }
                None => found.push(Clash { later, earlier, last_port: port, count: 1 }),
            }
        }
        before.push(later);
    }
    found
}

impl PortPlace {
    /// Whether a socket here also takes what is meant for `narrow`.
    fn covers(&self, narrow: SocketAddr) -> bool {
        let wide = self.address;
        let same_family = wide.is_ipv4() == narrow.is_ipv4();
        let takes_family = same_family || (wide.is_ipv6() && self.dual_stack);
        // The kernel gives each socket with port 0 a port of its own.
        wide.port() == narrow.port()
            && wide.port() != 0
            && (wide == narrow || (wide.ip().is_unspecified() && takes_family))
    }
}
