//! What can be known before the start about how a configuration will fare on this host.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::config::AccessLog;
use crate::config::Backend;
use crate::config::BackendAddress;
use crate::config::Config;
use crate::config::GroupProtocol;
use crate::config::Listener;
use crate::config::ListenerProtocol;
use crate::config::Location;
use crate::config::LogDestination;
use crate::config::Report;
use crate::config::SourceAddress;
use crate::config::Workers;
use crate::control::credentials::Credentials;
use crate::control::credentials::expiry;
use crate::control::metrics::series_estimate;
use crate::control::process::rlimits;
use crate::control::process::users;
use crate::net::address::is_interface;
use crate::net::address::is_of_this_host;
use crate::net::clock::wall_now;

/// With fewer descriptors for connections, a handful of clients is enough to use them up.
const FEW_DESCRIPTORS: usize = 256;

/// Whose permissions a check finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checker {
    /// A user other than root, so that others may be able to do more.
    Anybody,
    /// The user that Ringway will run as.
    ItsUser,
}

/// Warns of what works, but not as it should: keys that every user can read, certificates that end soon, loops,
/// few descriptors. At the start, at each reload, and for `ringway check`.
pub fn inspect(config: &Config, credentials: &Credentials, report: &mut Report) {
    warn_of_open_keys(config, report);
    let now = i64::try_from(wall_now().as_secs()).unwrap_or(i64::MAX);
    for (location, message, fix) in expiry::soon_of(config, credentials, now) {
        report.warning(location, message, fix);
    }
    warn_of_loops(config, report);
    warn_of_foreign_sources(config, report);
    warn_of_many_series(config, report);
    warn_of_few_descriptors(config, report);
}

/// Looks whether the files that the start will make can be made: the admin socket and the access logs. The start
/// itself finds out by making them.
pub fn look_at_folders(config: &Config, checker: Checker, report: &mut Report) {
    if let Some(socket) = &config.admin.socket {
        let is_socket = fs::symlink_metadata(&socket.path).map(|found| found.file_type().is_socket());
        if is_socket.is_ok_and(|is_socket| !is_socket) {
            let message = format!("what is at {} is no socket", socket.path.display());
            report.error(socket.location, message, "remove it or change admin.socket");
        }
        look_at_folder("admin socket", &socket.path, (socket.location, checker), report);
    }
    config.access_logs.iter().for_each(|log| look_at_log(log, checker, report));
    look_at_state_folder(config, report);
    look_for_same_file(&config.access_logs, report);
}

/// Only what needs it fails without it. The default may be made by the service manager; another one, the start makes.
fn look_at_state_folder(config: &Config, report: &mut Report) {
    let folder = &config.process.state_folder;
    if folder.location == Location::default() {
        return;
    }
    let (user, path) = (users::user_name(), folder.path.display());
    let Some(there) = folder.path.ancestors().find(|folder| folder.exists()) else { return };
    if !there.is_dir() {
        let message = format!("the state folder {path} cannot be made: {} is no folder", there.display());
        report.warning(folder.location, message, "remove it, or change state_folder");
    } else if rlimits::may_write(there) {
    } else if there == folder.path {
        let message = format!("the user {user} may not write to the state folder {path}");
        report.warning(folder.location, message, format!("chown {user} {path}"));
    } else {
        let message = format!(
            "the state folder {path} is not there, and the user {user} may not make it in {}",
            there.display()
        );
        report.warning(folder.location, message, format!("make it: install -d -m 0700 -o {user} {path}"));
    }
}

/// Two paths can lead to one file.
fn look_for_same_file(logs: &[AccessLog], report: &mut Report) {
    let found = logs.iter().filter_map(|log| match &log.destination {
        LogDestination::File(path) => Some((log, fs::metadata(path).ok().filter(fs::Metadata::is_file)?)),
        _ => None,
    });
    let found: Vec<_> = found.map(|(log, file)| (log, (file.dev(), file.ino()))).collect();
    for (index, (log, file)) in found.iter().enumerate() {
        if let Some((first, _)) = found.iter().take(index).find(|(_, other)| other == file) {
            let message = format!("the access logs {} and {} are the same file", first.name, log.name);
            report.error(log.location, message, "give each log a `path` of its own");
        }
    }
}

fn look_at_log(log: &AccessLog, checker: Checker, report: &mut Report) {
    let path = match &log.destination {
        LogDestination::File(path) => path,
        LogDestination::SyslogUnix(path) | LogDestination::Journald(path) => {
            return look_at_receiver(log, path, report);
        }
        LogDestination::Stdout | LogDestination::Stderr | LogDestination::SyslogUdp(_) => return,
    };
    if !path.exists() {
        look_at_folder("access log", path, (log.location, checker), report);
    } else if path.is_dir() {
        let message = format!("the access log {} is a folder", path.display());
        report.error(log.location, message, "name a file in it, such as access.log");
    } else if !rlimits::may_write(path) {
        refuse(&format!("write to the access log {}", path.display()), (log.location, checker), report);
    }
}

