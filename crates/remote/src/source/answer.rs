//! Answers: one message with samples, or frames with chunks, to rows.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use ferula_chunk::{Columns, Corrupt, Encoding, HistogramColumns, decode_floats, decode_histograms};
use ferula_model::histogram::HistogramError;
use ferula_model::labels::METRIC_NAME;
use ferula_model::{HistogramValue, LabelSet, TimeRange};
use ferula_storage::merge::append;
use ferula_storage::{Hints, OutOfMemory, SeriesSamples, SourceRow, StorageError};

use super::client::ReadFailure;
use crate::protobuf::{ProtobufError, Reader};
use crate::snappy::{self, SnappyError};
use crate::write::message::{Item, RawLabel, TimeSeries};

/// Why an answer has no, or no more series. The texts are Prometheus'.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("error reading response: {0}")]
    Unpack(#[from] SnappyError),
    #[error("unable to unmarshal response body: {0}")]
    Message(ProtobufError),
    #[error("responses: want 1, got {0}")]
    Results(usize),
    #[error(transparent)]
    Body(ReadFailure),
    /// A frame that is not a message.
    #[error(transparent)]
    Frame(#[from] ProtobufError),
    #[error("chunkedReader: message size exceeded the limit {limit} bytes; got: {stated} bytes")]
    FrameSize { limit: u64, stated: u64 },
    #[error("chunkedReader: corrupted frame; checksum mismatch")]
    Checksum,
    /// The stream ends within a frame.
    #[error("unexpected EOF")]
    Cut,
    #[error("binary: varint overflows a 64-bit integer")]
    Varint,
    #[error("invalid metric name: {0}")]
    MetricName(String),
    #[error("invalid label name: {0}")]
    LabelName(String),
    #[error("invalid label value: {0}")]
    LabelValue(String),
    #[error("duplicate label with name: {0}")]
    DuplicateLabel(String),
    #[error("invalid chunk encoding \"<unknown>\"")]
    Encoding,
    #[error("{0}")]
    Chunk(#[from] Corrupt),
    #[error("{0}")]
    Histogram(#[from] HistogramError),
    /// Not the source's fault.
    #[error(transparent)]
    Store(#[from] StorageError),
}

impl From<OutOfMemory> for AnswerError {
    fn from(refused: OutOfMemory) -> Self {
        AnswerError::Store(refused.into())
    }
}

/// Rows in the making.
pub struct Rows<'a> {
    range: TimeRange,
    hidden: &'a [String],
    hints: &'a Hints,
    /// By labels: a series may come in several frames.
    rows: BTreeMap<LabelSet, SourceRow>,
}

impl<'a> Rows<'a> {
    /// Samples out of the range are left out, and the hidden labels taken off.
    pub fn new(range: TimeRange, hidden: &'a [String], hints: &'a Hints) -> Self {
        Rows { range, hidden, hints, rows: BTreeMap::new() }
    }

    /// Samples that are wrong break their series alone.
    fn add(
        &mut self,
        labels: LabelSet,
        samples: Result<SeriesSamples, AnswerError>,
    ) -> Result<(), AnswerError> {
        let labels = labels.retain(|name| !self.hidden.iter().any(|hidden| hidden == name));
        let (mut samples, broken) = match samples {
            Ok(samples) => (samples, None),
            Err(AnswerError::Store(error)) => return Err(AnswerError::Store(error)),
            Err(error) => (SeriesSamples::default(), Some(StorageError::Remote(error.to_string()))),
        };
        samples.sort();
        let mut within = SeriesSamples::default();
        within.extend_within(&samples, self.range);
        let histograms: usize = within.histograms.values.iter().map(|value| value.accounted_bytes()).sum();
        self.hints.charge(ROW_BYTES + within.len().saturating_mul(16).saturating_add(histograms))?;
        let row =
            self.rows.entry(labels.clone()).or_insert_with(|| SourceRow { labels, ..Default::default() });
        append(&mut row.samples, within);
        row.broken = row.broken.take().or(broken);
        Ok(())
    }

    /// The rows so far.
    pub fn finish(self) -> Vec<SourceRow> {
        self.rows.into_values().collect()
    }
}

/// Memory of a row besides its samples.
const ROW_BYTES: usize = size_of::<SeriesSamples>() + size_of::<LabelSet>() + 64;

/// Labels as they must be: UTF-8, names that are not empty, each once.
fn label_set(labels: &[RawLabel<'_>]) -> Result<LabelSet, AnswerError> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(labels.len());
    for &(raw_name, raw_value) in labels {
        let name = std::str::from_utf8(raw_name).unwrap_or_default();
        if name.is_empty() {
            return Err(AnswerError::LabelName(lossy(raw_name)));
        }
        let Ok(value) = std::str::from_utf8(raw_value) else {
            let value = lossy(raw_value);
            return Err(if name == METRIC_NAME {
                AnswerError::MetricName(value)
            } else {
                AnswerError::LabelValue(value)
            });
        };
        if name == METRIC_NAME && value.is_empty() {
            return Err(AnswerError::MetricName(String::new()));
        }
        if pairs.last().is_some_and(|(last, _)| *last == name) {
            return Err(AnswerError::DuplicateLabel(name.to_owned()));
        }
        pairs.push((name, value));
    }
    Ok(LabelSet::from_pairs(pairs))
}

/// Reads a packed `ReadResponse` for one query.
///
/// # Errors
/// See [`AnswerError`].
pub fn sampled(body: &[u8], rows: &mut Rows<'_>) -> Result<(), AnswerError> {
    // The bound is the reader's memory.
    rows.hints.charge(snappy::possible_bytes(body)?)?;
    let message = snappy::decode_unbounded(body)?;
    let mut reader = Reader::new(&message);
    let mut results = Vec::new();
    while let Some((field, value)) = reader.field().map_err(AnswerError::Message)? {
        if field == 1 {
            results.push(value.bytes("ReadResponse.results").map_err(AnswerError::Message)?);
        }
    }
    let [result] = results[..] else { return Err(AnswerError::Results(results.len())) };
    let mut reader = Reader::new(result);
    let mut all = Vec::new();
    while let Some((field, value)) = reader.field().map_err(AnswerError::Message)? {
        if field == 1 {
            all.push(TimeSeries::new(value.bytes("QueryResult.timeseries").map_err(AnswerError::Message)?));
        }
    }
    for series in all {
        let labels = label_set(&series.labels().map_err(AnswerError::Message)?)?;
        let samples = samples_of(&series);
        if let Err(error @ AnswerError::Message(_)) = samples {
            return Err(error);
        }
        rows.add(labels, samples)?;
    }
    Ok(())
}

fn samples_of(series: &TimeSeries<'_>) -> Result<SeriesSamples, AnswerError> {
    let mut samples = SeriesSamples::default();
    series.items(|item| -> Result<(), ItemError> {
        match item {
            Item::Sample(times, value) => {
                samples.floats.timestamps.push(times.at);
                samples.floats.values.push(value);
            }
            Item::Histogram(times, value) => {
                match &value {
                    HistogramValue::Integer(value) => value.validate()?,
                    HistogramValue::Float(value) => value.validate()?,
                }
                samples.histograms.timestamps.push(times.at);
                samples.histograms.values.push(value.to_float());
            }
            Item::Exemplar(_) => {}
        }
        Ok(())
    })?;
    Ok(samples)
}

/// Why an item of a series is refused.
enum ItemError {
    Protobuf(ProtobufError),
    Histogram(HistogramError),
}

impl From<ProtobufError> for ItemError {
    fn from(error: ProtobufError) -> Self {
        ItemError::Protobuf(error)
    }
}

impl From<HistogramError> for ItemError {
    fn from(error: HistogramError) -> Self {
        ItemError::Histogram(error)
    }
}

impl From<ItemError> for AnswerError {
    fn from(error: ItemError) -> Self {
        match error {
            ItemError::Protobuf(error) => AnswerError::Message(error),
            ItemError::Histogram(error) => AnswerError::Histogram(error),
        }
    }
}

/// A body that comes in pieces.
pub trait Pieces {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The body broke off, or nobody waits any more.
    fn next(&mut self) -> Result<Option<Bytes>, AnswerError>;
}

/// Reads frames to the end of the stream.
///
/// # Errors
/// See [`AnswerError`]; the rows before it stay.
pub fn chunked(pieces: &mut dyn Pieces, limit: u64, rows: &mut Rows<'_>) -> Result<(), AnswerError> {
    let mut buffer = BytesMut::new();
    loop {
        let Some((header_bytes, stated)) = next_length(pieces, &mut buffer)? else { return Ok(()) };
        if stated > limit {
            return Err(AnswerError::FrameSize { limit, stated });
        }
        let length = usize::try_from(stated).map_err(|_| AnswerError::FrameSize { limit, stated })?;
        buffer.advance(header_bytes);
        let whole = length.saturating_add(CHECKSUM_BYTES);
        while buffer.len() < whole {
            match pieces.next()? {
                Some(piece) => buffer.extend_from_slice(&piece),
                None => return Err(AnswerError::Cut),
            }
        }
        let frame = buffer.split_to(whole).freeze();
        let (checksum, message) = frame.split_at(CHECKSUM_BYTES);
        if checksum != crc32c::crc32c(message).to_be_bytes() {
            return Err(AnswerError::Checksum);
        }
        add_frame(message, rows)?;
    }
}

const CHECKSUM_BYTES: usize = 4;

/// The length of the next frame and how many bytes state it; `None` at the end of the stream.
fn next_length(pieces: &mut dyn Pieces, buffer: &mut BytesMut) -> Result<Option<(usize, u64)>, AnswerError> {
    const BYTES_MAX: usize = 10;
    loop {
        let last = buffer.iter().take(BYTES_MAX).position(|byte| byte & 0x80 == 0);
        if let Some(last) = last {
            let number = buffer[..=last].iter().rev().try_fold(0u64, |number, byte| {
                let shifted = number.checked_mul(128)?;
                shifted.checked_add(u64::from(byte & 0x7f))
            });
            return number.map(|number| Some((last + 1, number))).ok_or(AnswerError::Varint);
        }
        if buffer.len() >= BYTES_MAX {
            return Err(AnswerError::Varint);
        }
        match pieces.next()? {
            Some(piece) => buffer.extend_from_slice(&piece),
            None if buffer.is_empty() => return Ok(None),
            None => return Err(AnswerError::Cut),
        }
    }
}

/// A `ChunkedReadResponse`.
fn add_frame(message: &[u8], rows: &mut Rows<'_>) -> Result<(), AnswerError> {
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.field()? {
        if field == 1 {
            let series = value.bytes("ChunkedReadResponse.chunked_series")?;
            let labels = label_set(&TimeSeries::new(series).labels()?)?;
            let samples = chunks_of(series);
            if let Err(error @ AnswerError::Frame(_)) = samples {
                return Err(error);
            }
            rows.add(labels, samples)?;
        }
    }
    Ok(())
}

fn chunks_of(series: &[u8]) -> Result<SeriesSamples, AnswerError> {
    let mut reader = Reader::new(series);
    let mut samples = SeriesSamples::default();
    while let Some((field, value)) = reader.field()? {
        if field == 2 {
            let mut chunk = samples_of_chunk(value.bytes("ChunkedSeries.chunks")?)?;
            chunk.sort();
            append(&mut samples, chunk);
        }
    }
    Ok(samples)
}

fn samples_of_chunk(message: &[u8]) -> Result<SeriesSamples, AnswerError> {
    let mut reader = Reader::new(message);
    let (mut kind, mut data) = (0, &[][..]);
    while let Some((field, value)) = reader.field()? {
        match field {
            3 => kind = value.uint("Chunk.type")?,
            4 => data = value.bytes("Chunk.data")?,
            _ => {}
        }
    }
    let encoding = u8::try_from(kind).ok().and_then(Encoding::from_number);
    let mut samples = SeriesSamples::default();
    match encoding.ok_or(AnswerError::Encoding)? {
        encoding @ (Encoding::Xor | Encoding::Xor2) => {
            let mut columns = Columns::default();
            decode_floats(encoding, data, u16::MAX, &mut columns)?;
            samples.floats.timestamps = columns.timestamps;
            samples.floats.values = columns.values;
        }
        encoding => {
            let mut columns = HistogramColumns::default();
            decode_histograms(encoding, data, u16::MAX, &mut columns)?;
            samples.histograms.timestamps = columns.timestamps;
            samples.histograms.values = columns.values;
        }
    }
    Ok(samples)
}
