//! Templates of alerting rules: parsed once when a rule is loaded, executed for every element.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use ferula_config::rules::TemplateFault;
use ferula_go::sync::MutexExt;
use ferula_model::duration::parse_millis;
use ferula_model::{Timestamp, UnixNanos};
use ferula_promql::{InstantSample, SampleValue};
use ferula_promql_syntax::{ParserOptions, parse};
use ferula_telemetry::warn;
use ferula_template::prometheus::{DEFINITIONS, Environment, QueryFunction, Sample, alert_data, functions};
use ferula_template::{CallError, FunctionMap, Limits, Template, TemplateError, Value};

use crate::Metrics;
use crate::context::GroupContext;
use crate::query::{RuleOrigin, RuleQuery};

/// The template functions by name, for parsing only. None of them is called.
static PARSE_FUNCTIONS: LazyLock<FunctionMap> = LazyLock::new(|| {
    let query: QueryFunction = Arc::new(|_| Ok(Vec::new()));
    functions(&environment(Timestamp::default(), "", query))
});

/// Checks that the text of a label or annotation parses as a template called `name`.
///
/// # Errors
/// The reason, in Go's words.
pub fn check_template(name: &str, text: &str) -> Result<(), TemplateFault> {
    parse_template(name, text).map(|_| ()).map_err(|error| TemplateFault(error.to_string()))
}

fn parse_template(name: &str, text: &str) -> Result<Template, TemplateError> {
    Template::parse(name, &format!("{DEFINITIONS}{text}"), &PARSE_FUNCTIONS)
}

/// The path of an external URL, without a slash at its end.
pub fn external_path(external_url: &str) -> &str {
    let after_scheme = external_url.split_once("://").map_or("", |(_, rest)| rest);
    after_scheme.find('/').map_or("", |slash| after_scheme[slash..].trim_end_matches('/'))
}

fn environment(at: Timestamp, external_url: &str, query: QueryFunction) -> Environment {
    Environment {
        now: at.seconds(),
        external_url: external_url.to_owned(),
        path_prefix: external_path(external_url).to_owned(),
        query,
        parse_duration: seconds_of,
    }
}

/// A Prometheus duration in seconds, with an optional minus in front.
fn seconds_of(text: &str) -> Result<f64, CallError> {
    let (sign, unsigned) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    parse_millis(unsigned).map(|millis| sign * millis as f64 / 1000.0).map_err(CallError::outside)
}

/// A text of a rule, ready to be expanded.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    /// Plain text without placeholders.
    Plain(String),
    /// A parsed template, or the reason why it does not parse (loading a file has refused such texts
    /// already).
    Template(Arc<Result<Template, TemplateError>>),
}

impl Text {
    pub fn new(alert: &str, text: &str) -> Self {
        if text.contains("{{") {
            Text::Template(Arc::new(parse_template(&format!("__alert_{alert}"), text)))
        } else {
            Text::Plain(text.to_owned())
        }
    }
}

/// Whether a label's value depends only on the element's labels (and on what never changes). Recognizes plain
/// text and the common `{{ $labels.name }}`; returns `false` for all other templates.
pub(crate) fn of_labels_alone(text: &str) -> bool {
    const OBJECTS: [&str; 4] = ["$labels.", ".Labels.", "$externalLabels.", ".ExternalLabels."];
    const PURE: [&str; 5] = ["toUpper", "toLower", "title", "stripPort", "stripDomain"];
    let is_field = |word: &str| {
        let name = OBJECTS.iter().find_map(|object| word.strip_prefix(object));
        name.is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
    };
    let mut rest = text;
    while let Some((_, action)) = rest.split_once("{{") {
        let Some((action, behind)) = action.split_once("}}") else { return false };
        rest = behind;
        let action = action.strip_prefix('-').unwrap_or(action);
        let action = action.strip_suffix('-').unwrap_or(action);
        let mut words = action.split('|').map(str::trim);
        if !words.next().is_some_and(is_field) || !words.all(|word| PURE.contains(&word)) {
            return false;
        }
    }
    true
}

/// What all templates of one evaluation share.
pub(crate) struct Expander<'a> {
    /// The name of the alert.
    pub alert: &'a str,
    pub functions: FunctionMap,
    pub external_labels: &'a BTreeMap<String, String>,
    pub external_url: &'a str,
    pub metrics: &'a Metrics,
}

