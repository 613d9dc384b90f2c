//! What `run`, `demo` and `proxy` share: from a loaded configuration to a serving process.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::command::diagnostics;
use crate::command::exit::Exit;
use crate::command::take_over::TakeOver;
use crate::config::AccessLog;
use crate::config::AccessLogFormat;
use crate::config::Config;
use crate::config::HealthCpu;
use crate::config::IoDriver;
use crate::config::Loaded;
use crate::config::LogDestination;
use crate::config::LogHeaders;
use crate::config::Report;
use crate::config::SyslogForm;
use crate::config::SyslogTerms;
use crate::config::Workers;
use crate::control::active_config::ActiveConfig;
use crate::control::active_config::Channels;
use crate::control::active_config::Drivers;
use crate::control::active_config::Heritage;
use crate::control::active_config::Refusal;
use crate::control::admin::Admin;
use crate::control::admin::AdminError;
use crate::control::build::Host;
use crate::control::build::binding::InheritedSockets;
use crate::control::credentials;
use crate::control::credentials::certificates::KeptReadFile;
use crate::control::credentials::certificates::read_file;
use crate::control::credentials::file_reload;
use crate::control::credentials::file_reload::FileReload;
use crate::control::discovery::dns::WatchedNames;
use crate::control::handover::inheritance::Inheritance;
use crate::control::handover::start::SuccessorCommand;
use crate::control::installer;
use crate::control::origin::ConfigOrigin;
use crate::control::preflight;
use crate::control::privileges;
use crate::control::process::launcher::Launcher;
use crate::control::process::lock;
use crate::control::process::rlimits;
use crate::control::process::signals;
use crate::control::process::users::User;
use crate::control::reload;
use crate::control::reload::Command;
use crate::control::written_config::WrittenConfig;
use crate::net::address::TransportKind;
use crate::net::clock::instant_now;
use crate::net::clock::wall_now;
use crate::net::listen::START_PATIENCE;
use crate::net::listen::is_in_use;
use crate::net::listen::until_free;
use crate::runtime;
use crate::runtime::DriverChoice;
use crate::runtime::Serving;
use crate::runtime::error::RuntimeError;
use crate::runtime::plan::LogPlan;
use crate::runtime::plan::RuntimePlan;
use crate::telemetry::access_log::Format;
use crate::telemetry::chosen_headers::ChosenHeaders;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::log_datagrams::LogReceiver;
use crate::telemetry::log_fields::LogFields;
use crate::telemetry::log_filter::LogFilter;
use crate::telemetry::log_frame::FrameForm;
use crate::telemetry::log_frame::LogFrame;
use crate::telemetry::log_frame::SyslogNames;
use crate::telemetry::log_output::Sink;
use crate::telemetry::operator;
use crate::telemetry::operator::log_event;
use crate::telemetry::operator::log_line;
use crate::telemetry::words::counted;

/// How the verbs that serve differ.
pub(super) struct Manner {
    /// What to say once the listeners accept, after the start-up lines. It gets their addresses.
    pub(super) greet: Option<fn(&[SocketAddr]) -> String>,
    /// What to do when a listener cannot bind.
    pub(super) bind_help: Option<String>,
    /// How certificates are read.
    pub(super) read_file: KeptReadFile,
    /// Where the configuration can be read again. None: it is in no file.
    pub(super) origin: Option<ConfigOrigin>,
    /// Who hands everything over.
    pub(super) take_over: TakeOver,
    /// Listening sockets that the service manager has opened.
    pub(super) activated: Vec<InheritedSockets>,
    /// How a successor is started. None: there can be none.
    pub(super) successor: Option<SuccessorCommand>,
    /// Who starts that process, where this one may not.
    pub(super) launcher: Option<Launcher>,
}

impl Default for Manner {
    fn default() -> Manner {
        Manner {
            greet: None,
            bind_help: None,
            read_file: Box::new(read_file),
            origin: None,
            take_over: TakeOver::default(),
            activated: Vec::new(),
            successor: None,
            launcher: None,
        }
    }
}

/// Serves until a signal ends it. From here on only their own thread waits for the reader of messages.
pub(super) fn serve(mut loaded: Loaded, manner: Manner) -> Exit {
    let user = loaded.config.as_ref().and_then(|config| privileges::wanted(config, &mut loaded.report));
    if let Some(user) = &user
        && let Err(error) = user.gain_nothing_again()
    {
        log_line(&format!("error: cannot give up the privileges of root for good: {error}"));
        return Exit::CannotStart;
    }
    let mut manner = manner;
    let is_locked = loaded.config.as_ref().is_some_and(|config| config.process.landlock);
    if is_locked && lock::is_available() && manner.successor.is_some() {
        match Launcher::fork(user.as_ref()) {
            Ok(launcher) => manner.launcher = Some(launcher),
            Err(error) => {
                log_line(&format!("error: cannot start the process that starts a successor: {error}"));
                return Exit::CannotStart;
            }
        }
    }
    if let Err(error) = operator::start(wall_now) {
        log_line(&format!("error: cannot start the thread that writes messages: {error}"));
        return Exit::CannotStart;
    }
    let exit = serve_until_end(loaded, manner, user.as_ref());
    operator::finish();
    exit
}

