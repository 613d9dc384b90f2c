//! Settings that belong to what is made at the start, so that no reload changes them.

use std::net::SocketAddr;
use std::path::Path;

use crate::config::AccessLog;
use crate::config::Config;
use crate::config::Location;
use crate::control::build::access_logs;

/// The settings that differ and belong to threads and rings, which are made at the start.
pub(super) fn unchangeable(serving: &Config, wanted: &Config) -> Vec<&'static str> {
    let (old, new) = (&serving.process, &wanted.process);
    let of_process = [
        ("process.workers", old.workers != new.workers),
        ("process.pin", old.pin != new.pin),
        ("process.balance_connections", old.balance_connections != new.balance_connections),
        ("process.health_cpu", old.health_cpu != new.health_cpu),
        ("process.ring_entries", old.ring_entries != new.ring_entries),
        ("process.io_driver", old.io_driver != new.io_driver),
        ("process.shutdown_delay", old.shutdown_delay != new.shutdown_delay),
        ("process.shutdown_timeout", old.shutdown_timeout != new.shutdown_timeout),
        ("process.resolvers", old.resolvers != new.resolvers),
        ("process.state_folder", old.state_folder.path != new.state_folder.path),
        ("process.user", name(&old.user) != name(&new.user)),
        ("process.group", name(&old.group) != name(&new.group)),
        ("process.landlock", old.landlock != new.landlock),
        (
            "process.ticket_seed_file",
            old.ticket_seed_file.as_ref().map(|file| &file.path)
                != new.ticket_seed_file.as_ref().map(|file| &file.path),
        ),
        ("admin.address", http_address(serving) != http_address(wanted)),
        ("admin.hosts", serving.admin.hosts != wanted.admin.hosts),
        ("admin.socket", socket(serving) != socket(wanted)),
    ];
    let changes = of_process.into_iter().chain(changes_of_logs(&serving.access_logs, &wanted.access_logs));
    changes.filter(|(_, is_changed)| *is_changed).map(|(key, _)| key).collect()
}

/// What of the access logs has changed beside their listeners.
fn changes_of_logs(serving: &[AccessLog], wanted: &[AccessLog]) -> [(&'static str, bool); 12] {
    let names: Vec<&str> = serving.iter().map(|log| log.name.as_str()).collect();
    let pairs: Vec<_> = serving
        .iter()
        .enumerate()
        .filter_map(|(place, log)| Some((log, access_logs::successor(&names, place, wanted)?)))
        .collect();
    let differ =
        |is_other: fn(&AccessLog, &AccessLog) -> bool| pairs.iter().any(|(old, new)| is_other(old, new));
    let is_whole = pairs.len() == serving.len() && pairs.len() == wanted.len();
    [
        ("access_log", !is_whole),
        ("access_log.path", differ(|old, new| old.destination != new.destination)),
        ("access_log.facility", differ(|old, new| old.syslog.facility != new.syslog.facility)),
        ("access_log.severity", differ(|old, new| old.syslog.severity != new.syslog.severity)),
        ("access_log.app_name", differ(|old, new| old.syslog.app_name != new.syslog.app_name)),
        ("access_log.syslog_format", differ(|old, new| old.syslog.form != new.syslog.form)),
        (
            "access_log.max_message_bytes",
            differ(|old, new| old.syslog.max_message_bytes != new.syslog.max_message_bytes),
        ),
        ("access_log.format", differ(|old, new| old.format != new.format)),
        ("access_log.fields", differ(|old, new| old.fields != new.fields)),
        ("access_log.headers", differ(|old, new| old.headers != new.headers)),
        ("access_log.log", differ(|old, new| old.statuses != new.statuses)),
        ("access_log.sample", differ(|old, new| old.sample != new.sample)),
    ]
}

fn name(user: &Option<(String, Location)>) -> Option<&str> {
    user.as_ref().map(|(name, _)| name.as_str())
}

fn http_address(config: &Config) -> Option<SocketAddr> {
    config.admin.address.map(|(address, _)| address)
}

fn socket(config: &Config) -> Option<&Path> {
    config.admin.socket.as_ref().map(|file| file.path.as_path())
}
