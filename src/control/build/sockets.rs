//! The listening sockets of the process: which are open, and which a new configuration needs besides.

use std::collections::HashMap;
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
use crate::control::build::binding::BindError;
use crate::control::build::binding::Binding;
use crate::control::build::binding::InheritedSockets;
use crate::control::build::binding::kinds_of;
use crate::control::build::closing_sockets::ClosingSockets;
use crate::net::address::TransportKind;
use crate::net::clock::instant_now;
use crate::net::listen::Bound;
use crate::net::listen::Neighbour;
use crate::net::listen::START_PATIENCE;
use crate::net::listen::is_in_use;
use crate::net::listen::until_free;
use crate::net::mailbox::Mailbox;
use crate::net::udp::listening::BUFFER_BYTES;
use crate::net::udp::listening::cookie_of;
use crate::quic::forwarding::SteeredGroup;
use crate::quic::group_hold::GroupHold;
use crate::snapshot::handed_session::HandedSessions;
use crate::telemetry::operator::log_line;

/// A listening socket on its way to a worker.
pub struct NewSocket {
    pub number: u64,
    pub kind: TransportKind,
    /// The one that clients connect to.
    pub port: u16,
    pub socket: OwnedFd,
    /// Which of the sockets of its address it is, for the kernel, too; beyond the last of those, one that another worker
    /// receives on.
    pub index: usize,
    /// Those of another process, if it is a socket of UDP.
    pub sessions: Option<HandedSessions>,
    /// All sockets of its address, if it is one of QUIC, and what keeps them open.
    pub group: Option<(SteeredGroup, GroupHold)>,
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
    /// Tell clients that cannot notice by themselves that the process ends; dropped when that is done.
    BidFarewell(Sender<()>),
}

/// Another descriptor of a listening socket of a worker.
pub struct LentSocket {
    pub number: u64,
    /// See [`NewSocket::index`].
    pub index: usize,
    pub socket: OwnedFd,
}

/// Sockets that are bound for a configuration that is not in service yet.
pub struct Prepared {
    /// Every binding of the configuration.
    pub bindings: Vec<Binding>,
    fresh: Vec<FreshSockets>,
    /// Of those that workers have already, by the number of their binding.
    taken_back: Vec<(u64, GroupHold)>,
}

/// Sockets of one address that no worker has yet.
struct FreshSockets {
    /// Of the binding.
    number: u64,
    bound: Bound,
    /// If it is for QUIC.
    group: Option<(SteeredGroup, GroupHold)>,
}

/// Numbers of sockets, and those that are open.
#[derive(Default)]
pub struct Sockets {
    next: u64,
    open: Vec<Binding>,
    closing: ClosingSockets,
    /// What is bound already and was not asked for yet.
    inherited: Vec<InheritedSockets>,
    /// Another process still accepts: what workers are to get waits here.
    held: Option<Vec<FreshSockets>>,
    /// A configuration is in service.
    is_started: bool,
}

/// Between two attempts to hand a socket to a worker whose mailbox is full.
const SEND_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// How long an address that was given up a moment ago may still be taken by its old sockets.
pub const OLD_SOCKETS_TIMEOUT: Duration = Duration::from_secs(3);

