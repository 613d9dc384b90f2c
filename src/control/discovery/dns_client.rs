//! Asking one DNS server: over UDP, and over TCP for what does not fit (RFC 1035 §4.2).
//!
//! Calls wait. They are made by threads that do nothing else.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::time::Duration;

use aws_lc_rs::rand;

use crate::control::discovery::dns_cache::Found;
use crate::control::discovery::dns_message::AddressFamily;
use crate::control::discovery::dns_message::DnsAnswer;
use crate::control::discovery::dns_message::DnsQuestion;
use crate::net::clock::monotonic_ms;

/// After so long without an answer a question is sent again: datagrams get lost.
const RESEND_INTERVAL: Duration = Duration::from_secs(1);
/// Within its time a question is sent at least so often.
const LEAST_QUESTIONS: u32 = 3;
/// The longest answer over UDP to a client that does not say that it takes longer ones is 512 bytes. Some servers send more.
const MAX_DATAGRAM_BYTES: usize = 4096;

/// Why a question was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    Silence,
    /// It cannot be sent, or nobody is there.
    Unreachable,
    /// The name is none.
    NoName,
}

/// Asks a server for the addresses of a name, for so long at most. What the server says of its own troubles is an answer, too.
pub(super) fn ask(
    server: SocketAddr,
    name: &str,
    family: AddressFamily,
    patience: Duration,
) -> Result<Found, Unanswered> {
    let mut id = [0; 2];
    // Without it, somebody else could guess which answer is waited for (RFC 5452 §4).
    rand::fill(&mut id).map_err(|_| Unanswered::Unreachable)?;
    let question = DnsQuestion::new(u16::from_be_bytes(id), name, family).ok_or(Unanswered::NoName)?;
    let end_ms = monotonic_ms() + patience.as_millis() as u64;
    match ask_over_udp(server, &question, (patience / LEAST_QUESTIONS).min(RESEND_INTERVAL), end_ms)? {
        DnsAnswer::Found(found) => Ok(found),
        DnsAnswer::Truncated | DnsAnswer::Other => ask_over_tcp(server, &question, end_ms),
    }
}

fn ask_over_udp(
    server: SocketAddr,
    question: &DnsQuestion,
    interval: Duration,
    end_ms: u64,
) -> Result<DnsAnswer, Unanswered> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).map_err(unanswered)?;
    socket.connect(server).map_err(unanswered)?;
    let mut answer = vec![0; MAX_DATAGRAM_BYTES];
    loop {
        let resend_ms = monotonic_ms() + interval.as_millis() as u64;
        socket.send(question.bytes()).map_err(unanswered)?;
        while let Some(wait) = left(resend_ms.min(end_ms)) {
            socket.set_read_timeout(Some(wait)).map_err(unanswered)?;
            match socket.recv(&mut answer) {
                Ok(length) => match question.answer(answer.get(..length).unwrap_or_default()) {
                    // Somebody else's, perhaps of somebody who wants to be taken for the server.
                    DnsAnswer::Other => {}
                    answer => return Ok(answer),
                },
                Err(error) if is_silence(&error) => {}
                Err(error) => return Err(unanswered(error)),
            }
        }
        left(end_ms).ok_or(Unanswered::Silence)?;
    }
}

fn ask_over_tcp(server: SocketAddr, question: &DnsQuestion, end_ms: u64) -> Result<Found, Unanswered> {
    let time = || left(end_ms).ok_or(Unanswered::Silence);
    let mut stream = TcpStream::connect_timeout(&server, time()?).map_err(unanswered)?;
    stream.set_write_timeout(Some(time()?)).map_err(unanswered)?;
    let length = (question.bytes().len() as u16).to_be_bytes();
    stream.write_all(&[&length, question.bytes()].concat()).map_err(unanswered)?;
    let mut length = [0; 2];
    read_exact(&mut stream, &mut length, end_ms)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    read_exact(&mut stream, &mut answer, end_ms)?;
    match question.answer(&answer) {
        DnsAnswer::Found(found) => Ok(found),
        DnsAnswer::Truncated | DnsAnswer::Other => {
            Ok(Found::Failed("the resolver's answer makes no sense".to_owned()))
        }
    }
}

