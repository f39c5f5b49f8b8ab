//! A scrape target: its labels, its URL, and the result of its last scrape.
//!
//! Elsewhere: how it is made from what discovery returns (`target_maker`).
//!
//! Labels whose name begins with `__` are for the scraper; the others are added to every series of the target.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_model::LabelSet;

use crate::metadata_cache::MetadataCache;
use crate::options::{Features, PageOptions};

pub(crate) const UNIX_SOCKET: &str = "__unix_socket__";

/// The health of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// The last scrape succeeded.
    Up,
    /// The last scrape failed.
    Down,
}

impl Health {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// The result of a target's last scrape.
#[derive(Clone, Debug, Default)]
pub struct LastScrape {
    pub health: Health,
    /// Why it failed or was not stored completely; empty otherwise.
    pub error: String,
    /// When it started, in nanoseconds since the epoch; `None` before the first scrape.
    pub at_unix_nanos: Option<i64>,
    /// How long it took.
    pub took: Duration,
}

/// How histograms on the pages of a target are handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramOptions {
    /// Convert classic histograms to native ones with custom buckets.
    pub custom_buckets: bool,
    /// Keep classic histograms even if there is a native one.
    pub keep_classic: bool,
    /// Scrape native histograms.
    pub native: bool,
}

/// A target that is scraped.
#[derive(Debug)]
pub struct Target {
    /// All labels after relabelling.
    pub labels: LabelSet,
    /// The labels that its series carry.
    pub public_labels: LabelSet,
    pub url: String,
    /// Identifies the target within its job and determines its offset within the interval.
    pub hash: u64,
    /// Time between scrapes.
    pub interval: Duration,
    /// Time a scrape may take.
    pub timeout: Duration,
    /// How histograms on its pages are handled.
    pub histograms: HistogramOptions,
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    discovered_labels: LabelSet,
    last: LastScrape,
    metadata: Option<Arc<Mutex<MetadataCache>>>,
}

impl Target {
    /// A target that has not been scraped.
    pub(crate) fn new(
        labels: LabelSet,
        (discovered_labels, public_labels): (LabelSet, LabelSet),
        (url, hash): (String, u64),
        (interval, timeout): (Duration, Duration),
        histograms: HistogramOptions,
    ) -> Self {
        let changing = Changing { discovered_labels, last: LastScrape::default(), metadata: None };
        let changing = Mutex::new(changing);
        Target { labels, public_labels, url, hash, interval, timeout, histograms, changing }
    }

    /// Labels before relabelling, from the current configuration and discovery.
    pub fn discovered_labels(&self) -> LabelSet {
        self.lock().discovered_labels.clone()
    }

    /// The result of the last scrape.
    pub fn last_scrape(&self) -> LastScrape {
        self.lock().last.clone()
    }

    /// Metadata from its pages; `None` before a loop runs.
    pub fn metadata(&self) -> Option<Arc<Mutex<MetadataCache>>> {
        self.lock().metadata.clone()
    }

    /// What to read from its pages.
    pub(crate) fn page_options(&self, features: Features) -> PageOptions {
        PageOptions {
            native_histograms: self.histograms.native,
            keep_classic: self.histograms.keep_classic,
            custom_buckets: self.histograms.custom_buckets,
            start_timestamps: features.start_timestamps,
        }
    }

    /// The Unix socket to connect to instead of the address, if any.
    pub(crate) fn unix_socket(&self) -> Option<&str> {
        Some(self.labels.value(UNIX_SOCKET)).filter(|path| !path.is_empty())
    }

    pub(crate) fn report(&self, last: LastScrape) {
        self.lock().last = last;
    }

    /// Attaches the metadata of the target's pages.
    pub fn set_metadata(&self, metadata: Arc<Mutex<MetadataCache>>) {
        self.lock().metadata = Some(metadata);
    }

    pub(crate) fn set_discovered_labels(&self, labels: LabelSet) {
        self.lock().discovered_labels = labels;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Changing> {
        self.changing.locked()
    }
}
