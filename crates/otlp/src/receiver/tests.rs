//! Requests into a store in memory. What becomes of thousands of them is compared with the real Prometheus elsewhere.

use std::ops::ControlFlow;

use ferula_model::TimeRange;
use ferula_storage::{Hints, MemoryContract, Queryable, SeriesSamples};
use ferula_testkit::MemStorage;

use super::*;

const NOW_MS: i64 = 1_600_000_000_000;

fn request(metrics: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"s"}}}},
        {{"key":"os.type","value":{{"stringValue":"linux"}}}}]}},"scopeMetrics":[{{"metrics":[{metrics}]}}]}}]}}"#
    )
}

fn gauge(name: &str, at_ms: i64, value: f64) -> String {
    format!(
        r#"{{"name":"{name}","gauge":{{"dataPoints":[{{"timeUnixNano":"{at_ms}000000","asDouble":{value}}}]}}}}"#
    )
}

fn write_with(receiver: &Receiver, store: &MemStorage, text: &str, memory: &Lease) -> Result<(), OtlpError> {
    let body = Body { format: Format::Json, bytes: text.as_bytes(), encoding: "", memory };
    receiver.write(store, &OtlpConfig::default(), body, Timestamp::from_millis(NOW_MS), Duration::ZERO)
}

fn write(store: &MemStorage, text: &str) -> Result<(), OtlpError> {
    let receiver = Receiver::new(&Registry::new(), Features::default());
    write_with(&receiver, store, text, &MemoryContract::unlimited().lease())
}

fn stored(store: &MemStorage) -> Vec<String> {
    let mut snapshot = store.snapshot(TimeRange::ALL).expect("opened");
    let all = snapshot.select(&[], &Hints { sorted: true, ..Hints::default() }).expect("selected");
    snapshot.freeze().expect("frozen");
    let mut lines = Vec::new();
    let mut take = |row: usize, samples: &SeriesSamples| {
        if !samples.is_empty() {
            lines.push(format!("{} {:?}", snapshot.labels(all, row), samples.floats.values));
        }
        ControlFlow::Continue(())
    };
    snapshot.read(all, 0..snapshot.series_count(all), TimeRange::ALL, &mut take).expect("read");
    lines
}

#[test]
fn a_gauge_and_its_target_come_to_rest() {
    let store = MemStorage::new();
    write(&store, &request(&gauge("a.b", NOW_MS, 1.5))).expect("stored");
    assert_eq!(
        stored(&store),
        [r#"{__name__="a_b", job="s"} [1.5]"#, r#"{__name__="target_info", job="s", os_type="linux"} [1.0]"#]
    );
}

#[test]
fn one_sample_that_is_refused_takes_the_request_back() {
    let store = MemStorage::new();
    let late = gauge("late", NOW_MS + 11 * 60 * 1000, 1.0);
    let error = write(&store, &request(&format!("{},{late}", gauge("a", NOW_MS, 1.0)))).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "out of bounds: timestamp is too far in the future\nout of bounds: timestamp is too far in the future"
    );
    assert!(error.is_senders());
    assert_eq!(stored(&store), Vec::<String>::new());
    let unknown = r#"{"name":"x","sum":{"dataPoints":[{"asInt":"1","timeUnixNano":"1"}]}}"#;
    let error = write(&store, &request(unknown)).expect_err("refused");
    assert!(
        error.to_string().starts_with("invalid temporality and type combination for metric \"x\""),
        "{error}"
    );
    assert!(!error.is_senders());
}

#[test]
fn a_span_of_years_makes_no_mountain_of_target_info() {
    let store = MemStorage::new();
    let far = format!("{},{}", gauge("a", 1_000, 1.0), gauge("b", NOW_MS, 1.0));
    let error = write(&store, &request(&far)).expect_err("refused");
    assert!(
        matches!(&error, OtlpError::Refused(errors) if errors == &[TranslateError::TooFarApart]),
        "{error}"
    );
}

#[test]
fn what_a_point_takes_is_bounded_by_the_requests_memory() {
    let attribute = r#"{"key":"a","value":{}}"#;
    let many = vec![attribute; 100_000].join(",");
    let metric =
        format!(r#"{{"name":"a","gauge":{{"dataPoints":[{{"timeUnixNano":"1","attributes":[{many}]}}]}}}}"#);
    let text = request(&metric);
    let receiver = Receiver::new(&Registry::new(), Features::default());
    let small = MemoryContract::new(text.len() as u64 * 5 + (1 << 20));
    let error = write_with(&receiver, &MemStorage::new(), &text, &small.lease()).expect_err("refused");
    assert!(error.is_no_room(), "{error}");
    let large = MemoryContract::new(64 << 20);
    write_with(&receiver, &MemStorage::new(), &text, &large.lease()).expect("stored");
}

#[test]
fn bodies_that_are_no_requests_are_refused_in_words() {
    let store = MemStorage::new();
    for text in ["", "[]", "{", r#"{"resourceMetrics":7}"#, r#"{"resourceMetrics":[{"resource":"x"}]}"#] {
        let error = write(&store, text).expect_err("refused");
        assert!(
            error.is_senders() && matches!(error, OtlpError::Body(BodyError::Json(_))),
            "{text}: {error}"
        );
    }
    write(&store, r#"{"unknown":[1,{"a":null}],"resource_metrics":[null,{"scopeMetrics":null}]}"#)
        .expect("skipped");
    assert_eq!(
        Format::of("text/plain").expect_err("refused").to_string(),
        "unsupported content type: text/plain, supported: [application/json, application/x-protobuf]"
    );
    let memory = MemoryContract::unlimited().lease();
    let packed = Format::Protobuf.message(b"x", "zstd", &memory).expect_err("refused");
    assert_eq!(
        packed.to_string(),
        "unsupported compression: zstd. Only \"gzip\" or no compression supported"
    );
}
