//! Records of the log: encodes and decodes values. Layouts are in docs/format/wal.md.
//!
//! Kinds 1 to 10 are written, or 11 to 13 instead of the sample kinds if start timestamps are stored; all of
//! 1 to 13 are read. As in Prometheus, unknown kinds are skipped.

use std::sync::Arc;

use ferula_chunk::leb128::zigzag;
use ferula_model::histogram::{is_custom_buckets_schema, is_exponential_schema_reserved};
use ferula_model::{
    CounterResetHint, Exemplar, FloatHistogram, Histogram, HistogramValue, LabelSet, MetricMetadata,
    MetricType, Span, Timestamp,
};

use crate::bytes::{BadInput, Input, put_uvarint, put_varint};
use crate::ids::LogRef;

/// The first byte of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// Labels of series.
    Series = 1,
    /// Float samples.
    Samples = 2,
    /// Deleted ranges of series.
    Tombstones = 3,
    Exemplars = 4,
    /// Out-of-order samples before this position are in `chunks_head` (only in the out-of-order log).
    MmapMarkers = 5,
    /// Type, unit and help of series.
    Metadata = 6,
    /// Integer histograms.
    Histograms = 7,
    FloatHistograms = 8,
    /// Integer histograms with custom buckets.
    CustomHistograms = 9,
    /// Float histograms with custom buckets.
    CustomFloatHistograms = 10,
    /// Float samples with start timestamps.
    SamplesV2 = 11,
    /// Integer histograms with start timestamps.
    HistogramsV2 = 12,
    /// Float histograms with start timestamps.
    FloatHistogramsV2 = 13,
}

impl RecordKind {
    /// The kind of a record; `None` for unknown kinds and empty records.
    pub fn of(record: &[u8]) -> Option<RecordKind> {
        Some(match record.first()? {
            1 => RecordKind::Series,
            2 => RecordKind::Samples,
            3 => RecordKind::Tombstones,
            4 => RecordKind::Exemplars,
            5 => RecordKind::MmapMarkers,
            6 => RecordKind::Metadata,
            7 => RecordKind::Histograms,
            8 => RecordKind::FloatHistograms,
            9 => RecordKind::CustomHistograms,
            10 => RecordKind::CustomFloatHistograms,
            11 => RecordKind::SamplesV2,
            12 => RecordKind::HistogramsV2,
            13 => RecordKind::FloatHistogramsV2,
            _ => return None,
        })
    }
}

/// Labels of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedSeries {
    pub series: LogRef,
    pub labels: LabelSet,
}

/// One float sample.
#[derive(Clone, Copy, Debug)]
pub struct LoggedSample {
    pub series: LogRef,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Start timestamp, 0 for none.
    pub start: i64,
    /// The value, preserved bit by bit.
    pub value: f64,
}

/// One histogram sample.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedHistogram {
    pub series: LogRef,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Start timestamp, 0 for none.
    pub start: i64,
    pub value: HistogramValue,
}

/// A deleted range, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedTombstone {
    pub series: LogRef,
    /// First deleted timestamp.
    pub min: i64,
    /// Last deleted timestamp.
    pub max: i64,
}

/// One exemplar.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedExemplar {
    pub series: LogRef,
    /// The exemplar. Whether its page had a timestamp is not logged.
    pub exemplar: Exemplar,
}

/// States that all out-of-order samples of the series so far are in `chunks_head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedMarker {
    pub series: LogRef,
    /// The chunk that contains them; 0 if there was none yet.
    pub chunk: u64,
}

/// Metadata of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedMetadata {
    pub series: LogRef,
    pub metadata: MetricMetadata,
}

/// The content of a record. Reused from record to record; only the list of the record's kind is filled.
#[derive(Debug, Default)]
pub struct Records {
    /// Of kind 1.
    pub series: Vec<LoggedSeries>,
    /// Of kinds 2 and 11.
    pub samples: Vec<LoggedSample>,
    /// Of kind 3.
    pub tombstones: Vec<LoggedTombstone>,
    /// Of kind 4.
    pub exemplars: Vec<LoggedExemplar>,
    /// Of kind 5.
    pub markers: Vec<LoggedMarker>,
    /// Of kind 6.
    pub metadata: Vec<LoggedMetadata>,
    /// Of kinds 7 to 10, 12 and 13.
    pub histograms: Vec<LoggedHistogram>,
    /// Number of histograms that were skipped because of unknown schemas.
    pub unknown_schemas: usize,
}

