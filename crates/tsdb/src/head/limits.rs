//! Bounds of the head at which new series are refused. Series that are there continue.
//!
//! The bounds are shared: from four fifths on, a target that has much of the head gets no new series, the less the fuller the
//! head is, and at the end only those below the average do. So no target can fill the head and keep others out, not even after
//! it has gone. A small reserve beyond the bounds is for the series that report about a target (`up` …): an outage must
//! not look like a target that does not exist.

use std::sync::atomic::Ordering;

use ferula_model::LabelSet;
use ferula_model::labels::METRIC_NAME;
use ferula_storage::AppendError;

use super::{Head, Index};

/// Limits of a head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// Maximum number of series.
    pub series: Option<u64>,
    /// Maximum memory of series in bytes, as estimated by [`Head::bytes`].
    pub bytes: Option<u64>,
}

/// Memory of a series besides its labels: slot, open chunk, list of full chunks, an entry in a scraper's
/// cache. Measured at 330 to 420 bytes with floats; the rest is for the allocator.
const SERIES_BYTES: u64 = 512;

/// The head accepts no new series.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeadFull {
    Series(u64),
    Bytes(u64),
    Share(u64),
}

impl From<HeadFull> for AppendError {
    fn from(full: HeadFull) -> Self {
        match full {
            HeadFull::Series(limit) => AppendError::SeriesLimit(limit),
            HeadFull::Bytes(limit) => AppendError::MemoryLimit(limit),
            HeadFull::Share(series) => AppendError::TargetShare(series),
        }
    }
}

fn bytes(index: &Index) -> u64 {
    index.series_count() as u64 * SERIES_BYTES + index.label_bytes()
}

/// From this fill on, in thousandths, targets get shares.
const SHARED_FROM: u64 = 800;
/// From this fill on, only targets below the average get new series.
const FAIR_FROM: u64 = 950;
/// What one target may have when shares begin, in thousandths.
const SHARE_FIRST: u64 = 250;
/// Up to this fill there is room for the series that report about targets.
const REPORTS_UP_TO: u64 = 1020;
/// Labels that distinguish targets, the most specific first.
const TARGET_LABELS: [&str; 2] = ["instance", "job"];

/// Whether this is a series that a scrape adds about its target.
fn is_report(labels: &LabelSet) -> bool {
    let name = labels.value(METRIC_NAME);
    name == "up"
        || [
            "scrape_duration_seconds",
            "scrape_samples_scraped",
            "scrape_samples_post_metric_relabeling",
            "scrape_series_added",
            "scrape_timeout_seconds",
            "scrape_sample_limit",
            "scrape_body_size_bytes",
        ]
        .contains(&name)
}

/// What one target of so many may have at a fill of the head, all in thousandths.
fn share_allowed(fill: u64, targets: u64) -> u64 {
    let fair = 1000 / (targets + 1);
    let early = SHARE_FIRST * FAIR_FROM.saturating_sub(fill) / (FAIR_FROM - SHARED_FROM);
    fair.max(early)
}

impl Head {
    /// How full the head is, in thousandths of its limits of series and of bytes.
    fn fills(&self, index: &Index) -> (u64, u64) {
        let fill = |used: u64, max: Option<u64>| match max {
            None => 0,
            Some(0) => u64::MAX,
            Some(max) => used.saturating_mul(1000) / max,
        };
        (fill(index.series_count() as u64, self.limits.series), fill(bytes(index), self.limits.bytes))
    }

    /// Whether [`check_limits`](Self::check_limits) may have something to refuse or to log.
    pub(super) fn may_refuse(&self, index: &Index) -> bool {
        let (of_series, of_bytes) = self.fills(index);
        of_series.max(of_bytes) >= SHARED_FROM || self.full.load(Ordering::Relaxed)
    }

