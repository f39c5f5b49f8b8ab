//! Functions at one step.

use ferula_model::labels::METRIC_NAME;
use ferula_model::regex::LabelRegex;
use ferula_model::{LabelSet, MatchOp, Matcher};
use ferula_promql_syntax::ast::{Call, Expr, ExprKind, ValueType};

use super::numbers::{add, mean, quantile};
use super::{Element, Failure, Oracle, Sample, Series, Steps, Value, distinct, without_name};

fn not_asked<T>(what: &str) -> Result<T, Failure> {
    Err(format!("{what} is not asked of the oracle"))
}

/// The expression behind parentheses.
fn bare(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Paren(inner) => bare(inner),
        _ => expr,
    }
}

impl Oracle<'_> {
    pub fn call(&self, call: &Call, time: i64, steps: Steps) -> Result<Value, Failure> {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let name = call.function.name;
        if call.args.iter().any(|arg| arg.value_type() == ValueType::Matrix) {
            return self.over_range(call, time, steps).map(Value::Vector);
        }
        let scalar = |index: usize| self.scalar(&call.args[index], time, steps);
        let vector = |index: usize| self.vector(&call.args[index], time, steps);
        let floats = |function: &dyn Fn(f64) -> f64| -> Result<Value, Failure> {
            let mapped = vector(0)?.into_iter().filter_map(|element| {
                let value = function(element.sample.float()?);
                Some(Element { labels: without_name(&element.labels), sample: Sample::Float(value) })
            });
            distinct(mapped.collect()).map(Value::Vector)
        };
        match name {
            "time" => Ok(Value::Scalar(seconds(time))),
            "pi" => Ok(Value::Scalar(std::f64::consts::PI)),
            "start" => Ok(Value::Scalar(seconds(self.query.start))),
            "end" => Ok(Value::Scalar(seconds(self.query.end))),
            "range" => Ok(Value::Scalar(seconds(self.query.end - self.query.start))),
            "vector" => Ok(Value::Vector(vec![Element {
                labels: LabelSet::empty(),
                sample: Sample::Float(scalar(0)?),
            }])),
            "scalar" => {
                let floats: Vec<f64> =
                    vector(0)?.iter().filter_map(|element| element.sample.float()).collect();
                Ok(Value::Scalar(if floats.len() == 1 { floats[0] } else { f64::NAN }))
            }
            "abs" => floats(&f64::abs),
            "ceil" => floats(&f64::ceil),
            "floor" => floats(&f64::floor),
            "sqrt" => floats(&f64::sqrt),
            "sgn" => floats(&|v| {
                if v > 0.0 {
                    1.0
                } else if v < 0.0 {
                    -1.0
                } else {
                    v
                }
            }),
            "deg" => floats(&|v| v * 180.0 / std::f64::consts::PI),
            "rad" => floats(&|v| v * std::f64::consts::PI / 180.0),
            "round" => {
                let to = if call.args.len() > 1 { scalar(1)? } else { 1.0 };
                floats(&|v| (v * (1.0 / to) + 0.5).floor() / (1.0 / to))
            }
            "clamp_min" => {
                let bound = scalar(1)?;
                floats(&|v| match (v, bound) {
                    // Infinity is the larger one even beside NaN, as Go has it.
                    _ if v == f64::INFINITY || bound == f64::INFINITY => f64::INFINITY,
                    _ if v.is_nan() || bound.is_nan() => f64::NAN,
                    // The sum of two zeros is the larger one.
                    (0.0, 0.0) => v + bound,
                    _ => v.max(bound),
                })
            }
            "timestamp" => self.timestamp(&call.args[0], time, steps),
            "absent" => {
                let present = !vector(0)?.is_empty();
                Ok(Value::Vector(if present { Vec::new() } else { absent(bare(&call.args[0])) }))
            }
            "label_replace" => label_replace(vector(0)?, &strings(call)?).map(Value::Vector),
            "label_join" => label_join(vector(0)?, &strings(call)?).map(Value::Vector),
            "sort" | "sort_desc" => {
                let floats = vector(0)?.into_iter().filter(|element| element.sample.float().is_some());
                let mut sorted: Vec<Element> = floats.collect();
                let value = |element: &Element| element.sample.float().unwrap_or(f64::NAN);
                sorted.sort_by(|a, b| match (value(a).is_nan(), value(b).is_nan()) {
                    (false, false) if name == "sort" => value(a).partial_cmp(&value(b)).expect("no NaN"),
                    (false, false) => value(b).partial_cmp(&value(a)).expect("no NaN"),
                    (a, b) => a.cmp(&b),
                });
                Ok(Value::Vector(sorted))
            }
            _ => not_asked(name),
        }
    }

    fn timestamp(&self, arg: &Expr, time: i64, steps: Steps) -> Result<Value, Failure> {
        let element = |labels: &LabelSet, ms: i64| Element {
            labels: without_name(labels),
            sample: Sample::Float(ms as f64 / 1000.0),
        };
        let elements = match &bare(arg).kind {
            ExprKind::VectorSelector(selector) => self
                .timed(selector, time)
                .iter()
                .map(|found| element(&found.element.labels, found.timestamp))
                .collect(),
            _ => self.vector(arg, time, steps)?.iter().map(|of| element(&of.labels, time)).collect(),
        };
        distinct(elements).map(Value::Vector)
    }

    /// A function of a range vector. Series that lose what tells them apart are an error even when they have values at
    /// different steps, so all steps are looked at.
    fn over_range(&self, call: &Call, time: i64, steps: Steps) -> Result<Vec<Element>, Failure> {
        let name = call.function.name;
        if name == "absent_over_time" {
            let Value::Matrix(series) = self.eval(&call.args[0], time, steps)? else {
                return Err("no range vector".to_owned());
            };
            return Ok(if series.is_empty() { absent(bare(&call.args[0])) } else { Vec::new() });
        }
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
        if !keeps_name {
            let mut seen: Vec<LabelSet> = Vec::new();
            for at in steps.times() {
                for (labels, _) in self.windows(call, at, steps)? {
                    if !seen.contains(&labels) {
                        seen.push(labels);
                    }
                }
            }
            for (index, labels) in seen.iter().enumerate() {
                let unnamed = without_name(labels);
                if seen[..index].iter().any(|other| without_name(other) == unnamed) {
                    return Err("vector cannot contain metrics with the same labelset".to_owned());
                }
            }
        }
        let values = self.windows(call, time, steps)?.into_iter().map(|(labels, sample)| Element {
            labels: if keeps_name { labels } else { without_name(&labels) },
            sample,
        });
        Ok(values.collect())
    }

    /// The value of each series' window, with the labels it had.
    fn windows(&self, call: &Call, time: i64, steps: Steps) -> Result<Vec<(LabelSet, Sample)>, Failure> {
        let mut scalars = Vec::new();
        let mut windows: Vec<Series> = Vec::new();
        let mut end = time;
        let mut range = 0;
        for arg in &call.args {
            match &bare(arg).kind {
                ExprKind::MatrixSelector(matrix) => {
                    end = self.moment(&matrix.selector.at, time);
                    range = super::selectors::millis(&matrix.range)?;
                    windows = self.range(matrix, time)?;
                }
                ExprKind::Subquery(subquery) => {
                    end = self.moment(&subquery.at, time);
                    range = super::selectors::millis(&subquery.range)?;
                    windows = self.subquery(subquery, time, steps)?;
                }
                _ => scalars.push(self.scalar(arg, time, steps)?),
            }
        }
        let mut out = Vec::new();
        for series in windows {
            let ends = match call.function.name {
                "count_over_time" => Some(Sample::Float(series.samples.len() as f64)),
                "present_over_time" => Some(Sample::Float(1.0)),
                "last_over_time" => series.samples.last().map(|(_, sample)| sample.clone()),
                "first_over_time" => series.samples.first().map(|(_, sample)| sample.clone()),
                _ => None,
            };
            if let Some(sample) = ends {
                out.push((series.labels, sample));
                continue;
            }
            let points: Vec<(i64, f64)> = series
                .samples
                .iter()
                .filter_map(|(timestamp, sample)| Some((*timestamp, sample.float()?)))
                .collect();
            if points.len() < series.samples.len() {
                return not_asked("a range of histograms");
            }
            let window = Points { points: &points, start: end - range, end, at: time };
            if let Some(value) = window.apply(call.function.name, &scalars)? {
                out.push((series.labels, Sample::Float(value)));
            }
        }
        Ok(out)
    }
}

