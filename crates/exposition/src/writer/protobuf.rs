//! Writes metric families as delimited protobuf messages. Field numbers are those of `metrics.proto`.

use ferula_go::protobuf::{push_varint, put_bytes, put_double, put_sint, put_varint};
use ferula_model::metric_family::{Metric, MetricFamily, MetricValue};
use ferula_model::{Exemplar, Histogram, LabelSet, MetricType};

/// Writes all families, each after its length.
pub(super) fn write(families: &[MetricFamily]) -> Vec<u8> {
    let (mut page, mut message, mut metric) = (Vec::new(), Vec::new(), Vec::new());
    for family in families {
        message.clear();
        put_bytes(&mut message, 1, family.name.as_bytes());
        if !family.help.is_empty() {
            put_bytes(&mut message, 2, family.help.as_bytes());
        }
        put_varint(&mut message, 3, type_number(family.kind));
        for one in &family.metrics {
            metric.clear();
            write_metric(&mut metric, family.kind, one);
            put_bytes(&mut message, 4, &metric);
        }
        push_varint(&mut page, message.len() as u64);
        page.extend_from_slice(&message);
    }
    page
}

/// Types that the format lacks become untyped.
fn type_number(kind: MetricType) -> u64 {
    match kind {
        MetricType::Counter => 0,
        MetricType::Gauge => 1,
        MetricType::Summary => 2,
        MetricType::Histogram => 4,
        MetricType::GaugeHistogram => 5,
        _ => 3,
    }
}

fn write_metric(out: &mut Vec<u8>, kind: MetricType, metric: &Metric) {
    write_labels(out, &metric.labels);
    let mut value = Vec::new();
    let field = match &metric.value {
        MetricValue::Single(number) => {
            put_double(&mut value, 1, *number);
            match kind {
                MetricType::Gauge => 2,
                MetricType::Counter => 3,
                _ => 5,
            }
        }
        MetricValue::Summary { quantiles, sum, count } => {
            put_varint(&mut value, 1, *count);
            put_double(&mut value, 2, *sum);
            for (quantile, at) in quantiles {
                let mut pair = Vec::new();
                put_double(&mut pair, 1, *quantile);
                put_double(&mut pair, 2, *at);
                put_bytes(&mut value, 3, &pair);
            }
            4
        }
        MetricValue::Histogram { buckets, sum, count, native, exemplars } => {
            put_varint(&mut value, 1, *count);
            put_double(&mut value, 2, *sum);
            // The last bucket is implied, unless it has an exemplar to carry.
            let last = exemplars.last().filter(|(index, _)| *index == buckets.len());
            let all = buckets.iter().copied().chain(last.map(|_| (f64::INFINITY, *count)));
            let mut of_buckets = exemplars.iter().peekable();
            for (index, (bound, up_to)) in all.enumerate() {
                let mut bucket = Vec::new();
                put_varint(&mut bucket, 1, up_to);
                put_double(&mut bucket, 2, bound);
                if let Some((_, exemplar)) = of_buckets.next_if(|(bucket, _)| *bucket == index) {
                    put_exemplar(&mut bucket, 3, exemplar);
                }
                put_bytes(&mut value, 3, &bucket);
            }
            if let Some(native) = native {
                write_native(&mut value, native);
                // Readers refuse exemplars of native histograms without a time.
                let timed = exemplars.iter().filter(|(_, exemplar)| exemplar.has_timestamp);
                timed.for_each(|(_, exemplar)| put_exemplar(&mut value, 16, exemplar));
            }
            7
        }
    };
    put_bytes(out, field, &value);
    if let Some(millis) = metric.timestamp {
        put_varint(out, 6, millis as u64);
    }
}

/// Writes the native buckets; count and sum are those of the classic ones.
fn write_native(out: &mut Vec<u8>, histogram: &Histogram) {
    put_sint(out, 5, i64::from(histogram.schema));
    put_double(out, 6, histogram.zero_threshold);
    put_varint(out, 7, histogram.zero_count);
    for (spans, deltas, field) in [
        (&histogram.negative_spans, &histogram.negative_buckets, 9),
        (&histogram.positive_spans, &histogram.positive_buckets, 12),
    ] {
        for span in spans {
            let mut message = Vec::new();
            put_sint(&mut message, 1, i64::from(span.offset));
            put_varint(&mut message, 2, u64::from(span.length));
            put_bytes(out, field, &message);
        }
        deltas.iter().for_each(|delta| put_sint(out, field + 1, *delta));
    }
}

fn put_exemplar(out: &mut Vec<u8>, field: u32, exemplar: &Exemplar) {
    let mut message = Vec::new();
    write_labels(&mut message, &exemplar.labels);
    put_double(&mut message, 2, exemplar.value);
    if exemplar.has_timestamp {
        let millis = exemplar.timestamp.millis();
        let mut time = Vec::new();
        put_varint(&mut time, 1, millis.div_euclid(1000) as u64);
        put_varint(&mut time, 2, millis.rem_euclid(1000) as u64 * 1_000_000);
        put_bytes(&mut message, 3, &time);
    }
    put_bytes(out, field, &message);
}

fn write_labels(out: &mut Vec<u8>, labels: &LabelSet) {
    for (name, value) in labels.iter() {
        let mut pair = Vec::new();
        put_bytes(&mut pair, 1, name.as_bytes());
        put_bytes(&mut pair, 2, value.as_bytes());
        put_bytes(out, 1, &pair);
    }
}
