//! Query results as JSON, with the shape and key order that clients rely on: `resultType`, `result`, `stats`.

use ferula_model::FloatHistogram;
use ferula_promql::{QueryStats, QueryValue, SampleValue, StepCount};

use super::JsonWriter;

/// Writes the `data` of a query's answer, without statistics.
pub fn write_value(json: &mut JsonWriter<'_>, value: &QueryValue) {
    let (kind, write): (&str, fn(&mut JsonWriter<'_>, &QueryValue)) = match value {
        QueryValue::Scalar { .. } => ("scalar", write_single),
        QueryValue::String { .. } => ("string", write_single),
        QueryValue::Vector(_) => ("vector", write_vector),
        QueryValue::Matrix(_) => ("matrix", write_matrix),
    };
    json.field("resultType", kind);
    json.key("result");
    write(json, value);
}

/// Writes a scalar or string as Go's JSON encoder does: the time as a plain number, the value never in exponent form.
fn write_single(json: &mut JsonWriter<'_>, value: &QueryValue) {
    let (millis, text) = match value {
        QueryValue::Scalar { timestamp_ms, value } => (*timestamp_ms, ferula_go::float::format_f(*value)),
        QueryValue::String { timestamp_ms, value } => (*timestamp_ms, value.clone()),
        QueryValue::Vector(_) | QueryValue::Matrix(_) => return,
    };
    json.begin_array();
    json.number(millis as f64 / 1000.0);
    json.string(&text);
    json.end_array();
}

fn write_vector(json: &mut JsonWriter<'_>, value: &QueryValue) {
    let QueryValue::Vector(samples) = value else { return };
    json.begin_array();
    for sample in samples {
        if json.gone() {
            break;
        }
        json.begin_object();
        json.key("metric");
        json.labels(&sample.labels);
        match &sample.value {
            SampleValue::Float(float) => {
                json.key("value");
                json.begin_array();
                json.timestamp(sample.timestamp_ms);
                json.sample_value(*float);
                json.end_array();
            }
            SampleValue::Histogram(histogram) => {
                json.key("histogram");
                write_histogram_point(json, sample.timestamp_ms, histogram);
            }
        }
        json.end_object();
    }
    json.end_array();
}

fn write_matrix(json: &mut JsonWriter<'_>, value: &QueryValue) {
    let QueryValue::Matrix(series) = value else { return };
    json.begin_array();
    for series in series {
        if json.gone() {
            break;
        }
        json.begin_object();
        json.key("metric");
        json.labels(&series.labels);
        if !series.floats.is_empty() {
            json.key("values");
            json.begin_array();
            json.float_points(&series.floats);
            json.end_array();
        }
        if !series.histograms.is_empty() {
            json.key("histograms");
            json.begin_array();
            for (millis, histogram) in &series.histograms {
                write_histogram_point(json, *millis, histogram);
            }
            json.end_array();
        }
        json.end_object();
    }
    json.end_array();
}

/// `[time,{…}]`
pub fn write_histogram_point(json: &mut JsonWriter<'_>, millis: i64, histogram: &FloatHistogram) {
    json.begin_array();
    json.timestamp(millis);
    write_histogram(json, histogram);
    json.end_array();
}

/// Writes a native histogram: count, sum and its non-empty buckets, lowest first.
fn write_histogram(json: &mut JsonWriter<'_>, histogram: &FloatHistogram) {
    json.begin_object();
    json.key("count");
    json.sample_value(histogram.count);
    json.key("sum");
    json.sample_value(histogram.sum);
    let mut open = false;
    for bucket in histogram.all_bucket_iter().filter(|bucket| bucket.count != 0.0) {
        if !open {
            json.key("buckets");
            json.begin_array();
            open = true;
        }
        json.begin_array();
        json.uint(bucket.boundaries() as u64);
        json.sample_value(bucket.lower);
        json.sample_value(bucket.upper);
        json.sample_value(bucket.count);
        json.end_array();
    }
    if open {
        json.end_array();
    }
    json.end_object();
}

/// Writes the `stats` of a query's answer.
pub fn write_stats(json: &mut JsonWriter<'_>, stats: &QueryStats, queue_seconds: f64, total_seconds: f64) {
    json.begin_object();
    json.key("timings");
    json.begin_object();
    for (name, seconds) in [
        ("evalTotalTime", stats.timings.eval_total_seconds),
        ("resultSortTime", stats.timings.result_sort_seconds),
        ("queryPreparationTime", stats.timings.query_preparation_seconds),
        ("innerEvalTime", stats.timings.inner_eval_seconds),
        ("execQueueTime", queue_seconds),
        ("execTotalTime", total_seconds),
    ] {
        json.key(name);
        json.number(seconds);
    }
    json.end_object();
    json.key("samples");
    json.begin_object();
    write_per_step(json, "totalQueryableSamplesPerStep", stats.samples_total_per_step.as_deref());
    json.key("totalQueryableSamples");
    json.uint(stats.samples_total);
    write_per_step(json, "samplesReadPerStep", stats.samples_read_per_step.as_deref());
    json.key("samplesRead");
    json.uint(stats.samples_read);
    json.key("peakSamples");
    json.uint(stats.samples_peak);
    json.end_object();
    json.end_object();
}

fn write_per_step(json: &mut JsonWriter<'_>, key: &str, counts: Option<&[StepCount]>) {
    let Some(counts) = counts.filter(|counts| !counts.is_empty()) else { return };
    json.key(key);
    json.begin_array();
    for count in counts {
        json.begin_array();
        json.number(count.timestamp_ms as f64 / 1000.0);
        json.uint(count.samples);
        json.end_array();
    }
    json.end_array();
}
