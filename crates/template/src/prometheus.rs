//! The functions and values that templates of rules have in Prometheus.
//!
//! Here: everything that is pure, and the shapes of samples and of an alert's data. Elsewhere: running the query of
//! `query "…"`, which the caller passes in as a function.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferula_go::Regexp;
use ferula_go::float::{format_g, format_g_precise};
use ferula_go::number::parse_float;
use ferula_go::unicode;
use ferula_go::url::query_escape;

use crate::error::CallError;
use crate::format::print;
use crate::function::{Function, FunctionMap};
use crate::time::{Duration, Moment};
use crate::value::{Map, MapElement, Object, Parameter, Value};

/// One element of the vector that `query` returns.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// The value: a number, or the text of a histogram.
    pub value: Value,
}

/// Runs the PromQL of `query "…"` and returns the vector.
pub type QueryFunction = Arc<dyn Fn(&str) -> Result<Vec<Sample>, CallError> + Send + Sync>;

/// What the functions need from outside.
#[derive(Clone)]
pub struct Environment {
    /// Evaluation time in seconds since the epoch.
    pub now: f64,
    /// The server's external URL, without a slash at its end.
    pub external_url: String,
    /// Path part of the external URL.
    pub path_prefix: String,
    /// Runs queries.
    pub query: QueryFunction,
    /// Reads Prometheus durations (`1h30m`, also negative) to seconds.
    pub parse_duration: fn(&str) -> Result<f64, CallError>,
}

/// What `reReplaceAll` may make at most.
const REPLACED_BYTES_MAX: usize = 64 << 20;

const SAMPLE: &str = "*template.sample";
const RESULT: &str = "template.queryResult";

struct SampleObject(Sample);

impl Object for SampleObject {
    fn type_name(&self) -> String {
        SAMPLE.to_owned()
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(Value::text_map(self.0.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())))),
            "Value" => Some(self.0.value.clone()),
            _ => None,
        }
    }

    fn print(&self) -> String {
        format!("{{{} {}}}", print(&self.field("Labels").unwrap_or(Value::Nil)), print(&self.0.value))
    }
}

/// `.Labels`, `.ExternalLabels`, `.ExternalURL`, `.Value` of an alert's template.
struct AlertData {
    labels: Value,
    external_labels: Value,
    external_url: Value,
    value: Value,
}

impl Object for AlertData {
    fn type_name(&self) -> String {
        "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }".to_owned()
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(self.labels.clone()),
            "ExternalLabels" => Some(self.external_labels.clone()),
            "ExternalURL" => Some(self.external_url.clone()),
            "Value" => Some(self.value.clone()),
            _ => None,
        }
    }

    fn print(&self) -> String {
        let fields = [&self.labels, &self.external_labels, &self.external_url, &self.value];
        format!("{{{}}}", fields.map(print).join(" "))
    }
}

/// What stands before the text of every rule's template, so that `$labels` and its like exist.
pub const DEFINITIONS: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                               {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// The data of an alert's template.
pub fn alert_data<'a>(
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    external_labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    external_url: &str,
    value: Value,
) -> Value {
    Value::Object(Arc::new(AlertData {
        labels: Value::text_map(labels),
        external_labels: Value::text_map(external_labels),
        external_url: external_url.into(),
        value,
    }))
}

/// Names of all functions of Prometheus' templates, sorted.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    let nothing = Environment {
        now: 0.0,
        external_url: String::new(),
        path_prefix: String::new(),
        query: Arc::new(|_| Ok(Vec::new())),
        parse_duration: |_| Ok(0.0),
    };
    functions(&nothing).into_keys()
}

