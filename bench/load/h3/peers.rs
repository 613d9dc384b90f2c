//! The proxies: how each is configured and started with one worker.

use crate::scenario;
use ringway_bench::measured::MeasuredProxy;
use ringway_bench::process;
use ringway_bench::site::{NAME, Site};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A proxy that serves.
pub(crate) struct Peer {
    pub(crate) process: MeasuredProxy,
    pub(crate) address: SocketAddr,
}

/// What is measured. None: left out.
#[derive(Default)]
pub(crate) struct Programs {
    pub(crate) origin: PathBuf,
    pub(crate) ringway: PathBuf,
    pub(crate) baseline: Option<PathBuf>,
    pub(crate) caddy: Option<PathBuf>,
    pub(crate) envoy: Option<PathBuf>,
}

/// What a configuration is made for.
struct Place<'p> {
    workers: u32,
    listen: SocketAddr,
    origin: SocketAddr,
    site: &'p Site,
    folder: &'p Path,
}

impl Programs {
    /// Starts the backend of all; it lasts as long as what is given.
    pub(crate) fn start_origin(&self) -> Result<Peer, String> {
        let address = free_address()?;
        let mut command = Command::new(&self.origin);
        command.args(["--listen", &address.to_string()]);
        let process = MeasuredProxy::start("bench-origin", command)?;
        for _ in 0..100 {
            if TcpStream::connect(address).is_ok() {
                return Ok(Peer { process, address });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("bench-origin does not listen at {address}"))
    }

    /// Starts all proxies, each in front of the origin, on the CPU that is given.
    pub(crate) fn start(
        &self,
        origin: SocketAddr,
        site: &Site,
        folder: &Path,
        cpu: usize,
    ) -> Result<Vec<Peer>, String> {
        // Who is started later inherits it.
        process::pin_to_cpu(cpu).map_err(|e| format!("pinning: {e}"))?;
        let place = || Ok::<_, String>(Place { workers: 1, listen: free_address()?, origin, site, folder });
        let mut peers = vec![ringway("ringway", &self.ringway, &place()?)?];
        if let Some(program) = &self.baseline {
            peers.push(ringway("before", program, &place()?)?);
        }
        if let Some(program) = &self.caddy {
            peers.push(caddy(program, &place()?)?);
        }
        if let Some(program) = &self.envoy {
            peers.push(envoy(program, &place()?)?);
        }
        Ok(peers)
    }

    /// Starts Ringway alone, with one worker and with two, wherever the scheduler lets them run.
    pub(crate) fn start_workers(
        &self,
        origin: SocketAddr,
        site: &Site,
        folder: &Path,
    ) -> Result<[(u32, Peer); 2], String> {
        let start = |name, workers| {
            let place = Place { workers, listen: free_address()?, origin, site, folder };
            Ok::<_, String>((workers, ringway(name, &self.ringway, &place)?))
        };
        Ok([start("one", 1)?, start("two", 2)?])
    }
}

fn ringway(name: &'static str, program: &Path, place: &Place<'_>) -> Result<Peer, String> {
    let Place { workers, listen, origin, site, .. } = place;
    let (chain, key) = (site.chain.display(), site.key.display());
    let text = format!(
        "config_version = 1\n[process]\nworkers = {workers}\n[[certificate]]\nname = \"site\"\nchain = \"{chain}\"\nkey = \"{key}\"\n\
         [[listener]]\nname = \"l\"\naddress = \"{listen}\"\nprotocol = \"https\"\nhttp3 = true\ncertificates = [\"site\"]\n\
         default_group = \"o\"\nkeepalive_requests = 1000000000\nidle_timeout = \"600s\"\n[[server_group]]\nname = \"o\"\n\
         [[server_group.backend]]\naddress = \"{origin}\"\n"
    );
    let file = written(place, &format!("{name}.toml"), &text)?;
    let mut command = Command::new(program);
    command.args(["run", "-c"]).arg(file);
    serving(name, command, place)
}

fn caddy(program: &Path, place: &Place<'_>) -> Result<Peer, String> {
    let Place { listen, origin, site, folder, .. } = place;
    let (chain, key, port) = (site.chain.display(), site.key.display(), listen.port());
    let text = format!(
        "{{\n admin off\n auto_https off\n log {{\n  output discard\n }}\n servers {{\n  protocols h1 h2 h3\n }}\n}}\n\
         https://{NAME}:{port} {{\n bind 127.0.0.1\n tls {chain} {key}\n reverse_proxy {origin}\n}}\n"
    );
    let file = written(place, "Caddyfile", &text)?;
    let mut command = Command::new(program);
    // Its threads are as many as the CPUs that it may run on.
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file).env("GOMAXPROCS", "1");
    command.env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
    serving("caddy", command, place)
}

fn envoy(program: &Path, place: &Place<'_>) -> Result<Peer, String> {
    const TYPE: &str = "\"@type\": type.googleapis.com/envoy.extensions";
    let Place { listen, origin, site, .. } = place;
    let (chain, key, port) = (site.chain.display(), site.key.display(), listen.port());
    let text = format!(
        "static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{protocol: UDP, address: 127.0.0.1, port_value: {port}}}}}
    udp_listener_config: {{quic_options: {{}}, downstream_socket_config: {{prefer_gro: true}}}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.quic
        typed_config:
          {TYPE}.transport_sockets.quic.v3.QuicDownstreamTransport
          downstream_tls_context:
            common_tls_context:
              tls_certificates: [{{certificate_chain: {{filename: {chain}}}, private_key: {{filename: {key}}}}}]
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          {TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager
          codec_type: HTTP3
          stat_prefix: h
          route_config:
            virtual_hosts:
            - {{name: v, domains: ['*'], routes: [{{match: {{prefix: /}}, route: {{cluster: o, timeout: 0s}}}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{{TYPE}.filters.http.router.v3.Router}}
  clusters:
  - name: o
    type: STATIC
    connect_timeout: 1s
    circuit_breakers: {{thresholds: [{{max_connections: 9999, max_pending_requests: 9999, max_requests: 9999}}]}}
    load_assignment:
      cluster_name: o
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}
",
        origin.ip(),
        origin.port()
    );
    let file = written(place, "envoy.yaml", &text)?;
    let mut command = Command::new(program);
    command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "off", "-c"]).arg(file);
    serving("envoy", command, place)
}

fn written(place: &Place<'_>, name: &str, text: &str) -> Result<PathBuf, String> {
    let file = place.folder.join(name);
    fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(file)
}

/// A port that is free at this moment, for TCP and UDP.
fn free_address() -> Result<SocketAddr, String> {
    for _ in 0..100 {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = address.map_err(|e| e.to_string())?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err("no port is free for both TCP and UDP".to_owned())
}

/// Starts a proxy and waits until it serves a request.
fn serving(name: &'static str, command: Command, place: &Place<'_>) -> Result<Peer, String> {
    let peer = Peer { process: MeasuredProxy::start(name, command)?, address: place.listen };
    let mut last = String::new();
    for _ in 0..20 {
        match scenario::served(&peer, place.site, 1, Duration::from_millis(500)) {
            Ok(client) => {
                client.close();
                return Ok(peer);
            }
            Err(error) => last = error,
        }
    }
    Err(format!("{name} does not serve at {}: {last}", place.listen))
}
