//! Functions over windows take fast ways for whole rows. Here each of them runs beside the plain way: every window cut
//! out by itself and looked at as a whole. The bits of all values must be the same, and the counts of samples.

use ferula_model::{CounterResetHint, FloatHistogram, LabelSet};
use ferula_promql_syntax::ast::Span;
use ferula_promql_syntax::functions::{FUNCTIONS, Function};
use proptest::prelude::*;
use std::sync::Arc;

use super::call::Implementation;
use super::table::implementation;
use crate::exec::batch::{Batch, Value};
use crate::exec::context::QueryContext;
use crate::exec::context::tests::with_context;
use crate::exec::scalars::Scalars;
use crate::exec::scope::Scope;
use crate::exec::select::window::{Indices, RangeCall, RangeFunction, Samples, Windows};
use crate::plan::node::Lookup;
use crate::{Grid, QueryError};

/// One series, without staleness markers.
#[derive(Clone, Debug, Default)]
struct Series {
    times: Vec<i64>,
    floats: Vec<f64>,
    histogram_times: Vec<i64>,
    histograms: Vec<Arc<FloatHistogram>>,
}

impl Series {
    fn samples(&self) -> Samples<'_> {
        Samples {
            float_times: &self.times,
            floats: &self.floats,
            float_starts: &[],
            histogram_times: &self.histogram_times,
            histograms: &self.histograms,
            histogram_starts: &[],
        }
    }
}

type Row = Vec<Option<String>>;

/// Floats by their bits, NaN of every kind alike.
fn shown(value: Option<Value>) -> Option<String> {
    value.map(|value| match value {
        Value::Float(value) if value.is_nan() => "NaN".to_owned(),
        Value::Float(value) => format!("{value} {:x}", value.to_bits()),
        Value::Histogram(histogram) => format!("{histogram:?}"),
    })
}

fn fast(
    function: &mut dyn RangeFunction,
    series: &Series,
    windows: &Windows,
    call: &RangeCall<'_>,
) -> Result<Row, QueryError> {
    let mut out = Batch::new(windows.grid.steps());
    function.row(series.samples(), windows, call, &mut out.push(0))?;
    Ok((0..out.steps()).map(|step| shown(out.row(0).value(step))).collect())
}

fn plain(
    function: &mut dyn RangeFunction,
    series: &Series,
    windows: &Windows,
    call: &RangeCall<'_>,
) -> Result<Row, QueryError> {
    (0..windows.grid.steps())
        .map(|step| {
            let window = windows.cut(series.samples(), step, &mut Indices::default());
            if window.samples.is_empty() {
                return Ok(None);
            }
            function.window(&window, call).map(shown)
        })
        .collect()
}

/// Samples of all windows, and how many of them were in no window before, counted one by one.
fn counted(all: &[Series], windows: &Windows) -> (u64, u64) {
    let (mut total, mut read) = (0, 0);
    for series in all {
        let mut reached = i64::MIN;
        for step in 0..windows.grid.steps() {
            let (start, end) = windows.range(step);
            let inside =
                |from: i64| series.times.iter().filter(|at| **at > from && **at <= end).count() as u64;
            total += inside(start);
            read += inside(start.max(reached));
            reached = end;
        }
    }
    (total, read)
}

