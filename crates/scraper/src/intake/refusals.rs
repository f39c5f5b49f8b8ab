//! Samples of a page that are not stored, by reason, and what that means for the page.

use std::collections::BTreeMap;
use std::ops::Range;

use ferula_storage::{AppendError, AppendOutcome, SampleKind};

use super::buffers::Buffers;
use crate::error::ScrapeError;
use crate::metrics::Metrics;
use crate::report::Counts;
use crate::series_cache::SeriesCache;

/// Samples of one page that the store or a rule of ours refused.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refused {
    pub(super) duplicates: u64,
    out_of_order: u64,
    pub(super) out_of_bounds: u64,
    exemplars_out_of_order: u64,
}

/// Why a page was not stored.
pub(crate) enum PageFault {
    Scrape(ScrapeError),
    /// The store has dropped series that the cache still knew. The cache has forgotten them, and the page can be read
    /// again.
    Forgotten,
}

impl From<ScrapeError> for PageFault {
    fn from(error: ScrapeError) -> Self {
        PageFault::Scrape(error)
    }
}

impl Refused {
    /// Counts and logs, once per page.
    pub(super) fn count(&self, metrics: &Metrics, url: &str) {
        for (count, counter, text) in [
            (self.out_of_order, &metrics.out_of_order, "Error on ingesting out-of-order samples"),
            (
                self.duplicates,
                &metrics.duplicates,
                "Error on ingesting samples with different value but same timestamp",
            ),
            (
                self.out_of_bounds,
                &metrics.out_of_bounds,
                "Error on ingesting samples that are too old or are too far into the future",
            ),
            (
                self.exemplars_out_of_order,
                &metrics.exemplars_out_of_order,
                "Error on ingesting out-of-order exemplars",
            ),
        ] {
            if count > 0 {
                counter.add(count);
                ferula_telemetry::warn!(
                    text,
                    component = "scrape manager",
                    target = url,
                    num_dropped = count
                );
            }
        }
    }

    /// Counts what the store accepted and refused, and updates the cache.
    ///
    /// # Errors
    /// The page must be read again, or the store failed.
    pub(super) fn judge(
        &mut self,
        outcome: &AppendOutcome,
        buffers: &Buffers,
        series: &mut SeriesCache,
        counts: &mut Counts,
    ) -> Result<(), PageFault> {
        counts.series_added = buffers.new_series();
        let mut forgotten = Vec::new();
        let mut exemplars = Vec::new();
        for refusal in &outcome.refused {
            let pushed = match refusal.kind {
                SampleKind::Float => &buffers.floats,
                SampleKind::Histogram => &buffers.histograms,
                SampleKind::Exemplar => {
                    if refusal.error == AppendError::OutOfOrderExemplar {
                        exemplars.push(refusal.index);
                    }
                    continue;
                }
            };
            let Some((entry, new)) = pushed.get(refusal.index).copied() else { continue };
            match &refusal.error {
                AppendError::DuplicateForTimestamp => self.duplicates += 1,
                AppendError::OutOfOrder => self.out_of_order += 1,
                AppendError::OutOfBounds | AppendError::TooOld => self.out_of_bounds += 1,
                AppendError::UnknownSeries => forgotten.push(entry),
                other => return Err(ScrapeError::Storage(other.clone()).into()),
            }
            series.refused(entry, new);
            counts.series_added -= u64::from(new);
        }
        self.exemplars_out_of_order += out_of_order(&buffers.exemplar_groups, &exemplars);
        if forgotten.is_empty() {
            return Ok(());
        }
        series.restart_round();
        series.forget(forgotten);
        Err(PageFault::Forgotten)
    }
}

/// How many of these exemplars count as out-of-order: several from one sample count only if all of them are.
fn out_of_order(groups: &[Range<usize>], refused: &[usize]) -> u64 {
    let mut by_group: BTreeMap<usize, usize> = BTreeMap::new();
    let mut alone = 0;
    for index in refused {
        // A page may have as many groups as samples.
        let group = groups.partition_point(|group| group.end <= *index);
        match groups.get(group).filter(|group| group.contains(index)) {
            Some(_) => *by_group.entry(group).or_default() += 1,
            None => alone += 1,
        }
    }
    let whole = by_group.into_iter().filter(|(group, count)| groups[*group].len() == *count);
    alone + whole.map(|(_, count)| count as u64).sum::<u64>()
}
