//! The content of answers with an error status.

use std::ops::RangeInclusive;
use std::sync::Arc;

/// The pages of a listener, in the order in which they are looked for.
#[derive(Default)]
pub struct ErrorPages {
    pages: Box<[CompiledErrorPage]>,
}

/// When a page is sent.
pub struct CompiledErrorPage {
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Also instead of the content that backends send with such a status.
    pub replaces_upstream: bool,
    pub content: Arc<PageContent>,
}

/// What is sent.
#[derive(Default)]
pub struct PageContent {
    pub content_type: String,
    pub content: Vec<u8>,
}

impl ErrorPages {
    pub fn new(pages: impl Iterator<Item = CompiledErrorPage>) -> ErrorPages {
        ErrorPages { pages: pages.collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// The first page for this status, of a backend or of our own.
    pub fn find(&self, status: u16, is_upstream: bool) -> Option<&PageContent> {
        let mut pages = self.pages.iter().filter(|page| page.replaces_upstream || !is_upstream);
        let page = pages.find(|page| page.statuses.iter().any(|range| range.contains(&status)));
        page.map(|page| &*page.content)
    }
}
