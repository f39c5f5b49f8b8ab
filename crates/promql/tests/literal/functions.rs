//! Functions, each told in as few steps as its documentation needs.

use std::f64::consts::PI;

use ferula_model::labels::BUCKET_LABEL;
use ferula_model::regex::LabelRegex;
use ferula_model::value::NORMAL_NAN;
use ferula_model::{LabelSet, MatchOp};
use ferula_promql_syntax::ast::{Call, Expr, ExprKind};

use super::{Element, Literal, Outcome, Value, Window, nameless, unique};

type Samples = [(i64, f64)];

pub fn eval(literal: &Literal<'_>, call: &Call, t: i64) -> Outcome<Value> {
    let name = call.function.name;
    if let Some(value) = scalars(literal, call, t)? {
        return Ok(Value::Scalar(value));
    }
    if let Some(elements) = of_labels(literal, call, t)? {
        return unique(elements).map(Value::Vector);
    }
    let range_argument = call.args.iter().find_map(|arg| match literal.eval(arg, t) {
        Ok(Value::Matrix(windows)) => Some(Ok((arg, windows))),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    if let Some(found) = range_argument {
        let (arg, windows) = found?;
        return over_windows(literal, call, arg, windows, t).map(Value::Vector);
    }
    let numbers: Vec<f64> =
        call.args.iter().filter_map(|a| literal.scalar_or_none(a, t).transpose()).collect::<Outcome<_>>()?;
    if let Some(of_date) = date_function(name) {
        let times = match call.args.first() {
            None => vec![Element { labels: LabelSet::empty(), value: t as f64 / 1000.0 }],
            Some(arg) => literal.vector(arg, t)?,
        };
        return each(times, of_date);
    }
    let elements = literal.vector(&call.args[0], t)?;
    let (a, b) = (numbers.first().copied(), numbers.get(1).copied());
    let clamped = |low: f64, high: f64| {
        if low > high {
            return Ok(Value::Vector(Vec::new()));
        }
        let clamp = move |v: f64| larger(low, smaller(high, v));
        each(elements.clone(), clamp)
    };
    match name {
        "clamp" => clamped(a.expect("two bounds"), b.expect("two bounds")),
        "clamp_min" => clamped(a.expect("a bound"), f64::INFINITY),
        "clamp_max" => clamped(f64::NEG_INFINITY, a.expect("a bound")),
        "round" => {
            let inverse = 1.0 / a.unwrap_or(1.0);
            each(elements, |v| (v * inverse + 0.5).floor() / inverse)
        }
        "sgn" => each(elements, |v| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        }),
        "deg" => each(elements, |v| v * 180.0 / PI),
        "rad" => each(elements, |v| v * PI / 180.0),
        _ => each(elements, plain_function(name)),
    }
}

impl Literal<'_> {
    fn scalar_or_none(&self, expr: &Expr, t: i64) -> Outcome<Option<f64>> {
        Ok(match expr.value_type() {
            ferula_promql_syntax::ast::ValueType::Scalar => Some(self.scalar(expr, t)?),
            _ => None,
        })
    }
}

fn each(elements: Vec<Element>, f: impl Fn(f64) -> f64) -> Outcome<Value> {
    let mapped = elements.into_iter().map(|e| Element { labels: nameless(&e.labels), value: f(e.value) });
    unique(mapped.collect()).map(Value::Vector)
}

