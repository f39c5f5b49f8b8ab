//! The receiver of remote write 1.0 (here) and 2.0 ([`v2`]).
//!
//! One request is one commit. What is good is kept: a series with broken labels is left out and counted, a sample that
//! the store refuses is left out and the sender hears of it, an exemplar that is refused is left out. A request that
//! cannot be read, or that meets a failing store, leaves nothing behind.
//!
//! Unlike Prometheus, which takes a request of 1.0 back whole when one sample is refused: senders do not repeat what
//! was answered with 400, so the good samples would be lost.

pub mod headers;
pub mod message;
mod series_cache;
pub mod v2;

use ferula_model::labels::METRIC_NAME;
use ferula_model::{LabelSet, SeriesRef, Timestamp};
use ferula_storage::{
    AppendError, Appendable, Appender, CommitError, Durability, HistogramSample, SampleBatch, SampleKind,
};
use ferula_telemetry::{Counter, Registry, debug, warn};

use self::headers::{AcceptedMessages, UnpackError};
use self::message::{Item, RawLabel, TimeSeries, WriteRequest};
use self::series_cache::SeriesCache;
use crate::protobuf::ProtobufError;

/// Samples may be this far ahead of the clock.
const AHEAD_MILLIS_MAX: i64 = 10 * 60 * 1000;
/// A batch goes to the store when it holds this many samples, so that a request of 32 MB stays cheap.
const BATCH_SAMPLES: usize = 64 * 1024;

/// Why a request was not stored. Nothing of it is visible then, except where a variant says so.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// The body cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The block does not hold a write request.
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
    /// The store refused a sample.
    #[error(transparent)]
    Refused(#[from] AppendError),
    /// Samples were left out; all others were stored.
    #[error("{first}")]
    SamplesLeftOut {
        /// How many.
        count: usize,
        /// Why the first of them was.
        first: Box<WriteError>,
    },
    /// A sample is more than ten minutes ahead of the clock.
    #[error("out of bounds: timestamp is too far in the future")]
    TooFarAhead,
    /// New series were left out because the store is at a limit; all others were stored.
    #[error("{count} new series left out: {limit}")]
    NewSeries {
        /// How many.
        count: usize,
        /// Which limit.
        limit: AppendError,
    },
    /// The store could not commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl WriteError {
    /// Whether the sender is at fault and must not send the same again.
    pub fn is_senders(&self) -> bool {
        match self {
            WriteError::Unpack(_) | WriteError::Protobuf(_) => true,
            WriteError::TooFarAhead => true,
            WriteError::SamplesLeftOut { first, .. } => first.is_senders(),
            // Sent again, they would be refused again, and hold up the series that are known.
            WriteError::NewSeries { .. } => true,
            WriteError::Commit(_) => false,
            WriteError::Refused(error) => {
                !matches!(error, AppendError::UnknownSeries | AppendError::EmptyLabelSet)
            }
        }
    }
}

/// What a request brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Float and histogram samples.
    pub samples: usize,
    /// Series left out because their labels are broken.
    pub series_invalid: usize,
}

/// What the server's flags ask of receiving; the features are of requests of 2.0 only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The messages that are taken at all.
    pub accepted: AcceptedMessages,
    /// The stated types and units of metrics become labels (`type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// Start timestamps of samples go to the store (`st-storage`, `created-timestamp-zero-ingestion`).
    pub start_timestamps: bool,
    /// Metadata of series goes to the store (`metadata-wal-records`).
    pub metadata: bool,
}

/// Takes requests from any number of threads.
pub struct Receiver {
    features: Features,
    cache: SeriesCache,
    invalid_labels: Counter,
}

impl Receiver {
    /// A receiver that counts into `registry`.
    pub fn new(registry: &Registry, features: Features) -> Self {
        Receiver {
            features,
            cache: SeriesCache::new(),
            invalid_labels: registry.counter(
                "prometheus_api_remote_write_invalid_labels_samples_total",
                "The total number of received remote write samples and histogram samples which were rejected due to invalid labels.",
            ),
        }
    }

    /// Stores one request, unpacked already; returns when it is in the log.
    pub fn write(
        &self,
        store: &dyn Appendable,
        message: &[u8],
        now: Timestamp,
    ) -> Result<Written, WriteError> {
        match self.write_message(store, message, now) {
            // The store forgot series that the cache still knows: start over with an empty cache.
            Err(WriteError::Refused(AppendError::UnknownSeries)) => {
                self.cache.clear();
                self.write_message(store, message, now)
            }
            result => result,
        }
    }

    fn write_message(
        &self,
        store: &dyn Appendable,
        message: &[u8],
        now: Timestamp,
    ) -> Result<Written, WriteError> {
        let mut request = WriteRequest::new(message);
        let mut commit = Commit {
            appender: store.appender(),
            batch: SampleBatch::default(),
            latest: now.saturating_add_millis(AHEAD_MILLIS_MAX),
            written: Written::default(),
            left_out: None,
        };
        let mut left_out: Option<(usize, AppendError)> = None;
        let mut first_invalid = None;
        while let Some(series) = request.next_series()? {
            match self.resolve(&series, &mut *commit.appender) {
                Ok(Resolved::Series(series_ref)) => commit.add(series_ref, &series)?,
                Ok(Resolved::Invalid(problem)) => {
                    if commit.written.series_invalid == 0 {
                        first_invalid = Some((message::short_labels(&series.labels()?), problem));
                    }
                    commit.written.series_invalid += 1;
                }
                Ok(Resolved::Unknown) => commit.check(&series)?,
                Err(WriteError::Refused(limit)) if limit.is_limit() => {
                    left_out.get_or_insert((0, limit)).0 += 1;
                }
                Err(error) => return Err(error),
            }
        }
        commit.flush()?;
        let Commit { appender, written, left_out: samples_left_out, .. } = commit;
        appender.commit(Durability::Written)?;
        self.invalid_labels.add(written.series_invalid as u64);
        if let Some((got, reason)) = first_invalid {
            // One line a request: its sender decides how many series it has.
            warn!(
                "Invalid metric names or labels",
                series = written.series_invalid,
                first = got,
                reason = reason
            );
        }
        match (samples_left_out, left_out) {
            (Some((count, first)), _) => Err(WriteError::SamplesLeftOut { count, first: Box::new(first) }),
            (None, Some((count, limit))) => Err(WriteError::NewSeries { count, limit }),
            (None, None) => Ok(written),
        }
    }

