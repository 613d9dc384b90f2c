//! The listening sockets of the process: which are open, and which a new configuration needs besides.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::config::Config;
use crate::config::ListenAddress;
use crate::config::Listener;
use crate::net::address::TransportKind;
use crate::net::clock::instant_now;
use crate::net::listen::Bound;
use crate::net::listen::Neighbour;
use crate::net::listen::is_out_of_descriptors;
use crate::net::mailbox::Mailbox;
use crate::net::udp::listening::BUFFER_BYTES;
use crate::net::udp::listening::cookie_of;
use crate::snapshot::handed_session::HandedSessions;
use crate::telemetry::operator::log_line;

/// An address that is listened at.
#[derive(Clone, Debug)]
pub struct Binding {
    /// No other socket of this process has or had it.
    pub number: u64,
    pub kind: TransportKind,
    /// As configured; the port may be 0.
    wanted: SocketAddr,
    dual_stack: bool,
    /// With the port that the kernel chose if none was wanted.
    pub address: SocketAddr,
    pub listener: String,
}

impl Binding {
    /// As configured; the port may be 0.
    pub fn wanted(&self) -> SocketAddr {
        self.wanted
    }

    /// Whether it takes IPv4, too.
    pub fn dual_stack(&self) -> bool {
        self.dual_stack
    }

    /// For a listener that is not to listen.
    pub fn unbound(number: u64, listener: &Listener, wanted: &ListenAddress) -> Binding {
        let ListenAddress { address, dual_stack, .. } = *wanted;
        let kind = kind_of(listener);
        Binding { number, kind, wanted: address, dual_stack, address, listener: listener.name.clone() }
    }
}

/// What is spoken at the ports of a listener.
fn kind_of(listener: &Listener) -> TransportKind {
    if listener.is_udp() { TransportKind::Udp } else { TransportKind::Tcp }
}

/// A listening socket on its way to a worker.
pub struct NewSocket {
    pub number: u64,
    pub kind: TransportKind,
    /// The one that clients connect to.
    pub port: u16,
    pub socket: OwnedFd,
    /// Those of another process, if it is a socket of UDP.
    pub sessions: Option<HandedSessions>,
}

/// What a worker is told of listening sockets.
pub enum SocketOrder {
    Accept(NewSocket),
    /// Tell of all that it accepts on.
    Lend(Sender<LentSocket>),
    /// Receive nothing more on those of UDP among these sockets, by number, and give their sessions away.
    GiveSessions(Arc<[u64]>, Sender<HandedSessions>),
    /// Go on with sessions that were given away.
    TakeSessions(HandedSessions),
}

/// Another descriptor of a listening socket of a worker.
pub struct LentSocket {
    pub number: u64,
    pub socket: OwnedFd,
}

/// The sockets of one address that another process has opened.
pub struct InheritedSockets {
    pub kind: TransportKind,
    /// As that process was configured.
    pub wanted: SocketAddr,
    pub dual_stack: bool,
    pub address: SocketAddr,
    pub listener: String,
    pub sockets: Vec<OwnedFd>,
}

/// Why a listener cannot listen.
#[derive(Debug)]
pub struct BindError {
    pub listener: String,
    kind: TransportKind,
    pub address: SocketAddr,
    pub error: io::Error,
    dual_stack: bool,
}

/// Sockets that are bound for a configuration that is not in service yet.
pub struct Prepared {
    /// Every binding of the configuration.
    pub bindings: Vec<Binding>,
    fresh: Vec<(u64, Bound)>,
}

/// Numbers of sockets, and those that are open.
#[derive(Default)]
pub struct Sockets {
    next: u64,
    open: Vec<Binding>,
    /// What is bound already and was not asked for yet.
    inherited: Vec<InheritedSockets>,
    /// Another process still accepts: what workers are to get waits here.
    held: Option<Vec<(u64, Bound)>>,
}

/// Between two attempts to hand a socket to a worker whose mailbox is full.
const SEND_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// How long an address that was given up a moment ago may still be taken by its old sockets, and how often to look
/// whether it is.
pub const OLD_SOCKETS_TIMEOUT: Duration = Duration::from_secs(3);
pub const OLD_SOCKETS_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How long workers may take to tell of their sockets.
const LEND_TIMEOUT: Duration = Duration::from_secs(5);

/// New sockets that can be on their way to a worker at a time.
pub const MAX_ON_THE_WAY: usize = 4_096;

impl Sockets {
    /// None is open; these need not be bound. With `holds`, nothing is accepted before [`Sockets::release`].
    pub fn inheriting(inherited: Vec<InheritedSockets>, holds: bool) -> Sockets {
        Sockets { inherited, held: holds.then(Vec::new), ..Sockets::default() }
    }

