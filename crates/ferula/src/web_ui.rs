//! Connects the pages of `ferula-ui` to the API: neither crate knows the other.

use ferula_api::{Asset, Shell, WebUi};

/// The pages that are embedded in the binary.
pub struct Pages;

impl WebUi for Pages {
    fn asset(&self, path: &str) -> Option<Asset> {
        let ferula_ui::Asset { content_type, gzip, etag, cache_control } = ferula_ui::asset(path)?;
        Some(Asset { content_type, gzip, etag, cache_control })
    }

    fn shell(&self, page: &Shell<'_>) -> String {
        ferula_ui::shell(&ferula_ui::Shell {
            path: page.path,
            title: page.title,
            version: page.version,
            ready: page.ready,
            lookback: &page.lookback,
            admin: page.admin,
            lifecycle: page.lifecycle,
            agent: page.agent,
            consoles_link: page.consoles_link,
        })
    }
}
