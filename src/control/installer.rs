//! How another configuration takes the place of the one in service, whoever wants it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::Config;
use crate::config::Loaded;
use crate::config::Severity;
use crate::control::active_config::ActiveConfig;
use crate::control::active_config::Refusal;
use crate::control::address_ranges::compact;
use crate::control::build::binding::BindError;
use crate::control::build::binding::Binding;
use crate::control::credentials;
use crate::control::credentials::Credentials;
use crate::control::credentials::file_reload;
use crate::control::credentials::file_reload::FileReload;
use crate::control::discovery::dns::WatchedNames;
use crate::control::files::Files;
use crate::control::preflight;
use crate::control::privileges;
use crate::control::reload_changes;
use crate::control::unchangeable::unchangeable;
use crate::control::written_config::WrittenConfig;
use crate::net::address::TransportKind;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::log_event;
use crate::telemetry::words::counted;

/// Hosts of which the operator is told when many have other addresses at once.
const MAX_SENTENCES: usize = 20;

/// What is in service, and what keeps it current.
pub(super) struct Installer {
    pub active: ActiveConfig,
    /// What threads and rings were made with, and no reload changes; without listeners and groups.
    started: Config,
    pub file_reload: FileReload,
    names: WatchedNames,
}

/// A configuration with everything that it names.
pub(super) struct NextConfig {
    pub loaded: Loaded,
    /// What takes effect at the next start.
    pub unchangeable: Vec<&'static str>,
    config: Config,
    credentials: Credentials,
    files: Files,
}

/// Why a configuration did not go into service.
pub(super) enum Setback {
    /// Another process has an address, which may pass.
    Taken(BindError),
    /// Its report says why.
    Invalid(Box<Loaded>),
    Refused(Refusal),
    /// Not all of it takes effect now, as these lines say.
    Later(String),
}

/// Lines for the operator.
impl fmt::Display for Setback {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setback::Taken(refused) => write!(out, "error: {refused}"),
            Setback::Invalid(loaded) => out.write_str(loaded.report.to_text(false).trim_end()),
            Setback::Refused(refusal) => write!(out, "error: {refusal}"),
            Setback::Later(lines) => out.write_str(lines),
        }
    }
}

impl NextConfig {
    /// Refuses it for a warning, too, and for what takes effect later.
    ///
    /// # Errors
    /// Something takes effect later.
    pub(super) fn be_strict(&mut self) -> Result<(), Setback> {
        self.loaded.report.be_strict();
        if self.unchangeable.is_empty() {
            return Ok(());
        }
        let lines = told_later("error", &self.unchangeable) + &self.loaded.report.to_text(false);
        Err(Setback::Later(lines.trim_end().to_owned()))
    }
}

impl Installer {
    pub(super) fn new(active: ActiveConfig, file_reload: FileReload, names: WatchedNames) -> Installer {
        let started = Config { listeners: Vec::new(), server_groups: Vec::new(), ..active.config.clone() };
        Installer { active, started, file_reload, names }
    }

    /// Reads what a configuration names; its report has what is wrong with it.
    ///
    /// # Errors
    /// There is no configuration, as its report says.
    pub(super) fn examine(&self, mut loaded: Loaded) -> Result<NextConfig, Box<Loaded>> {
        let Some(config) = loaded.config.take() else { return Err(Box::new(loaded)) };
        let files = file_reload::files_of(&config);
        let credentials = credentials::load(&config, self.file_reload.read_file(), &mut loaded.report);
        preflight::inspect(&config, &credentials, &mut loaded.report);
        privileges::look_for_client_addresses(&config, &mut loaded.report);
        let unchangeable = unchangeable(&self.started, &config);
        Ok(NextConfig { loaded, unchangeable, config, credentials, files })
    }

    /// Puts a configuration into service, and tells what that changed; returns lines of what it is warned of. When it is
    /// refused, everything stays as it was.
    pub(super) fn install(&mut self, candidate: NextConfig) -> Result<String, Setback> {
        if candidate.loaded.report.has_errors() {
            return Err(Setback::Invalid(Box::new(candidate.loaded)));
        }
        let Installer { file_reload, active, names, .. } = &mut *self;
        let resolutions = names.resolve(&candidate.config, || file_reload.look(active));
        let bound = self.active.bindings().to_vec();
        let backends = reload_changes::backends(&self.active.config);
        let NextConfig { mut loaded, unchangeable, config, credentials, files } = candidate;
        let outcome = self.active.replace(config, credentials, &resolutions, &mut loaded.report);
        self.names.watch(&self.active.config);
        match outcome {
            Ok(()) => {}
            Err(Refusal::Invalid) => return Err(Setback::Invalid(Box::new(loaded))),
            Err(Refusal::Bind(refused)) if refused.is_taken() => return Err(Setback::Taken(refused)),
            Err(refusal) => return Err(Setback::Refused(refusal)),
        }
        self.file_reload.follow(&self.active, files);
        let mut warnings = told_later("warning", &unchangeable);
        if loaded.report.count(Severity::Warning) > 0 {
            warnings.push_str(&loaded.report.to_text(false));
        }
        self.active.channels().written.publish(Arc::new(WrittenConfig::new(loaded)));
        self.log_listeners(&bound);
        reload_changes::note(&backends, &reload_changes::backends(&self.active.config));
        Ok(warnings.trim_end().to_owned())
    }

