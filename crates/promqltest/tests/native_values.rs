//! Functions of native histograms against what the real Prometheus answered, bit for bit: scripts compare to a
//! millionth only.

use std::sync::Arc;

use ferula_model::{HistogramValue, Timestamp};
use ferula_promql::{Engine, QueryControl, QueryOptions, QueryValue};
use ferula_promql_syntax::{SequenceItem, parse_series_description};
use ferula_storage::{Appendable, Durability, HistogramSample, SampleBatch};
use ferula_testkit::MemStorage;
use ferula_testkit::shared::workspace_root;

const STEP_MS: i64 = 300_000;

fn load(storage: &MemStorage, line: &str) {
    let series = parse_series_description(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let mut appender = storage.appender();
    let handle = appender.resolve(&series.labels).expect("a series");
    let mut batch = SampleBatch::default();
    for (i, item) in series.items.into_iter().enumerate() {
        let SequenceItem::Histograms(sequence) = item else { panic!("{line}: a histogram each") };
        batch.histograms.push(HistogramSample {
            series: handle,
            timestamp: Timestamp::from_millis(i as i64 * STEP_MS),
            start_timestamp: Timestamp::EPOCH,
            value: HistogramValue::Float(Arc::new(sequence.first)),
        });
    }
    let outcome = appender.append(&mut batch);
    assert!(outcome.refused.is_empty(), "{line}: {:?}", outcome.refused);
    appender.commit(Durability::Written).expect("memory takes everything");
}

fn value_of(storage: &MemStorage, query: &str) -> f64 {
    let (options, control) = (QueryOptions::default(), QueryControl::new());
    let at = Timestamp::from_millis(3 * STEP_MS);
    match Engine::default().instant(storage, query, at, &options, &control).result {
        Ok(QueryValue::Vector(samples)) => {
            samples.first().and_then(|sample| sample.value.as_float()).expect("a float")
        }
        other => panic!("{query}: {other:?}"),
    }
}

#[test]
fn functions_of_native_histograms_to_the_last_bit() {
    let path = workspace_root().join("testdata/promql/native_histograms.txt");
    let text = std::fs::read_to_string(&path).expect("the file is there");
    let (storage, mut compared) = (MemStorage::new(), 0);
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((query, want)) = line.split_once('\t') else {
            load(&storage, line);
            continue;
        };
        let (found, want) = (value_of(&storage, query), want.parse::<f64>().expect("a number"));
        let same = found.to_bits() == want.to_bits() || (found.is_nan() && want.is_nan());
        assert!(same, "{query}: {found:e} and not {want:e}");
        compared += 1;
    }
    assert!(compared > 250, "{compared} compared");
}
