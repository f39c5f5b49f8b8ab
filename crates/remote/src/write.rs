//! The receiver of remote write 1.0 (here) and 2.0 ([`v2`]).
//!
//! One request is one commit. In 1.0 a sample that the store refuses takes the whole request back; a series with
//! broken labels is left out and counted; exemplars that are refused are left out, as in Prometheus. In 2.0 what is
//! good is kept, and the sender hears what was not.

pub mod message;
mod series_cache;
pub mod v2;

use ferula_model::labels::METRIC_NAME;
use ferula_model::{LabelSet, SeriesRef, Timestamp};
use ferula_storage::{
    AppendError, Appendable, Appender, CommitError, Durability, HistogramSample, SampleBatch, SampleKind,
};
use ferula_telemetry::{Counter, Registry, debug, warn};

use self::message::{Item, TimeSeries, WriteRequest};
use self::series_cache::SeriesCache;
use crate::protobuf::ProtobufError;
use crate::snappy::{self, SnappyError};

/// Samples may be this far ahead of the clock.
const AHEAD_MILLIS_MAX: i64 = 10 * 60 * 1000;
/// A batch goes to the store when it holds this many samples, so that a request of 32 MB stays cheap.
const BATCH_SAMPLES: usize = 64 * 1024;

/// Why a request was not stored. Nothing of it is visible then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// The body is not a snappy block, or too large.
    #[error(transparent)]
    Snappy(#[from] SnappyError),
    /// The block does not hold a write request.
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
    /// The store refused a sample.
    #[error(transparent)]
    Refused(#[from] AppendError),
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
            WriteError::Snappy(_) | WriteError::Protobuf(_) | WriteError::TooFarAhead => true,
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

/// What the server's feature flags ask of receiving; all of it is of requests of 2.0 only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
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

    /// Stores one request as it came over the wire; returns when it is in the log.
    pub fn write(&self, store: &dyn Appendable, body: &[u8], now: Timestamp) -> Result<Written, WriteError> {
        let message = snappy::decode(body)?;
        match self.write_message(store, &message, now) {
            // The store forgot series that the cache still knows: start over with an empty cache.
            Err(WriteError::Refused(AppendError::UnknownSeries)) => {
                self.cache.clear();
                self.write_message(store, &message, now)
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
        };
        let mut left_out: Option<(usize, AppendError)> = None;
        while let Some(series) = request.next_series()? {
            match self.resolve(&series, &mut *commit.appender) {
                Ok(Some(series_ref)) => commit.add(series_ref, &series)?,
                Ok(None) => commit.written.series_invalid += 1,
                Err(WriteError::Refused(limit)) if limit.is_limit() => {
                    left_out.get_or_insert((0, limit)).0 += 1;
                }
                Err(error) => return Err(error),
            }
        }
        commit.flush()?;
        let Commit { appender, written, .. } = commit;
        appender.commit(Durability::Written)?;
        self.invalid_labels.add(written.series_invalid as u64);
        match left_out {
            Some((count, limit)) => Err(WriteError::NewSeries { count, limit }),
            None => Ok(written),
        }
    }

    /// The series' handle, or `None` when its labels are broken.
    fn resolve(
        &self,
        series: &TimeSeries<'_>,
        appender: &mut dyn Appender,
    ) -> Result<Option<SeriesRef>, WriteError> {
        let key = self.cache.key(series.label_bytes()?);
        if let Some(known) = self.cache.get(key) {
            return Ok(Some(known));
        }
        let mut labels = series.labels()?;
        labels.sort_unstable();
        if let Err(reason) = check_labels(&labels) {
            warn!("Invalid metric names or labels", got = LabelSet::from_pairs(labels), reason = reason);
            return Ok(None);
        }
        let set = LabelSet::from_sorted(labels.into_iter().filter(|(_, value)| !value.is_empty()));
        let series_ref = appender.resolve(&set)?;
        self.cache.insert(key, series_ref);
        Ok(Some(series_ref))
    }
}

/// What Prometheus asks of a series' labels, given in order of their names.
fn check_labels(labels: &[(&str, &str)]) -> Result<(), &'static str> {
    match labels.iter().find(|(name, _)| *name == METRIC_NAME) {
        None => return Err("no metric name"),
        Some((_, "")) => return Err("empty metric name"),
        Some(_) => {}
    }
    if labels.iter().any(|(name, _)| name.is_empty()) {
        return Err("empty label name");
    }
    if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err("duplicate label name");
    }
    Ok(())
}