    /// What is in service now, in a few words.
    pub(super) fn summary(&self) -> String {
        let ActiveConfig { config, .. } = &self.active;
        let backends: usize = config.server_groups.iter().map(|group| group.backends.len()).sum();
        format!(
            "config generation {}, {}, {}, {}",
            self.active.epoch(),
            counted(config.listeners.len(), "listener"),
            counted(config.server_groups.len(), "group"),
            counted(backends, "backend"),
        )
    }

    /// Tells which addresses were not listened at `before`, and which are no more.
    fn log_listeners(&self, before: &[Binding]) {
        let now = self.active.bindings();
        let is_among = |all: &[Binding], one: &Binding| all.iter().any(|other| other.number == one.number);
        let closed = before.iter().filter(|binding| !is_among(now, binding));
        for BoundAddresses { listener, kind, addresses } in by_listener(closed.map(Binding::place)) {
            let over = if kind == TransportKind::Quic { " over QUIC" } else { "" };
            for address in addresses {
                let line = format!("closed {address}{over} (listener \"{listener}\")");
                log_event(News::new(EventKind::ListenerClosed, line).of("listener", listener));
            }
        }
        let listeners = &self.active.config.listeners;
        let opened = now.iter().filter(|binding| !is_among(before, binding));
        for bound in by_listener(opened.map(Binding::place)) {
            let of_name = listeners.iter().find(|listener| listener.name == bound.listener);
            bound.tell(of_name.map_or("", |listener| listener.protocol_name()));
        }
    }

    /// Goes on with the present addresses of names.
    pub(super) fn follow_names(&mut self) {
        let Some(resolutions) = self.names.changed() else { return };
        match self.active.update_addresses(&resolutions) {
            Ok(sentences) => {
                let news = |line: &str| News::new(EventKind::NamesChanged, line);
                for (host, sentence) in sentences.iter().take(MAX_SENTENCES) {
                    log_event(news(sentence).of("host", host));
                }
                if let Some(more @ 1..) = sentences.len().checked_sub(MAX_SENTENCES) {
                    log_event(news(&format!("names: {more} more hosts have other addresses")));
                }
            }
            Err(refusal) => {
                let line = format!("error: the addresses of names stay as they were: {refusal}");
                log_event(News::new(EventKind::NamesFailing, line));
            }
        }
    }
}

/// A line for each key that takes effect later.
pub(super) fn told_later(severity: &str, keys: &[&str]) -> String {
    let line = |key: &&str| {
        format!("{severity}: {key} has changed, which takes effect at the next start or upgrade\n")
    };
    keys.iter().map(line).collect()
}

/// The addresses of a listener at which the same is spoken, as they are told.
pub struct BoundAddresses<'b> {
    pub listener: &'b str,
    kind: TransportKind,
    addresses: Vec<String>,
}

/// The addresses of each listener; those of one stand together.
pub fn by_listener<'b>(
    bound: impl Iterator<Item = (&'b str, TransportKind, SocketAddr)>,
) -> Vec<BoundAddresses<'b>> {
    let mut listeners: Vec<((&str, TransportKind), Vec<SocketAddr>)> = Vec::new();
    for (listener, kind, address) in bound {
        let whose = (listener, kind);
        // Of a listener that has both, those of TCP and of QUIC come by turns.
        match listeners.iter_mut().rev().take(2).find(|(known, _)| *known == whose) {
            Some((_, addresses)) => addresses.push(address),
            None => listeners.push((whose, vec![address])),
        }
    }
    let told =
        |((listener, kind), addresses)| BoundAddresses { listener, kind, addresses: compact(addresses) };
    listeners.into_iter().map(told).collect()
}

impl BoundAddresses<'_> {
    /// Tells the operator, and scripts, where a listener with this protocol accepts: at an address, or at many ports of one.
    pub fn tell(&self, protocol: &str) {
        let protocol = if self.kind == TransportKind::Quic { "quic" } else { protocol };
        for address in &self.addresses {
            let line = format!("listening on {protocol}://{address} (listener \"{}\")", self.listener);
            log_event(News::new(EventKind::ListenerOpened, line).of("listener", self.listener));
        }
    }
}
