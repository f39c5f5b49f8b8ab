//! The receiver of remote write 1.0 (here) and 2.0 ([`v2`]).
//!
//! One request is one commit. Valid parts are kept: a series with invalid labels is skipped and counted, a
//! sample that the store refuses is skipped and reported to the sender, and a refused exemplar is skipped. A
//! request that cannot be parsed, or during which the store fails, leaves nothing behind.
//!
//! Prometheus, in contrast, rolls back a whole 1.0 request when one sample is refused. Senders do not repeat
//! requests answered with 400, so the valid samples would be lost.

pub mod headers;
mod label_check;
pub mod message;
mod plain_series;
mod sent_series;
mod series_cache;
pub mod v2;

use std::sync::Mutex;

use ferula_go::sync::MutexExt;
use ferula_model::{LabelSet, SeriesRef, Timestamp};
use ferula_storage::{
    AppendError, Appendable, Appender, CommitError, Durability, HistogramSample, Lease, SampleBatch,
    SampleKind,
};
use ferula_telemetry::{Counter, Registry, debug, warn};

use self::headers::{AcceptedMessages, Encoding, UnpackError};
use self::label_check::{LabelProblem, check_labels};
use self::message::{Item, TimeSeries, WriteRequest};
use self::sent_series::{SentSeries, SeriesState};
use self::series_cache::SeriesCache;
use crate::protobuf::ProtobufError;
use crate::snappy;

/// How far ahead of the clock samples may be.
const AHEAD_MILLIS_MAX: i64 = 10 * 60 * 1000;
/// A batch is passed to the store at this size, so that a request of 32 MB stays cheap.
const BATCH_SAMPLES: usize = 64 * 1024;
/// So many series of a request are looked up together.
const WINDOW_SERIES: usize = 1024;
/// How many buffers for messages are kept, and up to which size.
const KEPT_BUFFERS_MAX: usize = 8;
const KEPT_BUFFER_BYTES_MAX: usize = 1 << 20;

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
    /// Buffers of finished requests.
    buffers: Mutex<Vec<Vec<u8>>>,
    invalid_labels: Counter,
    without_metadata: Counter,
}

