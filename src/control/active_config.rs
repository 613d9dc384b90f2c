//! The configuration in service, and how another one takes its place.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::OnceLock;

use crate::config::AccessLog;
use crate::config::CheckProtocol;
use crate::config::Config;
use crate::config::Report;
use crate::control::build;
use crate::control::build::Host;
use crate::control::build::Parts;
use crate::control::build::access_logs::OpenLogs;
use crate::control::build::binding::BindError;
use crate::control::build::binding::Binding;
use crate::control::build::binding::InheritedSockets;
use crate::control::build::nonzero;
use crate::control::build::registry::KnownGroup;
use crate::control::build::registry::Registry;
use crate::control::build::sockets::MAX_ON_THE_WAY;
use crate::control::build::sockets::SocketOrder;
use crate::control::build::sockets::Sockets;
use crate::control::credentials::Credentials;
use crate::control::credentials::admin_access::AdminAccess;
use crate::control::credentials::inventory::Inventory;
use crate::control::credentials::tls::Security;
use crate::control::discovery;
use crate::control::discovery::Addresses;
use crate::control::discovery::Resolutions;
use crate::control::discovery::dns;
use crate::control::handover::state::CarriedProcessCounts;
use crate::control::handover::state::CarriedState;
use crate::control::handover::state::CountsOwner;
use crate::control::handover::succession::Succession;
use crate::control::health;
use crate::control::health::watch::Watch;
use crate::control::process::rlimits;
use crate::control::process::systemd::Systemd;
use crate::control::reload_stats::ReloadStats;
use crate::control::tracing;
use crate::control::tracing::exporter::SpanExporter;
use crate::control::written_config::WrittenConfig;
use crate::net::clock::monotonic_ms;
use crate::net::mailbox::Mailbox;
use crate::snapshot::Snapshot;
use crate::snapshot::handed_session::HandedSessions;
use crate::snapshot::health_path::Readiness;
use crate::snapshot::quota::Quota;
use crate::snapshot::rcu_cell::RcuCell;
use crate::telemetry::backend_counters::BackendCounters;
use crate::telemetry::log_counters::LogCounters;
use crate::telemetry::operator::log_line;
use crate::telemetry::span_queue::SpanQueues;
use crate::telemetry::worker_counters::WorkerCounters;
use crate::tls::connect::Alpn;
use crate::tls::connect::Trust;
use crate::tls::connect::UpstreamTls;

/// How the slow side reaches workers and the health checker.
#[derive(Clone)]
pub struct Channels {
    pub publication: Arc<RcuCell<Snapshot>>,
    pub backend_counters: Arc<BackendCounters>,
    pub worker_counters: Arc<WorkerCounters>,
    pub readiness: Arc<Readiness>,
    pub systemd: Systemd,
    pub succession: Arc<Succession>,
    /// Lines of the access logs, in the order in which workers have these.
    pub log_counters: Arc<[Arc<LogCounters>]>,
    /// Finished spans of requests.
    pub spans: Arc<SpanQueues>,
    /// Downstream connections, of all listeners and workers.
    pub quota: Arc<Quota>,
    /// Bytes of requests that wait for a backend to be chosen.
    pub request_memory: Arc<Quota>,
    /// By worker. A ring without a message says that there is a new snapshot.
    pub workers: Vec<Mailbox<SocketOrder>>,
    pub health: Mailbox<health::HealthCommand>,
    /// From workers to the health checker: slots of backends that fail again and again.
    pub failure_reports: Mailbox<u32>,
    pub reloads: Arc<ReloadStats>,
    /// Certificates and CAs; the thread that reads them again keeps it current.
    pub inventory: Arc<RcuCell<Inventory>>,
    /// Who may ask at the admin address; kept current as `inventory` is.
    pub admin_access: Arc<RcuCell<AdminAccess>>,
    /// The texts that the configuration in service was made of; empty until the process serves.
    pub written: Arc<RcuCell<WrittenConfig>>,
    /// Set once all workers serve.
    pub drivers: Arc<OnceLock<Drivers>>,
}

/// I/O drivers, and how many workers have each.
pub type Drivers = Vec<(String, usize)>;

/// Alarms that wait for the health checker. One that does not fit comes again with the next failure.
const MAX_FAILURE_REPORTS: usize = 1_024;

/// What helps when the system grants no thread.
pub const THREAD_CURE: &str =
    "raise the limit of threads (TasksMax=, ulimit -u) or of memory (MemoryMax=, ulimit -v)";

/// Commands that wait for the health checker: each takes the place of the one before.
const MAX_HEALTH_COMMANDS: usize = 1;

