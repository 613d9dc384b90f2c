//! Whose privileges the process has: what `process.user` asks for, and what follows from it for the files that the
//! configuration names.

use std::fs;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::path::PathBuf;

use crate::config::Config;
use crate::config::Location;
use crate::config::LogDestination;
use crate::config::NamedFile;
use crate::config::Report;
use crate::control::credentials;
use crate::control::process::lock;
use crate::control::process::rlimits;
use crate::control::process::users;
use crate::control::process::users::Privileges;
use crate::control::process::users::User;
use crate::net::source::may_come_from_clients;
use crate::telemetry::operator::log_line;

/// Nobody else looks into what is kept there.
const STATE_FOLDER_MODE: u32 = 0o700;

/// Who the process is to become. None: it stays who it is, because nothing else is wanted, or because it is not root's.
pub fn wanted(config: &Config, report: &mut Report) -> Option<User> {
    let (name, location) = config.process.user.as_ref()?;
    let Some(mut user) = User::of_name(name) else {
        let help = format!("make it: useradd --system --no-create-home --shell /usr/sbin/nologin {name}");
        report.error(*location, format!("this host has no user {name}"), help);
        return None;
    };
    if let Some((group, location)) = &config.process.group {
        let Some(member) = user.with_group(group) else {
            report.error(
                *location,
                format!("this host has no group {group}"),
                format!("make it: groupadd --system {group}"),
            );
            return None;
        };
        user = member;
    }
    let user = match needs_client_addresses(config) {
        true => user.keeping(Privileges::LowPortsAndForeignAddresses),
        false => user,
    };
    (users::is_root() && !user.is_own()).then_some(user)
}

/// Whether anything that is relayed comes from the addresses of clients.
fn needs_client_addresses(config: &Config) -> bool {
    config.server_groups.iter().any(|group| group.enabled && group.keeps_client_address.is_some())
}

/// What lets systemd grant what `source = "client"` needs.
pub const CLIENT_ADDRESSES_CURE: &str = "systemctl edit ringway, with AmbientCapabilities=CAP_NET_RAW and \
     CapabilityBoundingSet=CAP_NET_RAW in [Service], and restart";

/// Refuses groups whose backends are to see addresses of clients where this process may not send from them. To be called by a
/// thread that may what workers may.
pub fn look_for_client_addresses(config: &Config, report: &mut Report) {
    if !needs_client_addresses(config) || may_come_from_clients() {
        return;
    }
    let help = match &config.process.user {
        Some((user, _)) if !users::is_root() => format!(
            "restart: started as root, it keeps CAP_NET_RAW as {user} where a group needs it at the start; or {CLIENT_ADDRESSES_CURE}"
        ),
        _ => format!("{CLIENT_ADDRESSES_CURE}; in a container: --cap-add NET_RAW"),
    };
    for group in config.server_groups.iter().filter(|group| group.enabled) {
        let Some(location) = group.keeps_client_address else { continue };
        let message = format!(
            "source = \"client\" of \"{}\" needs CAP_NET_RAW, which this process does not have",
            group.name
        );
        report.error(location, message, &help);
    }
}

/// Warns that only root could become the user that is wanted.
pub fn warn_if_ignored(config: &Config, report: &mut Report) {
    let Some((name, location)) = &config.process.user else { return };
    if !users::is_root() && User::of_name(name).is_some_and(|user| !user.is_own()) {
        let own = users::user_name();
        let message = format!("the process stays {own}'s: only one that root starts can become {name}'s");
        report.warning(*location, message, format!("start it as root or as {name}, or remove `user`"));
    }
}

/// Warns of files that root can read and the user cannot: they are good for the start only.
///
/// # Errors
/// The system does not let a thread become the user.
pub fn warn_of_unreadable(user: &User, config: &Config, report: &mut Report) -> io::Result<()> {
    let configuration = report.files();
    let named = credentials::named_files(config).into_iter().map(|file| (file.path.as_path(), file.location));
    let files = configuration.iter().map(|path| (path.as_path(), Location::default())).chain(named);
    let unreadable: Vec<_> = user.act(|| files.filter(|(path, _)| !rlimits::may_read(path)).collect())?;
    let name = user.name();
    for (path, location) in unreadable {
        let path = path.display();
        let message = format!("{name} may not read {path}: no reload, and no renewal, can read it again");
        report.warning(
            location,
            message,
            format!(
                "setfacl -m u:{name}:r {path} (and :x on its folders; package acl), or chgrp {name} {path} && chmod g+r \
                 {path}, or use LoadCredential= of systemd"
            ),
        );
    }
    Ok(())
}

/// The process becomes the user, for good. What it reads from now on, it reads as this user.
///
/// # Errors
/// The system does not let it.
pub fn drop_to(user: &User, config: &Config, report: &mut Report) -> io::Result<()> {
    warn_of_unreadable(user, config, report)?;
    user.become_for_good()?;
    log_line(&format!("started as root, running as {}", user.name()));
    Ok(())
}

