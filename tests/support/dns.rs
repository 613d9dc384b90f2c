//! A DNS server with the few answers that a test needs.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// A server on a UDP port of loopback. It does not answer questions about names that it was not told of.
pub(crate) struct Dns {
    address: SocketAddr,
    changes: Sender<(String, Reply)>,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

/// What is said about a name.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Addresses of both families, and the seconds that they live.
    Addresses(Vec<IpAddr>, u32),
    NoSuchHost,
    Refusal,
    Silence,
}

#[derive(Default)]
struct Shared {
    questions: AtomicUsize,
    stopped: AtomicBool,
}

/// How often the server looks whether it is to stop.
const GLANCE: Duration = Duration::from_millis(20);

const A: u16 = 1;
const AAAA: u16 = 28;

impl Dns {
    pub(crate) fn start() -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        socket.set_read_timeout(Some(GLANCE)).expect("a socket has a timeout");
        let address = socket.local_addr().expect("a socket has an address");
        let shared = Arc::new(Shared::default());
        let (changes, told) = channel();
        let own = shared.clone();
        let server = std::thread::spawn(move || serve(&socket, &own, &told));
        Dns { address, changes, shared, server: Some(server) }
    }

    /// From the next question on, this is what is said about a name.
    pub(crate) fn set_reply(&self, name: &str, reply: Reply) {
        self.changes.send((name.to_owned(), reply)).expect("the server runs");
    }

    /// The same with addresses that live for a second.
    pub(crate) fn set_addresses(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        self.set_reply(name, Reply::Addresses(addresses, 1));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The line of `[process]` that makes Ringway ask here.
    pub(crate) fn setting(&self) -> String {
        format!("resolvers = [\"{}\"]", self.address)
    }

    /// Questions so far.
    pub(crate) fn questions(&self) -> usize {
        self.shared.questions.load(Ordering::SeqCst)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

fn serve(socket: &UdpSocket, shared: &Shared, told: &Receiver<(String, Reply)>) {
    let mut replies = HashMap::new();
    let mut buffer = [0; 1_500];
    while !shared.stopped.load(Ordering::SeqCst) {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        shared.questions.fetch_add(1, Ordering::SeqCst);
        replies.extend(told.try_iter());
        if let Some(message) = answer(&buffer[..length], &replies) {
            // A peer that has gone is no failure of the test.
            let _ = socket.send_to(&message, peer);
        }
    }
}

/// The answer to a message with one question; `None` is silence.
fn answer(question: &[u8], replies: &HashMap<String, Reply>) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let mut labels = Vec::new();
    let mut position = HEADER;
    loop {
        let length = usize::from(*question.get(position)?);
        position += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(position..position + length)?).to_lowercase());
        position += length;
    }
    let family = u16::from_be_bytes([*question.get(position)?, *question.get(position + 1)?]);
    let (code, addresses, life) = match replies.get(&labels.join("."))? {
        Reply::Addresses(addresses, life) => (0, addresses.as_slice(), *life),
        Reply::NoSuchHost => (3, [].as_slice(), 0),
        Reply::Refusal => (5, [].as_slice(), 0),
        Reply::Silence => return None,
    };
    let addresses = addresses.iter().filter(|address| family == if address.is_ipv4() { A } else { AAAA });
    let addresses: Vec<_> = addresses.collect();
    // A response to a recursive question, from a server that recurs.
    let mut message = [&question[..2], &[0x81, 0x80 | code], &[0, 1]].concat();
    message.extend_from_slice(&u16::try_from(addresses.len()).ok()?.to_be_bytes());
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(question.get(HEADER..position + 4)?);
    for address in addresses {
        // The name is the one at the end of the header; the class is that of the internet.
        message.extend_from_slice(&[0xc0, 12]);
        message.extend_from_slice(&family.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        message.extend_from_slice(&life.to_be_bytes());
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        message.extend_from_slice(&u16::try_from(octets.len()).ok()?.to_be_bytes());
        message.extend_from_slice(&octets);
    }
    Some(message)
}
