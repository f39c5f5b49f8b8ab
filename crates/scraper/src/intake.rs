//! Puts one page into a batch: finds the series of each sample, applies the job's limits, and adds the sample.
//!
//! In the files below: the buffers (`buffers`), what the store refuses (`refusals`), what the comments of a page say
//! (`comments`), histograms with fewer buckets (`resolution`), series that two texts of one page mean (`collisions`).
//! Elsewhere: rolling back a refused page, staleness markers, and the report (`target_state`).

mod buffers;
mod collisions;
mod comments;
mod refusals;
mod resolution;

use std::sync::Mutex;

use ferula_exposition::key::decode;
use ferula_exposition::{Entry, ExemplarText, Format, KeyError, PageError, PageParser, Series};
use ferula_go::sync::MutexExt;
use ferula_model::value::is_stale;
use ferula_model::{LabelSet, MetricMetadata, MetricType, SeriesRef, Timestamp};
use ferula_storage::Appender;

pub(crate) use self::buffers::Buffers;
use self::buffers::SampleValue;
use self::comments::Comments;
pub(crate) use self::refusals::PageFault;
use self::refusals::Refused;
use self::resolution::{reduce_to_buckets, reduce_to_schema};
use crate::error::ScrapeError;
use crate::fetch::Page;
use crate::labels::StatedMetadata;
use crate::metadata_cache::{MetadataCache, is_of_family};
use crate::metrics::Metrics;
use crate::options::{JobOptions, PageOptions};
use crate::report::Counts;
use crate::series_cache::{Lookup, SeriesCache};

/// Samples further ahead of the clock than this are refused.
const AHEAD_MILLIS_MAX: i64 = 10 * 60 * 1000;

/// What stays the same for all scrapes of a loop.
pub struct ScrapeContext<'a> {
    /// The job.
    pub job: &'a JobOptions,
    /// What to read from the target's pages.
    pub page: PageOptions,
    /// The target labels that its series carry.
    pub target: &'a LabelSet,
    /// Counts refusals.
    pub metrics: &'a Metrics,
    /// The target's URL, for the log.
    pub url: &'a str,
}

/// Reads one page into a batch.
pub(crate) struct Intake<'a> {
    pub(crate) series: &'a mut SeriesCache,
    pub(crate) buffers: &'a mut Buffers,
    pub(crate) appender: &'a mut dyn Appender,
    context: &'a ScrapeContext<'a>,
    at: Timestamp,
    counts: Counts,
    refused: Refused,
    /// The number of samples passed to the store.
    taken: u64,
    over_sample_limit: bool,
    over_bucket_limit: bool,
    /// A text that was not known has its series now.
    is_series_new: bool,
    /// The metadata knows that the family of the last comment has a sample.
    is_family_sampled: bool,
}

/// A sample of a page, of either kind.
struct Sample<'p> {
    key: &'p [u8],
    value: SampleValue,
    timestamp: Option<i64>,
    start_timestamp: i64,
    kind: MetricType,
    exemplars: &'p [ExemplarText<'p>],
}

impl<'p> Sample<'p> {
    #[inline]
    fn of_series(series: &'p Series<'p>) -> Self {
        Sample {
            key: series.key,
            value: SampleValue::Float(series.value),
            timestamp: series.timestamp,
            start_timestamp: series.start_timestamp,
            kind: series.kind,
            exemplars: series.exemplar.as_slice(),
        }
    }
}

/// A sample's series, as far as the cache knows it.
struct SampleSeries {
    source: SeriesSource,
    /// The page has already had it.
    repeated: bool,
}

enum SeriesSource {
    Cached(u32, SeriesRef),
    /// With the hash of its key.
    Labels(u128, LabelSet),
}

impl<'a> Intake<'a> {
    pub(crate) fn new(
        series: &'a mut SeriesCache,
        buffers: &'a mut Buffers,
        appender: &'a mut dyn Appender,
        context: &'a ScrapeContext<'a>,
        at: Timestamp,
    ) -> Self {
        buffers.clear();
        Intake {
            series,
            buffers,
            appender,
            context,
            at,
            counts: Counts::default(),
            refused: Refused::default(),
            taken: 0,
            over_sample_limit: false,
            over_bucket_limit: false,
            is_series_new: false,
            is_family_sampled: true,
        }
    }