impl<'a> Expander<'a> {
    pub fn new(alert: &'a str, at: UnixNanos, context: &'a GroupContext, origin: RuleOrigin<'_>) -> Self {
        let at = at.timestamp();
        let query = query_function(context, at, origin);
        Expander {
            alert,
            functions: functions(&environment(at, &context.external_url, query)),
            external_labels: &context.external_labels,
            external_url: &context.external_url,
            metrics: &context.metrics,
        }
    }

    /// The data that a template sees for one element of the query's result.
    pub fn data(&self, sample: &InstantSample) -> Value {
        let value = match &sample.value {
            SampleValue::Float(value) => Value::Float(*value),
            SampleValue::Histogram(histogram) => Value::Text(histogram.to_string().into()),
        };
        let external = self.external_labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        alert_data(sample.labels.iter(), external, self.external_url, value)
    }

    /// Expands the text. An error becomes part of the text: an alert with a broken annotation is better than
    /// none.
    pub fn expand(&self, text: &Text, data: &Value) -> String {
        self.metrics.template_expansions.inc();
        let template = match text {
            Text::Plain(text) => return text.clone(),
            Text::Template(template) => template,
        };
        let result = match &**template {
            Ok(template) => template
                .execute(data, &self.functions, &Limits::default())
                .map_err(|error| format!("error executing template __alert_{}: {error}", self.alert)),
            Err(error) => Err(format!("error parsing template __alert_{}: {error}", self.alert)),
        };
        result.unwrap_or_else(|error| {
            self.metrics.template_failures.inc();
            warn!("Expanding alert template failed", alert = self.alert, err = error);
            format!("<error expanding template: {error}>")
        })
    }
}

/// The function behind `query "…"`. Many elements of one evaluation run the same query, so results are
/// cached.
fn query_function(context: &GroupContext, at: Timestamp, origin: RuleOrigin<'_>) -> QueryFunction {
    type Answer = Result<Vec<Sample>, CallError>;
    let answers: Mutex<BTreeMap<String, Answer>> = Mutex::default();
    let (query, parser) = (context.query.clone(), context.parser);
    let (file, group) = (origin.file.to_owned(), origin.group.to_owned());
    Arc::new(move |text| {
        if let Some(answer) = answers.locked().get(text) {
            return answer.clone();
        }
        let answer = ask(&*query, &parser, at, &RuleOrigin { file: &file, group: &group, query: text });
        answers.locked().insert(text.to_owned(), answer.clone());
        answer
    })
}

fn ask(
    query: &dyn RuleQuery,
    parser: &ParserOptions,
    at: Timestamp,
    origin: &RuleOrigin<'_>,
) -> Result<Vec<Sample>, CallError> {
    let expr = parse(origin.query, parser).map_err(CallError::outside)?;
    let vector = query.vector(&expr, at, origin).map_err(CallError::outside)?;
    let sample = |sample: InstantSample| Sample {
        labels: sample.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        value: Value::Float(sample.value.as_float().unwrap_or(0.0)),
    };
    Ok(vector.into_iter().map(sample).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_need_more_than_labels_are_recognised() {
        for text in ["", "page", "{{ $labels.job }}-{{.Labels.x_1|toUpper}}", "a{{- $externalLabels.dc -}}b"]
        {
            assert!(of_labels_alone(text), "{text}");
        }
        for text in [
            "{{ $value }}",
            "{{ $labels.job }}{{ $value }}",
            "{{ $labels }}",
            "{{ . }}",
            "{{ if $labels.x }}a{{ end }}",
            "{{ $labels.job | query }}",
            "{{ \"x|toUpper\" }}",
            "{{ $labels.x",
            "{{ now }}",
        ] {
            assert!(!of_labels_alone(text), "{text}");
        }
    }

    #[test]
    fn paths_of_external_urls_lose_their_slash() {
        for (url, path) in [
            ("http://x:9090", ""),
            ("http://x:9090/", ""),
            ("https://x/prom/", "/prom"),
            ("https://x/a/b", "/a/b"),
            ("", ""),
        ] {
            assert_eq!(external_path(url), path);
        }
        assert_eq!(seconds_of("-1m30s"), Ok(-90.0));
        assert!(seconds_of("1").is_err());
    }
}
