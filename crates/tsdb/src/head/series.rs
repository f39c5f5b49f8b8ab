//! One series of the head: its open chunk, its full chunks, and the rules that determine when a chunk is
//! full.
//!
//! Always true: timestamps of in-order samples are strictly ascending; chunks do not extend past the end of
//! their chunk range; a full chunk never changes; chunk number `chunk_number` is the open one.

mod reopen;

use std::sync::Arc;

use ferula_chunk::{
    Encoding, Fit, FloatEncoding, FloatHistogramWriter, IntegerHistogramWriter, ValueKind, Xor2Chunk,
    XorWriter,
};
use ferula_model::{FloatHistogram, Histogram, HistogramValue};
use ferula_storage::AppendError;

use super::blocks::Payload;
use super::full_chunk::FullChunk;
use super::out_of_order::OutOfOrder;
use super::rules::ChunkRules;
use crate::head_chunks::Store;
use crate::head_chunks::format::StoredChunk;
use crate::ids::{LogRef, TimeSpan};
pub use reopen::Reopened;

/// Larger XOR chunks get no more samples, so that no sample makes them exceed 1024 bytes.
const XOR_BYTES_MAX: usize = 1024 - XorWriter::SAMPLE_BYTES_MAX;
/// Histogram chunks should have about this many bytes,
const HISTOGRAM_BYTES: usize = 1024;
/// but at least this many samples.
const HISTOGRAM_SAMPLES_MIN: u16 = 10;

/// A series. One lives in each used slot.
#[derive(Debug, Default)]
pub struct Series {
    pub log_ref: LogRef,
    /// How often the slot was used before.
    pub generation: u32,
    /// Number of uncommitted samples and handles of appenders; while there are any, the series stays.
    pub pending: u32,
    /// Whether the slot holds a living series.
    pub alive: bool,
    /// Whether it was created at run time, and no commit has added anything to it so far.
    pub unused: bool,
    /// Number of the open chunk, which equals the number of full chunks before it.
    pub chunk_number: u32,
    open: Open,
    payload: Payload,
    /// Timestamp of the first sample of the open chunk. Without samples: samples up to this time are out of
    /// order.
    open_min: i64,
    /// A sample at or after this time begins a new chunk.
    next_at: i64,
    /// Whether the end of an open histogram chunk has been predicted.
    predicted: bool,
    full: Box<[FullChunk]>,
    /// Out-of-order samples, if there are any.
    pub out_of_order: Option<Box<OutOfOrder>>,
}

#[derive(Debug, Default)]
enum Open {
    #[default]
    None,
    Float(XorWriter),
    /// In XOR2, with timestamp and value of the last sample.
    Float2(Box<Xor2Chunk>, i64, f64),
    Histogram(Box<IntegerHistogramWriter>, Arc<Histogram>),
    FloatHistogram(Box<FloatHistogramWriter>, Arc<FloatHistogram>),
}

/// Where a sample is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// After all others.
    InOrder,
    /// Between others.
    OutOfOrder,
    /// It repeats the newest one.
    Repeated,
}

/// The times for which samples are accepted.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In-order samples must not be older.
    pub min_valid: i64,
    /// The newest sample of the head.
    pub head_max: i64,
    /// How old out-of-order samples may be; 0 disables them.
    pub out_of_order_window: i64,
    /// Whether this sample is refused if it would be inserted between others.
    pub in_order_only: bool,
}

impl Bounds {
    /// The same bounds for a sample that is refused if it would be inserted between others.
    pub fn in_order(self) -> Self {
        Bounds { in_order_only: true, ..self }
    }

    /// The outcome for a sample that is not the newest: out of order, or refused.
    fn out_of_order_placement(&self, at: i64) -> Result<Placement, AppendError> {
        if self.out_of_order_window > 0 {
            if at >= self.head_max.saturating_sub(self.out_of_order_window) {
                return if self.in_order_only {
                    Err(AppendError::OutOfOrder)
                } else {
                    Ok(Placement::OutOfOrder)
                };
            }
            return Err(AppendError::TooOld);
        }
        Err(if at < self.min_valid { AppendError::OutOfBounds } else { AppendError::OutOfOrder })
    }
}