/// Go's `math.Max`: an infinity wins over NaN, NaN over the rest.
fn larger(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`, the mirror of `larger`.
fn smaller(a: f64, b: f64) -> f64 {
    -larger(-a, -b)
}

fn plain_function(name: &str) -> fn(f64) -> f64 {
    match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        other => panic!("{other} is not retold here"),
    }
}

fn scalars(literal: &Literal<'_>, call: &Call, t: i64) -> Outcome<Option<f64>> {
    Ok(Some(match call.function.name {
        "time" => t as f64 / 1000.0,
        "pi" => PI,
        "scalar" => match literal.vector(&call.args[0], t)?.as_slice() {
            [one] => one.value,
            _ => f64::NAN,
        },
        _ => return Ok(None),
    }))
}

/// Functions that look at labels or at the vector as a whole.
fn of_labels(literal: &Literal<'_>, call: &Call, t: i64) -> Outcome<Option<Vec<Element>>> {
    let text = |index: usize| match &call.args[index].kind {
        ExprKind::String(text) => text.clone(),
        other => panic!("a string was expected, got {other:?}"),
    };
    Ok(Some(match call.function.name {
        "vector" => vec![Element { labels: LabelSet::empty(), value: literal.scalar(&call.args[0], t)? }],
        "absent" => match literal.vector(&call.args[0], t)?.is_empty() {
            true => vec![Element { labels: absent_labels(&call.args[0]), value: 1.0 }],
            false => Vec::new(),
        },
        "timestamp" => timestamps(literal, &call.args[0], t)?,
        "sort" | "sort_desc" => {
            let mut elements = literal.vector(&call.args[0], t)?;
            let descending = call.function.name == "sort_desc";
            elements.sort_by(|a, b| match (a.value.is_nan(), b.value.is_nan()) {
                (false, false) if descending => b.value.total_cmp(&a.value),
                (false, false) => a.value.total_cmp(&b.value),
                (a, b) => a.cmp(&b),
            });
            elements
        }
        "label_replace" => {
            let (target, replacement, source, pattern) = (text(1), text(2), text(3), text(4));
            let regex = LabelRegex::new(&pattern)
                .map_err(|_| format!("invalid regular expression in label_replace(): {pattern}"))?;
            if target.is_empty() {
                return Err(format!("invalid destination label name in label_replace(): {target}"));
            }
            let replaced = literal.vector(&call.args[0], t)?.into_iter().map(|e| {
                let Some(value) = regex.expand(e.labels.value(&source), &replacement) else { return e };
                let mut labels = e.labels.to_builder();
                labels.set(&target, &value);
                Element { labels: labels.finish(), value: e.value }
            });
            replaced.collect()
        }
        "label_join" => {
            let (target, separator) = (text(1), text(2));
            let sources: Vec<String> = (3..call.args.len()).map(text).collect();
            let joined = literal.vector(&call.args[0], t)?.into_iter().map(|e| {
                let parts: Vec<&str> = sources.iter().map(|s| e.labels.value(s)).collect();
                let mut labels = e.labels.to_builder();
                labels.set(&target, &parts.join(&separator));
                Element { labels: labels.finish(), value: e.value }
            });
            joined.collect()
        }
        "histogram_quantile" => {
            let q = literal.scalar(&call.args[0], t)?;
            histogram_quantile(q, literal.vector(&call.args[1], t)?)
        }
        _ => return Ok(None),
    }))
}

fn absent_labels(expr: &Expr) -> LabelSet {
    let matchers = match &expr.kind {
        ExprKind::VectorSelector(selector) => &selector.matchers,
        ExprKind::MatrixSelector(matrix) => &matrix.selector.matchers,
        _ => return LabelSet::empty(),
    };
    let others: Vec<_> = matchers.iter().filter(|m| *m.name != *"__name__").collect();
    let once = |name: &str| others.iter().filter(|m| *m.name == *name).count() == 1;
    let stated = others.iter().filter(|m| m.op == MatchOp::Equal && once(&m.name));
    LabelSet::from_pairs(stated.map(|m| (&*m.name, &*m.value)))
}

fn timestamps(literal: &Literal<'_>, arg: &Expr, t: i64) -> Outcome<Vec<Element>> {
    let mut bare = arg;
    while let ExprKind::Paren(inner) = &bare.kind {
        bare = inner;
    }
    if let ExprKind::VectorSelector(selector) = &bare.kind {
        let found = literal.instant(selector, t)?.into_iter();
        return Ok(found
            .map(|(l, time, _)| Element { labels: nameless(&l), value: time as f64 / 1000.0 })
            .collect());
    }
    let elements = literal.vector(arg, t)?.into_iter();
    Ok(elements.map(|e| Element { labels: nameless(&e.labels), value: t as f64 / 1000.0 }).collect())
}

/// Functions of range vectors: one number of each window that has enough samples.
fn over_windows(
    literal: &Literal<'_>,
    call: &Call,
    arg: &Expr,
    windows: Vec<Window>,
    t: i64,
) -> Outcome<Vec<Element>> {
    let name = call.function.name;
    if name == "absent_over_time" {
        let nothing = windows.iter().all(|w| w.samples.is_empty());
        return Ok(if nothing {
            vec![Element { labels: absent_labels(arg), value: 1.0 }]
        } else {
            Vec::new()
        });
    }
    let (start, end) = bounds(literal, arg, t)?;
    let numbers: Vec<f64> =
        call.args.iter().filter_map(|a| literal.scalar_or_none(a, t).transpose()).collect::<Outcome<_>>()?;
    let first_number = numbers.first().copied().unwrap_or(f64::NAN);
    let mut out = Vec::new();
    for window in windows {
        let s = window.samples.as_slice();
        if s.is_empty() {
            continue;
        }
        let values: Vec<f64> = s.iter().map(|(_, v)| *v).collect();
        let last_t = s[s.len() - 1].0;
        let value = match name {
            "rate" => extrapolated(s, start, end, true, (end - start) as f64 / 1000.0),
            "increase" => extrapolated(s, start, end, true, 1.0),
            "delta" => extrapolated(s, start, end, false, 1.0),
            "irate" => last_two(s, true),
            "idelta" => last_two(s, false),
            "changes" => Some(neighbours(s, |a, b| a != b && !(a.is_nan() && b.is_nan()))),
            "resets" => Some(neighbours(s, |a, b| b < a)),
            "deriv" => (s.len() > 1).then(|| regression(s, s[0].0).0),
            "predict_linear" => (s.len() > 1).then(|| {
                let (slope, intercept) = regression(s, t);
                slope * first_number + intercept
            }),
            "double_exponential_smoothing" => smoothed(s, numbers[0], numbers[1])?,
            "sum_over_time" => Some(kahan_sum(&values)),
            "avg_over_time" => Some(kahan_mean(&values)),
            "count_over_time" => Some(values.len() as f64),
            "present_over_time" => Some(1.0),
            "last_over_time" => values.last().copied(),
            "first_over_time" => values.first().copied(),
            "min_over_time" => Some(extreme(&values, |new, old| new < old)),
            "max_over_time" => Some(extreme(&values, |new, old| new > old)),
            "stddev_over_time" => Some(variance(&values).sqrt()),
            "stdvar_over_time" => Some(variance(&values)),
            "quantile_over_time" => Some(quantile(first_number, values)),
            "mad_over_time" if values.iter().any(|v| v.is_nan()) => Some(f64::NAN),
            "mad_over_time" => {
                let median = quantile(0.5, values.clone());
                Some(quantile(0.5, values.iter().map(|v| (v - median).abs()).collect()))
            }
            "ts_of_last_over_time" => Some(last_t as f64 / 1000.0),
            "ts_of_first_over_time" => Some(s[0].0 as f64 / 1000.0),
            "ts_of_min_over_time" => Some(time_of(s, |new, old| new <= old)),
            "ts_of_max_over_time" => Some(time_of(s, |new, old| new >= old)),
            other => panic!("{other} is not retold here"),
        };
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
        let labels = if keeps_name { window.labels.clone() } else { nameless(&window.labels) };
        out.extend(value.map(|value| Element { labels, value }));
    }
    unique(out)
}

/// The window of the range argument at `t`.
fn bounds(literal: &Literal<'_>, arg: &Expr, t: i64) -> Outcome<(i64, i64)> {
    let (shift, range) = match &arg.kind {
        ExprKind::MatrixSelector(matrix) => (&matrix.selector.at, &matrix.range),
        ExprKind::Subquery(subquery) => (&subquery.at, &subquery.range),
        ExprKind::Paren(inner) => return bounds(literal, inner, t),
        other => panic!("a range was expected, got {other:?}"),
    };
    let end = literal.moved(shift, t)?;
    Ok((end - literal.millis(range, true)?, end))
}

/// Increase or difference over the window divided by `per`, stretched to the window's edges where samples come close.
fn extrapolated(s: &Samples, start: i64, end: i64, counter: bool, per: f64) -> Option<f64> {
    let ((first_t, first), (last_t, last)) = (*s.first()?, *s.last()?);
    if s.len() < 2 {
        return None;
    }
    let mut result = last - first;
    if counter {
        for pair in s.windows(2) {
            if pair[1].1 < pair[0].1 {
                result += pair[0].1;
            }
        }
    }
    let sampled = (last_t - first_t) as f64 / 1000.0;
    let spacing = sampled / (s.len() - 1) as f64;
    let mut to_start = (first_t - start) as f64 / 1000.0;
    let mut to_end = (end - last_t) as f64 / 1000.0;
    if to_start >= spacing * 1.1 {
        to_start = spacing / 2.0;
    }
    if counter {
        // A counter cannot have been below zero.
        let mut to_zero = to_start;
        if result > 0.0 && first >= 0.0 {
            to_zero = sampled * (first / result);
        }
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= spacing * 1.1 {
        to_end = spacing / 2.0;
    }
    Some(result * ((sampled + to_start + to_end) / sampled / per))
}

fn last_two(s: &Samples, rate: bool) -> Option<f64> {
    let [.., (before_t, before), (last_t, last)] = s else { return None };
    if last_t == before_t {
        return None;
    }
    if !rate {
        return Some(last - before);
    }
    let rise = if last < before { *last } else { last - before };
    Some(rise / ((last_t - before_t) as f64 / 1000.0))
}

fn neighbours(s: &Samples, counts: impl Fn(f64, f64) -> bool) -> f64 {
    s.windows(2).filter(|pair| counts(pair[0].1, pair[1].1)).count() as f64
}

/// Least squares: slope per second, and the value at `intercept`.
fn regression(s: &Samples, intercept: i64) -> (f64, f64) {
    if s.iter().all(|(_, v)| *v == s[0].1) {
        return if s[0].1.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, s[0].1) };
    }
    let n = s.len() as f64;
    let x: Vec<f64> = s.iter().map(|(t, _)| (t - intercept) as f64 / 1e3).collect();
    let y: Vec<f64> = s.iter().map(|(_, v)| *v).collect();
    let product = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a * b).collect() };
    let (sum_x, sum_y) = (kahan_sum(&x), kahan_sum(&y));
    let (sum_xy, sum_xx) = (kahan_sum(&product(&x, &y)), kahan_sum(&product(&x, &x)));
    let slope = (sum_xy - sum_x * sum_y / n) / (sum_xx - sum_x * sum_x / n);
    (slope, sum_y / n - slope * sum_x / n)
}

fn smoothed(s: &Samples, factor: f64, trend_factor: f64) -> Outcome<Option<f64>> {
    if factor <= 0.0 || factor >= 1.0 {
        return Err(format!("invalid smoothing factor. Expected: 0 < sf < 1, got: {factor:.6}"));
    }
    if trend_factor <= 0.0 || trend_factor >= 1.0 {
        return Err(format!("invalid trend factor. Expected: 0 < tf < 1, got: {trend_factor:.6}"));
    }
    if s.len() < 2 {
        return Ok(None);
    }
    let (mut before, mut level, mut trend) = (0.0, s[0].1, s[1].1 - s[0].1);
    for (index, (_, value)) in s.iter().enumerate().skip(1) {
        if index > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        (before, level) = (level, factor * value + (1.0 - factor) * (level + trend));
    }
    Ok(Some(level))
}

fn extreme(values: &[f64], better: impl Fn(f64, f64) -> bool) -> f64 {
    values
        .iter()
        .copied()
        .reduce(|old, new| if better(new, old) || old.is_nan() { new } else { old })
        .unwrap_or(f64::NAN)
}

fn time_of(s: &Samples, better: impl Fn(f64, f64) -> bool) -> f64 {
    let best =
        s.iter().copied().reduce(|old, new| if better(new.1, old.1) || old.1.is_nan() { new } else { old });
    best.map_or(f64::NAN, |(t, _)| t as f64 / 1000.0)
}

/// Population variance by Welford's method with compensated sums.
fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, (0.0, 0.0), (0.0, 0.0));
    for value in values {
        count += 1.0;
        let delta = value - (mean.0 + mean.1);
        mean = increased(mean, delta / count);
        squares = increased(squares, delta * (value - (mean.0 + mean.1)));
    }
    (squares.0 + squares.1) / count
}

/// One step of Neumaier's summation: sum and what rounding has lost so far.
fn increased((sum, lost): (f64, f64), by: f64) -> (f64, f64) {
    let new = sum + by;
    if new.is_infinite() {
        return (new, 0.0);
    }
    (new, lost + if sum.abs() >= by.abs() { (sum - new) + by } else { (by - new) + sum })
}

pub fn kahan_sum(values: &[f64]) -> f64 {
    // The first value stands as it is: adding it to zero would turn -0 into 0.
    let first = (values.first().copied().unwrap_or(0.0), 0.0);
    let (sum, lost) = values.iter().skip(1).fold(first, |state, v| increased(state, *v));
    sum + lost
}

pub fn kahan_mean(values: &[f64]) -> f64 {
    let mut sum = (values[0], 0.0);
    let mut mean = None;
    for (index, value) in values.iter().enumerate().skip(1) {
        let count = (index + 1) as f64;
        if mean.is_none() {
            let new = increased(sum, *value);
            if !new.0.is_infinite() {
                sum = new;
                continue;
            }
            mean = Some((sum.0 / (count - 1.0), sum.1 / (count - 1.0)));
        }
        // The sum overflows: go on with the mean itself.
        let share = (count - 1.0) / count;
        mean = mean.map(|(m, c)| increased((share * m, share * c), value / count));
    }
    let count = values.len() as f64;
    mean.map_or(sum.0 / count + sum.1 / count, |(m, c)| m + c)
}

pub fn quantile(q: f64, mut values: Vec<f64>) -> f64 {
    if values.is_empty() || q.is_nan() {
        return NORMAL_NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // NaN sorts before everything.
    values.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let n = values.len() as f64;
    let rank = q * (n - 1.0);
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(n - 1.0);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

fn histogram_quantile(q: f64, elements: Vec<Element>) -> Vec<Element> {
    let mut families: Vec<(LabelSet, Vec<(f64, f64)>)> = Vec::new();
    for element in elements {
        let Ok(bound) = element.labels.value(BUCKET_LABEL).parse::<f64>() else { continue };
        let key = nameless(&element.labels).without(BUCKET_LABEL);
        match families.iter_mut().find(|(k, _)| *k == key) {
            Some((_, buckets)) => buckets.push((bound, element.value)),
            None => families.push((key, vec![(bound, element.value)])),
        }
    }
    let of_family = |(labels, buckets)| Element { labels, value: bucket_quantile(q, buckets) };
    families.into_iter().map(of_family).collect()
}

fn bucket_quantile(q: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    if buckets[buckets.len() - 1].0 != f64::INFINITY {
        return f64::NAN;
    }
    let mut merged: Vec<(f64, f64)> = Vec::new();
    for (bound, count) in buckets {
        match merged.last_mut() {
            Some(last) if last.0 == bound => last.1 += count,
            _ => merged.push((bound, count)),
        }
    }
    // Counts must not fall; a difference that is only rounding is levelled too.
    let mut before = merged[0].1;
    for bucket in &mut merged[1..] {
        let close = (before - bucket.1).abs() < 1e-12 * (before.abs() + bucket.1.abs()).min(f64::MAX);
        if bucket.1 < before || close {
            bucket.1 = before;
        }
        before = bucket.1;
    }
    let total = merged[merged.len() - 1].1;
    if merged.len() < 2 || total == 0.0 {
        return f64::NAN;
    }
    let mut rank = q * total;
    let last = merged.len() - 1;
    let at = merged[..last].iter().position(|(_, count)| *count >= rank).unwrap_or(last);
    if at == last {
        return merged[last - 1].0;
    }
    if at == 0 && merged[0].0 <= 0.0 {
        return merged[0].0;
    }
    let (mut low, (high, mut count)) = (0.0, merged[at]);
    if at > 0 {
        low = merged[at - 1].0;
        count -= merged[at - 1].1;
        rank -= merged[at - 1].1;
    }
    low + (high - low) * (rank / count)
}

fn date_function(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "minute" => |v| (seconds(v).div_euclid(60)).rem_euclid(60) as f64,
        "hour" => |v| (seconds(v).div_euclid(3600)).rem_euclid(24) as f64,
        "day_of_week" => |v| (seconds(v).div_euclid(86400) + 4).rem_euclid(7) as f64,
        "day_of_month" => |v| date(v).2 as f64,
        "day_of_year" => |v| {
            let (year, month, day) = date(v);
            ((1..month).map(|m| days_in(year, m)).sum::<i64>() + day) as f64
        },
        "days_in_month" => |v| {
            let (year, month, _) = date(v);
            days_in(year, month) as f64
        },
        "month" => |v| date(v).1 as f64,
        "year" => |v| date(v).0 as f64,
        _ => return None,
    })
}

fn seconds(v: f64) -> i64 {
    v as i64
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month, day: by counting years and months off, which is slow and plain.
fn date(v: f64) -> (i64, i64, i64) {
    let mut days = seconds(v).div_euclid(86400);
    let mut year = 1970;
    let length = |year| 365 + i64::from(is_leap(year));
    while days < 0 {
        year -= 1;
        days += length(year);
    }
    while days >= length(year) {
        days -= length(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    (year, month, days + 1)
}