/// All functions of Prometheus' templates.
pub fn functions(environment: &Environment) -> FunctionMap {
    let mut map = FunctionMap::new();
    of_samples(&mut map, environment);
    of_text(&mut map, environment);
    of_numbers(&mut map, environment);
    map
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

fn samples(value: &Value) -> Vec<Value> {
    match value {
        Value::List(items, _) => items.to_vec(),
        _ => Vec::new(),
    }
}

/// A label of a sample, "" when it lacks it.
fn label(sample: &Value, name: &str) -> Result<Value, CallError> {
    let Value::Object(object) = sample else {
        return Err(nil_pointer());
    };
    match object.field("Labels") {
        Some(Value::Map(map)) => Ok(Value::entry(&map, name)),
        _ => Ok(Value::text("")),
    }
}

fn nil_pointer() -> CallError {
    CallError::argument("runtime error: invalid memory address or nil pointer dereference")
}

fn of_samples(map: &mut FunctionMap, environment: &Environment) {
    let query = environment.query.clone();
    map.insert(
        "query",
        Function::new(&[Parameter::Text], move |args| {
            let found = query(text(&args[0]))?;
            Ok(Value::List(
                found.into_iter().map(|s| Value::Object(Arc::new(SampleObject(s)))).collect(),
                RESULT,
            ))
        }),
    );
    map.insert(
        "first",
        Function::new(&[Parameter::Named(RESULT)], |args| {
            samples(&args[0])
                .into_iter()
                .next()
                .ok_or_else(|| CallError::argument("first() called on vector with no elements"))
        }),
    );
    map.insert(
        "label",
        Function::new(&[Parameter::Text, Parameter::Named(SAMPLE)], |args| label(&args[1], text(&args[0]))),
    );
    map.insert(
        "value",
        Function::new(&[Parameter::Named(SAMPLE)], |args| match &args[0] {
            Value::Object(object) => Ok(object.field("Value").unwrap_or(Value::Nil)),
            _ => Err(nil_pointer()),
        }),
    );
    map.insert("strvalue", Function::new(&[Parameter::Named(SAMPLE)], |args| label(&args[0], "__value__")));
    map.insert(
        "sortByLabel",
        Function::new(&[Parameter::Text, Parameter::Named(RESULT)], |args| {
            let mut sorted = samples(&args[1]);
            let key = |sample: &Value| label(sample, text(&args[0])).map(|l| print(&l)).unwrap_or_default();
            sorted.sort_by_key(key);
            Ok(Value::List(sorted.into(), RESULT))
        }),
    );
    map.insert(
        "args",
        Function::variadic(&[Parameter::Any], |args| {
            let entries = args.iter().enumerate().map(|(i, v)| (format!("arg{i}"), v.clone())).collect();
            Ok(Value::Map(Arc::new(Map { entries, element: MapElement::Any })))
        }),
    );
}

fn of_text(map: &mut FunctionMap, environment: &Environment) {
    let mut text_function = |name: &'static str, f: fn(&str) -> String| {
        map.insert(name, Function::new(&[Parameter::Text], move |args| Ok(Value::text(f(text(&args[0]))))));
    };
    text_function("toUpper", unicode::upper);
    text_function("toLower", unicode::lower);
    text_function("title", title);
    text_function("safeHtml", |t| t.to_owned());
    text_function("stripPort", |t| split_host_port(t).map_or(t, |(host, _)| host).to_owned());
    text_function("stripDomain", strip_domain);
    text_function("graphLink", |t| format!("/graph?g0.expr={}&g0.tab=0", query_escape(t)));
    text_function("tableLink", |t| format!("/graph?g0.expr={}&g0.tab=1", query_escape(t)));
    text_function("urlQueryEscape", query_escape);

    map.insert(
        "match",
        Function::new(&[Parameter::Text, Parameter::Text], |args| {
            Ok(Value::Bool(Regexp::new(text(&args[0]))?.is_match(text(&args[1]))))
        }),
    );
    map.insert(
        "reReplaceAll",
        Function::new(&[Parameter::Text, Parameter::Text, Parameter::Text], |args| {
            let (subject, replacement) = (text(&args[2]), text(&args[1]));
            // It may match everywhere, and each `$0` stands for all that matched.
            if subject.len().saturating_mul(replacement.len()) > REPLACED_BYTES_MAX {
                return Err(CallError::argument("the text with its replacements may become too long"));
            }
            Ok(Value::text(Regexp::new(text(&args[0]))?.replace_all(subject, replacement)))
        }),
    );
    let (url, prefix) = (environment.external_url.clone(), environment.path_prefix.clone());
    map.insert("externalURL", Function::new(&[], move |_| Ok(Value::text(url.as_str()))));
    map.insert("pathPrefix", Function::new(&[], move |_| Ok(Value::text(prefix.as_str()))));
}

fn of_numbers(map: &mut FunctionMap, environment: &Environment) {
    let mut number_function = |name: &'static str, f: fn(f64) -> Result<Value, CallError>| {
        map.insert(name, Function::new(&[Parameter::Any], move |args| f(to_float(&args[0])?)));
    };
    number_function("humanize", |v| Ok(Value::text(humanize(v))));
    number_function("humanize1024", |v| Ok(Value::text(humanize_1024(v))));
    number_function("humanizeDuration", |v| Ok(Value::text(duration_text(v))));
    number_function("humanizePercentage", |v| Ok(Value::text(format!("{}%", short(v * 100.0)))));
    number_function("humanizeTimestamp", |v| match moment(v) {
        Err(NotATime::NoNumber) => Ok(Value::text(short(v))),
        Err(NotATime::TooFar) => Err(too_far(v)),
        Ok(moment) => Ok(Value::text(moment.print())),
    });
    number_function("toTime", |v| match moment(v) {
        Err(NotATime::NoNumber) => Err(CallError::argument("value is NaN or Inf")),
        Err(NotATime::TooFar) => Err(too_far(v)),
        Ok(moment) => Ok(Value::Object(Arc::new(moment))),
    });
    number_function("toDuration", |v| Ok(Duration::pointer((v * 1e9) as i64).value()));
    let now = environment.now;
    map.insert("now", Function::new(&[], move |_| Ok(Value::Float(now))));
    let parse = environment.parse_duration;
    map.insert(
        "parseDuration",
        Function::new(&[Parameter::Text], move |args| parse(text(&args[0])).map(Value::Float)),
    );
}