    /// Whether workers wait until they may accept.
    pub fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Lets workers accept, and go on with these sessions of UDP.
    pub fn release(&mut self, sessions: Vec<HandedSessions>, workers: &[Mailbox<SocketOrder>]) {
        let sessions = sessions.into_iter().map(|handed| (handed.socket, handed)).collect();
        hand_out(self.held.take().unwrap_or_default(), sessions, workers);
    }

    /// The sockets of all workers, by the number of their binding.
    ///
    /// # Errors
    /// A worker does not answer in time.
    pub fn lent(&self, workers: &[Mailbox<SocketOrder>]) -> io::Result<Vec<(&Binding, Vec<OwnedFd>)>> {
        let (sender, lent) = mpsc::channel();
        for worker in workers {
            let is_told = worker.send(SocketOrder::Lend(sender.clone()));
            is_told.map_err(|_| io::Error::other("a worker has too many orders"))?;
        }
        drop(sender);
        let mut bindings: Vec<_> = self.open.iter().map(|binding| (binding, Vec::new())).collect();
        let places = self.open.iter().enumerate().map(|(place, binding)| (binding.number, place));
        let places: HashMap<u64, usize> = places.collect();
        let end = instant_now() + LEND_TIMEOUT;
        loop {
            match lent.recv_timeout(end.saturating_duration_since(instant_now())) {
                Ok(LentSocket { number, socket }) => {
                    // What a reload has removed a moment ago is not handed on.
                    let binding = places.get(&number).and_then(|place| bindings.get_mut(*place));
                    if let Some((_, sockets)) = binding {
                        sockets.push(socket);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(bindings),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(io::Error::other("a worker does not tell of its listening sockets"));
                }
            }
        }
    }

    /// Binds what the configuration needs and is not open yet. Nothing changes until it is installed;
    /// dropping what is returned gives the addresses up again.
    pub fn prepare(&mut self, config: &Config, workers: usize) -> Result<Prepared, BindError> {
        let mut prepared = Prepared { bindings: Vec::new(), fresh: Vec::new() };
        let end = instant_now() + OLD_SOCKETS_TIMEOUT;
        // What is not asked for now is closed: its process has it still.
        let mut inherited = std::mem::take(&mut self.inherited);
        let mut open: Vec<Option<&Binding>> = self.open.iter().map(Some).collect();
        for listener in config.listeners.iter().filter(|listener| listener.enabled) {
            let kind = kind_of(listener);
            for wanted in &listener.addresses {
                let refused = |error| BindError {
                    listener: listener.name.clone(),
                    kind,
                    address: wanted.address,
                    error,
                    dual_stack: wanted.dual_stack,
                };
                if prepared.fresh.len() >= MAX_ON_THE_WAY {
                    let text = format!("more than {MAX_ON_THE_WAY} addresses at a time");
                    return Err(refused(io::Error::other(text)));
                }
                // With a port that the kernel chooses, only the name tells whose socket it is.
                let is_same = |binding: &Binding| {
                    (binding.kind, binding.wanted, binding.dual_stack)
                        == (kind, wanted.address, wanted.dual_stack)
                        && (wanted.address.port() != 0 || binding.listener == listener.name)
                };
                let known = open.iter_mut().find(|binding| binding.is_some_and(is_same));
                if let Some(known) = known.and_then(Option::take) {
                    prepared.bindings.push(Binding { listener: listener.name.clone(), ..known.clone() });
                    continue;
                }
                let bound = match take_inherited(&mut inherited, (kind, wanted), &listener.name) {
                    Some(known) => {
                        Bound::inherited((kind, known.address, wanted.dual_stack), known.sockets, workers)
                    }
                    None => self.bind((kind, wanted), &inherited, workers, end),
                };
                let bound = bound.map_err(refused)?;
                warn_of_small_buffer(&listener.name, &bound);
                self.next += 1;
                prepared.bindings.push(Binding {
                    number: self.next,
                    kind,
                    wanted: wanted.address,
                    dual_stack: wanted.dual_stack,
                    address: bound.address,
                    listener: listener.name.clone(),
                });
                prepared.fresh.push((self.next, bound));
            }
        }
        for InheritedSockets { address, .. } in inherited.iter().filter(|known| known.listener.is_empty()) {
            log_line(&format!(
                "warning: the service manager has opened {address}, which is no address of a [[listener]]; it is closed"
            ));
        }
        Ok(prepared)
    }

    /// Binds an address. While processes before this one still serve, one of them may have given it up a moment ago: until
    /// `end`, that is waited for. A reload waits by itself, because it has other things to do meanwhile.
    fn bind(
        &self,
        (kind, wanted): (TransportKind, &ListenAddress),
        inherited: &[InheritedSockets],
        workers: usize,
        end: Instant,
    ) -> io::Result<Bound> {
        loop {
            let bound = match self.overlaps((kind, wanted.address), inherited) {
                true => Bound::beside_own(kind, wanted.address, wanted.dual_stack, workers),
                false => Bound::new(kind, wanted.address, wanted.dual_stack, workers),
            };
            match bound {
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && self.is_holding()
                        && instant_now() < end =>
                {
                    thread::sleep(OLD_SOCKETS_LOOK_INTERVAL);
                }
                bound => return bound,
            }
        }
    }

    /// Whether a socket of our own would be found in the way of this address.
    fn overlaps(&self, (kind, wanted): (TransportKind, SocketAddr), inherited: &[InheritedSockets]) -> bool {
        let own = self.open.iter().map(|binding| (binding.kind, binding.address));
        own.chain(inherited.iter().map(|known| (known.kind, known.address))).any(|(other, address)| {
            let is_wildcard = address.ip().is_unspecified() || wanted.ip().is_unspecified();
            other == kind && address.port() == wanted.port() && is_wildcard
        })
    }

    /// Whether what stood in the way still does: an address that was given up a moment ago is taken until its
    /// old sockets are closed.
    pub fn is_taken(&self, refused: &BindError) -> bool {
        let is_beside_own = self.overlaps((refused.kind, refused.address), &[]);
        let neighbour = if is_beside_own { Neighbour::Own } else { Neighbour::Nobody };
        Bound::is_taken(refused.kind, refused.address, refused.dual_stack, neighbour)
    }

    /// Those that are listened at already.
    pub fn bindings(&self) -> &[Binding] {
        &self.open
    }

    /// Hands the new sockets to the workers; to be called when the snapshot that names them is published.
    pub fn install(&mut self, prepared: Prepared, workers: &[Mailbox<SocketOrder>]) {
        self.open = prepared.bindings;
        match &mut self.held {
            Some(held) => held.extend(prepared.fresh),
            None => hand_out(prepared.fresh, HashMap::new(), workers),
        }
    }
}

/// `sessions` are those of other processes, by what tells the socket.
fn hand_out(
    sockets: Vec<(u64, Bound)>,
    mut sessions: HashMap<u64, HandedSessions>,
    workers: &[Mailbox<SocketOrder>],
) {
    for (number, mut bound) in sockets {
        // Of a process with more workers, there may be more sockets than workers.
        for worker in workers.iter().cycle() {
            let Some(socket) = bound.take() else { break };
            let (kind, port) = (bound.kind, bound.address.port());
            let cookie = if sessions.is_empty() { None } else { cookie_of(&socket).ok() };
            let sessions = cookie.and_then(|cookie| sessions.remove(&cookie));
            give(worker, SocketOrder::Accept(NewSocket { number, kind, port, socket, sessions }));
        }
    }
}

fn give(worker: &Mailbox<SocketOrder>, mut order: SocketOrder) {
    // A worker empties its mailbox in every turn of its loop.
    while let Err(returned) = worker.send(order) {
        order = returned;
        thread::sleep(SEND_RETRY_INTERVAL);
    }
}

/// What workers give away of the sessions of these sockets, by number; they receive nothing there any more. Who does not
/// answer in time keeps its own.
pub fn given_sessions(sockets: &[u64], workers: &[Mailbox<SocketOrder>]) -> Vec<HandedSessions> {
    let (sender, given) = mpsc::channel();
    let sockets: Arc<[u64]> = sockets.into();
    for worker in workers {
        give(worker, SocketOrder::GiveSessions(Arc::clone(&sockets), sender.clone()));
    }
    drop(sender);
    let end = instant_now() + LEND_TIMEOUT;
    let next = || given.recv_timeout(end.saturating_duration_since(instant_now())).ok();
    std::iter::from_fn(next).collect()
}

/// Lets workers go on with what they have given away.
pub fn give_back(sessions: Vec<HandedSessions>, workers: &[Mailbox<SocketOrder>]) {
    for handed in sessions {
        if let Some(worker) = workers.get(handed.worker) {
            give(worker, SocketOrder::TakeSessions(handed));
        }
    }
}

/// The inherited sockets of an address, if there are any.
fn take_inherited(
    inherited: &mut Vec<InheritedSockets>,
    (kind, wanted): (TransportKind, &ListenAddress),
    listener: &str,
) -> Option<InheritedSockets> {
    let is_same = |known: &InheritedSockets| {
        (known.kind, known.wanted, known.dual_stack) == (kind, wanted.address, wanted.dual_stack)
            && (wanted.address.port() != 0 || known.listener == listener)
    };
    let place = inherited.iter().position(is_same)?;
    Some(inherited.swap_remove(place))
}

/// Tells the operator that bursts of datagrams will be lost, and how to help.
fn warn_of_small_buffer(listener: &str, bound: &Bound) {
    if let Some(bytes) = bound.small_buffer {
        log_line(&format!(
            "warning: listener \"{listener}\" has queues of {} KiB for datagrams instead of {} KiB, so bursts may be lost: \
             raise sysctl net.core.rmem_max and net.core.wmem_max to {BUFFER_BYTES}, or grant CAP_NET_ADMIN",
            bytes / 1024,
            BUFFER_BYTES / 1024
        ));
    }
}

impl BindError {
    /// Whether another process has the address, which may pass.
    pub fn is_taken(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError { listener, kind, address, error, .. } = self;
        let fix = fix(*kind, address, error);
        write!(out, "listener \"{listener}\" cannot bind {address}: {error}; {fix}")
    }
}

fn fix(kind: TransportKind, address: &SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    if is_out_of_descriptors(error) {
        return "each address and port takes a descriptor for each worker: raise the limit (systemd: LimitNOFILE=, \
                shell: ulimit -Hn), or listen at fewer ports"
            .to_owned();
    }
    let flags = if kind == TransportKind::Udp { "-lunp" } else { "-ltnp" };
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another process has port {port} (see: ss {flags} sport = :{port}); stop it or change the address"
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 need a privilege: grant CAP_NET_BIND_SERVICE (systemd: \
             AmbientCapabilities=CAP_NET_BIND_SERVICE) or use another port than {port}"
        ),
        io::ErrorKind::AddrNotAvailable => "no interface of this host has that address".to_owned(),
        _ => "change the listener's address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::config::Source;

