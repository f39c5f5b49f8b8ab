//! The series that describe a scrape itself (`up` and others).

use std::time::Duration;

use ferula_model::labels::METRIC_NAME;
use ferula_model::value::{STALE_NAN, is_stale};
use ferula_model::{LabelSet, MetricMetadata, MetricType};
use ferula_storage::AppendError;

/// Names of the report series; the last three are added by `extra_scrape_metrics`.
pub const REPORTS: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
/// Whether a series of this name is about a scrape, and not of its page.
pub fn is_report(name: &str) -> bool {
    REPORTS.contains(&name)
}

/// The number of report series that always exist.
const PLAIN_REPORTS: usize = 5;

/// Counts of a page's samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// On the page.
    pub scraped: u64,
    /// After relabelling.
    pub kept: u64,
    /// From series that the previous page did not have.
    pub series_added: u64,
    /// From new series that the store refused because of a limit, and that limit.
    pub refused_new: Option<(u64, AppendError)>,
}

/// Values of the report series, in the order of [`REPORTS`].
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    values: [f64; REPORTS.len()],
    extra: bool,
}

/// Values that only some targets report.
#[derive(Clone, Copy, Debug)]
pub struct ExtraReport {
    /// The target's timeout.
    pub timeout: Duration,
    /// The job's limit; 0 for none.
    pub sample_limit: u64,
    /// Size of the page; 0 if there was none, −1 if it was too large.
    pub body_bytes: f64,
}

impl Report {
    /// The report of a scrape.
    pub fn new(up: bool, took: Duration, counts: Counts, extra: Option<ExtraReport>) -> Self {
        let (timeout, limit, bytes) = extra.as_ref().map_or((0.0, 0.0, 0.0), |extra| {
            (extra.timeout.as_secs_f64(), extra.sample_limit as f64, extra.body_bytes)
        });
        let values = [
            f64::from(u8::from(up)),
            took.as_secs_f64(),
            counts.scraped as f64,
            counts.kept as f64,
            counts.series_added as f64,
            timeout,
            limit,
            bytes,
        ];
        Report { values, extra: extra.is_some() }
    }

    /// Staleness markers for all report series.
    pub fn stale(extra: bool) -> Self {
        Report { values: [STALE_NAN; REPORTS.len()], extra }
    }

    /// Whether these are the staleness markers.
    pub fn is_stale(&self) -> bool {
        self.values.iter().copied().all(is_stale)
    }

    /// Position in [`REPORTS`] and value of each reported series.
    pub fn values(&self) -> impl Iterator<Item = (usize, f64)> {
        let count = if self.extra { REPORTS.len() } else { PLAIN_REPORTS };
        self.values.iter().copied().enumerate().take(count)
    }
}

/// Units and help texts of the report series, in the order of [`REPORTS`]; all are gauges. The texts are Prometheus'.
const TEXTS: [(&str, &str); REPORTS.len()] = [
    ("targets", "Health of the scrape target. 1 means the target is healthy, 0 if the scrape failed."),
    ("seconds", "Duration of the last scrape in seconds."),
    ("samples", "Number of samples last scraped."),
    ("samples", "Number of samples remaining after metric relabeling was applied."),
    ("series", "Number of series in the last scrape."),
    ("seconds", "The configured scrape timeout for a target."),
    ("samples", "The configured sample limit for a target. Returns zero if there is no limit configured."),
    (
        "bytes",
        "The uncompressed size of the last scrape response, if successful. Scrapes failing because body_size_limit is \
         exceeded report -1, other scrape failures report 0.",
    ),
];

/// Metadata of the report series at a position in [`REPORTS`], as Prometheus has it.
pub fn report_metadata(slot: usize) -> MetricMetadata {
    let (unit, help) = TEXTS[slot];
    MetricMetadata { kind: MetricType::Gauge, unit: unit.to_owned(), help: help.to_owned() }
}

/// The labels of a target's report series.
pub fn report_labels(name: &str, target: &LabelSet) -> LabelSet {
    let mut labels = target.to_builder();
    labels.set(METRIC_NAME, name);
    labels.finish()
}
