//! What a configuration wants that the unit does not let it have.

use std::path::Path;

use crate::config::Config;
use crate::config::LogDestination;
use crate::config::Report;
use crate::control::doctor::finding::Finding;
use crate::control::doctor::unit::Unit;
use crate::control::privileges::CLIENT_ADDRESSES_CURE;
use crate::control::process::rlimits;

/// Ports below need a privilege.
const FIRST_FREE_PORT: u16 = 1_024;

/// What systemd waits for before it kills, unless the unit says something else.
const USUAL_STOP_SECONDS: u64 = 90;

/// What the unit keeps from this configuration. `report` knows where addresses stand.
pub fn judge(unit: &Unit, config: &Config, report: &Report) -> Vec<Finding> {
    let single = [
        low_ports(unit, config, report),
        client_addresses(unit, config, report),
        stop(unit, config),
        descriptors(unit, config),
        reload(unit, config),
        kind(unit),
    ];
    single.into_iter().flatten().chain(folders(unit, config)).collect()
}

fn low_ports(unit: &Unit, config: &Config, report: &Report) -> Option<Finding> {
    let mut addresses = config.bound_addresses().map(|(_, address)| address);
    let low = addresses.find(|one| (1..FIRST_FREE_PORT).contains(&one.address.port()))?;
    let user = unit.value("User").filter(|user| *user != "root" && *user != "0")?;
    if unit.words("AmbientCapabilities").contains(&"CAP_NET_BIND_SERVICE") {
        return None;
    }
    let message = format!(
        "the unit runs as {user} without CAP_NET_BIND_SERVICE, and a listener is at {} ({})",
        low.address,
        report.place(low.location)
    );
    let finding = Finding::error("unit", message, drop_in("AmbientCapabilities=CAP_NET_BIND_SERVICE"));
    Some(finding.at(&unit.place("User")))
}

fn client_addresses(unit: &Unit, config: &Config, report: &Report) -> Option<Finding> {
    let group =
        config.server_groups.iter().find(|group| group.enabled && group.keeps_client_address.is_some())?;
    let user = unit.value("User").filter(|user| *user != "root" && *user != "0");
    let (key, words) = match user {
        Some(_) => ("AmbientCapabilities", unit.words("AmbientCapabilities")),
        None => ("CapabilityBoundingSet", unit.words("CapabilityBoundingSet")),
    };
    let is_granted = words.iter().any(|word| matches!(*word, "CAP_NET_RAW" | "CAP_NET_ADMIN"));
    if is_granted || user.is_none() && words.is_empty() {
        return None;
    }
    let message = format!(
        "the unit runs as {} without CAP_NET_RAW, and source = \"client\" of \"{}\" ({}) needs it",
        user.unwrap_or("root"),
        group.name,
        report.place(group.location)
    );
    let finding = Finding::error("unit", message, CLIENT_ADDRESSES_CURE);
    Some(finding.at(&unit.place(key)))
}

fn stop(unit: &Unit, config: &Config) -> Option<Finding> {
    let wanted = config.process.shutdown_delay + config.process.shutdown_timeout;
    let allowed = match unit.value("TimeoutStopSec") {
        None => USUAL_STOP_SECONDS,
        Some(_) => unit.seconds("TimeoutStopSec")?,
    };
    // 0 is for ever.
    if allowed == 0 || wanted.as_secs() < allowed {
        return None;
    }
    let message = format!(
        "a stop may take {} s (shutdown_delay and shutdown_timeout), and systemd kills after {allowed} s",
        wanted.as_secs()
    );
    let cure = drop_in(&format!("TimeoutStopSec={}s", wanted.as_secs() + 10));
    Some(Finding::warning("unit", message, cure).at(&unit.place("TimeoutStopSec")))
}

fn descriptors(unit: &Unit, config: &Config) -> Option<Finding> {
    let value = unit.value("LimitNOFILE").unwrap_or("524288");
    let limit: u64 = value.rsplit(':').next()?.parse().ok()?;
    let wanted = u64::from(config.process.max_connections);
    let clients = rlimits::connections_within(limit) as u64;
    (wanted > clients).then(|| {
        let message =
            format!("max_connections is {wanted}, and LimitNOFILE= of the unit allows {clients} clients");
        Finding::warning("unit", message, drop_in("LimitNOFILE=1048576")).at(&unit.place("LimitNOFILE"))
    })
}

fn reload(unit: &Unit, config: &Config) -> Option<Finding> {
    let command = unit.value("ExecReload").filter(|command| command.contains("ringway reload"))?;
    let warning = |message: String| {
        let cure = "write socket = \"/run/ringway/admin.sock\" in [admin]";
        Finding::warning("unit", message, cure).at(&unit.place("ExecReload"))
    };
    let Some(socket) = &config.admin.socket else {
        let message = "systemctl reload asks at the admin socket, which the configuration does not have";
        return Some(warning(message.to_owned()));
    };
    let mut words = command.split_whitespace().skip_while(|word| *word != "--socket").skip(1);
    let asked = words.next().map_or(Path::new("/run/ringway/admin.sock"), Path::new);
    (asked != socket.path).then(|| {
        warning(format!(
            "systemctl reload asks at {}, and admin.socket is {}",
            asked.display(),
            socket.path.display()
        ))
    })
}

fn kind(unit: &Unit) -> Option<Finding> {
    let kind = unit.value("Type").unwrap_or("simple");
    (!kind.starts_with("notify")).then(|| {
        let message = format!("Type={kind}: systemd takes it for started before it accepts connections");
        Finding::warning("unit", message, drop_in("Type=notify")).at(&unit.place("Type"))
    })
}

