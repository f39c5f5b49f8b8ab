//! Decodes chunks to columns, restricted to a time range.

use std::mem::take;

use ferula_chunk::{
    Columns, Corrupt, Encoding, HistogramColumns, ValueKind, decode_floats, decode_histograms,
};
use ferula_storage::SeriesSamples;

use crate::ids::TimeSpan;

/// Appends the first `limit` samples of a chunk that are in the span.
pub fn append_chunk(
    encoding: Encoding,
    data: &[u8],
    limit: u16,
    span: TimeSpan,
    out: &mut SeriesSamples,
) -> Result<(), Corrupt> {
    if encoding.value_kind() == ValueKind::Float {
        let floats = &mut out.floats;
        let before = floats.timestamps.len();
        let mut columns = Columns {
            timestamps: take(&mut floats.timestamps),
            values: take(&mut floats.values),
            start_timestamps: take(&mut floats.start_timestamps),
        };
        let decoded = decode_floats(encoding, data, limit, &mut columns);
        floats.timestamps = columns.timestamps;
        floats.values = columns.values;
        floats.start_timestamps = columns.start_timestamps;
        decoded?;
        cut(before, span, &mut floats.timestamps, &mut floats.values, &mut floats.start_timestamps);
    } else {
        let histograms = &mut out.histograms;
        let before = histograms.timestamps.len();
        let mut columns = HistogramColumns {
            timestamps: take(&mut histograms.timestamps),
            values: take(&mut histograms.values),
            start_timestamps: take(&mut histograms.start_timestamps),
        };
        let decoded = decode_histograms(encoding, data, limit, &mut columns);
        histograms.timestamps = columns.timestamps;
        histograms.values = columns.values;
        histograms.start_timestamps = columns.start_timestamps;
        decoded?;
        cut(
            before,
            span,
            &mut histograms.timestamps,
            &mut histograms.values,
            &mut histograms.start_timestamps,
        );
    }
    Ok(())
}

/// Removes samples from index `before` on whose timestamp is not in the span.
fn cut<T>(
    before: usize,
    span: TimeSpan,
    timestamps: &mut Vec<i64>,
    values: &mut Vec<T>,
    starts: &mut Vec<i64>,
) {
    let (start, last) = (span.start(), span.last());
    let end = before + timestamps[before..].partition_point(|at| *at <= last);
    timestamps.truncate(end);
    values.truncate(end);
    starts.truncate(end);
    let first = before + timestamps[before..].partition_point(|at| *at < start);
    if first > before {
        timestamps.drain(before..first);
        values.drain(before..first);
        if !starts.is_empty() {
            starts.drain(before..first.min(starts.len()));
        }
    }
}
