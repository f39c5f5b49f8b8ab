//! What a script expects from an evaluation.

use ferula_model::LabelSet;
use regex::Regex;

use crate::expand::Point;

/// An expected text.
#[derive(Clone, Debug)]
pub(crate) enum ExpectedText {
    /// Any text.
    Anything,
    /// Exactly this text.
    Text(String),
    /// A text in which the pattern matches.
    Pattern(Regex),
}

impl ExpectedText {
    /// A pattern for `what`.
    pub(crate) fn pattern(text: &str, what: &str) -> Result<ExpectedText, String> {
        Regex::new(text).map(ExpectedText::Pattern).map_err(|_| format!("invalid regex {text} for {what}"))
    }

    /// Whether `text` is as expected.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            ExpectedText::Anything => true,
            ExpectedText::Text(wanted) => wanted == text,
            ExpectedText::Pattern(pattern) => pattern.is_match(text),
        }
    }

    fn describe(&self) -> String {
        match self {
            ExpectedText::Anything => "any text".to_owned(),
            ExpectedText::Text(text) => format!("message {text:?}"),
            ExpectedText::Pattern(pattern) => format!("pattern {:?}", pattern.as_str()),
        }
    }
}

/// One `expect …` line.
#[derive(Debug)]
pub(crate) enum Expectation {
    Ordered,
    Fail(ExpectedText),
    Warn(ExpectedText),
    NoWarn,
    Info(ExpectedText),
    NoInfo,
}

/// Expected values.
#[derive(Debug, Default)]
pub(crate) enum ExpectedValue {
    /// No series at all.
    #[default]
    Nothing,
    /// A scalar.
    Scalar(f64),
    /// Series with their position in the result, from 1, and their points.
    Series(Vec<ExpectedSeries>),
}

/// One expected series.
#[derive(Debug)]
pub(crate) struct ExpectedSeries {
    /// Position in an ordered result, from 1.
    pub(crate) position: usize,
    /// Labels.
    pub(crate) labels: LabelSet,
    /// One point per step.
    pub(crate) points: Vec<Point>,
}

/// All expectations for one evaluation.
#[derive(Debug, Default)]
pub(crate) struct Expectations {
    /// The hint "unknown" is accepted for "not reset".
    pub(crate) hints_may_be_lost: bool,
    /// Series must come in the given order.
    pub(crate) ordered: bool,
    /// The query must fail, with this text.
    pub(crate) fail: Option<ExpectedText>,
    /// There must be a warning (`eval_warn`).
    pub(crate) some_warning: bool,
    /// There must be an info (`eval_info`).
    pub(crate) some_info: bool,
    /// Each must match a warning, and every warning must match one of these.
    pub(crate) warn: Vec<ExpectedText>,
    /// There must be no warning.
    pub(crate) no_warn: bool,
    /// Like `warn`, for infos.
    pub(crate) info: Vec<ExpectedText>,
    /// There must be no info.
    pub(crate) no_info: bool,
    /// The result is this string.
    pub(crate) string: Option<String>,
    /// The result is a range vector with points from, to, and every this many milliseconds.
    pub(crate) window: Option<(i64, i64, i64)>,
    /// The values.
    pub(crate) values: ExpectedValue,
}

impl Expectations {
    /// Adds an `expect …` line.
    pub(crate) fn add(&mut self, expectation: Expectation) -> Result<(), String> {
        match expectation {
            Expectation::Ordered => self.ordered = true,
            Expectation::Fail(_)
                if matches!(&self.fail, Some(ExpectedText::Text(_) | ExpectedText::Pattern(_))) =>
            {
                return Err("invalid expect lines, multiple expect fail lines are not allowed".to_owned());
            }
            Expectation::Fail(wanted) => self.fail = Some(wanted),
            Expectation::Warn(wanted) => self.warn.push(wanted),
            Expectation::NoWarn => self.no_warn = true,
            Expectation::Info(wanted) => self.info.push(wanted),
            Expectation::NoInfo => self.no_info = true,
        }
        for (kind, some, none) in [("info", &self.info, self.no_info), ("warn", &self.warn, self.no_warn)] {
            if none && !some.is_empty() {
                return Err(format!("invalid expect lines, {kind} and no_{kind} cannot be used together"));
            }
        }
        Ok(())
    }

    /// Adds an expected series; a repeated series replaces the earlier one.
    pub(crate) fn add_series(&mut self, position: usize, labels: LabelSet, points: Vec<Point>) {
        let series = ExpectedSeries { position, labels, points };
        match &mut self.values {
            ExpectedValue::Series(all) => match all.iter_mut().find(|other| other.labels == series.labels) {
                Some(other) => *other = series,
                None => all.push(series),
            },
            values => *values = ExpectedValue::Series(vec![series]),
        }
    }

    /// The expected series; empty if a scalar or nothing is expected.
    pub(crate) fn series(&self) -> &[ExpectedSeries] {
        match &self.values {
            ExpectedValue::Series(series) => series,
            ExpectedValue::Scalar(_) | ExpectedValue::Nothing => &[],
        }
    }

    /// Checks whether an error of the query is the expected one.
    pub(crate) fn check_failure(&self, error: &str) -> Result<(), String> {
        match &self.fail {
            None => Err(format!("error: {error}")),
            Some(wanted) if wanted.matches(error) => Ok(()),
            Some(wanted) => Err(format!("expected error with {}, but got: {error}", wanted.describe())),
        }
    }

    /// Compares warnings and infos, as the API shows them, with the expected ones.
    pub(crate) fn check_annotations(&self, warnings: &[String], infos: &[String]) -> Result<(), String> {
        if self.some_warning && warnings.is_empty() {
            return Err("expected warnings but got none".to_owned());
        }
        if self.some_info && infos.is_empty() {
            return Err("expected info annotations but got none".to_owned());
        }
        check_kind("warn", &self.warn, warnings)?;
        check_kind("info", &self.info, infos)?;
        if self.no_warn && !warnings.is_empty() {
            return Err(format!("unexpected warning annotations: {warnings:?}"));
        }
        if self.no_info && !infos.is_empty() {
            return Err(format!("unexpected info annotations: {infos:?}"));
        }
        Ok(())
    }
}

fn check_kind(kind: &str, expected: &[ExpectedText], actual: &[String]) -> Result<(), String> {
    if expected.is_empty() {
        return Ok(());
    }
    if actual.is_empty() {
        return Err(format!("expected {kind} annotations but none were found"));
    }
    if let Some(wanted) = expected.iter().find(|wanted| !actual.iter().any(|text| wanted.matches(text))) {
        return Err(format!(
            "expected {kind} annotation with {} but none matches, found: {actual:?}",
            wanted.describe()
        ));
    }
    if let Some(text) = actual.iter().find(|text| !expected.iter().any(|wanted| wanted.matches(text))) {
        return Err(format!("unexpected {kind} annotation {text:?}"));
    }
    Ok(())
}
