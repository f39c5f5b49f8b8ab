//! Answers in a form that can be compared, and how two differ.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use ferula_go::float::format_f;
use ferula_model::value::format_api;
use ferula_model::{FloatHistogram, LabelSet};
use ferula_promql::{QueryError, QueryOutcome, QueryValue, SampleValue};
use ferula_promql_syntax::ast::{AggregateOp, ExprKind};
use ferula_promql_syntax::{ParserOptions, parse};
use serde_json::Value;

/// Points of a series: milliseconds and the value as it is printed.
type Points = Vec<(i64, String)>;

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    result: Result<Body, Refusal>,
    /// Warnings and infos as they are shown, sorted.
    pub annotations: Vec<String>,
    /// All of them, where more were made than are shown. Empty for answers over HTTP.
    pub all_annotations: Vec<String>,
}

/// An error: the word for its type, and its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    kind: String,
    text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}: {}", self.kind, self.text)
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Body {
    kind: &'static str,
    /// Labels as text; empty for scalars and strings.
    series: Vec<(String, Points)>,
}

fn labels_text(labels: &LabelSet) -> String {
    let pairs: BTreeMap<&str, &str> = labels.iter().collect();
    format!("{pairs:?}")
}

impl Answer {
    /// An answer of the engine, annotations as the HTTP API cuts them off.
    pub fn ours(query: &str, outcome: QueryOutcome) -> Answer {
        let rendered = |max: usize| {
            let (mut warnings, mut infos) = outcome.annotations.render(query, max);
            warnings.sort();
            infos.sort();
            [warnings, infos].concat()
        };
        let (annotations, all_annotations) = (rendered(SHOWN_MAX), rendered(0));
        Answer {
            result: outcome.result.map(body_of).map_err(|error| refusal(&error)),
            annotations,
            all_annotations,
        }
    }

    /// An answer of the HTTP API.
    pub fn theirs(json: &str) -> Answer {
        let Ok(json) = serde_json::from_str::<Value>(json) else {
            return Answer::failed(format!("no JSON: {json}"));
        };
        let texts = |key: &str| -> Vec<String> {
            let list = json[key].as_array().cloned().unwrap_or_default();
            let mut texts: Vec<String> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            texts.sort();
            texts
        };
        let result = if json["status"] == "success" {
            parse_body(&json["data"])
                .ok_or_else(|| Refusal { kind: "unknown shape".to_owned(), text: json["data"].to_string() })
        } else {
            let (kind, text) = (&json["errorType"], json["error"].as_str().unwrap_or_default());
            let text = text.strip_prefix("invalid parameter \"query\": ").unwrap_or(text).to_owned();
            Err(Refusal { kind: kind.as_str().unwrap_or_default().to_owned(), text })
        };
        let annotations = [texts("warnings"), texts("infos")].concat();
        Answer { result, annotations, all_annotations: Vec::new() }
    }

    /// No answer at all.
    pub fn failed(error: String) -> Answer {
        let refusal = Refusal { kind: "no answer".to_owned(), text: error };
        Answer { result: Err(refusal), annotations: Vec::new(), all_annotations: Vec::new() }
    }

    /// Labels of the series in their order, with the value of the first point of each.
    pub fn order(&self) -> Vec<(&str, &str)> {
        let series = self.result.iter().flat_map(|body| &body.series);
        series.map(|(labels, points)| (&**labels, points.first().map_or("", |(_, value)| value))).collect()
    }
}

/// As many annotations of each kind are shown.
pub const SHOWN_MAX: usize = 10;

/// The error as the API answers it.
fn refusal(error: &QueryError) -> Refusal {
    let kind = match error {
        QueryError::Parse(_) => "bad_data",
        QueryError::TooManySamples | QueryError::Execution(_) => "execution",
        QueryError::Timeout(_) => "timeout",
        QueryError::Canceled(_) => "canceled",
        QueryError::OutOfMemory(_) => "unavailable",
        QueryError::Storage(_) => "internal",
    };
    Refusal { kind: kind.to_owned(), text: error.to_string() }
}

/// Count, sum and buckets as the API has them.
fn histogram_text(histogram: &FloatHistogram) -> String {
    let mut text = format!("{} {}", format_api(histogram.count), format_api(histogram.sum));
    for bucket in histogram.all_bucket_iter().filter(|bucket| bucket.count != 0.0) {
        let bounds = [bucket.lower, bucket.upper, bucket.count].map(format_api).join(" ");
        write!(text, " [{} {bounds}]", bucket.boundaries() as u8).expect("writing to a String cannot fail");
    }
    text
}

