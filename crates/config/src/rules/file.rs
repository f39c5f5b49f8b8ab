//! The sections of a rule file.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ferula_model::labels::NameScheme;
use ferula_promql_syntax::ParserOptions;

use super::error::{Position, TemplateFault};
use crate::error::Problem;
use crate::section::section;
use crate::yaml::decode::{Decoder, Value};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::NodeId;

section! {
    /// The groups of one file.
    pub struct RuleFile as "rulefmt.RuleGroups" {
        keep groups: Vec<RuleGroup>;
    }
}

section! {
    /// Rules that are evaluated together, in order.
    pub struct RuleGroup as "rulefmt.RuleGroup" {
        keep name: Positioned;
        /// 0: the global evaluation interval.
        omit interval: Duration;
        omit query_offset: Option<Duration>;
        /// 0: no limit.
        omit limit: i64;
        keep rules: Vec<Rule>;
        /// Labels of every rule; a rule's own label of the same name wins.
        omit labels: BTreeMap<String, String>;
    }
}

section! {
    /// One rule: `record` or `alert`, never both.
    pub struct Rule as "rulefmt.Rule" {
        omit record: Positioned;
        omit alert: Positioned;
        keep expr: Positioned;
        omit hold as "for": Duration;
        omit keep_firing_for: Duration;
        omit labels: BTreeMap<String, String>;
        omit annotations: BTreeMap<String, String>;
    }
}

impl Rule {
    /// The name of the alert, or of the series that is recorded.
    pub fn name(&self) -> &str {
        if self.alert.is_empty() { &self.record } else { &self.alert }
    }

    /// Whether this is an alerting rule.
    pub fn is_alert(&self) -> bool {
        !self.alert.is_empty()
    }
}

/// A text with the place where it was written.
#[derive(Clone, Debug, Default)]
pub struct Positioned {
    text: String,
    line: u32,
    column: u32,
}

impl Positioned {
    /// A text that was not read from a file.
    pub fn new(text: impl Into<String>) -> Self {
        Positioned { text: text.into(), line: 0, column: 0 }
    }

    /// The line it was written on, from 1; 0 when it was not written.
    pub fn line(&self) -> u32 {
        self.line
    }

    pub(super) fn position(&self) -> Position {
        Position { line: self.line, column: self.column }
    }
}

/// A rule that only moved within its file has not changed.
impl PartialEq for Positioned {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl std::ops::Deref for Positioned {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Positioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Value for Positioned {
    fn zero() -> Self {
        Positioned::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        let mark = d.mark(id);
        (self.line, self.column) = (mark.line, mark.column);
        self.text.decode(id, d)
    }

    fn go_type() -> String {
        "string".into()
    }

    fn is_zero(&self) -> bool {
        self.text.is_empty()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(self.text.clone())
    }
}

/// How a rule file is read.
pub struct RuleFileOptions<'a> {
    /// Which names labels and metrics may have.
    pub names: NameScheme,
    /// Whether unknown keys are ignored.
    pub ignore_unknown_fields: bool,
    /// Which experimental parts of the language expressions may use.
    pub parser: ParserOptions,
    /// Returns whether a template parses, given its name and text; the error is shown to the user.
    pub check_template: &'a dyn Fn(&str, &str) -> Result<(), TemplateFault>,
}