fn serve_until_end(mut loaded: Loaded, mut manner: Manner, user: Option<&User>) -> Exit {
    let Some(config) = loaded.config.take() else {
        diagnostics::print(&loaded.report);
        manner.take_over.give_up(&loaded.report.to_text(false));
        return Exit::ConfigurationInvalid;
    };
    let named = config.listeners.iter().map(|listener| (listener.name.clone(), listener.protocol_name()));
    let protocols: HashMap<String, &str> = named.collect();
    let host = host(&config);
    let listening = config.bound_sockets() * host.workers;
    let limits = limits_line(&config, rlimits::connections_beside(host.connections, listening));
    let noticed = match signals::notice() {
        Ok(noticed) => noticed,
        Err(error) => {
            log_line(&format!("error: cannot listen to signals: {error}"));
            return Exit::CannotStart;
        }
    };
    let (mut plan, inherited_admin) = match start(config, host, &mut manner, user, &mut loaded.report) {
        Ok(started) => started,
        Err(refusal) => {
            diagnostics::print(&loaded.report);
            manner.take_over.give_up(&format!("{}{refusal}", loaded.report.to_text(false)));
            return refused(&refusal, manner.bind_help);
        }
    };
    plan.signals = Some(noticed);
    diagnostics::print(&loaded.report);
    let inherited = (manner.take_over.is_under_way(), inherited_admin);
    let asked_at = match admin(&loaded, &mut plan, inherited) {
        Ok(address) => address,
        Err(message) => {
            log_line(&message);
            manner.take_over.give_up(&message);
            return Exit::CannotStart;
        }
    };
    let admin_scheme = if loaded.admin.tls.is_some() { "https" } else { "http" };
    plan.channels.written.publish(Arc::new(WrittenConfig::new(loaded)));
    let announce = |serving: &Serving| {
        let Serving { workers, drivers, listeners } = serving;
        let version = env!("CARGO_PKG_VERSION");
        let line = format!("ringway {version}: {}", on_drivers(*workers, drivers));
        log_event(News::new(EventKind::Started, line));
        log_line(&limits);
        announce_listeners(listeners, &protocols);
        if let Some(address) = asked_at {
            log_line(&format!("metrics on {admin_scheme}://{address}/metrics"));
        }
        let addresses: Vec<_> = listeners.iter().map(|(_, _, address)| *address).collect();
        if let Some(greet) = manner.greet {
            // To be pasted as it stands.
            operator::log_as_is(&greet(&addresses));
        }
    };
    let outcome = runtime::run(plan, announce);
    if let Err(error) = &outcome {
        manner.take_over.give_up(&error.to_string());
    }
    end(outcome)
}

/// `protocols`: what is spoken at the listeners, by their names.
fn announce_listeners(listeners: &[(String, TransportKind, SocketAddr)], protocols: &HashMap<String, &str>) {
    let places = listeners.iter().map(|(name, kind, address)| (name.as_str(), *kind, *address));
    for bound in installer::by_listener(places) {
        bound.tell(protocols.get(bound.listener).copied().unwrap_or_default());
    }
}

/// How many workers there are, and what they run on.
fn on_drivers(workers: usize, drivers: &Drivers) -> String {
    match &drivers[..] {
        [(driver, _)] => format!("{} on {driver}", counted(workers, "worker")),
        several => {
            let each: Vec<_> = several.iter().map(|(driver, count)| format!("{count} on {driver}")).collect();
            format!("{workers} workers: {}", each.join(", "))
        }
    }
}

/// The listening socket for HTTP of the admin address of the process before.
type InheritedAdmin = Option<(SocketAddr, OwnedFd)>;

