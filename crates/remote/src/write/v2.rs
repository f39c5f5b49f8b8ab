//! The receiver of remote write 2.0 (`io.prometheus.write.v2.Request`).
//!
//! Names and values stand once in a table of symbols; series refer to them. Samples that the store refuses are told to
//! the sender, the others are kept; only a failure of the server takes the request back.

use ferula_model::labels::METRIC_NAME;
use ferula_model::{Exemplar, LabelSet, SeriesRef, Timestamp};
use ferula_storage::{
    AppendError, Appendable, Appender, Durability, HistogramSample, SampleBatch, SampleKind,
};
use ferula_telemetry::debug;

use super::message::{Item, Times, histogram, sample};
use super::{AHEAD_MILLIS_MAX, BATCH_SAMPLES, Receiver, WriteError, check_labels};
use crate::protobuf::{ProtobufError, Reader, put_bytes};
use crate::snappy;

/// So many refusals are told one by one; more are only counted.
const REFUSALS_TOLD_MAX: usize = 100;

/// What a request brought, and what of it was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Float samples.
    pub samples: usize,
    /// Histogram samples.
    pub histograms: usize,
    /// Exemplars.
    pub exemplars: usize,
    /// Why others were not taken, a line each; empty when everything was.
    pub refused: Vec<String>,
}

/// The table of symbols.
struct Symbols<'a>(Vec<&'a str>);

impl<'a> Symbols<'a> {
    fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut reader = Reader::new(message);
        let mut symbols = Vec::new();
        while let Some((number, value)) = reader.field()? {
            if number == 4 {
                symbols.push(value.text("Request.symbols")?);
            }
        }
        Ok(Symbols(symbols))
    }

    fn get(&self, reference: u32) -> Option<&'a str> {
        self.0.get(reference as usize).copied()
    }

    /// Pairs of references to labels, in order of their names.
    fn labels(&self, references: &[u32]) -> Result<Vec<(&'a str, &'a str)>, String> {
        if !references.len().is_multiple_of(2) {
            return Err(format!("invalid labelRefs length {}", references.len()));
        }
        let mut labels = Vec::with_capacity(references.len() / 2);
        for pair in references.chunks_exact(2) {
            let (Some(name), Some(value)) = (self.get(pair[0]), self.get(pair[1])) else {
                return Err(format!(
                    "labelRefs {} (name) = {} (value) outside of symbols table (size {})",
                    pair[0],
                    pair[1],
                    self.0.len()
                ));
            };
            labels.push((name, value));
        }
        labels.sort_unstable();
        Ok(labels)
    }
}

/// One series as it stands in the request.
#[derive(Clone, Copy)]
struct TimeSeries<'a> {
    message: &'a [u8],
}

impl<'a> TimeSeries<'a> {
    fn label_references(&self, into: &mut Vec<u32>) -> Result<(), ProtobufError> {
        into.clear();
        let mut reader = Reader::new(self.message);
        while let Some((number, value)) = reader.field()? {
            if number == 1 {
                value.extend_uints("TimeSeries.labels_refs", into)?;
            }
        }
        Ok(())
    }