/// Who receives lines may come later.
fn look_at_receiver(log: &AccessLog, path: &Path, report: &mut Report) {
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => {
            let message = format!("what is at {} is no socket", path.display());
            report.error(log.location, message, "write the path of a file without syslog:unix: or journald:");
        }
        Err(error) => {
            let message = format!("no socket is at {}: {error}", path.display());
            report.warning(log.location, message, "lines are lost until what receives them is started");
        }
    }
}

/// A folder that is not there may be made by the service manager at the start, so it is no error; that of the
/// access log is warned of where the configuration is read.
fn look_at_folder(of: &str, path: &Path, (location, checker): (Location, Checker), report: &mut Report) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        if of == "admin socket" {
            let message = format!("the folder of the admin socket, {}, is not there", folder.display());
            report.warning(
                location,
                message,
                "make it, or let systemd do so at the start (RuntimeDirectory=)",
            );
        }
    } else if !rlimits::may_write(folder) {
        let what = format!("make the {of} in the folder {}", folder.display());
        refuse(&what, (location, checker), report);
    }
}

fn refuse(what: &str, (location, checker): (Location, Checker), report: &mut Report) {
    let user = users::user_name();
    let message = format!("the user {user} may not {what}");
    match checker {
        Checker::ItsUser => report.error(location, message, format!("chown or chmod it for {user}")),
        Checker::Anybody => report.warning(
            location,
            message,
            "check as the user that ringway runs as: sudo ringway check --user NAME",
        ),
    }
}

fn warn_of_open_keys(config: &Config, report: &mut Report) {
    for certificate in &config.certificates {
        let name = certificate.key.path.display();
        let mode = fs::metadata(&certificate.key.path).map_or(0, |found| found.permissions().mode());
        if mode & 0o004 != 0 {
            let message =
                format!("{name} can be read by every user of this host, who could pretend to be it");
            report.warning(certificate.key.location, message, format!("chmod 640 {name}"));
        }
    }
}

/// Requests that come back to where they came from go round until a limit ends them.
fn warn_of_loops(config: &Config, report: &mut Report) {
    let groups = config.server_groups.iter().enumerate().filter(|(_, group)| group.enabled);
    let backends = groups.flat_map(|group| group.1.backends.iter().map(move |backend| (group, backend)));
    for ((index, group), backend) in backends.filter(|(_, backend)| backend.enabled) {
        if backend.address.is_at_any_port() {
            warn_of_loop_at_any_port(config, (index, backend), report);
            continue;
        }
        let leads_to = |listening: &SocketAddr| match &backend.address {
            BackendAddress::Ip(address) => leads_to(*address, *listening),
            BackendAddress::Name { host, port } => {
                let is_local = host.eq_ignore_ascii_case("localhost");
                is_local
                    && *port == listening.port()
                    && (listening.ip().is_loopback() || listening.ip().is_unspecified())
            }
            BackendAddress::Unix(_) => false,
        };
        let listener = config
            .listeners
            .iter()
            .filter(|listener| listener.enabled && is_udp(listener) == (group.protocol == GroupProtocol::Udp))
            .find(|listener| listener.addresses.iter().any(|one| leads_to(&one.address)));
        if let Some(listener) = listener {
            warn_of_loop(listener, backend, report);
        }
    }
}

fn warn_of_loop(listener: &Listener, backend: &Backend, report: &mut Report) {
    let message = format!("this backend is the listener \"{}\" of this Ringway", listener.name);
    let help = "requests may go round in a loop: name the address of another server";
    report.warning(backend.location, message, help);
}

/// What comes to a listener goes on to the same port, so it comes back where the address is one of the listener's own.
fn warn_of_loop_at_any_port(config: &Config, (group, backend): (usize, &Backend), report: &mut Report) {
    let BackendAddress::Ip(address) = &backend.address else { return };
    let has_rule = |listener: usize| {
        let mut rules = config.rules.iter().filter(|rule| rule.enabled && rule.listeners.contains(&listener));
        rules.any(|rule| rule.actions.groups().any(|target| target == group))
    };
    let leads_here = |listener: &Listener| {
        // All ports of one address stand together.
        let mut last = None;
        listener.addresses.iter().any(|one| {
            let ip = one.address.ip();
            last.replace(ip) != Some(ip)
                && leads_to(SocketAddr::new(address.ip(), one.address.port()), one.address)
        })
    };
    let mut listeners = config.listeners.iter().enumerate().filter(|(_, listener)| listener.enabled);
    let found = listeners.find(|(index, listener)| {
        (listener.default_group == Some(group) || has_rule(*index)) && leads_here(listener)
    });
    found.into_iter().for_each(|(_, listener)| warn_of_loop(listener, backend, report));
}

