//! Bytes of a text page per second: ours (parsing with value conversion, and the same plus labels of every series),
//! with the crate `prometheus-parse` as a yardstick.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ferula_exposition::key::decode;
use ferula_exposition::{Entry, Format, LabelScratch, PageParser};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Our own page, and the shared one for which the goal is set, if the shared directory exists.
fn pages() -> Vec<(&'static str, String)> {
    let shared = std::env::var_os("FERULA_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let files = [
        ("service", root().join("testdata/exposition/service.prom.txt")),
        ("alltypes.237mfs", shared.join("cases/exposition/alltypes.237mfs.prom.txt")),
    ];
    let mut pages = Vec::new();
    for (name, file) in files {
        match std::fs::read_to_string(&file) {
            Ok(page) => pages.push((name, page)),
            Err(error) => eprintln!("LEFT OUT: {}: {error}", file.display()),
        }
    }
    pages
}

fn parse(body: &[u8], mut each: impl FnMut(Entry<'_>)) {
    let mut parser = PageParser::new(body, Format::Text);
    while let Some(entry) = parser.next().expect("the page is good") {
        each(entry);
    }
}

fn exposition(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exposition");
    for (name, page) in pages() {
        let body = page.as_bytes();
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new("ferula", name), |bencher| {
            bencher.iter(|| {
                parse(body, |entry| {
                    black_box(entry);
                });
            });
        });
        group.bench_function(BenchmarkId::new("ferula with labels", name), |bencher| {
            let mut scratch = LabelScratch::new();
            bencher.iter(|| {
                parse(body, |entry| {
                    if let Entry::Series(series) = entry {
                        decode(series.key, series.kind, &mut scratch).expect("a key");
                        black_box(&scratch);
                    }
                });
            });
        });
        group.bench_function(BenchmarkId::new("prometheus-parse", name), |bencher| {
            bencher.iter(|| {
                let lines = page.lines().map(|line| Ok(line.to_owned()));
                black_box(prometheus_parse::Scrape::parse(lines).expect("the page is good"));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, exposition);
criterion_main!(benches);
