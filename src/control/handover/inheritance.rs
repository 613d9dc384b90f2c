//! The successor's part of a hand-over: what it gets from the process before.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;
use std::time::Instant;

use crate::control::build::binding::Binding;
use crate::control::build::binding::InheritedSockets;
use crate::control::handover::channel::FromPredecessor;
use crate::control::handover::channel::FromSuccessor;
use crate::control::handover::channel::HandoverChannel;
use crate::control::handover::channel::Heard;
use crate::control::handover::channel::PROTOCOL;
use crate::control::handover::channel::SocketGroup;
use crate::control::handover::channel::read;
use crate::control::handover::generations::Generation;
use crate::control::handover::generations::GenerationStanding;
use crate::control::handover::offer::READY_TIMEOUT;
use crate::control::handover::sessions;
use crate::control::handover::state::CarriedState;
use crate::net::clock;
use crate::net::clock::instant_now;
use crate::net::clock::monotonic_ms;
use crate::snapshot::handed_session::HandedSessions;

/// The process before, until it has handed over.
#[derive(Debug)]
pub struct Predecessor {
    channel: HandoverChannel,
    pub pid: u32,
    /// What it listens at.
    sockets: Vec<SocketGroup>,
}

/// What it hands over.
#[derive(Default)]
pub struct Inheritance {
    pub sockets: Vec<InheritedSockets>,
    /// The listening socket for HTTP of the admin address.
    pub admin_address: Option<(SocketAddr, OwnedFd)>,
    /// Processes before it that still serve.
    pub generations: Vec<Generation>,
    pub state: CarriedState,
}

impl Predecessor {
    /// Greets the process at the other end, and goes on with its clock.
    ///
    /// # Errors
    /// It does not answer, or hands over in another way.
    pub fn greet(channel: HandoverChannel) -> Result<Predecessor, String> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let hello = FromSuccessor::Hello { protocol: PROTOCOL, version, pid: std::process::id() };
        channel.send(&hello, &[]).map_err(|error| unheard(&error))?;
        let predecessor = Predecessor { channel, pid: 0, sockets: Vec::new() };
        match predecessor.next(instant_now() + READY_TIMEOUT)? {
            (FromPredecessor::Welcome { protocol: PROTOCOL, pid, clock_began_ns, .. }, _) => {
                if !clock::continue_clock(clock_began_ns) {
                    return Err("its clock cannot be gone on with".to_owned());
                }
                Ok(Predecessor { pid, ..predecessor })
            }
            (FromPredecessor::Welcome { protocol, version, .. }, _) => Err(format!(
                "the running process, version {version}, hands over by version {protocol} of the protocol, this one \
                 by {PROTOCOL}: stop it and start this one"
            )),
            _ => Err("the running process does not begin as it should".to_owned()),
        }
    }

    /// Asks for everything, and waits for it.
    ///
    /// # Errors
    /// The process before has changed its mind, or is gone.
    pub fn take_over(&mut self) -> Result<Inheritance, String> {
        self.channel.send(&FromSuccessor::Prepared, &[]).map_err(|error| unheard(&error))?;
        let end = instant_now() + READY_TIMEOUT;
        let mut inheritance = Inheritance::default();
        loop {
            let (message, mut descriptors) = self.next(end)?;
            match message {
                FromPredecessor::Sockets { sockets } => {
                    inheritance.add_sockets(&sockets, descriptors)?;
                    self.sockets.extend(sockets);
                }
                FromPredecessor::AdminAddress { address } => {
                    inheritance.admin_address = descriptors.pop().map(|socket| (address, socket));
                }
                FromPredecessor::Generation { pid, since_ms } => {
                    let channel = descriptors.pop().map(HandoverChannel::adopt).transpose();
                    if let Some(channel) = channel.map_err(|error| unheard(&error))? {
                        let standing = GenerationStanding { pid, since_ms, connections: 0 };
                        inheritance.generations.push(Generation { channel, standing });
                    }
                }
                FromPredecessor::State => {
                    inheritance.state = read(descriptors).map_err(|error| unheard(&error))?;
                    return Ok(inheritance);
                }
                _ => return Err("the running process does not go on as it should".to_owned()),
            }
        }
    }

    /// Tells that everything new can come, with what is listened at, and waits for the word to go on. It is then one that
    /// still serves what it has, but for sessions of UDP, which it hands over.
    ///
    /// # Errors
    /// The process before has changed its mind.
    pub fn ready(
        self,
        bindings: &[Binding],
        warnings: String,
    ) -> Result<(Generation, Vec<HandedSessions>), String> {
        let taken = self.sockets.iter().filter(|group| {
            let is_same = |binding: &Binding| {
                (binding.kind, binding.address, binding.dual_stack())
                    == (group.kind(), group.address, group.dual_stack)
            };
            bindings.iter().any(is_same)
        });
        let ready = FromSuccessor::Ready {
            sockets: taken.map(|group| group.index).collect(),
            warnings: shortened(&warnings),
            takes_sessions: true,
        };
        // Nobody else serves if it is gone; but it may have said before that it serves on.
        drop(self.channel.send(&ready, &[]));
        let end = instant_now() + READY_TIMEOUT;
        let mut sessions = Vec::new();
        loop {
            match self.channel.receive(end.saturating_duration_since(instant_now())) {
                Ok(Heard::Message(FromPredecessor::Refused { reason }, _)) => return Err(reason),
                Ok(Heard::Message(FromPredecessor::GoOn, _) | Heard::Closed) => break,
                Err(error) => return Err(unheard(&error)),
                Ok(Heard::Message(FromPredecessor::Sessions(carried), descriptors)) => {
                    sessions::collect(carried, descriptors, &mut sessions);
                }
                Ok(Heard::Message(_, _)) if instant_now() < end => {}
                Ok(Heard::Nothing | Heard::Message(_, _)) => {
                    return Err("the running process does not let go".to_owned());
                }
            }
        }
        let standing = GenerationStanding { pid: self.pid, since_ms: monotonic_ms(), connections: 0 };
        Ok((Generation { channel: self.channel, standing }, sessions))
    }

    /// Gives up.
    pub fn refuse(&self, reason: impl Display) {
        // If it is gone, nobody wants to know.
        drop(self.channel.send(&FromSuccessor::Refused { reason: shortened(&reason.to_string()) }, &[]));
    }

    fn next(&self, end: Instant) -> Result<(FromPredecessor, Vec<OwnedFd>), String> {
        let patience = end.saturating_duration_since(instant_now()).max(Duration::from_millis(1));
        match self.channel.receive(patience) {
            Ok(Heard::Message(FromPredecessor::Refused { reason }, _)) => Err(reason),
            Ok(Heard::Message(message, descriptors)) => Ok((message, descriptors)),
            Ok(Heard::Nothing) => Err("the running process does not answer".to_owned()),
            Ok(Heard::Closed) => Err("the running process has hung up".to_owned()),
            Err(error) => Err(unheard(&error)),
        }
    }
}

