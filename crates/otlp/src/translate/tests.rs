//! Generated requests, and what Prometheus' own translator appends for them (testdata/otlp).

use std::fmt::Write;
use std::path::PathBuf;

use ferula_config::tracing::OtlpConfig;
use ferula_go::quote::go_quote;
use ferula_model::{CounterResetHint, Span};
use serde_json::Value;

use super::*;
use crate::json::to_protobuf;

/// Writes every sample down as the recorder did.
#[derive(Default)]
struct Recorder {
    samples: Vec<String>,
    warnings: BTreeSet<String>,
}

fn labels_text(labels: &LabelSet) -> String {
    let quoted = |text: &str| {
        let mut out = String::new();
        ferula_go::json::push_html_string(&mut out, text);
        out
    };
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{}={}", quoted(name), quoted(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn spans_text(spans: &[Span]) -> String {
    spans.iter().map(|span| format!("({},{})", span.offset, span.length)).collect()
}

fn deltas_text(deltas: &[i64]) -> String {
    format!("[{}]", deltas.iter().map(i64::to_string).collect::<Vec<_>>().join(" "))
}

fn histogram_text(value: &HistogramValue) -> String {
    let HistogramValue::Integer(h) = value else { panic!("histograms of OTLP are whole numbers") };
    let hint = match h.counter_reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    };
    let bounds: String = h
        .custom_values
        .iter()
        .flat_map(|bounds| bounds.iter())
        .map(|bound| format!("{:016x},", bound.to_bits()))
        .collect();
    format!(
        "h{hint} s{} zt{:016x} zc{} c{} sum{:016x} p{}{} n{}{} cv{bounds}",
        h.schema,
        h.zero_threshold.to_bits(),
        h.zero_count,
        h.count,
        h.sum.to_bits(),
        spans_text(&h.positive_spans),
        deltas_text(&h.positive_buckets),
        spans_text(&h.negative_spans),
        deltas_text(&h.negative_buckets),
    )
}

impl Sink for Recorder {
    fn push(&mut self, sample: Translated<'_>) -> Result<(), TranslateError> {
        let mut line = format!("{} {} {} ", labels_text(sample.labels), sample.start_ms, sample.at_ms);
        match &sample.value {
            TranslatedValue::Float(value) => write!(line, "{:016x}", value.to_bits()).expect("a text"),
            TranslatedValue::Histogram(value) => line += &histogram_text(value),
        }
        for exemplar in &sample.exemplars {
            let (labels, bits) = (labels_text(&exemplar.labels), exemplar.value.to_bits());
            let (at, stated) = (exemplar.timestamp.millis(), exemplar.has_timestamp);
            write!(line, " ex{labels} {bits:016x} {at} {stated}").expect("a text");
        }
        let metadata = sample.metadata;
        let (unit, help) = (go_quote(&metadata.unit), go_quote(&metadata.help));
        write!(line, " {} {unit} {help}", metadata.kind).expect("a text");
        self.samples.push(line);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TranslateError> {
        Ok(())
    }

    fn reserve(&mut self, _: usize) -> Result<(), OutOfMemory> {
        Ok(())
    }

    fn warn(&mut self, _: Warning, text: std::fmt::Arguments<'_>) {
        self.warnings.insert(text.to_string());
    }
}

fn section(config: &Value) -> (OtlpConfig, bool, bool) {
    let flag = |key: &str, default: bool| config[key].as_bool().unwrap_or(default);
    let list = |key: &str| -> Vec<String> {
        config[key]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect()
    };
    let mut section = OtlpConfig {
        promote_all_resource_attributes: flag("promote_all_resource_attributes", false),
        promote_resource_attributes: list("promote_resource_attributes"),
        ignore_resource_attributes: list("ignore_resource_attributes"),
        keep_identifying_resource_attributes: flag("keep_identifying_resource_attributes", false),
        convert_histograms_to_nhcb: flag("convert_histograms_to_nhcb", false),
        promote_scope_metadata: flag("promote_scope_metadata", false),
        label_name_underscore_sanitization: flag("label_name_underscore_sanitization", true),
        label_name_preserve_multiple_underscores: flag("label_name_preserve_multiple_underscores", true),
        ..OtlpConfig::default()
    };
    if let Some(strategy) = config["translation_strategy"].as_str() {
        section.translation_strategy = strategy.to_owned();
    }
    (section, flag("type_and_unit", false), flag("native_delta", false))
}

/// The recorded requests with their answers; `FERULA_OTLP_RECORDED` may name a directory with more of them.
fn recorded() -> Vec<(Value, Value)> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/otlp");
    let dir = std::env::var_os("FERULA_OTLP_RECORDED").map_or_else(|| default.into(), PathBuf::from);
    let read = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(dir.join(name)).expect("the recorded lines");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    };
    read("requests.jsonl").into_iter().zip(read("answers.jsonl")).collect()
}

#[test]
fn requests_become_the_samples_that_prometheus_makes_of_them() {
    let all = recorded();
    let (mut samples, mut errors) = (0, 0);
    for (number, (line, answer)) in all.iter().enumerate() {
        let (section, type_and_unit_labels, stores_deltas) = section(&line["config"]);
        let mut settings = Settings::of(&section);
        (settings.type_and_unit_labels, settings.stores_deltas) = (type_and_unit_labels, stores_deltas);
        settings.lookback_ms = 300_000;
        let message = to_protobuf(line["request"].to_string().as_bytes()).expect("a request");
        let mut recorder = Recorder::default();
        let got = Translation::new(&settings, &mut recorder, None).run(&message).expect("readable");
        let texts = |key: &str| -> Vec<&str> {
            answer[key].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
        };
        let got_errors: Vec<String> = got.iter().map(ToString::to_string).collect();
        assert_eq!(got_errors, texts("errors"), "request {number}: {line}");
        assert_eq!(recorder.samples, texts("samples"), "request {number}: {line}");
        assert_eq!(
            Some(recorder.warnings.len() as u64),
            answer["warnings"].as_u64(),
            "request {number}: {line}"
        );
        samples += recorder.samples.len();
        errors += got_errors.len();
    }
    assert!(all.len() >= 150 && samples > 1000 && errors > 10, "{} {samples} {errors}", all.len());
}
