//! `[[error_page]]`: the content of answers with an error status.

use crate::config::ErrorPage;
use crate::config::Listener;
use crate::config::check::file_path::File;
use crate::config::check::kind::Boolean;
use crate::config::check::media_type;
use crate::config::check::names::Names;
use crate::config::check::rule::OneOrMore;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::check::statuses::OneOrMoreStatuses;
use crate::config::check::statuses::Statuses;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;

/// A page whose listeners are not looked up yet.
pub(super) struct ParsedErrorPage {
    page: Option<ErrorPage>,
    listeners: Option<Vec<(String, Location)>>,
}

pub(super) fn error_page(table: &raw::Table, output: &mut Output) -> ParsedErrorPage {
    let mut section = Section::element("error_page", table, output);
    let statuses = section.read_required("status", &OneOrMoreStatuses(STATUSES), "status = [502, 503, 504]");
    let file = section.read_required("file", &File, "file = \"pages/503.html\"");
    let listeners = section.read_optional("listener", &OneOrMore, "the page is for all listeners");
    let replaces_upstream = section.read("upstream", &Boolean, false);
    let content_type =
        file.as_ref().and_then(|(file, location)| media_type::of_file(file, *location, section.report()));
    let is_refused = section.is_refused("listener");
    section.close();
    let whole = statuses.zip(file).zip(content_type).filter(|_| !is_refused);
    ParsedErrorPage {
        page: whole.map(|(((statuses, _), (file, _)), content_type)| ErrorPage {
            statuses: statuses.value,
            file,
            content_type,
            listeners: None,
            replaces_upstream,
            location: table.location,
        }),
        listeners: listeners.map(|(listeners, _)| listeners),
    }
}

/// Looks the names of listeners up.
pub(super) fn resolve(
    parsed: Vec<ParsedErrorPage>,
    listeners: &[Listener],
    report: &mut Report,
) -> Vec<ErrorPage> {
    let names = Names::new("[[listener]]", listeners.iter().map(|listener| listener.name.as_str()), report);
    let mut pages = Vec::with_capacity(parsed.len());
    for ParsedErrorPage { page, listeners } in parsed {
        let listeners = listeners.map(|wanted| {
            let found = wanted
                .iter()
                .filter_map(|(name, location)| names.find("listener", (name, *location), report));
            found.collect()
        });
        pages.extend(page.map(|page| ErrorPage { listeners, ..page }));
    }
    pages
}

const STATUSES: Statuses = Statuses {
    default: 500..=599,
    allowed: 400..=599,
    help: "write 503, \"5xx\" or \"500-504\"; allowed are 400 to 599",
};
