//! What can be wrong with a file of objectives, with what is generated from it, and with a file of alert windows.

use crate::objective::QueryError;

/// Why a file of objectives was refused. Lines count from 1 in the whole file, also when it has several documents.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// It is not YAML, or a key is unknown, missing, or of the wrong type.
    #[error("line {line}: {text}")]
    Yaml { line: usize, text: String },
    /// A document is of a format that nobody here reads.
    #[error(
        "line {line}: unknown format: expected 'version: prometheus/v1', 'apiVersion: sloth.slok.dev/v1' with 'kind: PrometheusServiceLevel', or 'apiVersion: openslo/v1alpha' with 'kind: SLO'"
    )]
    UnknownFormat { line: usize },
    /// The file has no objective.
    #[error("no objective in the file")]
    Empty,
    /// An objective cannot be met or measured as it is written.
    #[error("line {line}: objective {name:?}: {text}")]
    Objective { line: usize, name: String, text: String },
    /// Two objectives would write the same series.
    #[error("line {line}: objective {id:?} is there twice; their recorded series would be the same")]
    Twice { line: usize, id: String },
}

/// Why no rules can be generated for an objective that was read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RulesError {
    /// The catalog has no windows for its period.
    #[error("objective {id:?}: there are no alert windows for a period of {period}, only for {known}")]
    NoWindows { id: String, period: String, known: String },
    /// Its indicator was not checked by `read`.
    #[error("objective {id:?}: {error}")]
    Query { id: String, error: QueryError },
}

/// Why a file of alert windows was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WindowsError {
    /// It is not YAML, or a key is unknown, missing, or of the wrong type.
    #[error("{0}")]
    Yaml(String),
    /// It is another kind of document.
    #[error("expected 'apiVersion: sloth.slok.dev/v1' and 'kind: AlertWindows'")]
    UnknownFormat,
    /// A duration or percentage is zero or no number.
    #[error("{place}: {text}")]
    Value { place: &'static str, text: String },
    /// The catalog has other windows for the same period.
    #[error("the windows of a period of {0} are given twice, and differ")]
    Twice(String),
}
