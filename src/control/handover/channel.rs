//! What the two processes of a hand-over say to each other.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::control::handover::sessions::CarriedSessions;
use crate::control::json_reader;
use crate::net::address::TransportKind;
use crate::net::memory_file;
use crate::net::packet_socket::PacketSocket;
use crate::net::packet_socket::ReceivedPacket;

/// Of the messages. Processes that speak another version let each other be.
pub const PROTOCOL: u32 = 1;

/// The state of a process with all that may be known of 65,536 backends and of the clients of a thousand groups.
const MAX_STATE_BYTES: u64 = 1 << 30;

/// What the successor says.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FromSuccessor {
    /// The first of all.
    Hello {
        protocol: u32,
        #[serde(deserialize_with = "in_words")]
        version: String,
        pid: u32,
    },
    /// It is prepared for everything that is running: send it.
    Prepared,
    /// Its workers run. `sockets` are the indices of those that it took; `warnings` are lines for the operator.
    Ready {
        sockets: Vec<usize>,
        #[serde(deserialize_with = "in_words")]
        warnings: String,
        /// It goes on with sessions of UDP.
        #[serde(default)]
        takes_sessions: bool,
    },
    /// It gives up.
    Refused {
        #[serde(deserialize_with = "in_words")]
        reason: String,
    },
    /// It accepts, and control commands reach it.
    Settled,
    /// The service is to stop, and with it whoever still serves what it has.
    Stop,
}

/// What the running process says.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FromPredecessor {
    /// The answer to the first word.
    Welcome {
        protocol: u32,
        #[serde(deserialize_with = "in_words")]
        version: String,
        pid: u32,
        /// When its clock began, in nanoseconds of the monotonic clock of the host.
        clock_began_ns: u64,
    },
    /// Listening sockets, with as many descriptors as their counts add up to.
    Sockets { sockets: Vec<SocketGroup> },
    /// The listening socket for HTTP of the admin address, as its descriptor.
    AdminAddress { address: SocketAddr },
    /// The channel to a process that went before it and is still draining, as its descriptor.
    Generation { pid: u32, since_ms: u64 },
    /// The end of what is handed over: a file in memory with the state as its descriptor.
    State,
    /// Sessions of UDP, with their descriptors. Nobody receives on their socket until the successor does.
    Sessions(CarriedSessions),
    /// From now on everything new is the successor's.
    GoOn,
    /// What it still has.
    Draining { connections: usize },
    /// It ends; what it has counted since the hand-over is in a file in memory, as the descriptor.
    Farewell,
    /// It goes on itself, and the successor is to end.
    Refused {
        #[serde(deserialize_with = "in_words")]
        reason: String,
    },
}

/// Text of the other process goes to the operator, whose terminal must not act on it. Lines stay lines.
fn in_words<'d, D: Deserializer<'d>>(source: D) -> Result<String, D::Error> {
    String::deserialize(source).map(|text| printable(&text))
}

fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => printable.push(c),
            c if c.is_control() => printable.extend(c.escape_debug()),
            c => printable.push(c),
        }
    }
    printable
}

/// Such errors cite what came.
fn not_understood(error: serde_json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, printable(&error.to_string()))
}

/// Sockets of one address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SocketGroup {
    /// Its number among all.
    pub index: usize,
    /// They are sockets of UDP.
    #[serde(default)]
    pub is_udp: bool,
    /// They are for QUIC, in the order in which the kernel numbers them.
    #[serde(default)]
    pub is_quic: bool,
    /// As the process was configured.
    pub wanted: SocketAddr,
    pub dual_stack: bool,
    /// With the port that the kernel chose if none was wanted.
    pub address: SocketAddr,
    pub listener: String,
    /// Descriptors in this packet.
    pub count: usize,
}

impl SocketGroup {
    pub fn kind(&self) -> TransportKind {
        match (self.is_udp, self.is_quic) {
            (false, _) => TransportKind::Tcp,
            (true, false) => TransportKind::Udp,
            (true, true) => TransportKind::Quic,
        }
    }
}

/// One end.
#[derive(Debug)]
pub struct HandoverChannel(PacketSocket);

/// What came.
#[derive(Debug)]
pub enum Heard<M> {
    Message(M, Vec<OwnedFd>),
    Nothing,
    /// The other process is gone, or has hung up.
    Closed,
}

impl HandoverChannel {
    pub fn pair() -> io::Result<(HandoverChannel, PacketSocket)> {
        let (own, other) = PacketSocket::pair()?;
        Ok((HandoverChannel(own), other))
    }

    /// The end that a process was started with, by its number.
    ///
    /// # Errors
    /// It is no socket of packets.
    pub fn inherited(number: i32) -> io::Result<HandoverChannel> {
        PacketSocket::inherited(number).map(HandoverChannel)
    }

    /// # Errors
    /// It is no socket of packets.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<HandoverChannel> {
        PacketSocket::adopt(descriptor).map(HandoverChannel)
    }

    pub fn send(&self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.0.send(&serde_json::to_vec(message)?, descriptors)
    }

    /// The next message, if one is there.
    ///
    /// # Errors
    /// What came is no message of this version.
    pub fn hear<M: DeserializeOwned>(&self) -> io::Result<Heard<M>> {
        self.receive(Duration::ZERO)
    }

    /// The next message, if one comes in time.
    ///
    /// # Errors
    /// What came is no message of this version.
    pub fn receive<M: DeserializeOwned>(&self, patience: Duration) -> io::Result<Heard<M>> {
        Ok(match self.0.receive(patience)? {
            ReceivedPacket::Packet(bytes, descriptors) => {
                let message = serde_json::from_slice(&bytes).and_then(|message| json_reader::read(&message));
                Heard::Message(message.map_err(not_understood)?, descriptors)
            }
            ReceivedPacket::Nothing => Heard::Nothing,
            ReceivedPacket::Closed => Heard::Closed,
        })
    }
}

impl AsFd for HandoverChannel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A file in memory with a document.
pub fn written(document: &impl Serialize) -> io::Result<OwnedFd> {
    memory_file::sealed("ringway-handover", &serde_json::to_vec(document)?)
}

/// The document in a file in memory, as the only descriptor of a message.
///
/// # Errors
/// It is missing, too large or something else.
pub fn read<D: DeserializeOwned>(mut descriptors: Vec<OwnedFd>) -> io::Result<D> {
    let file = descriptors.pop().ok_or_else(|| io::Error::other("a message came without its file"))?;
    Ok(serde_json::from_slice(&memory_file::read(file, MAX_STATE_BYTES)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_documents_arrive() {
        let (own, other) = HandoverChannel::pair().unwrap();
        let other = HandoverChannel::adopt(other.into_descriptor()).unwrap();
        let document = vec!["one".to_owned(), "two".to_owned()];
        let hello =
            FromSuccessor::Hello { protocol: PROTOCOL, version: "0".to_owned(), pid: std::process::id() };
        own.send(&hello, &[written(&document).unwrap().as_fd()]).unwrap();
        let Heard::Message(message, descriptors) =
            other.receive::<FromSuccessor>(Duration::from_secs(1)).unwrap()
        else {
            panic!()
        };
        assert_eq!((message, read::<Vec<String>>(descriptors).unwrap()), (hello, document));
        own.send(&"something else", &[]).unwrap();
        assert!(other.receive::<FromSuccessor>(Duration::from_secs(1)).is_err());
        drop(own);
        assert!(matches!(other.receive::<FromSuccessor>(Duration::from_secs(1)).unwrap(), Heard::Closed));
    }
}