/// The bytes are not a valid record of their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record of kind {kind} is truncated or contains an invalid value")]
pub struct RecordError {
    /// The record's first byte.
    pub kind: u8,
}

impl Records {
    /// Decodes a record. `None` if its kind is unknown; then nothing is filled.
    pub fn decode(&mut self, record: &[u8]) -> Result<Option<RecordKind>, RecordError> {
        self.clear();
        let Some(kind) = RecordKind::of(record) else { return Ok(None) };
        let mut input = Input(&record[1..]);
        let done = match kind {
            RecordKind::Series => self.decode_series(&mut input),
            RecordKind::Samples => self.decode_samples(&mut input),
            RecordKind::SamplesV2 => self.decode_samples_v2(&mut input),
            RecordKind::Tombstones => self.decode_tombstones(&mut input),
            RecordKind::Exemplars => self.decode_exemplars(&mut input),
            RecordKind::MmapMarkers => self.decode_markers(&mut input),
            RecordKind::Metadata => self.decode_metadata(&mut input),
            RecordKind::Histograms | RecordKind::CustomHistograms => {
                self.decode_histograms(&mut input, integer)
            }
            RecordKind::FloatHistograms | RecordKind::CustomFloatHistograms => {
                self.decode_histograms(&mut input, float)
            }
            RecordKind::HistogramsV2 => self.decode_histograms_v2(&mut input, integer),
            RecordKind::FloatHistogramsV2 => self.decode_histograms_v2(&mut input, float),
        };
        match done {
            Ok(()) => Ok(Some(kind)),
            Err(BadInput) => {
                self.clear();
                Err(RecordError { kind: kind as u8 })
            }
        }
    }

    fn clear(&mut self) {
        self.series.clear();
        self.samples.clear();
        self.tombstones.clear();
        self.exemplars.clear();
        self.markers.clear();
        self.metadata.clear();
        self.histograms.clear();
        self.unknown_schemas = 0;
    }

    fn decode_series(&mut self, input: &mut Input<'_>) -> Result<(), BadInput> {
        while !input.is_empty() {
            let series = LogRef::new(input.u64_be()?);
            self.series.push(LoggedSeries { series, labels: labels(input)? });
        }
        Ok(())
    }

    fn decode_samples(&mut self, input: &mut Input<'_>) -> Result<(), BadInput> {
        if input.is_empty() {
            return Ok(());
        }
        let (first_series, first_at) = (input.u64_be()?, input.u64_be()? as i64);
        while !input.is_empty() {
            let series = LogRef::new(first_series.wrapping_add_signed(input.varint()?));
            let at = first_at.wrapping_add(input.varint()?);
            let value = f64::from_bits(input.u64_be()?);
            self.samples.push(LoggedSample { series, at, start: 0, value });
        }
        Ok(())
    }

    fn decode_samples_v2(&mut self, input: &mut Input<'_>) -> Result<(), BadInput> {
        let mut places = PlacesV2::default();
        while !input.is_empty() {
            let (series, at, start) = places.next(input)?;
            let value = f64::from_bits(input.u64_be()?);
            self.samples.push(LoggedSample { series, at, start, value });
        }
        Ok(())
    }

    fn decode_tombstones(&mut self, input: &mut Input<'_>) -> Result<(), BadInput> {
        while !input.is_empty() {
            let series = LogRef::new(input.u64_be()?);
            let (min, max) = (input.varint()?, input.varint()?);
            self.tombstones.push(LoggedTombstone { series, min, max });
        }
        Ok(())
    }

