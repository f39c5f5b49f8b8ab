//! What a loop keeps between scrapes, and how one scrape is stored with it.
//!
//! A scrape is one commit: samples of the page, staleness markers of what ended, and the report series. A page with a
//! fault is rolled back whole, and then only markers and report are stored.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use ferula_exposition::key::{decode, decode_exemplar};
use ferula_exposition::{Entry, ExemplarText, Format, LabelScratch, PageParser, Series};
use ferula_model::value::STALE_NAN;
use ferula_model::{Exemplar, LabelSet, MetricMetadata, SeriesRef, Timestamp};
use ferula_storage::{
    AppendError, AppendOutcome, Appendable, Appender, CommitError, Durability, SampleBatch, SampleKind,
};

use crate::error::{BadLine, ScrapeError};
use crate::fetch::Page;
use crate::labels::Stated;
use crate::metadata_cache::{MetadataCache, is_of_family};
use crate::metrics::Metrics;
use crate::options::JobOptions;
use crate::report::{REPORTS, Report, report_labels, report_metadata};
use crate::series_cache::{Lookup, SeriesCache};

/// Samples this far ahead of the clock are refused.
const AHEAD_MILLIS_MAX: i64 = 10 * 60 * 1000;

/// What a loop keeps between scrapes.
#[derive(Debug)]
pub struct TargetState {
    series: SeriesCache,
    metadata: Arc<Mutex<MetadataCache>>,
    /// Series of the reports, once they are known.
    reports: [Option<SeriesRef>; REPORTS.len()],
    /// Of a thread, not of the target: see [`Buffers`].
    buffers: Buffers,
}

/// What one page needs while it is stored. Lent by the thread that stores it, so that memory goes with the number of
/// pages being stored, not with the number of targets.
#[derive(Debug, Default)]
struct Buffers {
    batch: SampleBatch,
    /// For every float sample of the batch: which entry of the cache it belongs to, and whether that is a new series.
    pushed: Vec<(u32, bool)>,
    scratch: LabelScratch,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// What is the same for all scrapes of a loop.
pub struct Setting<'a> {
    /// The job.
    pub job: &'a JobOptions,
    /// The target's labels that its series carry.
    pub target: &'a LabelSet,
    /// Where refusals are counted.
    pub metrics: &'a Metrics,
    /// The target's URL, for the log.
    pub url: &'a str,
}

/// How many samples a page had.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// On the page.
    pub scraped: u64,
    /// Left after relabelling.
    pub kept: u64,
    /// Of series that the page before did not have.
    pub series_added: u64,
    /// Of new series that the store did not take, because it is at a limit, and the limit.
    pub refused_new: Option<(u64, AppendError)>,
}

/// Samples of one page that the store or a rule of ours refused.
#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    duplicates: u64,
    out_of_order: u64,
    out_of_bounds: u64,
    exemplars_out_of_order: u64,
}

/// Why a page was not taken.
enum PageFault {
    Scrape(ScrapeError),
    /// The store has dropped series that the cache still knew; the cache forgot them, and the page can be read again.
    Forgotten,
}

impl From<ScrapeError> for PageFault {
    fn from(error: ScrapeError) -> Self {
        PageFault::Scrape(error)
    }
}

impl TargetState {
    /// The state of a target that was never scraped. `seed` must not be known to targets.
    pub fn new(seed: u64) -> Self {
        TargetState {
            series: SeriesCache::new(seed),
            metadata: Arc::default(),
            reports: [None; REPORTS.len()],
            buffers: Buffers::default(),
        }
    }

    /// Takes the thread's buffers, or gives them back.
    fn swap_buffers(&mut self) {
        BUFFERS.with_borrow_mut(|lent| std::mem::swap(lent, &mut self.buffers));
    }

    /// The metadata that pages of this target gave.
    pub fn metadata(&self) -> &Arc<Mutex<MetadataCache>> {
        &self.metadata
    }