/// What is in service.
pub struct ActiveConfig {
    pub config: Config,
    pub security: Security,
    pub registry: Registry,
    host: Host,
    sockets: Sockets,
    channels: Channels,
    logs: OpenLogs,
    span_exporter: SpanExporter,
    addresses: Addresses,
    /// Snapshots that were replaced and that workers may still serve from. The last hold on one is here, so
    /// that it is not a worker that takes the time to free thousands of groups.
    replaced: Vec<Arc<Snapshot>>,
}

/// What another process, or the service manager, has left to this one.
#[derive(Default)]
pub struct Heritage {
    pub sockets: Vec<InheritedSockets>,
    pub state: CarriedState,
    /// Nothing is accepted before [`ActiveConfig::accept`].
    pub holds: bool,
}

/// Why a configuration cannot go into service; the report has the rest.
#[derive(Debug)]
pub enum Refusal {
    /// The report says why.
    Invalid,
    /// The process lacks a privilege; the report says which.
    Forbidden,
    Bind(BindError),
    System(io::Error),
    /// There is no thread for it.
    Thread(io::Error),
    /// The process cannot become the user that it is to be.
    User(io::Error),
    /// The process before does not hand over.
    HandOver(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Invalid => out.write_str("the configuration is invalid"),
            Refusal::Forbidden => out.write_str("a privilege is missing"),
            Refusal::Bind(error) => error.fmt(out),
            Refusal::HandOver(reason) => write!(out, "cannot take over: {reason}"),
            Refusal::System(error) => write!(out, "the system refused what is needed: {error}"),
            Refusal::Thread(error) => write!(out, "cannot start a thread: {error}; {THREAD_CURE}"),
            Refusal::User(error) => write!(
                out,
                "cannot become the user of process.user: {error}; a container has to leave CAP_SETUID, CAP_SETGID and \
                 CAP_SETPCAP to root, or start the program as that user"
            ),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::System(error)
    }
}

impl ActiveConfig {
    /// Makes the first snapshot. No worker serves from it yet.
    pub fn start(
        config: Config,
        credentials: Credentials,
        resolutions: &Resolutions,
        host: Host,
        report: &mut Report,
    ) -> Result<ActiveConfig, Refusal> {
        let nothing = Heritage::default();
        ActiveConfig::inherit(config, credentials, resolutions, (host, nothing), report)
    }

    /// The same where another process goes on as this one.
    pub fn inherit(
        config: Config,
        credentials: Credentials,
        resolutions: &Resolutions,
        (host, Heritage { sockets, state, holds }): (Host, Heritage),
        report: &mut Report,
    ) -> Result<ActiveConfig, Refusal> {
        let mailboxes = (0..host.workers).map(|_| Mailbox::new(MAX_ON_THE_WAY));
        let counted = |log: &AccessLog| Arc::new(LogCounters::new(log.name.clone(), host.workers));
        let log_counters = config.access_logs.iter().map(counted);
        let backend_counters = Arc::new(BackendCounters::new(host.workers));
        let readiness = Arc::new(Readiness::default());
        let nothing = Snapshot {
            maintenance: Vec::new(),
            disabled_listeners: Vec::new(),
            epoch: 0,
            listeners: Vec::new(),
            groups: Vec::new(),
            sockets: Vec::new(),
            leaving: Vec::new(),
            cutting_off: Vec::new(),
            tells_durations: true,
            workers: host.workers,
        };
        let channels = Channels {
            publication: Arc::new(RcuCell::new(Arc::new(nothing))),
            backend_counters: Arc::clone(&backend_counters),
            worker_counters: Arc::new(WorkerCounters::new(host.workers)),
            readiness: Arc::clone(&readiness),
            systemd: Systemd::start().map_err(Refusal::Thread)?,
            succession: Arc::default(),
            log_counters: log_counters.collect(),
            spans: Arc::new(SpanQueues::new(host.workers)),
            quota: Arc::new(Quota::new(0)),
            request_memory: Arc::new(Quota::new(0)),
            workers: mailboxes.collect::<io::Result<_>>()?,
            health: Mailbox::new(MAX_HEALTH_COMMANDS)?,
            failure_reports: Mailbox::new(MAX_FAILURE_REPORTS)?,
            reloads: Arc::default(),
            inventory: Arc::new(RcuCell::new(Arc::default())),
            admin_access: Arc::new(RcuCell::new(Arc::default())),
            written: Arc::new(RcuCell::new(Arc::default())),
            drivers: Arc::default(),
        };
        let mut active = ActiveConfig {
            config: Config { listeners: Vec::new(), server_groups: Vec::new(), ..config.clone() },
            security: Security::inheriting(credentials, &state.secrets),
            registry: Registry::new(backend_counters, readiness),
            host,
            sockets: Sockets::inheriting(sockets, holds),
            span_exporter: SpanExporter::new(Arc::clone(&channels.spans)),
            channels,
            logs: OpenLogs::of(&config),
            addresses: state.addresses.iter().cloned().map(|(host, port, all)| ((host, port), all)).collect(),
            replaced: Vec::new(),
        };
        active.registry.inherit(&state);
        active.install(config, resolutions, report)?;
        active.registry.inherit_into_groups(&state);
        active.add_counts(&state.counts);
        Ok(active)
    }

