//! Media types of files that are sent.

use crate::config::NamedFile;
use crate::config::report::Location;
use crate::config::report::Report;

/// By the endings of files.
const TYPES: [(&str, &str); 9] = [
    ("html", "text/html"),
    ("htm", "text/html"),
    ("txt", "text/plain"),
    ("css", "text/css"),
    ("js", "application/javascript"),
    ("json", "application/json"),
    ("xml", "application/xml"),
    ("svg", "image/svg+xml"),
    ("xhtml", "application/xhtml+xml"),
];

/// The type that the ending of a file tells; None after reporting that it tells none.
pub(super) fn of_file(file: &NamedFile, location: Location, report: &mut Report) -> Option<&'static str> {
    let ending = file.path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let known = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
    if known.is_none() {
        let endings: Vec<&str> = TYPES.iter().map(|(known, _)| *known).collect();
        let message = format!("the media type of {} is not known", file.path.display());
        let help = format!("name a file that ends in one of .{}", endings.join(", ."));
        report.error(location, message, help);
    }
    known.map(|(_, content_type)| *content_type)
}
