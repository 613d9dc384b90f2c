//! Metrics and access logs, which every proxy writes to a file in its folder.

use std::path::Path;

/// What is counted and logged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logging {
    /// What the proxy does without being told.
    Usual,
    /// Ringway without its counters.
    Nothing,
    /// A line for each request, without counters.
    LogAlone,
    /// A line for each request: ALB's fields, nginx's `combined`, HAProxy's `httplog`.
    Log,
    /// The same for one request in ten.
    SampledLog,
}

/// The name of the file.
pub(crate) const FILE: &str = "access.log";

impl Logging {
    /// Whether only Ringway has it.
    pub(crate) fn is_ringways_own(self) -> bool {
        matches!(self, Logging::Nothing | Logging::LogAlone | Logging::SampledLog)
    }

    /// Tables of Ringway's configuration.
    pub(crate) fn of_ringway(self, folder: &Path) -> String {
        let log = format!("[access_log]\npath = \"{}\"\nformat = \"alb\"\n", folder.join(FILE).display());
        match self {
            Logging::Usual => String::new(),
            Logging::Nothing => "[metrics]\nenabled = false\n".to_owned(),
            Logging::LogAlone => format!("{log}\n[metrics]\nenabled = false\n"),
            Logging::Log => log,
            Logging::SampledLog => format!("{log}sample = 0.1\n"),
        }
    }

    pub(crate) fn of_nginx(self, folder: &Path) -> String {
        match self {
            Logging::Log => format!("access_log {} combined;", folder.join(FILE).display()),
            _ => "access_log off;".to_owned(),
        }
    }

    /// What stands in HAProxy's `global`, and in its defaults. It writes to no file by itself: its standard output is one.
    pub(crate) fn of_haproxy(self) -> (&'static str, &'static str) {
        match self {
            Logging::Log => ("log stdout format raw local0", "log global\n    option httplog"),
            _ => ("", ""),
        }
    }
}