/// The floats of one window.
struct Points<'a> {
    points: &'a [(i64, f64)],
    start: i64,
    end: i64,
    at: i64,
}

impl Points<'_> {
    fn values(&self) -> Vec<f64> {
        self.points.iter().map(|(_, value)| *value).collect()
    }

    fn apply(&self, name: &str, scalars: &[f64]) -> Result<Option<f64>, Failure> {
        let values = self.values();
        let pairs = || self.points.windows(2).map(|pair| (pair[0].1, pair[1].1));
        Ok(match name {
            "rate" => self.extrapolated(true, true),
            "increase" => self.extrapolated(true, false),
            "delta" => self.extrapolated(false, false),
            "irate" | "idelta" => {
                let [.., (before_time, before), (last_time, last)] = *self.points else { return Ok(None) };
                let counter = name == "irate";
                let change = if counter && last < before { last } else { last - before };
                let seconds = (last_time - before_time) as f64 / 1000.0;
                Some(if counter { change / seconds } else { change })
            }
            "sum_over_time" => {
                let (mut sum, mut lost) = (0.0, 0.0);
                values.iter().for_each(|value| add(&mut sum, &mut lost, *value));
                Some(if sum.is_infinite() { sum } else { sum + lost })
            }
            "avg_over_time" => Some(mean(&values)),
            "min_over_time" => Some(values.iter().copied().fold(f64::NAN, f64::min)),
            "max_over_time" => Some(values.iter().copied().fold(f64::NAN, f64::max)),
            "quantile_over_time" => Some(quantile(scalars[0], &values)),
            "stdvar_over_time" => Some(variance(&values)),
            "stddev_over_time" => Some(variance(&values).sqrt()),
            "changes" => Some(pairs().filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())).count() as f64),
            "resets" => Some(pairs().filter(|(a, b)| b < a).count() as f64),
            "deriv" if values.len() > 1 => Some(self.line(self.points[0].0).0),
            "predict_linear" if values.len() > 1 => {
                let (slope, intercept) = self.line(self.at);
                Some(slope * scalars[0] + intercept)
            }
            "deriv" | "predict_linear" => None,
            _ => return not_asked(name),
        })
    }

    fn extrapolated(&self, counter: bool, per_second: bool) -> Option<f64> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        if self.points.len() < 2 {
            return None;
        }
        let mut change = last.1 - first.1;
        if counter {
            for pair in self.points.windows(2).filter(|pair| pair[1].1 < pair[0].1) {
                change += pair[0].1;
            }
        }
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let sampled = seconds(last.0 - first.0);
        let distance = sampled / (self.points.len() - 1) as f64;
        let stretch = |gap: f64| if gap >= distance * 1.1 { distance / 2.0 } else { gap };
        let mut to_start = stretch(seconds(first.0 - self.start));
        let to_end = stretch(seconds(self.end - last.0));
        if counter && change > 0.0 && first.1 >= 0.0 {
            let to_zero = sampled * (first.1 / change);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        let mut factor = (sampled + to_start + to_end) / sampled;
        if per_second {
            factor /= seconds(self.end - self.start);
        }
        Some(change * factor)
    }

    /// Slope and value at `intercept` of the least-squares line.
    fn line(&self, intercept: i64) -> (f64, f64) {
        let constant = self.points[1..].iter().all(|(_, value)| *value == self.points[0].1);
        if constant {
            let value = self.points[0].1;
            return if value.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, value) };
        }
        let n = self.points.len() as f64;
        let total = |of: &dyn Fn(f64, f64) -> f64| {
            let (mut sum, mut lost) = (0.0, 0.0);
            for (timestamp, value) in self.points {
                add(&mut sum, &mut lost, of((timestamp - intercept) as f64 / 1e3, *value));
            }
            sum + lost
        };
        let (x, y) = (total(&|x, _| x), total(&|_, y| y));
        let (xy, xx) = (total(&|x, y| x * y), total(&|x, _| x * x));
        let slope = (xy - x * y / n) / (xx - x * x / n);
        (slope, y / n - slope * x / n)
    }
}

fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut mean_lost) = (0.0, 0.0, 0.0);
    let (mut squares, mut squares_lost) = (0.0, 0.0);
    for value in values {
        count += 1.0;
        let delta = value - (mean + mean_lost);
        add(&mut mean, &mut mean_lost, delta / count);
        add(&mut squares, &mut squares_lost, delta * (value - (mean + mean_lost)));
    }
    (squares + squares_lost) / count
}

fn absent(expr: &Expr) -> Vec<Element> {
    let matchers: &[Matcher] = match &expr.kind {
        ExprKind::VectorSelector(selector) => &selector.matchers,
        ExprKind::MatrixSelector(matrix) => &matrix.selector.matchers,
        _ => &[],
    };
    // Conditions that take series away are looked at last.
    let takes_away = |matcher: &&Matcher| {
        let set = matchers.iter().any(|other| other.name == matcher.name && !other.matches_empty());
        let negative = matcher.op == MatchOp::NotEqual || matcher.op == MatchOp::NotRegex;
        !set || negative && matcher.matches_empty()
    };
    let first = matchers.iter().filter(|matcher| !takes_away(matcher));
    let matchers: Vec<&Matcher> = first.chain(matchers.iter().filter(takes_away)).collect();
    // A label stays when the last condition on it is the first `=` on it.
    let stays = |matcher: &&Matcher| {
        let mut others = matchers.iter().copied().filter(|other| other.name == matcher.name);
        let first_equal = others.clone().find(|other| other.op == MatchOp::Equal);
        let last = others.next_back();
        first_equal.is_some_and(|first| std::ptr::eq(first, *matcher))
            && last.is_some_and(|last| std::ptr::eq(last, *matcher))
    };
    let pairs = matchers
        .iter()
        .copied()
        .filter(stays)
        .filter(|matcher| &*matcher.name != METRIC_NAME)
        .map(|matcher| (&*matcher.name, &*matcher.value));
    vec![Element { labels: LabelSet::from_pairs(pairs), sample: Sample::Float(1.0) }]
}

