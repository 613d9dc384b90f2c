//! Files whose content is sent: of error pages, of fixed responses, and of maintenance. They are read at the start, and again when they
//! change.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::config::FinalAction;
use crate::config::FixedResponse;
use crate::config::Maintenance;
use crate::config::NamedFile;
use crate::config::Report;
use crate::control::credentials::authorities::Complaint;
use crate::control::credentials::certificates::ReadFile;
use crate::snapshot::error_pages::PageContent;

/// Bytes of one page.
const MAX_PAGE_BYTES: usize = 1 << 20;

/// A file, and as what it is sent.
#[derive(Clone, Copy)]
pub(super) struct NamedPage<'c> {
    pub(super) file: &'c NamedFile,
    content_type: &'c str,
    /// The type is that of the ending, which tells no charset.
    lacks_charset: bool,
}

/// What came of one page.
pub struct LoadedPage {
    path: PathBuf,
    /// As it was named.
    content_type: String,
    lacks_charset: bool,
    /// None when there are complaints.
    pub content: Option<Arc<PageContent>>,
    pub complaints: Vec<Complaint>,
}

/// The pages that the configuration names: those of [`Config::error_pages`], which are as many, and behind them those
/// of fixed responses and of maintenance.
pub(super) fn named(config: &Config) -> Vec<NamedPage<'_>> {
    let error_pages = config.error_pages.iter().map(|page| NamedPage {
        file: &page.file,
        content_type: page.content_type,
        lacks_charset: true,
    });
    let of_rules = config.rules.iter().filter_map(|rule| match &rule.actions.last {
        FinalAction::Respond(response) => of_response(response),
        FinalAction::Forward(_) | FinalAction::Redirect(_) => None,
    });
    let of_responses = config.response_rules.iter().filter_map(|rule| of_response(rule.respond.as_ref()?));
    let during_maintenance = maintenances(config).filter_map(of_maintenance);
    error_pages.chain(of_rules).chain(of_responses).chain(during_maintenance).collect()
}

fn of_maintenance(maintenance: &Maintenance) -> Option<NamedPage<'_>> {
    let (file, content_type) = maintenance.page.as_ref()?;
    Some(NamedPage { file, content_type, lacks_charset: true })
}

/// Those of rules, and of server groups.
fn maintenances(config: &Config) -> impl Iterator<Item = &Maintenance> {
    let of_rules = config.rules.iter().filter_map(|rule| rule.maintenance.as_ref());
    of_rules.chain(config.server_groups.iter().filter_map(|group| group.maintenance.as_ref()))
}

fn of_response(response: &FixedResponse) -> Option<NamedPage<'_>> {
    Some(NamedPage {
        file: response.file.as_ref()?,
        content_type: &response.content_type,
        lacks_charset: response.type_follows_file,
    })
}

/// All of them, in the order of [`named`]; tells the report what is wrong.
pub fn load(config: &Config, read_file: &ReadFile<'_>, report: &mut Report) -> Vec<LoadedPage> {
    let loaded: Vec<_> = named(config).into_iter().map(|page| load_one(page, read_file)).collect();
    for complaint in loaded.iter().flat_map(|loaded| &loaded.complaints) {
        let Complaint { location, message, help, .. } = complaint.clone();
        report.error(location, message, help);
    }
    loaded
}

pub(super) fn load_one(page: NamedPage<'_>, read_file: &ReadFile<'_>) -> LoadedPage {
    let name = page.file.path.display();
    let complaint = |message: String, help: &str| Complaint {
        is_error: true,
        location: page.file.location,
        message,
        help: help.to_owned(),
    };
    let read = match read_file(&page.file.path) {
        Err(error) => Err(complaint(format!("cannot read {name}: {error}"), "name a file that can be read")),
        Ok(content) if content.is_empty() => {
            Err(complaint(format!("{name} is empty"), "write a page into it"))
        }
        Ok(content) if content.len() > MAX_PAGE_BYTES => {
            let help = "let the page load what is large from a backend";
            Err(complaint(format!("{name} has more than 1 MiB"), help))
        }
        Ok(content) => Ok(content),
    };
    let (content, complaints) = match read {
        Ok(content) => (Some(Arc::new(page_content(page, content))), Vec::new()),
        Err(complaint) => (None, vec![complaint]),
    };
    LoadedPage {
        path: page.file.path.clone(),
        content_type: page.content_type.to_owned(),
        lacks_charset: page.lacks_charset,
        content,
        complaints,
    }
}

fn page_content(page: NamedPage<'_>, content: Vec<u8>) -> PageContent {
    // Without it, browsers take anything but ASCII for a legacy encoding.
    let is_text = page.lacks_charset && page.content_type.starts_with("text/");
    let charset = if is_text && std::str::from_utf8(&content).is_ok() { "; charset=utf-8" } else { "" };
    PageContent { content_type: format!("{}{charset}", page.content_type), content }
}

/// What a fixed response sends; None if its file could not be read.
pub fn content_of(response: &FixedResponse, loaded: &[LoadedPage]) -> Option<Arc<PageContent>> {
    let Some(wanted) = of_response(response) else {
        let (content_type, content) = (response.content_type.clone(), response.content.clone().into_bytes());
        return Some(Arc::new(PageContent { content_type, content }));
    };
    find(wanted, loaded)
}

/// What clients get during maintenance; None: no page was named.
pub fn page_of(maintenance: &Maintenance, loaded: &[LoadedPage]) -> Option<Arc<PageContent>> {
    find(of_maintenance(maintenance)?, loaded)
}

fn find(wanted: NamedPage<'_>, loaded: &[LoadedPage]) -> Option<Arc<PageContent>> {
    let is_it = |page: &&LoadedPage| {
        let (content_type, lacks_charset) = (page.content_type.as_str(), page.lacks_charset);
        page.path == wanted.file.path
            && (content_type, lacks_charset) == (wanted.content_type, wanted.lacks_charset)
    };
    loaded.iter().find(is_it)?.content.clone()
}
