//! The web pages as the API receives them: files by path, and one HTML shell for every page.

use std::borrow::Cow;

/// The pages. The API knows nothing about their content.
pub trait WebUi: Send + Sync {
    /// The file at a path below `assets/`, such as `4f2a…/js/app.js`; `None` if there is none.
    fn asset(&self, path: &str) -> Option<Asset>;

    /// The complete HTML that every page starts from. It is served at every stage, so it must not need the store.
    fn shell(&self, page: &Shell<'_>) -> String;
}

/// A file of the pages.
#[derive(Clone, Debug)]
pub struct Asset {
    pub content_type: &'static str,
    /// The content, compressed with gzip. It is decompressed for clients that do not accept gzip.
    pub gzip: Cow<'static, [u8]>,
    /// Value of `ETag`, with its quotation marks.
    pub etag: Cow<'static, str>,
    /// Value of `Cache-Control`.
    pub cache_control: &'static str,
}

/// What the shell passes to the scripts.
#[derive(Clone, Debug)]
pub struct Shell<'a> {
    /// The page's path without prefix, such as `/query`.
    pub path: &'a str,
    /// `--web.page-title`, not escaped.
    pub title: &'a str,
    /// Version of Prometheus that is served.
    pub version: &'a str,
    /// Whether the API answers yet.
    pub ready: bool,
    /// `--query.lookback-delta` as the flag shows it, such as `5m`.
    pub lookback: String,
    /// Whether `--web.enable-admin-api` is given.
    pub admin: bool,
    /// Whether `--web.enable-lifecycle` is given.
    pub lifecycle: bool,
    pub agent: bool,
    /// Address of the console templates' index, or "".
    pub consoles_link: &'a str,
}