impl Series {
    /// Timestamp of the newest in-order sample, if there is one.
    pub fn last(&self) -> Option<i64> {
        match &self.open {
            Open::None => self.full.last().map(FullChunk::max),
            Open::Float(writer) => Some(writer.last_timestamp()),
            Open::Float2(_, last, _) => Some(*last),
            Open::Histogram(writer, _) => Some(writer.last_timestamp()),
            Open::FloatHistogram(writer, _) => Some(writer.last_timestamp()),
        }
    }

    /// Timestamp of the oldest in-order sample, if there is one.
    pub fn first(&self) -> Option<i64> {
        match (self.full.first(), &self.open) {
            (Some(chunk), _) => Some(chunk.min),
            (None, Open::None) => None,
            (None, _) => Some(self.open_min),
        }
    }

    /// Type of the newest sample.
    pub fn last_kind(&self) -> Option<ValueKind> {
        match &self.open {
            Open::None => None,
            Open::Float(_) | Open::Float2(..) => Some(ValueKind::Float),
            Open::Histogram(..) => Some(ValueKind::Histogram),
            Open::FloatHistogram(..) => Some(ValueKind::FloatHistogram),
        }
    }

    /// Number of buckets of the newest sample, if it is a histogram.
    pub fn last_buckets(&self) -> Option<usize> {
        match &self.open {
            Open::Histogram(_, last) => Some(last.positive_buckets.len() + last.negative_buckets.len()),
            Open::FloatHistogram(_, last) => Some(last.positive_buckets.len() + last.negative_buckets.len()),
            Open::None | Open::Float(_) | Open::Float2(..) => None,
        }
    }

    /// The newest sample, if it is a float.
    pub fn last_float(&self) -> Option<(i64, f64)> {
        match &self.open {
            Open::Float(writer) => Some((writer.last_timestamp(), writer.last_value())),
            Open::Float2(_, at, value) => Some((*at, *value)),
            _ => None,
        }
    }

    /// The value of the newest sample, or the sum if it is a histogram: this is where a staleness marker is
    /// found.
    pub fn last_value(&self) -> Option<f64> {
        match &self.open {
            Open::None => None,
            Open::Float(writer) => Some(writer.last_value()),
            Open::Float2(_, _, value) => Some(*value),
            Open::Histogram(_, last) => Some(last.sum),
            Open::FloatHistogram(_, last) => Some(last.sum),
        }
    }

    /// For a new series that existed before: samples up to this time are out of order.
    pub fn goes_on_after(&mut self, end: i64) {
        self.open_min = end;
    }

    /// Whether a float is accepted, and where it is added.
    pub fn check_float(&self, at: i64, value: f64, bounds: &Bounds) -> Result<Placement, AppendError> {
        self.check(at, bounds, |series| {
            series.last_float().is_some_and(|(_, last)| last.to_bits() == value.to_bits())
        })
    }

    /// Whether a histogram is accepted, and where it is added.
    pub fn check_histogram(
        &self,
        at: i64,
        value: &HistogramValue,
        bounds: &Bounds,
    ) -> Result<Placement, AppendError> {
        self.check(at, bounds, |series| match (&series.open, value) {
            (Open::Histogram(_, last), HistogramValue::Integer(value)) => last.equals(value),
            (Open::FloatHistogram(_, last), HistogramValue::Float(value)) => last.equals(value),
            _ => false,
        })
    }

