//! The receiver of remote write 2.0 (`io.prometheus.write.v2.Request`).
//!
//! Names and values are listed once in a table of symbols, and series refer to them. Samples that the store
//! refuses are reported to the sender, and the others are kept; only a failure of the server rolls the
//! request back.

use ferula_go::quote::go_quote_bytes;
use ferula_model::labels::{TYPE_LABEL, UNIT_LABEL, is_legacy_label_name};
use ferula_model::{Exemplar, LabelSet, MetricMetadata, MetricType, SeriesRef, Timestamp};
use ferula_storage::{
    AppendError, Appendable, Appender, Durability, HistogramSample, SampleBatch, SampleKind,
};
use ferula_telemetry::debug;

use super::label_check::{LabelProblem, check_labels};
use super::message::{Item, RawLabel, Times, histogram, lossy, lossy_labels, sample};
use super::{AHEAD_MILLIS_MAX, BATCH_SAMPLES, Features, Receiver, Trust, WriteError};
use crate::protobuf::{ProtobufError, Reader, put_bytes};

/// How many refusals are reported individually; further ones are only counted.
const REFUSALS_TOLD_MAX: usize = 100;

/// The content of a request, and which parts of it were refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Float samples.
    pub samples: usize,
    /// Histogram samples.
    pub histograms: usize,
    /// Exemplars.
    pub exemplars: usize,
    /// Why others were not accepted, one per line; empty if everything was.
    pub refused: Vec<String>,
}

/// The table of symbols.
struct Symbols<'a>(Vec<&'a [u8]>);

impl<'a> Symbols<'a> {
    fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut reader = Reader::new(message);
        let mut symbols = Vec::new();
        while let Some((number, value)) = reader.field()? {
            if number == 4 {
                symbols.push(value.bytes("Request.symbols")?);
            }
        }
        Ok(Symbols(symbols))
    }

    fn get(&self, reference: u32) -> Option<&'a [u8]> {
        self.0.get(reference as usize).copied()
    }

    /// The pairs of labels that the references name, in the order given.
    fn labels(&self, references: &[u32]) -> Result<Vec<RawLabel<'a>>, String> {
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
        // Only by name: of equal names, errors show the values in the order sent.
        labels.sort_by_key(|(name, _)| *name);
        Ok(labels)
    }
}

/// What a series states besides its samples.
#[derive(Clone, Copy, Debug, Default)]
struct StatedMetadata<'a> {
    kind: MetricType,
    unit: &'a [u8],
    help: &'a [u8],
    has_samples: bool,
}

impl<'a> StatedMetadata<'a> {
    /// Replaces the labels for type and unit by the stated type and unit, if there are any.
    fn add_to(&self, labels: &mut Vec<RawLabel<'a>>) {
        let kind = if self.kind == MetricType::Unknown { b"" } else { self.kind.as_str().as_bytes() };
        if kind.is_empty() && self.unit.is_empty() {
            return;
        }
        let (type_label, unit_label) = (TYPE_LABEL.as_bytes(), UNIT_LABEL.as_bytes());
        labels.retain(|(name, _)| *name != type_label && *name != unit_label);
        let stated = [(type_label, kind), (unit_label, self.unit)];
        labels.extend(stated.into_iter().filter(|(_, value)| !value.is_empty()));
        labels.sort_by_key(|(name, _)| *name);
    }

    /// The metadata, if the series states any.
    fn metadata(&self) -> Option<MetricMetadata> {
        let stated = self.kind != MetricType::Unknown || !self.unit.is_empty() || !self.help.is_empty();
        stated.then(|| MetricMetadata { kind: self.kind, unit: lossy(self.unit), help: lossy(self.help) })
    }
}

