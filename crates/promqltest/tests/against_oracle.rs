//! Generated queries on generated data: the engine against a slow evaluator that takes one step at a time.
//!
//! `ORACLE_QUERIES` sets how many queries are asked, `ORACLE_SEED` which; a failure names both. Values are compared by
//! bits (any NaN equals any other), series as sets. The queries take turns over the data in memory and in every layout
//! that a database can have it in.

mod common;
mod oracle;

use common::layouts::{Data, Layout, Stored, StoredValue};
use ferula_model::value::STALE_NAN;
use ferula_model::{FloatHistogram, HistogramValue, LabelSet, Span, Timestamp};
use ferula_promql::{
    Engine, EngineOptions, Features, Grid, QueryControl, QueryOptions, QueryOutcome, QueryValue, RangeSeries,
    SampleValue,
};
use ferula_promql_syntax::generate::{Generator, Soundness, Vocabulary, shrink};
use ferula_promql_syntax::{Expr, ParserOptions, parse};
use ferula_storage::{Appendable, Durability, HistogramSample, Queryable, SampleBatch};
use ferula_testkit::MemStorage;
use oracle::{Answer, Oracle, Sample, Series, Steps};
use std::sync::Arc;

const MINUTE: i64 = 60_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Twenty minutes of every metric: with gaps, staleness markers, restarts, and values that hurt.
fn data(vocabulary: &Vocabulary, seed: u64) -> Vec<Series> {
    let mut state = seed;
    let mut all = Vec::new();
    for metric in &vocabulary.metrics {
        for (job, instance) in [("api", "a:80"), ("api", "b:80"), ("db", "c:80")] {
            let labels =
                LabelSet::from_pairs([("__name__", metric.as_str()), ("job", job), ("instance", instance)]);
            let mut value = 0.0;
            let mut samples = Vec::new();
            let interval = [15_000, 30_000, 47_000][(random(&mut state) % 3) as usize];
            let mut time = (random(&mut state) % 20_000) as i64;
            while time <= 20 * MINUTE {
                let dice = random(&mut state) % 100;
                value = if dice < 4 { 0.0 } else { value + (random(&mut state) % 1000) as f64 / 7.0 };
                let sample = match dice {
                    90..=92 => f64::NAN,
                    93 => f64::INFINITY,
                    94 => -value,
                    95..=97 => STALE_NAN,
                    _ => value,
                };
                samples.push((time, Sample::Float(sample)));
                let gap = if dice == 50 { 7 * MINUTE } else { 0 };
                time += interval + gap;
            }
            all.push(Series { labels, samples });
        }
    }
    all
}

/// A series of native histograms that grow.
fn native(job: &str, seed: u64) -> Series {
    let labels = LabelSet::from_pairs([("__name__", "native"), ("job", job), ("instance", "n:80")]);
    let mut state = seed;
    let (mut count, mut samples) = (0.0, Vec::new());
    for time in (5_000..20 * MINUTE).step_by(30_000) {
        count += (random(&mut state) % 10) as f64;
        let histogram = FloatHistogram {
            schema: 0,
            count,
            sum: count * 1.5,
            positive_spans: vec![Span { offset: 0, length: 1 }],
            positive_buckets: vec![count],
            ..FloatHistogram::default()
        };
        samples.push((time, Sample::Histogram(Arc::new(histogram))));
    }
    Series { labels, samples }
}

fn store(series: &[Series]) -> MemStorage {
    let store = MemStorage::new();
    let mut appender = store.appender();
    for series in series {
        let handle = appender.resolve(&series.labels).expect("labels are fine");
        let mut batch = SampleBatch::default();
        for (time, sample) in &series.samples {
            match sample {
                Sample::Float(value) => batch.push_float(handle, Timestamp::from_millis(*time), *value),
                Sample::Histogram(histogram) => batch.histograms.push(HistogramSample {
                    series: handle,
                    timestamp: Timestamp::from_millis(*time),
                    start_timestamp: Timestamp::EPOCH,
                    value: HistogramValue::Float(histogram.clone()),
                }),
            }
        }
        let outcome = appender.append(&mut batch);
        assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
    }
    appender.commit(Durability::Written).expect("memory does not fail");
    store
}

