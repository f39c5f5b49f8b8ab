//! Query results as a client sees them, and how they are printed: as text, or as JSON in Go's spelling.

use std::collections::BTreeMap;
use std::fmt;

use ferula_go::float::{format_f, format_f_precise, format_g};
use ferula_go::json::push_html_string;
use ferula_go::quote::go_quote;
use serde_json::Value as Json;

/// A result.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar(Point),
    /// One string with its time.
    String(f64, String),
    /// One sample of each series.
    Vector(Vec<(Metric, Sample)>),
    /// Several samples of each series.
    Matrix(Vec<Stream>),
}

/// Labels, including the name.
pub type Metric = BTreeMap<String, String>;

/// Time in seconds, and value.
pub type Point = (f64, f64);

/// A sample of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    Float(Point),
    /// A histogram with its time.
    Histogram(f64, Histogram),
}

/// A series with its samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    /// Its labels.
    pub metric: Metric,
    pub values: Vec<Point>,
    pub histograms: Vec<(f64, Histogram)>,
}

/// A native histogram as the API returns it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    count: f64,
    sum: f64,
    /// Boundary rule, lower bound, upper bound, count.
    pub buckets: Vec<(i64, f64, f64, f64)>,
}

type Read<T> = Result<T, &'static str>;

impl Value {
    /// Reads the `data` of an answer.
    ///
    /// # Errors
    /// The first thing that is not as expected.
    pub fn read(mut data: Json) -> Result<Self, String> {
        let kind = data.get("resultType").and_then(Json::as_str).unwrap_or_default().to_owned();
        let result = data.get_mut("result").map(Json::take).unwrap_or_default();
        let read = match kind.as_str() {
            "scalar" => point(&result).map(Value::Scalar),
            "string" => match (result.get(0).and_then(Json::as_f64), result.get(1).and_then(Json::as_str)) {
                (Some(time), Some(text)) => Ok(Value::String(time, text.to_owned())),
                _ => Err("a string must be a time and a text"),
            },
            "vector" => items(&result)?.iter().map(vector_item).collect::<Read<_>>().map(Value::Vector),
            "matrix" => items(&result)?.iter().map(stream).collect::<Read<_>>().map(Value::Matrix),
            other => return Err(format!("unexpected value type {}", go_quote(other))),
        };
        read.map_err(str::to_owned)
    }

    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Scalar(_) => "scalar",
            Value::String(..) => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        }
    }

    /// As JSON, on one line.
    pub fn json(&self) -> String {
        match self {
            Value::Scalar(point) => point_json(point),
            Value::String(time, text) => format!("[{},{}]", format_f(*time), go_json_text(text)),
            Value::Vector(items) => joined(items.iter().map(|(metric, sample)| {
                let (key, sample) = match sample {
                    Sample::Float(point) => ("value", point_json(point)),
                    Sample::Histogram(time, histogram) => ("histogram", histogram.json(*time)),
                };
                format!("{{\"metric\":{},\"{key}\":{sample}}}", metric_json(metric))
            })),
            Value::Matrix(streams) => joined(streams.iter().map(Stream::json)),
        }
    }
}

fn items(result: &Json) -> Result<&[Json], String> {
    match result {
        Json::Array(items) => Ok(items),
        Json::Null => Ok(&[]),
        _ => Err("expected a list of series".into()),
    }
}

fn float(text: &Json) -> Read<f64> {
    let text = text.as_str().ok_or("sample value must be a quoted string")?;
    text.parse().map_err(|_| "a value is not a number")
}

fn point(pair: &Json) -> Read<Point> {
    let time = pair.get(0).and_then(Json::as_f64).ok_or("a sample has no time")?;
    Ok((time, float(pair.get(1).ok_or("a sample has no value")?)?))
}

