//! The receiver of remote write 1.0 (here) and 2.0 ([`v2`]).
//!
//! One request is one commit. Valid parts are kept: a series with invalid labels is skipped and counted, a
//! sample that the store refuses is skipped and reported to the sender, and a refused exemplar is skipped. A
//! request that cannot be parsed, or during which the store fails, leaves nothing behind.
//!
//! Prometheus, in contrast, rolls back a whole 1.0 request when one sample is refused. Senders do not repeat
//! requests answered with 400, so the valid samples would be lost.

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

/// How far ahead of the clock samples may be.
const AHEAD_MILLIS_MAX: i64 = 10 * 60 * 1000;
/// A batch is passed to the store at this size, so that a request of 32 MB stays cheap.
const BATCH_SAMPLES: usize = 64 * 1024;

/// Why a request was not stored. Nothing of it is visible then, unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// The body cannot be decompressed.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The body is not a write request.
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
    /// The store refused a sample.
    #[error(transparent)]
    Refused(#[from] AppendError),
    /// Some samples were skipped; all others were stored.
    #[error("{first}")]
    SamplesLeftOut {
        count: usize,
        /// Why the first of them was skipped.
        first: Box<WriteError>,
    },
    /// A sample is more than ten minutes ahead of the clock.
    #[error("out of bounds: timestamp is too far in the future")]
    TooFarAhead,
    /// New series were skipped because the store is at a limit; all other samples were stored.
    #[error("{count} new series left out: {limit}")]
    NewSeries { count: usize, limit: AppendError },
    /// The commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl WriteError {
    /// Whether the sender is at fault and must not send the request again.
    pub fn is_senders(&self) -> bool {
        match self {
            WriteError::Unpack(_) | WriteError::Protobuf(_) => true,
            WriteError::TooFarAhead => true,
            WriteError::SamplesLeftOut { first, .. } => first.is_senders(),
            // A repeated request would be refused again, and would delay the known series.
            WriteError::NewSeries { .. } => true,
            WriteError::Commit(_) => false,
            WriteError::Refused(error) => {
                !matches!(error, AppendError::UnknownSeries | AppendError::EmptyLabelSet)
            }
        }
    }
}

/// The content of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Float and histogram samples.
    pub samples: usize,
    /// Series skipped because of invalid labels.
    pub series_invalid: usize,
}

/// Settings of the receiver from the server's flags; the features affect only 2.0 requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The accepted messages.
    pub accepted: AcceptedMessages,
    /// Stated types and units of metrics become labels (`type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// Start timestamps of samples are stored (`st-storage`, `created-timestamp-zero-ingestion`).
    pub start_timestamps: bool,
    /// Metadata of series is stored (`metadata-wal-records`).
    pub metadata: bool,
}

/// Receives requests on any number of threads.
pub struct Receiver {
    features: Features,
    cache: SeriesCache,
    invalid_labels: Counter,
    without_metadata: Counter,
}

impl Receiver {
    /// Creates a receiver that counts into `registry`.
    pub fn new(registry: &Registry, features: Features) -> Self {
        Receiver {
            features,
            cache: SeriesCache::new(),
            invalid_labels: registry.counter(
                "prometheus_api_remote_write_invalid_labels_samples_total",
                "Received samples, floats and histograms, that were skipped because the labels of their series are invalid.",
            ),
            without_metadata: registry.counter(
                "prometheus_api_remote_write_without_metadata_appended_samples_total",
                "Samples of remote write 1.0, whose series carry no metadata, that a commit failed to store. Prometheus counts \
                 only these, too.",
            ),
        }
    }

    /// Stores one decompressed request; returns once it is in the log.
    pub fn write(
        &self,
        store: &dyn Appendable,
        message: &[u8],
        now: Timestamp,
    ) -> Result<Written, WriteError> {
        match self.write_message(store, message, now) {
            // The store has dropped series that the cache still knows: start over with an empty cache.
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
                Ok(SeriesLookup::Series(series_ref)) => commit.add(series_ref, &series)?,
                Ok(SeriesLookup::Invalid(problem)) => {
                    if commit.written.series_invalid == 0 {
                        first_invalid = Some((message::short_labels(&series.labels()?), problem));
                    }
                    commit.written.series_invalid += 1;
                }
                Ok(SeriesLookup::Unknown) => commit.check(&series)?,
                Err(WriteError::Refused(limit)) if limit.is_limit() => {
                    left_out.get_or_insert((0, limit)).0 += 1;
                }
                Err(error) => return Err(error),
            }
        }
        commit.flush()?;
        let Commit { appender, written, left_out: samples_left_out, .. } = commit;
        if let Err(error) = appender.commit(Durability::Written) {
            self.without_metadata.add(written.samples as u64);
            return Err(error.into());
        }
        self.invalid_labels.add(written.series_invalid as u64);
        if let Some((got, reason)) = first_invalid {
            // One line per request, because the sender decides how many series there are.
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

    /// The series with these labels.
    fn resolve(
        &self,
        series: &TimeSeries<'_>,
        appender: &mut dyn Appender,
    ) -> Result<SeriesLookup, WriteError> {
        let key = self.cache.key(series.label_bytes()?);
        if let Some(known) = self.cache.get(key) {
            return Ok(SeriesLookup::Series(known));
        }
        let mut labels = series.labels()?;
        labels.sort_unstable();
        let labels = match check_labels(&labels) {
            Ok(labels) => labels,
            Err(problem) => return Ok(SeriesLookup::Invalid(problem)),
        };
        if !series.has_samples()? {
            return Ok(SeriesLookup::Unknown);
        }
        let set = LabelSet::from_sorted(labels.into_iter().filter(|(_, value)| !value.is_empty()));
        let series_ref = appender.resolve(&set)?;
        self.cache.insert(key, series_ref);
        Ok(SeriesLookup::Series(series_ref))
    }
}

/// The result of looking up the labels of a series.
enum SeriesLookup {
    /// A series of the store, created if necessary.
    Series(SeriesRef),
    /// The labels are invalid.
    Invalid(LabelProblem),
    /// An unknown series without samples. It is not created just for exemplars.
    Unknown,
}

/// Why the labels of a series are invalid.
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

/// The labels as text, sorted by name, if they fulfil Prometheus' requirements on series.
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

/// The state of one request that is being stored.
struct Commit<'s> {
    appender: Box<dyn Appender + 's>,
    batch: SampleBatch,
    latest: Timestamp,
    written: Written,
    /// How many samples were skipped, and why the first one was.
    left_out: Option<(usize, WriteError)>,
}

impl Commit<'_> {
    fn add(&mut self, series: SeriesRef, message: &TimeSeries<'_>) -> Result<(), WriteError> {
        message.items(|item| {
            match item {
                Item::Sample(times, _) | Item::Histogram(times, _) if times.at > self.latest.millis() => {
                    self.leave_out(WriteError::TooFarAhead);
                }
                Item::Sample(times, value) => {
                    self.batch.push_float(series, Timestamp::from_millis(times.at), value)
                }
                Item::Histogram(times, value) => {
                    let timestamp = Timestamp::from_millis(times.at);
                    self.batch.histograms.push(HistogramSample {
                        series,
                        timestamp,
                        start_timestamp: Timestamp::EPOCH,
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

    /// Parses what is not stored, so that malformed bytes are noticed anywhere.
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