/// How long workers may take to tell of their sockets.
const LEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Ports that are tried until one is free for both TCP and UDP.
const MAX_PORTS_TRIED: usize = 1_000;

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
        let mut bindings: Vec<(_, Vec<(usize, OwnedFd)>)> =
            self.open.iter().map(|binding| (binding, Vec::new())).collect();
        let places = self.open.iter().enumerate().map(|(place, binding)| (binding.number, place));
        let places: HashMap<u64, usize> = places.collect();
        let end = instant_now() + LEND_TIMEOUT;
        loop {
            match lent.recv_timeout(end.saturating_duration_since(instant_now())) {
                Ok(LentSocket { number, index, socket }) => {
                    // What a reload has removed a moment ago is not handed on.
                    let binding = places.get(&number).and_then(|place| bindings.get_mut(*place));
                    if let Some((_, sockets)) = binding {
                        sockets.push((index, socket));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(in_their_order(bindings)),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(io::Error::other("a worker does not tell of its listening sockets"));
                }
            }
        }
    }

    /// Binds what the configuration needs and is not open yet. Nothing changes until it is installed;
    /// dropping what is returned gives the addresses up again.
    pub fn prepare(&mut self, config: &Config, workers: usize) -> Result<Prepared, BindError> {
        let mut prepared = Prepared { bindings: Vec::new(), fresh: Vec::new(), taken_back: Vec::new() };
        // What is not asked for now is closed: its process has it still.
        let mut at_hand = SocketsAtHand {
            inherited: std::mem::take(&mut self.inherited),
            open: self.open.iter().cloned().map(Some).collect(),
            workers,
            end: instant_now() + self.patience(),
        };
        for listener in config.listeners.iter().filter(|listener| listener.enabled) {
            for at in &listener.addresses {
                let mut port = at.address.port();
                for kind in kinds_of(listener) {
                    let wanted = WantedSockets { listener, kind: *kind, at };
                    // QUIC comes to the port of TCP that the kernel has chosen.
                    port = self.prepare_one((&wanted, port), &mut at_hand, &mut prepared)?.port();
                }
            }
        }
        for InheritedSockets { address, .. } in
            at_hand.inherited.iter().filter(|known| known.listener.is_empty())
        {
            log_line(&format!(
                "warning: the service manager has opened {address}, which is no address of a [[listener]]; it is closed"
            ));
        }
        Ok(prepared)
    }

    /// Prepares the sockets of an address for one kind of what is spoken there, and tells where that is.
    fn prepare_one(
        &mut self,
        (wanted, port): (&WantedSockets<'_>, u16),
        at_hand: &mut SocketsAtHand,
        prepared: &mut Prepared,
    ) -> Result<SocketAddr, BindError> {
        if let Some(known) = at_hand.take_open(wanted) {
            let address = known.address;
            prepared.bindings.push(Binding { listener: wanted.listener.name.clone(), ..known });
            return Ok(address);
        }
        if let Some(address) = self.take_back((wanted, port), prepared) {
            return Ok(address);
        }
        let refused = |error| BindError {
            listener: wanted.listener.name.clone(),
            kind: wanted.kind,
            address: wanted.at.address,
            error,
            dual_stack: wanted.at.dual_stack,
        };
        if prepared.fresh.len() >= MAX_ON_THE_WAY {
            let text = format!("more than {MAX_ON_THE_WAY} addresses at a time");
            return Err(refused(io::Error::other(text)));
        }
        let bound = match at_hand.take_inherited(wanted) {
            Some(known) => Bound::inherited(
                (wanted.kind, known.address, wanted.at.dual_stack),
                known.sockets,
                at_hand.workers,
            ),
            None => self.bind((wanted, port), at_hand),
        };
        let bound = bound.map_err(refused)?;
        warn_of_small_buffer(&wanted.listener.name, &bound);
        let group = match wanted.kind {
            TransportKind::Quic => {
                let (sockets, workers) = bound.counts();
                let group = SteeredGroup::new(sockets as u32, workers as u32).map_err(refused)?;
                Some((group, GroupHold::default()))
            }
            TransportKind::Tcp | TransportKind::Udp => None,
        };
        self.next += 1;
        let address = bound.address;
        prepared.bindings.push(Binding {
            number: self.next,
            kind: wanted.kind,
            wanted: wanted.at.address,
            dual_stack: wanted.at.dual_stack,
            address,
            listener: wanted.listener.name.clone(),
        });
        prepared.fresh.push(FreshSockets { number: self.next, bound, group });
        Ok(address)
    }

    /// Goes on with sockets whose listener a reload took away, and tells where they are.
    fn take_back(
        &self,
        (wanted, port): (&WantedSockets<'_>, u16),
        prepared: &mut Prepared,
    ) -> Option<SocketAddr> {
        let is_wanted = |binding: &Binding| {
            let is_new = prepared.bindings.iter().all(|known| known.number != binding.number);
            // QUIC comes to the port of TCP that the kernel has chosen.
            let is_at_port = port == 0 || binding.address.port() == port;
            is_new && is_at_port && wanted.is_same(binding)
        };
        let (known, hold) = self.closing.take_back(is_wanted)?;
        let address = known.address;
        prepared.taken_back.push((known.number, hold));
        prepared.bindings.push(Binding { listener: wanted.listener.name.clone(), ..known });
        Some(address)
    }

    /// How long addresses that are taken are waited for, all together. While processes before this one still serve, one of
    /// them may have given an address up a moment ago. A reload waits by itself, because it has other things to do meanwhile.
    fn patience(&self) -> Duration {
        match (self.is_holding(), self.is_started) {
            (true, _) => OLD_SOCKETS_TIMEOUT,
            (false, false) => START_PATIENCE,
            (false, true) => Duration::ZERO,
        }
    }

    /// Binds an address; until `end`, one that is taken is waited for.
    fn bind(&self, (wanted, port): (&WantedSockets<'_>, u16), at_hand: &SocketsAtHand) -> io::Result<Bound> {
        let (kind, dual_stack, workers) = (wanted.kind, wanted.at.dual_stack, at_hand.workers);
        let address = SocketAddr::new(wanted.at.address.ip(), port);
        let is_for_both = port == 0 && kinds_of(wanted.listener).len() > 1;
        for _ in 0..MAX_PORTS_TRIED {
            let is_beside_own = self.overlaps((kind, address), &at_hand.inherited);
            let bound = until_free(at_hand.end, is_in_use, || match is_beside_own {
                true => Bound::beside_own(kind, address, dual_stack, workers),
                false => Bound::new(kind, address, dual_stack, workers),
            });
            match bound {
                // Another port is free for both.
                Ok(bound)
                    if is_for_both
                        && Bound::is_taken(
                            TransportKind::Quic,
                            bound.address,
                            dual_stack,
                            Neighbour::Nobody,
                        ) => {}
                bound => return bound,
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Whether a socket of our own would be found in the way of this address.
    fn overlaps(&self, (kind, wanted): (TransportKind, SocketAddr), inherited: &[InheritedSockets]) -> bool {
        let own = self.open.iter().map(|binding| (binding.kind, binding.address));
        own.chain(inherited.iter().map(|known| (known.kind, known.address))).any(|(other, address)| {
            let is_wildcard = address.ip().is_unspecified() || wanted.ip().is_unspecified();
            other.is_over_udp() == kind.is_over_udp() && address.port() == wanted.port() && is_wildcard
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
        let fresh = prepared.fresh.iter().filter_map(|fresh| Some((fresh.number, fresh.group.clone()?.1)));
        let added = fresh.chain(prepared.taken_back).collect();
        self.closing.install(&self.open, &prepared.bindings, added);
        self.open = prepared.bindings;
        self.is_started = true;
        match &mut self.held {
            Some(held) => held.extend(prepared.fresh),
            None => hand_out(prepared.fresh, HashMap::new(), workers),
        }
    }
}

/// `sessions` are those of other processes, by what tells the socket.
fn hand_out(
    sockets: Vec<FreshSockets>,
    mut sessions: HashMap<u64, HandedSessions>,
    workers: &[Mailbox<SocketOrder>],
) {
    for FreshSockets { number, bound, group } in sockets {
        let (kind, port) = (bound.kind, bound.address.port());
        // Of a process with more workers, there may be more sockets than workers.
        for ((index, socket), worker) in bound.into_sockets().zip(workers.iter().cycle()) {
            let cookie = if sessions.is_empty() { None } else { cookie_of(&socket).ok() };
            let sessions = cookie.and_then(|cookie| sessions.remove(&cookie));
            let group = group.clone();
            give(
                worker,
                SocketOrder::Accept(NewSocket { number, kind, port, socket, index, sessions, group }),
            );
        }
    }
}

/// The sockets of each binding as the kernel numbers them.
fn in_their_order(bindings: Vec<(&Binding, Vec<(usize, OwnedFd)>)>) -> Vec<(&Binding, Vec<OwnedFd>)> {
    let ordered = bindings.into_iter().map(|(binding, mut sockets)| {
        sockets.sort_unstable_by_key(|(index, _)| *index);
        (binding, sockets.into_iter().map(|(_, socket)| socket).collect())
    });
    ordered.collect()
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

/// An address of a listener, for one kind of what is spoken there.
struct WantedSockets<'w> {
    listener: &'w Listener,
    kind: TransportKind,
    at: &'w ListenAddress,
}

/// What need not be bound.
struct SocketsAtHand {
    inherited: Vec<InheritedSockets>,
    /// Each until it is taken.
    open: Vec<Option<Binding>>,
    workers: usize,
    /// How long an address that is taken is waited for.
    end: Instant,
}

impl SocketsAtHand {
    fn take_open(&mut self, wanted: &WantedSockets<'_>) -> Option<Binding> {
        let is_same = |binding: &Binding| wanted.is_same(binding);
        self.open.iter_mut().find(|binding| binding.as_ref().is_some_and(is_same))?.take()
    }

    fn take_inherited(&mut self, wanted: &WantedSockets<'_>) -> Option<InheritedSockets> {
        let is_same = |known: &InheritedSockets| {
            // The service manager knows no QUIC.
            let is_of_kind = match known.listener.as_str() {
                "" => known.kind.is_over_udp() == wanted.kind.is_over_udp(),
                _ => known.kind == wanted.kind,
            };
            is_of_kind && wanted.is_for((known.wanted, known.dual_stack), &known.listener)
        };
        let place = self.inherited.iter().position(is_same)?;
        Some(self.inherited.swap_remove(place))
    }
}

impl WantedSockets<'_> {
    fn is_same(&self, binding: &Binding) -> bool {
        binding.kind == self.kind && self.is_for((binding.wanted, binding.dual_stack), &binding.listener)
    }

    /// With a port that the kernel chooses, only the name tells whose socket it is.
    fn is_for(&self, (address, dual_stack): (SocketAddr, bool), listener: &str) -> bool {
        (address, dual_stack) == (self.at.address, self.at.dual_stack)
            && (address.port() != 0 || listener == self.listener.name)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::config::Source;

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
