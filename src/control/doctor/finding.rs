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
}

/// What `ringway check` says.
pub fn of_report(report: &Report) -> Vec<Finding> {
    let finding = |found: &crate::config::Diagnostic| Finding {
        severity: found.severity,
        check: "configuration",
        message: format!("{}: {}", report.place(found.location), found.message),
        cure: found.help.clone(),
    };
    report.diagnostics().into_iter().map(finding).collect()
}