fn to_float(value: &Value) -> Result<f64, CallError> {
    match value {
        Value::Float(v) => Ok(*v),
        Value::Int(v) => Ok(*v as f64),
        Value::Text(text) => Ok(parse_float(text)?),
        Value::Object(object) => object.as_seconds().ok_or_else(|| no_float(value)),
        other => Err(no_float(other)),
    }
}

fn no_float(value: &Value) -> CallError {
    CallError::Argument(format!("can't convert {} to float", value.type_name()))
}

/// `%.4g`
fn short(v: f64) -> String {
    format_g_precise(v, 4)
}

fn humanize(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return short(v);
    }
    if v.abs() >= 1.0 {
        return scaled_up(v, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"]);
    }
    scaled_down(v, "")
}

fn humanize_1024(v: f64) -> String {
    if v.abs() <= 1.0 || !v.is_finite() {
        return short(v);
    }
    scaled_up(v, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"])
}

fn scaled_up(mut v: f64, step: f64, prefixes: &[&str]) -> String {
    let mut prefix = "";
    for next in prefixes {
        if v.abs() < step {
            break;
        }
        prefix = next;
        v /= step;
    }
    format!("{}{prefix}", short(v))
}

fn scaled_down(mut v: f64, unit: &str) -> String {
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if v.abs() >= 1.0 {
            break;
        }
        prefix = next;
        v *= 1000.0;
    }
    format!("{}{prefix}{unit}", short(v))
}

/// `1d 2h 3m 4s` of seconds, or of a duration.
///
/// # Errors
/// A value that is not a number.
pub fn humanize_duration(value: &Value) -> Result<Value, CallError> {
    to_float(value).map(|seconds| Value::text(duration_text(seconds)))
}

fn duration_text(v: f64) -> String {
    if !v.is_finite() {
        return short(v);
    }
    if v == 0.0 {
        return format!("{}s", short(v));
    }
    if v.abs() < 1.0 {
        return scaled_down(v, "s");
    }
    let sign = if v < 0.0 { "-" } else { "" };
    let v = v.abs();
    // Go on x86-64 converts a number that is too large to the lowest integer.
    let whole = if v < 9_223_372_036_854_775_808.0 { v as i64 } else { i64::MIN };
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", short(v)),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

enum NotATime {
    NoNumber,
    TooFar,
}

fn moment(seconds: f64) -> Result<Moment, NotATime> {
    if !seconds.is_finite() {
        return Err(NotATime::NoNumber);
    }
    let nanos = seconds * 1e9;
    if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
        return Err(NotATime::TooFar);
    }
    // Prometheus' own timestamps have milliseconds: the rest is cut off.
    Ok(Moment { nanos: (nanos as i64) / 1_000_000 * 1_000_000 })
}

fn too_far(v: f64) -> CallError {
    CallError::Argument(format!(
        "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
        format_g(v)
    ))
}

/// The first letter of every word in title case, the rest as it is. Words end as in Unicode: not at a dot, colon or
/// apostrophe between letters, nor at an underscore.
pub fn title(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut has_letter = false;
    for (index, &c) in chars.iter().enumerate() {
        if c.is_alphabetic() {
            out.push(if has_letter { c } else { unicode::to_title(c) });
            has_letter = true;
            continue;
        }
        out.push(c);
        let between = |kind: fn(char) -> bool| {
            index > 0 && kind(chars[index - 1]) && chars.get(index + 1).is_some_and(|next| kind(*next))
        };
        let joins = c.is_numeric()
            || c == '_'
            || (matches!(c, '.' | ':' | '\'' | '’' | '·') && between(char::is_alphabetic))
            || (matches!(c, '.' | ',' | ';' | '\'') && between(char::is_numeric));
        has_letter &= joins;
    }
    out
}

/// Go's `net.SplitHostPort`: `host:port`, `[v6]:port`; `None` where Go returns an error.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let colon = text.rfind(':')?;
    let (before, port) = (&text[..colon], &text[colon + 1..]);
    let host = match before.strip_prefix('[') {
        Some(inner) => {
            let host = inner.strip_suffix(']')?;
            if host.contains(['[', ']']) {
                return None;
            }
            host
        }
        None if before.contains([':', '[', ']']) => return None,
        None => before,
    };
    if port.contains(['[', ']']) { None } else { Some((host, port)) }
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let name = host.split('.').next().unwrap_or("");
    match (port, name.contains(':')) {
        ("", _) => name.to_owned(),
        (port, true) => format!("[{name}]:{port}"),
        (port, false) => format!("{name}:{port}"),
    }
}
