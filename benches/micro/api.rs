//! Serialization of range query results, in points per second, and of remote write requests, in samples per second.
//!
//! The results have a thousand series of a thousand points: whole numbers, rates (all digits) and decimals. For
//! comparison, the slow way formats every number with the standard library.

use std::cell::Cell;
use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ferula_api::json::JsonWriter;
use ferula_api::json::result::write_value;
use ferula_model::value::format_api;
use ferula_model::{LabelSet, Timestamp};
use ferula_promql::{QueryValue, RangeSeries};
use ferula_remote::protobuf::{put_bytes, put_double, put_varint};
use ferula_remote::snappy;
use ferula_remote::write::headers::Encoding;
use ferula_remote::write::{Features, Receiver};
use ferula_storage::MemoryContract;
use ferula_telemetry::Registry;
use ferula_tsdb::{Db, Options};

const SERIES: usize = 1000;
const POINTS: usize = 1000;

fn value(kind: &str, series: usize, point: usize) -> f64 {
    let whole = (series * 7919 + point * 104_729) % 1_000_003;
    match kind {
        "whole" => whole as f64,
        "rates" => whole as f64 / 3.0 * 1e-3,
        _ => whole as f64 / 100.0,
    }
}

fn matrix(kind: &str) -> QueryValue {
    let series = (0..SERIES).map(|series| RangeSeries {
        labels: LabelSet::from_pairs([
            ("__name__", "http_requests_total"),
            ("instance", &format!("host-{series}:9100")),
            ("job", "node"),
        ]),
        floats: (0..POINTS)
            .map(|point| (1_700_000_000_123 + point as i64 * 15_000, value(kind, series, point)))
            .collect(),
        histograms: Vec::new(),
    });
    QueryValue::Matrix(series.collect())
}

fn slow(matrix: &QueryValue) -> usize {
    let QueryValue::Matrix(series) = matrix else { return 0 };
    let mut out = String::new();
    for series in series {
        for (millis, value) in &series.floats {
            write!(out, "[{}.{:03},\"{}\"],", millis / 1000, millis % 1000, format_api(*value))
                .expect("memory");
        }
    }
    out.len()
}

fn json(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json matrix");
    group.throughput(Throughput::Elements((SERIES * POINTS) as u64)).sample_size(10);
    for kind in ["whole", "rates", "decimals"] {
        let matrix = matrix(kind);
        group.bench_function(BenchmarkId::new("ferula", kind), |bencher| {
            bencher.iter(|| {
                let mut bytes = 0;
                let mut sink = |chunk: Vec<u8>| {
                    bytes += chunk.len();
                    true
                };
                let mut json = JsonWriter::new(&mut sink);
                json.begin_object();
                write_value(&mut json, &matrix);
                json.end_object();
                json.finish();
                black_box(bytes)
            });
        });
        group.bench_function(BenchmarkId::new("standard library", kind), |bencher| {
            bencher.iter(|| black_box(slow(&matrix)));
        });
    }
    group.finish();
}

/// One request: one sample each of many series, with six labels each.
fn request(timestamp: i64) -> Vec<u8> {
    let mut message = Vec::new();
    for series in 0..SERIES * 5 {
        let mut one = Vec::new();
        let instance = format!("host-{}:9100", series / 50);
        let pod = format!("pod-{series}");
        for (name, value) in [
            ("__name__", "container_cpu_usage_seconds_total"),
            ("instance", instance.as_str()),
            ("job", "kubelet"),
            ("namespace", "production"),
            ("pod", pod.as_str()),
            ("zone", "eu-1"),
        ] {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, value.as_bytes());
            put_bytes(&mut one, 1, &label);
        }
        let mut sample = Vec::new();
        put_double(&mut sample, 1, series as f64);
        put_varint(&mut sample, 2, timestamp as u64);
        put_bytes(&mut one, 2, &sample);
        put_bytes(&mut message, 1, &one);
    }
    snappy::encode(&message)
}

fn remote_write(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("remote write");
    group.throughput(Throughput::Elements((SERIES * 5) as u64)).sample_size(20);
    let receiver = Receiver::new(&Registry::new(), Features::default());
    let db = Db::in_memory(Options::default()).expect("a store in memory");
    let timestamp = Cell::new(0);
    let unbounded = MemoryContract::unlimited().lease();
    group.bench_function("known series, log in memory", |bencher| {
        bencher.iter_batched(
            || {
                timestamp.set(timestamp.get() + 15_000);
                request(timestamp.get())
            },
            |body| {
                let message = Encoding::Snappy.unpack(&body, &unbounded).expect("a block");
                receiver.write(&db, &message, Timestamp::from_millis(timestamp.get())).expect("written")
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, json, remote_write);
criterion_main!(benches);