    /// Checks what the metadata refers to; whether there is a sample.
    fn check(&self, symbols: &Symbols<'_>) -> Result<Result<bool, String>, ProtobufError> {
        let mut reader = Reader::new(self.message);
        let mut samples = false;
        while let Some((number, value)) = reader.field()? {
            match number {
                2 | 3 => samples = true,
                5 => {
                    let mut fields = Reader::new(value.bytes("TimeSeries.metadata")?);
                    let (mut help, mut unit) = (0, 0);
                    while let Some((number, value)) = fields.field()? {
                        match number {
                            3 => help = value.uint("Metadata.help_ref")?,
                            4 => unit = value.uint("Metadata.unit_ref")?,
                            _ => {}
                        }
                    }
                    for (what, reference) in [("unit_ref", unit), ("help_ref", help)] {
                        if reference != 0 && reference >= symbols.0.len() as u64 {
                            return Ok(Err(format!(
                                "metadata {what} {reference} outside of symbols table (size {})",
                                symbols.0.len()
                            )));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(Ok(samples))
    }

    fn items<E: From<ProtobufError>>(
        &self,
        mut take: impl FnMut(Item<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = Reader::new(self.message);
        while let Some((number, value)) = reader.field()? {
            match number {
                2 => {
                    let (times, value) = sample(value.bytes("TimeSeries.samples")?)?;
                    take(Item::Sample(times, value))?;
                }
                3 => {
                    let (times, value) = histogram(value.bytes("TimeSeries.histograms")?)?;
                    take(Item::Histogram(times, value))?;
                }
                4 => take(Item::Exemplar(value.bytes("TimeSeries.exemplars")?))?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn exemplar(message: &[u8], symbols: &Symbols<'_>) -> Result<Result<Exemplar, String>, ProtobufError> {
    let mut reader = Reader::new(message);
    let (mut references, mut value, mut timestamp) = (Vec::new(), 0.0, 0);
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => field.extend_uints("Exemplar.labels_refs", &mut references)?,
            2 => value = field.double("Exemplar.value")?,
            3 => timestamp = field.int("Exemplar.timestamp")?,
            _ => {}
        }
    }
    Ok(symbols.labels(&references).map(|labels| Exemplar {
        labels: LabelSet::from_pairs(labels),
        value,
        timestamp: Timestamp::from_millis(timestamp),
        has_timestamp: timestamp != 0,
    }))
}

impl Receiver {
    /// Stores one request of remote write 2.0 as it came over the wire; returns when it is in the log.
    ///
    /// # Errors
    /// The request cannot be read, or the server failed; nothing of it is stored then.
    pub fn write_v2(
        &self,
        store: &dyn Appendable,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Written, WriteError> {
        let message = snappy::decode(body)?;
        match self.write_message_v2(store, &message, now) {
            // The store forgot series that the cache still knows: start over with an empty cache.
            Err(WriteError::Refused(AppendError::UnknownSeries)) => {
                self.cache.clear();
                self.write_message_v2(store, &message, now)
            }
            result => result,
        }
    }

    fn write_message_v2(
        &self,
        store: &dyn Appendable,
        message: &[u8],
        now: Timestamp,
    ) -> Result<Written, WriteError> {
        let symbols = Symbols::read(message)?;
        let mut commit = Commit {
            symbols: &symbols,
            appender: store.appender(),
            batch: SampleBatch::default(),
            float_series: Vec::new(),
            histogram_series: Vec::new(),
            exemplar_series: Vec::new(),
            latest: now.saturating_add_millis(AHEAD_MILLIS_MAX),
            refusals: 0,
            written: Written::default(),
        };
        let mut reader = Reader::new(message);
        let (mut references, mut key_bytes) = (Vec::new(), Vec::new());
        while let Some((number, value)) = reader.field()? {
            if number != 5 {
                continue;
            }
            let series = TimeSeries { message: value.bytes("Request.timeseries")? };
            series.label_references(&mut references)?;
            match self.resolve_v2(&symbols, &series, &references, &mut key_bytes, &mut *commit.appender)? {
                Ok(series_ref) => commit.add(series_ref, series)?,
                Err((why, samples_of)) => {
                    self.invalid_labels.add(u64::from(samples_of));
                    commit.refuse(why);
                }
            }
        }
        commit.flush()?;
        let Commit { appender, mut written, refusals, .. } = commit;
        appender.commit(Durability::Written)?;
        if refusals > REFUSALS_TOLD_MAX {
            written.refused.push(format!("and {} more", refusals - REFUSALS_TOLD_MAX));
        }
        Ok(written)
    }

    /// The series' handle, or why it cannot be had and whether its labels are at fault.
    fn resolve_v2(
        &self,
        symbols: &Symbols<'_>,
        series: &TimeSeries<'_>,
        references: &[u32],
        key_bytes: &mut Vec<u8>,
        appender: &mut dyn Appender,
    ) -> Result<Result<SeriesRef, (String, bool)>, WriteError> {
        let labels = match symbols.labels(references) {
            Ok(labels) => labels,
            Err(why) => return Ok(Err((format!("parsing labels for series {references:?}: {why}"), true))),
        };
        let has_samples = match series.check(symbols)? {
            Ok(has_samples) => has_samples,
            Err(why) => {
                return Ok(Err((format!("parsing metadata for series {references:?}: {why}"), false)));
            }
        };
        // The key of the older message with the same labels in order, so that both share their entries.
        key_bytes.clear();
        let mut label_bytes = Vec::new();
        for (name, value) in &labels {
            label_bytes.clear();
            put_bytes(&mut label_bytes, 1, name.as_bytes());
            put_bytes(&mut label_bytes, 2, value.as_bytes());
            put_bytes(key_bytes, 1, &label_bytes);
        }
        let key = self.cache.key(key_bytes);
        if let Some(known) = self.cache.get(key).filter(|_| has_samples) {
            return Ok(Ok(known));
        }
        let shown = || LabelSet::from_pairs(labels.iter().copied()).to_string();
        if check_labels(&labels).is_err() {
            let duplicate = labels.windows(2).find(|pair| pair[0].0 == pair[1].0);
            let named = labels.iter().any(|(name, value)| *name == METRIC_NAME && !value.is_empty());
            return Ok(Err((
                match duplicate {
                    Some(pair) if named => {
                        format!(
                            "invalid labels for series, labels {}, duplicated label {}",
                            shown(),
                            pair[0].0
                        )
                    }
                    _ => format!("invalid metric name or labels, got {}", shown()),
                },
                true,
            )));
        }
        if !has_samples {
            let why =
                format!("TimeSeries must contain at least one sample or histogram for series {}", shown());
            return Ok(Err((why, false)));
        }
        let set = LabelSet::from_sorted(labels.iter().copied().filter(|(_, value)| !value.is_empty()));
        let series_ref = match appender.resolve(&set) {
            Ok(series_ref) => series_ref,
            Err(limit) if limit.is_limit() => return Ok(Err((format!("{limit} for series {set}"), false))),
            Err(error) => return Err(error.into()),
        };
        self.cache.insert(key, series_ref);
        Ok(Ok(series_ref))
    }
}

/// One request on its way into the store.
struct Commit<'m, 's> {
    symbols: &'m Symbols<'m>,
    appender: Box<dyn Appender + 's>,
    batch: SampleBatch,
    /// The series of each sample of the batch, to name it in a refusal.
    float_series: Vec<TimeSeries<'m>>,
    histogram_series: Vec<TimeSeries<'m>>,
    exemplar_series: Vec<TimeSeries<'m>>,
    latest: Timestamp,
    refusals: usize,
    written: Written,
}

impl<'m> Commit<'m, '_> {
    fn add(&mut self, series: SeriesRef, message: TimeSeries<'m>) -> Result<(), WriteError> {
        message.items(|item| {
            match item {
                Item::Sample(times, value) => {
                    if self.in_time(times, message) {
                        self.batch.push_float_with_start(series, times.at, value, times.start);
                        self.float_series.push(message);
                    }
                }
                Item::Histogram(times, value) => {
                    if self.in_time(times, message) {
                        self.batch.histograms.push(HistogramSample {
                            series,
                            timestamp: times.at,
                            start_timestamp: times.start,
                            value,
                        });
                        self.histogram_series.push(message);
                    }
                }
                Item::Exemplar(bytes) => match exemplar(bytes, self.symbols)? {
                    Ok(exemplar) => {
                        self.batch.exemplars.push((series, exemplar));
                        self.exemplar_series.push(message);
                    }
                    Err(why) => {
                        let text = format!("parsing exemplar for series {}: {why}", self.name(message));
                        self.refuse(text);
                    }
                },
            }
            let held = self.float_series.len() + self.histogram_series.len() + self.exemplar_series.len();
            if held >= BATCH_SAMPLES {
                self.flush()?;
            }
            Ok::<(), WriteError>(())
        })
    }

    fn in_time(&mut self, times: Times, message: TimeSeries<'_>) -> bool {
        let in_time = times.at <= self.latest.millis();
        if !in_time {
            let text = format!("{} for series {}", WriteError::TooFarAhead, self.name(message));
            self.refuse(text);
        }
        in_time
    }

    fn refuse(&mut self, why: String) {
        self.refusals += 1;
        if self.refusals <= REFUSALS_TOLD_MAX {
            self.written.refused.push(why);
        }
    }

    /// Labels of a series, for a refusal.
    fn name(&self, series: TimeSeries<'_>) -> LabelSet {
        let mut references = Vec::new();
        let read = series.label_references(&mut references);
        let labels = read.ok().and_then(|()| self.symbols.labels(&references).ok());
        LabelSet::from_pairs(labels.unwrap_or_default())
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let outcome = self.appender.append(&mut self.batch);
        self.written.samples += self.float_series.len();
        self.written.histograms += self.histogram_series.len();
        self.written.exemplars += self.exemplar_series.len();
        for refusal in outcome.refused {
            let (series, count) = match refusal.kind {
                SampleKind::Float => (self.float_series.get(refusal.index), &mut self.written.samples),
                SampleKind::Histogram => {
                    (self.histogram_series.get(refusal.index), &mut self.written.histograms)
                }
                SampleKind::Exemplar => {
                    (self.exemplar_series.get(refusal.index), &mut self.written.exemplars)
                }
            };
            *count -= 1;
            let told = match refusal.kind {
                SampleKind::Exemplar => refusal.error == AppendError::OutOfOrderExemplar,
                SampleKind::Float | SampleKind::Histogram => true,
            };
            if !told {
                debug!("failed to ingest exemplar", err = refusal.error);
                continue;
            }
            let error = WriteError::Refused(refusal.error);
            if !error.is_senders() {
                return Err(error);
            }
            let text = format!("{error} for series {}", series.map(|s| self.name(*s)).unwrap_or_default());
            self.refuse(text);
        }
        self.float_series.clear();
        self.histogram_series.clear();
        self.exemplar_series.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ferula_telemetry::Registry;
    use ferula_testkit::MemStorage;
    use proptest::prelude::*;

    use super::*;
    use crate::protobuf::{put_double, put_varint};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    /// A series with labels by reference and float samples.
    fn series(references: &[u8], samples: &[(i64, f64)]) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, references);
        for (timestamp, value) in samples {
            let mut sample = Vec::new();
            put_double(&mut sample, 1, *value);
            put_varint(&mut sample, 2, *timestamp as u64);
            put_bytes(&mut out, 2, &sample);
        }
        out
    }

    fn request(symbols: &[&str], all: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for symbol in symbols {
            put_bytes(&mut out, 4, symbol.as_bytes());
        }
        for one in all {
            put_bytes(&mut out, 5, one);
        }
        snappy::encode(&out)
    }

    const SYMBOLS: &[&str] = &["", "__name__", "up", "job", "a", "down"];

    #[test]
    fn what_is_good_is_kept_and_the_rest_is_told() {
        let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new()));
        let ahead = NOW.millis() + AHEAD_MILLIS_MAX + 1;
        let body = request(
            SYMBOLS,
            &[
                series(&[3, 4, 1, 2], &[(10, 1.0), (11, 2.0)]),
                series(&[1, 5], &[(20, 1.0), (19, 1.0)]),
                series(&[1, 9], &[(1, 1.0)]),
                series(&[1], &[(1, 1.0)]),
                series(&[3, 4], &[(1, 1.0)]),
                series(&[1, 2, 3, 4, 3, 5], &[(1, 1.0)]),
                series(&[1, 2], &[]),
                series(&[1, 4], &[(ahead, 1.0)]),
            ],
        );
        let written = receiver.write_v2(&store, &body, NOW).expect("taken in part");
        assert_eq!((written.samples, written.histograms, written.exemplars), (3, 0, 0));
        assert_eq!(
            written.refused,
            [
                "parsing labels for series [1, 9]: labelRefs 1 (name) = 9 (value) outside of symbols table (size 6)",
                "parsing labels for series [1]: invalid labelRefs length 1",
                "invalid metric name or labels, got {job=\"a\"}",
                "invalid labels for series, labels {__name__=\"up\", job=\"down\"}, duplicated label job",
                "TimeSeries must contain at least one sample or histogram for series {__name__=\"up\"}",
                "out of bounds: timestamp is too far in the future for series {__name__=\"a\"}",
                "out of order sample for series {__name__=\"down\"}",
            ]
        );
        assert_eq!(store.floats(&[("__name__", "up"), ("job", "a")]).len(), 2);
    }

    #[test]
    fn both_messages_share_the_cache() {
        let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new()));
        let body = request(SYMBOLS, &[series(&[1, 2, 3, 4], &[(10, 1.0)])]);
        receiver.write_v2(&store, &body, NOW).expect("stored");
        let mut labels = Vec::new();
        for (name, value) in [("__name__", "up"), ("job", "a")] {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, value.as_bytes());
            put_bytes(&mut labels, 1, &label);
        }
        assert!(receiver.cache.get(receiver.cache.key(&labels)).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_and_never_a_panic(bytes: Vec<u8>, references: Vec<u8>) {
            let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new()));
            let _ = receiver.write_v2(&store, &bytes, NOW);
            let _ = receiver.write_v2(&store, &snappy::encode(&bytes), NOW);
            let _ = receiver.write_v2(&store, &request(SYMBOLS, &[series(&references, &[(1, 1.0)]), bytes]), NOW);
        }
    }
}