fn parse_histogram(point: &Value) -> Option<(i64, String)> {
    let (at, histogram) = (millis(&point[0])?, &point[1]);
    let mut text = format!("{} {}", histogram["count"].as_str()?, histogram["sum"].as_str()?);
    for bucket in histogram["buckets"].as_array().into_iter().flatten() {
        let part = |at: usize| bucket[at].as_str().unwrap_or("?");
        write!(text, " [{} {} {} {}]", bucket[0], part(1), part(2), part(3))
            .expect("writing to a String cannot fail");
    }
    Some((at, text))
}

fn millis(seconds: &Value) -> Option<i64> {
    Some((seconds.as_f64()? * 1000.0).round() as i64)
}

fn shown(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => format_api(*value),
        SampleValue::Histogram(histogram) => histogram_text(histogram),
    }
}

fn body_of(value: QueryValue) -> Body {
    match value {
        QueryValue::Scalar { timestamp_ms, value } => {
            Body { kind: "scalar", series: vec![(String::new(), vec![(timestamp_ms, format_f(value))])] }
        }
        QueryValue::String { timestamp_ms, value } => {
            Body { kind: "string", series: vec![(String::new(), vec![(timestamp_ms, value)])] }
        }
        QueryValue::Vector(samples) => Body {
            kind: "vector",
            series: samples
                .iter()
                .map(|sample| {
                    (labels_text(&sample.labels), vec![(sample.timestamp_ms, shown(&sample.value))])
                })
                .collect(),
        },
        QueryValue::Matrix(series) => Body {
            kind: "matrix",
            series: series
                .iter()
                .map(|series| {
                    let floats = series.floats.iter().map(|(at, value)| (*at, format_api(*value)));
                    let histograms = series.histograms.iter().map(|(at, value)| (*at, histogram_text(value)));
                    (labels_text(&series.labels), floats.chain(histograms).collect())
                })
                .collect(),
        },
    }
}

fn parse_point(point: &Value) -> Option<(i64, String)> {
    Some((millis(&point[0])?, point[1].as_str()?.to_owned()))
}

fn parse_body(data: &Value) -> Option<Body> {
    let kind = match data["resultType"].as_str()? {
        "scalar" => "scalar",
        "string" => "string",
        "vector" => "vector",
        "matrix" => "matrix",
        _ => return None,
    };
    if matches!(kind, "scalar" | "string") {
        return Some(Body { kind, series: vec![(String::new(), vec![parse_point(&data["result"])?])] });
    }
    let mut series = Vec::new();
    for entry in data["result"].as_array()? {
        let labels: BTreeMap<&str, &str> = entry["metric"]
            .as_object()?
            .iter()
            .filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
            .collect();
        let points = if kind == "vector" {
            let histogram = || parse_histogram(&entry["histogram"]);
            vec![parse_point(&entry["value"]).or_else(histogram)?]
        } else {
            let list = |key: &str| entry[key].as_array().cloned().unwrap_or_default();
            let floats = list("values").iter().map(parse_point).collect::<Option<Points>>()?;
            let histograms = list("histograms").iter().map(parse_histogram).collect::<Option<Points>>()?;
            [floats, histograms].concat()
        };
        series.push((format!("{labels:?}"), points));
    }
    Some(Body { kind, series })
}

/// How two answers differ.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// One is an error and the other is not, or the errors differ.
    Error(String, String),
    /// Scalar, vector, matrix.
    Kind(String, String),
    /// Which series there are.
    Series(String, String),
    /// Which points a series has.
    Times(String, String),
    /// A value; whether the two are equal but for the last digits.
    Value(String, String, bool),
    /// The order of an instant vector whose order the query defines.
    Order(String, String),
    /// Warnings and infos, sorted.
    Annotations(Vec<String>, Vec<String>),
}

