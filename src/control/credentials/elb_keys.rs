//! The access keys of the ELB API.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::config::Config;
use crate::config::ElbApi;
use crate::config::NamedFile;
use crate::config::Report;
use crate::control::credentials::authorities::Complaint;
use crate::control::elb::keys::ElbKeys;
use crate::control::files;

/// A thousand keys with comments.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Lines that are told of; a file of another kind has a fault in each.
const MAX_TOLD: usize = 20;

/// What came of the file.
#[derive(Default)]
pub struct LoadedElbKeys {
    /// None when one of the complaints is an error, or no file is named.
    pub keys: Option<ElbKeys>,
    pub complaints: Vec<Complaint>,
}

/// What the ELB API looks at when a request comes.
pub struct ElbAccess {
    pub keys: ElbKeys,
    pub api: ElbApi,
}

impl ElbAccess {
    /// None: it is not served.
    pub(super) fn new(config: &Config, loaded: &LoadedElbKeys) -> Option<ElbAccess> {
        let api = config.admin.elb_api.clone()?;
        Some(ElbAccess { keys: loaded.keys.clone().unwrap_or_default(), api })
    }
}

pub(super) fn load(config: &Config, report: &mut Report) -> LoadedElbKeys {
    let loaded = config.admin.elb_api.as_ref().map(|api| load_file(&api.keys_file)).unwrap_or_default();
    for Complaint { is_error, location, message, help } in loaded.complaints.clone() {
        match is_error {
            true => report.error(location, message, help),
            false => report.warning(location, message, help),
        }
    }
    loaded
}

pub(super) fn load_file(file: &NamedFile) -> LoadedElbKeys {
    const LINES: &str = "write lines of an access key, a secret key and a project, and chmod 600 the file";
    let mut complaints = Vec::new();
    let name = file.path.display();
    let mut complain = |is_error, message| {
        complaints.push(Complaint { is_error, location: file.location, message, help: LINES.to_owned() });
    };
    let keys = match files::read_text(&file.path, MAX_FILE_BYTES) {
        Err(reason) => {
            complain(true, format!("cannot read {name}: {reason}"));
            None
        }
        Ok(text) => match ElbKeys::parse(&text) {
            Ok(keys) => Some(keys),
            Err(faults) => {
                for fault in faults.iter().take(MAX_TOLD) {
                    complain(true, format!("line {} of {name}: {}", fault.line, fault.message));
                }
                None
            }
        },
    };
    if keys.as_ref().is_some_and(ElbKeys::is_empty) {
        complain(false, format!("{name} has no keys"));
    }
    let mode = fs::metadata(&file.path).map_or(0, |metadata| metadata.permissions().mode());
    // systemd sees to credentials.
    if mode & 0o077 != 0 && !file.is_credential() {
        complain(
            true,
            format!("{name} can be read or written by others than its owner, who could sign as anybody"),
        );
    }
    LoadedElbKeys { keys, complaints }
}
