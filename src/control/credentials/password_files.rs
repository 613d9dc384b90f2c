//! The files that `basic_auth` names: read at the start, and again when they change.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::config::NamedFile;
use crate::config::Report;
use crate::control::credentials::authorities::Complaint;
use crate::control::files;
use crate::policy::basic_auth::htpasswd::Htpasswd;

/// A hundred thousand users.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Lines of one file that are told of; a file of another kind has a fault in each.
const MAX_TOLD: usize = 100;

/// What came of one file.
pub struct LoadedPasswordFile {
    path: PathBuf,
    /// None when one of the complaints is an error.
    pub users: Option<Arc<Htpasswd>>,
    pub complaints: Vec<Complaint>,
}

/// The password files that rules name, each once, with the place where it is named first.
pub(super) fn named(config: &Config) -> Vec<&NamedFile> {
    let all = config.rules.iter().filter_map(|rule| Some(&rule.actions.gates.basic_auth.as_ref()?.file));
    let mut named: Vec<&NamedFile> = Vec::new();
    for file in all {
        if !named.iter().any(|known| known.path == file.path) {
            named.push(file);
        }
    }
    named
}

/// All of them, in the order of [`named`]; tells the report what is wrong.
pub(super) fn load(config: &Config, report: &mut Report) -> Vec<LoadedPasswordFile> {
    let loaded: Vec<_> = named(config).into_iter().map(load_one).collect();
    for complaint in loaded.iter().flat_map(|loaded| &loaded.complaints) {
        let Complaint { is_error, location, message, help } = complaint.clone();
        match is_error {
            true => report.error(location, message, help),
            false => report.warning(location, message, help),
        }
    }
    loaded
}

pub(super) fn load_one(file: &NamedFile) -> LoadedPasswordFile {
    let mut complaints = Vec::new();
    let name = file.path.display();
    let mut complain = |is_error, message, help: &str| {
        complaints.push(Complaint { is_error, location: file.location, message, help: help.to_owned() });
    };
    let users = match files::read_text(&file.path, MAX_FILE_BYTES) {
        Err(reason) => {
            complain(true, format!("cannot read {name}: {reason}"), "make it by `htpasswd -B -c FILE USER`");
            None
        }
        Ok(text) => match Htpasswd::parse(&text) {
            Ok(users) => Some(users),
            Err(faults) => {
                for fault in faults.iter().take(MAX_TOLD) {
                    complain(true, format!("line {} of {name}: {}", fault.line, fault.message), fault.help);
                }
                if let Some(more @ 1..) = faults.len().checked_sub(MAX_TOLD) {
                    let message = format!("{more} more lines of {name} have faults");
                    complain(true, message, "is it a password file at all?");
                }
                None
            }
        },
    };
    if users.as_ref().is_some_and(Htpasswd::is_empty) {
        complain(false, format!("{name} has no users: nobody passes"), "add one by `htpasswd -B FILE USER`");
    }
    let mode = fs::metadata(&file.path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o004 != 0 {
        let message = format!("{name} can be read by every user of this host, who could guess passwords");
        complain(false, message, "chmod o-r it");
    }
    LoadedPasswordFile { path: file.path.clone(), users: users.map(Arc::new), complaints }
}

/// The users of the file at this path.
pub fn users(loaded: &[LoadedPasswordFile], path: &Path) -> Option<Arc<Htpasswd>> {
    loaded.iter().find(|file| file.path == path)?.users.clone()
}
