//! Compares results with expectations, with Prometheus' tolerance.

use ferula_go::float::format_g;
use ferula_model::value::is_stale;
use ferula_model::{CounterResetHint, FloatHistogram, LabelSet, Span};
use ferula_promql::{InstantSample, QueryValue, RangeSeries, SampleValue};

use crate::expand::Point;
use crate::expect::{Expectations, ExpectedSeries, ExpectedValue};

/// Two values are equal when they differ by less than this part of the sum of their magnitudes.
const TOLERANCE: f64 = 0.000001;

/// Whether two floats are almost equal. A staleness marker equals only itself; any other NaN equals every other NaN.
pub(crate) fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// Whether two compacted histograms are almost equal: layout and thresholds exactly, counts with tolerance.
fn almost_equal_histograms(expected: &FloatHistogram, actual: &FloatHistogram) -> bool {
    let counts =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(x, y)| almost_equal(*x, *y));
    let spans = |a: &[Span], b: &[Span]| a == b;
    let (mut expected, mut actual) = (expected.clone(), actual.clone());
    expected.compact(0);
    actual.compact(0);
    expected.schema == actual.schema
        && almost_equal(expected.count, actual.count)
        && almost_equal(expected.sum, actual.sum)
        && (!expected.uses_custom_buckets() || expected.custom_bounds() == actual.custom_bounds())
        && expected.zero_threshold == actual.zero_threshold
        && almost_equal(expected.zero_count, actual.zero_count)
        && spans(&expected.negative_spans, &actual.negative_spans)
        && counts(&expected.negative_buckets, &actual.negative_buckets)
        && spans(&expected.positive_spans, &actual.positive_spans)
        && counts(&expected.positive_buckets, &actual.positive_buckets)
}

fn same_hint(expected: CounterResetHint, actual: CounterResetHint, may_be_lost: bool) -> bool {
    use CounterResetHint::{NotReset, Unknown};
    expected == actual || (may_be_lost && (expected, actual) == (NotReset, Unknown))
}

fn describe(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(v) => format_g(*v),
        SampleValue::Histogram(h) => h.test_expression(),
    }
}

fn describe_point(point: &Point) -> String {
    match point {
        Point::Omitted => "no sample".to_owned(),
        Point::Float(v) => format_g(*v),
        Point::Histogram { value, .. } => value.test_expression(),
    }
}

fn point_matches(point: &Point, value: &SampleValue, hints_may_be_lost: bool) -> bool {
    match (point, value) {
        (Point::Float(expected), SampleValue::Float(actual)) => almost_equal(*expected, *actual),
        (Point::Histogram { value: expected, hint_given }, SampleValue::Histogram(actual)) => {
            let (wanted, found) = (expected.counter_reset_hint, actual.counter_reset_hint);
            almost_equal_histograms(expected, actual)
                && (!hint_given || same_hint(wanted, found, hints_may_be_lost))
        }
        _ => false,
    }
}

/// Compares a result with its expectation. `grid` holds the start, end and step of the points of a matrix.
pub(crate) fn check_value(
    expected: &Expectations,
    value: &QueryValue,
    grid: (i64, i64, i64),
) -> Result<(), String> {
    match value {
        QueryValue::Matrix(series) => check_matrix(expected, series, grid),
        QueryValue::Vector(samples) => check_vector(expected, samples),
        QueryValue::Scalar { value, .. } => check_scalar(expected, *value),
        QueryValue::String { value, .. } => match expected.string.as_deref().unwrap_or_default() {
            text if text == value => Ok(()),
            text => Err(format!("expected string {text:?} but got {value:?}")),
        },
    }
}

/// Compares a scalar.
pub(crate) fn check_scalar(expected: &Expectations, value: f64) -> Result<(), String> {
    match expected.values {
        ExpectedValue::Scalar(wanted) if almost_equal(wanted, value) => Ok(()),
        ExpectedValue::Scalar(wanted) => {
            Err(format!("expected scalar {} but got {}", format_g(wanted), format_g(value)))
        }
        _ => Err(format!("expected vector or matrix result, but got scalar {}", format_g(value))),
    }
}

/// Compares an instant vector.
pub(crate) fn check_vector(expected: &Expectations, samples: &[InstantSample]) -> Result<(), String> {
    if matches!(expected.values, ExpectedValue::Scalar(_)) {
        return Err(format!("expected scalar result, but got vector {samples:?}"));
    }
    for (place, sample) in samples.iter().enumerate() {
        let (labels, got) = (&sample.labels, describe(&sample.value));
        let wanted = find(expected, labels)
            .ok_or_else(|| format!("unexpected metric {labels} in result, has value {got}"))?;
        if expected.ordered && wanted.position != place + 1 {
            return Err(format!(
                "expected metric {labels} at position {} but was at {}",
                wanted.position,
                place + 1
            ));
        }
        let point = wanted.points.first().ok_or_else(|| format!("no value is given for {labels}"))?;
        if !point_matches(point, &sample.value, expected.hints_may_be_lost) {
            return Err(format!("expected {} for {labels} but got {got}", describe_point(point)));
        }
    }
    all_seen(expected, samples.iter().map(|sample| &sample.labels))
}