    /// What a successor of the process takes over beside sockets.
    pub fn carried(&self) -> CarriedState {
        let mut state = CarriedState { counts: self.carried_counts(), ..CarriedState::default() };
        self.registry.carry(&mut state, monotonic_ms() * 1_000_000);
        state.secrets = self.security.carried();
        let addresses = self.addresses.iter().filter(|(_, found)| !found.is_empty());
        state.addresses =
            addresses.map(|((host, port), found)| (host.clone(), *port, found.clone())).collect();
        state
    }

    /// What was counted since the process, or the one before it, has started.
    pub fn carried_counts(&self) -> CarriedProcessCounts {
        let mut counts = CarriedProcessCounts::default();
        self.registry.carry_counts(&mut counts);
        for log in self.channels.log_counters.iter() {
            let named = [("written", log.written()), ("failed", log.failed()), ("dropped", log.dropped())];
            counts.add(CountsOwner::Log(log.name.clone()), nonzero(named));
        }
        let reloads = &self.channels.reloads;
        let named = [("succeeded", reloads.succeeded()), ("refused", reloads.refused())];
        counts.add(CountsOwner::Reloads, nonzero(named));
        counts
    }

    /// Adds what a process before this one has counted of what is in service.
    pub fn add_counts(&self, counts: &CarriedProcessCounts) {
        self.registry.add_counts(counts);
        for (owner, counts) in &counts.by_owner {
            let count = |name: &str| counts.get(name).copied().unwrap_or(0);
            match owner {
                CountsOwner::Log(name) => {
                    if let Some(log) = self.channels.log_counters.iter().find(|log| log.name == *name) {
                        log.add_before(count("written"), count("failed"), count("dropped"));
                    }
                }
                CountsOwner::Reloads => {
                    self.channels.reloads.add_before(count("succeeded"), count("refused"));
                }
                _ => {}
            }
        }
    }

    /// Whether workers accept at all that is configured.
    pub fn is_accepting(&self) -> bool {
        self.channels.drivers.get().is_some() && !self.sockets.is_holding()
    }

    /// Lets workers accept, where they were to wait until the process before lets go.
    pub fn accept(&mut self, sessions: Vec<HandedSessions>) {
        self.sockets.release(sessions, &self.channels.workers);
    }

    /// Another descriptor of each listening socket, in the order of the bindings.
    ///
    /// # Errors
    /// A worker does not answer in time.
    pub fn lent_sockets(&self) -> io::Result<Vec<(&Binding, Vec<OwnedFd>)>> {
        self.sockets.lent(&self.channels.workers)
    }

    /// Whether what kept a listener from binding is still there.
    pub fn is_taken(&self, refused: &BindError) -> bool {
        self.sockets.is_taken(refused)
    }

    /// Where it listens, in the order of the configuration.
    pub fn bindings(&self) -> &[Binding] {
        self.sockets.bindings()
    }