/// As [`Read::read_exact`], but the time ends for all of it, not for each piece.
fn read_exact(stream: &mut TcpStream, mut room: &mut [u8], end_ms: u64) -> Result<(), Unanswered> {
    while !room.is_empty() {
        stream.set_read_timeout(Some(left(end_ms).ok_or(Unanswered::Silence)?)).map_err(unanswered)?;
        match stream.read(room).map_err(unanswered)? {
            0 => return Err(Unanswered::Unreachable),
            count => room = room.get_mut(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// The time until then, unless it has come.
fn left(end_ms: u64) -> Option<Duration> {
    end_ms.checked_sub(monotonic_ms()).filter(|left| *left > 0).map(Duration::from_millis)
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

fn unanswered(error: io::Error) -> Unanswered {
    if is_silence(&error) { Unanswered::Silence } else { Unanswered::Unreachable }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn ask_v4(server: SocketAddr, patience: Duration) -> Result<Found, Unanswered> {
        ask(server, "app.internal", AddressFamily::V4, patience)
    }

    /// The answer to a question with one address, or without one and cut.
    fn answer(question: &[u8], address: Option<[u8; 4]>) -> Vec<u8> {
        let mut bytes = question.to_vec();
        bytes[2] |= 0x80;
        match address {
            None => bytes[2] |= 0x02,
            Some(address) => {
                bytes[7] = 1;
                bytes.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04");
                bytes.extend_from_slice(&address);
            }
        }
        bytes
    }

    #[test]
    fn a_lost_question_is_sent_again_and_forged_answers_count_for_nothing() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = socket.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let mut question = [0; 512];
            socket.recv_from(&mut question).unwrap();
            let (length, client) = socket.recv_from(&mut question).unwrap();
            let mut forged = answer(&question[..length], Some([192, 0, 2, 66]));
            forged[0] ^= 1;
            socket.send_to(&forged, client).unwrap();
            socket.send_to(&answer(&question[..length], Some([192, 0, 2, 1])), client).unwrap();
        });
        let found = ask_v4(server, PATIENCE);
        assert!(
            matches!(&found, Ok(Found::Addresses(all, _)) if *all == [IpAddr::from([192, 0, 2, 1])]),
            "{found:?}"
        );
        serving.join().unwrap();
    }

    #[test]
    fn what_does_not_fit_is_asked_for_over_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(server).unwrap();
        let serving = thread::spawn(move || {
            let mut question = [0; 512];
            let (length, client) = socket.recv_from(&mut question).unwrap();
            socket.send_to(&answer(&question[..length], None), client).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let mut framed = vec![0; length + 2];
            stream.read_exact(&mut framed).unwrap();
            let answer = answer(&framed[2..], Some([192, 0, 2, 2]));
            // In pieces.
            stream.write_all(&(answer.len() as u16).to_be_bytes()).unwrap();
            answer.chunks(7).for_each(|piece| stream.write_all(piece).unwrap());
        });
        let found = ask_v4(server, PATIENCE);
        assert!(
            matches!(&found, Ok(Found::Addresses(all, _)) if *all == [IpAddr::from([192, 0, 2, 2])]),
            "{found:?}"
        );
        serving.join().unwrap();
    }

    #[test]
    fn nobody_and_silence_are_told_apart() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = socket.local_addr().unwrap();
        assert_eq!(ask_v4(server, Duration::from_millis(50)).unwrap_err(), Unanswered::Silence);
        drop(socket);
        assert_eq!(ask_v4(server, PATIENCE).unwrap_err(), Unanswered::Unreachable);
        let no_name = ask(server, "a..b", AddressFamily::V4, PATIENCE);
        assert_eq!(no_name.unwrap_err(), Unanswered::NoName);
    }
}
