//! Combines the chunks of one series: removes deleted samples and overlaps, and joins short chunks.
//!
//! 1. [`visible`]: removes what is deleted or out of range. Unaffected chunks are kept as they are.
//! 2. [`merge`]: puts chunks of several sources in time order. Where chunks overlap, their samples are merged
//!    and encoded again; of samples with the same timestamp, one is kept. Of identical chunks, one is kept.
//! 3. [`join`]: joins adjacent short XOR chunks.

use ferula_chunk::{Columns, Encoding, Sample, SampleIter, SampleValue, XorChunk, decode_xor};
use ferula_model::CounterResetHint;

use super::encode::{EncodeOptions, SampleEncoder};
use super::heap::GoHeap;
use crate::block::{BlockChunk, BlockError, BlockOptions, Intervals};
use crate::ids::TimeSpan;

/// Why a chunk could not be read, for an error that names the block.
pub(crate) type Unreadable = ferula_chunk::Corrupt;

/// What is left of `chunks` without the deleted ranges and without what lies outside of the span.
pub(crate) fn visible(
    chunks: &mut Vec<BlockChunk>,
    deleted: &Intervals,
    span: TimeSpan,
) -> Result<(), Unreadable> {
    let (min, max) = (span.start(), span.last());
    let untouched = |chunk: &BlockChunk| {
        min <= chunk.min_time && chunk.max_time <= max && !deleted.overlaps(chunk.min_time, chunk.max_time)
    };
    if chunks.iter().all(untouched) {
        return Ok(());
    }
    let mut left = Vec::with_capacity(chunks.len());
    for chunk in chunks.drain(..) {
        if untouched(&chunk) {
            left.push(chunk);
            continue;
        }
        if chunk.max_time < min || max < chunk.min_time || deleted.covers(chunk.min_time, chunk.max_time) {
            continue;
        }
        let mut encoder = SampleEncoder::same_as(chunk.encoding);
        for sample in SampleIter::new(chunk.encoding, &chunk.data)? {
            let sample = sample?;
            let t = sample.timestamp;
            if min <= t && t <= max && !deleted.contains(t) {
                encoder.push(&sample);
            }
        }
        left.append(&mut encoder.finish());
    }
    *chunks = left;
    Ok(())
}

/// Chunks of one source that remain to be merged; never empty in the heap.
struct Stream(std::vec::IntoIter<BlockChunk>, BlockChunk);

impl Stream {
    fn begin(chunks: Vec<BlockChunk>) -> Option<Self> {
        let mut chunks = chunks.into_iter();
        let first = chunks.next()?;
        Some(Stream(chunks, first))
    }

    /// The first chunk, and the stream of the remaining ones.
    fn advance(mut self) -> (BlockChunk, Option<Self>) {
        match self.0.next() {
            Some(next) => (self.1, Some(Stream(self.0, next))),
            None => (self.1, None),
        }
    }
}

/// One row of chunks that do not overlap. Within a source, chunks are in order of time.
pub(crate) fn merge(
    sources: Vec<Vec<BlockChunk>>,
    options: EncodeOptions,
) -> Result<Vec<BlockChunk>, Unreadable> {
    let key = |stream: &Stream| (stream.1.min_time, stream.1.max_time);
    let mut heap = GoHeap::new(|a: &Stream, b: &Stream| key(a) < key(b));
    sources.into_iter().filter_map(Stream::begin).for_each(|stream| heap.push(stream));
    let mut merged = Vec::new();
    while let Some(stream) = heap.pop() {
        let (first, rest) = stream.advance();
        rest.into_iter().for_each(|rest| heap.push(rest));
        let mut end = first.max_time;
        let mut overlapping: Vec<BlockChunk> = Vec::new();
        while heap.peek().is_some_and(|stream| stream.1.min_time <= end) {
            let Some(stream) = heap.pop() else { break };
            let (next, rest) = stream.advance();
            rest.into_iter().for_each(|rest| heap.push(rest));
            let previous = overlapping.last().unwrap_or(&first);
            if !is_same(&next, previous) {
                end = end.max(next.max_time);
                overlapping.push(next);
            }
        }
        if overlapping.is_empty() {
            merged.push(first);
            continue;
        }
        overlapping.push(first);
        let mut encoder = SampleEncoder::new(options);
        let mut samples = Chained::begin(&overlapping)?;
        while let Some(sample) = samples.next()? {
            encoder.push(&sample);
        }
        // The last of the new chunks may overlap the following ones, so all but the first are put back.
        if let Some(stream) = Stream::begin(encoder.finish()) {
            let (chunk, rest) = stream.advance();
            merged.push(chunk);
            rest.into_iter().for_each(|rest| heap.push(rest));
        }
    }
    Ok(merged)
}

fn is_same(a: &BlockChunk, b: &BlockChunk) -> bool {
    (a.min_time, a.max_time) == (b.min_time, b.max_time) && *a.data == *b.data
}

