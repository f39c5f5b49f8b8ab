//! Chunks of a stream. Of samples that no store keeps in chunks, some are made: XOR for floats, float histograms for histograms.

use ferula_chunk::{Encoding, Fit, FloatHistogramWriter, XorChunk};
use ferula_model::{FloatHistogram, LabelSet};
use ferula_storage::{SeriesSamples, StoredChunk};

use crate::protobuf::{put_bytes, put_varint};

/// Maximum number of samples per chunk, as in Prometheus' store.
const SAMPLES_PER_CHUNK: usize = 120;

/// Appends the fields of a chunk.
pub fn put_chunk(message: &mut Vec<u8>, chunk: &StoredChunk) {
    for (field, number) in
        [(1, chunk.min_ms as u64), (2, chunk.max_ms as u64), (3, u64::from(chunk.encoding))]
    {
        if number != 0 {
            put_varint(message, field, number);
        }
    }
    if !chunk.data.is_empty() {
        put_bytes(message, 4, &chunk.data);
    }
}

/// What the labels of a series take in a frame, without their own lengths.
pub fn label_bytes(labels: &LabelSet) -> usize {
    let field = |text: &str| {
        let length_bytes = (usize::BITS - (text.len() | 1).leading_zeros()).div_ceil(7) as usize;
        if text.is_empty() { 0 } else { 1 + length_bytes + text.len() }
    };
    labels.iter().map(|(name, value)| field(name) + field(value)).sum()
}

/// The chunks in order of their beginning.
pub fn chunks_of(samples: &SeriesSamples) -> Vec<StoredChunk> {
    let mut all = float_chunks(samples);
    all.extend(histogram_chunks(samples));
    all.sort_by_key(|chunk| chunk.min_ms);
    all
}

fn chunk((min_ms, max_ms): (i64, i64), encoding: Encoding, data: Vec<u8>) -> StoredChunk {
    StoredChunk { min_ms, max_ms, encoding: encoding.number(), data }
}

/// A run of floats ends where a histogram stands between.
fn float_chunks(samples: &SeriesSamples) -> Vec<StoredChunk> {
    let (times, values) = (&samples.floats.timestamps, &samples.floats.values);
    let histograms = &samples.histograms.timestamps;
    let mut all = Vec::new();
    let mut start = 0;
    while start < times.len() {
        let next_histogram = histograms.partition_point(|at| *at < times[start]);
        let bound = histograms.get(next_histogram).copied().unwrap_or(i64::MAX);
        let run = times[start..].iter().take(SAMPLES_PER_CHUNK).take_while(|at| **at <= bound).count().max(1);
        let mut open = XorChunk::new();
        for index in start..start + run {
            open.push(times[index], values[index]);
        }
        all.push(chunk((times[start], times[start + run - 1]), Encoding::Xor, open.to_bytes()));
        start += run;
    }
    all
}

fn histogram_chunks(samples: &SeriesSamples) -> Vec<StoredChunk> {
    let floats = &samples.floats.timestamps;
    let mut all = Vec::new();
    let mut open: Option<(i64, i64, FloatHistogramWriter)> = None;
    let mut close = |open: &mut Option<(i64, i64, FloatHistogramWriter)>| {
        if let Some((first, last, writer)) = open.take() {
            all.push(chunk((first, last), Encoding::FloatHistogram, writer.to_bytes()));
        }
    };
    let columns = samples.histograms.timestamps.iter().zip(&samples.histograms.values);
    for (at, value) in columns {
        let value: &FloatHistogram = value;
        let is_apart = open.as_ref().is_some_and(|(_, last, writer)| {
            let between = floats.partition_point(|float| float <= last);
            usize::from(writer.len()) >= SAMPLES_PER_CHUNK
                || floats.get(between).is_some_and(|float| float < at)
        });
        if is_apart {
            close(&mut open);
        }
        match open.as_mut().map(|(_, _, writer)| writer.fit(value)) {
            Some(Fit::Append(how)) => {
                if let Some((_, last, writer)) = &mut open {
                    writer.append(0, *at, value, &how);
                    *last = *at;
                }
            }
            other => {
                let header = match other {
                    Some(Fit::NewChunk(header)) => header,
                    _ => FloatHistogramWriter::header_after(None, value),
                };
                close(&mut open);
                open = Some((*at, *at, FloatHistogramWriter::begin(header, false, 0, *at, value)));
            }
        }
    }
    close(&mut open);
    all
}