    fn decode_exemplars(&mut self, input: &mut Input<'_>) -> Result<(), BadInput> {
        if input.is_empty() {
            return Ok(());
        }
        let (first_series, first_at) = (input.u64_be()?, input.u64_be()? as i64);
        while !input.is_empty() {
            let series = LogRef::new(first_series.wrapping_add_signed(input.varint()?));
            let at = first_at.wrapping_add(input.varint()?);
            let value = f64::from_bits(input.u64_be()?);
            let timestamp = Timestamp::from_millis(at);
            // The log does not say whether the timestamp was on the page; Prometheus assumes that it is the
            // scrape's.
            let exemplar = Exemplar { labels: labels(input)?, value, timestamp, has_timestamp: false };
            self.exemplars.push(LoggedExemplar { series, exemplar });
        }
        Ok(())
    }

    fn decode_markers(&mut self, input: &mut Input<'_>) -> Result<(), BadInput> {
        while !input.is_empty() {
            self.markers.push(LoggedMarker { series: LogRef::new(input.u64_be()?), chunk: input.u64_be()? });
        }
        Ok(())
    }

    fn decode_metadata(&mut self, input: &mut Input<'_>) -> Result<(), BadInput> {
        while !input.is_empty() {
            let series = LogRef::new(input.uvarint()?);
            let mut metadata =
                MetricMetadata { kind: MetricType::of_number(input.u8()?.into()), ..Default::default() };
            for _ in 0..input.count(2)? {
                let (name, value) = (input.string()?, input.string()?);
                match name {
                    b"UNIT" => metadata.unit = text(value),
                    b"HELP" => metadata.help = text(value),
                    _ => {}
                }
            }
            self.metadata.push(LoggedMetadata { series, metadata });
        }
        Ok(())
    }

    fn decode_histograms(&mut self, input: &mut Input<'_>, body: Body) -> Result<(), BadInput> {
        if input.is_empty() {
            return Ok(());
        }
        let (first_series, first_at) = (input.u64_be()?, input.u64_be()? as i64);
        while !input.is_empty() {
            let series = LogRef::new(first_series.wrapping_add_signed(input.varint()?));
            let at = first_at.wrapping_add(input.varint()?);
            self.push_histogram(series, at, 0, body(input)?);
        }
        Ok(())
    }

    fn decode_histograms_v2(&mut self, input: &mut Input<'_>, body: Body) -> Result<(), BadInput> {
        let mut places = PlacesV2::default();
        while !input.is_empty() {
            let (series, at, start) = places.next(input)?;
            self.push_histogram(series, at, start, body(input)?);
        }
        Ok(())
    }

    fn push_histogram(&mut self, series: LogRef, at: i64, start: i64, value: HistogramValue) {
        let schema = match &value {
            HistogramValue::Integer(h) => h.schema,
            HistogramValue::Float(h) => h.schema,
        };
        // Exponential schemas −9 to 52 are reserved; a resolution above 8, which a later version may have
        // written, is reduced to 8.
        if is_custom_buckets_schema(schema) || is_exponential_schema_reserved(schema) {
            let value = value.reduced_to_stored_schema();
            self.histograms.push(LoggedHistogram { series, at, start, value });
        } else {
            self.unknown_schemas += 1;
        }
    }
}