    fn check(
        &self,
        at: i64,
        bounds: &Bounds,
        same_as_last: impl Fn(&Self) -> bool,
    ) -> Result<Placement, AppendError> {
        if at >= bounds.min_valid {
            let Some(last) = self.last() else {
                // Including the start of a removed chunk, which is older than everything that is accepted.
                return if at > self.open_min || self.open_min == 0 {
                    Ok(Placement::InOrder)
                } else {
                    bounds.out_of_order_placement(at)
                };
            };
            if at > last {
                return Ok(Placement::InOrder);
            }
            if at == last && !matches!(self.open, Open::None) {
                return if same_as_last(self) {
                    Ok(Placement::Repeated)
                } else {
                    Err(AppendError::DuplicateForTimestamp)
                };
            }
        }
        bounds.out_of_order_placement(at)
    }

    /// Appends a float that `check_float` found to be in order. Returns whether it began a new chunk.
    pub fn append_float(
        &mut self,
        at: i64,
        start: i64,
        value: f64,
        rules: &ChunkRules,
        store: &Store,
    ) -> bool {
        let began = self.prepare_float(at, rules, store);
        match &mut self.open {
            Open::Float(writer) => writer.push(&mut self.payload, at, value),
            Open::Float2(chunk, last, last_value) => {
                chunk.push(start, at, value);
                (*last, *last_value) = (at, value);
            }
            Open::None | Open::Histogram(..) | Open::FloatHistogram(..) => {
                unreachable!("prepare_float leaves an open chunk of floats")
            }
        }
        began
    }

    /// Makes sure that the open chunk can take the float.
    fn prepare_float(&mut self, at: i64, rules: &ChunkRules, store: &Store) -> bool {
        let (encoding, state) = match &self.open {
            Open::Float(writer) => (FloatEncoding::Xor, Some((writer.len(), writer.byte_len()))),
            Open::Float2(chunk, ..) => {
                (FloatEncoding::Xor2, Some((chunk.writer().len(), chunk.writer().byte_len())))
            }
            _ => (rules.floats, None),
        };
        // Without start timestamps, a chunk continues in the encoding with which it was begun.
        let state = state.filter(|_| encoding == rules.floats || !rules.start_timestamps);
        if let Some((samples, _)) = state.filter(|(_, bytes)| *bytes <= XOR_BYTES_MAX) {
            if samples == rules.samples / 4 {
                self.next_at = chunk_end(self.open_min, self.last().unwrap_or(at), self.next_at, 4.0);
            }
            if at < self.next_at && samples < rules.samples * 2 {
                return false;
            }
        }
        self.begin(at, rules, store);
        self.open = match rules.floats {
            FloatEncoding::Xor => Open::Float(XorWriter::new()),
            FloatEncoding::Xor2 => Open::Float2(Box::default(), at, 0.0),
        };
        true
    }

    /// Appends a histogram that `check_histogram` found to be in order. Returns whether it began a new chunk.
    pub fn append_histogram(
        &mut self,
        at: i64,
        start: i64,
        value: &HistogramValue,
        rules: &ChunkRules,
        store: &Store,
    ) -> bool {
        let full = self.histogram_chunk_full(at, value, rules);
        let with_starts = rules.histogram_starts;
        macro_rules! append {
            ($variant:ident, $writer:ty, $sample:expr) => {{
                if let (false, Open::$variant(writer, last)) = (full, &mut self.open) {
                    match writer.fit($sample) {
                        Fit::Append(relayout) => {
                            writer.append(start, at, $sample, &relayout);
                            *last = $sample.clone();
                            return false;
                        }
                        Fit::NewChunk(header) => {
                            let writer = <$writer>::begin(header, with_starts, start, at, $sample);
                            self.begin(at, rules, store);
                            self.open = Open::$variant(Box::new(writer), $sample.clone());
                            return true;
                        }
                    }
                }
                let previous = match &self.open {
                    Open::$variant(writer, _) => Some(&**writer),
                    _ => None,
                };
                let header = <$writer>::header_after(previous, $sample);
                let writer = <$writer>::begin(header, with_starts, start, at, $sample);
                self.begin(at, rules, store);
                self.open = Open::$variant(Box::new(writer), $sample.clone());
                true
            }};
        }
        match value {
            HistogramValue::Integer(sample) => append!(Histogram, IntegerHistogramWriter, sample),
            HistogramValue::Float(sample) => append!(FloatHistogram, FloatHistogramWriter, sample),
        }
    }

