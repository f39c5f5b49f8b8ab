//! What is wrong with a rule file, in Prometheus' words.

use std::fmt;
use std::path::{Path, PathBuf};

use ferula_go::quote::go_quote;
use ferula_promql_syntax::ParseErrors;

use crate::error::ConfigError;

/// Everything that is wrong with a rule file; at least one error. Printed one to a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFileErrors(Vec<RuleFileError>);

/// One thing that is wrong with a rule file. The name of the file stands in front when it was read from one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFileError {
    file: Option<PathBuf>,
    pub fault: FileFault,
}

/// A line and a column of a file, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

/// What is wrong with a file, or with one group or rule in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// It cannot be read, is no YAML, or has the shape of something else.
    #[error(transparent)]
    File(#[from] ConfigError),
    #[error("{at}: Groupname must not be empty")]
    UnnamedGroup { at: Position },
    #[error("{at}: groupname: \"{name}\" is repeated in the same file")]
    RepeatedGroup { at: Position, name: String },
    #[error("invalid label name: {0}")]
    GroupLabel(String),
    #[error("{}group {}, rule {number}, {}: {fault}", before(.at), go_quote(.group), go_quote(.name))]
    Rule {
        /// None for what has no text of its own, two for `record` beside `alert`.
        at: Vec<Position>,
        group: String,
        /// From 1.
        number: usize,
        name: String,
        fault: RuleFault,
    },
}

/// What is wrong with one rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    #[error("only one of 'record' and 'alert' must be set")]
    RecordAndAlert,
    #[error("one of 'record' or 'alert' must be set")]
    NoName,
    #[error("field 'expr' must be set in rule")]
    NoExpr,
    #[error("could not parse expression: {0}")]
    Expr(ParseErrors),
    /// A field that only alerting rules have.
    #[error("invalid field '{0}' in recording rule")]
    FieldOfAlerts(&'static str),
    #[error("invalid recording rule name: {0}")]
    RecordName(String),
    /// Allowed characters, but most likely an expression that was put on the wrong line.
    #[error("braces present in the recording rule name; should it be in expr?: {0}")]
    BracesInName(String),
    #[error("invalid label name: {0}")]
    LabelName(String),
    #[error("invalid annotation name: {0}")]
    AnnotationName(String),
    /// `field` is `label` or `annotation`.
    #[error("{field} {}: {error}", go_quote(.key))]
    Template { field: &'static str, key: String, error: TemplateFault },
}

/// Why a text is not a template, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateFault(pub String);

fn before(places: &[Position]) -> String {
    places.iter().map(|place| format!("{place}: ")).collect()
}

impl RuleFileErrors {
    pub(super) fn new(faults: Vec<FileFault>) -> Self {
        RuleFileErrors(faults.into_iter().map(|fault| RuleFileError { file: None, fault }).collect())
    }

    pub(super) fn in_file(mut self, file: &Path) -> Self {
        for error in &mut self.0 {
            error.file = Some(file.to_owned());
        }
        self
    }

    /// The errors, in the order found.
    pub fn all(&self) -> &[RuleFileError] {
        &self.0
    }

    /// The key that an unknown one was probably meant to be, as in [`ConfigError::suggestion`].
    pub fn suggestion(&self) -> Option<&str> {
        self.0.iter().find_map(|error| match &error.fault {
            FileFault::File(error) => error.suggestion(),
            _ => None,
        })
    }

    /// Each error as it is printed.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }
}

impl From<ConfigError> for RuleFileErrors {
    fn from(error: ConfigError) -> Self {
        RuleFileErrors::new(vec![error.into()])
    }
}

impl std::error::Error for RuleFileErrors {}

impl fmt::Display for RuleFileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().collect::<Vec<_>>().join("\n"))
    }
}

impl fmt::Display for RuleFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        self.fault.fmt(f)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}