    /// Stores one scrape: its page, or the staleness markers when there is none. `report` is asked for the report's
    /// values once the page is done. Returns why the scrape failed, if it did, and whether the commit went through.
    pub fn store(
        &mut self,
        store: &dyn Appendable,
        setting: &Setting<'_>,
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
                let mut taken = self.append_page(&mut *appender, setting, at, page);
                if matches!(taken, (_, Err(PageFault::Forgotten))) {
                    drop(appender);
                    appender = store.appender();
                    taken = self.append_page(&mut *appender, setting, at, page);
                }
                counts = taken.0;
                if let Err(fault) = taken.1 {
                    error = Some(match fault {
                        PageFault::Scrape(error) => error,
                        PageFault::Forgotten => ScrapeError::Storage(AppendError::UnknownSeries),
                    });
                    drop(appender);
                    appender = store.appender();
                    self.append_nothing(&mut *appender, setting, at);
                }
            }
            Ok(_) | Err(_) => self.append_nothing(&mut *appender, setting, at),
        }
        let report = report(counts, error.as_ref());
        self.append_report(&mut *appender, setting, at, &report);
        self.swap_buffers();
        let committed = appender.commit(Durability::Written);
        if committed.is_err() {
            self.metadata.lock().unwrap_or_else(PoisonError::into_inner).lost();
            // Their metadata was lost as well, and goes with the next look-up.
            self.reports.fill(None);
        }
        (error, committed)
    }

    /// Stores the end of everything: the target is gone.
    pub fn store_end(
        &mut self,
        store: &dyn Appendable,
        setting: &Setting<'_>,
        at: Timestamp,
    ) -> Result<(), CommitError> {
        self.swap_buffers();
        let mut appender = store.appender();
        self.append_nothing(&mut *appender, setting, at);
        self.append_report(&mut *appender, setting, at, &Report::stale(setting.job.extra_metrics));
        self.swap_buffers();
        appender.commit(Durability::Written)
    }

    /// A scrape without a page: whatever was there has ended.
    fn append_nothing(&mut self, appender: &mut dyn Appender, setting: &Setting<'_>, at: Timestamp) {
        self.series.abandon_round();
        self.append_markers(appender, at);
        self.end_round(setting, false);
    }

    fn end_round(&mut self, setting: &Setting<'_>, good: bool) {
        self.metadata.lock().unwrap_or_else(PoisonError::into_inner).end_round(good);
        if self.series.end_round(good) {
            setting.metrics.cache_flush_forced.inc();
        }
    }

    /// Markers that come too late, because the target is back under another loop, are refused and that is right.
    fn append_markers(&mut self, appender: &mut dyn Appender, at: Timestamp) {
        let ended = self.series.ended_series();
        if ended.is_empty() {
            return;
        }
        for series in ended {
            self.buffers.batch.push_float(series, at.millis(), STALE_NAN);
        }
        self.buffers.batch.in_order_only = true;
        appender.append(&mut self.buffers.batch);
    }

    fn append_page(
        &mut self,
        appender: &mut dyn Appender,
        setting: &Setting<'_>,
        at: Timestamp,
        page: &Page,
    ) -> (Counts, Result<(), PageFault>) {
        let mut counts = Counts::default();
        let mut refused = Refused::default();
        self.buffers.batch.clear();
        self.buffers.pushed.clear();
        let result = match self.read_page(appender, setting, at, page, &mut counts, &mut refused) {
            Ok(()) => {
                let outcome = appender.append(&mut self.buffers.batch);
                self.judge(&outcome, &mut counts, &mut refused)
            }
            Err(error) => Err(error.into()),
        };
        if result.is_err() {
            // What stood above the fault is reported, though nothing of it is stored.
            if !matches!(result, Err(PageFault::Forgotten)) {
                counts.series_added = self.new_series();
            }
            self.buffers.batch.clear();
            self.series.abandon_round();
            return (counts, result);
        }
        refused.count(setting);
        if let Some((count, limit)) = &counts.refused_new {
            setting.metrics.series_refused.with(&[&setting.job.job_name]).add(*count);
            ferula_telemetry::warn!(
                "New series were not stored",
                component = "scrape manager",
                target = setting.url,
                num_dropped = count,
                err = limit
            );
        }
        self.append_markers(appender, at);
        self.end_round(setting, true);
        (counts, Ok(()))
    }

    /// Fills the batch with the samples of a page.
    fn read_page(
        &mut self,
        appender: &mut dyn Appender,
        setting: &Setting<'_>,
        at: Timestamp,
        page: &Page,
        counts: &mut Counts,
        refused: &mut Refused,
    ) -> Result<(), ScrapeError> {
        let format = Format::of_response(&page.content_type, setting.job.fallback)?;
        let mut parser = PageParser::new(&page.body, format);
        if setting.job.features.start_timestamps {
            parser = parser.with_start_timestamps();
        }
        let metadata = self.metadata.clone();
        let mut metadata = metadata.lock().unwrap_or_else(PoisonError::into_inner);
        let mut over_limit = false;
        let mut taken = 0;
        let mut comments = Comments::default();
        let bad_line = |error| ScrapeError::Parse(BadLine::of(error, &page.body));
        while let Some(entry) = parser.next().map_err(bad_line)? {
            let Some(series) = comments.note(entry, &mut metadata) else { continue };
            counts.scraped += 1;
            let stated = Stated { kind: series.kind, unit: comments.unit };
            let Some(known) = self.known(setting, &series, stated)? else { continue };
            counts.kept += 1;
            let own_time = series.timestamp.filter(|_| setting.job.honor_timestamps);
            if known.repeated && own_time.is_none() {
                refused.duplicates += 1;
                continue;
            }
            // Parsing goes on beyond the limit, so that the report says how many samples there were.
            taken += 1;
            over_limit |= setting.job.sample_limit > 0 && taken > setting.job.sample_limit;
            if over_limit {
                continue;
            }
            let time = own_time.unwrap_or(at.millis());
            if time > at.millis().saturating_add(AHEAD_MILLIS_MAX) {
                refused.out_of_bounds += 1;
                continue;
            }
            let news = match comments.family {
                Some(name) if setting.job.features.metadata => {
                    let name = &String::from_utf8_lossy(name);
                    self.news_of(setting, &known, &series, stated, (name, metadata.news_of(name)))
                }
                _ => None,
            };
            let Some((entry, series_ref, new)) = self.resolved(appender, known, counts)? else { continue };
            let batch = &mut self.buffers.batch;
            batch.push_float_with_start(series_ref, time, series.value, series.start_timestamp);
            batch.metadata.extend(news.map(|metadata| (series_ref, metadata)));
            self.buffers.pushed.push((entry, new));
            if own_time.is_none() || setting.job.track_timestamps_staleness {
                self.series.track(entry);
            }
            if let Some(exemplar) = series.exemplar.filter(|_| setting.job.features.exemplars) {
                self.push_exemplar(series_ref, &exemplar, time);
            }
        }
        if over_limit {
            setting.metrics.exceeded_sample_limit.inc();
            return Err(ScrapeError::SampleLimit);
        }
        Ok(())
    }

    /// The metadata of a sample, if the sample is of the family that the page stated last and the store may not have it:
    /// the series is new, or the metadata has changed.
    fn news_of(
        &mut self,
        setting: &Setting<'_>,
        known: &Known,
        series: &Series<'_>,
        stated: Stated<'_>,
        (family, metadata): (&str, Option<(&MetricMetadata, bool)>),
    ) -> Option<MetricMetadata> {
        let (metadata, changed) = metadata?;
        let is_of_it = match &known.found {
            Found::Labels(_, labels) => is_of_family(labels.metric_name(), family, metadata.kind),
            Found::Entry(..) if changed || known.new => {
                // What relabelling made of the name is not kept.
                decode(series.key, series.kind, &mut self.buffers.scratch)
                    .expect("keys of a parser are keys");
                let labels = setting.job.labels.stored(&self.buffers.scratch, stated, setting.target);
                is_of_family(labels.ok().flatten()?.metric_name(), family, metadata.kind)
            }
            Found::Entry(..) => false,
        };
        is_of_it.then(|| metadata.clone())
    }

    /// What is known of a sample's series; `None` when relabelling drops it.
    fn known(
        &mut self,
        setting: &Setting<'_>,
        series: &Series<'_>,
        stated: Stated<'_>,
    ) -> Result<Option<Known>, ScrapeError> {
        match self.series.lookup(series.key) {
            Lookup::Known { entry, series, repeated, recent } => {
                Ok(Some(Known { found: Found::Entry(entry, series), repeated, new: !recent }))
            }
            Lookup::Dropped => Ok(None),
            Lookup::Unknown(hash) => {
                decode(series.key, series.kind, &mut self.buffers.scratch)
                    .expect("keys of a parser are keys");
                let labels = setting.job.labels.stored(&self.buffers.scratch, stated, setting.target);
                let labels = labels.inspect_err(|error| {
                    if matches!(error, ScrapeError::LabelLimit(_)) {
                        setting.metrics.exceeded_label_limits.inc();
                    }
                })?;
                match labels {
                    Some(labels) => {
                        Ok(Some(Known { found: Found::Labels(hash, labels), repeated: false, new: true }))
                    }
                    None => {
                        self.series.insert(hash, None);
                        Ok(None)
                    }
                }
            }
        }
    }

    /// The entry and series of a sample, made if they are new; `None` when the store takes no new series.
    fn resolved(
        &mut self,
        appender: &mut dyn Appender,
        known: Known,
        counts: &mut Counts,
    ) -> Result<Option<(u32, SeriesRef, bool)>, ScrapeError> {
        match known.found {
            Found::Entry(entry, series) => Ok(Some((entry, series, known.new))),
            Found::Labels(hash, labels) => match appender.resolve(&labels) {
                Ok(series) => Ok(Some((self.series.insert(hash, Some(series)), series, true))),
                Err(limit) if limit.is_limit() => {
                    counts.refused_new.get_or_insert((0, limit)).0 += 1;
                    Ok(None)
                }
                Err(error) => Err(ScrapeError::Storage(error)),
            },
        }
    }

    fn push_exemplar(&mut self, series: SeriesRef, exemplar: &ExemplarText<'_>, sample_time: i64) {
        decode_exemplar(exemplar.labels, &mut self.buffers.scratch).expect("labels of a parser are labels");
        let exemplar = Exemplar {
            labels: self.buffers.scratch.to_label_set(),
            value: exemplar.value,
            timestamp: Timestamp::from_millis(exemplar.timestamp.unwrap_or(sample_time)),
            has_timestamp: exemplar.timestamp.is_some(),
        };
        self.buffers.batch.exemplars.push((series, exemplar));
    }

    /// Samples of the page whose series the page before did not have.
    fn new_series(&self) -> u64 {
        self.buffers.pushed.iter().filter(|(_, new)| *new).count() as u64
    }

    /// Counts what the store took and what it refused, and tells the cache.
    fn judge(
        &mut self,
        outcome: &AppendOutcome,
        counts: &mut Counts,
        refused: &mut Refused,
    ) -> Result<(), PageFault> {
        counts.series_added = self.new_series();
        let mut forgotten = Vec::new();
        for refusal in &outcome.refused {
            if refusal.kind == SampleKind::Exemplar {
                refused.exemplars_out_of_order += u64::from(refusal.error == AppendError::OutOfOrderExemplar);
                continue;
            }
            let Some((entry, new)) = self.buffers.pushed.get(refusal.index).copied() else { continue };
            match &refusal.error {
                AppendError::DuplicateForTimestamp => refused.duplicates += 1,
                AppendError::OutOfOrder => refused.out_of_order += 1,
                AppendError::OutOfBounds | AppendError::TooOld => refused.out_of_bounds += 1,
                AppendError::UnknownSeries => forgotten.push(entry),
                other => return Err(ScrapeError::Storage(other.clone()).into()),
            }
            self.series.refused(entry, new);
            counts.series_added -= u64::from(new);
        }
        if forgotten.is_empty() {
            return Ok(());
        }
        self.series.restart_round();
        self.series.forget(forgotten);
        Err(PageFault::Forgotten)
    }

    fn append_report(
        &mut self,
        appender: &mut dyn Appender,
        setting: &Setting<'_>,
        at: Timestamp,
        report: &Report,
    ) {
        // Once more when the store has dropped the series meanwhile. Other refusals are expected: a page may have
        // series of these names, and a target may be back under another loop.
        for _ in 0..2 {
            self.buffers.batch.clear();
            let mut slots = Vec::new();
            for (slot, value) in report.values() {
                let known = self.reports[slot];
                let series =
                    known.or_else(|| appender.resolve(&report_labels(REPORTS[slot], setting.target)).ok());
                self.reports[slot] = series;
                if let Some(series) = series {
                    if known.is_none() && setting.job.features.metadata {
                        self.buffers.batch.metadata.push((series, report_metadata(slot)));
                    }
                    self.buffers.batch.push_float(series, at.millis(), value);
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

/// What the comments of a page stated last.
#[derive(Default)]
struct Comments<'p> {
    /// Holds until the next one, also for families that state none, as in Prometheus.
    unit: &'p str,
    /// The family of the last comment.
    family: Option<&'p [u8]>,
}

impl<'p> Comments<'p> {
    /// Takes a comment in; what is a sample comes back.
    #[inline]
    fn note(&mut self, entry: Entry<'p>, metadata: &mut MetadataCache) -> Option<Series<'p>> {
        let metric = match entry {
            Entry::Series(series) => return Some(series),
            Entry::Type { metric, kind } => {
                metadata.set_kind(metric, kind);
                metric
            }
            Entry::Help { metric, text } => {
                metadata.set_help(metric, &text);
                metric
            }
            Entry::Unit { metric, unit } => {
                self.unit = std::str::from_utf8(unit).unwrap_or_default();
                metadata.set_unit(metric, unit);
                metric
            }
        };
        self.family = Some(metric);
        None
    }
}

/// A sample's series, as far as the cache knows it.
struct Known {
    found: Found,
    /// The page has it for the second time.
    repeated: bool,
    /// The page before did not have it.
    new: bool,
}

enum Found {
    Entry(u32, SeriesRef),
    Labels(u128, LabelSet),
}

impl Refused {
    /// Counts and logs, once for a page.
    fn count(&self, setting: &Setting<'_>) {
        let metrics = setting.metrics;
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
                    target = setting.url,
                    num_dropped = count
                );
            }
        }
    }
}
