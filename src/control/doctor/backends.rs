//! Which backends can be reached from here: a connection is made to each, and closed.

use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::config::Backend;
use crate::config::BackendAddress;
use crate::config::Config;
use crate::config::GroupProtocol;
use crate::config::Location;
use crate::config::ServerGroup;
use crate::control::build::source;
use crate::control::discovery::Resolutions;
use crate::control::own_header::own_header;
use crate::net::source::connect_within;

/// Backends that are connected to; there may be ten thousand, and a network is told by fewer.
pub const MAX_PROBED: usize = 512;

/// At a time.
const MAX_THREADS: usize = 64;

/// A backend that takes longer is as good as away, and the whole look has an end: MAX_PROBED / MAX_THREADS times this.
const MAX_TIMEOUT: Duration = Duration::from_secs(2);

/// What is connected to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ProbeTarget {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A backend of a group, and why it cannot be reached; None: it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    pub group: String,
    /// As it is configured.
    pub backend: String,
    /// Where it is configured.
    pub location: Location,
    pub refusal: Option<String>,
    /// It was not asked: the group's source of connections cannot be used.
    pub lacks_source: bool,
}

/// Connects to the first [`MAX_PROBED`] backends.
pub fn survey(config: &Config, resolutions: &Resolutions) -> Vec<Reached> {
    // Whether somebody receives datagrams shows only when something is said that is answered, as health checks do.
    let is_looked_at = |group: &&ServerGroup| group.enabled && group.protocol != GroupProtocol::Udp;
    let backends = config.server_groups.iter().filter(is_looked_at).flat_map(|group| {
        // At which ports somebody has to answer is not known of what has none.
        let is_looked_at = |backend: &&Backend| backend.enabled && !backend.address.is_at_any_port();
        let backends = group.backends.iter().filter(is_looked_at);
        backends.map(move |backend| (group, backend))
    });
    let wanted: Vec<_> = backends.take(MAX_PROBED).collect();
    let destinations: Vec<_> =
        wanted.iter().map(|(_, backend)| destinations(&backend.address, resolutions)).collect();
    let share = wanted.len().div_ceil(MAX_THREADS).max(1);
    let jobs: Vec<_> = wanted.into_iter().zip(destinations).collect();
    thread::scope(|scope| {
        let ask = |jobs: &[((&ServerGroup, &Backend), ProbeTargets)]| -> Vec<Reached> {
            jobs.iter()
                .map(|((group, backend), destinations)| reached(group, backend, destinations))
                .collect()
        };
        let threads: Vec<_> = jobs.chunks(share).map(|jobs| scope.spawn(move || ask(jobs))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

fn reached(group: &ServerGroup, backend: &Backend, destinations: &ProbeTargets) -> Reached {
    let outcome = reach(destinations, group);
    Reached {
        group: group.name.clone(),
        backend: backend.address.to_string(),
        location: backend.location,
        lacks_source: outcome.as_ref().is_err_and(|refusal| refusal.lacks_source),
        refusal: outcome.err().map(|refusal| refusal.text),
    }
}

/// Why a backend cannot be reached.
struct UnreachedBackend {
    text: String,
    lacks_source: bool,
}

impl From<String> for UnreachedBackend {
    fn from(text: String) -> UnreachedBackend {
        UnreachedBackend { text, lacks_source: false }
    }
}

/// Or why there is none.
type ProbeTargets = Result<Vec<ProbeTarget>, String>;

fn destinations(address: &BackendAddress, resolutions: &Resolutions) -> ProbeTargets {
    match address {
        BackendAddress::Ip(address) => Ok(vec![ProbeTarget::Tcp(*address)]),
        BackendAddress::Unix(path) => Ok(vec![ProbeTarget::Unix(path.clone())]),
        BackendAddress::Name { host, port } => match resolutions.get(&(host.clone(), *port)) {
            Some(Ok(addresses)) => Ok(addresses.iter().copied().map(ProbeTarget::Tcp).collect()),
            Some(Err(reason)) => Err(format!("its name cannot be resolved: {reason}")),
            None => Err("its name was not resolved".to_owned()),
        },
    }
}

/// Connects to one of them.
fn reach(destinations: &ProbeTargets, group: &ServerGroup) -> Result<(), UnreachedBackend> {
    let destinations = destinations.as_ref().map_err(|reason| reason.clone())?;
    let timeout = group.connect_timeout.min(MAX_TIMEOUT);
    let mut refusal = UnreachedBackend::from("its name has no address".to_owned());
    for destination in destinations {
        let outcome = match destination {
            ProbeTarget::Tcp(address) => connect_within(*address, source(group), timeout).map(|stream| {
                let endpoints = stream.local_addr().ok().map(|own| (own, *address));
                send_header(stream, endpoints, group);
            }),
            ProbeTarget::Unix(path) => {
                UnixStream::connect(path).map(|stream| send_header(stream, None, group))
            }
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(error) => {
                // All others are of the system.
                let lacks_source = error.kind() == io::ErrorKind::Other;
                refusal = UnreachedBackend { text: error.to_string(), lacks_source };
            }
        }
    }
    Err(refusal)
}

/// Sends a PROXY header where backends expect one: a connection that ends without would look like a fault in their logs.
fn send_header(mut stream: impl Write, endpoints: Option<(SocketAddr, SocketAddr)>, group: &ServerGroup) {
    if let Some(terms) = group.proxy_header {
        // It was reached, whatever it makes of that.
        let _ = stream.write_all(&own_header(terms.version, endpoints));
    }
}