/// One request on its way into the store.
struct Commit<'s> {
    appender: Box<dyn Appender + 's>,
    batch: SampleBatch,
    latest: Timestamp,
    written: Written,
}

impl Commit<'_> {
    fn add(&mut self, series: SeriesRef, message: &TimeSeries<'_>) -> Result<(), WriteError> {
        message.items(|item| {
            match item {
                Item::Sample(times, value) => {
                    self.check_ahead(times.at)?;
                    self.batch.push_float(series, times.at, value);
                }
                Item::Histogram(times, value) => {
                    self.check_ahead(times.at)?;
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

    fn check_ahead(&self, timestamp: i64) -> Result<(), WriteError> {
        if timestamp > self.latest.millis() { Err(WriteError::TooFarAhead) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let outcome = self.appender.append(&mut self.batch);
        self.written.samples += outcome.accepted;
        for refusal in outcome.refused {
            if refusal.kind != SampleKind::Exemplar {
                return Err(refusal.error.into());
            }
            debug!("Error while adding exemplar", err = refusal.error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ferula_testkit::MemStorage;
    use proptest::prelude::*;

    use super::*;
    use crate::protobuf::{put_bytes, put_double, put_varint};

    /// One series as a sender writes it.
    fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in labels {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, value.as_bytes());
            put_bytes(&mut out, 1, &label);
        }
        for (timestamp, value) in samples {
            let mut sample = Vec::new();
            put_double(&mut sample, 1, *value);
            put_varint(&mut sample, 2, *timestamp as u64);
            put_bytes(&mut out, 2, &sample);
        }
        out
    }

    fn request(all: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for one in all {
            put_bytes(&mut out, 1, one);
        }
        snappy::encode(&out)
    }

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn a_request_is_stored_with_its_labels_sorted_and_empty_ones_left_out() {
        let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
        let sent = [("__name__", "up"), ("zone", ""), ("job", "a")];
        for (timestamp, value) in [(1, 1.0), (2, -0.5)] {
            let body = request(&[series(&sent, &[(timestamp, value)])]);
            assert_eq!(receiver.write(&store, &body, NOW), Ok(Written { samples: 1, series_invalid: 0 }));
        }
        assert_eq!(store.floats(&[("__name__", "up"), ("job", "a")]), [(1, 1.0), (2, -0.5)]);
    }

    #[test]
    fn one_refused_sample_takes_the_request_back() {
        let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
        let (a, b) = ([("__name__", "a")], [("__name__", "b")]);
        store.put(&b, &[(10, 1.0)]);
        for (bad, error) in [
            ((9, 1.0), WriteError::Refused(AppendError::OutOfOrder)),
            ((10, 2.0), WriteError::Refused(AppendError::DuplicateForTimestamp)),
            ((NOW.millis() + AHEAD_MILLIS_MAX + 1, 2.0), WriteError::TooFarAhead),
        ] {
            let body = request(&[series(&a, &[(20, 1.0)]), series(&b, &[bad])]);
            let got = receiver.write(&store, &body, NOW).expect_err("refused");
            assert!(got.is_senders());
            assert_eq!(got, error);
        }
        assert_eq!(store.floats(&a), []);
    }

    #[test]
    fn series_with_broken_labels_are_left_out_and_counted() {
        let registry = Registry::new();
        let (store, receiver) = (MemStorage::new(), Receiver::new(&registry, Features::default()));
        let body = request(&[
            series(&[("job", "nameless")], &[(1, 1.0)]),
            series(&[("__name__", "x"), ("a", "1"), ("a", "2")], &[(1, 1.0)]),
            series(&[("__name__", "x"), ("", "1")], &[(1, 1.0)]),
            series(&[("__name__", "good")], &[(1, 1.0)]),
        ]);
        assert_eq!(receiver.write(&store, &body, NOW), Ok(Written { samples: 1, series_invalid: 3 }));
        assert_eq!(store.series().len(), 1);
        assert_eq!(receiver.invalid_labels.get(), 3.0);
    }

    #[test]
    fn a_store_that_forgot_a_cached_series_gets_it_again() {
        let receiver = Receiver::new(&Registry::new(), Features::default());
        let body = request(&[series(&[("__name__", "x")], &[(1, 1.0)])]);
        let store = MemStorage::new();
        receiver.write(&store, &body, NOW).expect("stored");
        let emptied = MemStorage::new();
        receiver.write(&emptied, &body, NOW).expect("stored again");
        assert_eq!(emptied.floats(&[("__name__", "x")]), [(1, 1.0)]);
    }

    #[test]
    fn at_a_limit_known_series_go_on_and_the_sender_is_told_not_to_repeat_the_others() {
        let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
        let page = |at: i64| {
            let named = |name: &str| series(&[("__name__", name)], &[(at, 1.0)]);
            if at == 1 { request(&[named("a")]) } else { request(&[named("b"), named("a"), named("c")]) }
        };
        receiver.write(&store, &page(1), NOW).expect("stored");
        store.set_series_max(1);
        let error = receiver.write(&store, &page(2), NOW).expect_err("two series are new");
        assert_eq!(error, WriteError::NewSeries { count: 2, limit: AppendError::SeriesLimit(1) });
        assert!(error.is_senders());
        assert_eq!(store.floats(&[("__name__", "a")]), [(1, 1.0), (2, 1.0)]);
    }

    #[test]
    fn native_histograms_and_exemplars_arrive_whole() {
        let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
        let mut histogram = Vec::new();
        put_double(&mut histogram, 2, 4.0);
        put_double(&mut histogram, 3, 18.4);
        crate::protobuf::put_sint(&mut histogram, 4, -1);
        let mut span = Vec::new();
        crate::protobuf::put_sint(&mut span, 1, -2);
        put_varint(&mut span, 2, 2);
        put_bytes(&mut histogram, 11, &span);
        put_bytes(&mut histogram, 13, &[1.0f64.to_le_bytes(), 3.0f64.to_le_bytes()].concat());
        put_varint(&mut histogram, 15, 7);
        let mut exemplar = Vec::new();
        put_double(&mut exemplar, 2, 0.5);
        put_varint(&mut exemplar, 3, 7);
        let mut one = series(&[("__name__", "h")], &[]);
        put_bytes(&mut one, 3, &exemplar);
        put_bytes(&mut one, 4, &histogram);
        assert_eq!(receiver.write(&store, &request(&[one]), NOW).map(|w| w.samples), Ok(1));
        use ferula_storage::{Hints, Queryable, SeriesSamples};
        let mut snapshot = store.snapshot(ferula_model::TimeRange::ALL).expect("opens");
        let all = snapshot.select(&[], &Hints::default()).expect("selects");
        let mut seen = Vec::new();
        let mut sink = |_: usize, samples: &SeriesSamples| {
            seen.extend(samples.histograms.timestamps.iter().copied().zip(samples.histograms.values.clone()));
            std::ops::ControlFlow::Continue(())
        };
        snapshot.read(all, 0..1, ferula_model::TimeRange::ALL, &mut sink).expect("reads");
        let (timestamp, histogram) = seen.pop().expect("one histogram");
        assert_eq!((timestamp, histogram.schema, histogram.count, histogram.sum), (7, -1, 4.0, 18.4));
        assert_eq!(histogram.positive_spans, [ferula_model::Span { offset: -2, length: 2 }]);
        assert_eq!(histogram.positive_buckets, [1.0, 3.0]);
        let exemplars = store.exemplars(ferula_model::TimeRange::ALL, &[vec![]]).expect("reads");
        assert_eq!(exemplars.len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_and_never_a_panic(bytes: Vec<u8>, cut: u8) {
            let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
            let _ = receiver.write(&store, &bytes, NOW);
            let _ = receiver.write(&store, &snappy::encode(&bytes), NOW);
            let whole = series(&[("__name__", "x"), ("job", "a")], &[(1, 1.0)]);
            let part = &whole[..usize::from(cut).min(whole.len())];
            let _ = receiver.write(&store, &request(&[part.to_vec()]), NOW);
        }
    }
}
