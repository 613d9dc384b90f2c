//! `[[error_page]]`: the content of answers with an error status.

use crate::config::ErrorPage;
use crate::config::Listener;
use crate::config::check::annotations;
use crate::config::check::file_path::File;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Name;
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
    let name = section.read_optional("name", &Name, "its place among the error pages names it");
    let statuses = section.read_required("status", &OneOrMoreStatuses(STATUSES), "status = [502, 503, 504]");
    let file = section.read_required("file", &File, "file = \"pages/503.html\"");
    let listeners = section.read_optional("listener", &OneOrMore, "the page is for all listeners");
    let replaces_upstream = section.read("upstream", &Boolean, false);
    let content_type =
        file.as_ref().and_then(|(file, location)| media_type::of_file(file, *location, section.report()));
    annotations::description(&mut section);
    let is_refused = section.is_refused("listener") || section.is_refused("name");
    let location = name.as_ref().map_or(table.location, |(_, location)| *location);
    section.close();
    let whole = statuses.zip(file).zip(content_type).filter(|_| !is_refused);
    ParsedErrorPage {
        page: whole.map(|(((statuses, _), (file, _)), content_type)| ErrorPage {
            name: name.map(|(name, _)| name).unwrap_or_default(),
            statuses: statuses.value,
            file,
            content_type,
            listeners: None,
            replaces_upstream,
            location,
        }),
        listeners: listeners.map(|(listeners, _)| listeners),
    }
}

/// What a page is called that has no name; `place` counts from 1.
fn name_by_place(place: usize) -> String {
    format!("error-page-{place}")
}

/// Looks the names of listeners up.
pub(super) fn resolve(
    parsed: Vec<ParsedErrorPage>,
    listeners: &[Listener],
    report: &mut Report,
) -> Vec<ErrorPage> {
    let names = Names::new("[[listener]]", listeners.iter().map(|listener| listener.name.as_str()), report);
    let mut pages = Vec::with_capacity(parsed.len());
    for (place, ParsedErrorPage { page, listeners }) in (1..).zip(parsed) {
        let listeners = listeners.map(|wanted| {
            let found = wanted
                .iter()
                .filter_map(|(name, location)| names.find("listener", (name, *location), report));
            found.collect()
        });
        pages.extend(page.map(|mut page| {
            if page.name.is_empty() {
                page.name = name_by_place(place);
            }
            ErrorPage { listeners, ..page }
        }));
    }
    pages
}

const STATUSES: Statuses = Statuses {
    default: 500..=599,
    allowed: 400..=599,
    help: "write 503, \"5xx\" or \"500-504\"; allowed are 400 to 599",
};

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::config::load;

    #[test]
    fn pages_have_names_of_their_own_or_by_their_place() {
        let page = |name: &str| format!("[[error_page]]\n{name}status = 503\nfile = \"a.html\"\n");
        let text = |names: [&str; 3]| {
            let listener = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n";
            format!("config_version = 1\n{listener}{}", names.map(page).concat())
        };
        let loaded = |names| load(vec![Source::made_up("ringway.toml", text(names))]);
        let pages = loaded(["", "name = \"sorry\"\n", ""]).config.map(|config| config.error_pages);
        let names: Vec<String> = pages.into_iter().flatten().map(|page| page.name).collect();
        assert_eq!(names, ["error-page-1", "sorry", "error-page-3"]);
        let report = loaded(["", "name = \"error-page-1\"\n", ""]).report.to_text(false);
        assert!(report.contains("the error page \"error-page-1\" is defined twice"), "{report}");
    }
}
