//! Where lines of an access log go.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::telemetry::log_datagrams::LogDatagrams;
use crate::telemetry::log_datagrams::LogReceiver;
use crate::telemetry::log_file::LogFile;
use crate::telemetry::log_file::LogPath;
use crate::telemetry::log_frame::LogFrame;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    Stdout,
    Stderr,
    File(PathBuf),
    /// To who receives datagrams, one for each line.
    Datagrams {
        receiver: LogReceiver,
        frame: LogFrame,
    },
}

/// An open sink.
pub enum LogOutput {
    File(LogFile),
    Datagrams(LogDatagrams),
}

impl LogOutput {
    /// Opens what can be opened. A receiver of datagrams may come later. `clock` tells the time since the Unix epoch.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(sink: Sink, clock: fn() -> Duration) -> io::Result<LogOutput> {
        let path = match sink {
            Sink::Stdout => LogPath::Stdout,
            Sink::Stderr => LogPath::Stderr,
            Sink::File(path) => LogPath::File(path),
            Sink::Datagrams { receiver, frame } => {
                return Ok(LogOutput::Datagrams(LogDatagrams::new(receiver, frame, clock)));
            }
        };
        Ok(LogOutput::File(LogFile::open(path)?))
    }

    /// Opens the file anew, or looks for the receiver again. What is open stays so when that fails.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match self {
            LogOutput::File(file) => file.reopen(),
            LogOutput::Datagrams(datagrams) => {
                datagrams.reconnect();
                Ok(())
            }
        }
    }

    /// Writes whole lines. The error comes with the number of lines that are lost.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), (u64, io::Error)> {
        match self {
            LogOutput::File(file) => file.write(lines),
            LogOutput::Datagrams(datagrams) => datagrams.write(lines),
        }
    }
}