    /// Whether there is room for one more series. A change is logged once, not for every series.
    pub(super) fn check_limits(&self, index: &Index, labels: &LabelSet) -> Result<(), HeadFull> {
        let (series, bytes) = (index.series_count() as u64, bytes(index));
        let (of_series, of_bytes) = self.fills(index);
        let fullest = of_series.max(of_bytes);
        let refused = match self.limits {
            _ if fullest < SHARED_FROM => None,
            _ if fullest < REPORTS_UP_TO && is_report(labels) => None,
            Limits { series: Some(max), .. } if of_series >= 1000 => Some(HeadFull::Series(max)),
            Limits { bytes: Some(max), .. } if of_bytes >= 1000 => Some(HeadFull::Bytes(max)),
            _ => {
                let known = TARGET_LABELS.iter().find_map(|name| index.series_with_value_of(labels, name));
                known.and_then(|(own, targets)| {
                    let share = own.saturating_mul(fullest) / series.max(1);
                    (share > share_allowed(fullest, targets)).then_some(HeadFull::Share(own))
                })
            }
        };
        if let Some(full) = refused {
            self.metrics.series_refused.inc();
            if !self.full.swap(true, Ordering::Relaxed) {
                ferula_telemetry::error!(
                    "The head is full, or has no room for what a target sends: new series are refused, existing ones continue",
                    component = "tsdb",
                    series = series,
                    estimated_bytes = bytes,
                    err = AppendError::from(full)
                );
            }
            return Err(full);
        }
        // Others may still be refused while the head is almost full.
        if fullest < SHARED_FROM
            && self.full.load(Ordering::Relaxed)
            && self.full.swap(false, Ordering::Relaxed)
        {
            ferula_telemetry::info!("The head accepts new series again", component = "tsdb", series = series);
        }
        Ok(())
    }

    /// Estimated memory of the head in bytes, from the number of series and the size of their labels.
    pub fn bytes(&self) -> u64 {
        bytes(&self.index())
    }

    /// The limits; see [`Limits`].
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }
}

#[cfg(test)]
mod tests {
    use ferula_storage::{Appendable, Durability};

    use super::*;
    use crate::{Db, Options};

    /// How many of a target's series the head takes, and whether it takes the reports.
    fn scrape(db: &Db, instance: &str, job: &str, series: usize) -> (usize, bool) {
        let labels = |name: &str, n: usize| {
            let n = n.to_string();
            LabelSet::from_pairs([("__name__", name), ("instance", instance), ("job", job), ("n", &n)])
        };
        let mut appender = db.appender();
        let taken = (0..series).filter(|n| appender.resolve(&labels("m", *n)).is_ok()).count();
        let up = appender.resolve(&labels("up", 0)).is_ok();
        // A series without a sample is taken back, so each gets one.
        let mut batch = ferula_storage::SampleBatch::default();
        for n in 0..series {
            if let Ok(series) = appender.resolve(&labels("m", n)) {
                batch.push_float(series, ferula_model::Timestamp::from_millis(1), 1.0);
            }
        }
        if let Ok(series) = appender.resolve(&labels("up", 0)) {
            batch.push_float(series, ferula_model::Timestamp::from_millis(1), 1.0);
        }
        appender.append(&mut batch);
        appender.commit(Durability::Written).expect("written");
        (taken, up)
    }

    #[test]
    fn one_target_cannot_fill_the_head_and_newcomers_come_in_after_it() {
        let options = Options { series_max: Some(10_000), ..Options::default() };
        let db = Db::in_memory(options).expect("opened");
        let (bad, up) = scrape(&db, "bad:1", "bad", 50_000);
        assert!((7_500..9_000).contains(&bad) && up, "{bad}");
        for n in 0..50 {
            assert_eq!(scrape(&db, &format!("good:{n}"), "good", 20), (20, true), "newcomer {n}");
        }
        // Known series continue, and the bad one gets no more.
        assert_eq!(scrape(&db, "bad:1", "bad", bad).0, bad);
        assert_eq!(scrape(&db, "bad:1", "bad", 50_000).0, bad);
        // More bad ones fill what is left of the shares, and reports have their reserve.
        let taken: usize = (2..40).map(|n| scrape(&db, &format!("bad:{n}"), "bad", 50_000).0).sum();
        assert!(db.head().series_count() <= 10_200, "{taken}");
        assert!(scrape(&db, "new:1", "good", 1).1, "up is stored though the head is full");
    }

    #[test]
    fn shares_shrink_to_the_average_as_the_head_fills() {
        assert_eq!(share_allowed(800, 1000), 250);
        assert_eq!(share_allowed(875, 1000), 125);
        assert_eq!(share_allowed(950, 9), 100);
        assert_eq!(share_allowed(999, 1), 500);
        assert_eq!(share_allowed(999, 1_000_000), 0);
    }
}
