//! The content of error pages, read from their files.

use std::sync::Arc;

use crate::config::Config;
use crate::config::ErrorPage;
use crate::config::Report;
use crate::control::credentials::certificates::ReadFile;
use crate::snapshot::error_pages::PageContent;

/// Bytes of one page.
const MAX_PAGE_BYTES: usize = 1 << 20;

/// Reads the files of all pages, and reports what is wrong where they are named.
pub fn load(config: &Config, read_file: &ReadFile<'_>, report: &mut Report) -> Vec<Option<Arc<PageContent>>> {
    config.error_pages.iter().map(|page| load_one(page, read_file, report)).collect()
}

fn load_one(page: &ErrorPage, read_file: &ReadFile<'_>, report: &mut Report) -> Option<Arc<PageContent>> {
    let name = page.file.path.display();
    let content = match read_file(&page.file.path) {
        Ok(content) => content,
        Err(error) => {
            let message = format!("cannot read {name}: {error}");
            report.error(page.file.location, message, "name a file that can be read");
            return None;
        }
    };
    if content.is_empty() || content.len() > MAX_PAGE_BYTES {
        let (what, help) = match content.is_empty() {
            true => ("is empty", "write a page into it"),
            false => ("has more than 1 MiB", "let the page load what is large from a backend"),
        };
        report.error(page.file.location, format!("{name} {what}"), help);
        return None;
    }
    // Without it, browsers take anything but ASCII for a legacy encoding.
    let charset = match std::str::from_utf8(&content) {
        Ok(_) if page.content_type.starts_with("text/") => "; charset=utf-8",
        _ => "",
    };
    Some(Arc::new(PageContent { content_type: format!("{}{charset}", page.content_type), content }))
}
