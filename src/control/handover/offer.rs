//! The running process's part of a hand-over, until the successor is told to go on.

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::time::Duration;
use std::time::Instant;

use crate::control::active_config::ActiveConfig;
use crate::control::build::binding::Binding;
use crate::control::handover::channel::FromPredecessor;
use crate::control::handover::channel::FromSuccessor;
use crate::control::handover::channel::HandoverChannel;
use crate::control::handover::channel::Heard;
use crate::control::handover::channel::PROTOCOL;
use crate::control::handover::channel::SocketGroup;
use crate::control::handover::channel::written;
use crate::control::handover::generations::Generations;
use crate::control::handover::sessions;
use crate::control::handover::state::CarriedProcessCounts;
use crate::control::handover::succession::STOPPING;
use crate::control::process::launcher::StartedProcess;
use crate::net::address::TransportKind;
use crate::net::clock::clock_began_ns;
use crate::net::clock::instant_now;
use crate::net::packet_socket::MAX_DESCRIPTORS;
use crate::snapshot::handed_session::HandedSessions;

/// How long a successor may take until it is ready.
pub const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one step waits for the successor.
const STEP_PATIENCE: Duration = Duration::from_millis(20);

/// An offer to hand over that was not accepted yet.
pub struct HandOverOffer {
    channel: HandoverChannel,
    /// None: a supervisor has started it.
    child: Option<StartedProcess>,
    pid: u32,
    version: String,
    /// The numbers of the bindings, by the index by which the successor knows them.
    sockets: Vec<u64>,
    /// What the successor was told.
    counts: CarriedProcessCounts,
    end: Instant,
    /// What the successor is to say next.
    expected: ExpectedWord,
}

/// The words of a successor come in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpectedWord {
    Hello,
    Prepared,
    Ready,
}

/// How an offer stands.
pub enum OfferStep {
    Pending,
    Refused(String),
    /// It is ready, and has not been told to go on yet.
    Ready(ReadySuccessor),
}

/// What a successor says of itself when it is ready.
pub struct ReadySuccessor {
    /// The numbers of the sockets that it took.
    pub sockets: Vec<u64>,
    /// Lines for the operator.
    pub warnings: String,
    /// It goes on with sessions of UDP.
    pub takes_sessions: bool,
}

/// Who has taken over.
pub struct Successor {
    pub channel: HandoverChannel,
    pub pid: u32,
    pub version: String,
    pub child: Option<StartedProcess>,
    pub counts: CarriedProcessCounts,
}

/// How long a successor may take, once it was told to go on, until it accepts and control commands reach it.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

impl HandOverOffer {
    pub fn new(channel: HandoverChannel, child: Option<StartedProcess>) -> HandOverOffer {
        HandOverOffer {
            channel,
            pid: child.as_ref().map_or(0, StartedProcess::id),
            child,
            version: String::new(),
            sockets: Vec::new(),
            counts: CarriedProcessCounts::default(),
            end: instant_now() + READY_TIMEOUT,
            expected: ExpectedWord::Hello,
        }
    }

    /// The successor's, once it has said anything.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Goes on by what the successor says, if it says anything within a moment.
    pub fn step(&mut self, active: &ActiveConfig, generations: &Generations) -> OfferStep {
        if active.channels().readiness.is_stopping() {
            return OfferStep::Refused(STOPPING.to_owned());
        }
        if instant_now() >= self.end {
            let limit = READY_TIMEOUT.as_secs();
            return OfferStep::Refused(format!("the new process was not ready within {limit} s"));
        }
        match self.channel.receive(STEP_PATIENCE) {
            Ok(Heard::Message(message, _)) => match self.answer(message, active, generations) {
                Ok(step) => step,
                Err(error) => OfferStep::Refused(format!("cannot hand over: {error}")),
            },
            Ok(Heard::Nothing) => OfferStep::Pending,
            Ok(Heard::Closed) => OfferStep::Refused(self.how_it_ended()),
            Err(error) => OfferStep::Refused(format!("the new process says what is not understood: {error}")),
        }
    }

    fn answer(
        &mut self,
        message: FromSuccessor,
        active: &ActiveConfig,
        generations: &Generations,
    ) -> std::io::Result<OfferStep> {
        match message {
            FromSuccessor::Hello { protocol: PROTOCOL, version, pid }
                if self.expects(ExpectedWord::Hello) =>
            {
                self.expected = ExpectedWord::Prepared;
                (self.version, self.pid) = (version, pid);
                let welcome = FromPredecessor::Welcome {
                    protocol: PROTOCOL,
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    pid: std::process::id(),
                    clock_began_ns: clock_began_ns(),
                };
                self.channel.send(&welcome, &[])?;
                Ok(OfferStep::Pending)
            }
            FromSuccessor::Hello { protocol, version, .. } if protocol != PROTOCOL => {
                Ok(OfferStep::Refused(format!(
                    "the new process, version {version}, hands over by version {protocol} of the protocol, this one by \
                 {PROTOCOL}: stop this process and start that one"
                )))
            }
            FromSuccessor::Prepared if self.expects(ExpectedWord::Prepared) => {
                self.expected = ExpectedWord::Ready;
                self.hand_out(active, generations)?;
                Ok(OfferStep::Pending)
            }
            FromSuccessor::Ready { sockets, warnings, takes_sessions }
                if self.expects(ExpectedWord::Ready) =>
            {
                let numbers = sockets.iter().filter_map(|index| self.sockets.get(*index).copied());
                Ok(OfferStep::Ready(ReadySuccessor { sockets: numbers.collect(), warnings, takes_sessions }))
            }
            FromSuccessor::Refused { reason } => Ok(OfferStep::Refused(reason)),
            _ => Ok(OfferStep::Refused("the new process speaks out of turn".to_owned())),
        }
    }