/// Samples of several chunks in time order, one per timestamp.
///
/// Follows Prometheus' chained iterator step by step, because that determines which of several samples is
/// kept.
struct Chained<'a> {
    heap: GoHeap<Cursor<'a>, fn(&Cursor<'_>, &Cursor<'_>) -> bool>,
    current: Option<Cursor<'a>>,
    last: i64,
    begun: bool,
}

struct Cursor<'a> {
    samples: SampleIter<'a>,
    at: Option<Sample>,
}

impl Cursor<'_> {
    fn advance(&mut self) -> Result<bool, Unreadable> {
        self.at = self.samples.next().transpose()?;
        Ok(self.at.is_some())
    }

    fn time(&self) -> i64 {
        self.at.as_ref().map_or(i64::MAX, |sample| sample.timestamp)
    }
}

impl<'a> Chained<'a> {
    fn begin(chunks: &'a [BlockChunk]) -> Result<Self, Unreadable> {
        let less: fn(&Cursor<'_>, &Cursor<'_>) -> bool = |a, b| a.time() < b.time();
        let mut chained = Chained { heap: GoHeap::new(less), current: None, last: i64::MIN, begun: false };
        for chunk in chunks {
            let mut cursor = Cursor { samples: SampleIter::new(chunk.encoding, &chunk.data)?, at: None };
            if chained.current.is_none() {
                chained.current = Some(cursor);
            } else if cursor.advance()? {
                chained.heap.push(cursor);
            }
        }
        Ok(chained)
    }

    fn next(&mut self) -> Result<Option<Sample>, Unreadable> {
        let mut consecutive = self.begun;
        self.begun = true;
        let Some(mut cursor) = self.current.take() else { return Ok(None) };
        loop {
            if cursor.advance()? {
                let time = cursor.time();
                if time == self.last {
                    continue;
                }
                if self.heap.peek().is_none_or(|top| time < top.time()) {
                    break;
                }
                self.heap.push(cursor);
            }
            let Some(top) = self.heap.pop() else { return Ok(None) };
            cursor = top;
            consecutive = false;
            if cursor.time() != self.last {
                break;
            }
        }
        self.last = cursor.time();
        let mut sample = cursor.at.clone();
        self.current = Some(cursor);
        if let (false, Some(sample)) = (consecutive, &mut sample) {
            forget_hint(sample);
        }
        Ok(sample)
    }
}

/// A counter reset hint relates to the previous sample in the same chunk; after switching chunks, it has no
/// meaning.
fn forget_hint(sample: &mut Sample) {
    let hint = match &mut sample.value {
        SampleValue::Float(_) => return,
        SampleValue::Histogram(value) => &mut value.counter_reset_hint,
        SampleValue::FloatHistogram(value) => &mut value.counter_reset_hint,
    };
    if *hint != CounterResetHint::Gauge {
        *hint = CounterResetHint::Unknown;
    }
}

/// Joins adjacent XOR chunks that have less than half of the maximum number of samples.
pub(super) fn join(chunks: Vec<BlockChunk>, options: &BlockOptions) -> Result<Vec<BlockChunk>, Unreadable> {
    // The head's chunks have 120 samples; with that maximum, they are to be kept as they are.
    const AS_CUT: u16 = 120;
    let short = |chunk: &BlockChunk| {
        options.chunk_samples_max > AS_CUT
            && chunk.encoding == Encoding::Xor
            && chunk.sample_count() <= options.chunk_samples_max / 2
    };
    if !chunks.windows(2).any(|pair| short(&pair[0]) && short(&pair[1])) {
        return Ok(chunks);
    }
    let mut joined = Vec::with_capacity(chunks.len());
    let mut open = XorChunk::new();
    let mut columns = Columns::default();
    let mut chunks = chunks.into_iter().peekable();
    while let Some(chunk) = chunks.next() {
        let alone = open.writer().is_empty() && !chunks.peek().is_some_and(short);
        if !short(&chunk) || alone {
            joined.extend(open.take().map(BlockChunk::from));
            joined.push(chunk);
            continue;
        }
        columns.clear();
        decode_xor(&chunk.data, u16::MAX, &mut columns)?;
        for (t, value) in columns.timestamps.iter().zip(&columns.values) {
            let full = open.writer().len() >= options.chunk_samples_max
                || open.byte_len() + ferula_chunk::XorWriter::SAMPLE_BYTES_MAX > options.chunk_bytes_max;
            if full {
                joined.extend(open.take().map(BlockChunk::from));
            }
            open.push(*t, *value);
        }
    }
    joined.extend(open.take().map(BlockChunk::from));
    Ok(joined)
}

/// Adds the name of the block from which a chunk could not be read.
pub(super) fn unreadable(place: &std::path::Path) -> impl Fn(Unreadable) -> BlockError + '_ {
    move |corrupt| BlockError::corrupt(place, 0, corrupt.to_string())
}

#[cfg(test)]
mod tests;
