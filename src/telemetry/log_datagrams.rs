//! An access log that leaves in datagrams, one for each line: to a syslog server or to the journal.
//!
//! Only the thread of the log is here, so it may wait. A receiver that is away costs lines at once, and is looked for again
//! once a second.

use std::io;
use std::net::SocketAddr;
use std::net::ToSocketAddrs;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use crate::telemetry::log_frame::LogFrame;

/// Between two looks for a receiver that is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Who receives datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogReceiver {
    Unix(PathBuf),
    /// A name or an address, with its port. IPv6 is in brackets.
    Udp(String),
}

/// Who receives, and the way there.
pub struct LogDatagrams {
    receiver: LogReceiver,
    frame: LogFrame,
    /// The time since the Unix epoch.
    clock: fn() -> Duration,
    socket: Option<LogSocket>,
    /// When the way was last made, or could not be made.
    tried: Option<Duration>,
    /// Why it could not be made.
    error: Option<(io::ErrorKind, String)>,
    datagram: Vec<u8>,
}

enum LogSocket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

/// Lines that are lost, and why the last of them is.
#[derive(Default)]
struct LostLines {
    count: u64,
    error: Option<io::Error>,
}

impl LogDatagrams {
    pub(super) fn new(receiver: LogReceiver, frame: LogFrame, clock: fn() -> Duration) -> LogDatagrams {
        let (socket, tried, error, datagram) = (None, None, None, Vec::new());
        LogDatagrams { receiver, frame, clock, socket, tried, error, datagram }
    }

    /// Makes the way anew with the next line.
    pub(super) fn reconnect(&mut self) {
        (self.socket, self.tried) = (None, None);
    }

    /// Sends lines. The error comes with the number of lines that are lost.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), (u64, io::Error)> {
        let now = (self.clock)();
        let mut lost = LostLines::default();
        let mut datagram = std::mem::take(&mut self.datagram);
        datagram.clear();
        self.frame.begin(now, &mut datagram);
        let begin = datagram.len();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            datagram.truncate(begin);
            self.frame.end(line, &mut datagram);
            self.send(&datagram, now, &mut lost);
        }
        self.datagram = datagram;
        match lost.error {
            Some(error) if lost.count > 0 => {
                self.retry_later(now);
                Err((lost.count, error))
            }
            _ => Ok(()),
        }
    }

    /// The name of the receiver may stand for another address by now.
    fn retry_later(&mut self, now: Duration) {
        if self.tried.is_none_or(|tried| tried.abs_diff(now) >= RETRY_INTERVAL) {
            self.reconnect();
        }
    }

    /// A receiver that has begun anew is found again with the line that tells of its end.
    fn send(&mut self, datagram: &[u8], now: Duration, lost: &mut LostLines) {
        for _ in 0..2 {
            let sent = match self.socket(now) {
                Ok(socket) => socket.send(datagram),
                Err(error) => return lost.add(error),
            };
            match sent {
                Ok(()) => return,
                // What is refused is an earlier datagram, for nobody waits for this one to arrive.
                Err(error) if matches!(self.socket, Some(LogSocket::Udp(_))) && is_refusal(&error) => {
                    lost.add(error);
                }
                Err(error) if is_end(&error) => {
                    lost.error = Some(error);
                    self.reconnect();
                }
                Err(error) => return lost.add(error),
            }
        }
        lost.count += 1;
    }

    /// The way to the receiver, made if there is none and it was not tried in vain a moment ago.
    fn socket(&mut self, now: Duration) -> io::Result<&LogSocket> {
        if self.socket.is_none() {
            let is_early = self.tried.is_some_and(|tried| tried.abs_diff(now) < RETRY_INTERVAL);
            if let Some((kind, text)) = self.error.as_ref().filter(|_| is_early) {
                return Err(io::Error::new(*kind, text.clone()));
            }
            self.tried = Some(now);
            let connected = LogSocket::connect(&self.receiver);
            self.error = connected.as_ref().err().map(|error| (error.kind(), error.to_string()));
            self.socket = Some(connected?);
        }
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl LostLines {
    fn add(&mut self, error: io::Error) {
        self.count += 1;
        self.error = Some(error);
    }
}

impl LogSocket {
    fn connect(receiver: &LogReceiver) -> io::Result<LogSocket> {
        match receiver {
            LogReceiver::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(LogSocket::Unix(socket))
            }
            LogReceiver::Udp(name) => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                // May ask servers of names, and wait for them.
                for address in name.to_socket_addrs()? {
                    match LogSocket::udp(address) {
                        Ok(socket) => return Ok(LogSocket::Udp(socket)),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        Ok(socket)
    }

    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        loop {
            let sent = match self {
                LogSocket::Unix(socket) => socket.send(datagram),
                LogSocket::Udp(socket) => socket.send(datagram),
            };
            match sent {
                // By a signal, of which the process has few.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent.map(drop),
            }
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Whether the receiver that was there has ended.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::NotConnected
            | Kind::BrokenPipe
            | Kind::NotFound
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::telemetry::log_frame::FrameForm;
    use crate::telemetry::log_frame::SyslogNames;

    /// Seconds of a clock that the test turns. There is one test that does.
    static SECONDS: AtomicU64 = AtomicU64::new(1_000);

    fn seconds() -> Duration {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    }

    fn frame() -> LogFrame {
        let names = SyslogNames {
            facility: 23,
            severity: 6,
            host: "edge-1".to_owned(),
            app_name: "ringway".to_owned(),
        };
        LogFrame { names, form: FrameForm::Local, max_bytes: 8_192 }
    }

    fn received(socket: &UnixDatagram) -> Vec<String> {
        let mut texts = Vec::new();
        let mut bytes = [0; 9_000];
        socket.set_nonblocking(true).unwrap();
        while let Ok(count) = socket.recv(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            texts.push(text.split_once(": ").unwrap().1.to_owned());
        }
        texts
    }

    #[test]
    fn a_receiver_that_goes_costs_lines_until_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut output = LogDatagrams::new(LogReceiver::Unix(path.clone()), frame(), seconds);
        let (lost, error) = output.write(b"one\ntwo\n").unwrap_err();
        assert_eq!((lost, error.kind()), (2, io::ErrorKind::NotFound));
        let socket = UnixDatagram::bind(&path).unwrap();
        // It is not looked for with every line.
        assert_eq!(output.write(b"three\n").unwrap_err().0, 1);
        SECONDS.fetch_add(1, Ordering::Relaxed);
        output.write(b"four\nfive\n").unwrap();
        assert_eq!(received(&socket), ["four", "five"]);

        // One that was begun anew has the next line already.
        drop(socket);
        std::fs::remove_file(&path).unwrap();
        let socket = UnixDatagram::bind(&path).unwrap();
        output.write(b"six\n").unwrap();
        assert_eq!(received(&socket), ["six"]);
        drop(socket);
        assert_eq!(output.write(b"seven\n").unwrap_err().0, 1);
    }

    #[test]
    fn what_nobody_receives_by_udp_is_counted_when_it_is_refused() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        drop(receiver);
        let receiver = LogReceiver::Udp(format!("localhost:{}", address.port()));
        let mut output = LogDatagrams::new(receiver, frame(), || Duration::ZERO);
        // `localhost` may be IPv6 first, where nobody receives either.
        let lost = output.write(b"one\ntwo\nthree\nfour\n").unwrap_err().0;
        assert_eq!(lost, 3);
        let (lost, error) = output.write(b"five\n").unwrap_err();
        assert_eq!((lost, error.kind()), (1, io::ErrorKind::ConnectionRefused));
    }
}
