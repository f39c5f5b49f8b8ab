//! Names of metrics, units and labels by the rules of OpenTelemetry's "Prometheus and OpenMetrics compatibility", as
//! Prometheus applies them.

use std::borrow::Cow;

use ferula_go::quote::go_quote;

use crate::point::{Metric, MetricKind};

/// Why a name cannot be translated. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("normalization for metric {} resulted in empty name", go_quote(.0))]
    EmptyMetric(String),
    #[error("normalization for metric {} resulted in invalid name {}", go_quote(.name), go_quote(.result))]
    InvalidMetric { name: String, result: String },
    #[error("label name is empty")]
    EmptyLabel,
    #[error("label name {} contains only underscores", go_quote(.0))]
    UnderscoresOnly(String),
    #[error("normalization for label name {} resulted in invalid name {}", go_quote(.name), go_quote(.result))]
    InvalidLabel { name: String, result: String },
}

/// How names are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Naming {
    /// Units and types become suffixes of metric names.
    pub suffixes: bool,
    /// Characters other than letters, digits and underscores are replaced.
    pub escapes: bool,
    /// A label that begins with one underscore gets "key" before it.
    pub sanitizes_underscores: bool,
    /// Consecutive underscores in a label's name are kept.
    pub keeps_underscores: bool,
}

const UNITS: [(&str, &str); 25] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn is_counter(metric: &Metric<'_>) -> bool {
    metric.kind == MetricKind::Sum && metric.monotonic
}

/// Whether a gauge is a ratio. Counters of objects have the unit 1, too, but are not ratios.
fn is_ratio(metric: &Metric<'_>) -> bool {
    metric.kind == MetricKind::Gauge && metric.unit == "1"
}

impl Naming {
    /// The name of a metric family.
    ///
    /// # Errors
    /// The result is empty.
    pub fn metric(&self, metric: &Metric<'_>) -> Result<String, NameError> {
        if !self.escapes {
            return Ok(if self.suffixes { with_suffixes(metric) } else { metric.name.to_owned() });
        }
        let name = metric.name;
        let result = if self.suffixes {
            from_words(metric)
        } else {
            let kept = |c: char| is_metric_char(c) || c == '_';
            let words: Vec<&str> = name.split(|c| !kept(c)).filter(|word| !word.is_empty()).collect();
            words.join("_")
        };
        let result =
            if result.starts_with(|c: char| c.is_ascii_digit()) { format!("_{result}") } else { result };
        if result.is_empty() {
            return Err(NameError::EmptyMetric(name.to_owned()));
        }
        if result != name && result.chars().all(|c| c == '_') {
            return Err(NameError::InvalidMetric { name: name.to_owned(), result });
        }
        Ok(result)
    }

    /// The name of a label.
    ///
    /// # Errors
    /// It is empty, or consists of underscores.
    pub fn label<'n>(&self, name: &'n str) -> Result<Cow<'n, str>, NameError> {
        let underscores = |name: &str| name.chars().all(|c| c == '_');
        if name.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        if !self.escapes {
            return match underscores(name) {
                true => Err(NameError::UnderscoresOnly(name.to_owned())),
                false => Ok(Cow::Borrowed(name)),
            };
        }
        let mut result = if self.keeps_underscores { replaced(name) } else { collapsed(name) };
        if result.starts_with(|c: char| c.is_ascii_digit()) {
            result.insert_str(0, "key_");
        } else if self.sanitizes_underscores && result.starts_with('_') && !result.starts_with("__") {
            result.insert_str(0, "key");
        }
        if underscores(&result) {
            return Err(NameError::InvalidLabel { name: name.to_owned(), result });
        }
        Ok(Cow::Owned(result))
    }
}

