//! `status/self_metrics`: the server's own metrics as JSON, in Protobuf's JSON mapping.

use ferula_model::regex::LabelRegex;
use ferula_model::{MetricFamily, MetricType, MetricValue};

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::ApiError;
use crate::json::JsonWriter;
use crate::request::Request;

/// `/api/v1/status/self_metrics`
pub fn self_metrics(api: &Api, request: &Request) -> Handled {
    let pattern = match request.params.first("metric_name_pattern") {
        "" => None,
        text => Some(
            LabelRegex::new(text)
                .map_err(|error| ApiError::bad_data(format!("invalid metric_name_pattern: {error}")))?,
        ),
    };
    let mut families = api.site.registry.gather();
    families.retain(|family| pattern.as_ref().is_none_or(|pattern| pattern.is_match(&family.name)));
    Ok(Answer::json(move |json| {
        json.begin_array();
        for family in &families {
            write_family(json, family);
        }
        json.end_array();
    }))
}

fn write_family(json: &mut JsonWriter<'_>, family: &MetricFamily) {
    let (name, field) = match family.kind {
        MetricType::Counter => ("COUNTER", "counter"),
        MetricType::Gauge => ("GAUGE", "gauge"),
        MetricType::Summary => ("SUMMARY", "summary"),
        MetricType::Histogram => ("HISTOGRAM", "histogram"),
        _ => ("UNTYPED", "untyped"),
    };
    json.begin_object();
    json.field("name", &family.name);
    json.field("help", &family.help);
    json.field("type", name);
    json.key("metric");
    json.begin_array();
    for metric in &family.metrics {
        json.begin_object();
        if !metric.labels.is_empty() {
            json.key("label");
            json.begin_array();
            for (name, value) in metric.labels.iter() {
                json.begin_object();
                json.field("name", name);
                json.field("value", value);
                json.end_object();
            }
            json.end_array();
        }
        json.key(field);
        write_value(json, &metric.value);
        json.end_object();
    }
    json.end_array();
    json.end_object();
}

fn write_value(json: &mut JsonWriter<'_>, value: &MetricValue) {
    json.begin_object();
    match value {
        MetricValue::Single(value) => double(json, "value", *value),
        MetricValue::Summary { quantiles, sum, count } => {
            json.field("sampleCount", &count.to_string());
            double(json, "sampleSum", *sum);
            json.key("quantile");
            json.begin_array();
            for (quantile, value) in quantiles {
                json.begin_object();
                double(json, "quantile", *quantile);
                double(json, "value", *value);
                json.end_object();
            }
            json.end_array();
        }
        MetricValue::Histogram { buckets, sum, count, .. } => {
            json.field("sampleCount", &count.to_string());
            double(json, "sampleSum", *sum);
            json.key("bucket");
            json.begin_array();
            for (bound, count) in buckets {
                json.begin_object();
                json.field("cumulativeCount", &count.to_string());
                double(json, "upperBound", *bound);
                json.end_object();
            }
            json.end_array();
        }
    }
    json.end_object();
}

/// Values that JSON numbers cannot express are quoted words.
fn double(json: &mut JsonWriter<'_>, name: &str, value: f64) {
    if value.is_finite() {
        json.key(name);
        json.number(value);
    } else {
        let word = match value {
            f64::INFINITY => "Infinity",
            f64::NEG_INFINITY => "-Infinity",
            _ => "NaN",
        };
        json.field(name, word);
    }
}
