//! A client that opens a TLS connection for every request, with a full handshake or with a resumed one.
//!
//! Each connection at a time has a thread of its own, and all threads share the load CPU. What they cost does not
//! matter: the CPU time of the proxy is what is measured.

use crate::client;
use crate::figures::Counted;
use crate::interrupt;
use ringway_bench::site::{NAME, Site};
use ringway_bench::tls_client;
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
                tls_client::configuration(&site.certificate, vec![TLS13_AES_128_GCM_SHA256], resumption)?;
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
    use super::{Extent, Handshakes, Kind};
    use crate::figures::Counted;
    use ringway_bench::site::Site;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::server::{NoServerSessionStorage, ServerConfig, ServerConnection};
    use rustls::{StreamOwned, crypto::aws_lc_rs};
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::path::PathBuf;
    use std::sync::Arc;

    #[test]
    fn a_server_that_resumes_no_session_fails_the_resumed_run() {
        let folder = Folder::create("resume");
        let site = Site::create(&folder.0).unwrap();
        let server = serve(configuration(&site), 128);
        assert!(run(Kind::Resumed, server, &site).unwrap().requests > 2.0);
        assert!(run(Kind::Full, server, &site).unwrap().requests > 2.0);

        let mut forgetful = configuration(&site);
        forgetful.session_storage = Arc::new(NoServerSessionStorage {});
        let server = serve(forgetful, 128);
        assert!(run(Kind::Full, server, &site).unwrap().requests > 2.0);
        let error = run(Kind::Resumed, server, &site).unwrap_err();
        assert!(error.starts_with("only 0 of "), "{error}");
    }

    #[test]
    fn an_incomplete_answer_and_another_certificate_fail_the_run() {
        let folder = Folder::create("incomplete");
        let site = Site::create(&folder.0).unwrap();
        let error = run(Kind::Full, serve(configuration(&site), 127), &site).unwrap_err();
        assert!(error.contains("answered `HTTP/1.1 200 OK"), "{error}");
        let server = serve(configuration(&site), 128);
        let other = Site::create(&folder.0).unwrap();
        let error = run(Kind::Full, server, &other).unwrap_err();
        assert!(error.contains("certificate"), "{error}");
    }

    fn run(kind: Kind, address: SocketAddr, site: &Site) -> Result<Counted, String> {
        let extent = Extent { connections: 2, seconds: 1, cpu: 0 };
        Handshakes::start(kind, address, site, &extent)?.finish()
    }

    fn configuration(site: &Site) -> ServerConfig {
        let chain = CertificateDer::pem_file_iter(&site.chain).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&site.key).unwrap();
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap()
    }

    /// A server of one thread that runs as long as the tests; its answers have so many bytes.
    fn serve(configuration: ServerConfig, body_bytes: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let configuration = Arc::new(configuration);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = ServerConnection::new(configuration.clone()).unwrap();
                let mut stream = StreamOwned::new(connection, stream);
                // A client that gives up is what some tests are for.
                let _ = answer(&mut stream, body_bytes);
            }
        });
        address
    }

    fn answer(
        stream: &mut StreamOwned<ServerConnection, std::net::TcpStream>,
        body_bytes: usize,
    ) -> std::io::Result<()> {
        let mut request = [0; 1024];
        let length = stream.read(&mut request)?;
        assert!(request[..length].ends_with(b"\r\n\r\n"));
        stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(body_bytes)).as_bytes())?;
        stream.conn.send_close_notify();
        stream.flush()
    }

    /// A folder that is removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn create(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("ringway-bench-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