fn check_matrix(
    expected: &Expectations,
    series: &[RangeSeries],
    (start, end, step): (i64, i64, i64),
) -> Result<(), String> {
    if expected.ordered {
        return Err("expected ordered result, but query returned a matrix".to_owned());
    }
    if matches!(expected.values, ExpectedValue::Scalar(_)) {
        return Err(format!("expected scalar result, but got matrix {series:?}"));
    }
    check_sorted(series)?;
    for one in series {
        let wanted = find(expected, &one.labels)
            .ok_or_else(|| format!("unexpected metric {} in result, has {}", one.labels, points_of(one)))?;
        check_series(wanted, one, (start, end, step), expected.hints_may_be_lost)?;
    }
    all_seen(expected, series.iter().map(|one| &one.labels))
}

fn check_series(
    wanted: &ExpectedSeries,
    actual: &RangeSeries,
    (start, end, step): (i64, i64, i64),
    hints_may_be_lost: bool,
) -> Result<(), String> {
    let got = || format!("(result has {})", points_of(actual));
    let timed = wanted.points.iter().enumerate().map(|(i, point)| (start + i as i64 * step, point));
    if timed.clone().any(|(t, _)| t > end) {
        return Err(format!(
            "expected {} points for {}, but query time range cannot return this many points",
            wanted.points.len(),
            wanted.labels
        ));
    }
    let mut floats = actual.floats.iter().map(|(t, v)| (*t, SampleValue::Float(*v)));
    let mut histograms = actual.histograms.iter().map(|(t, h)| (*t, SampleValue::Histogram(h.clone())));
    for (t, point) in timed {
        let found = match point {
            Point::Omitted => continue,
            Point::Float(_) => floats.next(),
            Point::Histogram { .. } => histograms.next(),
        };
        match found {
            Some((at, value)) if at == t && point_matches(point, &value, hints_may_be_lost) => {}
            _ => {
                let point = describe_point(point);
                return Err(format!("expected {point} at t={t} for {} {}", wanted.labels, got()));
            }
        }
    }
    if floats.next().is_some() || histograms.next().is_some() {
        return Err(format!("more points than expected for {} {}", wanted.labels, got()));
    }
    Ok(())
}

/// Checks that the series of a matrix are sorted by labels, which they always are.
pub(crate) fn check_sorted(series: &[RangeSeries]) -> Result<(), String> {
    match series.windows(2).find(|pair| pair[0].labels > pair[1].labels) {
        Some(pair) => Err(format!(
            "matrix results should always be sorted by labels, but {} comes after {}",
            pair[1].labels, pair[0].labels
        )),
        None => Ok(()),
    }
}

fn find<'e>(expected: &'e Expectations, labels: &LabelSet) -> Option<&'e ExpectedSeries> {
    expected.series().iter().find(|series| series.labels == *labels)
}

fn all_seen<'l>(
    expected: &Expectations,
    seen: impl Iterator<Item = &'l LabelSet> + Clone,
) -> Result<(), String> {
    match expected.series().iter().find(|series| !seen.clone().any(|labels| *labels == series.labels)) {
        Some(series) => {
            let points: Vec<String> = series.points.iter().map(describe_point).collect();
            Err(format!("expected metric {} with {points:?} not found", series.labels))
        }
        None => Ok(()),
    }
}

fn points_of(series: &RangeSeries) -> String {
    let floats: Vec<String> = series.floats.iter().map(|(t, v)| format!("{} @[{t}]", format_g(*v))).collect();
    let histograms: Vec<String> =
        series.histograms.iter().map(|(t, h)| format!("{} @[{t}]", h.test_expression())).collect();
    format!(
        "{} float points {floats:?} and {} histogram points {histograms:?}",
        floats.len(),
        histograms.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferula_model::value::{NORMAL_NAN, STALE_NAN};

    #[test]
    fn tolerance() {
        for (a, b, equal) in [
            (1.0, 1.0000009, true),
            (1.0, 1.00001, false),
            (0.0, 1e-300, false),
            (0.0, -0.0, true),
            (1e-320, 1.1e-320, true),
            (f64::INFINITY, f64::INFINITY, true),
            (f64::INFINITY, f64::MAX, false),
            (NORMAL_NAN, f64::NAN, true),
            (STALE_NAN, f64::NAN, false),
            (STALE_NAN, STALE_NAN, true),
            (1.0, -1.0, false),
        ] {
            assert_eq!(almost_equal(a, b), equal, "{a} {b}");
        }
    }

    #[test]
    fn only_not_reset_may_be_lost() {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        let all = [Unknown, Reset, NotReset, Gauge];
        for (expected, actual) in all.iter().flat_map(|a| all.map(|b| (*a, b))) {
            assert_eq!(same_hint(expected, actual, false), expected == actual);
            let lost = (expected, actual) == (NotReset, Unknown);
            assert_eq!(same_hint(expected, actual, true), expected == actual || lost, "{expected:?}");
        }
    }
}