/// The arguments behind the first, which are strings.
fn strings(call: &Call) -> Result<Vec<&str>, Failure> {
    let text = |arg: &'_ Expr| match &bare(arg).kind {
        ExprKind::String(_) => Ok(()),
        _ => Err("no string".to_owned()),
    };
    call.args[1..].iter().try_for_each(text)?;
    Ok(call.args[1..]
        .iter()
        .filter_map(|arg| match &bare(arg).kind {
            ExprKind::String(text) => Some(text.as_str()),
            _ => None,
        })
        .collect())
}

fn label_replace(elements: Vec<Element>, args: &[&str]) -> Result<Vec<Element>, Failure> {
    let [target, replacement, source, pattern] = args else { return Err("arguments".to_owned()) };
    let regex = LabelRegex::new(pattern)
        .map_err(|_| format!("invalid regular expression in label_replace(): {pattern}"))?;
    if target.is_empty() {
        return Err("invalid destination label name in label_replace(): ".to_owned());
    }
    let replaced = elements.into_iter().map(|mut element| {
        if let Some(value) = regex.expand(element.labels.value(source), replacement) {
            let mut labels = element.labels.to_builder();
            labels.set(target, &value);
            element.labels = labels.finish();
        }
        element
    });
    distinct(replaced.collect())
}

fn label_join(elements: Vec<Element>, args: &[&str]) -> Result<Vec<Element>, Failure> {
    let [target, separator, sources @ ..] = args else { return Err("arguments".to_owned()) };
    if sources.iter().any(|source| source.is_empty()) {
        return Err("invalid source label name in label_join(): ".to_owned());
    }
    if target.is_empty() {
        return Err("invalid destination label name in label_join(): ".to_owned());
    }
    let joined = elements.into_iter().map(|mut element| {
        let values: Vec<&str> = sources.iter().map(|source| element.labels.value(source)).collect();
        let mut labels = element.labels.to_builder();
        labels.set(target, &values.join(separator));
        element.labels = labels.finish();
        element
    });
    distinct(joined.collect())
}