fn replaced(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Each run of characters that are not allowed becomes one underscore; reserved names stay reserved.
fn collapsed(name: &str) -> String {
    let reserved =
        name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__")).filter(|_| name.len() >= 4);
    let mut result = String::with_capacity(name.len());
    let around = if reserved.is_some() { "__" } else { "" };
    result.push_str(around);
    let mut after_underscore = false;
    for c in reserved.unwrap_or(name).chars() {
        if c.is_ascii_alphanumeric() {
            result.push(c);
        } else if !after_underscore {
            result.push('_');
        }
        after_underscore = !c.is_ascii_alphanumeric();
    }
    result.push_str(around);
    result
}

/// The name as words, followed by those of the unit and the type.
fn from_words(metric: &Metric<'_>) -> String {
    let mut words: Vec<&str> =
        metric.name.split(|c| !is_metric_char(c)).filter(|word| !word.is_empty()).collect();
    let (main, per) = unit_suffixes(metric.unit);
    let (mut main, per) = (clean(&main), clean(&per));
    if words.contains(&main.as_str()) {
        main.clear();
    }
    let mut per = per.strip_suffix('_').unwrap_or(&per).to_owned();
    if per == "per" || words.contains(&per.as_str()) {
        per.clear();
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').map(str::to_owned).unwrap_or(main);
    }
    words.extend([main.as_str(), per.as_str()].into_iter().filter(|word| !word.is_empty()));
    for (applies, suffix) in [(is_counter(metric), "total"), (is_ratio(metric), "ratio")] {
        if applies {
            words.retain(|word| *word != suffix);
            words.push(suffix);
        }
    }
    words.join("_")
}

/// The unchanged name with suffixes.
fn with_suffixes(metric: &Metric<'_>) -> String {
    let mut name = metric.name.to_owned();
    let mut behind = String::new();
    let mut move_behind = |name: &mut String, suffix: &str| {
        // The separator, whatever it is, is removed as well.
        if name.ends_with(suffix) && name.len() > suffix.len() + 1 {
            let mut end = name.len() - suffix.len() - 1;
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            name.truncate(end);
        }
        behind = format!("_{suffix}{behind}");
    };
    if is_ratio(metric) {
        move_behind(&mut name, "ratio");
    }
    if is_counter(metric) {
        move_behind(&mut name, "total");
    }
    let (main, per) = unit_suffixes(metric.unit);
    if !per.is_empty() {
        move_behind(&mut name, &per);
    }
    if !main.is_empty() && !name.ends_with(&main) {
        name = format!("{name}_{main}");
    }
    name + &behind
}

/// `By/s` as `bytes` and `per_second`. Annotations in braces are not units.
fn unit_suffixes(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let known = |text: &str, table: &[(&str, &str)]| {
        let text = text.trim();
        if text.contains(['{', '}']) {
            return String::new();
        }
        table.iter().find(|(unit, _)| *unit == text).map_or(text, |(_, word)| word).to_owned()
    };
    let main = if main.trim() == "1" { String::new() } else { known(main, &UNITS) };
    let per = known(per, &PER_UNITS);
    (main, if per.is_empty() { per } else { format!("per_{per}") })
}

fn clean(unit: &str) -> String {
    let mut cleaned = String::with_capacity(unit.len());
    for c in unit.chars() {
        match is_metric_char(c) {
            true => cleaned.push(c),
            false if !cleaned.ends_with('_') => cleaned.push('_'),
            false => {}
        }
    }
    cleaned.strip_prefix('_').map(str::to_owned).unwrap_or(cleaned)
}

/// The unit as metadata has it.
pub fn unit(unit: &str) -> String {
    let (main, per) = unit_suffixes(unit);
    let (main, per) = (clean(&main), clean(&per));
    let joined = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        _ => per,
    };
    let joined = joined.strip_prefix('_').unwrap_or(&joined);
    joined.strip_suffix('_').unwrap_or(joined).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::to_protobuf;
    use crate::point::Messages;

    const ALL: Naming =
        Naming { suffixes: true, escapes: true, sanitizes_underscores: true, keeps_underscores: true };

    /// One line of the recorded answers: the inputs, and the answer or error.
    fn recorded(kind: &str) -> Vec<Vec<String>> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/otlp/names.tsv");
        let text = std::fs::read_to_string(path).expect("the recorded answers");
        let unquoted = |field: &str| serde_json::from_str(field).unwrap_or_else(|_| field.to_owned());
        let lines = text.lines().map(|line| line.split('\t').map(unquoted).collect::<Vec<String>>());
        lines.filter(|fields| fields[0] == kind).collect()
    }

    fn flags(text: &str) -> Vec<bool> {
        text.split(' ').map(|flag| flag == "true").collect()
    }

    fn assert_answer<T: ToString>(got: Result<T, NameError>, want: &[String], line: &[String]) {
        let got = got.map_or_else(|error| ("error", error.to_string()), |name| ("ok", name.to_string()));
        assert_eq!((got.0, got.1.as_str()), (want[0].as_str(), want[1].as_str()), "{line:?}");
    }

    #[test]
    fn names_are_those_that_prometheus_library_makes() {
        let (metrics, labels, units) = (recorded("metric"), recorded("label"), recorded("unit"));
        assert!(metrics.len() >= 3000 && labels.len() >= 1200 && units.len() >= 30);
        for line in &metrics {
            let (kind, monotonic) = match line[2].as_str() {
                "gauge" => ("gauge", false),
                "counter" => ("sum", true),
                kind => (kind, false),
            };
            let flags = flags(&line[1]);
            let naming = Naming { suffixes: flags[0], escapes: flags[1], ..ALL };
            let text = serde_json::json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
                {"name": line[3], "unit": line[4], kind: {"isMonotonic": monotonic, "dataPoints": []}}
            ]}]}]});
            let message = to_protobuf(text.to_string().as_bytes()).expect("a request");
            let inner = |message, field| Messages::of(message, field).next().expect("good").expect("there");
            let metric = Metric::read(inner(inner(inner(&message, 1), 2), 2)).expect("a metric");
            assert_answer(naming.metric(&metric), &line[5..], line);
        }
        for line in &labels {
            let flags = flags(&line[1]);
            let naming = Naming {
                suffixes: true,
                escapes: flags[0],
                sanitizes_underscores: flags[1],
                keeps_underscores: flags[2],
            };
            assert_answer(naming.label(&line[2]), &line[3..], line);
        }
        for line in &units {
            assert_answer(Ok(unit(&line[1])), &line[2..], line);
        }
    }
}