fn histogram(pair: &Json) -> Read<(f64, Histogram)> {
    let time = pair.get(0).and_then(Json::as_f64).ok_or("a sample has no time")?;
    let body = pair.get(1).ok_or("histogram is null")?;
    let number = |key: &str| body.get(key).map_or(Ok(0.0), float);
    let mut histogram = Histogram { count: number("count")?, sum: number("sum")?, buckets: Vec::new() };
    for bucket in body.get("buckets").and_then(Json::as_array).into_iter().flatten() {
        let at = |index: usize| float(bucket.get(index).unwrap_or(&Json::Null));
        let kind = bucket.get(0).and_then(Json::as_i64).ok_or("a bucket has no bounds")?;
        histogram.buckets.push((kind, at(1)?, at(2)?, at(3)?));
    }
    Ok((time, histogram))
}

fn metric(item: &Json) -> Metric {
    let labels = item.get("metric").and_then(Json::as_object).into_iter().flatten();
    labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn vector_item(item: &Json) -> Read<(Metric, Sample)> {
    let sample = match item.get("histogram") {
        Some(pair) => histogram(pair).map(|(time, histogram)| Sample::Histogram(time, histogram))?,
        None => Sample::Float(point(item.get("value").ok_or("a sample has no value")?)?),
    };
    Ok((metric(item), sample))
}

fn stream(item: &Json) -> Read<Stream> {
    let list = |key: &str| item.get(key).and_then(Json::as_array).into_iter().flatten();
    Ok(Stream {
        metric: metric(item),
        values: list("values").map(point).collect::<Read<_>>()?,
        histograms: list("histograms").map(histogram).collect::<Read<_>>()?,
    })
}

impl Stream {
    fn json(&self) -> String {
        let mut out = format!("{{\"metric\":{}", metric_json(&self.metric));
        if !self.values.is_empty() || self.histograms.is_empty() {
            let values = if self.values.is_empty() {
                "null".into()
            } else {
                joined(self.values.iter().map(point_json))
            };
            out.push_str(&format!(",\"values\":{values}"));
        }
        if !self.histograms.is_empty() {
            let all = joined(self.histograms.iter().map(|(time, histogram)| histogram.json(*time)));
            out.push_str(&format!(",\"histograms\":{all}"));
        }
        out.push('}');
        out
    }
}

impl Histogram {
    fn json(&self, time: f64) -> String {
        let text = |number: f64| format!("\"{}\"", format_f(number));
        let bucket = |(kind, lower, upper, count): &(i64, f64, f64, f64)| {
            format!("[{kind},{},{},{}]", text(*lower), text(*upper), text(*count))
        };
        let buckets =
            if self.buckets.is_empty() { "null".into() } else { joined(self.buckets.iter().map(bucket)) };
        let (count, sum) = (text(self.count), text(self.sum));
        format!("[{},{{\"count\":{count},\"sum\":{sum},\"buckets\":{buckets}}}]", format_f(time))
    }
}

fn joined(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn point_json((time, value): &Point) -> String {
    format!("[{},\"{}\"]", format_f(*time), format_f(*value))
}

fn metric_json(metric: &Metric) -> String {
    let pair = |(name, value): (&String, &String)| format!("{}:{}", go_json_text(name), go_json_text(value));
    format!("{{{}}}", metric.iter().map(pair).collect::<Vec<_>>().join(","))
}

/// A JSON string as Go's encoder writes it, with HTML characters escaped.
pub fn go_json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_html_string(&mut out, text);
    out
}

/// Lists, texts and maps as Go's encoder writes them: keys sorted.
pub fn go_json(value: &Json) -> String {
    match value {
        Json::String(text) => go_json_text(text),
        Json::Array(items) => joined(items.iter().map(go_json)),
        Json::Object(pairs) => {
            let sorted: BTreeMap<_, _> = pairs.iter().collect();
            let pair = |(name, value): (&String, &Json)| format!("{}:{}", go_json_text(name), go_json(value));
            format!("{{{}}}", sorted.into_iter().map(pair).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// Prints a JSON label set as `{a="b", c="d"}`.
pub fn label_set(labels: &Json) -> String {
    let pairs: BTreeMap<&str, &str> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
        .collect();
    let pair = |(name, value): (&str, &str)| format!("{name}={}", go_quote(value));
    format!("{{{}}}", pairs.into_iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// `name{a="b"}`
pub fn show_metric(metric: &Metric) -> String {
    let name = metric.get("__name__");
    let others = metric.iter().filter(|(name, _)| *name != "__name__");
    let mut pairs: Vec<String> = others.map(|(name, value)| format!("{name}={}", go_quote(value))).collect();
    pairs.sort();
    match (name, pairs.is_empty()) {
        (Some(name), true) => name.clone(),
        (name, _) => format!("{}{{{}}}", name.map_or("", String::as_str), pairs.join(", ")),
    }
}

/// `1 @[1435781430.781]`
fn show_point((time, value): &Point) -> String {
    format!("{} @[{}]", format_f(*value), format_f(*time))
}

fn show_histogram(time: f64, histogram: &Histogram) -> String {
    let bucket = |(kind, lower, upper, count): &(i64, f64, f64, f64)| {
        let open = if matches!(kind, 1 | 3) { '[' } else { '(' };
        let close = if matches!(kind, 0 | 3) { ']' } else { ')' };
        format!("{open}{},{}{close}:{}", format_g(*lower), format_g(*upper), format_f(*count))
    };
    let buckets = histogram.buckets.iter().map(bucket).collect::<Vec<_>>().join(" ");
    let (count, sum) = (format_f_precise(histogram.count, 6), format_f_precise(histogram.sum, 6));
    format!("Count: {count}, Sum: {sum}, Buckets: [{buckets}] @[{}]", format_f(time))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Scalar((time, value)) => write!(f, "scalar: {} @[{}]", format_f(*value), format_f(*time)),
            Value::String(_, text) => f.write_str(text),
            Value::Vector(items) => {
                let line = |(metric, sample): &(Metric, Sample)| {
                    let sample = match sample {
                        Sample::Float(point) => show_point(point),
                        Sample::Histogram(time, histogram) => show_histogram(*time, histogram),
                    };
                    format!("{} => {sample}", show_metric(metric))
                };
                f.write_str(&items.iter().map(line).collect::<Vec<_>>().join("\n"))
            }
            Value::Matrix(streams) => {
                let mut sorted: Vec<&Stream> = streams.iter().collect();
                sorted.sort_by(|a, b| metric_order(&a.metric, &b.metric));
                f.write_str(&sorted.iter().map(|stream| stream.to_string()).collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let floats = self.values.iter().map(show_point);
        let histograms = self.histograms.iter().map(|(time, histogram)| show_histogram(*time, histogram));
        let lines: Vec<String> = floats.chain(histograms).collect();
        write!(f, "{} =>\n{}", show_metric(&self.metric), lines.join("\n"))
    }
}

/// Fewer labels first; then label by label, where a set that lacks a name comes first.
fn metric_order(a: &Metric, b: &Metric) -> std::cmp::Ordering {
    let by_label = || {
        let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        names.into_iter().map(|name| a.get(name).cmp(&b.get(name))).find(|order| order.is_ne())
    };
    a.len().cmp(&b.len()).then_with(|| by_label().unwrap_or(std::cmp::Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_metrics_is_total() {
        let metric = |pairs: &[(&str, &str)]| -> Metric {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let metrics = [
            metric(&[]),
            metric(&[("a", "1")]),
            metric(&[("b", "0")]),
            metric(&[("a", "2")]),
            metric(&[("a", "1"), ("b", "1")]),
            metric(&[("a", "1"), ("c", "0")]),
            metric(&[("b", "1"), ("c", "0")]),
        ];
        ferula_testkit::assert_total_order(&metrics, metric_order);
    }
}