    /// The series that the labels stand for.
    fn resolve(&self, series: &TimeSeries<'_>, appender: &mut dyn Appender) -> Result<Resolved, WriteError> {
        let key = self.cache.key(series.label_bytes()?);
        if let Some(known) = self.cache.get(key) {
            return Ok(Resolved::Series(known));
        }
        let mut labels = series.labels()?;
        labels.sort_unstable();
        let labels = match check_labels(&labels) {
            Ok(labels) => labels,
            Err(problem) => return Ok(Resolved::Invalid(problem)),
        };
        if !series.has_samples()? {
            return Ok(Resolved::Unknown);
        }
        let set = LabelSet::from_sorted(labels.into_iter().filter(|(_, value)| !value.is_empty()));
        let series_ref = appender.resolve(&set)?;
        self.cache.insert(key, series_ref);
        Ok(Resolved::Series(series_ref))
    }
}

/// What the labels of a request's series stand for.
enum Resolved {
    /// A series of the store, made for this if it was new.
    Series(SeriesRef),
    /// Nothing, because they are broken.
    Invalid(LabelProblem),
    /// A series that is not known and gets no sample. It is not made for exemplars alone.
    Unknown,
}

/// What is wrong with the labels of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum LabelProblem {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("no metric name")]
    NoMetricName,
    #[error("empty metric name")]
    EmptyMetricName,
    #[error("empty label name")]
    EmptyLabelName,
    #[error("duplicate label name")]
    DuplicateLabelName,
}

/// The labels as text if they are what Prometheus asks of a series', given in order of their names.
fn check_labels<'a>(labels: &[RawLabel<'a>]) -> Result<Vec<(&'a str, &'a str)>, LabelProblem> {
    let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| LabelProblem::NotUtf8);
    let labels: Vec<(&str, &str)> = labels
        .iter()
        .map(|(name, value)| Ok((text(name)?, text(value)?)))
        .collect::<Result<_, LabelProblem>>()?;
    match labels.iter().find(|(name, _)| *name == METRIC_NAME) {
        None => return Err(LabelProblem::NoMetricName),
        Some((_, "")) => return Err(LabelProblem::EmptyMetricName),
        Some(_) => {}
    }
    if labels.iter().any(|(name, _)| name.is_empty()) {
        return Err(LabelProblem::EmptyLabelName);
    }
    if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(LabelProblem::DuplicateLabelName);
    }
    Ok(labels)
}

/// One request on its way into the store.
struct Commit<'s> {
    appender: Box<dyn Appender + 's>,
    batch: SampleBatch,
    latest: Timestamp,
    written: Written,
    /// How many samples were left out, and why the first was.
    left_out: Option<(usize, WriteError)>,
}

impl Commit<'_> {
    fn add(&mut self, series: SeriesRef, message: &TimeSeries<'_>) -> Result<(), WriteError> {
        message.items(|item| {
            match item {
                Item::Sample(times, _) | Item::Histogram(times, _) if times.at > self.latest.millis() => {
                    self.leave_out(WriteError::TooFarAhead);
                }
                Item::Sample(times, value) => self.batch.push_float(series, times.at, value),
                Item::Histogram(times, value) => {
                    let timestamp = times.at;
                    self.batch.histograms.push(HistogramSample {
                        series,
                        timestamp,
                        start_timestamp: 0,
                        value,
                    });
                }
                Item::Exemplar(bytes) => {
                    let exemplar = message::exemplar(bytes)?;
                    if exemplar.timestamp <= self.latest {
                        self.batch.exemplars.push((series, exemplar));
                    }
                }
            }
            if self.batch.refs.len() + self.batch.histograms.len() + self.batch.exemplars.len()
                >= BATCH_SAMPLES
            {
                self.flush()?;
            }
            Ok::<(), WriteError>(())
        })
    }

    /// Reads what is not stored, so that broken bytes are noticed wherever they are.
    fn check(&self, message: &TimeSeries<'_>) -> Result<(), WriteError> {
        message.items(|item| {
            if let Item::Exemplar(bytes) = item {
                message::exemplar(bytes)?;
            }
            Ok::<(), WriteError>(())
        })
    }

    fn leave_out(&mut self, why: WriteError) {
        self.left_out.get_or_insert((0, why)).0 += 1;
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let outcome = self.appender.append(&mut self.batch);
        self.written.samples += outcome.accepted;
        for refusal in outcome.refused {
            if refusal.kind == SampleKind::Exemplar {
                debug!("Error while adding exemplar", err = refusal.error);
                continue;
            }
            let error = WriteError::Refused(refusal.error);
            if !error.is_senders() {
                return Err(error);
            }
            self.leave_out(error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
