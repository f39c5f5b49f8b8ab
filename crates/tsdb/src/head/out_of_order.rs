//! Out-of-order samples of a series: a few sorted in memory, and chunks of earlier ones.

use ferula_chunk::{
    Chunk, Encoding, Fit, FloatEncoding, FloatHistogramWriter, IntegerHistogramWriter, Xor2Chunk, XorChunk,
};
use ferula_model::{CounterResetHint, HistogramValue};
use ferula_storage::SeriesSamples;

use super::full_chunk::FullChunk;
use super::rules::ChunkRules;
use crate::head_chunks::format::StoredChunk;
use crate::head_chunks::{ChunkPlace, Store};
use crate::ids::{LogRef, TimeSpan};

/// Out-of-order samples of one series.
#[derive(Debug, Default)]
pub struct OutOfOrder {
    /// Sorted by timestamp.
    samples: Vec<OutOfOrderSample>,
    /// Chunks in `chunks_head`; their time ranges may overlap.
    full: Vec<FullChunk>,
}

/// One out-of-order sample.
#[derive(Clone, Debug)]
pub struct OutOfOrderSample {
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Start timestamp, 0 for none.
    pub start: i64,
    pub value: OutOfOrderValue,
}

/// Value of an out-of-order sample.
#[derive(Clone, Debug)]
pub enum OutOfOrderValue {
    Float(f64),
    Histogram(HistogramValue),
}

/// Maximum number of samples in a chunk.
const CHUNK_SAMPLES_MAX: usize = 1024;

impl OutOfOrder {
    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.full.is_empty()
    }

    /// Adds a sample. Returns `false` if there is already one with the same timestamp in memory.
    pub fn insert(&mut self, sample: OutOfOrderSample) -> bool {
        match self.samples.binary_search_by_key(&sample.at, |other| other.at) {
            Ok(_) => false,
            Err(place) => {
                self.samples.insert(place, sample);
                true
            }
        }
    }

    /// Moves the samples in memory to chunks of `store`.
    pub fn move_to(&mut self, rules: &ChunkRules, log_ref: LogRef, store: &Store) -> Vec<ChunkPlace> {
        let mut places = Vec::new();
        let chunks = self.samples.chunks(CHUNK_SAMPLES_MAX).flat_map(|some| encode(some, rules));
        for chunk in chunks.collect::<Vec<_>>() {
            let samples = chunk.encoding.sample_count(&chunk.data).unwrap_or(0);
            let place = store.write(&StoredChunk {
                series: log_ref,
                min: chunk.min_time,
                max: chunk.max_time,
                encoding: chunk.encoding,
                out_of_order: true,
                data: &chunk.data,
            });
            places.push(place);
            self.full.push(FullChunk::new(place, chunk.min_time, chunk.max_time, samples, chunk.encoding));
        }
        self.samples.clear();
        places
    }

    /// Adds a chunk that was found in `chunks_head` at the start.
    pub fn adopt(&mut self, chunk: FullChunk) {
        self.full.push(chunk);
    }

    /// Drops the samples in memory: according to the log, they are in chunks.
    pub fn forget_samples(&mut self) {
        self.samples.clear();
    }

    /// The samples in memory.
    pub fn samples(&self) -> &[OutOfOrderSample] {
        &self.samples
    }

    /// The chunks in `chunks_head`.
    pub fn full_chunks(&self) -> &[FullChunk] {
        &self.full
    }

    /// From the first to the last sample.
    pub fn span(&self) -> TimeSpan {
        let in_memory = self.samples.first().zip(self.samples.last());
        let in_memory =
            in_memory.map_or(TimeSpan::EMPTY, |(first, last)| TimeSpan::closed(first.at, last.at));
        self.full.iter().map(FullChunk::time_span).fold(in_memory, TimeSpan::cover)
    }

    /// Drops the first `chunks` chunks, which are now in blocks.
    pub fn forget_chunks(&mut self, chunks: usize) {
        self.full.drain(..chunks.min(self.full.len()));
    }
}