/// Labels as Prometheus shows them in an error, with invalid UTF-8 as `\\xff`.
fn show(labels: &[RawLabel<'_>]) -> String {
    let plain = |name: &[u8]| std::str::from_utf8(name).is_ok_and(is_legacy_label_name);
    let name = |name: &[u8]| if plain(name) { lossy(name) } else { go_quote_bytes(name) };
    let pairs: Vec<String> =
        labels.iter().map(|(label, value)| format!("{}={}", name(label), go_quote_bytes(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// One series of the request.
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

    /// What the series states about its metric, and whether it has a sample; otherwise the reason why it is
    /// invalid.
    fn stated(&self, symbols: &Symbols<'a>) -> Result<Result<StatedMetadata<'a>, String>, ProtobufError> {
        let mut reader = Reader::new(self.message);
        let mut stated = StatedMetadata::default();
        while let Some((number, value)) = reader.field()? {
            match number {
                2 | 3 => stated.has_samples = true,
                5 => {
                    let mut fields = Reader::new(value.bytes("TimeSeries.metadata")?);
                    let (mut help, mut unit) = (0, 0);
                    while let Some((number, value)) = fields.field()? {
                        match number {
                            1 => stated.kind = MetricType::of_number(value.uint("Metadata.type")?),
                            3 => help = value.uint("Metadata.help_ref")?,
                            4 => unit = value.uint("Metadata.unit_ref")?,
                            _ => {}
                        }
                    }
                    let texts = [("unit_ref", unit, &mut stated.unit), ("help_ref", help, &mut stated.help)];
                    for (what, reference, text) in texts {
                        let found = usize::try_from(reference).ok().and_then(|at| symbols.0.get(at));
                        match found {
                            Some(found) => *text = found,
                            None if reference == 0 => {}
                            None => {
                                return Ok(Err(format!(
                                    "metadata {what} {reference} outside of symbols table (size {})",
                                    symbols.0.len()
                                )));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(Ok(stated))
    }

    /// Parses everything, and returns the number of samples.
    fn check(&self) -> Result<u64, ProtobufError> {
        let mut samples = 0;
        // Whether references lead anywhere does not matter here.
        let _ = self.stated(&Symbols(Vec::new()))?;
        self.items(|item| {
            match item {
                Item::Sample(..) | Item::Histogram(..) => samples += 1,
                Item::Exemplar(bytes) => check_exemplar(bytes)?,
            }
            Ok::<(), ProtobufError>(())
        })?;
        Ok(samples)
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

/// Parses what is needed of an exemplar without looking its labels up.
fn check_exemplar(message: &[u8]) -> Result<(), ProtobufError> {
    exemplar(message, &Symbols(Vec::new())).map(drop)
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
        labels: lossy_labels(&labels),
        value,
        timestamp: Timestamp::from_millis(timestamp),
        has_timestamp: timestamp != 0,
    }))
}

impl Receiver {
    /// Stores one decompressed request of remote write 2.0; returns once it is in the log.
    ///
    /// # Errors
    /// The request cannot be parsed, or the server failed; nothing of it is stored then.
    pub fn write_v2(
        &self,
        store: &dyn Appendable,
        message: &[u8],
        now: Timestamp,
    ) -> Result<Written, WriteError> {
        match self.write_message_v2(store, message, now, Trust::Cache) {
            // The store has dropped series that the cache still knows.
            Err(WriteError::Refused(AppendError::UnknownSeries)) => {
                self.write_message_v2(store, message, now, Trust::Store)
            }
            result => result,
        }
    }

    fn write_message_v2(
        &self,
        store: &dyn Appendable,
        message: &[u8],
        now: Timestamp,
        trust: Trust,
    ) -> Result<Written, WriteError> {
        let symbols = Symbols::read(message)?;
        let mut commit = Commit {
            symbols: &symbols,
            features: self.features,
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
        let mut references = Vec::new();
        let mut look_up = LookUp { trust, bytes: Vec::new(), expected: 0 };
        while let Some((number, value)) = reader.field()? {
            if number != 5 {
                continue;
            }
            let series = TimeSeries { message: value.bytes("Request.timeseries")? };
            series.label_references(&mut references)?;
            match self.resolve_v2(&symbols, &series, &references, &mut look_up, &mut *commit.appender)? {
                Ok((series_ref, stated)) => commit.add(series_ref, series, &stated)?,
                Err((why, has_invalid_labels)) => {
                    // Also of what is not stored, so that malformed bytes are noticed anywhere.
                    let samples = series.check()?;
                    if has_invalid_labels {
                        self.invalid_labels.add(samples);
                    }
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

    /// The handle of a series and its metadata; otherwise the reason, and whether its labels are at fault.
    fn resolve_v2<'m>(
        &self,
        symbols: &Symbols<'m>,
        series: &TimeSeries<'m>,
        references: &[u32],
        look_up: &mut LookUp,
        appender: &mut dyn Appender,
    ) -> Result<Result<(SeriesRef, StatedMetadata<'m>), (String, bool)>, WriteError> {
        let mut labels = match symbols.labels(references) {
            Ok(labels) => labels,
            Err(why) => return Ok(Err((format!("parsing labels for series {references:?}: {why}"), true))),
        };
        let stated = match series.stated(symbols)? {
            Ok(stated) => stated,
            Err(why) => {
                return Ok(Err((format!("parsing metadata for series {references:?}: {why}"), false)));
            }
        };
        if self.features.type_and_unit_labels {
            stated.add_to(&mut labels);
        }
        // The same key as in 1.0 for the same labels in order, so that both versions share cache entries.
        look_up.bytes.clear();
        let mut label_bytes = Vec::new();
        for (name, value) in &labels {
            label_bytes.clear();
            put_bytes(&mut label_bytes, 1, name);
            put_bytes(&mut label_bytes, 2, value);
            put_bytes(&mut look_up.bytes, 1, &label_bytes);
        }
        let key = self.cache.key(&look_up.bytes);
        if look_up.trust == Trust::Cache && stated.has_samples {
            let mut lookups = self.cache.lookups(look_up.expected);
            let known = lookups.get(key);
            look_up.expected = lookups.expected();
            if let Some(known) = known {
                return Ok(Ok((known, stated)));
            }
        }
        let shown = || show(&labels);
        let text = match check_labels(&labels) {
            Ok(text) => text,
            Err(LabelProblem::DuplicateLabelName) => {
                let duplicate = labels.windows(2).find(|pair| pair[0].0 == pair[1].0);
                let name = duplicate.map(|pair| lossy(pair[0].0)).unwrap_or_default();
                let why = format!("invalid labels for series, labels {}, duplicated label {name}", shown());
                return Ok(Err((why, true)));
            }
            Err(_) => return Ok(Err((format!("invalid metric name or labels, got {}", shown()), true))),
        };
        if !stated.has_samples {
            let why =
                format!("TimeSeries must contain at least one sample or histogram for series {}", shown());
            return Ok(Err((why, false)));
        }
        let set = LabelSet::from_sorted(text.into_iter().filter(|(_, value)| !value.is_empty()));
        let series_ref = match appender.resolve(&set) {
            Ok(series_ref) => series_ref,
            Err(limit) if limit.is_limit() => return Ok(Err((format!("{limit} for series {set}"), false))),
            Err(error) => return Err(error.into()),
        };
        self.cache.insert(&[(key, series_ref)]);
        Ok(Ok((series_ref, stated)))
    }
}

/// How the series of one request are looked up.
struct LookUp {
    trust: Trust,
    /// A buffer for the bytes of a key.
    bytes: Vec<u8>,
    /// The entry of the cache that is expected next.
    expected: usize,
}

/// The state of one request that is being stored.
struct Commit<'m, 's> {
    symbols: &'m Symbols<'m>,
    features: Features,
    appender: Box<dyn Appender + 's>,
    batch: SampleBatch,
    /// The series of each sample in the batch, to name it in a refusal.
    float_series: Vec<TimeSeries<'m>>,
    histogram_series: Vec<TimeSeries<'m>>,
    exemplar_series: Vec<TimeSeries<'m>>,
    latest: Timestamp,
    refusals: usize,
    written: Written,
}

impl<'m> Commit<'m, '_> {
    fn add(
        &mut self,
        series: SeriesRef,
        message: TimeSeries<'m>,
        stated: &StatedMetadata<'_>,
    ) -> Result<(), WriteError> {
        if self.features.metadata {
            self.batch.metadata.extend(stated.metadata().map(|metadata| (series, metadata)));
        }
        message.items(|item| {
            match item {
                Item::Sample(times, value) => {
                    if self.in_time(times, message) {
                        let start = self.start(times);
                        self.batch.push_float_with_start(
                            series,
                            Timestamp::from_millis(times.at),
                            value,
                            Timestamp::from_millis(start),
                        );
                        self.float_series.push(message);
                    }
                }
                Item::Histogram(times, value) => {
                    if self.in_time(times, message) {
                        self.batch.histograms.push(HistogramSample {
                            series,
                            timestamp: Timestamp::from_millis(times.at),
                            start_timestamp: Timestamp::from_millis(self.start(times)),
                            value,
                        });
                        self.histogram_series.push(message);
                    }
                }
                Item::Exemplar(bytes) => match exemplar(bytes, self.symbols)? {
                    Ok(exemplar) if exemplar.timestamp > self.latest => {
                        debug!("failed to ingest exemplar", err = WriteError::TooFarAhead);
                    }
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

    fn start(&self, times: Times) -> i64 {
        if self.features.start_timestamps { times.start } else { 0 }
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
    fn name(&self, series: TimeSeries<'_>) -> String {
        let mut references = Vec::new();
        let read = series.label_references(&mut references);
        let labels = read.ok().and_then(|()| self.symbols.labels(&references).ok());
        show(&labels.unwrap_or_default())
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
mod tests;