type Body = fn(&mut Input<'_>) -> Result<HistogramValue, BadInput>;

/// Series, timestamp and start timestamp in records 11 to 13: refs relative to the previous one, timestamps
/// to the first one, start timestamps with a marker.
#[derive(Default)]
struct PlacesV2 {
    first: Option<(i64, i64)>,
    series: u64,
    start: i64,
}

const NO_START: u8 = 0;
const SAME_START: u8 = 1;
const OTHER_START: u8 = 2;

impl PlacesV2 {
    fn next(&mut self, input: &mut Input<'_>) -> Result<(LogRef, i64, i64), BadInput> {
        self.series = self.series.wrapping_add_signed(input.varint()?);
        let at = input.varint()?;
        let Some((first_at, first_start)) = self.first else {
            self.start = input.varint()?;
            self.first = Some((at, self.start));
            return Ok((LogRef::new(self.series), at, self.start));
        };
        self.start = match input.u8()? {
            NO_START => 0,
            SAME_START => self.start,
            _ => first_start.wrapping_add(input.varint()?),
        };
        Ok((LogRef::new(self.series), first_at.wrapping_add(at), self.start))
    }

    fn put(&mut self, out: &mut Vec<u8>, series: LogRef, at: i64, start: i64) {
        let series = series.get();
        put_varint(out, series.wrapping_sub(self.series) as i64);
        match self.first {
            None => {
                put_varint(out, at);
                put_varint(out, start);
                self.first = Some((at, start));
            }
            Some((first_at, first_start)) => {
                put_varint(out, at.wrapping_sub(first_at));
                if start == 0 {
                    out.push(NO_START);
                } else if start == self.start {
                    out.push(SAME_START);
                } else {
                    out.push(OTHER_START);
                    put_varint(out, start.wrapping_sub(first_start));
                }
            }
        }
        (self.series, self.start) = (series, start);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A label set: the number of labels, then name and value of each.
pub(crate) fn labels(input: &mut Input<'_>) -> Result<LabelSet, BadInput> {
    let count = input.count(2)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, value) = (input.string()?, input.string()?);
        pairs.push((String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
    }
    let sorted = pairs.windows(2).all(|two| two[0].0 < two[1].0) && pairs.iter().all(|(_, v)| !v.is_empty());
    if sorted {
        Ok(LabelSet::from_sorted(pairs.iter().map(|(n, v)| (&**n, &**v))))
    } else {
        Ok(LabelSet::from_pairs(pairs))
    }
}

fn hint(byte: u8) -> CounterResetHint {
    match byte {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn hint_byte(hint: CounterResetHint) -> u8 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    }
}

fn spans(input: &mut Input<'_>) -> Result<Vec<Span>, BadInput> {
    let count = input.count(2)?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let offset = input.varint()? as i32;
        let length = u32::try_from(input.uvarint()?).map_err(|_| BadInput)?;
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn deltas(input: &mut Input<'_>) -> Result<Vec<i64>, BadInput> {
    (0..input.count(1)?).map(|_| input.varint()).collect()
}

fn floats(input: &mut Input<'_>) -> Result<Vec<f64>, BadInput> {
    (0..input.count(8)?).map(|_| input.u64_be().map(f64::from_bits)).collect()
}

fn custom_values(input: &mut Input<'_>, schema: i32) -> Result<Option<Arc<[f64]>>, BadInput> {
    if schema != ferula_model::histogram::CUSTOM_BUCKETS_SCHEMA {
        return Ok(None);
    }
    Ok(Some(floats(input)?.into()))
}

fn integer(input: &mut Input<'_>) -> Result<HistogramValue, BadInput> {
    let mut h = Histogram {
        counter_reset_hint: hint(input.u8()?),
        schema: input.varint()? as i32,
        zero_threshold: f64::from_bits(input.u64_be()?),
        zero_count: input.uvarint()?,
        count: input.uvarint()?,
        sum: f64::from_bits(input.u64_be()?),
        positive_spans: spans(input)?,
        negative_spans: spans(input)?,
        positive_buckets: deltas(input)?,
        negative_buckets: deltas(input)?,
        custom_values: None,
    };
    h.custom_values = custom_values(input, h.schema)?;
    Ok(HistogramValue::Integer(Arc::new(h)))
}

fn float(input: &mut Input<'_>) -> Result<HistogramValue, BadInput> {
    let mut h = FloatHistogram {
        counter_reset_hint: hint(input.u8()?),
        schema: input.varint()? as i32,
        zero_threshold: f64::from_bits(input.u64_be()?),
        zero_count: f64::from_bits(input.u64_be()?),
        count: f64::from_bits(input.u64_be()?),
        sum: f64::from_bits(input.u64_be()?),
        positive_spans: spans(input)?,
        negative_spans: spans(input)?,
        positive_buckets: floats(input)?,
        negative_buckets: floats(input)?,
        custom_values: None,
    };
    h.custom_values = custom_values(input, h.schema)?;
    Ok(HistogramValue::Float(Arc::new(h)))
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_labels<'a>(out: &mut Vec<u8>, labels: impl ExactSizeIterator<Item = (&'a str, &'a str)>) {
    put_uvarint(out, labels.len() as u64);
    for (name, value) in labels {
        put_string(out, name);
        put_string(out, value);
    }
}

/// Begins a record of series; [`put_series`] adds them.
pub fn begin_series(out: &mut Vec<u8>) {
    out.push(RecordKind::Series as u8);
}

/// Adds a series to a record that [`begin_series`] began.
pub fn put_series<'a>(
    out: &mut Vec<u8>,
    series: LogRef,
    labels: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) {
    out.extend_from_slice(&series.get().to_be_bytes());
    put_labels(out, labels);
}

/// Encodes a record of float samples; of kind 11 if start timestamps are stored.
pub fn put_samples(out: &mut Vec<u8>, samples: &[LoggedSample], start_timestamps: bool) {
    if start_timestamps {
        out.push(RecordKind::SamplesV2 as u8);
        let mut places = PlacesV2::default();
        for sample in samples {
            places.put(out, sample.series, sample.at, sample.start);
            out.extend_from_slice(&sample.value.to_bits().to_be_bytes());
        }
        return;
    }
    out.push(RecordKind::Samples as u8);
    let Some(first) = samples.first() else { return };
    out.reserve(16 + samples.len() * 12);
    put_first(out, first.series, first.at);
    for sample in samples {
        let series = zigzag(sample.series.get().wrapping_sub(first.series.get()) as i64);
        let at = zigzag(sample.at.wrapping_sub(first.at));
        let value = sample.value.to_bits().to_be_bytes();
        // Most samples of a commit are of the same time, and of series that were created one after the other.
        match (series, at) {
            (0..0x80, 0..0x80) => {
                let mut short = [0; 10];
                (short[0], short[1]) = (series as u8, at as u8);
                short[2..].copy_from_slice(&value);
                out.extend_from_slice(&short);
            }
            (0x80..0x4000, 0..0x80) => {
                let mut short = [0; 11];
                (short[0], short[1], short[2]) = (series as u8 | 0x80, (series >> 7) as u8, at as u8);
                short[3..].copy_from_slice(&value);
                out.extend_from_slice(&short);
            }
            _ => {
                put_uvarint(out, series);
                put_uvarint(out, at);
                out.extend_from_slice(&value);
            }
        }
    }
}

fn put_first(out: &mut Vec<u8>, series: LogRef, at: i64) {
    out.extend_from_slice(&series.get().to_be_bytes());
    out.extend_from_slice(&at.to_be_bytes());
}

/// Encodes histograms as up to four records: integer, float, and both with custom buckets. `push` receives
/// each record.
pub fn put_histograms(
    histograms: &[LoggedHistogram],
    start_timestamps: bool,
    mut push: impl FnMut(&dyn Fn(&mut Vec<u8>)),
) {
    let kinds = if start_timestamps {
        &[RecordKind::HistogramsV2, RecordKind::FloatHistogramsV2][..]
    } else {
        &[
            RecordKind::Histograms,
            RecordKind::CustomHistograms,
            RecordKind::FloatHistograms,
            RecordKind::CustomFloatHistograms,
        ][..]
    };
    for kind in kinds {
        let of_kind = || histograms.iter().filter(|h| histogram_kind(h, start_timestamps) == *kind);
        if of_kind().next().is_none() {
            continue;
        }
        push(&|out| {
            out.push(*kind as u8);
            let mut places = PlacesV2::default();
            let mut first = None;
            for h in of_kind() {
                if start_timestamps {
                    places.put(out, h.series, h.at, h.start);
                } else {
                    let (series, at) = *first.get_or_insert_with(|| {
                        put_first(out, h.series, h.at);
                        (h.series, h.at)
                    });
                    put_varint(out, h.series.get().wrapping_sub(series.get()) as i64);
                    put_varint(out, h.at.wrapping_sub(at));
                }
                put_histogram(out, &h.value);
            }
        });
    }
}

fn histogram_kind(h: &LoggedHistogram, start_timestamps: bool) -> RecordKind {
    use ferula_model::histogram::CUSTOM_BUCKETS_SCHEMA as CUSTOM;
    match (&h.value, start_timestamps) {
        (HistogramValue::Integer(_), true) => RecordKind::HistogramsV2,
        (HistogramValue::Float(_), true) => RecordKind::FloatHistogramsV2,
        (HistogramValue::Integer(h), false) if h.schema == CUSTOM => RecordKind::CustomHistograms,
        (HistogramValue::Integer(_), false) => RecordKind::Histograms,
        (HistogramValue::Float(h), false) if h.schema == CUSTOM => RecordKind::CustomFloatHistograms,
        (HistogramValue::Float(_), false) => RecordKind::FloatHistograms,
    }
}

fn put_spans(out: &mut Vec<u8>, spans: &[Span]) {
    put_uvarint(out, spans.len() as u64);
    for span in spans {
        put_varint(out, i64::from(span.offset));
        put_uvarint(out, u64::from(span.length));
    }
}

fn put_float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_be_bytes());
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    put_uvarint(out, values.len() as u64);
    for value in values {
        put_float(out, *value);
    }
}

fn put_histogram(out: &mut Vec<u8>, value: &HistogramValue) {
    let (schema, custom) = match value {
        HistogramValue::Integer(h) => {
            out.push(hint_byte(h.counter_reset_hint));
            put_varint(out, i64::from(h.schema));
            put_float(out, h.zero_threshold);
            put_uvarint(out, h.zero_count);
            put_uvarint(out, h.count);
            put_float(out, h.sum);
            put_spans(out, &h.positive_spans);
            put_spans(out, &h.negative_spans);
            for buckets in [&h.positive_buckets, &h.negative_buckets] {
                put_uvarint(out, buckets.len() as u64);
                buckets.iter().for_each(|bucket| put_varint(out, *bucket));
            }
            (h.schema, &h.custom_values)
        }
        HistogramValue::Float(h) => {
            out.push(hint_byte(h.counter_reset_hint));
            put_varint(out, i64::from(h.schema));
            for value in [h.zero_threshold, h.zero_count, h.count, h.sum] {
                put_float(out, value);
            }
            put_spans(out, &h.positive_spans);
            put_spans(out, &h.negative_spans);
            put_floats(out, &h.positive_buckets);
            put_floats(out, &h.negative_buckets);
            (h.schema, &h.custom_values)
        }
    };
    if schema == ferula_model::histogram::CUSTOM_BUCKETS_SCHEMA {
        put_floats(out, custom.as_deref().unwrap_or_default());
    }
}

/// Encodes a record of tombstones.
pub fn put_tombstones(out: &mut Vec<u8>, tombstones: &[LoggedTombstone]) {
    out.push(RecordKind::Tombstones as u8);
    for tombstone in tombstones {
        out.extend_from_slice(&tombstone.series.get().to_be_bytes());
        put_varint(out, tombstone.min);
        put_varint(out, tombstone.max);
    }
}

/// Encodes a record of exemplars.
pub fn put_exemplars(out: &mut Vec<u8>, exemplars: &[LoggedExemplar]) {
    out.push(RecordKind::Exemplars as u8);
    let Some(first) = exemplars.first() else { return };
    let first_at = first.exemplar.timestamp.millis();
    put_first(out, first.series, first_at);
    for logged in exemplars {
        put_varint(out, logged.series.get().wrapping_sub(first.series.get()) as i64);
        put_varint(out, logged.exemplar.timestamp.millis().wrapping_sub(first_at));
        put_float(out, logged.exemplar.value);
        put_labels(out, logged.exemplar.labels.iter());
    }
}

/// Encodes a record of out-of-order markers.
pub fn put_markers(out: &mut Vec<u8>, markers: &[LoggedMarker]) {
    out.push(RecordKind::MmapMarkers as u8);
    for marker in markers {
        out.extend_from_slice(&marker.series.get().to_be_bytes());
        out.extend_from_slice(&marker.chunk.to_be_bytes());
    }
}

/// Encodes a record of metadata.
pub fn put_metadata<'a>(
    out: &mut Vec<u8>,
    of_series: impl IntoIterator<Item = (LogRef, &'a MetricMetadata)>,
) {
    out.push(RecordKind::Metadata as u8);
    for (series, metadata) in of_series {
        put_uvarint(out, series.get());
        out.push(metadata.kind.number());
        put_uvarint(out, 2);
        put_string(out, "UNIT");
        put_string(out, &metadata.unit);
        put_string(out, "HELP");
        put_string(out, &metadata.help);
    }
}

#[cfg(test)]
mod tests;
