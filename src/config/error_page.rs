//! An `[[error_page]]`.

use std::ops::RangeInclusive;

use crate::config::named_file::NamedFile;
use crate::config::report::Location;

/// The content of answers with an error status.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorPage {
    /// Unique among error pages. Without one of its own, it is named by its place.
    pub name: String,
    /// Within 400..=599. At least one.
    pub statuses: Vec<RangeInclusive<u16>>,
    pub file: NamedFile,
    /// The media type of the file, by its ending.
    pub content_type: &'static str,
    /// Indices in [`crate::config::Config::listeners`]; None: all.
    pub listeners: Option<Vec<usize>>,
    /// It takes the place of what backends send with such a status, too.
    pub replaces_upstream: bool,
    /// Where the name stands, or the table.
    pub location: Location,
}
