//! Functions over windows have fast ways for whole series. At one moment they go window by window; a range query must
//! return the same at each of its steps, to the bit, and count the same samples.

use ferula_model::value::STALE_NAN;
use ferula_model::{LabelSet, Timestamp};
use ferula_promql::{
    Engine, EngineOptions, Features, Grid, QueryControl, QueryOptions, QueryValue, SampleValue,
};
use ferula_testkit::MemStorage;
use proptest::prelude::*;

const FUNCTIONS: [&str; 12] = [
    "rate",
    "increase",
    "delta",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "stddev_over_time",
    "changes",
    "resets",
    "quantile_over_time(0.3, ",
];

/// Values as counters and gauges have them, and those that hurt.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => 0.0..1e6f64,
        2 => Just(0.0),
        1 => Just(-0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::MAX),
        1 => Just(STALE_NAN),
        1 => -1e3..0.0f64,
    ]
}

/// Mostly regular, sometimes with a gap.
fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let gap = prop_oneof![9 => Just(15_000i64), 1 => 1i64..200_000];
    proptest::collection::vec((gap, value()), 1..120).prop_map(|list| {
        let mut time = 0;
        list.into_iter()
            .map(|(gap, value)| {
                time += gap;
                (time, value)
            })
            .collect()
    })
}

fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_range_is_its_moments(
        samples in samples(),
        rising in any::<bool>(),
        start_ms in 0i64..400_000,
        step_ms in prop_oneof![Just(15_000i64), Just(60_000), 1i64..100_000],
        window_s in 1i64..900,
        steps in 1i64..150,
        by_step in any::<bool>(),
    ) {
        let mut samples = samples;
        if rising {
            samples.iter_mut().fold(0.0, |sum, (_, value)| {
                *value = if value.is_finite() && *value >= 0.0 { sum + *value } else { sum };
                *value
            });
        }
        let store = MemStorage::new();
        store.put(&[("__name__", "m_total")], &samples);
        let features = Features { per_step_stats: by_step, ..Features::default() };
        let engine = Engine::new(EngineOptions { features, ..EngineOptions::default() });
        let (options, control) = (QueryOptions { per_step_stats: by_step, ..QueryOptions::default() }, QueryControl::new());
        let grid = Grid { start_ms, end_ms: start_ms + (steps - 1) * step_ms, step_ms };
        for function in FUNCTIONS {
            let open = if function.contains('(') { "" } else { "(" };
            let query = format!("{function}{open}m_total[{window_s}s])");
            let outcome = engine.range(&store, &query, grid, &options, &control);
            let total = outcome.stats.samples_total;
            let by_step: Option<Vec<u64>> =
                outcome.stats.samples_total_per_step.map(|steps| steps.iter().map(|step| step.samples).collect());
            let matrix = match outcome.result {
                Ok(QueryValue::Matrix(matrix)) => matrix,
                other => panic!("{query}: {other:?}"),
            };
            let ranged: Vec<(i64, u64)> =
                matrix.iter().flat_map(|series| &series.floats).map(|(time, value)| (*time, bits(*value))).collect();
            let (mut moments, mut counts) = (Vec::new(), Vec::new());
            for at in (0..steps).map(|step| start_ms + step * step_ms) {
                let moment = Timestamp::from_millis(at);
                let outcome = engine.instant(&store, &query, moment, &options, &control);
                counts.push(outcome.stats.samples_total);
                match outcome.result {
                    Ok(QueryValue::Vector(vector)) => moments.extend(vector.into_iter().map(|sample| {
                        assert_eq!(sample.labels, LabelSet::empty());
                        match sample.value {
                            SampleValue::Float(value) => (at, bits(value)),
                            SampleValue::Histogram(histogram) => panic!("{histogram}"),
                        }
                    })),
                    other => panic!("{query} at {at}: {other:?}"),
                }
            }
            prop_assert_eq!(&ranged, &moments, "{} from {}", query, start_ms);
            prop_assert_eq!(total, counts.iter().sum::<u64>(), "{}", query);
            if let Some(by_step) = by_step {
                prop_assert_eq!(by_step, counts, "{} by step", query);
            }
        }
    }
}
