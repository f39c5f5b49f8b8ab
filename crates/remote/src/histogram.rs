//! Native histograms in the messages of remote write and remote read.

use ferula_model::{CounterResetHint, HistogramValue, Span};

use crate::protobuf::{push_varint, put_bytes, put_double, put_sint, put_varint};

/// Appends the fields of a histogram message as Prometheus' encoder writes them: what is zero is left out, but for the counts.
pub fn put_histogram(out: &mut Vec<u8>, at: i64, start: i64, value: &HistogramValue) {
    let number = |out: &mut Vec<u8>, field, value: f64| {
        if value.to_bits() != 0 {
            put_double(out, field, value);
        }
    };
    let (schema, sum, threshold) = match value {
        HistogramValue::Integer(h) => {
            put_varint(out, 1, h.count);
            (h.schema, h.sum, h.zero_threshold)
        }
        HistogramValue::Float(h) => {
            put_double(out, 2, h.count);
            (h.schema, h.sum, h.zero_threshold)
        }
    };
    number(out, 3, sum);
    if schema != 0 {
        put_sint(out, 4, i64::from(schema));
    }
    number(out, 5, threshold);
    match value {
        HistogramValue::Integer(h) => {
            put_varint(out, 6, h.zero_count);
            put_spans(out, 8, &h.negative_spans);
            put_deltas(out, 9, &h.negative_buckets);
            put_spans(out, 11, &h.positive_spans);
            put_deltas(out, 12, &h.positive_buckets);
            put_hint(out, h.counter_reset_hint);
        }
        HistogramValue::Float(h) => {
            put_double(out, 7, h.zero_count);
            put_spans(out, 8, &h.negative_spans);
            put_doubles(out, 10, &h.negative_buckets);
            put_spans(out, 11, &h.positive_spans);
            put_doubles(out, 13, &h.positive_buckets);
            put_hint(out, h.counter_reset_hint);
        }
    }
    if at != 0 {
        put_varint(out, 15, at as u64);
    }
    let custom = match value {
        HistogramValue::Integer(h) => &h.custom_values,
        HistogramValue::Float(h) => &h.custom_values,
    };
    put_doubles(out, 16, custom.as_deref().unwrap_or_default());
    if start != 0 {
        put_varint(out, 17, start as u64);
    }
}

fn put_spans(out: &mut Vec<u8>, field: u32, spans: &[Span]) {
    for span in spans {
        let mut message = Vec::with_capacity(12);
        if span.offset != 0 {
            put_sint(&mut message, 1, i64::from(span.offset));
        }
        if span.length != 0 {
            put_varint(&mut message, 2, u64::from(span.length));
        }
        put_bytes(out, field, &message);
    }
}

fn put_hint(out: &mut Vec<u8>, hint: CounterResetHint) {
    let number = match hint {
        CounterResetHint::Unknown => return,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    };
    put_varint(out, 14, number);
}

fn put_deltas(out: &mut Vec<u8>, field: u32, deltas: &[i64]) {
    if !deltas.is_empty() {
        let mut packed = Vec::with_capacity(deltas.len() * 2);
        deltas.iter().for_each(|delta| push_varint(&mut packed, ((delta << 1) ^ (delta >> 63)) as u64));
        put_bytes(out, field, &packed);
    }
}

fn put_doubles(out: &mut Vec<u8>, field: u32, values: &[f64]) {
    if !values.is_empty() {
        let packed: Vec<u8> = values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
        put_bytes(out, field, &packed);
    }
}
