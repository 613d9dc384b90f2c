//! What the verbs share that send commands to a running Ringway: where it is, and what went wrong.

use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::command::diagnostics;
use crate::command::exit::Exit;
use crate::command::sources;
use crate::control::admin::client;
use crate::control::admin::client::RequestError;
use crate::control::admin::reply::ErrorReply;
use crate::control::json_reader;
use crate::telemetry::operator::log_line;

/// Where packages put it.
const USUAL_SOCKET: &str = "/run/ringway/admin.sock";

#[derive(Args)]
pub(super) struct AdminEndpoint {
    /// The socket of the running Ringway; without this and -c it is /run/ringway/admin.sock.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// A file, or a folder of *.toml files, whose [admin] names the socket; may be repeated.
    #[arg(short = 'c', long = "config", value_name = "FILE", conflicts_with = "socket")]
    config: Vec<PathBuf>,
}

impl AdminEndpoint {
    /// At this socket, or where packages put it.
    pub(super) fn at(socket: Option<PathBuf>) -> AdminEndpoint {
        AdminEndpoint { socket, config: Vec::new() }
    }

    /// The answer to a command, as it came and as what it says. When there is none, the operator has been told why.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        command: &str,
        patience: Duration,
    ) -> Result<(Json, T), Exit> {
        ask_at(&self.path()?, command, patience).map_err(|error| {
            log_line(&format!("error: {error}"));
            Exit::Failure
        })
    }

    /// Where the socket is. When that cannot be known, the operator has been told why.
    pub(super) fn path(&self) -> Result<PathBuf, Exit> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        if self.config.is_empty() {
            return Ok(Path::new(USUAL_SOCKET).to_owned());
        }
        // What else is wrong with the configuration is for the process to say.
        let loaded = sources::load(&self.config);
        if let Some(socket) = loaded.admin.socket {
            return Ok(socket.path);
        }
        if loaded.report.has_errors() {
            diagnostics::print(&loaded.report);
            return Err(Exit::ConfigurationInvalid);
        }
        log_line(
            "error: this configuration has no [admin] socket, so no command reaches a ringway that runs with \
             it\nhelp: write socket = \"/run/ringway/admin.sock\" below [admin] and start it again; the signal \
             HUP reloads and USR2 upgrades without a socket",
        );
        Err(Exit::Failure)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum AskFailure {
    /// Nobody is there, or it hung up.
    Unreachable(RequestError),
    /// The process says why it does not answer.
    Refused(String),
    /// It is another version, or no Ringway.
    Strange(String),
}

impl fmt::Display for AskFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskFailure::Unreachable(error) => error.fmt(out),
            AskFailure::Refused(error) | AskFailure::Strange(error) => out.write_str(error),
        }
    }
}

/// The answer to a command of what listens there.
pub(super) fn ask_at<T: DeserializeOwned>(
    path: &Path,
    command: &str,
    patience: Duration,
) -> Result<(Json, T), AskFailure> {
    let answer = client::send(path, command, patience).map_err(AskFailure::Unreachable)?;
    if let Ok(ErrorReply { error }) = json_reader::read(&answer) {
        return Err(AskFailure::Refused(error));
    }
    match json_reader::read(&answer) {
        Ok(reply) => Ok((answer, reply)),
        Err(error) => Err(AskFailure::Strange(format!(
            "what listens at {} does not answer as this version of ringway does: {error}; run the ringway that \
             serves there, or name another socket",
            path.display()
        ))),
    }
}
