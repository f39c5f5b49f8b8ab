//! Queries over 1,000 counters × 24 h at 15 s, in steps of 60 s: nanoseconds per (series, step), one thread.
//!
//! The store below keeps what a block would: XOR chunks of 120 samples, decoded for every read.

use std::hint::black_box;
use std::ops::Range;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ferula_chunk::{Columns, XorChunk, decode_xor};
use ferula_model::{LabelSet, Matcher, TimeRange};
use ferula_promql::{Engine, EngineOptions, Grid, QueryControl, QueryOptions, QueryValue};
use ferula_storage::{Hints, Queryable, RowSink, SelectionId, SeriesSamples, Snapshot, StorageError};

const SERIES: usize = 1_000;
const GROUPS: usize = 16;
const INTERVAL_MS: i64 = 15_000;
const HOURS: i64 = 24;
const STEP_MS: i64 = 60_000;
const START_MS: i64 = 1_700_000_000_000;
const CHUNK_SAMPLES: usize = 120;

/// One chunk: its first and last timestamp, and its bytes.
struct StoredChunk {
    first_ms: i64,
    last_ms: i64,
    bytes: Vec<u8>,
}

struct Stored {
    labels: LabelSet,
    chunks: Vec<StoredChunk>,
}

/// Series in chunks. Every selection returns all of them.
struct ChunkStore {
    series: Vec<Stored>,
}

/// A splitmix64: small, and the same numbers every time.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl ChunkStore {
    fn new() -> Self {
        let mut state = 42;
        let series = (0..SERIES)
            .map(|index| {
                let labels = LabelSet::from_pairs([
                    ("__name__", "requests_total".to_owned()),
                    ("g", (index % GROUPS).to_string()),
                    ("instance", format!("host-{index:04}:9100")),
                ]);
                let mut value = (random(&mut state) % 1_000_000) as f64;
                let samples: Vec<(i64, f64)> = (0..HOURS * 3_600_000 / INTERVAL_MS)
                    .map(|at| {
                        value += (random(&mut state) % 1000) as f64;
                        (START_MS + at * INTERVAL_MS, value)
                    })
                    .collect();
                Stored { labels, chunks: samples.chunks(CHUNK_SAMPLES).map(stored_chunk).collect() }
            })
            .collect();
        ChunkStore { series }
    }
}

fn stored_chunk(samples: &[(i64, f64)]) -> StoredChunk {
    let mut chunk = XorChunk::new();
    for &(timestamp, value) in samples {
        chunk.push(timestamp, value);
    }
    StoredChunk {
        first_ms: samples[0].0,
        last_ms: samples[samples.len() - 1].0,
        bytes: chunk.to_bytes().to_vec(),
    }
}

impl Queryable for ChunkStore {
    fn snapshot(&self, _range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        Ok(Box::new(View { store: self }))
    }
}

struct View<'a> {
    store: &'a ChunkStore,
}

impl Snapshot for View<'_> {
    fn select(&mut self, _matchers: &[Matcher], _hints: &Hints) -> Result<SelectionId, StorageError> {
        Ok(SelectionId(0))
    }

    fn freeze(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn series_count(&self, _selection: SelectionId) -> usize {
        self.store.series.len()
    }

    fn labels(&self, _selection: SelectionId, row: usize) -> LabelSet {
        self.store.series[row].labels.clone()
    }

    fn read(
        &self,
        _selection: SelectionId,
        rows: Range<usize>,
        range: TimeRange,
        sink: &mut dyn RowSink,
    ) -> Result<(), StorageError> {
        let mut columns = Columns::default();
        let mut samples = SeriesSamples::default();
        for row in rows {
            columns.clear();
            for chunk in &self.store.series[row].chunks {
                if range.overlaps(TimeRange::from_millis(chunk.first_ms, chunk.last_ms)) {
                    decode_xor(&chunk.bytes, u16::MAX, &mut columns).expect("a chunk just written");
                }
            }
            std::mem::swap(&mut columns.timestamps, &mut samples.floats.timestamps);
            std::mem::swap(&mut columns.values, &mut samples.floats.values);
            if sink.row(row, &samples).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn label_names(
        &self,
        _matchers: &[Matcher],
        _limit: usize,
        _hints: &Hints,
    ) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    fn label_values(
        &self,
        _name: &str,
        _matchers: &[Matcher],
        _limit: usize,
        _hints: &Hints,
    ) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    fn is_in_memory(&self) -> bool {
        true
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

fn queries(criterion: &mut Criterion) {
    let store = ChunkStore::new();
    let engine = Engine::new(EngineOptions::default());
    let (options, control) = (QueryOptions::default(), QueryControl::new());
    let grid = Grid {
        start_ms: START_MS + 300_000,
        end_ms: START_MS + HOURS * 3_600_000 - INTERVAL_MS,
        step_ms: STEP_MS,
    };
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements((SERIES * grid.steps()) as u64));
    group.sample_size(10);
    for (name, query) in [
        ("selector", "requests_total"),
        ("sum", "sum(requests_total)"),
        ("rate", "rate(requests_total[5m])"),
        ("sum-by-rate", "sum by (g) (rate(requests_total[5m]))"),
        ("sum-over-time-1h", "sum_over_time(requests_total[1h])"),
        ("max-over-time-1h", "max_over_time(requests_total[1h])"),
        ("topk", "topk(5, requests_total)"),
        ("join", "max by (g) (requests_total) / on (g) sum by (g) (requests_total)"),
        ("arithmetic", "requests_total * 2 > 100"),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let outcome = engine.range(&store, black_box(query), grid, &options, &control);
                match outcome.result {
                    Ok(QueryValue::Matrix(series)) => assert!(!series.is_empty()),
                    other => panic!("{query}: {other:?}"),
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);
