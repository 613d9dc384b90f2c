//! Starting the program that takes over.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt as _;
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

/// What helps where a program cannot be started. The launcher tells its errors in words, so this looks for itself.
fn cure(binary: &Path, error: &io::Error) -> String {
    let name = binary.display();
    match fs::metadata(binary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "; put it there, or name another one: --binary /absolute/path".to_owned()
        }
        Ok(found) if found.is_dir() => "; name the program in this folder".to_owned(),
        Ok(found) if found.mode() & ANYBODY_EXECUTES == 0 => format!("; chmod +x {name}"),
        _ if error.to_string().contains(EXEC_FORMAT_ERROR) => {
            format!("; it is no program for this machine: file {name}")
        }
        _ => String::new(),
    }
}

const ANYBODY_EXECUTES: u32 = 0o111;

/// ENOEXEC (errno(3)), as errors of the system end.
const EXEC_FORMAT_ERROR: &str = "(os error 8)";