/// Converts samples in time order to columns.
pub fn to_columns(samples: &[OutOfOrderSample], out: &mut SeriesSamples) {
    for sample in samples {
        match &sample.value {
            OutOfOrderValue::Float(value) => {
                push_start(&mut out.floats.start_timestamps, out.floats.timestamps.len(), sample.start);
                out.floats.timestamps.push(sample.at);
                out.floats.values.push(*value);
            }
            OutOfOrderValue::Histogram(value) => {
                let column = &mut out.histograms;
                push_start(&mut column.start_timestamps, column.timestamps.len(), sample.start);
                column.timestamps.push(sample.at);
                let mut value = value.to_float();
                if value.counter_reset_hint != CounterResetHint::Gauge {
                    std::sync::Arc::make_mut(&mut value).counter_reset_hint = CounterResetHint::Unknown;
                }
                column.values.push(value);
            }
        }
    }
}

fn push_start(starts: &mut Vec<i64>, before: usize, start: i64) {
    if start != 0 && starts.is_empty() {
        starts.resize(before, 0);
    }
    if start != 0 || !starts.is_empty() {
        starts.push(start);
    }
}

/// An encoder for adjacent samples of one type.
enum Writer {
    Float(XorChunk),
    Float2(Xor2Chunk),
    Histogram(IntegerHistogramWriter),
    FloatHistogram(FloatHistogramWriter),
}

/// Encodes samples in time order, in as few chunks as their types and layouts require.
pub fn encode(samples: &[OutOfOrderSample], rules: &ChunkRules) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut open: Option<Writer> = None;
    for sample in samples {
        let (at, start) = (sample.at, sample.start);
        if let Some(next) = push(open.as_mut(), at, start, &sample.value, rules) {
            chunks.extend(open.replace(next).and_then(finish));
        }
    }
    chunks.extend(open.and_then(finish));
    chunks
}

fn finish(writer: Writer) -> Option<Chunk> {
    match writer {
        Writer::Float(mut chunk) => chunk.take(),
        Writer::Float2(mut chunk) => chunk.take(),
        Writer::Histogram(writer) => Some(writer.to_chunk()),
        Writer::FloatHistogram(writer) => Some(writer.to_chunk()),
    }
}

/// Appends to the open chunk, or returns the new chunk that the sample begins.
fn push(
    open: Option<&mut Writer>,
    at: i64,
    start: i64,
    value: &OutOfOrderValue,
    rules: &ChunkRules,
) -> Option<Writer> {
    macro_rules! histogram {
        ($variant:ident, $writer:ty, $sample:expr) => {{
            let header = match open {
                Some(Writer::$variant(writer)) => match writer.fit($sample) {
                    Fit::Append(relayout) => {
                        writer.append(start, at, $sample, &relayout);
                        return None;
                    }
                    Fit::NewChunk(header) => header,
                },
                _ => <$writer>::header_after(None, $sample),
            };
            Some(Writer::$variant(<$writer>::begin(header, rules.histogram_starts, start, at, $sample)))
        }};
    }
    match value {
        OutOfOrderValue::Float(value) => match open {
            Some(Writer::Float(chunk)) => {
                chunk.push(at, *value);
                None
            }
            Some(Writer::Float2(chunk)) => {
                chunk.push(start, at, *value);
                None
            }
            _ if rules.floats == FloatEncoding::Xor2 => {
                let mut chunk = Xor2Chunk::new();
                chunk.push(start, at, *value);
                Some(Writer::Float2(chunk))
            }
            _ => {
                let mut chunk = XorChunk::new();
                chunk.push(at, *value);
                Some(Writer::Float(chunk))
            }
        },
        OutOfOrderValue::Histogram(HistogramValue::Integer(sample)) => {
            histogram!(Histogram, IntegerHistogramWriter, sample)
        }
        OutOfOrderValue::Histogram(HistogramValue::Float(sample)) => {
            histogram!(FloatHistogram, FloatHistogramWriter, sample)
        }
    }
}

/// Whether chunks with this encoding contain histograms.
pub fn holds_histograms(encoding: Encoding) -> bool {
    encoding.value_kind() != ferula_chunk::ValueKind::Float
}
