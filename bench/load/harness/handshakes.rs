//! A client that opens a TLS connection for every request, with a full handshake or with a resumed one.
//!
//! Each connection at a time has a thread of its own, and all threads share the load CPU. What they cost does not
//! matter: the CPU time of the proxy is what is measured.

use crate::client;
use crate::generator::Counted;
use crate::interrupt;
use crate::site::{NAME, Site};
use ringway_bench::{now, process};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::{HandshakeKind, client::ClientSessionMemoryCache};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The client at work.
pub(crate) struct Handshakes {
    threads: Vec<JoinHandle<Result<Tally, String>>>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// No session is offered.
    Full,
    /// The session of the connection before is offered, with the key exchange repeated (psk_dhe_ke).
    Resumed,
}

/// How many threads share the load CPU, for how long.
pub(crate) struct Extent {
    pub(crate) connections: usize,
    pub(crate) seconds: u64,
    pub(crate) cpu: usize,
}

/// What one thread, or all of them, counted.
#[derive(Default)]
struct Tally {
    latencies_us: Vec<f64>,
    /// Handshakes that could offer a session, which the first of a thread cannot.
    offered: usize,
    resumed: usize,
}

/// The least share of the sessions offered that a proxy must resume.
const LEAST_RESUMED_SHARE: f64 = 0.99;

const BODY_BYTES: usize = 128;

impl Handshakes {
    pub(crate) fn start(
        kind: Kind,
        address: SocketAddr,
        site: &Site,
        extent: &Extent,
    ) -> Result<Handshakes, String> {
        let end = now() + Duration::from_secs(extent.seconds);
        let mut threads = Vec::with_capacity(extent.connections);
        for _ in 0..extent.connections {
            let resumption = match kind {
                Kind::Full => Resumption::disabled(),
                // One thread asks one name for sessions.
                Kind::Resumed => Resumption::store(Arc::new(ClientSessionMemoryCache::new(1))),
            };
            let client =
                client::configuration(&site.certificate, vec![TLS13_AES_128_GCM_SHA256], resumption)?;
            let cpu = extent.cpu;
            threads.push(std::thread::spawn(move || {
                process::pin_to_cpu(cpu).map_err(|e| format!("pinning the client: {e}"))?;
                repeat(kind, address, &client, end)
            }));
        }
        Ok(Handshakes { threads, kind })
    }

    /// Waits for the end. Any error of a connection, and too few resumed sessions, are an error here.
    pub(crate) fn finish(self) -> Result<Counted, String> {
        let mut sum = Tally::default();
        for thread in self.threads {
            let tally = thread.join().map_err(|_| "the client panicked".to_owned())??;
            sum.latencies_us.extend(tally.latencies_us);
            sum.offered += tally.offered;
            sum.resumed += tally.resumed;
        }
        if self.kind == Kind::Resumed {
            check_share(sum.resumed, sum.offered)?;
        }
        sum.latencies_us.sort_by(f64::total_cmp);
        let count = sum.latencies_us.len();
        let at = |share: f64| sum.latencies_us.get((count as f64 * share) as usize).copied();
        let none = "no request was answered";
        Ok(Counted { requests: count as f64, p50_us: at(0.50).ok_or(none)?, p99_us: at(0.99).ok_or(none)? })
    }
}

/// One connection after the other until `end`.
fn repeat(
    kind: Kind,
    address: SocketAddr,
    client: &Arc<ClientConfig>,
    end: Instant,
) -> Result<Tally, String> {
    let mut tally = Tally::default();
    loop {
        let start = now();
        if start >= end {
            return Ok(tally);
        }
        interrupt::check()?;
        let number = tally.latencies_us.len() + 1;
        let done = ask(address, client).map_err(|e| format!("connection {number} of a thread: {e}"))?;
        match (kind, done) {
            (_, HandshakeKind::FullWithHelloRetryRequest) => {
                return Err("the proxy asked for another group than X25519".to_owned());
            }
            (Kind::Full, HandshakeKind::Resumed) => return Err("a session was resumed".to_owned()),
            _ => {}
        }
        tally.offered += usize::from(number > 1);
        tally.resumed += usize::from(done == HandshakeKind::Resumed);
        tally.latencies_us.push(now().duration_since(start).as_secs_f64() * 1e6);
    }
}

/// A connection with one request. The tickets, which come before the answer, are stored while it is read.
fn ask(address: SocketAddr, client: &Arc<ClientConfig>) -> Result<HandshakeKind, String> {
    let broken = |e: std::io::Error| e.to_string();
    let mut stream = client::handshake(address, client).map_err(broken)?;
    let kind = stream.conn.handshake_kind().ok_or("the handshake has no end")?;
    let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(broken)?;
    let mut answer = Vec::with_capacity(1024);
    // Without close_notify the end is an error, so a truncated answer is noticed.
    stream.read_to_end(&mut answer).map_err(broken)?;
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let is_whole = head.is_some_and(|head| answer.len() == head + 4 + BODY_BYTES);
    if !answer.starts_with(b"HTTP/1.1 200") || !is_whole {
        return Err(format!("answered `{}`", String::from_utf8_lossy(&answer)));
    }
    Ok(kind)
}

fn check_share(resumed: usize, offered: usize) -> Result<(), String> {
    if resumed as f64 >= offered as f64 * LEAST_RESUMED_SHARE {
        return Ok(());
    }
    Err(format!("only {resumed} of {offered} sessions were resumed"))
}

#[cfg(test)]
mod tests {
    use super::check_share;

    #[test]
    fn a_proxy_that_resumes_too_few_sessions_fails_the_run() {
        assert_eq!(check_share(990, 1000), Ok(()));
        assert_eq!(check_share(989, 1000), Err("only 989 of 1000 sessions were resumed".to_owned()));
    }
}
