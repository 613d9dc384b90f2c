//! One thing that was found.

use crate::config::Report;
use crate::config::Severity;

/// Something to know about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// A word of what was looked at, which stays the same in all versions.
    pub check: &'static str,
    /// A sentence.
    pub message: String,
    /// The command or the change that helps.
    pub cure: String,
}

impl Finding {
    /// It does not start, or does not serve.
    pub fn error(check: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { severity: Severity::Error, check, message: message.into(), cure: cure.into() }
    }

    /// It serves, but not as it could, or not for long.
    pub fn warning(check: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(check, message, cure) }
    }

    /// Nothing is wrong, but there is something to gain.
    pub fn note(check: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { severity: Severity::Note, ..Finding::error(check, message, cure) }
    }

    /// The same, with where in a text it is about: `file:line`, or a file where there is no line.
    pub fn at(self, place: &str) -> Finding {
        Finding { message: format!("{place}: {}", self.message), ..self }
    }
}

/// What `ringway check` says.
pub fn of_report(report: &Report) -> Vec<Finding> {
    let finding = |found: &crate::config::Diagnostic| {
        let (severity, check) = (found.severity, "configuration");
        let finding = Finding { severity, check, message: found.message.clone(), cure: found.help.clone() };
        finding.at(&report.place(found.location))
    };
    report.diagnostics().into_iter().map(finding).collect()
}