    /// Whether the open chunk cannot take a histogram at this time, because of its type, size or range.
    fn histogram_chunk_full(&mut self, at: i64, value: &HistogramValue, rules: &ChunkRules) -> bool {
        let (samples, bytes) = match (&self.open, value) {
            (Open::Histogram(writer, _), HistogramValue::Integer(_)) => (writer.len(), writer.byte_len()),
            (Open::FloatHistogram(writer, _), HistogramValue::Float(_)) => (writer.len(), writer.byte_len()),
            _ => return true,
        };
        let range_end = if self.predicted { range_end(self.open_min, rules.range) } else { self.next_at };
        if !self.predicted && bytes >= HISTOGRAM_BYTES / 4 {
            let ratio_to_full = HISTOGRAM_BYTES as f64 / bytes as f64;
            let last = self.last().unwrap_or(at);
            self.next_at = chunk_end(self.open_min, last, self.next_at, ratio_to_full);
            self.predicted = true;
        }
        (at >= self.next_at || bytes >= HISTOGRAM_BYTES * 2)
            && (samples >= HISTOGRAM_SAMPLES_MIN || at >= range_end)
    }

    fn begin(&mut self, at: i64, rules: &ChunkRules, store: &Store) {
        self.close_chunk(store);
        self.open_min = at;
        self.next_at = range_end(at, rules.range);
        self.predicted = false;
    }

    /// Moves the open chunk out of memory.
    pub fn close_chunk(&mut self, store: &Store) {
        let Some((encoding, samples, data)) = self.open_bytes() else { return };
        let (min, max) = (self.open_min, self.last().unwrap_or(self.open_min));
        let place = store.write(&StoredChunk {
            series: self.log_ref,
            min,
            max,
            encoding,
            out_of_order: false,
            data: &data,
        });
        self.open = Open::None;
        self.payload.clear();
        self.push_full(FullChunk::new(place, min, max, samples, encoding));
        self.chunk_number = self.chunk_number.wrapping_add(1);
    }

    fn push_full(&mut self, chunk: FullChunk) {
        let mut full = std::mem::take(&mut self.full).into_vec();
        full.reserve_exact(1);
        full.push(chunk);
        self.full = full.into_boxed_slice();
    }

    /// Adds a chunk that was found in `chunks_head` at the start, if it follows the existing ones.
    pub fn adopt(&mut self, chunk: FullChunk) -> bool {
        if !matches!(self.open, Open::None) || self.last().is_some_and(|last| chunk.min <= last) {
            return false;
        }
        self.push_full(chunk);
        self.chunk_number = self.chunk_number.wrapping_add(1);
        true
    }

    /// The open chunk: encoding, number of samples and bytes.
    pub fn open_bytes(&self) -> Option<(Encoding, u16, Vec<u8>)> {
        let mut data = Vec::new();
        let (encoding, samples) = self.open_into(&mut data)?;
        Some((encoding, samples, data))
    }

    /// Writes the bytes of the open chunk to `data`, replacing its content; returns encoding and number of
    /// samples.
    pub fn open_into(&self, data: &mut Vec<u8>) -> Option<(Encoding, u16)> {
        data.clear();
        match &self.open {
            Open::None => None,
            Open::Float(writer) => {
                data.reserve(writer.byte_len());
                writer.write_chunk(self.payload.pieces(), data);
                Some((Encoding::Xor, writer.len()))
            }
            Open::Float2(chunk, ..) => {
                *data = chunk.to_bytes();
                Some((Encoding::Xor2, chunk.writer().len()))
            }
            Open::Histogram(writer, _) => {
                *data = writer.to_bytes();
                Some((writer.encoding(), writer.len()))
            }
            Open::FloatHistogram(writer, _) => {
                *data = writer.to_bytes();
                Some((writer.encoding(), writer.len()))
            }
        }
    }

