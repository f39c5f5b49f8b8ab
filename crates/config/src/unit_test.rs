//! Files of unit tests for rules, as `promtool test rules` reads them.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_go::quote::go_quote;
use ferula_model::UnixNanos;
use ferula_model::alert::parse_rfc3339;

use crate::error::{ConfigError, Problem};
use crate::http_client::FileNames;
use crate::scalars::{ExternalLabels, from_text, secs};
use crate::section::section;
use crate::yaml::decode::{Decoder, Value, decode_document};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::NodeId;

section! {
    /// One file of tests.
    pub struct UnitTestFile as "main.unitTestFile" {
        keep rule_files: FileNames;
        omit evaluation_interval: Duration;
        keep group_eval_order: Vec<String>;
        keep tests: Vec<TestGroup>;
        /// Values may differ by the smallest possible difference of two floats.
        omit fuzzy_compare: bool;
    }
}

section! {
    /// Tests on the same data.
    pub struct TestGroup as "main.testGroup" {
        keep interval: Duration;
        keep input_series: Vec<InputSeries>;
        omit alert_rule_test: Vec<AlertTest>;
        omit promql_expr_test: Vec<ExpressionTest>;
        omit external_labels: ExternalLabels;
        omit external_url: String;
        omit name: String;
        omit start_timestamp: StartTimestamp;
    }
}

section! {
    /// A series in the notation of test scripts.
    pub struct InputSeries as "main.series" {
        keep series: String;
        keep values: String;
    }
}

section! {
    /// Which alerts fire at a moment.
    pub struct AlertTest as "main.alertTestCase" {
        keep eval_time: Duration;
        keep alertname: String;
        keep exp_alerts: Vec<ExpectedAlert>;
    }
}

section! {
    /// One alert that fires.
    pub struct ExpectedAlert as "main.alert" {
        keep exp_labels: BTreeMap<String, String>;
        keep exp_annotations: BTreeMap<String, String>;
    }
}

section! {
    /// The result of an expression at a moment.
    pub struct ExpressionTest as "main.promqlTestCase" {
        keep expr: String;
        keep eval_time: Duration;
        keep exp_samples: Vec<ExpectedSample>;
    }
}

section! {
    /// One sample of a result.
    pub struct ExpectedSample as "main.sample" {
        keep labels: String;
        keep value: f64;
        /// If given, the value is ignored.
        keep histogram: String;
    }
}

/// The moment at which the data begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartTimestamp(pub UnixNanos);

impl Value for StartTimestamp {
    fn zero() -> Self {
        StartTimestamp::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_text(self, id, d, |text| parse_moment(&text).map(StartTimestamp))
    }

    fn go_type() -> String {
        "main.testStartTimestamp".into()
    }

    fn is_zero(&self) -> bool {
        self.0 == UnixNanos::default()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(self.0.rfc3339_nanos())
    }
}

/// Seconds since the epoch, or RFC 3339.
fn parse_moment(text: &str) -> Result<UnixNanos, String> {
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
        && seconds.abs() < 9e9
    {
        return Ok(UnixNanos::from_millis((seconds * 1000.0).round() as i64));
    }
    parse_rfc3339(text).ok_or_else(|| format!("cannot parse {} to a valid timestamp", go_quote(text)))
}

impl UnitTestFile {
    /// Reads a file; the rule files keep the names they are given there.
    ///
    /// # Errors
    /// What is wrong with it, in go-yaml's words.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut file = UnitTestFile::default();
        decode_document(text.as_bytes(), &mut file)?;
        if file.evaluation_interval.is_zero() {
            file.evaluation_interval = secs(60);
        }
        for group in &mut file.tests {
            if group.interval.is_zero() {
                group.interval = file.evaluation_interval;
            }
        }
        Ok(file)
    }

    /// Makes relative names of rule files relative to a directory.
    pub fn join_directory(&mut self, dir: &str) {
        Value::join_directory(self, dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_seconds_or_dates() {
        for (text, millis) in [
            ("0", Some(0)),
            ("1.5", Some(1_500)),
            ("2024-02-29T12:00:00Z", Some(1_709_208_000_000)),
            ("2024-02-29T12:00:00.25+01:30", Some(1_709_202_600_250)),
            ("2023-02-29T12:00:00Z", None),
            ("2024-02-29 12:00:00", None),
            ("x", None),
        ] {
            assert_eq!(parse_moment(text).ok(), millis.map(UnixNanos::from_millis), "{text}");
        }
    }
}