/// The same for a database.
fn stored(series: &[Series]) -> Data {
    let value = |sample: &Sample| match sample {
        Sample::Float(value) => StoredValue::Float(*value),
        Sample::Histogram(histogram) => StoredValue::Histogram(HistogramValue::Float(histogram.clone())),
    };
    let stored = |(at, sample): &(i64, Sample)| (*at, Stored { start: 0, value: value(sample) });
    series.iter().map(|series| (series.labels.clone(), series.samples.iter().map(stored).collect())).collect()
}

/// Bits that are equal for all NaNs.
fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

/// Time, labels and value of every sample, sorted by the first two.
type Flat = Vec<(i64, LabelSet, SampleValue)>;

fn sorted(mut flat: Flat) -> Flat {
    flat.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    flat
}

fn flat_of_outcome(outcome: QueryOutcome) -> Result<Flat, String> {
    Ok(sorted(match outcome.result.map_err(|error| error.to_string())? {
        QueryValue::Scalar { timestamp_ms, value } => {
            vec![(timestamp_ms, LabelSet::empty(), SampleValue::Float(value))]
        }
        QueryValue::Vector(samples) => {
            samples.into_iter().map(|sample| (sample.timestamp_ms, sample.labels, sample.value)).collect()
        }
        QueryValue::Matrix(series) => series.into_iter().flat_map(flat_of_series).collect(),
        QueryValue::String { value, .. } => return Err(format!("a string: {value}")),
    }))
}

fn flat_of_series(series: RangeSeries) -> Flat {
    let floats = series.floats.into_iter().map(|(time, value)| (time, SampleValue::Float(value)));
    let histograms = series.histograms.into_iter().map(|(time, value)| (time, SampleValue::Histogram(value)));
    floats.chain(histograms).map(|(time, value)| (time, series.labels.clone(), value)).collect()
}

fn flat_of_answer(answer: Answer) -> Flat {
    let value = |sample| match sample {
        Sample::Float(value) => SampleValue::Float(value),
        Sample::Histogram(histogram) => SampleValue::Histogram(histogram),
    };
    let elements = |(time, elements): (i64, Vec<oracle::Element>)| {
        elements.into_iter().map(move |element| (time, element.labels, value(element.sample)))
    };
    sorted(answer.into_iter().flat_map(elements).collect())
}

fn same(a: &Flat, b: &Flat, exact: bool) -> bool {
    let same_value = |a: &SampleValue, b: &SampleValue| match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => {
            bits(*a) == bits(*b) || (!exact && (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0))
        }
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => a.equals(b),
        _ => false,
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && a.1 == b.1 && same_value(&a.2, &b.2))
}

/// Whether the order in which values are added up is the same at every step. Set operations and the aggregations that
/// select put series in an order of the step; over several steps there is no such order, in Prometheus neither.
fn order_is_fixed(expr: &Expr) -> bool {
    let text = expr.to_string();
    ![" or ", "topk", "bottomk", "sort", "group_"].iter().any(|word| text.contains(word))
}

/// An error about a match group without the two series that it names.
fn without_pair(error: &str) -> &str {
    error.split_once(" hand-side of the operation: [").map_or(error, |(before, _)| before)
}

struct Bench {
    engine: Engine,
    name: String,
    store: Box<dyn Queryable>,
    series: Vec<Series>,
}

/// The data in memory, and in every layout of a database.
fn benches(mut series: Vec<Series>) -> Vec<Bench> {
    let engine = Engine::new(EngineOptions { features: Features::default(), ..Default::default() });
    let memory = Bench {
        engine: engine.clone(),
        name: "memory".to_owned(),
        store: Box::new(store(&series)),
        series: series.clone(),
    };
    // The order in which values are added up: that of creation in memory, that of labels in blocks.
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let data = stored(&series);
    let laid_out = Layout::ALL.into_iter().map(|layout| Bench {
        engine: engine.clone(),
        name: format!("{layout:?}"),
        store: Box::new(layout.build(&data).expect("laid out")),
        series: series.clone(),
    });
    std::iter::once(memory).chain(laid_out).collect()
}

