//! Samples of a series as chunks of a stream: XOR for floats, float histograms for histograms.

use ferula_chunk::{Encoding, Fit, FloatHistogramWriter, XorChunk};
use ferula_model::FloatHistogram;
use ferula_storage::SeriesSamples;

use crate::protobuf::{put_bytes, put_varint};

/// Maximum number of samples per chunk, as in Prometheus' store.
const SAMPLES_PER_CHUNK: usize = 120;

const XOR: u64 = 1;
const FLOAT_HISTOGRAM: u64 = 3;

/// The chunks by start time, each as a message.
pub fn chunks_of(samples: &SeriesSamples) -> Vec<Vec<u8>> {
    let mut all = float_chunks(samples);
    all.extend(histogram_chunks(samples));
    all.sort_by_key(|(begin, _)| *begin);
    all.into_iter().map(|(_, message)| message).collect()
}

fn message(times: (i64, i64), kind: u64, bytes: &[u8]) -> (i64, Vec<u8>) {
    let mut message = Vec::with_capacity(bytes.len() + 32);
    put_varint(&mut message, 1, times.0 as u64);
    put_varint(&mut message, 2, times.1 as u64);
    put_varint(&mut message, 3, kind);
    put_bytes(&mut message, 4, bytes);
    (times.0, message)
}

/// A run of floats ends where a histogram intervenes.
fn float_chunks(samples: &SeriesSamples) -> Vec<(i64, Vec<u8>)> {
    let (times, values) = (&samples.floats.timestamps, &samples.floats.values);
    let histograms = &samples.histograms.timestamps;
    let mut all = Vec::new();
    let mut start = 0;
    while start < times.len() {
        let next_histogram = histograms.partition_point(|at| *at < times[start]);
        let bound = histograms.get(next_histogram).copied().unwrap_or(i64::MAX);
        let run = times[start..].iter().take(SAMPLES_PER_CHUNK).take_while(|at| **at <= bound).count().max(1);
        let mut chunk = XorChunk::new();
        for index in start..start + run {
            chunk.push(times[index], values[index]);
        }
        all.push(message((times[start], times[start + run - 1]), XOR, &chunk.to_bytes()));
        start += run;
    }
    all
}

fn histogram_chunks(samples: &SeriesSamples) -> Vec<(i64, Vec<u8>)> {
    let floats = &samples.floats.timestamps;
    let mut all = Vec::new();
    let mut open: Option<(i64, i64, FloatHistogramWriter)> = None;
    let mut close = |open: &mut Option<(i64, i64, FloatHistogramWriter)>| {
        if let Some((first, last, writer)) = open.take() {
            all.push(message((first, last), FLOAT_HISTOGRAM, &writer.to_bytes()));
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

/// The numbers of chunk types in the stream equal those of the store's encodings.
const _: () = assert!(Encoding::Xor.number() as u64 == XOR);
const _: () = assert!(Encoding::FloatHistogram.number() as u64 == FLOAT_HISTOGRAM);