    /// Frees replaced snapshots that no worker serves from any more; to be called now and then.
    pub fn free_replaced(&mut self) {
        self.replaced.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Counts from 1, and grows with every configuration that goes into service.
    pub fn epoch(&self) -> u64 {
        self.channels.publication.load().1.epoch
    }

    /// Puts another configuration into service; when it is refused, everything stays as it was.
    pub fn replace(
        &mut self,
        config: Config,
        credentials: Credentials,
        resolutions: &Resolutions,
        report: &mut Report,
    ) -> Result<(), Refusal> {
        let before = self.security.replace(credentials);
        let outcome = self.install(config, resolutions, report);
        if outcome.is_err() {
            self.security.replace(before);
        }
        outcome
    }

    /// Goes on with other addresses for the names of backends; returns each host that has others, with a
    /// sentence.
    pub fn update_addresses(&mut self, resolutions: &Resolutions) -> Result<Vec<(String, String)>, Refusal> {
        let mut changes = BTreeMap::new();
        for (name, before) in &self.addresses {
            if let Some(Ok(now)) = resolutions.get(name)
                && now != before
            {
                changes.insert(name.0.clone(), dns::sentence(&name.0, now));
            }
        }
        let sentences: Vec<(String, String)> = changes.into_iter().collect();
        if !sentences.is_empty() {
            self.install(self.config.clone(), resolutions, &mut Report::new(Vec::new()))?;
        }
        Ok(sentences)
    }

    /// Makes the snapshot again, after what its credentials hold has changed.
    pub(super) fn build_anew(&mut self) {
        // The last addresses of names stay in use.
        let outcome = self.install(self.config.clone(), &Resolutions::new(), &mut Report::new(Vec::new()));
        if let Err(refusal) = outcome {
            log_line(&format!("error: what was in service still is: {refusal}"));
        }
    }

    pub(super) fn install(
        &mut self,
        config: Config,
        resolutions: &Resolutions,
        report: &mut Report,
    ) -> Result<(), Refusal> {
        let addresses = self.addresses(&config, resolutions, report).ok_or(Refusal::Invalid)?;
        let terms = build::terms(&config, &mut self.security, report).ok_or(Refusal::Invalid)?;
        let prepared = self.sockets.prepare(&config, self.host.workers).map_err(Refusal::Bind)?;
        let now_ms = monotonic_ms();
        let parts = Parts {
            config: &config,
            host: &self.host,
            security: &self.security,
            addresses: &addresses,
            bindings: &prepared.bindings,
            logs: &self.logs,
            now_ms,
        };
        let listening = prepared.bindings.len() * self.host.workers;
        let epoch = self.epoch() + 1;
        let snapshot =
            build::build(&parts, terms, &mut self.registry, epoch, report).ok_or(Refusal::Invalid)?;
        self.free_replaced();
        self.replaced.push(self.channels.publication.load().1);
        self.channels.publication.publish(Arc::new(snapshot));
        let request_memory = usize::try_from(config.process.request_buffer_memory).unwrap_or(usize::MAX);
        self.channels.request_memory.set_limit(request_memory);
        self.channels.quota.set_limit(match config.process.max_connections {
            0 => rlimits::connections_beside(self.host.connections, listening),
            limit => limit as usize,
        });
        self.sockets.install(prepared, &self.channels.workers);
        self.channels.workers.iter().for_each(Mailbox::ring);
        self.send_spans_as(&config);
        self.config = config;
        self.addresses = addresses;
        self.channels.health.send_latest(health::HealthCommand::Watch(self.watches()));
        Ok(())
    }

    /// Has the spans of requests sent where a configuration wants them.
    fn send_spans_as(&mut self, config: &Config) {
        let target = tracing::target(config, &self.security.credentials, &self.host.name);
        if let Err(error) = self.span_exporter.retarget(target) {
            log_line(&format!(
                "warning: no spans are sent: cannot start their thread: {error}; {THREAD_CURE}"
            ));
        }
    }

    /// The addresses of all names; `None` after reporting names that have none and had none before. At the start
    /// they have none yet.
    fn addresses(
        &self,
        config: &Config,
        resolutions: &Resolutions,
        report: &mut Report,
    ) -> Option<Addresses> {
        let is_start = self.epoch() == 0;
        let nobody = Vec::new();
        let mut addresses = Addresses::new();
        for (host, port, location) in discovery::names(config) {
            let name = (host, port);
            let found = match resolutions.get(&name) {
                Some(Ok(found)) if !found.is_empty() => found,
                other => {
                    let reason = match other {
                        Some(Err(reason)) => reason.as_str(),
                        _ => "it has no address",
                    };
                    let last = match self.addresses.get(&name) {
                        Some(last) => last,
                        // DNS may come up after us, and other groups need not wait for it.
                        None if is_start => &nobody,
                        None => {
                            let message = format!("cannot resolve host name \"{}\": {reason}", name.0);
                            report.error(location, message, "correct the host name, or give its address");
                            continue;
                        }
                    };
                    let (message, help) = match last.is_empty() {
                        true => (
                            format!("cannot resolve host name \"{}\": {reason}", name.0),
                            "its group serves without it until it resolves",
                        ),
                        false => (
                            format!("cannot resolve host name \"{}\" now: {reason}", name.0),
                            "its last addresses stay in use until it resolves again",
                        ),
                    };
                    report.warning(location, message, help);
                    last
                }
            };
            addresses.insert(name, found.clone());
        }
        (!report.has_errors()).then_some(addresses)
    }

    fn watches(&self) -> Vec<Watch> {
        let groups = self.registry.groups.iter();
        let watches = groups.map(|known| Watch {
            group: Arc::clone(&known.group),
            check: known.wanted.health_check.clone(),
            ejection_time: known.wanted.passive_check.ejection_time,
            tls: unverified(known),
        });
        watches.collect()
    }
}

/// For probes by HTTPS of a group that speaks in cleartext. Who answers is not known then, only that
/// somebody does.
fn unverified(known: &KnownGroup) -> Option<UpstreamTls> {
    let check = known.wanted.health_check.as_ref()?;
    let is_needed = check.protocol == CheckProtocol::Https && known.group.tls.is_none();
    is_needed.then(|| UpstreamTls::new(Trust::Anybody, None, None, Alpn::Http1).ok()).flatten()
}
