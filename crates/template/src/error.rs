//! The one error of this crate: a text as Go's `text/template` words it.

/// Why a template could not be parsed or executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(pub String);
