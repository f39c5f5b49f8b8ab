//! Parsing of queries, compared with the `promql-parser` crate; regexes on label values, compared with the bare engine.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ferula_model::regex::LabelRegex;
use ferula_promql_syntax::{ParserOptions, parse};

const QUERIES: [(&str, &str); 3] = [
    ("selector", "http_requests_total{job=\"api\",status!~\"5..\"}"),
    (
        "quantile",
        "histogram_quantile(0.99, sum by (le, route) (rate(http_request_duration_seconds_bucket{job=\"api\"}[5m])))",
    ),
    (
        "ratio",
        "sum by (job) (rate(errors_total{code=~\"5..\"}[5m] offset 1h)) / on (job) group_left (team) \
         sum by (job) (rate(requests_total[5m] offset 1h)) > 0.01 and on (job) up == 1",
    ),
];

fn parsing(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, query) in QUERIES {
        group.throughput(Throughput::Bytes(query.len() as u64));
        group.bench_function(BenchmarkId::new("ferula", name), |b| {
            b.iter(|| parse(black_box(query), &ParserOptions::ALL).expect("sound"));
        });
        group.bench_function(BenchmarkId::new("promql-parser", name), |b| {
            b.iter(|| promql_parser::parser::parse(black_box(query)).expect("sound"));
        });
    }
    // One long list of labels: the time per byte must not grow with the length.
    for labels in [1_000, 100_000] {
        let query = format!("label_join(up, \"a\"{})", ", \"b\"".repeat(labels));
        group.throughput(Throughput::Bytes(query.len() as u64));
        group.sample_size(10);
        group.bench_function(BenchmarkId::new("ferula/arguments", labels), |b| {
            b.iter(|| parse(black_box(&query), &ParserOptions::ALL).expect("sound"));
        });
    }
    group.finish();
}

fn matching(c: &mut Criterion) {
    let values: Vec<String> =
        (0..1000).map(|i| format!("prod-{}-web{}", ["eu", "us", "ap"][i % 3], i)).collect();
    let mut group = c.benchmark_group("regex");
    group.throughput(Throughput::Elements(values.len() as u64));
    for pattern in
        ["prod-(eu|us)-web1", "prod-.*", ".*web.*", ".*web7", "prod-.*-web[0-9]+", "x-.*-web[0-9]+"]
    {
        let ours = LabelRegex::new(pattern).expect("sound");
        let bare = regex::Regex::new(&format!("^(?s:{pattern})$")).expect("sound");
        group.bench_function(BenchmarkId::new("label", pattern), |b| {
            b.iter(|| values.iter().filter(|value| ours.is_match(black_box(value))).count());
        });
        group.bench_function(BenchmarkId::new("bare", pattern), |b| {
            b.iter(|| values.iter().filter(|value| bare.is_match(black_box(value))).count());
        });
    }
    group.finish();
}

criterion_group!(benches, parsing, matching);
criterion_main!(benches);