    /// Reads the page and passes its samples to the appender. Returns how many samples there were, and whether the page
    /// can be kept. If not, nothing of it is in the batch, and the cache has no round.
    pub(crate) fn run(
        mut self,
        page: &Page,
        metadata: &Mutex<MetadataCache>,
    ) -> (Counts, Result<(), PageFault>) {
        let result = match self.read(page, metadata) {
            Ok(()) => {
                if self.is_series_new
                    && let Some(collision) = collisions::find(&self.buffers.batch, &self.buffers.floats)
                {
                    let context = self.context;
                    if let Ok(format) = Format::of_response(&page.content_type, context.job.fallback) {
                        collision.tell(page, (format, context.page), context.url, self.series);
                    }
                }
                let outcome = self.appender.append(&mut self.buffers.batch);
                self.refused.judge(&outcome, self.buffers, self.series, &mut self.counts)
            }
            Err(error) => Err(error.into()),
        };
        if result.is_err() {
            // Samples before the fault are reported, though nothing is stored.
            if !matches!(result, Err(PageFault::Forgotten)) {
                self.counts.series_added = self.buffers.new_series();
            }
            self.buffers.batch.clear();
            self.series.abandon_round();
            return (self.counts, result);
        }
        self.refused.count(self.context.metrics, self.context.url);
        if let Some((count, limit)) = &self.counts.refused_new {
            let context = self.context;
            context.metrics.series_refused.with(&[&context.job.job_name]).add(*count);
            ferula_telemetry::warn!(
                "New series were not stored",
                component = "scrape manager",
                target = context.url,
                num_dropped = count,
                err = limit
            );
        }
        (self.counts, Ok(()))
    }

