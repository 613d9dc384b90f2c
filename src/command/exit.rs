//! How commands end: exit codes, and what is printed before.

use std::io;
use std::io::Write as _;
use std::process::ExitCode;

use crate::telemetry::operator::log_line;

/// How a command ended. The numbers are promised to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Success = 0,
    /// Something failed while running.
    Failure = 1,
    Usage = 2,
    ConfigurationInvalid = 3,
    /// An address is taken, a privilege or an ability of the kernel is missing.
    CannotStart = 4,
    /// A reload, an upgrade or a change was refused, the old one still serves.
    Refused = 5,
}

impl Exit {
    /// What a command of ours ended with; `None`: a signal ended it.
    pub(super) fn of_code(code: Option<i32>) -> Exit {
        let all = [Exit::Success, Exit::Usage, Exit::ConfigurationInvalid, Exit::CannotStart, Exit::Refused];
        all.into_iter().find(|exit| code == Some(*exit as i32)).unwrap_or(Exit::Failure)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Prints what was asked for; a failure when that could not be written.
pub(super) fn print(text: &str) -> Exit {
    let mut stdout = std::io::stdout().lock();
    // What stays in the buffer would be lost in silence.
    printed_as(writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()))
}

/// The same without a line end of its own.
pub(super) fn print_as_is(text: &str) -> Exit {
    let mut stdout = std::io::stdout().lock();
    printed_as(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

pub(super) fn printed_as(outcome: io::Result<()>) -> Exit {
    match outcome {
        // A reader that went away has seen enough, as `head` has.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            log_line(&format!("error: cannot write to standard output: {error}"));
            Exit::Failure
        }
        _ => Exit::Success,
    }
}
