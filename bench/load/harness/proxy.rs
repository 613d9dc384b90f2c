//! The proxies: how each is configured and started with one worker.

use crate::interrupt;
use crate::started::Started;
use crate::usage::{self, CpuTime};
use ringway_bench::now;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Ringway,
    RingwayBefore,
    Nginx,
    Haproxy,
    Relay,
}

/// A proxy to measure.
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    pub(crate) program: PathBuf,
}

/// A proxy that serves.
pub(crate) struct Running {
    process: Started,
    /// All processes of the proxy; fixed once it serves.
    family: Vec<u32>,
    pub(crate) address: SocketAddr,
}

/// How long a proxy may take from its start to its first answer.
const START_BOUND: Duration = Duration::from_secs(10);

impl Kind {
    const ALL: [Kind; 5] = [Kind::Ringway, Kind::RingwayBefore, Kind::Nginx, Kind::Haproxy, Kind::Relay];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Ringway => "ringway",
            Kind::RingwayBefore => "ringway-before",
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
            Kind::Relay => "relay",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Kind, String> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("no proxy `{name}`"))
    }

    /// The peers that the others are compared with.
    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Kind::Nginx | Kind::Haproxy)
    }

    pub(crate) fn how_to_get(self) -> &'static str {
        match self {
            Kind::Ringway => "cargo build --release, or --ringway PATH",
            Kind::RingwayBefore => "--baseline PATH",
            Kind::Nginx => "apt-get install nginx-light",
            Kind::Haproxy => "apt-get install haproxy",
            Kind::Relay => "cargo build --release -p ringway-bench",
        }
    }
}

impl Proxy {
    /// Starts the proxy in front of `origin` and waits for its first answer.
    pub(crate) fn start(&self, origin: SocketAddr, cpu: usize, folder: &Path) -> Result<Running, String> {
        let address = free_address()?;
        let arguments = self.configure(address, origin, folder)?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut process = Started::on_cpu(cpu, &self.program, &arguments, folder)?;
        wait_for_answer(&mut process, address)?;
        let family = usage::family(process.id());
        Ok(Running { process, family, address })
    }

    /// Writes the configuration and returns the arguments that make the program use it.
    fn configure(
        &self,
        address: SocketAddr,
        origin: SocketAddr,
        folder: &Path,
    ) -> Result<Vec<String>, String> {
        let (name, text) = match self.kind {
            Kind::Relay => {
                return Ok(vec!["--listen".into(), address.to_string(), "--to".into(), origin.to_string()]);
            }
            Kind::Ringway | Kind::RingwayBefore => ("ringway.toml", ringway_configuration(address, origin)),
            Kind::Nginx => ("nginx.conf", nginx_configuration(address, origin, folder)),
            Kind::Haproxy => ("haproxy.cfg", haproxy_configuration(address, origin)),
        };
        let file = folder.join(name);
        fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
        let file = file.display().to_string();
        Ok(match self.kind {
            Kind::Nginx => vec!["-p".into(), folder.display().to_string(), "-c".into(), file],
            Kind::Haproxy => vec!["-db".into(), "-q".into(), "-f".into(), file],
            _ => vec!["run".into(), "-c".into(), file],
        })
    }
}

impl Running {
    pub(crate) fn cpu_time(&self) -> CpuTime {
        usage::cpu_time(&self.family)
    }

    pub(crate) fn anonymous_bytes(&self) -> u64 {
        usage::anonymous_bytes(&self.family)
    }

    pub(crate) fn check_alive(&mut self) -> Result<(), String> {
        self.process.check_alive()
    }
}

/// An address of loopback that nobody listens on now.
pub(crate) fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(|e| format!("finding a free port: {e}"))
}

/// Waits until a GET is answered with 200.
pub(crate) fn wait_for_answer(process: &mut Started, address: SocketAddr) -> Result<(), String> {
    let end = now() + START_BOUND;
    loop {
        interrupt::sleep(interrupt::GLANCE)?;
        process.check_alive()?;
        match get(address, "/") {
            Ok(_) => return Ok(()),
            Err(error) if now() >= end => {
                return Err(process.failure(&format!("no answer after {START_BOUND:?}: {error}")));
            }
            Err(_) => {}
        }
    }
}

/// Asks once over a connection of its own and returns the body.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    let ask = || -> std::io::Result<String> {
        let bound = Duration::from_secs(5);
        let mut stream = TcpStream::connect_timeout(&address, bound)?;
        stream.set_read_timeout(Some(bound))?;
        stream.write_all(
            format!("GET {path} HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|e| format!("GET {path}: {e}"))?;
    if !answer.starts_with("HTTP/1.1 200") {
        let status = answer.lines().next().unwrap_or("nothing");
        return Err(format!("GET {path} was answered with `{status}`"));
    }
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

fn ringway_configuration(address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        r#"config_version = 1

[process]
workers = 1
pin = true
shutdown_timeout = "2s"

[[listener]]
name = "web"
address = "{address}"
protocol = "http"
default_group = "app"
idle_timeout = "600s"

[[server_group]]
name = "app"
protocol = "http"
keepalive_timeout = "600s"
keepalive_connections = 16384

[[server_group.backend]]
address = "{origin}"
"#
    )
}

/// Larger buffers and no temporary files are what helps nginx with 1 MiB bodies; small ones do not touch them.
fn nginx_configuration(address: SocketAddr, origin: SocketAddr, folder: &Path) -> String {
    // SAFETY: geteuid takes no pointer and cannot fail.
    let user = if unsafe { libc::geteuid() } == 0 { "user root;" } else { "" };
    let folder = folder.display();
    format!(
        "daemon off;
{user}
pid {folder}/nginx.pid;
error_log stderr error;
worker_processes 1;
worker_rlimit_nofile 20000;
events {{
    worker_connections 18000;
}}
http {{
    access_log off;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    tcp_nodelay on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    upstream app {{
        server {origin};
        keepalive 8192;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen {address} backlog=16384;
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_max_temp_file_size 0;
            proxy_buffers 8 32k;
        }}
    }}
}}
"
    )
}

/// Two descriptors per connection: 9,500 fit into the limit of 20,000. By default HAProxy closes idle upstream
/// connections when a quarter of its descriptors is in use, which costs it most of its time at 8,000 connections.
fn haproxy_configuration(address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        "global
    nbthread 1
    maxconn 9500
    tune.pool-low-fd-ratio 99
    tune.pool-high-fd-ratio 100
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    http-reuse always
frontend web
    bind {address} backlog 16384
    default_backend app
backend app
    server origin {origin}
"
    )
}
