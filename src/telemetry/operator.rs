//! Sentences for the operator, on standard error.

use std::io::Write as _;

/// Prints a line. When nobody reads standard error any more, that is no reason to end, as it would
/// be for `eprintln!`.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}