    #[test]
    fn a_taken_port_is_explained() {
        let error = BindError {
            listener: "web".to_owned(),
            kind: TransportKind::Tcp,
            address: "127.0.0.1:80".parse().unwrap(),
            error: io::Error::from_raw_os_error(libc::EADDRINUSE),
            dual_stack: false,
        };
        let text = error.to_string();
        assert!(
            text.starts_with("listener \"web\" cannot bind 127.0.0.1:80: Address already in use"),
            "{text}"
        );
        assert!(text.contains("another process has port 80"), "{text}");
    }

    fn config(listeners: &[(&str, &str)]) -> Config {
        let listener = |(name, address): &(&str, &str)| {
            format!("[[listener]]\nname = \"{name}\"\naddress = \"{address}\"\n")
        };
        let text = format!("config_version = 1\n{}", listeners.iter().map(listener).collect::<String>());
        config::load(vec![Source::made_up("<test>", text)]).config.unwrap()
    }

    #[test]
    fn open_sockets_are_kept_and_handed_on() {
        let mut sockets = Sockets::default();
        let mailbox = Mailbox::new(8).unwrap();
        let first = sockets.prepare(&config(&[("a", "127.0.0.1:0"), ("b", "127.0.0.1:0")]), 1).unwrap();
        let taken = first.bindings[1].address;
        sockets.install(first, std::slice::from_ref(&mailbox));
        let number = || match mailbox.take() {
            Some(SocketOrder::Accept(socket)) => socket.number,
            _ => 0,
        };
        assert_eq!([number(), number()], [1, 2]);

        let next = sockets.prepare(&config(&[("b", "127.0.0.1:0"), ("c", "127.0.0.1:0")]), 1).unwrap();
        let numbers: Vec<_> = next.bindings.iter().map(|binding| binding.number).collect();
        assert_eq!((numbers, next.bindings[0].address), (vec![2, 3], taken));
        sockets.install(next, std::slice::from_ref(&mailbox));
        assert_eq!(number(), 3);
        assert_eq!(sockets.bindings().len(), 2);
    }

    #[test]
    fn a_wildcard_takes_the_place_of_an_address() {
        let mut sockets = Sockets::default();
        let first = sockets.prepare(&config(&[("a", "127.0.0.1:0")]), 1).unwrap();
        let port = first.bindings[0].address.port();
        sockets.install(first, &[]);
        let next = sockets.prepare(&config(&[("a", &format!("0.0.0.0:{port}"))]), 1);
        assert_eq!(next.unwrap().bindings[0].address.port(), port);
    }
}
