//! Targets, pools and loops: from a page to labelled samples.
//!
//! ```text
//! Config ─▶ Scraper ─▶ pool per job ─▶ loop per target:  tick ─▶ fetch ─▶ store ─▶ report
//!              ▲                                                  │        │
//!      discovery's groups ─▶ Target (labels, URL)               http   target_state, intake: parse ⇄ series_cache ⇄ labels
//!                                                                             ─▶ one commit
//! ```
//!
//! Here: when targets are scraped, how pages are fetched, and what is stored under which labels. Elsewhere: the
//! format of pages (`ferula-exposition`), discovery of targets (`ferula-discovery`), storage of samples (behind the
//! traits of `ferula-storage`).
//!
//! Always true: a page is stored completely or not at all; the report of a scrape is stored with it, in the same
//! commit; a misbehaving target only affects its own scrapes and takes bounded memory.

pub mod bad_pages;
mod body_pieces;
pub mod error;
pub mod failure_log;
pub mod fetch;
pub mod growth;
mod gzip;
pub mod http;
mod intake;
pub mod labels;
pub mod metadata_cache;
pub mod metrics;
pub mod options;
mod packing;
mod page_buffers;
pub mod page_memory;
mod pool;
pub mod preview;
pub mod report;
pub mod scrape_loop;
pub mod scraper;
pub mod series_cache;
pub mod target;
pub mod target_maker;
pub mod target_state;
mod unpack_error;
mod zstd_page;

pub use error::ScrapeError;
pub use options::Features;
pub use scraper::{ApplyError, PoolSnapshot, Scraper, ScraperSetup, TargetsSnapshot};
pub use target::{Health, LastScrape, Target};
pub use target_maker::DroppedTarget;