    /// Sends everything that is running.
    fn hand_out(&mut self, active: &ActiveConfig, generations: &Generations) -> std::io::Result<()> {
        let bindings = active.lent_sockets()?;
        self.sockets = bindings.iter().map(|(binding, _)| binding.number).collect();
        for packet in packets(&bindings) {
            let groups = packet.iter().map(|(group, _)| group.clone()).collect();
            let descriptors: Vec<_> =
                packet.iter().flat_map(|(_, sockets)| sockets.iter().copied()).collect();
            self.channel.send(&FromPredecessor::Sockets { sockets: groups }, &descriptors)?;
        }
        if let Some((address, socket)) = active.channels().succession.admin_address.get() {
            self.channel.send(&FromPredecessor::AdminAddress { address: *address }, &[socket.as_fd()])?;
        }
        for old in generations.living() {
            let message =
                FromPredecessor::Generation { pid: old.standing.pid, since_ms: old.standing.since_ms };
            self.channel.send(&message, &[old.channel.as_fd()])?;
        }
        let state = active.carried();
        self.channel.send(&FromPredecessor::State, &[written(&state)?.as_fd()])?;
        self.counts = state.counts;
        Ok(())
    }

    fn expects(&self, word: ExpectedWord) -> bool {
        self.expected == word
    }

    /// Tells the successor to go on, with these sessions of UDP, and waits until it accepts and control commands reach it.
    ///
    /// # Errors
    /// It is gone: everything stays as it was.
    pub fn go_on(&mut self, sessions: &[HandedSessions]) -> Result<(), String> {
        let gone = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::WouldBlock => "the new process does not read what it is told".to_owned(),
            _ => format!("the new process is gone: {error}"),
        };
        for (carried, descriptors) in sessions.iter().flat_map(sessions::packets) {
            self.channel.send(&FromPredecessor::Sessions(carried), &descriptors).map_err(gone)?;
        }
        self.channel.send(&FromPredecessor::GoOn, &[]).map_err(gone)?;
        match self.channel.receive::<FromSuccessor>(SETTLE_TIMEOUT) {
            // One that is slow has everything in its hands all the same.
            Ok(Heard::Message(..) | Heard::Nothing) => Ok(()),
            Ok(Heard::Closed) | Err(_) => Err(self.how_it_ended()),
        }
    }

    /// It has gone on.
    pub fn into_successor(self) -> Successor {
        let HandOverOffer { channel, pid, version, child, counts, .. } = self;
        Successor { channel, pid, version, child, counts }
    }

    /// Lets the successor end.
    pub fn withdraw(mut self, reason: &str) {
        drop(self.channel.send(&FromPredecessor::Refused { reason: reason.to_owned() }, &[]));
        if let Some(child) = &mut self.child {
            // It has accepted nothing that was handed to it, so that nothing is lost with it.
            child.end();
        }
    }

    /// How a successor ended that said nothing.
    fn how_it_ended(&mut self) -> String {
        let Some(child) = &mut self.child else {
            return "the new process has hung up before it was ready".to_owned();
        };
        match child.wait() {
            Some(status) if status.success() => {
                "the program ended with success instead of taking over: it is no Ringway".to_owned()
            }
            Some(status) => format!("the new process ended before it was ready ({status})"),
            None => "the new process lets go of what it was started with: it is no Ringway, or an older one"
                .to_owned(),
        }
    }
}

/// The sockets of an address that go into one packet.
type PacketPart<'b> = (SocketGroup, Vec<BorrowedFd<'b>>);

/// Cuts all sockets into packets.
fn packets<'b>(bindings: &'b [(&Binding, Vec<OwnedFd>)]) -> Vec<Vec<PacketPart<'b>>> {
    /// Names of listeners are bounded, and so is a packet.
    const MAX_GROUPS: usize = 100;
    let mut packets: Vec<Vec<PacketPart<'b>>> = Vec::new();
    let mut room = 0;
    for (index, (binding, sockets)) in bindings.iter().enumerate() {
        for part in sockets.chunks(MAX_DESCRIPTORS) {
            let group = SocketGroup {
                index,
                is_udp: binding.kind.is_over_udp(),
                is_quic: binding.kind == TransportKind::Quic,
                wanted: binding.wanted(),
                dual_stack: binding.dual_stack(),
                address: binding.address,
                listener: binding.listener.clone(),
                count: part.len(),
            };
            let descriptors: Vec<BorrowedFd<'_>> = part.iter().map(AsFd::as_fd).collect();
            match packets.last_mut() {
                Some(packet) if room >= part.len() && packet.len() < MAX_GROUPS => {
                    room -= part.len();
                    packet.push((group, descriptors));
                }
                _ => {
                    room = MAX_DESCRIPTORS - part.len();
                    packets.push(vec![(group, descriptors)]);
                }
            }
        }
    }
    packets
}
