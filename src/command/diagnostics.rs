//! Diagnostics on stderr, in colour on a terminal.

use std::io::IsTerminal as _;

use crate::config::Report;
use crate::config::Severity;
use crate::telemetry::operator::log_as_is;

/// Prints the report and, where it has something, a line that counts.
pub(super) fn print(report: &Report) {
    let errors = report.count(Severity::Error);
    let warnings = report.count(Severity::Warning);
    let verdict = match (errors, warnings) {
        (0, 0) => String::new(),
        (0, _) => format!("warnings: {warnings}"),
        (_, 0) => format!("configuration is invalid: errors: {errors}"),
        _ => format!("configuration is invalid: errors: {errors}, warnings: {warnings}"),
    };
    let text = report.to_text(wants_colour(std::io::stderr().is_terminal()));
    let text = format!("{text}{verdict}");
    if !text.is_empty() {
        // Editors and scripts look for `file:line:column` at the begin of a line.
        log_as_is(&text);
    }
}

/// See <https://no-color.org>.
pub(super) fn wants_colour(is_terminal: bool) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal && !refused
}
