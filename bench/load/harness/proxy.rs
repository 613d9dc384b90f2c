//! The proxies: how each is configured and started with one worker.

use crate::client;
use crate::configuration;
use crate::interrupt;
use crate::logging;
use crate::proxy_kind::Kind;
use crate::row::Upstream;
use crate::started::Started;
use crate::usage::{self, CpuTime};
use ringway_bench::now;
use ringway_bench::site::Site;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

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
    /// There when the proxy serves HTTPS.
    pub(crate) site: Option<Arc<Site>>,
}

/// How long a proxy may take from its start to its first answer.
const START_BOUND: Duration = Duration::from_secs(10);

impl Proxy {
    /// Starts the proxy in front of the backends, with HTTPS if there is a site, and waits for its first answer.
    pub(crate) fn start(
        &self,
        upstream: Upstream,
        cpu: usize,
        folder: &Path,
        site: Option<&Arc<Site>>,
    ) -> Result<Running, String> {
        let address = free_address()?;
        let arguments = self.configure(address, upstream, folder, site)?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // Only h2o is started by way of another program, which sets its environment.
        let program = if self.kind == Kind::H2o { Path::new("/usr/bin/env") } else { &self.program };
        let mut process = Started::on_cpu(cpu, program, &arguments, folder)?;
        wait_for_answer(&mut process, address, site.map(Arc::as_ref))?;
        let family = usage::family(process.id());
        Ok(Running { process, family, address, site: site.cloned() })
    }

    /// Writes the configuration and returns the arguments that make the program use it.
    fn configure(
        &self,
        address: SocketAddr,
        upstream: Upstream,
        folder: &Path,
        site: Option<&Arc<Site>>,
    ) -> Result<Vec<String>, String> {
        let site = site.map(Arc::as_ref);
        // Each turn writes a log of its own.
        let _ = fs::remove_file(folder.join(logging::FILE));
        let (name, text) = match self.kind {
            Kind::Relay => {
                return Ok(vec![
                    "--listen".into(),
                    address.to_string(),
                    "--to".into(),
                    upstream.origin.to_string(),
                ]);
            }
            Kind::Ringway | Kind::RingwayBefore => {
                ("ringway.toml", configuration::of_ringway(address, upstream, folder, site))
            }
            Kind::Nginx => ("nginx.conf", configuration::of_nginx(address, upstream, folder, site)),
            Kind::Haproxy => ("haproxy.cfg", configuration::of_haproxy(address, upstream, folder, site)),
            Kind::H2o => ("h2o.yaml", configuration::of_h2o(address, upstream, site)),
        };
        if let Some(map) = upstream.row.rules.map().filter(|_| self.kind == Kind::Haproxy) {
            let file = folder.join(map.name);
            fs::write(&file, map.text).map_err(|e| format!("{}: {e}", file.display()))?;
        }
        let file = folder.join(name);
        fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
        let file = file.display().to_string();
        if self.kind == Kind::H2o {
            let openssl = folder.join("openssl.cnf");
            fs::write(&openssl, configuration::OF_OPENSSL)
                .map_err(|e| format!("{}: {e}", openssl.display()))?;
            let environment = format!("OPENSSL_CONF={}", openssl.display());
            return Ok(vec![environment, self.program.display().to_string(), "-c".into(), file]);
        }
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

    /// CPU time of Ringway's health checker, which is part of the whole; the peers have no such thread.
    pub(crate) fn health_cpu_time(&self) -> CpuTime {
        usage::cpu_time_of_threads(&self.family, "ringway-health")
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
pub(crate) fn wait_for_answer(
    process: &mut Started,
    address: SocketAddr,
    site: Option<&Site>,
) -> Result<(), String> {
    let end = now() + START_BOUND;
    loop {
        interrupt::sleep(interrupt::LOOK_INTERVAL)?;
        process.check_alive()?;
        match client::get(address, site, "/") {
            Ok(_) => return Ok(()),
            Err(error) if now() >= end => {
                return Err(process.failure(&format!("no answer after {START_BOUND:?}: {error}")));
            }
            Err(_) => {}
        }
    }
}