    /// Fills the batch with the samples of a page.
    /// The metadata is only locked for one comment at a time, so readers of the API do not wait for a page.
    fn read(&mut self, page: &Page, metadata: &Mutex<MetadataCache>) -> Result<(), ScrapeError> {
        let format = Format::of_response(&page.content_type, self.context.job.fallback)?;
        let mut parser = PageParser::with_options(&page.body, format, self.context.page);
        self.series.begin_page(format);
        let mut comments = Comments { unit_of_family: format == Format::Protobuf, ..Comments::default() };
        loop {
            // Most lines begin with the text that followed last time.
            if let Some(bytes) = self.series.expected_bytes()
                && let Some(series) = parser.next_known(bytes, |text| self.series.is_expected(text))
            {
                let found = self.series.take_expected();
                self.take(Sample::of_series(&series), Some(found), &comments, metadata)?;
                continue;
            }
            let entry = match parser.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    let is_sample = matches!(&error, PageError::Line(line) if line.is_sample);
                    self.counts.scraped += u64::from(is_sample);
                    return Err(ScrapeError::of_page(error, &page.body));
                }
            };
            match entry {
                Entry::Series(series) => {
                    self.take(Sample::of_series(&series), None, &comments, metadata)?;
                }
                Entry::Histogram(histogram) => {
                    let sample = Sample {
                        key: histogram.key,
                        value: SampleValue::Histogram(histogram.value),
                        timestamp: histogram.timestamp,
                        start_timestamp: histogram.start_timestamp,
                        kind: histogram.kind,
                        exemplars: histogram.exemplars,
                    };
                    self.take(sample, None, &comments, metadata)?;
                }
                comment => {
                    comments.note(&comment, &mut metadata.locked());
                    self.is_family_sampled = false;
                }
            }
        }
        let metrics = self.context.metrics;
        if self.over_sample_limit {
            metrics.exceeded_sample_limit.inc();
        }
        if self.over_bucket_limit {
            metrics.exceeded_bucket_limit.inc();
        }
        if self.over_sample_limit {
            Err(ScrapeError::SampleLimit)
        } else if self.over_bucket_limit {
            Err(ScrapeError::BucketLimit)
        } else {
            Ok(())
        }
    }

    /// Adds a sample to the batch. `found` is what the cache has of its key, if that was looked up already.
    #[inline]
    fn take(
        &mut self,
        sample: Sample<'_>,
        found: Option<Lookup>,
        comments: &Comments,
        metadata: &Mutex<MetadataCache>,
    ) -> Result<(), ScrapeError> {
        let job = self.context.job;
        self.counts.scraped += 1;
        let stated = StatedMetadata { kind: sample.kind, unit: &comments.unit };
        let Some(series) = self.series_of(&sample, found, stated)? else { return Ok(()) };
        self.counts.kept += 1;
        let own_time = sample.timestamp.filter(|_| job.honor_timestamps);
        if series.repeated && own_time.is_none() {
            self.refused.duplicates += 1;
            return Ok(());
        }
        // Parsing continues beyond a limit, so that the report can show how many samples there were.
        let Some(value) = self.within_limits(sample.value, &series)? else { return Ok(()) };
        if !self.is_family_sampled {
            metadata.locked().note_sample();
            self.is_family_sampled = true;
        }
        let time = own_time.unwrap_or(self.at.millis());
        if time > self.at.millis().saturating_add(AHEAD_MILLIS_MAX) {
            self.refused.out_of_bounds += 1;
            return Ok(());
        }
        if let SampleValue::Histogram(value) = &value
            && let Err(error) = value.validate()
        {
            // The page ends here, and this sample does not count as kept.
            self.counts.kept -= 1;
            return Err(ScrapeError::Histogram(error));
        }
        let news = match comments.family() {
            Some(family) if job.features.metadata => {
                self.news_of(sample.key, &series, stated, (family, metadata.locked().news_of(family)))
            }
            _ => None,
        };
        let Some(resolved) = self.resolved(series)? else { return Ok(()) };
        let (entry, series_ref, _) = resolved;
        let start = Timestamp::from_millis(sample.start_timestamp);
        self.buffers.push(resolved, value, Timestamp::from_millis(time), start);
        self.buffers.batch.metadata.extend(news.map(|metadata| (series_ref, metadata)));
        if own_time.is_none() || job.track_timestamps_staleness {
            self.series.track(entry);
        }
        if !sample.exemplars.is_empty() && job.features.exemplars {
            self.buffers.push_exemplars(series_ref, sample.exemplars, time);
        }
        Ok(())
    }

    /// The sample as it may be stored, with fewer buckets if necessary; `None` beyond a limit.
    fn within_limits(
        &mut self,
        value: SampleValue,
        series: &SampleSeries,
    ) -> Result<Option<SampleValue>, ScrapeError> {
        let job = self.context.job;
        let (value, is_marker) = match value {
            // An exporter may end a known series with its own marker, whatever the limit.
            SampleValue::Float(value) => (SampleValue::Float(value), is_stale(value)),
            SampleValue::Histogram(mut value) => {
                reduce_to_schema(&mut value, job.schema_max)?;
                if job.bucket_limit > 0 && !reduce_to_buckets(&mut value, job.bucket_limit)? {
                    self.over_bucket_limit = true;
                    return Ok(None);
                }
                let is_marker = value.is_stale();
                (SampleValue::Histogram(value), is_marker)
            }
        };
        if !is_marker || matches!(series.source, SeriesSource::Labels(..)) {
            self.taken += 1;
            self.over_sample_limit |= job.sample_limit > 0 && self.taken > job.sample_limit;
        }
        Ok((!self.over_sample_limit).then_some(value))
    }

    /// The metadata of a sample, if the sample belongs to the page's latest family and the store may lack it:
    /// the series is new, or the metadata has changed.
    fn news_of(
        &mut self,
        key: &[u8],
        series: &SampleSeries,
        stated: StatedMetadata<'_>,
        (family, metadata): (&str, Option<(&MetricMetadata, bool)>),
    ) -> Option<MetricMetadata> {
        let (metadata, changed) = metadata?;
        let is_of_it = match &series.source {
            SeriesSource::Labels(_, labels) => is_of_family(labels.metric_name(), family, metadata.kind),
            SeriesSource::Cached(..) if changed => {
                // The relabelled name is not cached.
                decode(key, stated.kind, &mut self.buffers.scratch).ok()?;
                let job = self.context.job;
                let labels = job.labels.stored(&self.buffers.scratch, stated, self.context.target);
                is_of_family(labels.ok().flatten()?.metric_name(), family, metadata.kind)
            }
            SeriesSource::Cached(..) => false,
        };
        is_of_it.then(|| metadata.clone())
    }

    /// What is known about a sample's series; `None` if relabelling drops it.
    #[inline]
    fn series_of(
        &mut self,
        sample: &Sample<'_>,
        found: Option<Lookup>,
        stated: StatedMetadata<'_>,
    ) -> Result<Option<SampleSeries>, ScrapeError> {
        match found.unwrap_or_else(|| self.series.lookup(sample.key)) {
            Lookup::Known { entry, series, repeated } => {
                let source = SeriesSource::Cached(entry, series);
                Ok(Some(SampleSeries { source, repeated }))
            }
            Lookup::Dropped => Ok(None),
            Lookup::Unknown(hash) => {
                // The labels of a protobuf page are validated here.
                decode(sample.key, sample.kind, &mut self.buffers.scratch)?;
                let job = self.context.job;
                let labels = job.labels.stored(&self.buffers.scratch, stated, self.context.target);
                let labels = labels.inspect_err(|error| {
                    if matches!(error, ScrapeError::LabelLimit(_)) {
                        self.context.metrics.exceeded_label_limits.inc();
                    }
                })?;
                match labels {
                    Some(labels) => {
                        let source = SeriesSource::Labels(hash, labels);
                        Ok(Some(SampleSeries { source, repeated: false }))
                    }
                    None => {
                        self.series.insert(hash, None);
                        Ok(None)
                    }
                }
            }
        }
    }

    /// The entry and series of a sample, created if new; `None` if the store accepts no new series.
    fn resolved(&mut self, series: SampleSeries) -> Result<Option<(u32, SeriesRef, bool)>, ScrapeError> {
        match series.source {
            SeriesSource::Cached(entry, series_ref) => Ok(Some((entry, series_ref, false))),
            SeriesSource::Labels(hash, labels) => match self.appender.resolve(&labels) {
                Ok(series_ref) => {
                    self.is_series_new = true;
                    Ok(Some((self.series.insert(hash, Some(series_ref)), series_ref, true)))
                }
                Err(limit) if limit.is_limit() => {
                    self.counts.refused_new.get_or_insert((0, limit)).0 += 1;
                    Ok(None)
                }
                Err(error) => Err(ScrapeError::Storage(error)),
            },
        }
    }
}

impl From<KeyError> for ScrapeError {
    fn from(error: KeyError) -> Self {
        ScrapeError::Labels(error)
    }
}
