//! OTLP into the real binary: by hand, and by OpenTelemetry's own SDK where there is one.

use std::process::Command;

use serde_json::json;

use crate::common::Server;

const PATH: &str = "/api/v1/otlp/v1/metrics";

fn start(directory: &std::path::Path, options: &str, flags: &[&str]) -> Server {
    std::fs::write(directory.join("prometheus.yml"), format!("otlp: {{{options}}}\n")).expect("written");
    Server::start(directory, flags)
}

fn now_nanos() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos()
}

fn request(temporality: u8, value: i64, at: u128) -> String {
    let point = json!({"timeUnixNano": at.to_string(), "startTimeUnixNano": "1", "asInt": value.to_string()});
    let sum = json!({"dataPoints": [point], "aggregationTemporality": temporality, "isMonotonic": true});
    let resource = json!({"attributes": [
        {"key": "service.name", "value": {"stringValue": "shop"}},
        {"key": "host.name", "value": {"stringValue": "h1"}},
    ]});
    json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [
        {"name": "orders.placed", "unit": "{order}", "sum": sum}
    ]}]}]})
    .to_string()
}

fn post(server: &Server, content_type: &str, body: &str) -> (u16, String) {
    server.request("POST", PATH, content_type, body.as_bytes()).expect("answered")
}

#[test]
fn requests_are_stored_or_refused_as_in_prometheus() {
    let directory = tempfile::tempdir().expect("a directory");
    let server =
        start(directory.path(), "promote_resource_attributes: [host.name]", &["--web.enable-otlp-receiver"]);
    let at = now_nanos();
    assert_eq!(post(&server, "application/json", &request(2, 7, at)), (200, String::new()));
    let found = server.try_query("orders_placed_total").expect("answered");
    assert_eq!(
        found[0]["metric"],
        json!({"__name__": "orders_placed_total", "job": "shop", "host_name": "h1"})
    );
    assert_eq!(found[0]["value"][1], json!("7"));
    let info = server.try_query("target_info").expect("answered");
    assert_eq!(info[0]["metric"], json!({"__name__": "target_info", "job": "shop", "host_name": "h1"}));
    for (content_type, body, status, text) in [
        (
            "text/plain",
            "x",
            400,
            "unsupported content type: text/plain, supported: [application/json, application/x-protobuf]\n",
        ),
        (
            "application/json",
            &request(1, 1, at),
            500,
            "invalid temporality and type combination for metric \"orders.placed\"\n",
        ),
        ("application/json", &request(2, 8, at), 400, "duplicate sample for timestamp\n"),
        (
            "application/json",
            &request(2, 8, at + 3_600_000_000_000),
            400,
            "out of bounds: timestamp is too far in the future\nout of bounds: timestamp is too far in the future\n",
        ),
    ] {
        assert_eq!(post(&server, content_type, body), (status, text.to_owned()), "{body}");
    }
    let again = server.try_query("orders_placed_total").expect("answered");
    assert_eq!(again[0]["value"][1], json!("7"), "what was refused left nothing");
}

#[test]
fn it_must_be_enabled_and_deltas_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), "", &[]);
    let why = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n";
    assert_eq!(post(&server, "application/json", "{}"), (404, why.to_owned()));
    for (feature, want) in [("otlp-deltatocumulative", "12"), ("otlp-native-delta-ingestion", "5")] {
        let directory = tempfile::tempdir().expect("a directory");
        let features = format!("--enable-feature={feature}");
        let server = start(directory.path(), "", &["--web.enable-otlp-receiver", &features]);
        let at = now_nanos() - 10_000_000_000;
        for (seconds, value) in [(0, 3), (1, 4), (2, 5)] {
            let answer = post(&server, "application/json", &request(1, value, at + seconds * 1_000_000_000));
            assert_eq!(answer, (200, String::new()), "{}", server.log());
        }
        let found = server.try_query("{__name__=~\"orders_placed.*\"}").expect("answered");
        assert_eq!(found[0]["value"][1], json!(want), "{feature}: {found}");
    }
}

/// Three instruments, flushed once.
const SDK: &str = "
import sys
from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
exporter = OTLPMetricExporter(endpoint=sys.argv[1])
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3600000)
provider = MeterProvider(metric_readers=[reader], resource=Resource.create({'service.name': 'sdk', 'service.instance.id': 'i1'}))
meter = provider.get_meter('lib', '1.0')
meter.create_counter('jobs.done', unit='1').add(5, {'queue.name': 'a'})
meter.create_up_down_counter('jobs.waiting').add(-2)
histogram = meter.create_histogram('job.duration', unit='s')
[histogram.record(value) for value in (0.3, 7, 20)]
assert provider.force_flush()
provider.shutdown()
";

#[test]
fn opentelemetrys_sdk_writes_to_it() {
    let Some(python) = std::env::var_os("FERULA_OTEL_PYTHON") else {
        eprintln!("SKIPPED: FERULA_OTEL_PYTHON names no Python with opentelemetry-exporter-otlp-proto-http");
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), "", &["--web.enable-otlp-receiver"]);
    let url = format!("http://{}{PATH}", server.address);
    let done = Command::new(python).args(["-c", SDK, &url]).output().expect("the interpreter starts");
    assert!(done.status.success(), "{}\n{}", String::from_utf8_lossy(&done.stderr), server.log());
    for (query, want) in [
        ("jobs_done_total{job=\"sdk\",instance=\"i1\",queue_name=\"a\"}", "5"),
        ("jobs_waiting{job=\"sdk\"}", "-2"),
        ("job_duration_seconds_bucket{le=\"10\"}", "2"),
        ("job_duration_seconds_count", "3"),
        ("job_duration_seconds_sum", "27.3"),
        ("count(target_info{telemetry_sdk_language=\"python\"})", "1"),
    ] {
        let found = server.try_query(query).expect("answered");
        assert_eq!(found[0]["value"][1], json!(want), "{query}: {found}");
    }
}