    /// Number of samples in the open chunk.
    pub fn open_samples(&self) -> u16 {
        match &self.open {
            Open::None => 0,
            Open::Float(writer) => writer.len(),
            Open::Float2(chunk, ..) => chunk.writer().len(),
            Open::Histogram(writer, _) => writer.len(),
            Open::FloatHistogram(writer, _) => writer.len(),
        }
    }

    /// From the first to the last sample in the open chunk.
    pub fn open_span(&self) -> Option<TimeSpan> {
        match self.open {
            Open::None => None,
            _ => self.last().map(|last| TimeSpan::closed(self.open_min, last)),
        }
    }

    /// From the first to the last sample, in order or not.
    pub fn span(&self) -> TimeSpan {
        let in_order = self.first().zip(self.last());
        let in_order = in_order.map_or(TimeSpan::EMPTY, |(first, last)| TimeSpan::closed(first, last));
        self.out_of_order.as_ref().map_or(in_order, |samples| in_order.cover(samples.span()))
    }

    /// Full chunks with their numbers.
    pub fn full_chunks(&self) -> impl Iterator<Item = (u32, &FullChunk)> {
        let first = self.chunk_number.wrapping_sub(self.full.len() as u32);
        self.full.iter().enumerate().map(move |(index, chunk)| (first.wrapping_add(index as u32), chunk))
    }

    /// Number of chunks, including the open one.
    pub fn chunk_count(&self) -> usize {
        self.full.len() + usize::from(!matches!(self.open, Open::None))
    }

    /// Drops chunks whose samples are all before `min`. Returns their number.
    pub fn truncate(&mut self, min: i64) -> usize {
        let before = self.chunk_count();
        if self.full.first().is_some_and(|chunk| chunk.max() < min) {
            let kept: Vec<FullChunk> = self.full.iter().filter(|chunk| chunk.max() >= min).copied().collect();
            self.full = kept.into_boxed_slice();
        }
        if self.full.is_empty() && self.open_span().is_some_and(|open| open.last() < min) {
            self.open = Open::None;
            self.payload.clear();
            self.chunk_number = self.chunk_number.wrapping_add(1);
        }
        before - self.chunk_count()
    }

    /// Drops all in-order samples. Returns the number of their chunks.
    pub fn forget_samples(&mut self) -> usize {
        let chunks = self.chunk_count();
        self.full = Box::default();
        self.open = Open::None;
        self.payload.clear();
        self.chunk_number = self.chunk_number.wrapping_add(1);
        chunks
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.chunk_count() == 0
            && self.out_of_order.as_ref().is_none_or(|out_of_order| out_of_order.is_empty())
    }
}

/// End of the chunk range that contains `at`. As in Prometheus, rounds towards zero.
pub fn range_end(at: i64, range: i64) -> i64 {
    (at / range).saturating_mul(range).saturating_add(range)
}

/// Where a chunk should end so that the chunks up to `max` have about equally many samples, if it is now full
/// to one part in `ratio_to_full`.
fn chunk_end(start: i64, current: i64, max: i64, ratio_to_full: f64) -> i64 {
    let rest = max.saturating_sub(start) as f64;
    let chunks = rest / ((current.saturating_sub(start).saturating_add(1)) as f64 * ratio_to_full);
    if chunks <= 1.0 { max } else { (start as f64 + rest / chunks.floor()) as i64 }
}

/// The staleness marker as a histogram of the same type as `kind`.
pub fn stale_histogram(kind: ValueKind) -> Option<HistogramValue> {
    let sum = ferula_model::value::STALE_NAN;
    match kind {
        ValueKind::Float => None,
        ValueKind::Histogram => {
            Some(HistogramValue::Integer(Arc::new(Histogram { sum, ..Default::default() })))
        }
        ValueKind::FloatHistogram => {
            Some(HistogramValue::Float(Arc::new(FloatHistogram { sum, ..Default::default() })))
        }
    }
}

// Kept small deliberately: there is one per active series.
const _: () = assert!(size_of::<Series>() <= 144);