fn compare(function: &'static Function, all: &[Series], grid: Grid, range_ms: i64, query: &QueryContext<'_>) {
    let Implementation::Range(make) = implementation(function.id) else { return };
    for by_step in [false, true] {
        let scope = Scope::new(grid, by_step, query).expect("memory is not limited");
        let lookup = Lookup { at_ms: None, offset_ms: 0 };
        let windows = Windows::new(scope.clone(), lookup, range_ms, (range_ms, 0), false);
        let scalars = [Scalars::Constant(0.3), Scalars::Constant(0.6)];
        let labels = LabelSet::empty();
        let call = RangeCall {
            labels: &labels,
            span: Span::default(),
            scalars: &scalars,
            range_ms,
            extension: None,
            query,
        };
        let (mut kept, mut counted_by_one) = (make(), true);
        for (index, series) in all.iter().enumerate() {
            let row = fast(&mut *kept, series, &windows, &call).expect("nobody stops it");
            let want = plain(&mut *make(), series, &windows, &call).expect("nobody stops it");
            assert_eq!(row, want, "{} of {index} over {range_ms} ms at {grid:?}: {series:?}", function.name);
            counted_by_one &= series.histograms.is_empty();
        }
        if counted_by_one {
            assert_eq!(
                (scope.stats.total(), scope.stats.read()),
                counted(all, &windows),
                "samples of {}",
                function.name
            );
        }
    }
}

/// Values of counters and gauges, small ones among them, and those that hurt.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => 0.0..1e6f64,
        4 => (0..20i32).prop_map(f64::from),
        2 => Just(0.0),
        1 => Just(-0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::MAX),
        1 => Just(f64::MIN_POSITIVE),
        1 => Just(5e-324),
        1 => -1e3..0.0f64,
    ]
}

/// Sample times of a target: mostly regular, sometimes with a gap or jitter.
fn times() -> impl Strategy<Value = Vec<i64>> {
    let gap = prop_oneof![12 => Just(15_000i64), 1 => 1i64..200_000, 2 => 14_990i64..15_010];
    (0i64..15_000, proptest::collection::vec(gap, 1..100)).prop_map(|(start, gaps)| {
        gaps.into_iter()
            .scan(start, |time, gap| {
                *time += gap;
                Some(*time)
            })
            .collect()
    })
}

/// Series of a few targets in turns; some rise as counters do, some have missed a sample, some have histograms.
fn all_series() -> impl Strategy<Value = Vec<Series>> {
    let one = (
        any::<prop::sample::Index>(),
        proptest::collection::vec(value(), 100),
        0..3u8,
        proptest::option::weighted(0.2, any::<prop::sample::Index>()),
        proptest::bool::weighted(0.1),
    );
    (proptest::collection::vec(times(), 1..4), proptest::collection::vec(one, 1..8)).prop_map(
        |(axes, all)| {
            all.into_iter()
                .map(|(axis, mut floats, shape, missed, with_histograms)| {
                    let mut times = axes[axis.index(axes.len())].clone();
                    if let Some(missed) = missed {
                        times.remove(missed.index(times.len()));
                    }
                    floats.truncate(times.len());
                    if shape > 0 {
                        floats.iter_mut().fold(0.0, |sum, value| {
                            let step = if value.is_finite() { value.abs().min(1e9) } else { -sum };
                            *value = sum + step;
                            *value
                        });
                    }
                    let mut series = Series { times, floats, ..Series::default() };
                    if with_histograms {
                        let half = series.times.len() / 2;
                        for (at, value) in
                            series.times.split_off(half).into_iter().zip(series.floats.split_off(half))
                        {
                            series.histogram_times.push(at);
                            series.histograms.push(Arc::new(FloatHistogram {
                                counter_reset_hint: CounterResetHint::Unknown,
                                count: value,
                                sum: value,
                                ..FloatHistogram::default()
                            }));
                        }
                    }
                    series
                })
                .collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn rows_are_their_windows(
        all in all_series(),
        start_ms in -50_000i64..400_000,
        step_ms in prop_oneof![Just(15_000i64), Just(60_000), 1i64..100_000],
        range_ms in prop_oneof![Just(60_000i64), Just(300_000), 1i64..900_000],
        steps in prop_oneof![1i64..4, 1i64..150],
    ) {
        let grid = Grid { start_ms, end_ms: start_ms + (steps - 1) * step_ms, step_ms };
        with_context(|query| {
            for function in FUNCTIONS {
                compare(function, &all, grid, range_ms, query);
            }
        });
    }
}