impl Receiver {
    /// Creates a receiver that counts into `registry`.
    pub fn new(registry: &Registry, features: Features) -> Self {
        Receiver {
            features,
            cache: SeriesCache::new(),
            buffers: Mutex::default(),
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

    /// Decompresses the message of a body for `read`, in a buffer that an earlier request has used.
    pub fn with_message<T>(
        &self,
        encoding: Encoding,
        body: &[u8],
        memory: &Lease,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, UnpackError> {
        if encoding != Encoding::Snappy {
            return Ok(read(&encoding.unpack(body, memory)?));
        }
        let bytes = snappy::decoded_bytes(body)?;
        memory.grow(bytes)?;
        let mut buffer = self.buffers.locked().pop().unwrap_or_default();
        let result = snappy::decode_into(body, bytes, &mut buffer).map(read);
        let mut buffers = self.buffers.locked();
        if buffer.len() <= KEPT_BUFFER_BYTES_MAX && buffers.len() < KEPT_BUFFERS_MAX {
            buffers.push(buffer);
        }
        Ok(result?)
    }

    /// Stores one decompressed request; returns once it is in the log.
    pub fn write(
        &self,
        store: &dyn Appendable,
        message: &[u8],
        now: Timestamp,
    ) -> Result<Written, WriteError> {
        match self.write_message(store, message, now, Trust::Cache) {
            // The store has dropped series that the cache still knows.
            Err(WriteError::Refused(AppendError::UnknownSeries)) => {
                self.write_message(store, message, now, Trust::Store)
            }
            result => result,
        }
    }

    fn write_message(
        &self,
        store: &dyn Appendable,
        message: &[u8],
        now: Timestamp,
        trust: Trust,
    ) -> Result<Written, WriteError> {
        let mut request = WriteRequest::new(message);
        let mut commit = Commit {
            appender: store.appender(),
            batch: SampleBatch::default(),
            latest: now.saturating_add_millis(AHEAD_MILLIS_MAX),
            written: Written::default(),
            samples_left_out: None,
            series_left_out: None,
            first_invalid: None,
        };
        let (mut window, mut expected) = (Vec::with_capacity(WINDOW_SERIES), 0);
        loop {
            window.clear();
            while window.len() < WINDOW_SERIES
                && let Some(series) = request.next_series()?
            {
                window.push(SentSeries::new(series)?);
            }
            if window.is_empty() {
                break;
            }
            if trust == Trust::Cache {
                let mut lookups = self.cache.lookups(expected);
                for sent in &mut window {
                    let known = sent.label_bytes.and_then(|bytes| lookups.get(self.cache.key(bytes)));
                    sent.state = known.map_or(SeriesState::Unresolved, SeriesState::Known);
                }
                expected = lookups.expected();
            }
            self.resolve_unknown(&mut window, &mut *commit.appender)?;
            for sent in &window {
                match &sent.state {
                    SeriesState::Known(series) => commit.add(*series, sent)?,
                    _ => commit.skip(sent)?,
                }
            }
        }
        self.finish(commit)
    }

    /// Commits what was accepted, and reports what was not.
    fn finish(&self, mut commit: Commit<'_>) -> Result<Written, WriteError> {
        commit.flush()?;
        let Commit { appender, written, samples_left_out, series_left_out, first_invalid, .. } = commit;
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
        match (samples_left_out, series_left_out) {
            (Some((count, first)), _) => Err(WriteError::SamplesLeftOut { count, first: Box::new(first) }),
            (None, Some((count, limit))) => Err(WriteError::NewSeries { count, limit }),
            (None, None) => Ok(written),
        }
    }

    /// Looks up series that the cache does not know in the store, all at once, where they are created if they have samples.
    fn resolve_unknown(
        &self,
        window: &mut [SentSeries<'_>],
        appender: &mut dyn Appender,
    ) -> Result<(), WriteError> {
        let (mut sets, mut places, mut without_samples) = (Vec::new(), Vec::new(), Vec::new());
        for (place, sent) in window.iter_mut().enumerate() {
            if !matches!(sent.state, SeriesState::Unresolved) {
                continue;
            }
            let mut labels = sent.series.labels()?;
            labels.sort_unstable();
            match check_labels(&labels) {
                Ok(labels) => {
                    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
                    let set = LabelSet::from_sorted(labels);
                    if sent.series.has_samples()? {
                        sets.push(set);
                        places.push(place);
                    } else {
                        without_samples.push((place, set));
                    }
                }
                Err(problem) => sent.state = SeriesState::Invalid(problem),
            }
        }
        let mut found = Vec::with_capacity(sets.len());
        for (place, resolved) in places.into_iter().zip(appender.resolve_all(&sets)) {
            let sent = &mut window[place];
            match resolved {
                Ok(series) => {
                    sent.state = SeriesState::Known(series);
                    found.extend(sent.label_bytes.map(|bytes| (self.cache.key(bytes), series)));
                }
                Err(limit) if limit.is_limit() => sent.state = SeriesState::Refused(limit),
                Err(error) => return Err(error.into()),
            }
        }
        self.cache.insert(&found);
        // No series is created just for exemplars.
        for (place, set) in without_samples {
            if let Some(series) = appender.find(&set) {
                window[place].state = SeriesState::Known(series);
            }
        }
        Ok(())
    }
}

/// What tells which series of the store a label set is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The cache, and the store for what it does not know.
    Cache,
    /// The store alone. What it says replaces what the cache has.
    Store,
}

/// The state of one request that is being stored.
struct Commit<'s> {
    appender: Box<dyn Appender + 's>,
    batch: SampleBatch,
    latest: Timestamp,
    written: Written,
    /// How many samples were skipped, and why the first one was.
    samples_left_out: Option<(usize, WriteError)>,
    /// How many series had no room in the store, and why the first one had none.
    series_left_out: Option<(usize, AppendError)>,
    /// The labels of the first series with invalid ones, shortened.
    first_invalid: Option<(String, LabelProblem)>,
}

impl Commit<'_> {
    #[inline]
    fn add(&mut self, series: SeriesRef, sent: &SentSeries<'_>) -> Result<(), WriteError> {
        let Some(mut samples) = sent.plain_samples else { return self.add_items(series, &sent.series) };
        while let Some((sample, rest)) = plain_series::split_sample(samples) {
            samples = rest;
            let (value, at) = match plain_series::sample(sample) {
                Some(plain) => plain,
                None => message::sample(sample).map(|(times, value)| (value, times.at))?,
            };
            self.add_float(series, at, value)?;
        }
        Ok(())
    }

    #[inline]
    fn add_float(&mut self, series: SeriesRef, at: i64, value: f64) -> Result<(), WriteError> {
        if at > self.latest.millis() {
            self.leave_out(WriteError::TooFarAhead);
            return Ok(());
        }
        self.batch.push_float(series, Timestamp::from_millis(at), value);
        if self.batch.refs.len() >= BATCH_SAMPLES { self.flush() } else { Ok(()) }
    }

    /// Adds a series in any shape.
    fn add_items(&mut self, series: SeriesRef, message: &TimeSeries<'_>) -> Result<(), WriteError> {
        message.items(|item| {
            match item {
                Item::Sample(times, value) => self.add_float(series, times.at, value)?,
                Item::Histogram(times, _) if times.at > self.latest.millis() => {
                    self.leave_out(WriteError::TooFarAhead);
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

    /// Notes why a series is not written. It is parsed all the same, so that malformed bytes in it are an error.
    fn skip(&mut self, sent: &SentSeries<'_>) -> Result<(), WriteError> {
        self.check(&sent.series)?;
        match &sent.state {
            SeriesState::Invalid(problem) => {
                if self.first_invalid.is_none() {
                    self.first_invalid = Some((message::short_labels(&sent.series.labels()?), *problem));
                }
                self.written.series_invalid += 1;
            }
            SeriesState::Refused(limit) => {
                self.series_left_out.get_or_insert_with(|| (0, limit.clone())).0 += 1;
            }
            SeriesState::Known(_) | SeriesState::Unresolved => {}
        }
        Ok(())
    }

    fn leave_out(&mut self, why: WriteError) {
        self.samples_left_out.get_or_insert((0, why)).0 += 1;
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