/// Files that are written outside of what the unit leaves writable.
fn folders(unit: &Unit, config: &Config) -> Vec<Finding> {
    let Some(writable) = unit.writable() else { return Vec::new() };
    let place = unit.place("ProtectSystem");
    let logs = config.access_logs.iter().filter_map(|log| match &log.destination {
        LogDestination::File(path) => Some(("the access log", path.as_path())),
        _ => None,
    });
    let socket = config.admin.socket.iter().map(|socket| ("the admin socket", socket.path.as_path()));
    let is_shut = |path: &Path| !writable.iter().any(|folder| path.starts_with(folder));
    let shut = logs.chain(socket).filter(|(_, path)| is_shut(path));
    let finding = |(what, path): (&str, &Path)| {
        let folder = path.parent().unwrap_or(path).display();
        let message = format!("ProtectSystem=strict of the unit keeps {what} from {folder}");
        let cure = format!(
            "{}, or write it below /var/log/ringway or /run/ringway",
            drop_in(&format!("ReadWritePaths={folder}"))
        );
        Finding::error("unit", message, cure).at(&place)
    };
    let state = &config.process.state_folder.path;
    // Only what needs it fails without it.
    let of_state = is_shut(state).then(|| {
        let message = format!(
            "ProtectSystem=strict of the unit keeps the state folder, {}, from being written",
            state.display()
        );
        let cure = drop_in(&format!("ReadWritePaths={}", state.display()));
        Finding::warning("unit", message, cure).at(&place)
    });
    shut.map(finding).chain(of_state).collect()
}

fn drop_in(line: &str) -> String {
    format!("systemctl edit ringway, with {line} in [Service]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::config::Source;

    fn found(unit: &str, text: &str) -> Vec<String> {
        let text =
            format!("config_version = 1\n{text}\n[[listener]]\nname = \"web\"\naddress = \"0.0.0.0:443\"\n");
        let loaded = config::load(vec![Source::made_up("<test>", text)]);
        let path = Path::new("ringway.service");
        let mut read = Unit::empty(path.to_owned());
        read.read(path, unit);
        let found = judge(&read, &loaded.config.unwrap(), &loaded.report);
        found.into_iter().map(|found| found.message).collect()
    }

    const GOOD: &str = "[admin]\nsocket = \"/run/ringway/admin.sock\"\n[access_log]\npath = \"/var/log/ringway/access.log\"\n";

    #[test]
    fn the_unit_that_comes_along_fits_what_it_is_for() {
        let unit = include_str!("../../../config/ringway.service");
        assert_eq!(found(unit, GOOD), Vec::<String>::new());
    }

    #[test]
    fn what_the_unit_keeps_from_the_configuration_is_found() {
        let unit = include_str!("../../../config/ringway.service");
        let elsewhere = "[admin]\nsocket = \"/srv/admin.sock\"\n[access_log]\npath = \"/srv/access.log\"\n";
        assert_eq!(
            found(unit, elsewhere),
            [
                "ringway.service:18: systemctl reload asks at /run/ringway/admin.sock, and admin.socket is /srv/admin.sock",
                "ringway.service:47: ProtectSystem=strict of the unit keeps the access log from /srv",
                "ringway.service:47: ProtectSystem=strict of the unit keeps the admin socket from /srv",
            ]
        );
        let slow = format!("[process]\nshutdown_timeout = \"50s\"\nmax_connections = 1000000\n{GOOD}");
        assert_eq!(
            found(unit, &slow),
            [
                "ringway.service:25: a stop may take 50 s (shutdown_delay and shutdown_timeout), and systemd kills after 40 s",
                "ringway.service:33: max_connections is 1000000, and LimitNOFILE= of the unit allows 786336 clients",
            ]
        );
        let transparent = format!(
            "[[server_group]]\nname = \"app\"\nprotocol = \"udp\"\nsource = \"client\"\n[[server_group.backend]]\naddress = \"10.0.0.1:53\"\n{GOOD}"
        );
        let lacks = "without CAP_NET_RAW, and source = \"client\" of \"app\" (<test>:3) needs it";
        let [only] = &found(unit, &transparent)[..] else { panic!("one finding") };
        assert_eq!(*only, format!("ringway.service:40: the unit runs as ringway {lacks}"));
        let drop_in = include_str!("../../../config/ringway.service.d/client_source.conf");
        assert_eq!(found(&format!("{unit}\n{drop_in}"), &transparent), Vec::<String>::new());
        let of_root = |set: &str| found(&format!("Type=notify\nCapabilityBoundingSet={set}"), &transparent);
        assert_eq!(of_root("CAP_CHOWN"), [format!("ringway.service:2: the unit runs as root {lacks}")]);
        assert_eq!(of_root("CAP_NET_ADMIN"), Vec::<String>::new());
        assert_eq!(found("Type=notify", &transparent), Vec::<String>::new());
        assert_eq!(
            found("User=ringway\nExecReload=/usr/bin/ringway reload", ""),
            [
                "ringway.service:1: the unit runs as ringway without CAP_NET_BIND_SERVICE, and a listener is at 0.0.0.0:443 (<test>:5)",
                "ringway.service:2: systemctl reload asks at the admin socket, which the configuration does not have",
                "ringway.service: Type=simple: systemd takes it for started before it accepts connections",
            ]
        );
    }
}
