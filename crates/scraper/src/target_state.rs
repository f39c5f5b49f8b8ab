//! The state that a loop keeps between scrapes, and how one scrape is stored with it.
//!
//! A scrape is one commit: samples of the page, staleness markers of ended series, and the report series. An invalid
//! page is rolled back completely; then only markers and report are stored.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use ferula_go::sync::MutexExt;
use ferula_model::value::STALE_NAN;
use ferula_model::{SeriesRef, Timestamp};
use ferula_storage::{AppendError, Appendable, Appender, CommitError, Durability};

use crate::error::ScrapeError;
use crate::fetch::Page;
pub use crate::intake::ScrapeContext;
use crate::intake::{Buffers, Intake, PageFault};
use crate::metadata_cache::MetadataCache;
use crate::report::{Counts, REPORTS, Report, report_labels, report_metadata};
use crate::series_cache::SeriesCache;

/// The state that a loop keeps between scrapes.
#[derive(Debug)]
pub struct TargetState {
    series: SeriesCache,
    metadata: Arc<Mutex<MetadataCache>>,
    /// The report series, once they are known.
    reports: [Option<SeriesRef>; REPORTS.len()],
    /// Borrowed from the thread, not kept with the target: see [`Buffers`].
    buffers: Buffers,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

impl TargetState {
    /// The state of a target that was never scraped. `seed` must be unknown to targets.
    pub fn new(seed: u64) -> Self {
        TargetState {
            series: SeriesCache::new(seed),
            metadata: Arc::default(),
            reports: [None; REPORTS.len()],
            buffers: Buffers::default(),
        }
    }

    /// Swaps in the thread's buffers, or swaps them back.
    fn swap_buffers(&mut self) {
        BUFFERS.with_borrow_mut(|lent| std::mem::swap(lent, &mut self.buffers));
    }

    /// The metadata from this target's pages.
    pub fn metadata(&self) -> &Arc<Mutex<MetadataCache>> {
        &self.metadata
    }

    /// Stores one scrape: its page, or staleness markers if there is none. `report` is called for the report's
    /// values once the page is done. Returns why the scrape failed, if it did, and whether the commit succeeded.
    pub fn store(
        &mut self,
        store: &dyn Appendable,
        context: &ScrapeContext<'_>,
        at: Timestamp,
        page: Result<&Page, &ScrapeError>,
        report: impl FnOnce(Counts, Option<&ScrapeError>) -> Report,
    ) -> (Option<ScrapeError>, Result<(), CommitError>) {
        self.swap_buffers();
        let mut appender = store.appender();
        let mut counts = Counts::default();
        let mut error = page.err().cloned();
        match page {
            Ok(page) if !page.body.is_empty() => {
                let mut taken = self.append_page(&mut *appender, context, at, page);
                if matches!(taken, (_, Err(PageFault::Forgotten))) {
                    drop(appender);
                    appender = store.appender();
                    taken = self.append_page(&mut *appender, context, at, page);
                }
                counts = taken.0;
                if let Err(fault) = taken.1 {
                    error = Some(match fault {
                        PageFault::Scrape(error) => error,
                        PageFault::Forgotten => ScrapeError::Storage(AppendError::UnknownSeries),
                    });
                    drop(appender);
                    appender = store.appender();
                    self.append_nothing(&mut *appender, context, at);
                }
            }
            Ok(_) | Err(_) => self.append_nothing(&mut *appender, context, at),
        }
        let report = report(counts, error.as_ref());
        self.append_report(&mut *appender, context, at, &report);
        self.swap_buffers();
        let committed = appender.commit(Durability::Written);
        if committed.is_err() {
            self.metadata.locked().lost();
            // Their metadata was lost as well and is sent with the next look-up.
            self.reports.fill(None);
        }
        (error, committed)
    }

    /// Stores the end of all series, because the target is gone.
    pub fn store_end(
        &mut self,
        store: &dyn Appendable,
        context: &ScrapeContext<'_>,
        at: Timestamp,
    ) -> Result<(), CommitError> {
        self.swap_buffers();
        let mut appender = store.appender();
        self.append_nothing(&mut *appender, context, at);
        self.append_report(&mut *appender, context, at, &Report::stale(context.job.extra_metrics));
        self.swap_buffers();
        appender.commit(Durability::Written)
    }

    /// A scrape without a page: all previous series end.
    fn append_nothing(&mut self, appender: &mut dyn Appender, context: &ScrapeContext<'_>, at: Timestamp) {
        self.series.abandon_round();
        self.append_markers(appender, at);
        self.end_round(context, false);
    }

    fn end_round(&mut self, context: &ScrapeContext<'_>, good: bool) {
        self.metadata.locked().end_round(good);
        if self.series.end_round(good) {
            context.metrics.cache_flush_forced.inc();
        }
    }

    /// Out-of-order markers, when another loop has taken over the target, are refused, as intended.
    fn append_markers(&mut self, appender: &mut dyn Appender, at: Timestamp) {
        let ended = self.series.ended_series();
        if ended.is_empty() {
            return;
        }
        for series in ended {
            self.buffers.batch.push_float(series, at, STALE_NAN);
        }
        self.buffers.batch.in_order_only = true;
        appender.append(&mut self.buffers.batch);
    }

    fn append_page(
        &mut self,
        appender: &mut dyn Appender,
        context: &ScrapeContext<'_>,
        at: Timestamp,
        page: &Page,
    ) -> (Counts, Result<(), PageFault>) {
        let intake = Intake::new(&mut self.series, &mut self.buffers, &mut *appender, context, at);
        let taken = intake.run(page, &self.metadata);
        if taken.1.is_ok() {
            self.append_markers(appender, at);
            self.end_round(context, true);
        }
        taken
    }

    fn append_report(
        &mut self,
        appender: &mut dyn Appender,
        context: &ScrapeContext<'_>,
        at: Timestamp,
        report: &Report,
    ) {
        // Retried once if the store has dropped the series meanwhile. Other refusals are expected: a page may have
        // series with these names, and another loop may have taken over the target.
        for _ in 0..2 {
            self.buffers.batch.clear();
            let mut slots = Vec::new();
            for (slot, value) in report.values() {
                let known = self.reports[slot];
                let series =
                    known.or_else(|| appender.resolve(&report_labels(REPORTS[slot], context.target)).ok());
                self.reports[slot] = series;
                if let Some(series) = series {
                    if known.is_none() && context.job.features.metadata {
                        self.buffers.batch.metadata.push((series, report_metadata(slot)));
                    }
                    self.buffers.batch.push_float(series, at, value);
                    slots.push(slot);
                }
            }
            self.buffers.batch.in_order_only = report.is_stale();
            let outcome = appender.append(&mut self.buffers.batch);
            let unknown =
                outcome.refused.iter().filter(|refusal| refusal.error == AppendError::UnknownSeries);
            let lost: Vec<usize> = unknown.filter_map(|refusal| slots.get(refusal.index).copied()).collect();
            if lost.is_empty() {
                return;
            }
            for slot in lost {
                self.reports[slot] = None;
            }
        }
    }
}