/// The same port of TCP is another one.
fn is_udp(listener: &Listener) -> bool {
    matches!(listener.protocol, ListenerProtocol::Datagram(_))
}

/// An address may come with a fail-over, and an interface be made later; until then, nothing reaches the backends.
fn warn_of_foreign_sources(config: &Config, report: &mut Report) {
    for group in config.server_groups.iter().filter(|group| group.enabled) {
        let (message, help) = match &group.source_address {
            Some(SourceAddress::Ip(ip)) if !is_of_this_host(*ip) => (
                format!("the source_address {ip} of \"{}\" is no address of this host", group.name),
                "see the addresses that there are: ip address",
            ),
            Some(SourceAddress::Interface(name)) if !is_interface(name) => (
                format!(
                    "the source_address {name} of \"{}\" is no network interface of this host",
                    group.name
                ),
                "see the interfaces that there are: ip link",
            ),
            _ => continue,
        };
        report.warning(group.location, message, help);
    }
}

/// Whether who connects to `address` reaches who listens at `listening`.
fn leads_to(address: SocketAddr, listening: SocketAddr) -> bool {
    let is_same_family = address.is_ipv4() == listening.is_ipv4() || listening.is_ipv6();
    address.port() == listening.port()
        && address.port() != 0
        && (address.ip() == listening.ip()
            || listening.ip().is_unspecified() && is_same_family && is_of_this_host(address.ip()))
}

/// A Prometheus that scrapes more has trouble itself: each series is kept in its memory.
const MANY_SERIES: usize = 100_000;

fn warn_of_many_series(config: &Config, report: &mut Report) {
    let Some((_, location)) = config.admin.address else { return };
    let series = series_estimate::most_series(config);
    if series > MANY_SERIES {
        let message = format!("/metrics may come to some {} thousand series", series / 1000);
        let help = match config.metrics.histograms {
            true => "write histograms = false in [metrics], which leaves the durations by rule and group out",
            false => {
                "use fewer rules and backends, or drop series where they are scraped (metric_relabel_configs)"
            }
        };
        report.warning(location, message, help);
    }
}

fn warn_of_few_descriptors(config: &Config, report: &mut Report) {
    let Ok(descriptors) = rlimits::raise_descriptor_limit() else { return };
    let workers = match config.process.workers {
        Workers::Auto => std::thread::available_parallelism().map_or(1, usize::from),
        Workers::Count(count) => count.into(),
    };
    let listening = config.bound_sockets() * workers;
    let left = descriptors.saturating_sub(rlimits::OWN_DESCRIPTORS);
    let left = rlimits::connections_beside(usize::try_from(left).unwrap_or(usize::MAX), listening);
    if left < FEW_DESCRIPTORS {
        let beside = if listening >= FEW_DESCRIPTORS {
            format!(" beside {listening} listening sockets")
        } else {
            String::new()
        };
        let message =
            format!("the descriptor limit of {descriptors} leaves {left} for all connections{beside}");
        report.warning(Location::default(), message, "raise it (systemd: LimitNOFILE=, shell: ulimit -Hn)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::config::Source;

    #[test]
    fn a_backend_leads_to_a_listener_of_ours() {
        let cases = [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.2:80", "127.0.0.1:80", false),
            ("127.0.0.2:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("192.0.2.1:80", "0.0.0.0:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ];
        for (address, listening, expected) in cases {
            let found = leads_to(address.parse().unwrap(), listening.parse().unwrap());
            assert_eq!(found, expected, "{address} {listening}");
        }
    }

    #[test]
    fn more_series_than_prometheus_likes_are_warned_of() {
        let warned = |rules: usize, metrics: &str| {
            let mut text = format!(
                "config_version = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[metrics]\n{metrics}\n\
                 [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:80\"\n"
            );
            for number in 1..=rules {
                text += &format!(
                    "[[rule]]\nname = \"r{number}\"\nlistener = \"web\"\npriority = {number}\n\
                     host = \"h{number}.example\"\nrespond = {{ code = 404 }}\n"
                );
            }
            let config = config::load(vec![Source::made_up("<test>", text)]).config.unwrap();
            let mut report = Report::default();
            warn_of_many_series(&config, &mut report);
            report.to_text(false)
        };
        assert_eq!(warned(1_000, ""), "");
        assert!(warned(2_000, "").contains("may come to some 142 thousand series"), "{}", warned(2_000, ""));
        assert!(warned(2_000, "").contains("write histograms = false in [metrics]"));
        assert_eq!(warned(2_000, "histograms = false"), "");
        assert_eq!(warned(2_000, "enabled = false"), "");
    }
}
