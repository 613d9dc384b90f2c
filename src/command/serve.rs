//! What `run`, `demo` and `proxy` share: from a loaded configuration to a serving process.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::command::Exit;
use crate::command::diagnostics;
use crate::config::AccessLogFormat;
use crate::config::Config;
use crate::config::IoDriver;
use crate::config::Listener;
use crate::config::Loaded;
use crate::config::LogDestination;
use crate::config::Workers;
use crate::control::build;
use crate::control::build::Host;
use crate::control::certificates::KeptReadFile;
use crate::control::certificates::read_file;
use crate::control::credentials;
use crate::control::limits;
use crate::control::reload;
use crate::control::tls::Security;
use crate::runtime;
use crate::runtime::ListenerPlan;
use crate::runtime::Plan;
use crate::runtime::RuntimeError;
use crate::runtime::Serving;
use crate::runtime::Wanted;
use crate::snapshot::Snapshot;
use crate::telemetry::access_log::Format;
use crate::telemetry::log_writer::Sink;
use crate::telemetry::operator::tell;

/// How the verbs that serve differ.
pub(super) struct Manner {
    /// What to say once the listeners accept, after the start-up lines. It gets their addresses.
    pub(super) greet: Option<fn(&[SocketAddr]) -> String>,
    /// What to do when a listener cannot bind.
    pub(super) bind_help: Option<String>,
    /// How certificates are read.
    pub(super) read_file: KeptReadFile,
}

impl Default for Manner {
    fn default() -> Manner {
        Manner { greet: None, bind_help: None, read_file: Box::new(read_file) }
    }
}

/// Serves until a signal ends it.
pub(super) fn serve(mut loaded: Loaded, manner: Manner) -> Exit {
    let built = loaded.config.as_ref().and_then(|config| {
        let credentials = credentials::load(config, &manner.read_file, &mut loaded.report);
        let mut security = Security::new(credentials);
        let host = host(config);
        let limits = limits_line(config, host.connections);
        let snapshot = Arc::new(build::build(config, &mut security, &host, &mut loaded.report)?);
        Some((config.clone(), security, snapshot, limits))
    });
    diagnostics::print(&loaded.report);
    let Some((config, security, snapshot, limits)) = built else { return Exit::ConfigurationInvalid };
    let plan = plan(&config, Arc::clone(&snapshot));
    let is_secure: HashMap<String, bool> =
        config.listeners.iter().map(|listener| (listener.name.clone(), listener.tls.is_some())).collect();
    let plan = match reload::start(config, security, snapshot, manner.read_file) {
        Ok(reload) => Plan { reload, ..plan },
        Err(error) => {
            tell(&format!("error: cannot start a thread: {error}"));
            return Exit::CannotStart;
        }
    };
    let announce = |serving: &Serving| {
        let Serving { workers, driver, listeners } = serving;
        let version = env!("CARGO_PKG_VERSION");
        let mut text = format!("ringway {version}: {workers} workers on {driver}\n");
        text.push_str(&limits);
        for (name, address) in listeners {
            let scheme = if is_secure.get(name) == Some(&true) { "https" } else { "http" };
            text.push_str(&format!("listening on {scheme}://{address} (listener \"{name}\")\n"));
        }
        let addresses: Vec<_> = listeners.iter().map(|(_, address)| *address).collect();
        if let Some(greet) = manner.greet {
            text.push_str(&greet(&addresses));
        }
        tell(&text);
    };
    end(runtime::run(plan, announce), manner.bind_help)
}

/// How serving ended, as an exit code.
fn end(outcome: Result<(), RuntimeError>, bind_help: Option<String>) -> Exit {
    let Err(error) = outcome else { return Exit::Success };
    tell(&format!("error: {error}"));
    if let (RuntimeError::Bind { .. }, Some(help)) = (&error, bind_help) {
        tell(&format!("help: {help}"));
    }
    match error {
        RuntimeError::WorkerDied { .. } => Exit::Failure,
        _ => Exit::CannotStart,
    }
}

/// How many clients there may be, and whether the operating system goes along with it.
fn limits_line(config: &Config, allowed: usize) -> String {
    match config.process.max_connections as usize {
        0 => format!("at most {allowed} client connections, as the descriptor limit allows\n"),
        wanted if wanted <= allowed => format!("at most {wanted} client connections\n"),
        wanted => format!(
            "at most {wanted} client connections\nwarning: the descriptor limit allows {allowed}; raise it \
             (LimitNOFILE=) or lower process.max_connections\n"
        ),
    }
}

fn host(config: &Config) -> Host {
    // Without the answer, assume the traditional limit.
    const TRADITIONAL_LIMIT: u64 = 1024;
    let descriptors = limits::raise_descriptor_limit().unwrap_or(TRADITIONAL_LIMIT);
    Host {
        name: limits::host_name(),
        connections: limits::connections_within(descriptors),
        workers: match config.process.workers {
            Workers::Auto => runtime::usable_cpus().len().max(1),
            Workers::Count(count) => usize::from(count),
        },
    }
}

fn plan(config: &Config, snapshot: Arc<Snapshot>) -> Plan {
    let listener_plan = |listener: &Listener| ListenerPlan {
        name: listener.name.clone(),
        addresses: listener.addresses.iter().map(|entry| (entry.address, entry.dual_stack)).collect(),
    };
    Plan {
        snapshot,
        reload: Box::new(|| {}),
        listeners: config.listeners.iter().map(listener_plan).collect(),
        access_log: access_log(config),
        pin: config.process.pin,
        ring_entries: config.process.ring_entries,
        io_driver: match config.process.io_driver {
            IoDriver::Auto => Wanted::Auto,
            IoDriver::IoUring => Wanted::IoUring,
            IoDriver::Epoll => Wanted::Epoll,
        },
        shutdown_timeout: config.process.shutdown_timeout,
    }
}

fn access_log(config: &Config) -> Option<(Sink, Format)> {
    let log = config.access_log.as_ref()?;
    let sink = match &log.destination {
        LogDestination::Stdout => Sink::Stdout,
        LogDestination::Stderr => Sink::Stderr,
        LogDestination::File(path) => Sink::File(path.clone()),
    };
    let format = match log.format {
        AccessLogFormat::Json => Format::Json,
        AccessLogFormat::Combined => Format::Combined,
    };
    Some((sink, format))
}
