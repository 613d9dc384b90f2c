//! The command that changes the weight of a backend or drains it.

use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::control::active_config::Channels;
use crate::control::backend_order::BackendOrder;
use crate::control::backend_order::BackendRefusal;
use crate::control::backend_order::BackendReply;
use crate::control::reload::Command;

/// How long a client waits: a reload may be before it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Has an order carried out by the thread that puts configurations into service.
///
/// # Errors
/// Why nothing was changed.
pub(super) fn change(
    channels: &Channels,
    commands: &Sender<Command>,
    order: BackendOrder,
) -> Result<BackendReply, BackendRefusal> {
    let unavailable = |reason: &str| Err(BackendRefusal::Unavailable(reason.to_owned()));
    if channels.readiness.is_stopping() {
        return unavailable("the process is stopping");
    }
    let (answer, outcome) = mpsc::channel();
    if commands.send(Command::ChangeBackend { order, answer }).is_err() {
        return unavailable("the thread that reloads has ended");
    }
    match outcome.recv_timeout(ANSWER_TIMEOUT) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => unavailable(
            "the thread that reloads is busy and will come to it; ringway events tells when it has",
        ),
        Err(RecvTimeoutError::Disconnected) => unavailable("the thread that reloads has ended"),
    }
}
