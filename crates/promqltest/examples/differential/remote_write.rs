//! The data as remote-write requests: protobuf written by hand, as much of it as the data needs.

use std::mem::discriminant;

use ferula_model::value::is_stale;
use ferula_model::{CounterResetHint, FloatHistogram};
use ferula_testkit::query_data::{QuerySeries, QueryValue};

/// The bodies of the requests to send one after the other, compressed.
///
/// Within one request Prometheus 3.5 takes all floats before the histograms, and a staleness marker for the kind that
/// was last. So a request has one run of each series
/// in which all samples are of one kind, the next request the next runs.
pub fn requests(data: &[QuerySeries]) -> Result<Vec<Vec<u8>>, String> {
    let stale = |value: &QueryValue| matches!(value, QueryValue::Float(value) if is_stale(*value));
    let same_kind =
        |a: &Sample, b: &Sample| discriminant(&a.1) == discriminant(&b.1) && stale(&a.1) == stale(&b.1);
    let mut runs: Vec<_> =
        data.iter().map(|series| (series, series.samples.chunk_by(same_kind).fuse())).collect();
    let mut requests = Vec::new();
    loop {
        let mut message = Vec::new();
        for (series, runs) in &mut runs {
            if let Some(samples) = runs.next() {
                bytes_field(1, &time_series(series, samples), &mut message);
            }
        }
        if message.is_empty() {
            return Ok(requests);
        }
        let body = snap::raw::Encoder::new().compress_vec(&message);
        requests.push(body.map_err(|error| format!("snappy: {error}"))?);
    }
}

type Sample = (i64, QueryValue);

fn time_series(series: &QuerySeries, samples: &[Sample]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in series.labels.iter() {
        let mut label = Vec::new();
        bytes_field(1, name.as_bytes(), &mut label);
        bytes_field(2, value.as_bytes(), &mut label);
        bytes_field(1, &label, &mut out);
    }
    for (at, value) in samples {
        let mut sample = Vec::new();
        match value {
            QueryValue::Float(value) => {
                double_field(1, *value, &mut sample);
                varint_field(2, *at as u64, &mut sample);
                bytes_field(2, &sample, &mut out);
            }
            QueryValue::Histogram(value) => {
                histogram(value, *at, &mut sample);
                bytes_field(4, &sample, &mut out);
            }
        }
    }
    out
}

fn histogram(value: &FloatHistogram, at: i64, out: &mut Vec<u8>) {
    double_field(2, value.count, out);
    double_field(3, value.sum, out);
    varint_field(4, zigzag(value.schema), out);
    double_field(5, value.zero_threshold, out);
    double_field(7, value.zero_count, out);
    let sides = [
        (8, &value.negative_spans, 10, &value.negative_buckets),
        (11, &value.positive_spans, 13, &value.positive_buckets),
    ];
    for (spans_field, spans, counts_field, counts) in sides {
        for span in spans {
            let mut message = Vec::new();
            varint_field(1, zigzag(span.offset), &mut message);
            varint_field(2, span.length.into(), &mut message);
            bytes_field(spans_field, &message, out);
        }
        doubles_field(counts_field, counts, out);
    }
    let hint = match value.counter_reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    };
    varint_field(14, hint, out);
    varint_field(15, at as u64, out);
    doubles_field(16, value.custom_values.as_deref().unwrap_or_default(), out);
}

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)) as u32)
}

fn varint_field(number: u64, value: u64, out: &mut Vec<u8>) {
    varint(number << 3 | VARINT, out);
    varint(value, out);
}

fn double_field(number: u64, value: f64, out: &mut Vec<u8>) {
    varint(number << 3 | FIXED_64, out);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

fn bytes_field(number: u64, value: &[u8], out: &mut Vec<u8>) {
    varint(number << 3 | BYTES, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn doubles_field(number: u64, values: &[f64], out: &mut Vec<u8>) {
    if !values.is_empty() {
        let packed: Vec<u8> = values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
        bytes_field(number, &packed, out);
    }
}
