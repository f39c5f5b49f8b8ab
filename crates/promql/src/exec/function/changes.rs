//! `changes` and `resets`: how often neighbouring samples of a window differ, or decrease.

use ferula_model::FloatHistogram;
use ferula_promql_syntax::ast::RangeExtension;

use super::start_time;
use crate::QueryError;
use crate::exec::batch::{RowMut, Value};
use crate::exec::select::window::{RangeCall, RangeFunction, Samples, Window, Windows, windows_one_by_one};

/// `changes`.
pub(super) fn changes() -> Box<dyn RangeFunction> {
    Box::new(Steps { differ: changed, starts: false, counts: Vec::new() })
}

/// `resets`.
pub(super) fn resets() -> Box<dyn RangeFunction> {
    Box::new(Steps { differ: reset, starts: true, counts: Vec::new() })
}

/// Counts neighbours for which `differ` holds.
struct Steps {
    differ: fn(&Point<'_>, &Point<'_>) -> bool,
    starts: bool,
    /// For each float of a series, how many of its neighbours differ up to it.
    counts: Vec<u32>,
}

/// One sample in order of time.
#[derive(Clone, Copy)]
struct Point<'a> {
    time: i64,
    start: i64,
    value: Either<'a>,
}

impl Point<'_> {
    /// How much work a comparison is.
    fn weight(&self) -> usize {
        match self.value {
            Either::Float(_) => 1,
            Either::Histogram(histogram) => histogram.sample_weight(),
        }
    }
}

#[derive(Clone, Copy)]
enum Either<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

impl RangeFunction for Steps {
    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        let from = match call.extension {
            Some(RangeExtension::Anchored) => match anchor(window) {
                Some(from) => from,
                None => return Ok(None),
            },
            _ => (0, 0),
        };
        let mut before: Option<Point<'_>> = None;
        let mut count = 0u64;
        for point in points(&window.samples, from) {
            call.query.work(point.weight())?;
            count += u64::from(before.is_some_and(|before| (self.differ)(&before, &point)));
            before = Some(point);
        }
        Ok(Some(Value::Float(count as f64)))
    }

    /// Each pair of neighbours is compared once, however many windows it is in: what a window has is the difference of
    /// two counts.
    fn row(
        &mut self,
        samples: Samples<'_>,
        windows: &Windows,
        call: &RangeCall<'_>,
        out: &mut RowMut<'_>,
    ) -> Result<(), QueryError> {
        let plain = samples.histograms.is_empty() && samples.float_starts.is_empty();
        let one_step = windows.grid.steps() <= 1;
        if one_step || !plain || call.extension.is_some() {
            return windows_one_by_one(self, samples, windows, call, out);
        }
        self.counts.clear();
        let (mut before, mut count): (Option<Point<'_>>, u32) = (None, 0);
        for point in points(&samples, (0, 0)) {
            call.query.work(1)?;
            count += u32::from(before.is_some_and(|before| (self.differ)(&before, &point)));
            self.counts.push(count);
            before = Some(point);
        }
        let axis = windows.axis(samples.float_times, call.query)?;
        for (step, &(from, to)) in axis.bounds.iter().enumerate() {
            call.query.work(1)?;
            if to > from {
                out.set_float(step, f64::from(self.counts[to as usize - 1] - self.counts[from as usize]));
            }
        }
        windows.count_axis(&axis, call.query)
    }

    fn uses_start_timestamps(&self) -> bool {
        self.starts
    }

    fn allows(&self, extension: RangeExtension) -> bool {
        extension == RangeExtension::Anchored
    }
}

/// Indices of the first float and histogram to look at: the newest sample at or before the start of the range, of
/// whichever kind, and what comes after it. `None` without a sample inside the range.
fn anchor(window: &Window<'_>) -> Option<(usize, usize)> {
    let samples = &window.samples;
    let float = samples.float_times.partition_point(|&time| time <= window.range_start);
    let histogram = samples.histogram_times.partition_point(|&time| time <= window.range_start);
    if float >= samples.float_times.len() && histogram >= samples.histogram_times.len() {
        return None;
    }
    let float_time = float.checked_sub(1).map(|at| samples.float_times[at]);
    let histogram_time = histogram.checked_sub(1).map(|at| samples.histogram_times[at]);
    Some(match (float_time, histogram_time) {
        (None, None) => (0, 0),
        (Some(_), None) => (float - 1, histogram),
        (Some(a), Some(b)) if a >= b => (float - 1, histogram),
        _ => (float, histogram - 1),
    })
}

/// The samples of both kinds from the given indices on, in order of time.
fn points<'a>(samples: &Samples<'a>, from: (usize, usize)) -> impl Iterator<Item = Point<'a>> {
    let samples = *samples;
    let (mut float, mut histogram) = from;
    std::iter::from_fn(move || {
        let start = |starts: &[i64], at: usize| starts.get(at).copied().unwrap_or(0);
        let next_float = samples.float_times.get(float).copied();
        let next_histogram = samples.histogram_times.get(histogram).copied();
        match (next_float, next_histogram) {
            (Some(time), other) if other.is_none_or(|other| time < other) => {
                let (start, value) =
                    (start(samples.float_starts, float), Either::Float(samples.floats[float]));
                float += 1;
                Some(Point { time, start, value })
            }
            (_, Some(time)) => {
                let value = Either::Histogram(&samples.histograms[histogram]);
                let start = start(samples.histogram_starts, histogram);
                histogram += 1;
                Some(Point { time, start, value })
            }
            _ => None,
        }
    })
}

#[expect(clippy::float_cmp, reason = "any difference is a change")]
fn changed(before: &Point<'_>, now: &Point<'_>) -> bool {
    match (before.value, now.value) {
        (Either::Float(a), Either::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Either::Histogram(a), Either::Histogram(b)) => !b.equals(a),
        _ => true,
    }
}

fn reset(before: &Point<'_>, now: &Point<'_>) -> bool {
    let started = start_time::is_reset((before.start, before.time), (now.start, now.time));
    match (before.value, now.value) {
        (Either::Float(a), Either::Float(b)) => b < a || started,
        (Either::Histogram(a), Either::Histogram(b)) => started || b.detect_reset(a),
        _ => true,
    }
}
