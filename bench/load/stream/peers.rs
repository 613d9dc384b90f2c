//! The proxies: how each is configured and started with one worker.

use crate::origin::Origin;
use crate::scenario::Scenario;
use crate::session;
use ringway_bench::measured::MeasuredProxy;
use ringway_bench::site::{NAME, Site};
use std::fs;
use std::net::{SocketAddr, TcpListener};
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
    pub(crate) ringway: PathBuf,
    pub(crate) baseline: Option<PathBuf>,
    pub(crate) nginx: Option<PathBuf>,
    /// nginx's stream module, where it is a file of its own.
    pub(crate) module: Option<PathBuf>,
    pub(crate) haproxy: Option<PathBuf>,
}

/// What a configuration is made for.
struct Place<'p> {
    listen: SocketAddr,
    origin: SocketAddr,
    scenario: Scenario,
    site: &'p Site,
    folder: &'p Path,
}

impl Programs {
    /// Starts all of them, each in front of the origin.
    pub(crate) fn start(
        &self,
        scenario: Scenario,
        origin: &Origin,
        site: &Site,
        folder: &Path,
    ) -> Result<Vec<Peer>, String> {
        let origin = origin.address(scenario.service());
        let place = || Ok::<_, String>(Place { listen: free_address()?, origin, scenario, site, folder });
        let mut peers = vec![ringway("ringway", &self.ringway, &place()?)?];
        if let Some(program) = &self.baseline {
            peers.push(ringway("before", program, &place()?)?);
        }
        if let Some(program) = &self.nginx {
            peers.push(nginx(program, self.module.as_deref(), &place()?)?);
        }
        if let Some(program) = &self.haproxy {
            peers.push(haproxy(program, &place()?)?);
        }
        Ok(peers)
    }
}

fn ringway(name: &'static str, program: &Path, place: &Place<'_>) -> Result<Peer, String> {
    let Place { listen, origin, scenario, site, .. } = place;
    let (chain, key) = (site.chain.display(), site.key.display());
    let certificate = format!("[[certificate]]\nname = \"site\"\nchain = \"{chain}\"\nkey = \"{key}\"\n");
    let (certificate, protocol, rule) = match scenario {
        Scenario::Tls => (
            certificate,
            "protocol = \"tls\"\ncertificates = [\"site\"]\ndefault_group = \"o\"",
            String::new(),
        ),
        Scenario::Passthrough => {
            let rule = format!(
                "[[rule]]\nname = \"r\"\nlistener = \"l\"\npriority = 1\nsni = [\"{NAME}\"]\ngroup = \"o\"\n"
            );
            (String::new(), "protocol = \"tls\"\npassthrough = true", rule)
        }
        _ => (String::new(), "protocol = \"tcp\"\ndefault_group = \"o\"", String::new()),
    };
    let text = format!(
        "config_version = 1\n[process]\nworkers = 1\n{certificate}[[listener]]\nname = \"l\"\n\
         address = \"{listen}\"\n{protocol}\n[[server_group]]\nname = \"o\"\nprotocol = \"tcp\"\n\
         [[server_group.backend]]\naddress = \"{origin}\"\n{rule}"
    );
    let file = written(place, &format!("{name}.toml"), &text)?;
    let mut command = Command::new(program);
    command.args(["run", "-c"]).arg(file);
    serving(name, command, place)
}

fn nginx(program: &Path, module: Option<&Path>, place: &Place<'_>) -> Result<Peer, String> {
    let Place { listen, origin, scenario, site, folder } = place;
    let module = module.map_or(String::new(), |module| format!("load_module {};", module.display()));
    let (chain, key) = (site.chain.display(), site.key.display());
    let server = match scenario {
        Scenario::Tls => format!(
            "server {{ listen {listen} ssl; ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; \
             ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384; proxy_buffer_size 64k; proxy_pass o; }}"
        ),
        Scenario::Passthrough => format!(
            "map $ssl_preread_server_name $chosen {{ {NAME} o; }} \
             server {{ listen {listen}; ssl_preread on; proxy_pass $chosen; }}"
        ),
        _ => format!("server {{ listen {listen}; proxy_buffer_size 64k; proxy_pass o; }}"),
    };
    let folder = folder.display();
    let text = format!(
        "{module}\nuser root;\nworker_processes 1;\ndaemon off;\nmaster_process off;\nerror_log {folder}/error.log;\n\
         pid {folder}/nginx.pid;\nworker_rlimit_nofile 20000;\nevents {{ worker_connections 18000; }}\n\
         stream {{ tcp_nodelay on; proxy_timeout 900s; upstream o {{ server {origin}; }} {server} }}\n"
    );
    let file = written(place, "nginx.conf", &text)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(place.folder).arg("-c").arg(file);
    serving("nginx", command, place)
}

fn haproxy(program: &Path, place: &Place<'_>) -> Result<Peer, String> {
    let Place { listen, origin, scenario, site, .. } = place;
    let front = match scenario {
        Scenario::Tls => format!(
            "bind {listen} ssl crt {} ssl-min-ver TLSv1.3 ciphersuites TLS_AES_256_GCM_SHA384\n    default_backend o",
            site.chain_and_key.display()
        ),
        Scenario::Passthrough => format!(
            "bind {listen}\n    tcp-request inspect-delay 5s\n    tcp-request content accept if {{ req_ssl_hello_type 1 }}\n    \
             use_backend o if {{ req_ssl_sni -i {NAME} }}"
        ),
        _ => format!("bind {listen}\n    default_backend o"),
    };
    let text = format!(
        "global\n    nbthread 1\n    maxconn 8000\ndefaults\n    mode tcp\n    timeout connect 5s\n    timeout client 900s\n    \
         timeout server 900s\nfrontend l\n    {front}\nbackend o\n    server s {origin}\n"
    );
    let file = written(place, "haproxy.cfg", &text)?;
    let mut command = Command::new(program);
    command.args(["-db", "-q", "-f"]).arg(file);
    serving("haproxy", command, place)
}

fn written(place: &Place<'_>, name: &str, text: &str) -> Result<PathBuf, String> {
    let file = place.folder.join(name);
    fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(file)
}

/// A port that is free at this moment.
fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(|e| e.to_string())
}

/// Starts a proxy and waits until it accepts connections.
fn serving(name: &'static str, command: Command, place: &Place<'_>) -> Result<Peer, String> {
    let process = MeasuredProxy::start(name, command)?;
    for _ in 0..100 {
        if session::opened(place.listen, 1).is_ok() {
            return Ok(Peer { process, address: place.listen });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(format!("{name} does not listen at {}", place.listen))
}
