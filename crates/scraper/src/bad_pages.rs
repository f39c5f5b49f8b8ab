//! The last page of each target that could not be ingested, kept so that users can see what was wrong with it.
//!
//! Bounded twice: only the beginning of a page is kept, and only the most recent pages over all targets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ferula_go::sync::MutexExt;
use ferula_model::UnixNanos;

use crate::error::ScrapeError;
use crate::fetch::Page;

/// The number of bytes kept per page.
const PAGE_BYTES_MAX: usize = 64 << 10;
/// The number of pages kept, over all targets.
const PAGES_MAX: usize = 128;

/// A page that could not be ingested.
#[derive(Clone, Debug, PartialEq)]
pub struct BadPage {
    /// When its scrape started.
    pub at: UnixNanos,
    pub content_type: String,
    /// Its first bytes.
    pub body: Vec<u8>,
    /// Its full size.
    pub body_bytes: usize,
    pub error: ScrapeError,
}

/// Job and URL.
type TargetKey = (String, String);

/// The bad pages of all targets. Clones share the same pages.
#[derive(Clone, Debug, Default)]
pub struct BadPages(Arc<Mutex<BTreeMap<TargetKey, BadPage>>>);

impl BadPages {
    /// Keeps a page, replacing the target's previous one.
    pub(crate) fn keep(&self, job: &str, url: &str, at: UnixNanos, page: &Page, error: &ScrapeError) {
        let kept = BadPage {
            at,
            content_type: page.content_type.clone(),
            body: page.body[..page.body.len().min(PAGE_BYTES_MAX)].to_vec(),
            body_bytes: page.body.len(),
            error: error.clone(),
        };
        let mut pages = self.0.locked();
        pages.insert((job.to_owned(), url.to_owned()), kept);
        if pages.len() > PAGES_MAX
            && let Some(oldest) = pages.iter().min_by_key(|(_, page)| page.at).map(|(key, _)| key.clone())
        {
            pages.remove(&oldest);
        }
    }

    /// The last bad page of a target, even if later pages were good.
    pub fn of(&self, job: &str, url: &str) -> Option<BadPage> {
        let pages = self.0.locked();
        pages.get(&(job.to_owned(), url.to_owned())).cloned()
    }

    /// Drops the pages of a job that was removed.
    pub(crate) fn forget_job(&self, job: &str) {
        self.0.locked().retain(|(of, _), _| of != job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginnings_of_the_newest_pages_are_kept() {
        let pages = BadPages::default();
        let page = |body: Vec<u8>| Page { body: body.into(), content_type: "text/plain".into(), share: None };
        let keep = |target: usize, at: usize, body| {
            let at = UnixNanos(i64::try_from(at).expect("small"));
            pages.keep("j", &target.to_string(), at, &page(body), &ScrapeError::MissingName);
        };
        keep(0, 0, vec![b'x'; PAGE_BYTES_MAX + 1]);
        let kept = pages.of("j", "0").expect("kept");
        assert_eq!((kept.body.len(), kept.body_bytes), (PAGE_BYTES_MAX, PAGE_BYTES_MAX + 1));
        keep(0, 1, b"again".to_vec());
        assert_eq!(pages.of("j", "0").expect("kept").body, b"again");
        for target in 1..=PAGES_MAX {
            keep(target, target + 1, Vec::new());
        }
        assert_eq!(pages.of("j", "0"), None, "the oldest was dropped");
        assert!(pages.of("j", "1").is_some());
        pages.forget_job("j");
        assert_eq!(pages.of("j", "1"), None);
    }
}