/// Everything up to the threads that serve.
fn start(
    config: Config,
    host: Host,
    manner: &mut Manner,
    user: Option<&User>,
    report: &mut Report,
) -> Result<(RuntimePlan, InheritedAdmin), Refusal> {
    let read_file = std::mem::replace(&mut manner.read_file, Box::new(read_file));
    let files = file_reload::files_of(&config);
    let credentials = credentials::load(&config, &read_file, report);
    preflight::inspect(&config, &credentials, report);
    privileges::warn_if_ignored(&config, report);
    if report.has_errors() {
        return Err(Refusal::Invalid);
    }
    privileges::look_for_client_addresses(&config, report);
    if report.has_errors() {
        return Err(Refusal::Forbidden);
    }
    privileges::make_state_folders(&config, user, report);
    privileges::lock(&config, report);
    let mut names = WatchedNames::new(&config.process.resolvers);
    let resolutions = names.resolve(&config, || ());
    let workers = host.workers;
    // Everything that takes long is done: what changes in the process before until this one serves is lost.
    let is_taken_over = manner.take_over.is_under_way();
    let Inheritance { mut sockets, admin_address, generations, state } =
        manner.take_over.inherit().map_err(Refusal::HandOver)?;
    if !is_taken_over {
        sockets = std::mem::take(&mut manner.activated);
    }
    let host = (host, Heritage { sockets, state, holds: is_taken_over });
    let active = ActiveConfig::inherit(config.clone(), credentials, &resolutions, host, report)?;
    let channels = active.channels().clone();
    if let Some(user) = user {
        privileges::drop_to(user, &config, report).map_err(Refusal::User)?;
    }
    if let Some(launcher) = manner.launcher.take() {
        drop(channels.succession.launcher.set(launcher));
    }
    if let Some(command) = manner.successor.take() {
        // This is the only place that sets it.
        drop(channels.succession.command.set(command));
    }
    let file_reload = FileReload::new(&active, read_file, files);
    let bindings = active.bindings().to_vec();
    let sources = (manner.origin.take(), generations);
    let commands = reload::start(active, file_reload, names, sources).map_err(Refusal::Thread)?;
    let settle = manner.take_over.settle((bindings, report.to_text(false)), commands.clone());
    Ok((RuntimePlan { settle, ..plan(&config, workers, channels, commands) }, admin_address))
}

/// Why serving did not begin, as an exit code.
fn refused(refusal: &Refusal, bind_help: Option<String>) -> Exit {
    match refusal {
        Refusal::Invalid => return Exit::ConfigurationInvalid,
        Refusal::Forbidden => return Exit::CannotStart,
        Refusal::HandOver(_) => {
            log_line(&format!("error: {refusal}"));
            return Exit::Refused;
        }
        Refusal::Bind(_) | Refusal::System(_) | Refusal::Thread(_) | Refusal::User(_) => {
            log_line(&format!("error: {refusal}"))
        }
    }
    if let (Refusal::Bind(_), Some(help)) = (refusal, bind_help) {
        log_line(&format!("help: {help}"));
    }
    Exit::CannotStart
}

