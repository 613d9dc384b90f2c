//! Starting the program that takes over.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::control::handover::channel::HandoverChannel;
use crate::control::process::launcher::Launch;
use crate::control::process::launcher::Launcher;
use crate::control::process::launcher::OWN_VARIABLES;
use crate::control::process::launcher::StartedProcess;

/// The argument by which a successor that we start gets its end of the channel.
pub const CHANNEL_ARGUMENT: &str = "--take-over-descriptor";

/// How a successor is started: as this process was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuccessorCommand {
    /// Where the program of this process lay at its start; another one may lie there now.
    pub binary: PathBuf,
    /// Those of this process, without what concerns a hand-over.
    pub arguments: Vec<OsString>,
}

impl SuccessorCommand {
    /// Starts it, from this binary or that of this process. It has its end of the channel; the other end is returned.
    ///
    /// # Errors
    /// There is no such program, or it cannot be executed.
    pub fn start(
        &self,
        binary: Option<&Path>,
        launcher: Option<&Launcher>,
    ) -> Result<(HandoverChannel, StartedProcess), String> {
        let binary = binary.unwrap_or(&self.binary);
        let cannot =
            |error: io::Error| format!("cannot start {}: {error}{}", binary.display(), cure(binary, &error));
        let (own, its) = HandoverChannel::pair().map_err(cannot)?;
        if let Some(launcher) = launcher {
            let launch = Launch { binary, arguments: &self.arguments, descriptor_argument: CHANNEL_ARGUMENT };
            let its = its.into_descriptor();
            let started = launcher.start(&launch, its.as_fd()).map_err(cannot)?;
            return Ok((own, started));
        }
        let its = its.into_inheritable().map_err(cannot)?;
        let mut command = Command::new(binary);
        command.args(&self.arguments).arg(CHANNEL_ARGUMENT).arg(its.as_raw_fd().to_string());
        for name in OWN_VARIABLES {
            command.env_remove(name);
        }
        let child = command.spawn().map_err(cannot)?;
        Ok((own, StartedProcess::Own(child)))
    }
}

/// What helps where a program cannot be started.
fn cure(binary: &Path, error: &io::Error) -> String {
    let name = binary.display();
    match error.kind() {
        io::ErrorKind::NotFound => "; put it there, or name another one: --binary /absolute/path".to_owned(),
        io::ErrorKind::PermissionDenied if binary.is_dir() => {
            "; it is a folder: name the program in it".to_owned()
        }
        io::ErrorKind::PermissionDenied => format!(
            "; chmod +x {name}; it has to belong to root or to whom the running program belongs, and others may not \
             write to it"
        ),
        _ if error.raw_os_error() == Some(ENOEXEC) => {
            format!("; it is no program for this machine: file {name}")
        }
        _ => String::new(),
    }
}

/// Exec format error, as errno(3) has it; the same on every architecture of Linux.
const ENOEXEC: i32 = 8;