/// The result of one comparison.
#[derive(Debug, PartialEq)]
enum Verdict {
    Same,
    NotAsked,
    Differs(String),
}

impl Bench {
    fn compare(&self, expr: &Expr, steps: Steps, instant: bool) -> Verdict {
        let oracle =
            Oracle { series: &self.series, lookback: 5 * MINUTE, default_step: MINUTE, query: steps };
        let expected = match oracle.run(expr) {
            Err(why) if why.contains("not asked") || why.contains("neither scalar") => {
                return Verdict::NotAsked;
            }
            other => other.map(flat_of_answer),
        };
        let (options, control) = (QueryOptions::default(), QueryControl::new());
        let outcome = if instant {
            let at = Timestamp::from_millis(steps.start);
            self.engine.instant_expr(&*self.store, expr, at, &options, &control)
        } else {
            let grid = Grid { start_ms: steps.start, end_ms: steps.end, step_ms: steps.step };
            self.engine.range_expr(&*self.store, expr, grid, &options, &control)
        };
        match (expected, flat_of_outcome(outcome)) {
            (Ok(expected), Ok(found)) if same(&expected, &found, instant || order_is_fixed(expr)) => {
                Verdict::Same
            }
            (Err(expected), Err(found)) if expected == found => Verdict::Same,
            // Which two of several series are named follows from their order.
            (Err(expected), Err(found))
                if !order_is_fixed(expr) && without_pair(&expected) == without_pair(&found) =>
            {
                Verdict::Same
            }
            (expected, found) => Verdict::Differs(format!("expected {expected:#?}\nfound {found:#?}")),
        }
    }
}

#[test]
fn the_engine_agrees_with_the_oracle() {
    let (queries, seed) = (setting("ORACLE_QUERIES", 10_000), setting("ORACLE_SEED", 1));
    let metrics = ["up", "http_requests_total", "temperature"].map(str::to_owned).to_vec();
    let parser = ParserOptions { duration_expressions: false, ..ParserOptions::default() };
    let vocabulary = Vocabulary { metrics, options: parser, ..Vocabulary::default() };
    let mut series = data(&vocabulary, seed);
    series.extend(["api", "db"].map(|job| native(job, seed)));
    let metrics = [&vocabulary.metrics[..], &["native".to_owned()]].concat();
    let vocabulary = Vocabulary { metrics, ..vocabulary };
    let benches = benches(series);
    let mut generator = Generator::new(&vocabulary, seed);
    let (mut same, mut not_asked) = (0, 0);
    for index in 0..queries {
        let query = generator.query(Soundness::WellTyped);
        let start = (generator.random() % 18) as i64 * MINUTE + (generator.random() % 3) as i64 * 7_000;
        let step = [15_000, 61_000, 3 * MINUTE][(generator.random() % 3) as usize];
        let instant = generator.random().is_multiple_of(3);
        let length = if instant { 0 } else { (generator.random() % 6) as i64 * step };
        let steps = Steps { start, end: start + length, step };
        let Ok(expr) = parse(&query, &parser) else { continue };
        let bench = &benches[index as usize % benches.len()];
        match bench.compare(&expr, steps, instant) {
            Verdict::Same => same += 1,
            Verdict::NotAsked => not_asked += 1,
            Verdict::Differs(_) => {
                let differs = |query: &str| {
                    parse(query, &parser)
                        .is_ok_and(|expr| matches!(bench.compare(&expr, steps, instant), Verdict::Differs(_)))
                };
                let smallest = shrink(&query, &parser, differs);
                let verdict = parse(&smallest, &parser).map(|expr| bench.compare(&expr, steps, instant));
                panic!(
                    "query {index} of seed {seed}, {}: {query}\nsmallest: {smallest}\n{steps:?} instant {instant}\n{verdict:?}",
                    bench.name
                );
            }
        }
    }
    eprintln!("{same} queries agree, {not_asked} were not asked");
    assert!(same * 10 >= queries * 4, "only {same} of {queries} queries were compared");
}