/// How serving ended, as an exit code.
fn end(outcome: Result<(), RuntimeError>) -> Exit {
    let Err(error) = outcome else { return Exit::Success };
    log_line(&format!("error: {error}"));
    match error {
        RuntimeError::WorkerDied { .. } => Exit::Failure,
        RuntimeError::HandOver(_) => Exit::Refused,
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
    let descriptors = rlimits::raise_descriptor_limit().unwrap_or(TRADITIONAL_LIMIT);
    Host {
        name: rlimits::host_name(),
        connections: rlimits::connections_within(descriptors),
        workers: match config.process.workers {
            Workers::Auto => runtime::automatic_workers(),
            Workers::Count(count) => usize::from(count),
        },
    }
}

/// Binds what the running process is asked at. Returns the address for HTTP, or why something cannot be bound.
fn admin(
    loaded: &Loaded,
    plan: &mut RuntimePlan,
    (has_predecessor, inherited): (bool, InheritedAdmin),
) -> Result<Option<SocketAddr>, String> {
    let wanted = &loaded.admin;
    if wanted.socket.is_none() && wanted.address.is_none() {
        return Ok(None);
    }
    let mut admin = Admin::new(plan.channels.clone(), plan.commands.clone());
    let patience_end = instant_now() + START_PATIENCE;
    if let Some(socket) = &wanted.socket {
        let place = loaded.report.place(socket.location);
        let bound = match has_predecessor {
            true => admin.bind_socket_beside(&socket.path),
            false => until_free(patience_end, AdminError::is_taken, || admin.bind_socket(&socket.path)),
        };
        bound.map_err(|error| format!("error: {place}: {error}"))?;
    }
    let mut bound = None;
    if let Some((address, location)) = wanted.address {
        let place = loaded.report.place(location);
        let is_same = |(known, _): &(SocketAddr, OwnedFd)| {
            known.ip() == address.ip() && (known.port() == address.port() || address.port() == 0)
        };
        let listening = match inherited.filter(is_same) {
            Some(inherited) => admin.inherit_address(inherited, &wanted.hosts),
            None => until_free(patience_end, is_in_use, || admin.bind_address(address, &wanted.hosts)),
        };
        let address = listening.map_err(|error| {
            format!(
                "error: {place}: cannot listen at {address}: {error}; stop what listens there (see: ss -ltnp) or \
                 change admin.address"
            )
        })?;
        bound = Some(address);
    }
    plan.admin = Some(admin);
    Ok(bound)
}

fn plan(config: &Config, workers: usize, channels: Channels, commands: Sender<Command>) -> RuntimePlan {
    let instance = config.process.instance_id.clone().unwrap_or_else(rlimits::host_name);
    RuntimePlan {
        channels,
        signals: None,
        settle: None,
        commands,
        admin: None,
        workers,
        access_logs: config.access_logs.iter().map(|log| access_log(log, &instance)).collect(),
        pin: config.process.pin,
        balance_connections: config.process.balance_connections,
        ring_entries: config.process.ring_entries,
        io_driver: match config.process.io_driver {
            IoDriver::Auto => DriverChoice::Auto,
            IoDriver::IoUring => DriverChoice::IoUring,
            IoDriver::Epoll => DriverChoice::Epoll,
        },
        shutdown_delay: config.process.shutdown_delay,
        shutdown_timeout: config.process.shutdown_timeout,
        health_cpu: match config.process.health_cpu {
            HealthCpu::Auto => None,
            HealthCpu::Cpu(cpu) => Some(cpu.into()),
        },
    }
}

/// `instance` is what the process is called.
fn access_log(log: &AccessLog, instance: &str) -> LogPlan {
    let datagrams = |receiver| Sink::Datagrams { receiver, frame: log_frame(log, instance) };
    let sink = match &log.destination {
        LogDestination::Stdout => Sink::Stdout,
        LogDestination::Stderr => Sink::Stderr,
        LogDestination::File(path) => Sink::File(path.clone()),
        LogDestination::SyslogUnix(path) | LogDestination::Journald(path) => {
            datagrams(LogReceiver::Unix(path.clone()))
        }
        LogDestination::SyslogUdp(server) => datagrams(LogReceiver::Udp(server.clone())),
    };
    let format = match &log.format {
        AccessLogFormat::Json => {
            Format::Json(LogFields::named(log.fields.iter().copied()), chosen_headers(&log.headers))
        }
        AccessLogFormat::Combined => Format::Combined,
        AccessLogFormat::Template(template) => Format::Template(Arc::clone(template)),
    };
    let filter =
        LogFilter { statuses: log.statuses.as_slice().into(), sample_millionths: log.sample.millionths() };
    LogPlan { sink, format, filter }
}

fn chosen_headers(LogHeaders { request, cookies, response }: &LogHeaders) -> Option<Arc<ChosenHeaders>> {
    let lists = [request, cookies, response];
    let is_chosen = lists.iter().any(|names| !names.is_empty());
    let [request, cookies, response] = lists.map(|names| names.iter().map(String::as_str));
    is_chosen.then(|| Arc::new(ChosenHeaders::new(request, cookies, response)))
}

fn log_frame(log: &AccessLog, instance: &str) -> LogFrame {
    let SyslogTerms { facility, severity, app_name, form, max_message_bytes } = &log.syslog;
    // The name of a host can be anything.
    let host: String = instance.chars().filter(char::is_ascii_graphic).take(MAX_SYSLOG_HOST).collect();
    let host = if host.is_empty() { "-".to_owned() } else { host };
    let form = match (&log.destination, form) {
        (LogDestination::Journald(_), _) => {
            FrameForm::Journal { has_fields: log.format == AccessLogFormat::Json }
        }
        (_, SyslogForm::Rfc5424) => FrameForm::Rfc5424,
        (_, SyslogForm::Local) => FrameForm::Local,
    };
    LogFrame {
        names: SyslogNames { facility: *facility, severity: *severity, host, app_name: app_name.clone() },
        form,
        max_bytes: usize::try_from(*max_message_bytes).unwrap_or(usize::MAX),
    }
}

/// RFC 5424 §6.2.4.
const MAX_SYSLOG_HOST: usize = 255;

#[cfg(test)]
mod tests {
    use crate::config::log_fields;
    use crate::telemetry::log_fields::LogField;

    #[test]
    fn the_names_of_the_configuration_are_those_of_a_line() {
        let of_a_line: Vec<&str> = LogField::all().map(LogField::name).collect();
        assert_eq!(log_fields::ALL[..], of_a_line);
    }
}
