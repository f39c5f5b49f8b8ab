//! Hand-made OTLP requests in JSON: Prometheus accepts start timestamps by scraping and by OTLP, but not by
//! remote write.

use std::ops::Range;

use serde_json::{Value, json};

use crate::common::Server;

/// Number of requests after which the sender restarts.
const ROUNDS_PER_LIFE: i64 = 20;

/// Sends counters and histograms with start timestamps, `step` milliseconds apart.
pub fn with_starts(server: &Server, base: i64, rounds: Range<i64>, step: i64) {
    for round in rounds {
        let life = round / ROUNDS_PER_LIFE;
        let times = Times { at: base + round * step, start: base + life * ROUNDS_PER_LIFE * step - step / 2 };
        let body = request(&times, round % ROUNDS_PER_LIFE + 1).to_string();
        let answer = server.request("POST", "/api/v1/otlp/v1/metrics", "application/json", body.as_bytes());
        let (status, text) = answer.expect("answered");
        assert_eq!(status, 200, "round {round}: {text}\n{}", server.log());
    }
}

/// In milliseconds.
struct Times {
    at: i64,
    start: i64,
}

impl Times {
    fn point(&self, more: Value) -> Value {
        let nanos = |millis: i64| (millis * 1_000_000).to_string();
        let mut point = json!({ "timeUnixNano": nanos(self.at), "startTimeUnixNano": nanos(self.start) });
        let more = more.as_object().expect("an object").clone();
        point.as_object_mut().expect("an object").extend(more);
        point
    }
}

const CUMULATIVE: u8 = 2;

fn request(times: &Times, counted: i64) -> Value {
    let text = |number: i64| number.to_string();
    let float = times.point(json!({ "asDouble": counted as f64 * 1.25 }));
    let exponential = times.point(json!({
        "count": text(counted * 4),
        "sum": counted as f64 * 2.5,
        "scale": 1,
        "zeroCount": text(counted),
        "positive": { "offset": -1, "bucketCounts": [text(counted), text(counted * 2)] },
    }));
    let classic = times.point(json!({
        "count": text(counted * 3),
        "sum": counted as f64 * 1.5,
        "explicitBounds": [0.5, 2.0],
        "bucketCounts": [text(counted), text(counted), text(counted)],
    }));
    let of_kind = |name: &str, kind: &str, point: Value| {
        let mut data = json!({ "dataPoints": [point], "aggregationTemporality": CUMULATIVE });
        if kind == "sum" {
            data["isMonotonic"] = json!(true);
        }
        json!({ "name": name, "description": "It knows when it began.", kind: data })
    };
    let metrics = [
        of_kind("started", "sum", float),
        of_kind("h_started", "exponentialHistogram", exponential),
        of_kind("h_started_custom", "histogram", classic),
    ];
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": metrics }] }] })
}