impl Difference {
    /// The first difference of the two, the coarser kinds first.
    pub fn between(query: &str, ours: &Answer, theirs: &Answer) -> Option<Difference> {
        let (our_body, their_body) = match (&ours.result, &theirs.result) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Err(ours), Err(theirs)) if ours == theirs => return None,
            (ours, theirs) => {
                let text = |result: &Result<Body, Refusal>| match result {
                    Ok(body) => format!("a {} of {} series", body.kind, body.series.len()),
                    Err(error) => error.to_string(),
                };
                return Some(Difference::Error(text(ours), text(theirs)));
            }
        };
        bodies(query, our_body, their_body).or_else(|| annotations(ours, theirs))
    }

    /// A name for the kind of difference.
    pub fn kind(&self) -> &'static str {
        match self {
            Difference::Error(..) => "error",
            Difference::Kind(..) => "kind",
            Difference::Series(..) => "series",
            Difference::Times(..) => "times",
            Difference::Value(_, _, true) => "last digits",
            Difference::Value(_, _, false) => "value",
            Difference::Order(..) => "order",
            Difference::Annotations(..) => "annotations",
        }
    }

    /// Our side and theirs, as text.
    pub fn sides(&self) -> (String, String) {
        match self {
            Difference::Error(a, b)
            | Difference::Kind(a, b)
            | Difference::Series(a, b)
            | Difference::Times(a, b)
            | Difference::Value(a, b, _)
            | Difference::Order(a, b) => (a.clone(), b.clone()),
            Difference::Annotations(a, b) => (format!("{a:?}"), format!("{b:?}")),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = self.sides();
        write!(f, "  {}\n    ours   {ours}\n    theirs {theirs}", self.kind())
    }
}

fn bodies(query: &str, ours: &Body, theirs: &Body) -> Option<Difference> {
    if ours.kind != theirs.kind {
        return Some(Difference::Kind(ours.kind.to_owned(), theirs.kind.to_owned()));
    }
    let sorted = |body: &Body| {
        let mut series = body.series.clone();
        series.sort();
        series
    };
    let (a, b) = (sorted(ours), sorted(theirs));
    let names =
        |series: &[(String, Points)]| series.iter().map(|(labels, _)| labels.clone()).collect::<Vec<_>>();
    if names(&a) != names(&b) {
        return Some(Difference::Series(names(&a).join(" "), names(&b).join(" ")));
    }
    for ((labels, a), (_, b)) in a.iter().zip(&b) {
        let times = |points: &Points| points.iter().map(|(at, _)| *at).collect::<Vec<_>>();
        let (our_times, their_times) = (times(a), times(b));
        if our_times != their_times {
            let only = |these: &[i64], others: &[i64]| {
                these
                    .iter()
                    .filter(|at| !others.contains(at))
                    .map(i64::to_string)
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            return Some(Difference::Times(
                format!("{labels} alone at {}", only(&our_times, &their_times)),
                format!("alone at {}", only(&their_times, &our_times)),
            ));
        }
        if let Some(((at, a), (_, b))) = a.iter().zip(b).find(|((_, a), (_, b))| a != b) {
            return Some(Difference::Value(format!("{labels} {a} at {at}"), b.clone(), close(a, b)));
        }
    }
    let ordered = ours.kind == "matrix" || (ours.kind == "vector" && order_is_defined(query));
    if ordered && names(&ours.series) != names(&theirs.series) {
        return Some(Difference::Order(names(&ours.series).join(" "), names(&theirs.series).join(" ")));
    }
    None
}

/// Whether a query says in which order its instant vector is.
fn order_is_defined(query: &str) -> bool {
    let Ok(expr) = parse(query, &ParserOptions::ALL) else { return false };
    match &expr.without_parens().kind {
        ExprKind::Call(call) => call.function.name.starts_with("sort"),
        ExprKind::Aggregate(aggregate) => matches!(aggregate.op, AggregateOp::TopK | AggregateOp::BottomK),
        _ => false,
    }
}

/// Whether the numbers in two texts are equal but for the last digits.
pub fn close(a: &str, b: &str) -> bool {
    let numbers = |text: &str| -> Vec<f64> {
        text.split([' ', '[', ']', ':', ',', '"', '(', ')']).filter_map(|word| word.parse().ok()).collect()
    };
    let (a, b) = (numbers(a), numbers(b));
    a.len() == b.len()
        && a.iter().zip(&b).all(|(a, b)| a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()))
}

fn annotations(ours: &Answer, theirs: &Answer) -> Option<Difference> {
    let (a, b) = (&ours.annotations, &theirs.annotations);
    (a != b).then(|| Difference::Annotations(a.clone(), b.clone()))
}
