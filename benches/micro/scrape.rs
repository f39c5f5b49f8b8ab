//! Samples per second of a page with known lines: parsing, look-up in the series cache, batch; then the same with
//! a store that accepts everything at no cost, and with the real one and its log on disk.

use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ferula_config::Config;
use ferula_model::{LabelSet, Timestamp};
use ferula_scraper::fetch::Page;
use ferula_scraper::metrics::Metrics;
use ferula_scraper::options::{Features, JobOptions, PageOptions};
use ferula_scraper::report::Report;
use ferula_scraper::target_state::{ScrapeContext, TargetState};
use ferula_storage::Appendable;
use ferula_telemetry::Registry;
use ferula_testkit::NoStore;
use ferula_tsdb::disk::RealDisk;
use ferula_tsdb::{Db, Options};

const SERIES: usize = 10_000;
const PAGES: usize = 16;

/// Pages of one target in successive scrapes: lines as long as node_exporter's; two of five values change.
fn pages() -> Vec<Page> {
    let page = |scrape: usize| {
        let line = |n: usize| {
            let device =
                format!("device=\"sd{}\",instance_part=\"{:04}\",mode=\"m{}\"", n % 26, n / 7, n % 7);
            let value = if n % 5 < 2 { n * 1000 + scrape * (n % 13 + 1) } else { n * 3 };
            format!("node_bench_operations_completed_total{{{device},operation=\"read\"}} {value}\n")
        };
        let body: String = (0..SERIES).map(line).collect();
        Page { body: body.into(), content_type: "text/plain".into(), share: None }
    };
    (0..PAGES).map(page).collect()
}

/// Scrapes page after page, fifteen seconds apart.
struct Scrapes {
    state: TargetState,
    job: JobOptions,
    target: LabelSet,
    metrics: Metrics,
    pages: Vec<Page>,
    count: usize,
}

impl Scrapes {
    fn new() -> Self {
        let config = Config::parse("scrape_configs: [{job_name: bench}]").expect("a good configuration");
        Scrapes {
            state: TargetState::new(1),
            job: JobOptions::of(&config.scrape_configs[0], Features::default()),
            target: LabelSet::from_pairs([("instance", "localhost:9100"), ("job", "bench")]),
            metrics: Metrics::new(&Registry::new()),
            pages: pages(),
            count: 0,
        }
    }

    fn scrape(&mut self, store: &dyn Appendable) {
        let at = Timestamp::from_millis(1_700_000_000_000 + 15_000 * self.count as i64);
        let setting = ScrapeContext {
            job: &self.job,
            page: PageOptions::default(),
            target: &self.target,
            metrics: &self.metrics,
            url: "",
        };
        let page = &self.pages[self.count % PAGES];
        let (error, committed) = self.state.store(store, &setting, at, Ok(page), |counts, _| {
            assert_eq!(counts.kept, SERIES as u64);
            Report::new(true, std::time::Duration::ZERO, counts, None)
        });
        assert!(error.is_none() && committed.is_ok(), "{error:?} {committed:?}");
        self.count += 1;
    }
}

fn scrape(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scrape");
    group.throughput(Throughput::Elements(SERIES as u64));
    let mut scrapes = Scrapes::new();
    scrapes.scrape(&NoStore);
    group.bench_function("known lines, no store", |bencher| bencher.iter(|| scrapes.scrape(&NoStore)));

    let directory = tempfile::tempdir().expect("a directory");
    let db = open(directory.path());
    let mut scrapes = Scrapes::new();
    scrapes.scrape(&*db);
    group.bench_function("known lines, real store and log", |bencher| bencher.iter(|| scrapes.scrape(&*db)));
    group.finish();
}

fn open(directory: &Path) -> Arc<Db> {
    let opened = Db::open(directory, Options::default(), Arc::new(RealDisk), &Registry::new(), &mut |_| {});
    Arc::new(opened.expect("an empty directory opens"))
}

criterion_group!(benches, scrape);
criterion_main!(benches);
