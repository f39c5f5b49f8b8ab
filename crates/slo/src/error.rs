//! Errors in a file of objectives, in what is generated from it, and in a file of alert windows.

use crate::objective::{ObjectiveError, QueryError};

/// Why a file of objectives was refused. Lines count from 1 over the whole file, even if it has several
/// documents.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SpecError {
    /// It is not YAML, or a key is unknown, missing, or of the wrong type.
    #[error("line {line}: {text}")]
    Yaml { line: usize, text: String },
    /// The format of a document is unknown.
    #[error(
        "line {line}: unknown format: expected 'version: prometheus/v1', 'apiVersion: sloth.slok.dev/v1' with 'kind: PrometheusServiceLevel', or 'apiVersion: openslo/v1alpha' with 'kind: SLO'"
    )]
    UnknownFormat { line: usize },
    /// The file has no objective.
    #[error("no objective in the file")]
    Empty,
    /// An objective cannot be met, or not measured as written.
    #[error("line {line}: objective {name:?}: {error}")]
    Objective { line: usize, name: String, error: ObjectiveError },
    /// Two objectives would record the same series.
    #[error("line {line}: objective {id:?} is defined twice; both would record the same series")]
    Twice { line: usize, id: String },
}

/// Why no rules can be generated for a valid objective.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RulesError {
    /// The catalog has no windows for its period.
    #[error("objective {id:?}: there are no alert windows for a period of {period}, only for {known}")]
    NoWindows { id: String, period: String, known: String },
    /// The queries of its indicator were not checked by `read`.
    #[error("objective {id:?}: {error}")]
    Query { id: String, error: QueryError },
}

/// Why a file of alert windows was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WindowsError {
    /// It is not YAML, or a key is unknown, missing, or of the wrong type.
    #[error("{0}")]
    Yaml(String),
    /// It is a different kind of document.
    #[error("expected 'apiVersion: sloth.slok.dev/v1' and 'kind: AlertWindows'")]
    UnknownFormat,
    /// A duration or percentage is zero or not a number.
    #[error("{place}: {text}")]
    Value { place: &'static str, text: String },
    /// The catalog has different windows for the same period.
    #[error("the windows for a period of {0} are defined twice with different values")]
    Twice(String),
}