/// Lets the calling thread, and those that it starts, write where the configuration says and nowhere else, and start nothing.
/// What the kernel refuses is told; the process goes on without.
pub fn lock(config: &Config, report: &mut Report) {
    if !config.process.landlock {
        return;
    }
    let logs = config.access_logs.iter().filter_map(|log| match &log.destination {
        LogDestination::File(path) => Some(path.as_path()),
        _ => None,
    });
    let files: Vec<PathBuf> = report.files();
    let of_admin = config.admin.socket.iter().chain(&config.admin.audit);
    let named = logs.chain(of_admin.map(|file| file.path.as_path()));
    let files = named.chain(files.iter().map(PathBuf::as_path)).flat_map(lock::folders_of);
    let writable = files.chain([config.process.state_folder.path.clone()]);
    let of_elb = config.admin.elb_api.iter().map(|api| api.state.path.clone());
    let writable: Vec<PathBuf> = writable.chain(of_elb).collect();
    if let Err(error) = lock::lock(&writable) {
        let message = format!("this process cannot take its own rights away (landlock): {error}");
        report.warning(Location::default(), message, "write landlock = false in [process], if that is to be");
    }
}

/// Makes the state folders that the configuration names and that are missing, and the folders above them, for the user that
/// will write there. What cannot be made is told, and missed by those only who need it.
pub fn make_state_folders(config: &Config, user: Option<&User>, report: &mut Report) {
    let of_elb = config.admin.elb_api.iter().map(|api| &api.state);
    for folder in [&config.process.state_folder].into_iter().chain(of_elb) {
        make_state_folder(folder, user, report);
    }
}

fn make_state_folder(NamedFile { path, location }: &NamedFile, user: Option<&User>, report: &mut Report) {
    if *location == Location::default() || path.exists() {
        return;
    }
    if let Err(error) = make_folders(path, user) {
        let message = format!("cannot make the state folder {}: {error}", path.display());
        let owner = user.map_or_else(users::user_name, User::name);
        report.warning(
            *location,
            message,
            format!("make it: install -d -m 0700 -o {owner} {}", path.display()),
        );
    }
}

/// With those above it that are missing.
fn make_folders(path: &Path, user: Option<&User>) -> io::Result<()> {
    let mut missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    missing.retain(|folder| !folder.as_os_str().is_empty());
    missing.iter().rev().try_for_each(|folder| make_folder(folder, user))
}

fn make_folder(path: &Path, user: Option<&User>) -> io::Result<()> {
    DirBuilder::new().mode(STATE_FOLDER_MODE).create(path)?;
    let given = user.map_or(Ok(()), |user| user.give(path));
    // An empty folder of root's would be in the way of the next start.
    given.inspect_err(|_| drop(fs::remove_dir(path)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config;
    use crate::config::Source;

    fn of_process(lines: &str) -> (Config, Report) {
        let text = format!(
            "config_version = 1\n[process]\n{lines}\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\n"
        );
        let loaded = config::load(vec![Source::made_up("<test>", text)]);
        (loaded.config.unwrap(), Report::default())
    }

    #[test]
    fn users_and_groups_that_are_not_there_are_errors() {
        for (lines, expected) in [
            ("user = \"no-such-user\"", "this host has no user no-such-user"),
            ("user = \"nobody\"\ngroup = \"no-such-group\"", "this host has no group no-such-group"),
        ] {
            let (config, mut report) = of_process(lines);
            assert_eq!(wanted(&config, &mut report), None);
            assert!(report.to_text(false).contains(expected), "{}", report.to_text(false));
        }
        let (config, mut report) = of_process("");
        assert_eq!((wanted(&config, &mut report), report.has_errors()), (None, false));
    }

    #[test]
    fn the_state_folder_is_private_and_made_only_where_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (config, mut report) = of_process(&format!("state_folder = \"{}/\"", path.display()));
        make_state_folders(&config, None, &mut report);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
        // What is there stays as it is.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        make_state_folders(&config, None, &mut report);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o750);
        assert_eq!(report.to_text(false), "");

        let (config, mut report) = of_process(&format!("state_folder = \"{}/a/b\"", folder.path().display()));
        make_state_folders(&config, None, &mut report);
        for made in ["a", "a/b"] {
            assert_eq!(fs::metadata(folder.path().join(made)).unwrap().permissions().mode() & 0o7777, 0o700);
        }

        fs::write(folder.path().join("file"), "").unwrap();
        let (config, mut report) =
            of_process(&format!("state_folder = \"{}/file/b\"", folder.path().display()));
        make_state_folders(&config, None, &mut report);
        assert!(report.to_text(false).contains("cannot make the state folder"), "{}", report.to_text(false));
        assert!(!report.has_errors());
    }
}