impl Inheritance {
    fn add_sockets(&mut self, groups: &[SocketGroup], descriptors: Vec<OwnedFd>) -> Result<(), String> {
        if groups.iter().map(|group| group.count).sum::<usize>() != descriptors.len() {
            return Err(
                "not all listening sockets have arrived: a security policy of this host may keep them back, see \
                 its audit log"
                    .to_owned(),
            );
        }
        let mut descriptors = descriptors.into_iter();
        for group in groups {
            let sockets: Vec<_> = descriptors.by_ref().take(group.count).collect();
            let key = |known: &InheritedSockets| (known.kind, known.address, known.dual_stack);
            let own = (group.kind(), group.address, group.dual_stack);
            let known = self.sockets.iter_mut().find(|known| key(known) == own);
            match known {
                Some(known) => known.sockets.extend(sockets),
                None => self.sockets.push(InheritedSockets {
                    kind: group.kind(),
                    wanted: group.wanted,
                    dual_stack: group.dual_stack,
                    address: group.address,
                    listener: group.listener.clone(),
                    sockets,
                }),
            }
        }
        Ok(())
    }
}

fn unheard(error: &io::Error) -> String {
    format!("the running process is not understood: {error}")
}

/// A reason is of use as far as it can be read.
fn shortened(reason: &str) -> String {
    /// Characters of a reason that one process of an upgrade tells the other.
    const MAX_REASON: usize = 8_000;
    reason.chars().take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a successor that is ready when it was told this before.
    fn ready_after(messages: &[FromPredecessor], garbage: bool) -> Result<Generation, String> {
        let (own, other) = HandoverChannel::pair().unwrap();
        let channel = HandoverChannel::adopt(other.into_descriptor()).unwrap();
        messages.iter().for_each(|message| own.send(message, &[]).unwrap());
        if garbage {
            own.send(&"something else", &[]).unwrap();
        }
        drop(own);
        Predecessor { channel, pid: 7, sockets: Vec::new() }.ready(&[], String::new()).map(|(old, _)| old)
    }

    #[test]
    fn only_one_that_is_gone_or_says_so_lets_a_successor_go_on() {
        let refused = FromPredecessor::Refused { reason: "too late".to_owned() };
        assert_eq!(ready_after(&[refused], false).err().as_deref(), Some("too late"));
        assert!(ready_after(&[], true).is_err());
        assert!(ready_after(&[FromPredecessor::GoOn], false).is_ok_and(|old| old.standing.pid == 7));
        // Nobody else serves.
        assert!(ready_after(&[], false).is_ok());
    }
}
