//! Why a template fails: the texts are those of Go's `text/template`, the kinds are for code that asks.

use std::sync::Arc;

use ferula_go::number::NumberError;
use ferula_go::regexp::SyntaxError;

/// Why a template could not be parsed or executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is not a template.
    #[error("{0}")]
    Parse(String),
    /// A value, field or function was not what the template took it for, or a function failed.
    #[error("{0}")]
    Execute(String),
    /// The template did more than [`Limits`](crate::Limits) allow.
    #[error("{0}")]
    Limit(String),
}

/// Why a function or method could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// An argument does not suit the function.
    #[error("{0}")]
    Argument(String),
    /// A text is not a number.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// A text is not a regular expression.
    #[error(transparent)]
    Regexp(#[from] SyntaxError),
    /// What the caller brought in failed: a query, say.
    #[error("{0}")]
    Outside(Arc<str>),
}

impl CallError {
    /// An argument does not suit.
    pub(crate) fn argument(text: impl Into<String>) -> Self {
        CallError::Argument(text.into())
    }

    /// What the caller brought in failed.
    pub fn outside(error: impl std::fmt::Display) -> Self {
        CallError::Outside(error.to_string().into())
    }
}
